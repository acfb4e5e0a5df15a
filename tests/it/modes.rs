//! Permissions of what arrives: those of the sender, less what the umask of the receiver takes away.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::process::{Live, Place};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A `recv` with these words, started by a shell under this umask.
fn receiver(place: &Place, umask: &str, words: &str) -> Live {
    let program = place.command(&format!("recv --listen 127.0.0.1:0 {words}"));
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("umask {umask}; exec \"$0\" \"$@\"")).arg(program.get_program());
    shell.args(program.get_args()).env_clear().env("RESILIENT_HOME", place.path("home"));
    shell.current_dir(program.get_current_dir().unwrap());
    shell.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    Live::stdout(shell)
}

fn set(place: &Place, name: &str, mode: u32) {
    std::fs::set_permissions(place.path(name), PermissionsExt::from_mode(mode)).unwrap();
}

fn mode(place: &Place, name: &str) -> u32 {
    std::fs::symlink_metadata(place.path(name)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_umask_of_the_receiver_holds_for_files_and_directories() {
    let place = Place::new();
    for name in ["source/open/file", "source/open/program", "source/closed/secret", "source/standing/x"] {
        place.write(name, name);
    }
    place.write("inbox/standing/y", "y");
    for (name, mode) in [
        ("source/open/file", 0o666),
        ("source/open/program", 0o777),
        ("source/closed/secret", 0o400),
        ("source/open", 0o777),
        ("source/closed", 0o711),
        ("source/standing", 0o700),
        ("inbox/standing", 0o777),
    ] {
        set(&place, name, mode);
    }
    // The second time everything is there already.
    for (umask, masked) in [("027", 0o027), ("027", 0o027), ("0", 0)] {
        let mut receiver = receiver(&place, umask, "inbox");
        let sent = place.run(&format!("send source/ {}", receiver.line()));
        assert_eq!((sent.code(), receiver.ended().code()), (Some(0), Some(0)), "{sent:?}");
        for (name, said) in [("open/file", 0o666), ("open/program", 0o777), ("closed/secret", 0o400)] {
            assert_eq!(mode(&place, &format!("inbox/{name}")), said & !masked, "{name} under {umask}");
        }
        // One that stands there keeps its mode, whatever the umask is now.
        assert_eq!(mode(&place, "inbox/open"), 0o750);
        assert_eq!(mode(&place, "inbox/closed"), 0o710);
        assert_eq!(mode(&place, "inbox/standing"), 0o777);
    }
}
