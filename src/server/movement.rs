//! Data that moves by itself: the parts that reach out, started once the store is open, given new options by a reload, stopped
//! before the store is closed. It must not know what they do.

use std::sync::OnceLock;

use tokio::time::Instant;

use super::Options;
use crate::keyspace::{Deletes, Keyspaces, Pending, Policy};
use crate::outbound::{Outbound, OutboundError};
use crate::sink::{self, Sinks};

/// Everything that reaches out.
#[derive(Debug)]
pub(super) struct Movement {
    outbound: Outbound,
    sinks: OnceLock<Sinks>,
}

impl Movement {
    /// Nothing moves yet.
    pub(super) fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            sinks: OnceLock::new(),
        }
    }

    /// Starts what moves, before anybody else is let in. Returns what can be asked about it.
    pub(super) async fn start(&self, keyspaces: &Keyspaces, options: &Options) -> Sinks {
        let outbound = self.outbound.clone();
        let sinks = self
            .sinks
            .get_or_init(|| Sinks::new(outbound, keyspaces.clone()));
        sinks.set(&options.sinks).await;
        sinks.clone()
    }

    /// Takes over what may fail, before anything else has changed.
    pub(super) fn set_outbound(&self, options: &Options) -> Result<(), OutboundError> {
        if self.outbound.options() == options.outbound {
            return Ok(());
        }
        self.outbound.set_options(options.outbound.clone())
    }

    /// Takes over what cannot fail.
    pub(super) async fn set_options(&self, options: &Options) {
        if let Some(sinks) = self.sinks.get() {
            sinks.set(&options.sinks).await;
        }
    }

    /// Ends what moves; what can be finished until `deadline` is finished.
    pub(super) async fn stop(&self, deadline: Instant) {
        if let Some(sinks) = self.sinks.get() {
            sinks.stop(deadline).await;
        }
    }
}

/// The keyspaces of the file with what each keeps for its sink.
pub(super) fn defined(options: &Options) -> Vec<(String, Policy)> {
    let keyspaces = options.keyspaces.iter();
    keyspaces
        .map(|(name, policy)| {
            let sink = options.sinks.get(name);
            let pending = sink.map_or(Pending::None, pending);
            (name.clone(), Policy { pending, ..*policy })
        })
        .collect()
}

fn pending(sink: &sink::Options) -> Pending {
    let most = sink.max_pending;
    let latest = |deletes| Pending::Latest { deletes, most };
    match sink.mode {
        sink::Mode::Increment => Pending::Sums { most },
        sink::Mode::Upsert(sink::Deletes::Ignore) => latest(Deletes::Ignore),
        sink::Mode::Upsert(sink::Deletes::Propagate) => latest(Deletes::Propagate),
    }
}
