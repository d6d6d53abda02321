//! Why a benchmark could not be run, in words.

use std::error::Error;
use std::fmt;

/// A failure that ends a benchmark.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// What a benchmark gives, or why it gives nothing.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn of(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// For `map_err`: what was done, and what came of it.
    pub(crate) fn at<E: Error>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Failure {}
