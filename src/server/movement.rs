//! Data that moves by itself: the parts that reach out, started once the store is open, given new options by a reload, stopped
//! before the store is closed. It must not know what they do.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Options;
use crate::keyspace::{Keyspaces, Role, Through};
use crate::metrics::Metrics;
use crate::outbound::{Outbound, OutboundError};
use crate::source::Sources;

/// Everything that reaches out.
#[derive(Debug)]
pub(super) struct Movement {
    outbound: Outbound,
}

impl Movement {
    /// Nothing moves yet.
    pub(super) fn new(outbound: Outbound) -> Self {
        Self { outbound }
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
    pub(super) async fn set_roles(
        &self,
        options: &Options,
        keyspaces: &Keyspaces,
        metrics: &Metrics,
    ) {
        let sources = Sources::new(self.outbound.clone());
        let mut roles = BTreeMap::new();
        for (name, through) in &options.through {
            let role = match keyspaces.role(name) {
                Role::Through(known) if known.options() == through => Role::Through(known),
                Role::Plain | Role::Through(_) => {
                    let figures = metrics.through.of(name);
                    let through = Through::new(name, through.clone(), sources.clone(), figures);
                    Role::Through(Arc::new(through))
                }
            };
            roles.insert(name.clone(), role);
        }
        keyspaces.set_roles(roles).await;
    }
}
