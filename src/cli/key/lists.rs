//! The verbs of `key` that are about other nodes: `list`, `trust`, `allow`, `forget`.
//!
//! Invariant: each may be repeated and says nothing when it has done what was asked, whether or not something was left to do. `list` has
//! a line for each node, in columns or as JSON; nothing for nobody.

use super::{Args, Global, write_to};
use crate::cli::contact::today;
use crate::cli::exit::Failure;
use crate::cli::home;
use crate::cli::output::{self, escape};
use crate::cli::peer::looks_like_id;
use crate::event::EventPath;
use crate::node_id::NodeId;
use crate::trust::authorized::{self, AuthorizedNode, AuthorizedNodes, Permission};
use crate::trust::known::{self, Address, How, KnownNode, KnownNodes};
use crate::trust::{Date, TrustError};
use crate::unit::{Size, parse_size};
use serde::Serialize;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(super) struct Trust {
    /// Its id, or rz1…@HOST:PORT to remember where it is, too
    #[arg(value_name = "NODE", value_parser = node)]
    node: (NodeId, Option<Address>),
    /// What to call it: `send` then takes @NAME
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Allow {
    /// Its id, or the name of a known node
    #[arg(value_name = "NODE")]
    node: String,
    /// What for: recv, relay, admin
    #[arg(long, value_name = "LIST", default_value = "recv", value_parser = permissions)]
    perm: Permissions,
    /// Where its files go [default: where recv was told]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Most bytes of one transfer
    #[arg(long, value_name = "SIZE", value_parser = size)]
    quota: Option<u64>,
    /// The last day on which it is let in (UTC)
    #[arg(long, value_name = "DATE", value_parser = date)]
    expire: Option<Date>,
}

#[derive(Args, Debug)]
pub(super) struct Forget {
    /// Its id or name
    #[arg(value_name = "NODE")]
    node: String,
}

/// In a type of its own: clap takes a bare vector for repeated words.
#[derive(Clone, Debug)]
struct Permissions(Vec<Permission>);

fn permissions(text: &str) -> Result<Permissions, String> {
    Permission::list(text).map(Permissions)
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).map_err(|error| error.to_string())
}

fn date(text: &str) -> Result<Date, String> {
    text.parse().map_err(|_| "a date like 2027-01-31 is expected".to_owned())
}

/// Reads `rz1…` or `rz1…@HOST:PORT`.
fn node(text: &str) -> Result<(NodeId, Option<Address>), String> {
    let (id, address) = match text.split_once('@') {
        Some((id, address)) => (id, Some(address.parse()?)),
        None => (text, None),
    };
    Ok((id.parse().map_err(|error: crate::node_id::NodeIdError| error.to_string())?, address))
}

fn failure(error: TrustError) -> Failure {
    Failure::new(error.class(), escape::without_number(&error.to_string()))
}

/// Remembers whom we dial.
pub(super) fn trust(words: &Trust) -> Result<(), Failure> {
    let path = home::file(known::FILE)?;
    let (key, address) = words.node.clone();
    let trusted = KnownNodes::trust(&path, key, words.name.as_deref(), address, How::Manual, today());
    trusted.map_err(|error| match error {
        TrustError::Conflict(_) => failure(error).hint("resilient key forget NODE, if that one is gone"),
        error => failure(error),
    })
}

/// Lets a node in. The line of a node that was let in before is written anew.
pub(super) fn allow(words: &Allow) -> Result<(), Failure> {
    let nodes = KnownNodes::load(&home::file(known::FILE)?).map_err(failure)?;
    let (key, name) = if looks_like_id(&words.node) {
        let (key, _) = node(&words.node).map_err(|cause| Failure::usage(format!("{}: {cause}", words.node)))?;
        (key, nodes.by_key(key).and_then(|node| node.name.clone()))
    } else {
        let found = nodes.by_name(bare(&words.node));
        let found = found.ok_or_else(|| Failure::usage(format!("{}: no known node has that name", words.node)))?;
        (found.key, found.name.clone())
    };
    let dir = words.dir.as_ref().map(|dir| {
        let absolute = std::path::absolute(dir);
        absolute.map_err(|error| Failure::usage(format!("--dir {}: {}", dir.display(), escape::cause(&error))))
    });
    let allowed = AuthorizedNode {
        key,
        name,
        permissions: words.perm.0.clone(),
        dir: dir.transpose()?,
        quota: words.quota,
        expire: words.expire,
    };
    AuthorizedNodes::allow(&home::file(authorized::FILE)?, allowed).map_err(failure)
}

/// A name without the `@` that it has as a location.
fn bare(name: &str) -> &str {
    name.strip_prefix('@').unwrap_or(name)
}

