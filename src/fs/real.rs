//! The disk of this machine: `Disk` by directory descriptors (rustix), confined below one root.
