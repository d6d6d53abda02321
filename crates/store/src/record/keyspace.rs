//! A keyspace's record: its name and its policy, in fields that a later version may add to.
//!
//! | tag | field |
//! |---|---|
//! | 1 | `u64` default time to live, in milliseconds |
//! | 2 | `u64` most bytes of memory |
//! | 3 | `u8` what leaves when that is full: 0 = what `SIEVE` picks, 1 = nothing |
//! | 4 | `u64` how long a client may keep an answer, in milliseconds |
//! | 5 | `u32` the keyspace of the same name that this one takes the place of; it is dropped by the same record |
//! | 6 | `u8, u64` what is kept for a sink, and how much of it at most: 1 = sums, 2 = marks, 3 = marks also of what was deleted |

use super::take::utf8;
use super::{Malformed, Take};
use crate::options::{Deletes, Durability, Eviction, Pending, Policy};

const TTL: u8 = 1;
const MAX_BYTES: u8 = 2;
const EVICTION: u8 = 3;
const CLIENT_MAX_AGE: u8 = 4;
const REPLACES: u8 = 5;
const PENDING: u8 = 6;

/// A keyspace as the log and the snapshot keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyspaceRecord {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) policy: Policy,
    /// The keyspace of the same name that is dropped by this record.
    pub(crate) replaces: Option<u32>,
}

impl KeyspaceRecord {
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let policy = &self.policy;
        let mut out = self.id.to_le_bytes().to_vec();
        out.push(durability_code(policy.durability));
        out.push(u8::try_from(self.name.len()).expect("keyspace names have at most 64 bytes"));
        out.extend_from_slice(self.name.as_bytes());
        let numbers = [
            (TTL, policy.ttl_ms),
            (MAX_BYTES, policy.max_bytes),
            (CLIENT_MAX_AGE, policy.client_max_age_ms),
        ];
        for (tag, number) in numbers {
            if let Some(number) = number {
                field(&mut out, tag, &number.to_le_bytes());
            }
        }
        if policy.eviction == Eviction::None {
            field(&mut out, EVICTION, &[1]);
        }
        if let Some(id) = self.replaces {
            field(&mut out, REPLACES, &id.to_le_bytes());
        }
        if let Some((code, most)) = pending_code(policy.pending) {
            field(
                &mut out,
                PENDING,
                &[&[code][..], &most.to_le_bytes()].concat(),
            );
        }
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut take = Take(payload);
        let id = take.u32()?;
        let durability = durability_of(take.u8()?)?;
        let len = usize::from(take.u8()?);
        let name = utf8(take.bytes(len)?)?.to_owned();
        let mut policy = Policy {
            durability,
            ..Policy::default()
        };
        let mut replaces = None;
        while !take.0.is_empty() {
            let tag = take.u8()?;
            let mut value = Take(take.key()?);
            match tag {
                TTL => policy.ttl_ms = Some(value.u64()?),
                MAX_BYTES => policy.max_bytes = Some(value.u64()?),
                EVICTION => policy.eviction = eviction_of(value.u8()?)?,
                CLIENT_MAX_AGE => policy.client_max_age_ms = Some(value.u64()?),
                REPLACES => replaces = Some(value.u32()?),
                PENDING => policy.pending = pending_of(value.u8()?, value.u64()?)?,
                // Fields of later versions of this format are skipped by their length, never guessed at.
                _ => {}
            }
        }
        Ok(Self {
            id,
            name,
            policy,
            replaces,
        })
    }
}

fn field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    let len = u16::try_from(bytes.len()).expect("fields of a policy have a few bytes");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn durability_code(durability: Durability) -> u8 {
    match durability {
        Durability::Synced => 0,
        Durability::Written => 1,
        Durability::Memory => 2,
    }
}

fn durability_of(code: u8) -> Result<Durability, Malformed> {
    match code {
        0 => Ok(Durability::Synced),
        1 => Ok(Durability::Written),
        2 => Ok(Durability::Memory),
        _ => Err(Malformed("unknown durability")),
    }
}

fn eviction_of(code: u8) -> Result<Eviction, Malformed> {
    match code {
        0 => Ok(Eviction::Sieve),
        1 => Ok(Eviction::None),
        _ => Err(Malformed("unknown eviction")),
    }
}

fn pending_code(pending: Pending) -> Option<(u8, u64)> {
    match pending {
        Pending::None => None,
        Pending::Sums { most } => Some((1, most)),
        Pending::Latest {
            deletes: Deletes::Ignore,
            most,
        } => Some((2, most)),
        Pending::Latest {
            deletes: Deletes::Propagate,
            most,
        } => Some((3, most)),
    }
}

fn pending_of(code: u8, most: u64) -> Result<Pending, Malformed> {
    let latest = |deletes| Pending::Latest { deletes, most };
    match code {
        1 => Ok(Pending::Sums { most }),
        2 => Ok(latest(Deletes::Ignore)),
        3 => Ok(latest(Deletes::Propagate)),
        _ => Err(Malformed("unknown kind of what is pending")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_reads_back_and_fields_of_later_versions_are_skipped() {
        for replaces in [None, Some(3)] {
            let latest = |deletes| Pending::Latest { deletes, most: 7 };
            for (ttl_ms, max_bytes, eviction, pending) in [
                (None, None, Eviction::Sieve, Pending::None),
                (
                    Some(1),
                    Some(u64::MAX),
                    Eviction::None,
                    Pending::Sums { most: u64::MAX },
                ),
                (None, None, Eviction::Sieve, latest(Deletes::Ignore)),
                (None, None, Eviction::Sieve, latest(Deletes::Propagate)),
            ] {
                let keyspace = KeyspaceRecord {
                    id: 7,
                    name: "default".to_owned(),
                    policy: Policy {
                        durability: Durability::Memory,
                        ttl_ms,
                        max_bytes,
                        eviction,
                        client_max_age_ms: ttl_ms,
                        pending,
                    },
                    replaces,
                };
                let mut encoded = keyspace.encoded();
                assert_eq!(KeyspaceRecord::decode(&encoded), Ok(keyspace.clone()));
                field(&mut encoded, 200, b"later");
                assert_eq!(KeyspaceRecord::decode(&encoded), Ok(keyspace));
                encoded.pop();
                assert_eq!(
                    KeyspaceRecord::decode(&encoded),
                    Err(Malformed("it ends early"))
                );
            }
        }
    }
}
