//! Scenarios of the window law over simulated links.

use super::testlink::{Acks, Flow, Link, Net};


#[test]
fn survey() {
    let verbose = std::env::var("V").is_ok();
    for acks in [Acks::Dense, Acks::Sparse(0.125), Acks::Sparse(0.33)] {
    let (mut worst, mut mean, mut n, mut wd, mut wq) = (200.0f64, 0.0, 0.0, 0.0f64, 0.0f64);
    let mut j1 = (200.0f64, 0.0f64, 0.0f64);
    for (mbit, rtt, jitter, secs) in [(10.0, 100.0, 0.0, 40.0), (50.0, 10.0, 0.0, 15.0), (20.0, 300.0, 0.0, 60.0), (1.0, 100.0, 0.1, 60.0), (10.0, 200.0, 0.1, 40.0)] {
        for loss in [0.0, 0.05, 0.2, 0.33] {
            let mut res = vec![];
            for seed in 1..=3 {
            let mut link = Link::new(mbit, rtt, 200.0, loss);
            link.jitter = jitter;
            let mut flow = Flow::dbw();
            flow.acks = acks;
            flow.hint = Some(mbit * 1e6);
            let mut net = Net::new(link, vec![flow], seed);
            net.run(secs);
            let f = &net.flows[0];
            let (_m, p) = net.queue(secs / 4.0, secs);
            let e = |a: f64, b: f64| f.rate(a, b) / mbit / 1e4 / (1.0 - loss);
            let u = e(secs/4.0, secs); let d = 100.0*f.tail_dropped as f64/f.sent as f64;
            res.push((u as i32, (p*1e3) as i32, (d*100.0).round()/100.0));
            if mbit == 1.0 { j1 = (j1.0.min(u), j1.1.max(d), j1.2.max(p*1e3)); } else {
            worst = worst.min(u); mean += u; n += 1.0; wd = wd.max(d); wq = wq.max(p*1e3); }
            }
            if verbose { println!("{mbit:4} Mbit {rtt:4} ms {jitter:4} {loss:5} {res:?}"); }
        }
    }
    println!("worst {worst:.1} mean {:.2} drops {wd:.2} q90 {wq:.0}   1Mbit: {:.1} {:.2} {:.0}", mean / n, j1.0, j1.1, j1.2);
    }
}

#[test]
fn trace() {
    let mut link = Link::new(50.0, 10.0, 200.0, 0.33);
    link.jitter = 0.0;
    let mut flow = Flow::dbw();
    flow.hint = Some(50e6);
    let mut net = Net::new(link, vec![flow], 7);
    for i in 1..80 {
        let t = f64::from(i) * 0.05;
        net.run(t);
        let q = net.queue(t - 0.05, t).0;
        let f = &net.flows[0];
        let l = f.law();
        println!("{t:5.2} {:?} W {:7.0} flight {:7.0} min {:.1} qd {:.1} cap {:.2} q {:.1} rate {:.2}", l.phase(), l.window(), l.in_flight(), l.min_rtt().unwrap_or(0.0)*1e3, l.queue_delay()*1e3, l.capacity()*8e-6, q*1e3, f.rate(t-0.1,t)/1e6);
    }
}
