//! Versions of entries, and what has to hold for a change to be made. It knows neither the map nor the log.

/// The version of an entry; it never repeats, not even after a lost tail or a restored backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// The random mark of the start that wrote it.
    pub mark: u64,
    /// The change that wrote it.
    pub revision: u64,
}

/// A set of versions.
#[derive(Debug, Clone, Copy)]
pub enum Versions<'a> {
    /// Any: the key has to be there.
    Any,
    /// One of these.
    OneOf(&'a [Version]),
}

impl Versions<'_> {
    fn matches(&self, current: Option<Version>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::OneOf(versions), Some(current)) => versions.contains(&current),
        }
    }
}

/// What has to hold for a change to be made (RFC 9110, section 13, with strong comparison).
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// The current version has to be among these.
    pub if_match: Option<Versions<'a>>,
    /// The current version must not be among these.
    pub if_none_match: Option<Versions<'a>>,
}

impl Conditions<'_> {
    pub(super) fn hold(&self, current: Option<Version>) -> bool {
        self.if_match
            .is_none_or(|versions| versions.matches(current))
            && self
                .if_none_match
                .is_none_or(|versions| !versions.matches(current))
    }
}
