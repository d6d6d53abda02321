//! Data that moves by itself: the parts that reach out, started once the store is open, given new options by a reload, stopped
//! before the store is closed. It must not know what they do.

use super::Options;
use crate::outbound::{Outbound, OutboundError};

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
}
