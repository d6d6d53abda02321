//! What a keyspace keeps until it is passed on, as a sink sees it. It must not know where that is.

use std::future::Future;

use super::ledger::Ledger;
use crate::keyspace::Failure;

/// What waits to be passed on.
pub(super) trait Backlog: Clone + Send + Sync + 'static {
    /// A generation of it that is closed.
    type Frozen: Ledger<Failure = Failure>;

    /// The generation that is closed and was not dropped yet.
    fn frozen(&self) -> impl Future<Output = Result<Option<Self::Frozen>, Failure>> + Send;

    /// Closes what waits, so that what comes from now on is of the next generation; durable when it returns. `None` where
    /// nothing waits; where a generation is closed already, that one.
    fn freeze(&self) -> impl Future<Output = Result<Option<Self::Frozen>, Failure>> + Send;

    /// Forgets a closed generation: it has been passed on.
    fn drop_frozen(
        &self,
        frozen: &Self::Frozen,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// How much there is of everything.
    fn counts(&self) -> Counts;

    /// Wall time in Unix milliseconds.
    fn now_ms(&self) -> u64;
}

/// How much waits, and since when.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Keys that wait, those of the closed generation included; a key may wait in both.
    pub pending: u64,
    /// Keys that the target has refused for good.
    pub dead: u64,
    /// The newest generation.
    pub generation: u64,
    /// Since when the oldest waits, in Unix milliseconds; `None` where nothing waits.
    pub oldest_ms: Option<u64>,
}
