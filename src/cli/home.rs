//! Where this user's files are: configuration in `RESILIENT_HOME`, else `XDG_CONFIG_HOME/resilient`, else `~/.config/resilient`; state in
//! `RESILIENT_HOME`, else `XDG_STATE_HOME/resilient`, else `~/.local/state/resilient`.
//!
//! Without `HOME` (cron, systemd) the home folder is the one of the passwd entry. An empty variable counts as unset. Nothing is made
//! here: the identity and the store make their folders on first use.

use super::args::Global;
use super::exit::Failure;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The file with this node's key: as typed, or in the configuration folder.
pub(super) fn identity(global: &Global) -> Result<PathBuf, Failure> {
    match &global.identity {
        Some(file) => Ok(file.clone()),
        None => file("identity.key")
            .map_err(|failure| failure.hint("set RESILIENT_HOME to a folder, or give --identity FILE")),
    }
}

/// The file of this name in the configuration folder.
pub(super) fn file(name: &str) -> Result<PathBuf, Failure> {
    let none = || Failure::usage("this user has no home folder").hint("set RESILIENT_HOME to a folder");
    folder().map(|folder| folder.join(name)).ok_or_else(none)
}

/// The configuration folder, if this user can have one.
pub(super) fn folder() -> Option<PathBuf> {
    folder_by(&CONFIGURATION, &|name| std::env::var_os(name), passwd)
}

/// The folder of what is remembered from one run to the next, if this user can have one: as typed, or the usual one.
pub(super) fn state(typed: Option<PathBuf>) -> Option<PathBuf> {
    typed.or_else(|| folder_by(&STATE, &|name| std::env::var_os(name), passwd))
}

fn passwd() -> Option<PathBuf> {
    std::fs::read("/etc/passwd").ok().and_then(|text| home_in(&text, rustix::process::getuid().as_raw()))
}

/// A kind of files: the variable of the base directory specification, and the folder below the home folder without it.
struct Kind(&'static str, &'static str);

const CONFIGURATION: Kind = Kind("XDG_CONFIG_HOME", ".config");
const STATE: Kind = Kind("XDG_STATE_HOME", ".local/state");

fn folder_by(
    kind: &Kind,
    variable: &dyn Fn(&str) -> Option<OsString>,
    passwd: impl FnOnce() -> Option<PathBuf>,
) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("RESILIENT_HOME") {
        return Some(folder);
    }
    // The base directory specification: a relative path is to be ignored.
    let xdg = set(kind.0).filter(|path| path.is_absolute());
    let base = xdg.or_else(|| set("HOME").or_else(passwd).map(|home| home.join(kind.1)));
    base.map(|base| base.join("resilient"))
}

/// The home folder of `uid` in the text of a passwd file.
fn home_in(passwd: &[u8], uid: u32) -> Option<PathBuf> {
    let entries = passwd.split(|byte| *byte == b'\n').map(|line| line.split(|byte| *byte == b':').collect::<Vec<_>>());
    let mut mine = entries.filter(|entry| entry.len() == 7 && entry[2] == uid.to_string().as_bytes());
    mine.next().map(|entry| Path::new(OsStr::from_bytes(entry[5])).to_owned()).filter(|home| home.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], passwd: Option<&str>) -> Option<String> {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        let path = |kind| folder_by(kind, &get, || passwd.map(PathBuf::from));
        if let (Some(configuration), Some(state)) = (path(&CONFIGURATION), path(&STATE)) {
            let apart = variables.iter().any(|(name, _)| *name == "RESILIENT_HOME");
            assert_eq!(configuration == state, apart);
        }
        path(&CONFIGURATION).map(|path| path.to_str().unwrap().to_owned())
    }

    #[test]
    fn state_is_where_the_base_directories_say() {
        let get = |name: &str| (name == "XDG_STATE_HOME").then(|| OsString::from("/s"));
        assert_eq!(folder_by(&STATE, &get, || None), Some("/s/resilient".into()));
        assert_eq!(folder_by(&STATE, &|_| None, || Some("/h".into())), Some("/h/.local/state/resilient".into()));
    }

    #[test]
    fn the_first_that_is_set_counts() {
        let all = [("RESILIENT_HOME", "/r"), ("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(found(&all, Some("/p")).as_deref(), Some("/r"));
        assert_eq!(found(&all[1..], Some("/p")).as_deref(), Some("/x/resilient"));
        assert_eq!(found(&all[2..], Some("/p")).as_deref(), Some("/h/.config/resilient"));
        assert_eq!(
            found(&[("XDG_CONFIG_HOME", "x"), ("HOME", "")], Some("/p")).as_deref(),
            Some("/p/.config/resilient")
        );
        assert_eq!(found(&[], None), None);
    }

    #[test]
    fn the_passwd_entry_is_the_one_of_the_uid() {
        let text = b"root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:10:Ann:/home/ann:/bin/sh\n";
        assert_eq!(home_in(text, 1000), Some("/home/ann".into()));
        assert_eq!(home_in(text, 0), Some("/root".into()));
        assert_eq!(home_in(text, 10), None);
    }
}
