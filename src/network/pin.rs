//! Pinning peers by public key.
