//! Compression of chunks.
