//! Copies of handshake datagrams.
