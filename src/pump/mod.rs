//! Values that are fetched by the clock: cachepump's work. It must not know how a value is fetched, or how it is kept.

mod options;

pub use options::{Options, Scheduled, Supply, Task};
