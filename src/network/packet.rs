//! What can be read of a QUIC packet without keys: its kind and, in long headers, where it ends (RFC 9000, 17.2).
//!
//! Invariant: no length is believed beyond the datagram. No IO.

/// The kinds of long-header packets that a handshake has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    Handshake,
}

/// Whether a datagram begins with a long-header packet.
pub(super) fn is_long(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x80 != 0)
}

/// A long-header packet as far as it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    /// The offset behind it.
    pub(super) end: usize,
    /// Its connection IDs.
    pub(super) destination: &'a [u8],
    pub(super) source: &'a [u8],
}

/// The first packet of a datagram of version 1, if it is of these kinds and whole.
pub(super) fn first_packet(datagram: &[u8]) -> Option<Packet<'_>> {
    let (first, rest) = datagram.split_first()?;
    // Without the fixed bit, which may be greased (RFC 9287), and what is protected.
    let kind = match first & 0xB0 {
        0x80 => Kind::Initial,
        0xA0 => Kind::Handshake,
        _ => return None,
    };
    let rest = rest.strip_prefix(&[0, 0, 0, 1])?;
    let (destination, rest) = id(rest)?;
    let (source, rest) = id(rest)?;
    let rest = match kind {
        Kind::Initial => {
            let (token, rest) = varint(rest)?;
            rest.get(token..)?
        }
        Kind::Handshake => rest,
    };
    let (length, rest) = varint(rest)?;
    let end = datagram.len() - rest.get(length..)?.len();
    Some(Packet { kind, end, destination, source })
}

/// A connection ID behind its length, and what follows it.
fn id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// A variable-length integer (RFC 9000, 16) and what follows it.
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let more = rest.get(..(1 << (first >> 6)) - 1)?;
    let value = more.iter().fold(u64::from(first & 0x3F), |value, byte| value << 8 | u64::from(*byte));
    Some((usize::try_from(value).ok()?, &rest[more.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with IDs of eight and five bytes, a token of three and this length field.
    fn initial(length: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x83, 0, 0, 0, 1, 8];
        packet.extend([1; 8]);
        packet.push(5);
        packet.extend([2; 5]);
        packet.extend([3, 7, 7, 7]);
        packet.extend(length);
        packet
    }

    fn found(datagram: &[u8]) -> Option<(Kind, usize)> {
        first_packet(datagram).map(|packet| (packet.kind, packet.end))
    }

    #[test]
    fn a_packet_ends_where_its_length_says() {
        for (length, bytes) in [(&[9_u8][..], 9), (&[0x40, 9], 9), (&[0x41, 0x2C], 300), (&[0x80, 0, 1, 0], 256)] {
            let mut datagram = initial(length);
            let end = datagram.len() + bytes;
            datagram.resize(end, 0);
            assert_eq!(found(&datagram), Some((Kind::Initial, end)));
            datagram.extend([0xE0, 1, 2, 3]);
            assert_eq!(found(&datagram), Some((Kind::Initial, end)), "whatever follows");
            assert_eq!(first_packet(&datagram[..end - 1]), None, "it has to be whole");
        }
    }

    #[test]
    fn a_handshake_packet_has_no_token() {
        let datagram = [&[0xE3, 0, 0, 0, 1, 0, 0, 4][..], &[0; 4]].concat();
        assert_eq!(found(&datagram), Some((Kind::Handshake, 12)));
    }

    #[test]
    fn both_connection_ids_are_read() {
        let mut datagram = initial(&[2]);
        datagram.extend([0; 2]);
        let packet = first_packet(&datagram).unwrap();
        assert_eq!((packet.destination, packet.source), (&[1; 8][..], &[2; 5][..]));
    }

    #[test]
    fn other_packets_and_versions_are_left_alone() {
        let mut datagram = initial(&[2]);
        datagram.extend([0; 2]);
        for (at, byte) in [(0, 0x43), (0, 0xD3), (0, 0xF3), (4, 2)] {
            let mut other = datagram.clone();
            other[at] = byte;
            assert_eq!(first_packet(&other), None, "{at} {byte}");
        }
    }

    #[test]
    fn no_prefix_and_no_byte_makes_it_read_beyond() {
        let mut datagram = initial(&[2]);
        datagram.extend([0; 2]);
        for len in 0..datagram.len() {
            assert_eq!(first_packet(&datagram[..len]), None);
        }
        for at in 0..datagram.len() {
            for byte in 0..=255 {
                let mut other = datagram.clone();
                other[at] = byte;
                assert!(first_packet(&other).is_none_or(|packet| packet.end <= other.len()));
            }
        }
    }
}
