//! What a keyspace does beside keeping what clients put. It must not know where that was said, nor how values move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::time::sleep;

use super::through::Through;
use super::{Mirrored, Refusal, Values};

/// How often it is looked whether the changes have been made that clients had begun.
const LOOK: Duration = Duration::from_millis(1);

/// What a keyspace does beside keeping what clients put.
#[derive(Clone, Debug, Default)]
pub enum Role {
    /// Nothing.
    #[default]
    Plain,
    /// Absent keys are asked of a source.
    Through(Arc<Through>),
    /// It follows somebody else, and clients only read it.
    Mirrored(Arc<Mirrored>),
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

    /// Breaks off every fetch that is under way.
    pub(super) fn end_fetches(&self) {
        for role in self.by_name.load().values() {
            match role {
                Role::Plain | Role::Mirrored(_) => {}
                Role::Through(through) => through.end(),
            }
        }
    }

    /// The roles as they are now, for as long as a change takes that is made because of them.
    fn hold(&self) -> Held {
        Held(self.by_name.load())
    }

    /// Replaces them all. What is left behind has no effect any more when this returns: nor has a change that a client began
    /// in a keyspace that it only reads from now on.
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
        let closes = by_name.iter().any(|(name, role)| {
            let was = matches!(before.get(name), Some(Role::Mirrored(_)));
            matches!(role, Role::Mirrored(_)) && !was
        });
        drop(before);
        let any = !by_name.is_empty();
        let before = self.by_name.swap(Arc::new(by_name));
        self.any.store(any, Ordering::Relaxed);
        // Whoever still holds the roles from before has been let through by them.
        while closes && Arc::strong_count(&before) > 1 {
            sleep(LOOK).await;
        }
        for role in before.values() {
            if let Role::Mirrored(old) = role
                && !self.keeps(old)
            {
                old.end().await;
            }
        }
    }

    /// Whether a keyspace has this role now.
    fn keeps(&self, mirrored: &Arc<Mirrored>) -> bool {
        let is = |role: &Role| matches!(role, Role::Mirrored(one) if Arc::ptr_eq(one, mirrored));
        self.by_name.load().values().any(is)
    }
}

/// The roles that a change was let through by. While it is held nobody takes it for made.
#[derive(Debug)]
#[must_use]
pub(super) struct Held(Guard<Arc<BTreeMap<String, Role>>>);

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

    /// What it knows beside its values, where it follows somebody else.
    #[inline]
    pub(super) fn mirrored(&self) -> Option<Arc<Mirrored>> {
        match self.role() {
            Role::Mirrored(mirrored) => Some(mirrored),
            Role::Plain | Role::Through(_) => None,
        }
    }

    /// To be awaited before a client's change is made: it may be refused, and whoever is about to store something else there
    /// learns of it. What it returns is held until the change has been made.
    #[inline]
    pub(super) async fn before(&self, changing: Changing<'_>) -> Result<Held, Refusal> {
        let held = self.roles.hold();
        match held.0.get(self.entries.name()) {
            None | Some(Role::Plain) => {}
            Some(Role::Through(through)) => through.overtake(changing).await,
            Some(Role::Mirrored(_)) => {
                let name = self.entries.name().to_owned();
                return Err(Refusal::ReadOnly { name });
            }
        }
        Ok(held)
    }

    /// Refuses what [`Values::before`] would refuse, before anything of a change has been received.
    #[inline]
    pub fn check_writable(&self) -> Result<(), Refusal> {
        match self.role() {
            Role::Plain | Role::Through(_) => Ok(()),
            Role::Mirrored(_) => Err(Refusal::ReadOnly {
                name: self.entries.name().to_owned(),
            }),
        }
    }
}
