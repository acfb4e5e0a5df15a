//! range_set
