//! Reed-Solomon coding of stripes.
