//! Tickets: where a receiver waits, the key it must prove, and a secret that is good for one use.
//!
//! Text form (the short one is in `short`): `resilient://KEY@10.0.0.5:27183,[fd00::5]:27183/?t=SECRET`, KEY a node id, SECRET 16 bytes in lower-case base32. The
//! text is the secret: whoever shows it (stdout, a QR code) means to. Nothing else here prints it: `Debug` leaves it out. Whether a
//! ticket is still good, and that one without a secret is refused, is the receiver's to decide.

mod short;

pub use short::SHORT_PREFIX;

use crate::node_id::{BASE32, NodeId, NodeIdError};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// What a ticket begins with.
pub const SCHEME: &str = "resilient://";
/// Most addresses in one ticket.
pub const MAX_ADDRESSES: usize = 16;
/// Longest text that is looked at: scheme, key, 16 of the longest addresses, and the secret fit well below.
pub const MAX_LEN: usize = 2048;
/// 16 bytes in base32.
const SECRET_LEN: usize = 26;

/// 128 bits that only the holder of a ticket knows. Compared in constant time, never shown by `Debug`.
#[derive(Clone)]
pub struct Secret([u8; 16]);

impl Secret {
    /// A secret of these bytes, which must be random.
    pub const fn from_bytes(bytes: [u8; 16]) -> Secret {
        Secret(bytes)
    }

