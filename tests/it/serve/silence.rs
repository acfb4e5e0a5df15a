//! Peers that connect and say nothing.

use super::*;

/// The time that it has is `contimeout`, on a receiver that waits and on a sender that offers.
#[test]
fn who_connects_and_says_nothing_is_let_go() {
    run(1, DAY, async |net| {
        let options = RecvOptions { contimeout: second(5), ..RecvOptions::into_dir(".") };
        let receiver = receiver(&net, &MemDisk::new(), options, Vec::new());
        let (source, _) = folder(&[("a", noise(1, 10))]);
        let offer = offered(&net, source.path(), Offering::default()).await;
        for (waits, seconds) in [(&receiver.address, 5), (&offer.ticket, 60)] {
            let silent = Peer::connect(&net, STRANGER, &Identity::generate().unwrap(), waits).await;
            let connected = net.elapsed();
            silent.connection.closed().await;
            assert_eq!(net.elapsed().saturating_sub(connected).as_secs(), seconds);
        }
    });
}
