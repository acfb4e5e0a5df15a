//! The integration tests, one binary.

mod architecture;
mod cli;
#[cfg(test)]
mod memdisk;
mod shows;
mod sim;
#[cfg(test)]
mod transfers;
