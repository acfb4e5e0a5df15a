//! The integration tests, one binary.

mod architecture;
mod cli;
mod hostile;
#[cfg(test)]
mod memdisk;
mod once_open;
mod readme;
#[cfg(test)]
mod serve;
mod shows;
mod sim;
#[cfg(test)]
mod transfers;
