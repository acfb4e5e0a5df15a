//! Digests, tree hashing and `Verified`.
