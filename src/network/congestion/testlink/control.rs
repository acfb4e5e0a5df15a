//! What sets a simulated sender's window: the law under test, or the TCP-like one it must live beside.

use crate::network::congestion::cubic::Cubic;
use crate::network::congestion::dbw::Law;

/// What sets a sender's window.
pub(in crate::network::congestion) enum Control {
    Dbw(Box<Law>),
    Cubic(Cubic),
}

impl Control {
    pub(super) fn window(&self) -> f64 {
        match self {
            Self::Dbw(law) => law.window(),
            Self::Cubic(cubic) => cubic.window(),
        }
    }
}
