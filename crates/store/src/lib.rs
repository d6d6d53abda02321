//! The durable map.
#![deny(unsafe_code)]
pub mod fs;
