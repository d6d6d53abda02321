//! Data that moves by itself: the parts that reach out, started once the store is open, given new options by a reload, stopped
//! before the store is closed. It must not know what they do.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::Options;
use crate::http::Service;
use crate::keyspace::{Deletes, Keyspaces, Mirrored, Pending, Policy, Role, Through};
use crate::metrics::ThroughMetrics;
use crate::mirror::Mirrors;
use crate::outbound::{Outbound, OutboundError};
use crate::pump::Pump;
use crate::sink::{self, Sinks};
use crate::source::Sources;

/// Everything that reaches out.
#[derive(Debug)]
pub(super) struct Movement {
    outbound: Outbound,
    /// What passes changes on, once the store is open.
    sinks: OnceLock<Sinks>,
    /// What follows somebody else, likewise.
    mirrors: OnceLock<Mirrors>,
    /// What is fetched by the clock, likewise.
    pump: OnceLock<Pump>,
    /// Figures of keyspaces that read through.
    figures: ThroughMetrics,
}

impl Movement {
    /// Nothing moves yet.
    pub(super) fn new(outbound: Outbound, figures: ThroughMetrics) -> Self {
        Self {
            outbound,
            sinks: OnceLock::new(),
            mirrors: OnceLock::new(),
            pump: OnceLock::new(),
            figures,
        }
    }

    /// The store is open: everything begins to move, and is shown by `service`.
    pub(super) async fn begin(&self, options: &Options, keyspaces: &Keyspaces, service: &Service) {
        let sinks = self
            .sinks
            .get_or_init(|| Sinks::new(self.outbound.clone(), keyspaces.clone()));
        service.set_sinks(sinks.clone());
        let mirrors = self.mirrors.get_or_init(|| {
            let figures = service.metrics().mirrors.clone();
            Mirrors::new(self.outbound.clone(), keyspaces.clone(), figures)
        });
        service.set_mirrors(mirrors.clone());
        let pump = self.pump.get_or_init(|| {
            let sources = Sources::new(self.outbound.clone());
            Pump::new(
                keyspaces.clone(),
                sources,
                service.metrics().sources.clone(),
            )
        });
        service.set_pump(pump.clone());
        self.apply(options, keyspaces).await;
    }

    /// Moves from now on as the options say; what stays the same goes on undisturbed.
    ///
    /// 1. What passes changes on begins, before anything is written that it was not there for.
    /// 2. What follows somebody else and shall not any more ends, before clients may write there.
    /// 3. Every keyspace is given its role.
    /// 4. What is to follow begins, when clients cannot write there any more.
    pub(super) async fn apply(&self, options: &Options, keyspaces: &Keyspaces) {
        if let Some(sinks) = self.sinks.get() {
            sinks.set(&options.sinks).await;
        }
        if let Some(mirrors) = self.mirrors.get() {
            mirrors.end_others(&options.mirrors).await;
        }
        self.set_roles(options, keyspaces).await;
        if let Some(mirrors) = self.mirrors.get() {
            mirrors.apply(&options.mirrors).await;
        }
        if let Some(pump) = self.pump.get() {
            let mirrored = options.mirrors.keys().cloned().collect();
            pump.apply(&options.sources, mirrored).await;
        }
    }

    /// Nothing moves any more, nor has an effect, when this returns. What goes on is given up at once; what waits to be passed
    /// on is passed on last, as far as that goes until `deadline`.
    pub(super) async fn stop(&self, deadline: Instant) {
        if let Some(mirrors) = self.mirrors.get() {
            mirrors.stop().await;
        }
        if let Some(pump) = self.pump.get() {
            pump.stop().await;
        }
        if let Some(sinks) = self.sinks.get() {
            sinks.stop(deadline).await;
        }
    }

    /// Takes over what may fail, before anything else has changed.
    pub(super) fn set_outbound(&self, options: &Options) -> Result<(), OutboundError> {
        if self.outbound.options() == options.outbound {
            return Ok(());
        }
        self.outbound.set_options(options.outbound.clone())
    }

    /// Gives every keyspace the role that the options say. A keyspace that reads through as before goes on with what is under
    /// way; of another one nothing that is under way is stored any more.
    async fn set_roles(&self, options: &Options, keyspaces: &Keyspaces) {
        let sources = Sources::new(self.outbound.clone());
        let mut roles = BTreeMap::new();
        for (name, through) in &options.through {
            let role = match keyspaces.role(name) {
                Role::Through(known) if known.options() == through => Role::Through(known),
                Role::Plain | Role::Through(_) | Role::Mirrored(_) => {
                    let figures = self.figures.of(name);
                    let through = Through::new(name, through.clone(), sources.clone(), figures);
                    Role::Through(Arc::new(through))
                }
            };
            roles.insert(name.clone(), role);
        }
        for name in options.mirrors.keys() {
            let role = match keyspaces.role(name) {
                known @ Role::Mirrored(_) => known,
                Role::Plain | Role::Through(_) => Role::Mirrored(Arc::new(Mirrored::default())),
            };
            roles.insert(name.clone(), role);
        }
        keyspaces.set_roles(roles).await;
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
