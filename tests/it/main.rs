//! The integration tests, one binary.

mod architecture;
mod cli;
mod hostile;
mod hostile_open;
#[cfg(test)]
mod memdisk;
mod readme;
mod shows;
mod sim;
#[cfg(test)]
mod transfers;
