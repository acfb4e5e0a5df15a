//! The integration tests, one binary.

mod architecture;
mod cli;
mod cron;
#[cfg(test)]
mod delta;
mod events;
mod exits;
#[cfg(test)]
mod formats;
mod hostile;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod memdisk;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod offer;
mod once_open;
#[cfg(test)]
mod options;
#[cfg(test)]
mod partials;
#[cfg(test)]
mod pipes;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod power_cuts;
mod process;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod rdiff;
mod readme;
mod resume;
#[cfg(test)]
mod rsync_parity;
#[cfg(test)]
mod select;
mod serve;
mod settings;
mod shows;
mod sim;
#[cfg(test)]
mod slow_links;
#[cfg(test)]
mod swaps;
#[cfg(test)]
mod transfers;
mod trust_first;
