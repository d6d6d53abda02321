//! The simulated directory.
