//! From a host's name to its addresses, as the system resolves names.
//!
//! Invariant: an address written as one is never looked up; a resolver that says "try again" (a lossy network loses its packets, too) is
//! asked again until the deadline, one that says that there is no such name is believed at once. Which of the addresses may be used is
//! the caller's to say.

use crate::class::Class;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// How the C libraries (glibc, musl, BSD) say that a name has no address and will not have one soon; they give no code that could be
/// seen through the standard library.
const FINAL: [&str; 6] = [
    "not known",
    "no address associated",
    "does not resolve",
    "name has no usable",
    "nodename nor servname",
    "no such host",
];

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// There is no such name, or nothing for it.
    #[error("{host}: no such host")]
    Unknown {
        /// As typed.
        host: String,
    },
    /// Nobody could tell in time.
    #[error("{host}: the name could not be resolved within {} s{}", after.as_secs(), cause.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Later {
        /// As typed.
        host: String,
        /// The deadline.
        after: Duration,
        /// What the resolver said, if it said anything.
        cause: Option<io::Error>,
    },
}

impl ResolveError {
    /// The class of the run that fails for this.
    pub fn class(&self) -> Class {
        match self {
            ResolveError::Unknown { .. } => Class::Usage,
            ResolveError::Later { .. } => Class::NoContact,
        }
    }
}

/// The addresses of `host` (a name, or an address without brackets) with `port`, in the system's order; at least one.
pub async fn resolve(host: &str, port: u16, deadline: Duration) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let until = Instant::now() + deadline;
    let mut cause = None;
    loop {
        match timeout_at(until, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(found)) => {
                let found: Vec<SocketAddr> = found.collect();
                return if found.is_empty() { Err(ResolveError::Unknown { host: host.into() }) } else { Ok(found) };
            }
            Ok(Err(error)) if is_final(&error) => return Err(ResolveError::Unknown { host: host.into() }),
            Ok(Err(error)) => cause = Some(error),
            Err(_) => return Err(ResolveError::Later { host: host.into(), after: deadline, cause }),
        }
        if until.saturating_duration_since(Instant::now()) < PAUSE {
            return Err(ResolveError::Later { host: host.into(), after: deadline, cause });
        }
        sleep(PAUSE).await;
    }
}

fn is_final(error: &io::Error) -> bool {
    let said = error.to_string().to_ascii_lowercase();
    error.kind() == io::ErrorKind::InvalidInput || FINAL.iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        for (host, address) in [("10.0.0.5", "10.0.0.5:9"), ("fd00::5", "[fd00::5]:9")] {
            assert_eq!(resolve(host, 9, Duration::ZERO).await.unwrap(), [address.parse().unwrap()]);
        }
    }

    #[test]
    fn what_passes_and_what_does_not() {
        let failed = |words: &str| io::Error::other(format!("failed to lookup address information: {words}"));
        for words in ["Name or service not known", "No address associated with hostname", "Name does not resolve"] {
            assert!(is_final(&failed(words)), "{words}");
        }
        for words in ["Temporary failure in name resolution", "Try again", "Non-recoverable failure in name resolution"]
        {
            assert!(!is_final(&failed(words)), "{words}");
        }
        let classes = [
            ResolveError::Unknown { host: "h".into() },
            ResolveError::Later { host: "h".into(), after: Duration::ZERO, cause: None },
        ];
        assert_eq!(classes.map(|error| error.class().code()), [1, 35]);
    }
}
