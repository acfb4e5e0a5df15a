//! The congestion controller.
