//! The integration tests, one binary.

mod architecture;
mod cli;
mod hostile;
#[cfg(test)]
mod memdisk;
mod once_open;
#[cfg(test)]
mod rates;
mod readme;
#[cfg(test)]
mod rsync_parity;
#[cfg(test)]
mod select;
mod shows;
mod sim;
#[cfg(test)]
mod transfers;
