//! The program against itself over loopback, as a user would type it: what arrives, who is let in, what is printed, and the status.
//!
//! Every test has folders of its own and ports that the system chooses, so they run side by side. Nothing waits for time to pass:
//! what has to happen first is read from the receiver's events. Loss, outages and long paths are left to `transfers`, in virtual time.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use assert_cmd::Command;
use resilient::network::identity::Identity;
use resilient::ticket::{Secret, Ticket};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, Lines};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, ExitStatus, Output, Stdio};
use std::time::{Duration, UNIX_EPOCH};

const BINARY: &str = env!("CARGO_BIN_EXE_resilient");

/// Two hosts on one machine: what is sent lies in `out`, what arrives in `inbox`.
struct Hosts {
    root: tempfile::TempDir,
}

impl Hosts {
    fn new() -> Hosts {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("out")).unwrap();
        Hosts { root }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file to send.
    fn add(&self, name: impl AsRef<Path>, content: &[u8]) {
        let path = self.path("out").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A command of the host `home`.
    fn command(&self, home: &str) -> std::process::Command {
        let mut command = std::process::Command::new(BINARY);
        command.env_clear().env("RESILIENT_HOME", self.path(home)).current_dir(&self.root).stdin(Stdio::null());
        command
    }

    /// Starts `recv --json OPTIONS inbox` and waits for its ticket.
    fn recv(&self, options: &str) -> Running {
        let mut command = self.command("receiver");
        command.args(["recv", "--json", "--listen", "127.0.0.1:0"]).args(options.split_whitespace()).arg("inbox");
        let mut receiver = Running::start(&mut command);
        let ticket = receiver.until("ticket");
        receiver.ticket.push_str(ticket["uri"].as_str().unwrap());
        receiver
    }

    /// Runs `send PATH TICKET` of the host `home`.
    fn send(&self, home: &str, path: &str, ticket: &str) -> Output {
        Command::from_std(self.command(home)).args(["send", "--stats", path, ticket]).output().unwrap()
    }

    /// Starts `send --json PATH TICKET`.
    fn start(&self, path: &str, ticket: &str) -> Running {
        Running::start(self.command("sender").args(["send", "--json", path, ticket]))
    }

    /// Expects that `send out TICKET` of the host `home` is not let in, and that the receiver has nothing of it.
    fn refused(&self, home: &str, ticket: &str, said: &str) {
        let output = self.send(home, "out", ticket);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(41), "{error}");
        assert!(output.stdout.is_empty());
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].starts_with("resilient: send: ") && lines[0].contains(said), "{error}");
        assert!(lines.len() == 1 || (lines.len() == 2 && lines[1].starts_with("hint: ")), "{error}");
        assert!(std::fs::read_dir(self.path("inbox")).map_or(0, Iterator::count) == 0, "something was written");
    }
}

/// A running `recv` or `send`, told by its events. Dropped in a test that fails, it ends.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    ticket: String,
}

impl Running {
    fn start(command: &mut std::process::Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Running { child, lines, ticket: String::new() }
    }

