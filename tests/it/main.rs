//! The integration tests, one binary.

mod architecture;
mod cli;
mod cron;
mod events;
mod exits;
mod hostile;
#[cfg(test)]
mod memdisk;
mod once_open;
mod process;
mod readme;
mod settings;
mod shows;
mod sim;
#[cfg(test)]
mod transfers;
