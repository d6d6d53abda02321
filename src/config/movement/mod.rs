//! The words for everything that moves by itself: where values come from, what is followed, where changes go. One file for
//! each kind, and what they have in common in [`web`], [`database`] and [`places`]. It must not know how anything is moved.

mod database;
mod mirror;
mod places;
mod scheduled;
mod sink;
mod through;
mod web;

use std::path::Path;
use std::time::Duration;

use super::error::ConfigError;
use super::section::Section;
use super::value;
use crate::server::Limits;

pub(super) use mirror::mirror;
pub(super) use scheduled::sources;
pub(super) use sink::sink;
pub(super) use through::through;
pub(super) use web::proxy;

/// What the rest of the configuration says about what may be moved.
pub(super) struct Bounds<'a> {
    /// Where the data lies, which nothing else may read or write.
    pub(super) storage: &'a Path,
    /// How large keys and values may be.
    pub(super) limits: &'a Limits,
    /// The words of `limits.value_bytes`.
    pub(super) value_bytes: &'a str,
}

impl Bounds<'_> {
    /// The largest value that is taken in: as large as any, unless less was said.
    fn max_bytes(&self, section: &mut Section<'_>) -> Result<usize, ConfigError> {
        let most = self.limits.value_bytes;
        section.or("max_bytes", self.value_bytes, |text| {
            let bytes = value::bytes(text)?;
            match usize::try_from(bytes) {
                Ok(0) => Err("lets no value through".to_owned()),
                Ok(bytes) if bytes <= most => Ok(bytes),
                Ok(_) | Err(_) => Err(format!(
                    "is more than limits.value_bytes, {}: such a value could not be kept",
                    self.value_bytes
                )),
            }
        })
    }
}

/// The time for one call, which may be said beside the target or within it.
fn timeout(
    section: &mut Section<'_>,
    within: Option<Duration>,
    usual: &str,
) -> Result<Duration, ConfigError> {
    match beside(section, "timeout", within)? {
        Some(timeout) => Ok(timeout),
        None => section.or("timeout", usual, value::patience),
    }
}

/// What was said within, where nothing was said beside it.
fn beside<T>(
    section: &Section<'_>,
    name: &str,
    within: Option<T>,
) -> Result<Option<T>, ConfigError> {
    if within.is_some() && section.has(name) {
        let words = format!("{name} is set further in as well; keep one of the two");
        return Err(section.ill(name, words));
    }
    Ok(within)
}

/// The first pause after a failure and the longest one.
fn backoff(
    section: &mut Section<'_>,
    usual_min: &str,
    usual_max: &str,
) -> Result<(Duration, Duration), ConfigError> {
    let min = section.or("backoff_min", usual_min, value::patience)?;
    let max = section.or("backoff_max", usual_max, value::patience)?;
    if max < min {
        return Err(section.ill("backoff_max", "it is less than backoff_min"));
    }
    Ok((min, max))
}
