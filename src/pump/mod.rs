//! Values that are fetched by the clock: cachepump's work. It must not know how a value is fetched, or how it is kept.

mod options;
mod rule;

pub use options::{Options, Scheduled, Supply, Task};
pub use rule::{FieldError, Rule, RuleError, Wrong};