    /// Reads its events up to the next `name`.
    fn until(&mut self, name: &str) -> Value {
        let mut events = self.lines.by_ref().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        events.find(|event| event["event"] == name).unwrap_or_else(|| panic!("no event {name}"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: the rest of its events, what it wrote on stderr, its status.
    fn finish(mut self) -> (Vec<Value>, String, ExitStatus) {
        let events = self.lines.by_ref().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
        let mut error = String::new();
        std::io::Read::read_to_string(self.child.stderr.as_mut().unwrap(), &mut error).unwrap();
        (events, error, self.child.wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Bytes that do not compress, from a seed: splitmix64.
fn noise(seed: u64, length: usize) -> Vec<u8> {
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

/// A line of the table of `--stats`.
fn stat(output: &Output, name: &str) -> u64 {
    let table = text(&output.stderr);
    let row = table.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {table}"));
    row.trim().parse().unwrap()
}

/// What must arrive of an entry: type and mode, time of change to the nanosecond (not of links), content or target.
type Tree = BTreeMap<PathBuf, (u32, Option<(i64, i64)>, Vec<u8>)>;

/// Everything below `root`.
fn snapshot(root: &Path) -> Tree {
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter().map(Result::unwrap);
    let seen = entries.map(|entry| {
        let about = entry.metadata().unwrap();
        let content = match about.file_type() {
            kind if kind.is_file() => std::fs::read(entry.path()).unwrap(),
            kind if kind.is_symlink() => std::fs::read_link(entry.path()).unwrap().into_os_string().as_bytes().to_vec(),
            _ => Vec::new(),
        };
        let changed = (!about.is_symlink()).then(|| (about.mtime(), about.mtime_nsec()));
        (entry.path().strip_prefix(root).unwrap().to_path_buf(), (about.mode(), changed, content))
    });
    seen.collect()
}

/// Events are lines of version 1, one `end` is the last, and it says `exit`.
fn well_formed(events: &[Value], exit: i64) {
    assert!(events.iter().all(|event| event["v"] == 1 && event["t"].as_str().unwrap().ends_with('Z')));
    assert_eq!(events.iter().filter(|event| event["event"] == "end").count(), 1);
    let last = events.last().unwrap();
    assert_eq!((last["event"].as_str(), last["exit"].as_i64()), (Some("end"), Some(exit)), "{last}");
}

#[test]
fn a_tree_arrives_as_it_is() {
    let hosts = Hosts::new();
    let old = UNIX_EPOCH - Duration::new(86_400, 1);
    let sizes = [0, 1, 1153, 1154, 1155, 49_151, 49_152, 49_153, 57_699, 57_700, 57_701, 131_071, 131_072, 131_073];
    for size in sizes {
        hosts.add(format!("sizes/noise {size}"), &noise(size as u64, size));
        hosts.add(format!("sizes/zeros {size}"), &vec![0; size]);
    }
    let long = vec![b'x'; 255];
    let names: [&[u8]; 8] =
        [b" it's \"$(so)\"", b"-n", b"--help", b"a\\b", b"\xff\xfe", "é\u{301}".as_bytes(), b"...", &long];
    for name in names {
        hosts.add(Path::new("names").join(OsStr::from_bytes(name)), name);
    }
    hosts.add(["deep"; 60].iter().collect::<PathBuf>().join("file"), b"deep");
    hosts.add("closed/file", b"closed");
    let out = hosts.path("out");
    std::fs::create_dir_all(out.join("empty/inside")).unwrap();
    symlink("sizes/noise 1", out.join("link")).unwrap();
    symlink("nowhere", out.join("names/dangling")).unwrap();
    for (name, mode) in [("sizes/noise 1", 0o600), ("names/-n", 0o755), ("sizes/zeros 1", 0o400), ("closed", 0o500)] {
        std::fs::set_permissions(out.join(name), Permissions::from_mode(mode)).unwrap();
    }
    for name in ["sizes/noise 0", "empty/inside", "empty"] {
        File::open(out.join(name)).unwrap().set_modified(old).unwrap();
    }

    let receiver = hosts.recv("");
    let sent = Command::from_std(hosts.command("sender")).args(["send", "out", &receiver.ticket]).output().unwrap();
    assert_eq!((sent.status.code(), text(&sent.stdout), text(&sent.stderr)), (Some(0), String::new(), String::new()));
    let (events, error, status) = receiver.finish();
    assert_eq!((status.code(), error.as_str()), (Some(0), ""));
    well_formed(&events, 0);
    let paths: Vec<&Value> =
        events.iter().filter(|event| event["event"] == "file").map(|event| &event["path"]).collect();
    assert!(paths.contains(&&serde_json::json!({"bytes": "b3V0L25hbWVzL//+"})), "{paths:?}");
    let expected = snapshot(&out);
    assert_eq!(expected.len(), sizes.len() * 2 + names.len() + 61 + 8, "what the test meant to send");
    assert_eq!(snapshot(&hosts.path("inbox/out")), expected);
    assert_eq!(std::fs::read_dir(hosts.path("inbox")).unwrap().count(), 1, "no unfinished files are left");

    // The same again: nothing to do.
    let receiver = hosts.recv("");
    let again = hosts.send("sender", "out", &receiver.ticket);
    assert_eq!((again.status.code(), stat(&again, "file bytes written")), (Some(0), 0));
    let (events, ..) = receiver.finish();
    let total: usize = sizes.iter().sum::<usize>() * 2;
    assert!(events.last().unwrap()["bytes_matched"].as_u64().unwrap() > total as u64);
    let sent = stat(&again, "UDP bytes sent");
    assert!(sent < total as u64 / 2, "{sent} bytes sent for {total} that were there");

    // One file differs and one is gone: the one is kept and said, the other comes.
    let (differs, gone) = (hosts.path("inbox/out/sizes/noise 131072"), hosts.path("inbox/out/sizes/zeros 131072"));
    std::fs::write(&differs, b"precious").unwrap();
    std::fs::remove_file(&gone).unwrap();
    let receiver = hosts.recv("");
    let third = hosts.send("sender", "out", &receiver.ticket);
    let said = "out/sizes/noise 131072: exists already and is different; not overwritten";
    let relayed = "out/sizes/noise 131072: receiver: exists already and is different; not overwritten";
    assert!(third.status.code() == Some(23) && text(&third.stderr).contains(relayed), "{}", text(&third.stderr));
    let (events, error, status) = receiver.finish();
    assert!(status.code() == Some(23) && error.contains(said), "{error}");
    well_formed(&events, 23);
    assert_eq!(
        (std::fs::read(&differs).unwrap(), std::fs::read(&gone).unwrap()),
        (b"precious".to_vec(), vec![0; 131_072])
    );
    for closed in [out.join("closed"), hosts.path("inbox/out/closed")] {
        // So that the temporary folder can be taken away.
        std::fs::set_permissions(closed, Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn only_the_ticket_lets_a_sender_in() {
    let hosts = Hosts::new();
    hosts.add("file", b"hello");
    let receiver = hosts.recv("");
    let ticket: Ticket = receiver.ticket.parse().unwrap();
    let stranger = Identity::generate().unwrap().node_id();
    let wrong_key = Ticket::new(stranger, ticket.addresses.iter().copied(), ticket.secret.clone());
    let wrong_secret = Ticket::new(ticket.key, ticket.addresses.iter().copied(), Some(Secret::from_bytes([7; 16])));
    let none = Ticket::new(ticket.key, ticket.addresses.iter().copied(), None);
    hosts.refused("sender", &wrong_key.to_string(), &format!("expected {stranger}"));
    hosts.refused("sender", &wrong_secret.to_string(), "not one of those given out here");
    hosts.refused("sender", &none.to_string(), "has shown neither");
    hosts.refused("sender", &ticket.addresses[0].to_string(), "the key of that node is not known");
    // None of that spends the ticket.
    assert!(hosts.send("sender", "out", &receiver.ticket).status.success());
    let (_, error, status) = receiver.finish();
    assert!(status.success() && error.lines().count() == 2, "one line for each that was refused: {error}");
    assert_eq!(snapshot(&hosts.path("inbox/out")), snapshot(&hosts.path("out")));
}

#[test]
fn a_ticket_ends() {
    let hosts = Hosts::new();
    hosts.add("file", b"hello");
    let mut receiver = hosts.recv("--ticket-life 1ms");
    let warning = receiver.until("warning");
    assert!(warning["message"].as_str().unwrap().contains("expired"), "{warning}");
    hosts.refused("sender", &receiver.ticket, "expired");
}

#[test]
fn a_ticket_serves_the_first_key_only() {
    let hosts = Hosts::new();
    hosts.add("big", &noise(1, 32 << 20));
    hosts.add("other", b"x");
    let mut receiver = hosts.recv("");
    let first = hosts.start("out/big", &receiver.ticket);
    receiver.until("connected");
    // The first is held while another host tries its ticket.
    first.signal(Signal::STOP);
    let second = hosts.send("thief", "out/other", &receiver.ticket);
    first.signal(Signal::CONT);
    let error = text(&second.stderr);
    assert!(second.status.code() == Some(41) && error.contains("used by another node"), "{error}");
    assert!(first.finish().2.success());
    assert!(receiver.finish().2.success());
    assert!(snapshot(&hosts.path("inbox")).keys().eq([Path::new("big")]));
    assert_eq!(std::fs::read(hosts.path("inbox/big")).unwrap(), std::fs::read(hosts.path("out/big")).unwrap());
}

#[test]
fn compression_pays_or_costs_next_to_nothing() {
    let line = b"2026-11-22 12:00:00 INFO service started, all systems nominal\n";
    for (content, most) in [(line.repeat(160_000), 0.04), (noise(3, 3_000_000), 1.001)] {
        let hosts = Hosts::new();
        hosts.add("file", &content);
        let receiver = hosts.recv("");
        let output = hosts.send("sender", "out/file", &receiver.ticket);
        assert!(output.status.success() && receiver.finish().2.success());
        assert!(std::fs::read(hosts.path("inbox/file")).unwrap() == content);
        let share = stat(&output, "file bytes after compression") as f64 / content.len() as f64;
        assert!(share < most, "{share} of the size, at most {most} expected");
    }
}

#[test]
fn a_signal_in_a_transfer_ends_both_sides_tidily() {
    let hosts = Hosts::new();
    hosts.add("big", &noise(2, 32 << 20));
    for (signal, exit, of_sender) in [(Signal::INT, 130, true), (Signal::TERM, 143, false)] {
        let mut receiver = hosts.recv("--retry-for 1 --no-session");
        let mut sender = hosts.start("out/big", &receiver.ticket);
        receiver.until("connected");
        sender.until("connected");
        if of_sender { &sender } else { &receiver }.signal(signal);
        let ((sent, _, sender), (received, _, receiver)) = (sender.finish(), receiver.finish());
        let (by_signal, other) = if of_sender { (sender, receiver) } else { (receiver, sender) };
        assert_eq!((by_signal.signal(), other.code()), (Some(signal.as_raw()), Some(10)));
        well_formed(&sent, if of_sender { exit } else { 10 });
        well_formed(&received, if of_sender { 10 } else { exit });
        assert!(snapshot(&hosts.path("inbox")).is_empty(), "an unfinished file is left");
    }
}

#[test]
fn what_cannot_be_read_or_written_is_said() {
    let hosts = Hosts::new();
    hosts.add("file", b"content");
    hosts.add("control\nin it", b"");
    let receiver = hosts.recv("");
    let output = hosts.send("sender", "out/missing", &receiver.ticket);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "resilient: send: out/missing: no such file or directory\n");
    // The receiver never heard of that, and the ticket still serves.
    let output = hosts.send("sender", "out", &receiver.ticket);
    assert_eq!(output.status.code(), Some(23));
    assert!(text(&output.stderr).starts_with("resilient: send: out/control\\#012in it: name has a control character"));
    assert_eq!(receiver.finish().2.code(), Some(23));
    assert!(snapshot(&hosts.path("inbox/out")).keys().eq([Path::new("file")]));

    for (place, status) in [("inbox/out/file", 3), ("no/such/place", 3)] {
        let mut command = Command::from_std(hosts.command("receiver"));
        let output = command.args(["recv", "--listen", "127.0.0.1:0", place]).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(status), String::new()));
        assert!(text(&output.stderr).starts_with(&format!("resilient: recv: {place}: ")));
    }
    let mut command = hosts.command("receiver");
    let child = command.args(["recv", "--listen", "127.0.0.1:0", "inbox"]).stdout(File::create("/dev/full").unwrap());
    let output = child.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(11), "a ticket that nobody can read is no ticket");
    assert!(text(&output.stderr).contains("ticket could not be printed"));
}

#[test]
fn the_ticket_stands_alone_on_the_first_line() {
    let hosts = Hosts::new();
    hosts.add("file", b"content");
    for option in ["-q", "-vv"] {
        let mut command = hosts.command("receiver");
        command.args(["recv", option, "--listen", "127.0.0.1:0", "inbox"]).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ticket = lines.next().unwrap().unwrap();
        std::fs::write(hosts.path("ticket"), format!("{ticket}\n")).unwrap();
        let mut command = Command::from_std(hosts.command("sender"));
        let output = command.args(["send", option, "--ticket-file", "ticket", "out"]).output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty());
        assert!(lines.next().is_none() && child.wait_with_output().unwrap().status.success());
        assert_eq!(output.stderr.is_empty(), option == "-q", "{}", text(&output.stderr));
    }
}
