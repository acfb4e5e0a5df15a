//! The program as a process: a folder of its own, an empty environment, streams that are kept. What the tests of whole runs share.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// A place to run in.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The program with these words, ready to run: no environment but a home of its own.
    pub(crate) fn command(&self, words: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("resilient"));
        command.args(words.split_whitespace()).env_clear().env("RESILIENT_HOME", self.path("home"));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &str) -> Ended {
        Ended::of(self.command(words).output().unwrap())
    }

    /// Starts a receiver on a free port of this host and waits for its ticket.
    pub(crate) fn receiver(&self, words: &str) -> Receiver {
        let mut child = self.command(&format!("recv --listen 127.0.0.1:0 {words}")).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ticket = String::new();
        stdout.read_line(&mut ticket).unwrap();
        assert!(ticket.starts_with("resilient://"), "{ticket}: {:?}", child.wait_with_output());
        Receiver { child, ticket: ticket.trim().to_owned() }
    }
}

/// A receiver that waits.
pub(crate) struct Receiver {
    pub(crate) child: Child,
    pub(crate) ticket: String,
}

impl Receiver {
    /// Waits for its end.
    pub(crate) fn ended(self) -> Ended {
        Ended::of(self.child.wait_with_output().unwrap())
    }

    /// Ends it without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn of(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ended { status: output.status, out: text(output.stdout), err: text(output.stderr) }
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// A ticket that nobody answers to.
pub(crate) fn dead_ticket() -> String {
    use resilient::network::identity::Identity;
    use resilient::ticket::{Secret, Ticket};
    let key = Identity::generate().unwrap().node_id();
    Ticket::new(key, ["127.0.0.1:9".parse().unwrap()], Some(Secret::from_bytes([7; 16]))).to_string()
}
