//! The identity of this node.
