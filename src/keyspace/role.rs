//! What a keyspace does beside keeping what clients put. It must not know where that was said, nor how values move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::through::Through;
use super::{Refusal, Values};

/// What a keyspace does beside keeping what clients put.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// Nothing.
    #[default]
    Plain,
    /// Absent keys are asked of a source.
    Through(Arc<Through>),
}

/// The roles of all keyspaces that have one.
#[derive(Debug, Default)]
pub(super) struct Roles {
    /// Whether there are any: most services have none, and there a request looks at nothing else.
    any: AtomicBool,
    by_name: ArcSwap<BTreeMap<String, Role>>,
}

impl Roles {
    #[inline]
    pub(super) fn of(&self, keyspace: &str) -> Role {
        if !self.any.load(Ordering::Relaxed) {
            return Role::Plain;
        }
        let by_name = self.by_name.load();
        by_name.get(keyspace).cloned().unwrap_or_default()
    }

    /// Breaks off whatever is under way.
    pub(super) fn end(&self) {
        for role in self.by_name.load().values() {
            match role {
                Role::Plain => {}
                Role::Through(through) => through.end(),
            }
        }
    }

    /// Replaces them all. What is left behind has no effect any more when this returns.
    pub(super) async fn set(&self, by_name: BTreeMap<String, Role>) {
        let before = self.by_name.load_full();
        for (name, role) in &*before {
            if let (Role::Through(old), new) = (role, by_name.get(name)) {
                let stays = matches!(new, Some(Role::Through(new)) if Arc::ptr_eq(old, new));
                if !stays {
                    // Before clients change keys without telling it.
                    old.retire().await;
                }
            }
        }
        let any = !by_name.is_empty();
        self.by_name.store(Arc::new(by_name));
        self.any.store(any, Ordering::Relaxed);
    }
}

/// What a client is about to change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Changing<'a> {
    /// One key.
    Key(&'a [u8]),
    /// Every key that begins so.
    Prefix(&'a [u8]),
    /// Everything.
    All,
}

impl Values {
    /// What this keyspace does beside keeping what clients put.
    #[inline]
    pub(super) fn role(&self) -> Role {
        self.roles.of(self.entries.name())
    }

    /// To be awaited before a client's change is made: it may be refused, and whoever is about to store something else there
    /// learns of it.
    #[inline]
    pub(super) async fn before(&self, changing: Changing<'_>) -> Result<(), Refusal> {
        match self.role() {
            Role::Plain => {}
            Role::Through(through) => through.overtake(changing).await,
        }
        Ok(())
    }
}
