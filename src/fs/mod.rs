//! Files: walking and reading sources, and the confined, durable writing of destinations.
//!
//! [`source`] finds and reads what is sent; [`disk`] is the seam under everything a receiver writes (crash tests put another disk
//! there); [`real`] is the disk of this machine, [`nowhere`] the lack of one; `confine` reaches files without following links, for both;
//! [`staged`] is a single file that takes its name when it is complete; [`typed`] opens what the user named for the program itself to read, [`obeyed`] reads what it does as it is told by.

mod confine;
pub mod disk;
pub mod nowhere;
pub mod obeyed;
pub mod real;
pub mod source;
pub mod staged;
pub mod typed;
