//! Parity by smoothed loss.
