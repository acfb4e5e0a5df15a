//! Where settings are looked for: the environment and the places of the files. A value, so that tests have their own.

use super::super::home;
use super::keys;
use std::ffi::OsString;
use std::path::PathBuf;

/// The file of the whole machine.
const SYSTEM: &str = "/etc/resilient/config.toml";

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Somebody named it, so it has to be there.
    pub(super) named: bool,
}

/// Environment and files of a process.
pub(in crate::cli) struct World<'a> {
    /// Value of a variable.
    pub(in crate::cli) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// This user's file.
    pub(in crate::cli) user: Option<PathBuf>,
    /// The file of the machine.
    pub(in crate::cli) system: PathBuf,
}

impl World<'_> {
    /// This process.
    pub(in crate::cli) fn of_process() -> World<'static> {
        let user = home::folder().map(|folder| folder.join("config.toml"));
        World { variable: &|name| std::env::var_os(name), user, system: SYSTEM.into() }
    }

    /// A variable that is set; an empty one is not.
    pub(super) fn set(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// The variable for an option, and its value.
    pub(super) fn variable(&self, option: &str) -> Option<(String, OsString)> {
        // `RESILIENT_LOG` is the short name that logs are asked for by.
        let short = (option == "log-file").then(|| "RESILIENT_LOG".to_owned());
        let names = [Some(keys::variable(option)), short];
        names.into_iter().flatten().find_map(|name| self.set(&name).map(|value| (name, value)))
    }

    /// The files to read, the first one counts more; `typed` is the one of `--config`.
    pub(super) fn files(&self, typed: Option<&PathBuf>) -> Vec<Place> {
        let named = typed.cloned().or_else(|| self.set("RESILIENT_CONFIG").map(PathBuf::from));
        let user = named.map(|path| Place { path, named: true });
        let user = user.or_else(|| self.user.clone().map(|path| Place { path, named: false }));
        user.into_iter().chain([Place { path: self.system.clone(), named: false }]).collect()
    }
}
