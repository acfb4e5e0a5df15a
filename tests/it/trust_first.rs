//! First contact, as typed: which keys are believed, what is remembered, and what is said next when one is not.
//!
//! The other side is the real `recv`, which lets nobody in without its ticket: a sender that hears so has accepted its key. Where a
//! certificate is needed a bare [`Door`] stands there.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use resilient::network::authority::Authority;
use resilient::network::endpoint::{Congestion, listen_endpoint};
use resilient::network::gate::Gate;
use resilient::network::identity::Identity;
use resilient::network::seam::UdpSockets;
use resilient::node_id::NodeId;
use resilient::ticket::Ticket;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::{Arc, mpsc};

struct Hosts(tempfile::TempDir);

impl Hosts {
    fn new() -> Hosts {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("out"), "payload").unwrap();
        Hosts(root)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `resilient WORDS` of the sending host, as cron would run it.
    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resilient"));
        command.env_clear().env("RESILIENT_HOME", self.path("home")).current_dir(&self.0).stdin(Stdio::null());
        command.args(words.split_whitespace()).output().unwrap()
    }

    /// Runs words that must end with this status; what is on stderr.
    fn ends(&self, words: &str, status: i32) -> String {
        let output = self.run(words);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{words}: {error}");
        assert!(output.stdout.is_empty(), "{words}");
        error
    }

    /// Runs a `send` that accepts the key of a receiver, which lets it in no further; what is on stderr.
    fn believes(&self, words: &str) -> String {
        let error = self.ends(words, 41);
        let id = String::from_utf8(self.run("key show").stdout).unwrap();
        let hint = format!("\nhint: on that host run: resilient key allow {}\n", id.lines().next().unwrap());
        assert!(error.contains("resilient: send: receiver: ") && error.ends_with(&hint), "{words}: {error}");
        error
    }

    /// Runs a `send` that gets through the handshake at a [`Door`], which hangs up until its time is over.
    fn reaches(&self, words: &str, door: &Door) -> NodeId {
        let output = self.run(&format!("{words} --contimeout 1"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!([10, 35].contains(&output.status.code().unwrap()), "{words}: {error}");
        let first = door.peers.recv().unwrap();
        let rest: Vec<NodeId> = door.peers.try_iter().collect();
        *rest.last().unwrap_or(&first)
    }

    fn known(&self) -> String {
        std::fs::read_to_string(self.path("home/known_nodes")).unwrap_or_default()
    }

    fn receiver(&self) -> Receiver {
        let mut child = Command::new(env!("CARGO_BIN_EXE_resilient"))
            .args(["recv", "--json", "--listen", "127.0.0.1:0", "inbox"])
            .env_clear()
            .env("RESILIENT_HOME", self.path("receiver"))
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        let mut receiver = Receiver { child, events, ticket: String::new() };
        let ticket = receiver.until("ticket");
        receiver.ticket.push_str(ticket["uri"].as_str().unwrap());
        receiver
    }
}

struct Receiver {
    child: Child,
    events: BufReader<ChildStdout>,
    ticket: String,
}

impl Receiver {
    fn until(&mut self, name: &str) -> serde_json::Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.events.read_line(&mut line).unwrap(), 0, "no {name}");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    fn parts(&self) -> (NodeId, SocketAddr) {
        let ticket: Ticket = self.ticket.parse().unwrap();
        (ticket.key, ticket.addresses[0])
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_unknown_key_in_a_script_is_41_and_the_next_command_works() {
    let hosts = Hosts::new();
    let receiver = hosts.receiver();
    let (key, at) = receiver.parts();
    let error = hosts.ends(&format!("send out {at}"), 41);
    let next = format!("resilient key trust {key}@{at}");
    assert_eq!(error, format!("resilient: send: {at}: the key of that node is not known\nhint: {next}\n"));
    assert!(!hosts.path("home").exists(), "nothing was made or remembered");
    assert_eq!(hosts.ends(next.strip_prefix("resilient ").unwrap(), 0), "");
    hosts.believes(&format!("send out {at}"));
    hosts.believes(&format!("send out {key}"));
    assert_eq!(hosts.ends(&format!("key trust {key} base"), 0), "");
    hosts.believes("send out @base");
    assert!(!hosts.path("inbox/out").exists());
}

#[test]
fn accept_new_remembers() {
    let hosts = Hosts::new();
    let receiver = hosts.receiver();
    let (key, at) = receiver.parts();
    hosts.believes(&format!("send --accept-new out {at}"));
    let known = hosts.known();
    assert!(known.starts_with(&format!("- {key} {at} how=tofu first=")), "{known}");
    hosts.believes(&format!("send out {at}"));
    hosts.believes(&format!("send --accept-new out {at}"));
    assert_eq!(hosts.known(), known);
}

#[test]
fn a_changed_key_is_41_whatever_is_said() {
    let hosts = Hosts::new();
    let receiver = hosts.receiver();
    let (key, at) = receiver.parts();
    let old = Identity::generate().unwrap().node_id();
    hosts.ends(&format!("key trust {old}@{at} base"), 0);
    let known = hosts.known();
    for words in [
        format!("send out {at}"),
        "send out @base".into(),
        format!("send --accept-new out {at}"),
        format!("send --peer-key {key} out {at}"),
        format!("send --peer-key {key} --accept-new out @base"),
        format!("send out {key}@{at}"),
        format!("send --accept-new out {key}@{at}"),
    ] {
        let error = hosts.ends(&words, 41);
        let shown = error.contains(&old.to_string()) && error.contains(&key.to_string());
        assert!(shown && error.ends_with(&format!("resilient key forget {old}\n")), "{words}: {error}");
    }
    hosts.ends(&format!("send --insecure out {at}"), 1);
    assert_eq!(hosts.known(), known);
    assert_eq!(hosts.ends(&format!("key forget {old}"), 0), "");
    assert!(hosts.ends(&format!("send out {at}"), 41).contains("resilient key trust"));
}

#[test]
fn a_key_may_be_typed_or_lie_in_a_file() {
    let hosts = Hosts::new();
    let receiver = hosts.receiver();
    let (key, at) = receiver.parts();
    let other = Identity::generate().unwrap().node_id();
    std::fs::write(hosts.path("key"), format!("{key}\n{}\n", key.spoken())).unwrap();
    for words in [
        format!("send --peer-key {key} out {at}"),
        format!("send --peer-key key out {at}"),
        format!("send --peer-key {other} --peer-key {key} out {at}"),
        format!("send out {key}@{at}"),
    ] {
        hosts.believes(&words);
    }
    for words in [format!("send --peer-key {other} out {at}"), format!("send --accept-new out {other}@{at}")] {
        let error = hosts.ends(&words, 41);
        assert!(error.contains(&other.to_string()) && error.contains(&key.to_string()), "{words}: {error}");
    }
    assert_eq!(hosts.known(), "");
}

#[test]
fn insecure_is_loud_and_remembers_nothing() {
    let hosts = Hosts::new();
    let receiver = hosts.receiver();
    let (key, at) = receiver.parts();
    let error = hosts.believes(&format!("send --insecure out {at}"));
    let warnings: Vec<&str> = error.lines().filter(|line| line.contains("warning: NOT CHECKED")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(&key.to_string()), "{error}");
    assert_eq!(hosts.known(), "");
    for words in [format!("send --insecure out {}", receiver.ticket), format!("send --insecure out {key}@{at}")] {
        assert!(hosts.ends(&words, 1).contains("--insecure is refused"), "{words}");
    }
}

#[test]
fn a_ticket_that_worked_is_noted_of_a_known_node_only() {
    let hosts = Hosts::new();
    let (taken, mut receiver) = (UdpSocket::bind("0.0.0.0:0").unwrap(), hosts.receiver());
    let (key, at) = receiver.parts();
    let port = taken.local_addr().unwrap().port();
    assert!(hosts.ends(&format!("send --port {port} out {}", receiver.ticket), 1).contains(&format!(":{port}")));
    let last = port.saturating_add(50);
    assert_eq!(hosts.ends(&format!("send --port {port}-{last} out {}", receiver.ticket), 0), "");
    assert_eq!(hosts.known(), "");
    let peer = receiver.until("connected")["peer"].as_str().unwrap().parse::<SocketAddr>().unwrap();
    assert!((port + 1..=last).contains(&peer.port()), "{peer} is not of {port}-{last}");

    hosts.ends(&format!("key trust {key} base"), 0);
    let receiver = hosts.receiver();
    let at = if receiver.parts().1 == at { at } else { receiver.parts().1 };
    hosts.ends(&format!("send out {}", receiver.ticket), 0);
    let known = hosts.known();
    assert!(known.starts_with(&format!("base {key} {at} how=manual")) && known.contains(" last="), "{known}");
}

#[test]
fn a_damaged_list_stops_the_command_and_is_kept() {
    let hosts = Hosts::new();
    std::fs::create_dir(hosts.path("home")).unwrap();
    std::fs::write(hosts.path("home/known_nodes"), "# mine\nhello\n").unwrap();
    for words in ["send out 127.0.0.1:9", "key list", "key forget x"] {
        assert!(hosts.ends(words, 1).contains("known_nodes:2: "), "{words}");
    }
    assert_eq!(hosts.known(), "# mine\nhello\n");
}

#[test]
fn the_verbs_may_be_repeated() {
    let hosts = Hosts::new();
    let [ann, bob] = [(); 2].map(|()| Identity::generate().unwrap().node_id());
    assert_eq!(hosts.ends("key list", 0), "");
    assert_eq!(hosts.ends("key list --json", 0), "");
    let authorized = || std::fs::read_to_string(hosts.path("home/authorized_nodes")).unwrap();
    for _ in 0..2 {
        assert_eq!(hosts.ends(&format!("key trust {ann}@Ann.example:9 ann"), 0), "");
        assert_eq!(hosts.ends("key allow ann --perm relay,recv --dir in --quota 2g --expire 2030-01-31", 0), "");
        assert_eq!(hosts.ends(&format!("key allow {bob}"), 0), "");
        let dir = hosts.path("in").canonicalize().unwrap_or(hosts.path("in"));
        let line = format!("{ann} ann perms=recv,relay dir={} quota=2147483648 expire=2030-01-31\n", dir.display());
        assert_eq!(authorized(), format!("{line}{bob} - perms=recv\n"));
    }
    let list = String::from_utf8(hosts.run("key list").stdout).unwrap();
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..5], ["known", "ann", &ann.to_string(), "ann.example:9", "manual"]);
    assert_eq!(rows[1][..4], ["allowed", "ann", &ann.to_string(), "recv,relay"]);
    assert_eq!(rows[2], ["allowed", "-", &bob.to_string(), "recv"]);
    let json = String::from_utf8(hosts.run("key list --json").stdout).unwrap();
    let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines[0]["event"].as_str(), lines[0]["addresses"][0].as_str()),
        (Some("known_node"), Some("ann.example:9"))
    );
    assert_eq!((lines[1]["event"].as_str(), lines[1]["quota"].as_u64()), (Some("allowed_node"), Some(2 << 30)));
    assert_eq!((lines[1]["expire"].as_str(), lines[2]["name"].as_str()), (Some("2030-01-31"), None));

    assert!(hosts.ends(&format!("key trust {bob} ann"), 1).contains("ann"));
    for _ in 0..2 {
        assert_eq!(hosts.ends("key forget @ann", 0), "");
        assert_eq!((hosts.known(), authorized()), (String::new(), format!("{bob} - perms=recv\n")));
    }
    assert!(hosts.ends("key -v forget ann", 0).contains("neither known nor allowed"));
    assert_eq!(hosts.ends(&format!("key forget {bob}"), 0), "");
    assert!(hosts.run("key list").stdout.is_empty());
}

