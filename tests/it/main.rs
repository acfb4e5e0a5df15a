//! The integration tests, one binary.

mod architecture;
mod cli;
mod hostile;
#[cfg(test)]
mod memdisk;
mod once_open;
mod readme;
mod shows;
mod sim;
#[cfg(test)]
mod transfers;
mod trust_first;
