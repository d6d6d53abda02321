//! What a target is given and what it can answer: a closed generation, page by page, and how that ended. It must not know how
//! a generation is kept, nor which target it is for.

use std::future::Future;
use std::time::Duration;

use super::ahead::Ahead;
use super::row::{Generation, Identity, Refused, Row};

/// A generation that is closed and waits to be passed on.
pub(super) trait Ledger: Send + Sync {
    /// Why it cannot be read or changed.
    type Failure: Send;

    /// Whose it is.
    fn identity(&self) -> Identity;

    /// The keyspace's name.
    fn keyspace(&self) -> &str;

    /// Which one it is.
    fn generation(&self) -> Generation;

    /// How many keys of it are left: without those that were set aside.
    fn keys(&self) -> u64;

    /// Whether an incarnation is one of this store's.
    fn knows(&self, mark: u64) -> bool;

    /// Up to `limit` of its rows in the order of their keys, behind `after`.
    fn page(
        &self,
        after: Option<&[u8]>,
        limit: usize,
    ) -> impl Future<Output = Result<Page, Self::Failure>> + Send;

    /// Takes rows out of it and sets them aside; durable when it returns.
    fn set_aside(
        &self,
        refused: &[Refused],
    ) -> impl Future<Output = Result<(), Unapplied<Self::Failure>>> + Send;
}

/// A part of a generation.
#[derive(Debug)]
pub(super) struct Page {
    /// Its rows.
    pub(super) rows: Vec<Row>,
    /// Behind which key the next one begins; `None` is the end.
    pub(super) next: Option<Box<[u8]>>,
}

/// What a person has decided about a generation for which the target is ahead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// It is taken for applied.
    Skip,
    /// It is applied.
    Resend,
}

/// A choice, and what was shown when it was made: about anything else it says nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Decision {
    /// What was chosen.
    pub(super) choice: Choice,
    /// What had been found.
    pub(super) about: Ahead,
}

/// What became of a generation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Applied {
    /// Keys that were applied now.
    pub(super) keys: u64,
    /// Keys that were set aside now.
    pub(super) refused: u64,
    /// Keys that a person has taken for applied.
    pub(super) skipped: u64,
    /// Whether the target had applied all of it before.
    pub(super) before: bool,
    /// Whether the target lacks generations before it that it had been given.
    pub(super) after_a_gap: bool,
}

/// Why a generation was not applied, or is not known to be.
#[derive(Debug)]
pub(super) enum Unapplied<F> {
    /// The target did not do it.
    Fault(Fault),
    /// A person has to decide.
    Ahead(Ahead),
    /// More rows are refused than may be set aside.
    NoRoom {
        /// How many may be.
        limit: u64,
    },
    /// The generation could not be read or changed.
    Ledger(F),
}

/// Why a step at the target did not succeed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// A row is refused for good: the same row will be refused again.
    Refused(String),
    /// It may pass: the connection, a deadlock, a full disk, a missing right.
    Failed(String),
    /// It may pass, and the target has said when.
    Later(String, Duration),
    /// The target is not fit for this; somebody has to change it, or what is said of it.
    Unsuitable(String),
}

impl Fault {
    /// What was said.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Refused(text)
            | Self::Failed(text)
            | Self::Later(text, _)
            | Self::Unsuitable(text) => text,
        }
    }
}

impl<F> From<Fault> for Unapplied<F> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
