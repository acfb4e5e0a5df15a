//! The short form of a ticket, `rsl1…`: to be read over a phone, or typed from paper.
//!
//! Bech32m (BIP 350) with the prefix `rsl` over these bytes, integers big endian:
//!
//! ```text
//! 1 | key 32 B | (4 | IPv4 4 B | port u16) or (6 | IPv6 16 B | port u16), 1 to 16 times | 0 | secret 16 B, or nothing
//! ```
//!
//! Upper and lower case mean the same, not both in one. The checksum finds any slip of the tongue; beyond 90 characters it promises a
//! little less than BIP 350 proves, so what is read is checked as strictly as the long form.

use super::{MAX_ADDRESSES, Secret, Ticket, TicketError, dialable};
use crate::node_id::NodeId;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use std::net::{IpAddr, SocketAddr};

/// What a short ticket begins with.
pub const SHORT_PREFIX: &str = "rsl1";
const PREFIX: Hrp = Hrp::parse_unchecked("rsl");
const VERSION: u8 = 1;

impl Ticket {
    /// The short form, secret included.
    pub fn short(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(self.key.as_bytes());
        for address in &self.addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(4);
                    bytes.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(6);
                    bytes.extend_from_slice(&ip.octets());
                }
            }
            bytes.extend_from_slice(&address.port().to_be_bytes());
        }
        bytes.push(0);
        bytes.extend(self.secret.iter().flat_map(|secret| secret.0));
        bech32::encode::<Bech32m>(PREFIX, &bytes)
            .expect("16 addresses of 19 bytes stay below the 1023 characters of the code")
    }

    /// Reads the short form.
    pub fn from_short(text: &str) -> Result<Ticket, TicketError> {
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| TicketError::Checksum)?;
        if checked.hrp() != PREFIX {
            return Err(TicketError::Checksum);
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let mut rest = &bytes[..];
        match take(&mut rest)? {
            [VERSION] => {}
            [other] => return Err(TicketError::Version(other)),
        }
        let key = NodeId::from_bytes(take(&mut rest)?);
        let mut addresses = Vec::new();
        loop {
            let ip: IpAddr = match take(&mut rest)? {
                [0] => break,
                [4] => take::<4>(&mut rest)?.into(),
                [6] => take::<16>(&mut rest)?.into(),
                _ => return Err(TicketError::Trailing),
            };
            let address = SocketAddr::new(ip, u16::from_be_bytes(take(&mut rest)?));
            if addresses.len() == MAX_ADDRESSES {
                return Err(TicketError::TooManyAddresses);
            }
            if !dialable(address) {
                return Err(TicketError::Address(addresses.len() + 1));
            }
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(TicketError::Address(1));
        }
        let secret = if rest.is_empty() { None } else { Some(Secret(take(&mut rest)?)) };
        if rest.is_empty() { Ok(Ticket { key, addresses, secret }) } else { Err(TicketError::Trailing) }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], TicketError> {
    let (first, others) = rest.split_first_chunk().ok_or(TicketError::Trailing)?;
    *rest = others;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticket() -> Ticket {
        let addresses = ["10.0.0.5:27183", "[fd00::5]:27183"].map(|a| a.parse().unwrap());
        Ticket::new(NodeId::from_bytes([7; 32]), addresses, Some(Secret::from_bytes([0xA5; 16])))
    }

    #[test]
    fn the_form_is_fixed() {
        let text = "rsl1qyrswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurs";
        assert!(ticket().short().starts_with(text), "{}", ticket().short());
        assert_eq!(Ticket::from_short(&ticket().short()), Ok(ticket()));
        assert_eq!(Ticket::from_short(&ticket().short().to_uppercase()), Ok(ticket()));
        let bare = Ticket { secret: None, ..ticket() };
        assert_eq!(Ticket::from_short(&bare.short()), Ok(bare));
    }

    fn of(bytes: &[u8]) -> Result<Ticket, TicketError> {
        Ticket::from_short(&bech32::encode::<Bech32m>(PREFIX, bytes).unwrap())
    }

    #[test]
    fn what_the_checksum_lets_pass_is_checked_all_the_same() {
        let key = [7; 32];
        let with = |rest: &[u8]| of(&[&[1][..], &key, rest].concat());
        let address = [4, 10, 0, 0, 5, 1, 1];
        assert_eq!(of(&[2]), Err(TicketError::Version(2)));
        assert_eq!(of(&[1, 2, 3]), Err(TicketError::Trailing));
        assert_eq!(with(&[]), Err(TicketError::Trailing));
        assert_eq!(with(&[0]), Err(TicketError::Address(1)));
        assert_eq!(with(&[4, 10, 0, 0, 5, 0, 0, 0]), Err(TicketError::Address(1)));
        assert_eq!(with(&[5, 1]), Err(TicketError::Trailing));
        assert_eq!(with(&[&address[..], &[0], &[1; 15]].concat()), Err(TicketError::Trailing));
        assert_eq!(with(&[&address[..], &[0], &[1; 17]].concat()), Err(TicketError::Trailing));
        assert_eq!(with(&[address.repeat(17), vec![0]].concat()), Err(TicketError::TooManyAddresses));
        let other = bech32::encode::<Bech32m>(Hrp::parse_unchecked("rsk"), &[1]).unwrap();
        assert_eq!(Ticket::from_short(&other), Err(TicketError::Checksum));
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_found(at: usize, wrong in "[qpzry9x8gf2tvdw0s3jn54khce6mua7l]") {
            let text = ticket().short();
            let at = 4 + at % (text.len() - 4);
            prop_assume!(text[at..=at] != wrong);
            let mistyped = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
            prop_assert_eq!(Ticket::from_short(&mistyped), Err(TicketError::Checksum));
        }

        #[test]
        fn no_text_panics(text in "rsl1[a-z0-9]{0,200}") {
            let _ = Ticket::from_short(&text);
        }
    }
}
