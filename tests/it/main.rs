//! The integration tests, one binary.

mod architecture;
mod cli;
mod memdisk;
mod sim;
mod transfers;
