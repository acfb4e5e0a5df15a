//! What a server may send to addresses that have not yet proved that they receive.
//!
//! Invariant: in long-header datagrams, at most three times what came from an address goes to it until a packet from there carries
//! a connection ID that we sent there and that nobody else can know (RFC 9000, 8.1: at least 64 bits). A bounded number of
//! addresses is remembered; the one that was silent longest is forgotten first, and then gets no more than quinn itself, which
//! keeps the same rule for each connection, lets out. No IO, no time: order of arrival only.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::packet::is_long;

/// Addresses remembered: about half a megabyte at most.
const MAX_ADDRESSES: usize = 4096;
/// Connection IDs remembered for an address: a client whose first packets each brought a Retry knows the first of them.
const MAX_IDS: usize = 8;
/// Length of the connection IDs that our endpoints choose.
const ID_LEN: usize = 8;
/// RFC 9000, 8.1.
const FACTOR: u64 = 3;

#[derive(Default)]
struct Account {
    received: u64,
    sent: u64,
    proved: bool,
    /// Newest last.
    ids: Vec<[u8; ID_LEN]>,
    /// When it last received, as a count of all that was received.
    turn: u64,
}

impl Account {
    fn allows(&self, datagram: &[u8]) -> bool {
        self.proved || self.sent.saturating_add(datagram.len() as u64) <= self.received.saturating_mul(FACTOR)
    }
}

/// The accounts of all addresses.
#[derive(Default)]
pub(super) struct Credit {
    accounts: BTreeMap<(IpAddr, u16), Account>,
    turns: BTreeMap<u64, (IpAddr, u16)>,
    turn: u64,
}

/// IPv4 in IPv6 form, as sockets of both families give it, is the same address.
fn key(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

impl Credit {
    /// Takes note of a datagram that came from `address`.
    pub(super) fn earn(&mut self, address: SocketAddr, datagram: &[u8]) {
        let key = key(address);
        match self.accounts.get(&key) {
            Some(account) if account.proved => return,
            // Only a first packet opens an account: short headers of established connections are none of our business.
            None if !is_long(datagram) => return,
            _ => {}
        }
        let account = self.accounts.entry(key).or_default();
        account.received = account.received.saturating_add(datagram.len() as u64);
        account.proved = destination_id(datagram).is_some_and(|id| account.ids.iter().any(|known| known == id));
        self.turns.remove(&account.turn);
        self.turn += 1;
        account.turn = self.turn;
        self.turns.insert(self.turn, key);
        if self.accounts.len() > MAX_ADDRESSES
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.accounts.remove(&oldest);
        }
    }

    /// Whether this long-header datagram of quinn's may go to `address`.
    pub(super) fn allows(&self, address: SocketAddr, datagram: &[u8]) -> bool {
        let account = self.accounts.get(&key(address));
        account.is_none_or(|account| account.allows(datagram))
    }

    /// Whether a copy of it may; a `late` one not where the address has answered, so that it has what it needs.
    pub(super) fn allows_copy(&self, address: SocketAddr, datagram: &[u8], late: bool) -> bool {
        let account = self.accounts.get(&key(address));
        account.is_some_and(|account| !(late && account.proved) && account.allows(datagram))
    }

    /// Takes note of what went to `address`, and of the connection ID in it.
    pub(super) fn spend(&mut self, address: SocketAddr, datagram: &[u8]) {
        let Some(account) = self.accounts.get_mut(&key(address)) else {
            return;
        };
        account.sent = account.sent.saturating_add(datagram.len() as u64);
        if let Some(id) = source_id(datagram).filter(|id| !account.proved && !account.ids.contains(id)) {
            if account.ids.len() == MAX_IDS {
                account.ids.remove(0);
            }
            account.ids.push(*id);
        }
    }

    #[cfg(test)]
    pub(super) fn proved(&self, address: SocketAddr) -> bool {
        self.accounts.get(&key(address)).is_some_and(|account| account.proved)
    }
}

/// The source connection ID of a long-header packet: first byte, version, length and destination ID, length and source ID.
fn source_id(datagram: &[u8]) -> Option<&[u8; ID_LEN]> {
    let destination = usize::from(*datagram.get(5).filter(|_| is_long(datagram))?);
    let source = datagram.get(6 + destination..)?;
    let (length, id) = source.split_first()?;
    id.first_chunk().filter(|_| usize::from(*length) == ID_LEN)
}