/// Takes a node out of both files.
pub(super) fn forget(words: &Forget, global: &Global) -> Result<(), Failure> {
    let (known, authorized) = (home::file(known::FILE)?, home::file(authorized::FILE)?);
    // Both are understood before either is changed.
    let nodes = KnownNodes::load(&known).map_err(failure)?;
    let allowed = AuthorizedNodes::load(&authorized).map_err(failure)?;
    let (key, name) = if looks_like_id(&words.node) {
        let (key, _) = node(&words.node).map_err(|cause| Failure::usage(format!("{}: {cause}", words.node)))?;
        (Some(key), None)
    } else {
        let name = bare(&words.node);
        (nodes.by_name(name).map(|node| node.key), Some(name))
    };
    let is_known = |node: &KnownNode| Some(node.key) == key;
    let is_allowed = |node: &AuthorizedNode| Some(node.key) == key || (name.is_some() && node.name.as_deref() == name);
    let mut forgotten = 0;
    if nodes.nodes().any(is_known) {
        forgotten += KnownNodes::forget(&known, is_known).map_err(failure)?.len();
    }
    if allowed.nodes().any(is_allowed) {
        forgotten += AuthorizedNodes::forget(&authorized, is_allowed).map_err(failure)?.len();
    }
    if forgotten == 0 && global.verbose > 0 && !global.quiet {
        let line = format!("{}: neither known nor allowed\n", escape::name(words.node.as_bytes()));
        // Whoever closed stderr does not want to know.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
    Ok(())
}

#[derive(Serialize)]
struct KnownLine {
    v: u8,
    t: String,
    event: &'static str,
    node_id: String,
    name: Option<String>,
    addresses: Vec<String>,
    how: &'static str,
    first: Option<String>,
    last: Option<String>,
}

#[derive(Serialize)]
struct AllowedLine {
    v: u8,
    t: String,
    event: &'static str,
    node_id: String,
    name: Option<String>,
    permissions: Vec<&'static str>,
    dir: Option<EventPath>,
    quota: Option<u64>,
    expire: Option<String>,
}

/// Prints both files.
pub(super) fn list(global: &Global) -> Result<(), Failure> {
    let known = KnownNodes::load(&home::file(known::FILE)?).map_err(failure)?;
    let allowed = AuthorizedNodes::load(&home::file(authorized::FILE)?).map_err(failure)?;
    match &global.json {
        None => write_to(None, &columns(&known, &allowed)),
        Some(to) => write_to((to.as_os_str() != "-").then_some(to), &lines(&known, &allowed)),
    }
}

fn columns(known: &KnownNodes, allowed: &AuthorizedNodes) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".into());
    for node in known.nodes() {
        let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
        let mut rest =
            vec![if addresses.is_empty() { "-".into() } else { addresses.join(",") }, node.how.word().into()];
        rest.extend(node.first.map(|day| format!("first {day}")));
        rest.extend(node.last.map(|day| format!("last {day}")));
        rows.push(["known".into(), name(&node.name), node.key.to_string(), rest.join("  ")]);
    }
    for node in allowed.nodes() {
        let permissions: Vec<&str> = node.permissions.iter().map(|permission| permission.word()).collect();
        let mut rest = vec![permissions.join(",")];
        rest.extend(node.dir.as_ref().map(|dir| format!("into {}", escape::name(dir.as_os_str().as_bytes()))));
        rest.extend(node.quota.map(|quota| format!("up to {}", Size(quota))));
        rest.extend(node.expire.map(|day| format!("until {day}")));
        rows.push(["allowed".into(), name(&node.name), node.key.to_string(), rest.join("  ")]);
    }
    let width = rows.iter().map(|row| row[1].chars().count()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut text, [list, name, key, rest]| {
        let _ = writeln!(text, "{list:<7}  {name:<width$}  {key}  {rest}");
        text
    })
}

fn lines(known: &KnownNodes, allowed: &AuthorizedNodes) -> String {
    let t = output::Clock::system().stamp();
    let json = |line: Result<String, serde_json::Error>| line.expect("strings and numbers always make JSON") + "\n";
    let known = known.nodes().map(|node| {
        json(serde_json::to_string(&KnownLine {
            v: 1,
            t: t.clone(),
            event: "known_node",
            node_id: node.key.to_string(),
            name: node.name.clone(),
            addresses: node.addresses.iter().map(ToString::to_string).collect(),
            how: node.how.word(),
            first: node.first.map(|day| day.to_string()),
            last: node.last.map(|day| day.to_string()),
        }))
    });
    let allowed = allowed.nodes().map(|node| {
        json(serde_json::to_string(&AllowedLine {
            v: 1,
            t: t.clone(),
            event: "allowed_node",
            node_id: node.key.to_string(),
            name: node.name.clone(),
            permissions: node.permissions.iter().map(|permission| permission.word()).collect(),
            dir: node.dir.clone().map(|dir| EventPath(OsString::from(dir).into_vec())),
            quota: node.quota,
            expire: node.expire.map(|day| day.to_string()),
        }))
    });
    known.chain(allowed).collect()
}
