//! `authorized_nodes`: who may come in, and what for.
//!
//! One node a line: `rz1KEY NAME perms=recv,relay,admin dir=PATH quota=SIZE expire=YYYY-MM-DD`. NAME is `-` for none; what follows it
//! may be missing and stands in any order. PATH is absolute, its blanks and `%` written as `%20`, `%25`; without one, the folder that
//! the receiver was given. Without `perms` a node may send to us (`recv`). The day of `expire` is the last one, in UTC. Invariant: of
//! a file with a mistake nobody is let in.

use super::file::{Entry, Lines};
use super::{Date, TrustError, check_name};
use crate::node_id::NodeId;
use crate::unit::parse_size;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// The name of the file.
pub const FILE: &str = "authorized_nodes";

/// What a node may do here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Send to this host's `recv`.
    Recv,
    /// Leave parcels with this host's relay.
    Relay,
    /// Administer this host.
    Admin,
}

impl Permission {
    /// All, in the order in which they are written.
    pub const ALL: [Permission; 3] = [Permission::Recv, Permission::Relay, Permission::Admin];

    /// The word for it in the file and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Permission::Recv => "recv",
            Permission::Relay => "relay",
            Permission::Admin => "admin",
        }
    }

    /// Reads `recv,relay,admin`, each at most once in the result, in the order of [`Permission::ALL`].
    pub fn list(text: &str) -> Result<Vec<Permission>, String> {
        let mut permissions = Vec::new();
        for word in text.split(',') {
            let known = Permission::ALL.into_iter().find(|permission| permission.word() == word);
            permissions.push(known.ok_or_else(|| format!("'{}' is none of recv, relay, admin", word.escape_debug()))?);
        }
        permissions.sort_unstable();
        permissions.dedup();
        Ok(permissions)
    }
}

/// A node that may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedNode {
    /// Its key.
    pub key: NodeId,
    /// What its user calls it.
    pub name: Option<String>,
    /// What for; not empty.
    pub permissions: Vec<Permission>,
    /// Where its files go; `None`: where the receiver was told. Absolute.
    pub dir: Option<PathBuf>,
    /// Most bytes in one transfer, with something for each entry.
    pub quota: Option<u64>,
    /// The last day (UTC).
    pub expire: Option<Date>,
}

impl AuthorizedNode {
    /// A node that may send to us, and nothing else said of it.
    pub fn new(key: NodeId) -> AuthorizedNode {
        AuthorizedNode { key, name: None, permissions: vec![Permission::Recv], dir: None, quota: None, expire: None }
    }
}

/// What a node that sends to us is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What it is called here.
    pub name: Option<String>,
    /// Where its files go; `None`: where the receiver was told. Absolute.
    pub dir: Option<PathBuf>,
    /// Most bytes in one transfer, with something for each entry.
    pub quota: Option<u64>,
}

/// The nodes of the file.
#[derive(Clone, Debug, Default)]
pub struct AuthorizedNodes(Lines<AuthorizedNode>);

impl AuthorizedNodes {
    /// Reads the file; none means that nobody may come in. So does any error.
    pub fn load(path: &Path) -> Result<AuthorizedNodes, TrustError> {
        Lines::load(path).map(AuthorizedNodes)
    }

    /// What `node` is granted when it wants to send to us on the day `today` (UTC); `None`: it may not.
    pub fn grant(&self, node: NodeId, today: Date) -> Option<Grant> {
        let listed = self.nodes().find(|listed| listed.key == node)?;
        let expired = listed.expire.is_some_and(|last| last < today);
        (listed.permissions.contains(&Permission::Recv) && !expired).then(|| Grant {
            name: listed.name.clone(),
            dir: listed.dir.clone(),
            quota: listed.quota,
        })
    }

    /// The nodes in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = &AuthorizedNode> {
        self.0.entries()
    }

    /// Puts `node` into the file at `path`, in the place of the line that its key has there.
    pub fn allow(path: &Path, node: AuthorizedNode) -> Result<(), TrustError> {
        Lines::edit(path, |lines| {
            let key = node.key;
            lines.put(node, |listed: &AuthorizedNode| listed.key == key);
            Ok(())
        })
    }

    /// Takes the nodes for which `is` holds out of the file at `path`, and gives them.
    pub fn forget(path: &Path, is: impl Fn(&AuthorizedNode) -> bool) -> Result<Vec<AuthorizedNode>, TrustError> {
        Lines::edit(path, |lines| Ok(lines.take(is)))
    }
}

impl Entry for AuthorizedNode {
    fn read(line: &str) -> Result<AuthorizedNode, String> {
        let mut words = line.split_whitespace();
        let key = words.next().unwrap_or_default().parse::<NodeId>().map_err(|error| error.to_string())?;
        let mut node = AuthorizedNode::new(key);
        node.name = match words.next() {
            None | Some("-") => None,
            Some(word) if word.contains('=') => {
                return Err(format!("a name or - is expected before '{}'", word.escape_debug()));
            }
            Some(name) => check_name(name).map(|()| Some(name.to_owned()))?,
        };
        let mut said = Vec::new();
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let told = |cause: String| format!("{name}: {cause}");
            match name {
                _ if said.contains(&name) => return Err(told("stands twice".into())),
                "perms" => node.permissions = Permission::list(value).map_err(told)?,
                "dir" => node.dir = Some(unescaped(value).map_err(told)?),
                "quota" => node.quota = Some(parse_size(value).map_err(|error| told(error.to_string()))?),
                "expire" => {
                    let date = value.parse().map_err(|_| told("a date like 2027-01-31 is expected".into()))?;
                    node.expire = Some(date);
                }
                _ => return Err(format!("'{}' is none of perms=, dir=, quota=, expire=", word.escape_debug())),
            }
            said.push(name);
        }
        Ok(node)
    }

    fn write(&self) -> String {
        let words: Vec<&str> = self.permissions.iter().map(|permission| permission.word()).collect();
        let mut line = format!("{} {} perms={}", self.key, self.name.as_deref().unwrap_or("-"), words.join(","));
        if let Some(dir) = &self.dir {
            line.push_str(" dir=");
            line.push_str(&escaped(dir));
        }
        if let Some(quota) = self.quota {
            let _ = write!(line, " quota={quota}");
        }
        if let Some(expire) = self.expire {
            let _ = write!(line, " expire={expire}");
        }
        line
    }

    fn clash(&self, other: &AuthorizedNode) -> Option<String> {
        (self.key == other.key).then(|| "this node stands in the file already".to_owned())
    }
}

/// A path without blanks: whatever a line or a reader could take wrongly is `%` and two hexadecimal digits.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter == '%' || letter.is_whitespace() || letter.is_control() {
                letter.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                    let _ = write!(text, "%{byte:02X}");
                });
            } else {
                text.push(letter);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn unescaped(text: &str) -> Result<PathBuf, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or("after % two hexadecimal digits are expected")?;
        let digits = data_encoding::HEXLOWER_PERMISSIVE.decode(digits);
        bytes.extend(digits.map_err(|_| "after % two hexadecimal digits are expected")?);
        rest = after;
    }
    if bytes.contains(&0) {
        return Err("a path has no NUL".into());
    }
    let path = PathBuf::from(OsString::from_vec(bytes));
    if path.is_absolute() { Ok(path) } else { Err("an absolute path is expected".into()) }
}

#[cfg(test)]
#[path = "authorized_tests.rs"]
mod tests;
