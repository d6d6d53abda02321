//! The durable map.
#![deny(unsafe_code)]
mod clock;
mod error;
pub mod fs;
mod int;
mod map;
mod options;
mod record;
pub use clock::Clock;
pub use error::*;
pub use map::{Entry, Facts, FactsOf, MAX_KEY_BYTES};
pub use options::*;
pub use record::Meta;
