//! What the configuration file says about keyspaces, brought to the engine: made where they are absent, given their policy
//! where they are there, never dropped. It must not know when that happens: at a start and at a reload it is the same.

use std::collections::BTreeMap;

use super::{Durability, Failure, Keyspaces};
use crate::engine::{KeyspaceFacts, KeyspaceFailure, Pending, Policy};

/// Why the keyspaces are not what the file says.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotDefined {
    /// To or from `memory` only while the keyspace is empty.
    #[error(
        "keyspaces.{keyspace}.durability: it is {stored} and holds values, so it cannot become {asked}; flush it first, \
         or take the change back"
    )]
    DurabilityFixed {
        /// The keyspace.
        keyspace: String,
        /// What it is.
        stored: Durability,
        /// What was asked for.
        asked: Durability,
    },
    /// With those that are there already there would be too many.
    #[error(
        "keyspaces.{keyspace}: with it there would be {actual} keyspaces, and limits.keyspaces is {limit}; drop some, or \
         raise the limit"
    )]
    TooMany {
        /// The first that is one too many.
        keyspace: String,
        /// How many there would be.
        actual: usize,
        /// How many there may be.
        limit: usize,
    },
    /// What waits to be passed on by the sink that there was would get lost.
    #[error(
        "keyspaces.{keyspace}: {pending} keys wait to be passed on by the sink that it has had, and {dead} could not be; \
         let them be passed on first, or take the change back"
    )]
    SinkPending {
        /// The keyspace.
        keyspace: String,
        /// Keys that are pending; one that is in two generations counts twice.
        pending: u64,
        /// Keys that could not be passed on.
        dead: u64,
    },
    /// A keyspace in memory can have no sink.
    #[error("keyspaces.{keyspace}: it is in memory, so it can have no sink")]
    SinkNeedsLog {
        /// The keyspace.
        keyspace: String,
    },
    /// The engine could not be told.
    #[error("keyspaces: {failure}")]
    Failed {
        /// What failed.
        #[from]
        failure: Failure,
    },
}

impl Keyspaces {
    /// Brings every keyspace of the file to its policy; from then on these names are the file's. What was there keeps its
    /// data, and a name that is the file's no longer keeps all that it has, but keeps nothing new for a sink.
    ///
    /// All of it or nothing: what can be refused is refused before anything is changed, and where the engine fails in the
    /// middle the policies go back to what they were.
    pub async fn apply_file(
        &self,
        defined: &[(String, Policy)],
        limit: usize,
    ) -> Result<(), NotDefined> {
        // Whoever has asked whether a name is the file's has done what it wanted before the answer changes.
        let _one = self.administration.lock().await;
        let there = self.engine.keyspaces().await?.into_iter();
        let there: BTreeMap<_, _> = there.map(|facts| (facts.name.clone(), facts)).collect();
        check(&there, defined, limit)?;
        let mut changed = Vec::new();
        for (name, policy) in defined {
            let before = there.get(name).map(|facts| facts.policy);
            if before == Some(*policy) {
                continue;
            }
            let _telling = self.tells_of_birth(name);
            if let Err(failure) = self.engine.set_keyspace(name, policy, limit).await {
                self.go_back(changed).await;
                return Err(not_defined(name, there.len(), failure));
            }
            changed.push((name, before));
        }
        for (name, policy) in without_sink(&there, defined) {
            let before = there.get(name).map(|facts| facts.policy);
            if let Err(failure) = self.engine.set_keyspace(name, &policy, limit).await {
                self.go_back(changed).await;
                return Err(not_defined(name, there.len(), failure));
            }
            changed.push((name, before));
        }
        self.define(defined.iter().map(|(name, _)| name.clone()).collect());
        Ok(())
    }

    /// Gives keyspaces the policies that they had. What was made stays: somebody may have put values there already.
    async fn go_back(&self, changed: Vec<(&String, Option<Policy>)>) {
        for (name, before) in changed {
            let Some(before) = before else { continue };
            if let Err(error) = self.engine.set_keyspace(name, &before, usize::MAX).await {
                tracing::error!(
                    keyspace = name,
                    %error,
                    "a policy that was changed could not be changed back"
                );
            }
        }
    }
}

/// The keyspaces that keep something for a sink and are not the file's any more, with the policy that keeps nothing new: nobody
/// would pass it on. What waits already stays.
fn without_sink<'a>(
    there: &'a BTreeMap<String, KeyspaceFacts>,
    defined: &[(String, Policy)],
) -> Vec<(&'a String, Policy)> {
    let is_defined = |name: &String| defined.iter().any(|(known, _)| known == name);
    let keeping = there
        .iter()
        .filter(|(_, facts)| facts.policy.pending != Pending::None);
    keeping
        .filter(|(name, _)| !is_defined(name))
        .map(|(name, facts)| {
            let pending = Pending::None;
            let policy = Policy {
                pending,
                ..facts.policy
            };
            (name, policy)
        })
        .collect()
}

/// Refuses what the engine would refuse, before it has done the half of it.
fn check(
    there: &BTreeMap<String, KeyspaceFacts>,
    defined: &[(String, Policy)],
    limit: usize,
) -> Result<(), NotDefined> {
    let mut actual = there.len();
    for (name, policy) in defined {
        let Some(facts) = there.get(name) else {
            actual += 1;
            if actual > limit {
                let keyspace = name.clone();
                return Err(NotDefined::TooMany {
                    keyspace,
                    actual,
                    limit,
                });
            }
            continue;
        };
        let (stored, asked) = (facts.policy.durability, policy.durability);
        let logged = |durability| durability != Durability::Memory;
        if logged(stored) != logged(asked) && facts.keys > 0 {
            let keyspace = name.clone();
            return Err(NotDefined::DurabilityFixed {
                keyspace,
                stored,
                asked,
            });
        }
    }
    Ok(())
}

/// The same in words of the file.
fn not_defined(keyspace: &str, there: usize, failure: KeyspaceFailure) -> NotDefined {
    let keyspace = keyspace.to_owned();
    match failure {
        KeyspaceFailure::DurabilityFixed { stored, asked, .. } => NotDefined::DurabilityFixed {
            keyspace,
            stored,
            asked,
        },
        KeyspaceFailure::TooMany { limit } => NotDefined::TooMany {
            keyspace,
            actual: there + 1,
            limit,
        },
        KeyspaceFailure::SinkPending { pending, dead, .. } => NotDefined::SinkPending {
            keyspace,
            pending,
            dead,
        },
        KeyspaceFailure::NotLogged { .. } => NotDefined::SinkNeedsLog { keyspace },
        KeyspaceFailure::Failed(failure) => NotDefined::Failed { failure },
    }
}
