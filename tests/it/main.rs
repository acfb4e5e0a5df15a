//! The integration tests, one binary.

mod architecture;
mod cli;
mod hostile;
#[cfg(test)]
mod memdisk;
mod once_open;
#[cfg(test)]
mod policy;
mod readme;
mod shows;
mod sim;
#[cfg(test)]
mod transfers;
