//! The QUIC endpoint.