/// The destination connection ID of a packet from a peer that uses IDs of ours.
fn destination_id(datagram: &[u8]) -> Option<&[u8; ID_LEN]> {
    if is_long(datagram) {
        let id = datagram.get(6..)?.first_chunk();
        id.filter(|_| usize::from(datagram[5]) == ID_LEN)
    } else {
        datagram.get(1..)?.first_chunk()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    /// A long-header packet of `len` bytes with these connection IDs.
    fn long(destination: [u8; 8], source: [u8; 8], len: usize) -> Vec<u8> {
        let mut packet = vec![0xC0, 0, 0, 0, 1, 8];
        packet.extend(destination);
        packet.push(8);
        packet.extend(source);
        packet.resize(len, 0);
        packet
    }

    fn short(destination: [u8; 8]) -> Vec<u8> {
        let mut packet = vec![0x40];
        packet.extend(destination);
        packet.resize(40, 0);
        packet
    }

    const OURS: [u8; 8] = [1; 8];
    const THEIRS: [u8; 8] = [2; 8];
    const GUESS: [u8; 8] = [3; 8];

    #[test]
    fn three_times_what_came_and_no_more() {
        let mut credit = Credit::default();
        credit.earn(at(1), &long(GUESS, THEIRS, 1200));
        let answer = long(THEIRS, OURS, 1200);
        for _ in 0..3 {
            assert!(credit.allows(at(1), &answer));
            credit.spend(at(1), &answer);
        }
        assert!(!credit.allows(at(1), &answer));
        // What another port sent is not for this one.
        credit.earn(at(2), &long(GUESS, THEIRS, 1200));
        assert!(!credit.allows(at(1), &answer));
        credit.earn(at(1), &long(GUESS, THEIRS, 400));
        assert!(credit.allows(at(1), &answer));
    }

    #[test]
    fn only_an_id_that_we_sent_there_is_proof() {
        let mut credit = Credit::default();
        let answer = long(THEIRS, OURS, 1200);
        credit.earn(at(1), &long(GUESS, THEIRS, 1200));
        credit.spend(at(1), &answer);
        credit.earn(at(2), &long(GUESS, THEIRS, 1200));
        for packet in [short(GUESS), long(GUESS, THEIRS, 60), long(THEIRS, OURS, 60), vec![0x40, 1], vec![0xC0]] {
            credit.earn(at(1), &packet);
            assert!(!credit.proved(at(1)));
        }
        // The right ID, but from an address that we did not send it to.
        credit.earn(at(2), &short(OURS));
        assert!(!credit.proved(at(2)));
        credit.earn(at(1), &short(OURS));
        assert!(credit.proved(at(1)));
        for _ in 0..100 {
            assert!(credit.allows(at(1), &answer));
            credit.spend(at(1), &answer);
        }
    }

    #[test]
    fn the_same_address_in_ipv6_form() {
        let mut credit = Credit::default();
        credit.earn("[::ffff:10.0.0.1]:1".parse().unwrap(), &long(GUESS, THEIRS, 100));
        assert!(!credit.allows(at(1), &long(THEIRS, OURS, 301)));
    }

    #[test]
    fn a_flood_of_addresses_is_forgotten_and_the_last_speakers_are_kept() {
        let mut credit = Credit::default();
        let first = long(GUESS, THEIRS, 1200);
        credit.earn(at(1), &first);
        for n in 0..3 * MAX_ADDRESSES as u32 {
            credit.earn(SocketAddr::from((n.to_be_bytes(), 9)), &first);
            credit.earn(at(1), &first);
            assert!(credit.accounts.len() <= MAX_ADDRESSES);
        }
        assert_eq!(credit.accounts.len(), credit.turns.len());
        assert!(credit.accounts.contains_key(&key(at(1))));
        let forgotten = SocketAddr::from(([0, 0, 0, 0], 9));
        assert!(!credit.accounts.contains_key(&key(forgotten)));
        assert!(credit.allows(forgotten, &first) && !credit.allows_copy(forgotten, &first, false));
    }

    #[test]
    fn the_ids_of_an_address_are_bounded() {
        let mut credit = Credit::default();
        credit.earn(at(1), &long(GUESS, THEIRS, 1200));
        for n in 0..100 {
            credit.spend(at(1), &long(THEIRS, [n; 8], 50));
        }
        assert_eq!(credit.accounts[&key(at(1))].ids.len(), MAX_IDS);
        credit.earn(at(1), &short([99; 8]));
        assert!(credit.proved(at(1)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_none_are_proof(packets in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let mut credit = Credit::default();
            for packet in packets {
                credit.earn(at(1), &packet);
                if credit.allows(at(1), &packet) && is_long(&packet) {
                    let _ = source_id(&packet);
                }
            }
            prop_assert!(!credit.proved(at(1)));
        }
    }
}
