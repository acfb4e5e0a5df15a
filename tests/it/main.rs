//! The integration tests, one binary.

mod memdisk;
mod sim;