    /// The bytes, as they are presented to the receiver inside the encrypted connection.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What a receiver keeps instead of the secret; equality of two such hashes is constant-time.
    pub fn hash(&self) -> blake3::Hash {
        blake3::hash(&self.0)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An invitation to connect. `Display` writes the text form, secret included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The key that the receiver must prove.
    pub key: NodeId,
    /// Where it may be reached, 1 ..= [`MAX_ADDRESSES`], in order of preference.
    pub addresses: Vec<SocketAddr>,
    /// What the receiver will ask for. A ticket without it is read; the receiver decides what it is worth.
    pub secret: Option<Secret>,
}

/// Why a text is not a ticket. Never repeats the text, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not begin with `resilient://`.
    #[error("a ticket begins with {SCHEME}")]
    Scheme,
    /// It is longer than any ticket.
    #[error("the ticket is longer than {MAX_LEN} bytes")]
    TooLong,
    /// No `@` after the key.
    #[error("the ticket has no key")]
    NoKey,
    /// The key is not a node id.
    #[error("the ticket's key is wrong")]
    Key(#[from] NodeIdError),
    /// An address that is not IP:port, or that nobody can dial.
    #[error("the ticket's address number {0} is not an IP address and port")]
    Address(usize),
    /// More addresses than allowed.
    #[error("the ticket has more than {MAX_ADDRESSES} addresses")]
    TooManyAddresses,
    /// Something other than `/` or `/?t=SECRET` follows the addresses.
    #[error("the ticket has something unknown after its addresses")]
    Trailing,
    /// The short form is mistyped.
    #[error("the short ticket is mistyped: its checksum does not fit")]
    Checksum,
    /// The short form is one of a later version.
    #[error("the short ticket is of version {0}, which this program does not know")]
    Version(u8),
    /// The secret is not 26 characters of base32.
    #[error("the ticket's secret is damaged")]
    Secret,
}

impl Ticket {
    /// A ticket with the first [`MAX_ADDRESSES`] of `addresses` that can be dialled, each once.
    pub fn new(key: NodeId, addresses: impl IntoIterator<Item = SocketAddr>, secret: Option<Secret>) -> Ticket {
        let mut kept = Vec::new();
        for address in addresses {
            if kept.len() < MAX_ADDRESSES && dialable(address) && !kept.contains(&address) {
                kept.push(address);
            }
        }
        Ticket { key, addresses: kept, secret }
    }
}

/// Whether a packet can be sent there at all.
fn dialable(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}@", self.key)?;
        for (at, address) in self.addresses.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{address}")?;
        }
        f.write_str("/")?;
        match &self.secret {
            Some(secret) => write!(f, "?t={}", BASE32.encode(&secret.0)),
            None => Ok(()),
        }
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Ticket, TicketError> {
        if text.len() > MAX_LEN {
            return Err(TicketError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(TicketError::Scheme)?;
        let (key, rest) = rest.split_once('@').ok_or(TicketError::NoKey)?;
        let key = key.parse()?;
        let (list, query) = rest.split_once('/').unwrap_or((rest, ""));
        let mut addresses = Vec::new();
        for (at, address) in list.split(',').enumerate() {
            if at == MAX_ADDRESSES {
                return Err(TicketError::TooManyAddresses);
            }
            let address = address.parse().ok().filter(|a| dialable(*a));
            addresses.push(address.ok_or(TicketError::Address(at + 1))?);
        }
        let secret = match query {
            "" => None,
            query => Some(secret(query.strip_prefix("?t=").ok_or(TicketError::Trailing)?)?),
        };
        Ok(Ticket { key, addresses, secret })
    }
}

fn secret(text: &str) -> Result<Secret, TicketError> {
    if text.len() != SECRET_LEN {
        return Err(TicketError::Secret);
    }
    let bytes = BASE32.decode(text.as_bytes()).map_err(|_| TicketError::Secret)?;
    bytes.try_into().map(Secret).map_err(|_| TicketError::Secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    fn key() -> NodeId {
        NodeId::from_bytes([7; 32])
    }

    #[test]
    fn the_text_form_is_fixed() {
        let addresses = ["10.0.0.5:27183", "[fd00::5]:27183"].map(|a| a.parse().unwrap());
        let ticket = Ticket::new(key(), addresses, Some(Secret::from_bytes([0xA5; 16])));
        let text = format!("resilient://{}@10.0.0.5:27183,[fd00::5]:27183/?t=uws2ljnfuws2ljnfuws2ljnfuu", key());
        assert_eq!(ticket.to_string(), text);
        assert_eq!(text.parse::<Ticket>(), Ok(ticket));
    }

    #[test]
    fn a_ticket_needs_no_secret() {
        for end in ["", "/"] {
            let ticket: Ticket = format!("{SCHEME}{}@10.0.0.5:1{end}", key()).parse().unwrap();
            assert_eq!(ticket.secret, None);
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        let ticket = Ticket::new(key(), [], Some(Secret::from_bytes([0xA5; 16])));
        let shown = format!("{ticket:?}");
        assert!(shown.contains("Secret(..)") && !shown.contains("165") && !shown.contains("uws2"), "{shown}");
    }

    #[test]
    fn secrets_compare_by_content() {
        assert_eq!(Secret::from_bytes([1; 16]), Secret::from_bytes([1; 16]));
        assert_ne!(Secret::from_bytes([1; 16]), Secret::from_bytes([2; 16]));
    }

    #[test]
    fn wrong_tickets_are_refused() {
        let k = key();
        let secret = "uws2ljnfuws2ljnfuws2ljnfuu";
        let many = vec!["1.2.3.4:5"; 17].join(",");
        let table = [
            ("http://x".to_owned(), TicketError::Scheme),
            (format!("{SCHEME}{}", "x".repeat(MAX_LEN)), TicketError::TooLong),
            (format!("{SCHEME}{k}"), TicketError::NoKey),
            (format!("{SCHEME}rz1abc@1.2.3.4:5"), TicketError::Key(NodeIdError::Length)),
            (format!("{SCHEME}{k}@"), TicketError::Address(1)),
            (format!("{SCHEME}{k}@1.2.3.4:5,"), TicketError::Address(2)),
            (format!("{SCHEME}{k}@host:5"), TicketError::Address(1)),
            (format!("{SCHEME}{k}@1.2.3.4"), TicketError::Address(1)),
            (format!("{SCHEME}{k}@1.2.3.4:0"), TicketError::Address(1)),
            (format!("{SCHEME}{k}@0.0.0.0:5"), TicketError::Address(1)),
            (format!("{SCHEME}{k}@1.2.3.4:5,[::]:5"), TicketError::Address(2)),
            (format!("{SCHEME}{k}@{many}"), TicketError::TooManyAddresses),
            (format!("{SCHEME}{k}@1.2.3.4:5/x"), TicketError::Trailing),
            (format!("{SCHEME}{k}@1.2.3.4:5/?x=1"), TicketError::Trailing),
            (format!("{SCHEME}{k}@1.2.3.4:5?t={secret}"), TicketError::Address(1)),
            (format!("{SCHEME}{k}@1.2.3.4:5/?t="), TicketError::Secret),
            (format!("{SCHEME}{k}@1.2.3.4:5/?t={secret}a"), TicketError::Secret),
            (format!("{SCHEME}{k}@1.2.3.4:5/?t={}v", &secret[..25]), TicketError::Secret),
            (format!("{SCHEME}{k}@1.2.3.4:5/?t={secret}&x=1"), TicketError::Secret),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Ticket>(), Err(error), "{text}");
        }
    }

    #[test]
    fn only_addresses_that_can_be_dialled_are_listed() {
        let addresses = ["0.0.0.0:5", "10.0.0.1:0", "10.0.0.1:5", "10.0.0.1:5", "224.0.0.1:5", "[::]:5"];
        let ticket = Ticket::new(key(), addresses.map(|a| a.parse().unwrap()), None);
        assert_eq!(ticket.addresses, ["10.0.0.1:5".parse().unwrap()]);
        let many = (1..=40).map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        assert_eq!(Ticket::new(key(), many, None).addresses.len(), MAX_ADDRESSES);
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        let v4 = any::<[u8; 4]>().prop_map(|b| IpAddr::V4(Ipv4Addr::from(b)));
        let v6 = any::<[u8; 16]>().prop_map(|b| IpAddr::V6(Ipv6Addr::from(b)));
        (prop_oneof![v4, v6], 1_u16..)
            .prop_map(|(ip, port)| SocketAddr::new(ip, port))
            .prop_filter("dialable", |a| dialable(*a))
    }

    proptest! {
        #[test]
        fn written_and_read_again(
            key: [u8; 32],
            addresses in proptest::collection::vec(address(), 1..=MAX_ADDRESSES),
            secret: Option<[u8; 16]>,
        ) {
            let ticket = Ticket { key: NodeId::from_bytes(key), addresses, secret: secret.map(Secret) };
            let text = ticket.to_string();
            prop_assert!(text.len() <= MAX_LEN);
            prop_assert_eq!(text.parse::<Ticket>(), Ok(ticket));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = text.parse::<Ticket>();
            let _ = format!("{SCHEME}{}@{text}", key()).parse::<Ticket>();
        }
    }
}
