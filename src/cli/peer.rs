//! Options about who the peer is and how we prove who we are, for every command that dials.
//!
//! Invariant: an option that would loosen a check never goes with one that makes it; what is in files is read here, before anything is
//! touched, so that a slip in it is a usage error. What follows for one peer is decided in [`super::contact`].

use super::connect::Outlet;
use super::exit::Failure;
use super::output::escape;
use crate::class::Class;
use crate::network::authority::Authority;
use crate::network::identity::{Identity, IdentityError};
use crate::node_id::NodeId;
use crate::pipeline::Ports;
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// More than any file with a node id has.
const KEY_FILE_LIMIT: u64 = 64 * 1024;

/// The options as typed.
#[derive(Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "Connect")]
pub(super) struct Flags {
    /// Accept only this node: its id, or a file that begins with it
    #[arg(long, value_name = "KEY|FILE", hide_short_help = true)]
    peer_key: Option<OsString>,
    /// Trust an unknown node on first use, and remember its key
    #[arg(long)]
    accept_new: bool,
    /// Encrypt without checking who answers, this time
    #[arg(long, hide_short_help = true)]
    insecure: bool,
    /// Check the peer's certificate and name by these authorities (PEM), or the system's
    #[arg(long, value_name = "FILE|system", hide_short_help = true)]
    ca: Option<OsString>,
    /// Present this certificate (PEM, with its chain) instead of this node's key
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    cert_key: Option<PathBuf>,
}

/// What is asked of a peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// It has this key.
    pub(super) peer_key: Option<NodeId>,
    /// Its key may be one that nobody knows, and is remembered then.
    pub(super) accept_new: bool,
    /// Its key may be any, and is not remembered.
    pub(super) insecure: bool,
    /// These vouch for it.
    pub(super) authority: Option<Authority>,
}

/// Where that which we prove to be lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// The file of this node's own key.
    Key(PathBuf),
    /// What an authority has issued.
    Certificate {
        /// The chain.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

impl Credentials {
    /// Reads them; makes this node's key on first use.
    pub(super) fn load(&self) -> Result<Identity, Failure> {
        match self {
            Credentials::Key(file) => Identity::load_or_create(file),
            Credentials::Certificate { certificate, key } => Identity::from_certificate(certificate, key),
        }
        .map_err(|error| {
            let class = match (&error, self) {
                // A file that was named and cannot be read is a slip of the command line, not a failing disk.
                (IdentityError::Io { .. }, Credentials::Certificate { .. }) => Class::Usage,
                _ => error.class(),
            };
            Failure::new(class, escape::without_number(&error.to_string()))
        })
    }
}

impl Flags {
    /// What they ask of the peer.
    pub(super) fn rules(&self) -> Result<Rules, Failure> {
        let contradiction = match self {
            Flags { insecure: true, accept_new: true, .. } => Some("--accept-new"),
            Flags { insecure: true, ca: Some(_), .. } => Some("--ca"),
            Flags { insecure: true, peer_key: Some(_), .. } => Some("--peer-key"),
            _ => None,
        };
        if let Some(option) = contradiction {
            return Err(Failure::usage(format!("--insecure checks nothing and {option} does: give one of them")));
        }
        Ok(Rules {
            peer_key: self.peer_key.as_deref().map(peer_key).transpose()?,
            accept_new: self.accept_new,
            insecure: self.insecure,
            authority: self.ca.as_deref().map(authority).transpose()?,
        })
    }

    /// What we prove to be: the node's own `identity` unless a certificate was given.
    pub(super) fn credentials(&self, identity: Result<PathBuf, Failure>) -> Result<Credentials, Failure> {
        match (&self.cert, &self.cert_key) {
            (None, None) => identity.map(Credentials::Key),
            (Some(certificate), Some(key)) => {
                let credentials = Credentials::Certificate { certificate: certificate.clone(), key: key.clone() };
                credentials.load().map(|_| credentials)
            }
            _ => Err(Failure::usage("--cert and --cert-key go together")),
        }
    }
}

/// An option that has a use only for one who dials, if one was typed.
pub(super) fn only_for_dialling(rules: &Rules, outlet: &Outlet) -> Result<(), &'static str> {
    let typed = [
        ("--peer-key", rules.peer_key.is_some()),
        ("--accept-new", rules.accept_new),
        ("--insecure", rules.insecure),
        ("--port", outlet.port != Ports::default()),
        ("--timeout", outlet.typed_timeout().is_some()),
    ];
    typed.into_iter().find(|(_, typed)| *typed).map_or(Ok(()), |(option, _)| Err(option))
}

/// A node id, or the one at the beginning of a file, as `key show` prints it.
fn peer_key(typed: &OsStr) -> Result<NodeId, Failure> {
    let name = escape::name(typed.as_bytes());
    let wrong = |cause: &str| Failure::usage(format!("--peer-key {name}: {cause}"));
    if let Some(text) = typed.to_str().filter(|text| looks_like_id(text)) {
        return text.parse().map_err(|error: crate::node_id::NodeIdError| wrong(&error.to_string()));
    }
    let mut text = Vec::new();
    let read = std::fs::File::open(Path::new(typed)).and_then(|file| file.take(KEY_FILE_LIMIT).read_to_end(&mut text));
    read.map_err(|error| wrong(&escape::cause(&error)))?;
    let word = text.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()).unwrap_or_default();
    let id = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
    id.ok_or_else(|| wrong("the file does not begin with a node id"))
}

/// Whether a word can only be meant as a node id.
pub(super) fn looks_like_id(word: &str) -> bool {
    word.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("rz1")) && !word.contains(['/', '.'])
}

fn authority(typed: &OsStr) -> Result<Authority, Failure> {
    let found = if typed == "system" { Authority::system() } else { Authority::from_file(Path::new(typed)) };
    found.map_err(|error| {
        let hint = error.hint();
        Failure { hint, ..Failure::new(error.class(), format!("--ca {}", escape::without_number(&error.to_string()))) }
    })
}
