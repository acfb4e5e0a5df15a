//! The program as a process: a folder of its own, an empty environment, streams that are kept. What the tests of whole runs share.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Lines, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// A place to run in.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        // The program obeys no file that a group may write to.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
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

    /// The program on another host: with a home of that name.
    pub(crate) fn on(&self, host: &str, words: &str) -> Command {
        let mut command = self.command(words);
        command.env("RESILIENT_HOME", self.path(host));
        command
    }

    /// Runs it there to its end.
    pub(crate) fn run_on(&self, host: &str, words: &str) -> Ended {
        Ended::of(self.on(host, words).output().unwrap())
    }

    /// The node id of a host.
    pub(crate) fn id(&self, host: &str) -> String {
        self.run_on(host, "key show").out.lines().next().unwrap().to_owned()
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
    pub(crate) fn of(output: Output) -> Ended {
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

/// A run that goes on, told by the lines of one of its streams. Dropped in a test that fails, it ends.
pub(crate) struct Live {
    pub(crate) child: Child,
    lines: Lines<BufReader<Box<dyn Read + Send>>>,
}

impl Live {
    /// Starts it and listens to its stdout.
    pub(crate) fn stdout(mut command: Command) -> Live {
        let mut child = command.spawn().unwrap();
        let stream: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        Live { child, lines: BufReader::new(stream).lines() }
    }

    /// Starts it and listens to its stderr; stdout is for whoever takes it.
    pub(crate) fn stderr(mut command: Command) -> Live {
        let mut child = command.spawn().unwrap();
        let stream: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        Live { child, lines: BufReader::new(stream).lines() }
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("one more line").unwrap()
    }

    /// Reads events up to the next `name`.
    pub(crate) fn event(&mut self, name: &str) -> serde_json::Value {
        let mut events = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        events.find(|event: &serde_json::Value| event["event"] == name).unwrap_or_else(|| panic!("no event {name}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; what was not read of the stream and of the other one.
    pub(crate) fn ended(mut self) -> Ended {
        drop(self.child.stdin.take());
        let rest: String = self.lines.by_ref().map(|line| line.unwrap() + "\n").collect();
        let mut other = String::new();
        if let Some(mut stream) = self.child.stderr.take() {
            stream.read_to_string(&mut other).unwrap();
            return Ended { status: self.child.wait().unwrap(), out: rest, err: other };
        }
        if let Some(mut stream) = self.child.stdout.take() {
            stream.read_to_string(&mut other).unwrap();
        }
        Ended { status: self.child.wait().unwrap(), out: other, err: rest }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes that do not compress, from a seed: splitmix64.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)).to_le_bytes()
    });
    words.flatten().take(length).collect()
}