/// Lets peers in as far as the handshake goes, tells who they are, and hangs up.
struct Door {
    at: SocketAddr,
    peers: mpsc::Receiver<NodeId>,
}

impl Door {
    fn open(identity: Identity, authority: Option<Authority>) -> Door {
        let (tell_at, at) = mpsc::channel();
        let (tell_peer, peers) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let local = "127.0.0.1:0".parse().unwrap();
                let listener = listen_endpoint(&UdpSockets, local, None, None, &identity, authority.as_ref()).unwrap();
                tell_at.send(listener.endpoint.quic.local_addr().unwrap()).unwrap();
                let cubic = || (Arc::new(quinn::congestion::CubicConfig::default()) as Congestion, ());
                let mut gate = Gate::new(listener, cubic);
                while let Some(arrival) = gate.accept().await {
                    let _ = tell_peer.send(arrival.peer);
                    arrival.connection.close(2u32.into(), b"");
                }
            });
        });
        Door { at: at.recv().unwrap(), peers }
    }

    fn nobody_came(&self) -> bool {
        self.peers.try_recv().is_err()
    }
}

/// An authority in `FOLDER/NAME.pem`, with a certificate for 127.0.0.1 in `NAME.crt` and its key in `NAME.key`.
fn authority(folder: &Path, name: &str) -> (Authority, Identity) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let at = |ending: &str| folder.join(format!("{name}.{ending}"));
    std::fs::write(at("pem"), issuer.pem()).unwrap();
    std::fs::write(at("crt"), leaf.pem()).unwrap();
    std::fs::write(at("key"), key.serialize_pem()).unwrap();
    std::fs::set_permissions(at("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let identity = Identity::from_certificate(&at("crt"), &at("key")).unwrap();
    (Authority::from_file(&at("pem")).unwrap(), identity)
}

#[test]
fn an_authority_may_vouch_for_the_host() {
    let hosts = Hosts::new();
    let (_, identity) = authority(hosts.0.path(), "ours");
    authority(hosts.0.path(), "other");
    let id = identity.node_id();
    let door = Door::open(identity, None);
    let at = door.at;
    hosts.reaches(&format!("send --ca ours.pem out {at}"), &door);
    hosts.reaches(&format!("send --ca ours.pem --peer-key {id} out {at}"), &door);
    let named = at.to_string().replace("127.0.0.1", "localhost");
    for (words, said) in [
        (format!("send --ca other.pem out {at}"), "certificate is not accepted"),
        (format!("send -4 --ca ours.pem out {named}"), "certificate is not accepted"),
        (format!("send --ca ours.pem --peer-key {} out {at}", NodeId::from_bytes([1; 32])), "another key"),
    ] {
        let error = hosts.ends(&format!("{words} --contimeout 5"), 41);
        assert!(error.contains(said), "{words}: {error}");
    }
    assert!(door.nobody_came());
    std::fs::write(hosts.path("empty.pem"), "").unwrap();
    assert!(hosts.ends(&format!("send --ca empty.pem out {at}"), 1).contains("empty.pem"));
}

#[test]
fn an_authority_may_vouch_for_us() {
    let hosts = Hosts::new();
    let (theirs, sender) = authority(hosts.0.path(), "ours");
    let door = Door::open(Identity::generate().unwrap(), Some(theirs));
    let at = door.at;
    let words = format!("send --insecure out {at} --cert ours.crt --cert-key");
    assert_eq!(hosts.reaches(&format!("{words} ours.key"), &door), sender.node_id());
    assert!(!hosts.path("home/identity.key").exists(), "this node's own key is not needed");
    let error = hosts.ends(&format!("send --insecure out {at}"), 41);
    assert!(error.contains("does not accept our certificate") && error.contains("hint: --cert"), "{error}");
    assert!(door.nobody_came());
    authority(hosts.0.path(), "other");
    assert!(hosts.ends(&format!("{words} other.key"), 1).contains("not the one of the certificate"));
}
