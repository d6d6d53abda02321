//! Keyspaces as a whole: what there is, made, changed and dropped while the service runs. What the configuration file
//! defines is only read here. It must not know how a policy is written down.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::news::Telling;
use super::{Keyspaces, Refusal, Role};
use crate::engine::{Durability, KeyspaceFacts, KeyspaceFailure, KeyspaceSet, Pending, Policy};

/// The keyspace that always exists.
const DEFAULT: &str = "default";
/// The longest name, in bytes.
const NAME_BYTES: usize = 64;

/// A keyspace as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Described {
    /// What the engine knows of it.
    pub facts: KeyspaceFacts,
    /// Who says what it promises.
    pub defined_by: DefinedBy,
    /// The kind of source that its absent keys are asked of, where there is one.
    pub source: Option<&'static str>,
}

/// Who says what a keyspace promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DefinedBy {
    /// The configuration file: requests cannot change it.
    File,
    /// Requests.
    Requests,
}

/// Whether a keyspace may be called so: 1 to 64 of `a-z 0-9 _ -`.
pub fn is_name(name: &str) -> bool {
    let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(known)
}

impl Keyspaces {
    /// Every keyspace, in the order of their names.
    pub async fn list(&self) -> Result<Vec<Described>, Refusal> {
        let all = self.engine.keyspaces().await?;
        Ok(all.into_iter().map(|facts| self.described(facts)).collect())
    }

    /// The keyspace called `name`.
    pub async fn describe(&self, name: &str) -> Result<Described, Refusal> {
        let facts = self.engine.keyspace_facts(name).await?;
        facts
            .map(|facts| self.described(facts))
            .ok_or_else(|| not_found(name))
    }

    /// Makes the keyspace `name`, or gives it that policy. What it keeps for a sink stays as it is: a request says nothing of
    /// that.
    pub async fn set(&self, name: &str, policy: &Policy) -> Result<KeyspaceSet, Refusal> {
        if !is_name(name) {
            return Err(Refusal::NoName {
                name: name.to_owned(),
            });
        }
        let _one = self.administration.lock().await;
        self.check_followed(name)?;
        self.check_defined(name)?;
        let limit = self.options.load().keyspaces;
        let policy = Policy {
            pending: self.pending_of(name, policy.durability),
            ..*policy
        };
        let _telling = self.tells_of_birth(name);
        Ok(self.engine.set_keyspace(name, &policy, limit).await?)
    }

    /// Drops the keyspace `name` with everything in it.
    pub async fn drop_one(&self, name: &str) -> Result<(), Refusal> {
        let _one = self.administration.lock().await;
        self.check_followed(name)?;
        self.check_droppable(name)?;
        let _telling = self.news.tells_at_the_end(name);
        if self.engine.drop_keyspace(name).await? {
            Ok(())
        } else {
            Err(not_found(name))
        }
    }

    /// Drops those of the keyspaces that there are, and says which; none where one of them may not be dropped.
    pub async fn drop_all(&self, names: &[&str]) -> Result<Vec<String>, Refusal> {
        let _one = self.administration.lock().await;
        for name in names {
            self.check_droppable(name)?;
            self.check_passed_on(name)?;
        }
        let mut dropped = Vec::new();
        for name in names {
            let _telling = self.news.tells_at_the_end(name);
            if self.engine.drop_keyspace(name).await? {
                dropped.push((*name).to_owned());
            }
        }
        Ok(dropped)
    }

    /// Tells of a keyspace that is about to be made; `None` where it is there already.
    pub(super) fn tells_of_birth(&self, name: &str) -> Option<Telling<'_>> {
        let absent = self.engine.keyspace(name).is_none();
        absent.then(|| self.news.tells_at_the_end(name))
    }

    /// Takes `names` for those that the configuration file defines from now on.
    pub(super) fn define(&self, names: BTreeSet<String>) {
        self.defined.store(Arc::new(names));
    }

    /// Waits until it is on disk which keyspaces there are.
    pub async fn settled(&self) -> Result<(), Refusal> {
        Ok(self.engine.settled().await?)
    }

    /// Refuses what the engine would refuse, before another keyspace is gone. What comes to wait in the meantime it still does.
    fn check_passed_on(&self, name: &str) -> Result<(), Refusal> {
        let Some(entries) = self.engine.keyspace(name) else {
            return Ok(());
        };
        let counts = entries.pending_counts();
        if counts.keys == 0 && counts.dead == 0 {
            return Ok(());
        }
        Err(Refusal::SinkPending {
            name: name.to_owned(),
            pending: counts.keys,
            dead: counts.dead,
        })
    }

    /// What the keyspace `name` goes on keeping for a sink, once it has this durability.
    fn pending_of(&self, name: &str, durability: Durability) -> Pending {
        match self.engine.keyspace(name) {
            Some(entries) if durability != Durability::Memory => entries.pending(),
            // In memory there can be nothing.
            Some(_) | None => Pending::None,
        }
    }

    fn described(&self, facts: KeyspaceFacts) -> Described {
        let defined_by = if self.defined.load().contains(&facts.name) {
            DefinedBy::File
        } else {
            DefinedBy::Requests
        };
        let source = match self.role(&facts.name) {
            Role::Plain | Role::Mirrored(_) => None,
            Role::Through(through) => Some(through.options().origin.kind()),
        };
        Described {
            facts,
            defined_by,
            source,
        }
    }

    fn check_droppable(&self, name: &str) -> Result<(), Refusal> {
        if name == DEFAULT {
            return Err(Refusal::KeyspaceProtected);
        }
        self.check_defined(name)
    }

    /// A keyspace that follows somebody else is only read.
    fn check_followed(&self, name: &str) -> Result<(), Refusal> {
        if let Role::Mirrored(_) = self.role(name) {
            let name = name.to_owned();
            return Err(Refusal::ReadOnly { name });
        }
        Ok(())
    }

    fn check_defined(&self, name: &str) -> Result<(), Refusal> {
        if self.defined.load().contains(name) {
            let name = name.to_owned();
            return Err(Refusal::DefinedByFile { name });
        }
        Ok(())
    }
}

fn not_found(name: &str) -> Refusal {
    Refusal::KeyspaceNotFound {
        name: name.to_owned(),
    }
}

impl From<KeyspaceFailure> for Refusal {
    fn from(failure: KeyspaceFailure) -> Self {
        match failure {
            KeyspaceFailure::DurabilityFixed {
                name,
                stored,
                asked,
            } => Self::DurabilityFixed {
                name,
                stored,
                asked,
            },
            KeyspaceFailure::TooMany { limit } => Self::TooManyKeyspaces { limit },
            KeyspaceFailure::SinkPending {
                name,
                pending,
                dead,
            } => Self::SinkPending {
                name,
                pending,
                dead,
            },
            KeyspaceFailure::NotLogged { name } => Self::SinkNeedsLog { name },
            KeyspaceFailure::Failed(failure) => failure.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for name in ["a", "users", "a-b_c", "-", "0", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Users", "a.b", "a/b", "a b", "\u{e4}", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
