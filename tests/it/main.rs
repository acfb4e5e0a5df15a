//! The integration tests, one binary.

mod architecture;
mod cli;
mod hostile;
mod hostile_open;
mod memdisk;
mod sim;
mod transfers;
