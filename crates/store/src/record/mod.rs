//! A record: one change, as effects (the resulting value, the absolute expiry), and its bytes.
//!
//! | type | record | payload |
//! |---|---|---|
//! | 1 | put | `u32 keyspace, u8 flags, u8 media, u16 key len, [u64 expires_at], [u64 stale_at], [u64 created_at], [u16 len, meta], key, value` |
//! | 2 | delete | `u32 keyspace, key` |
//! | 3 | expire | `u32 keyspace, u32 count, count x (u16 len, key)` |
//! | 4 | flush | `u32 keyspace` |
//! | 5 | keyspace | `u32 keyspace, u8 durability, u8 name len, name, policy fields: n x (u8 tag, u16 len, bytes)` |
//! | 6 | drop | `u32 keyspace` |
//! | 7 | increment | `i64 delta`, then as a put: the counter after it |
//! | 8 | touch | `u32 keyspace, u8 flags, [u64 expires_at], [u64 stale_at], key`: these times alone have changed |
//! | 9 | delete by prefix | `u32 keyspace, u16 len, prefix, u32 count, count x (u16 len, key)`: a step of at most 1,000 keys |
//! | 10 | batch | `u32 count, count x (u8 type, u32 len, payload)` of types 1, 2 and 7: all of them or none |
//! | 11 | evict | `u32 keyspace, u32 count, u32 count, both counts x (u16 len, key)`: what left by time, then what left for room |
//! | 12 | change that evicts | as an evict, then `u8 type` and the payload of the change, of type 1, 7, 8, 10 or 13 |
//! | 13 | change that makes something pending | `u64 generation, u8 what, [u32 count, count x i64]`, then `u8 type` and the payload of the change, of type 1, 2, 4, 7, 9 or 10 |
//! | 14 | freeze | `u32 keyspace, u64 generation, u64 mark`: what is pending in the generation is to be passed on |
//! | 15 | drop of a generation | `u32 keyspace, u64 generation`: it was passed on |
//! | 16 | burial | `u32 keyspace, u64 generation, u32 count, count x (u16 len, key, pended 128, u16 len, reason)`: could not be passed on |
//! | 17 | redrive | `u32 keyspace, u64 generation, u32 count, count x (u16 len, key, pended 64)`: pending once more, in this generation |
//! | 18 to 63 | reserved | |
//! | 64 | seal | empty; the last record of a segment; carries the revision of the last change and takes none |
//! | 65 | mark | empty; tells the durable revision after an idle period; takes no revision |
//!
//! `flags`: 1 = `expires_at` is there, 2 = `created_at` is there (otherwise it is the record's time), 4 = `stale_at` is there.
//! `media`: 0 = `text/plain; charset=utf-8`, 1 = `application/octet-stream`, 2 = meta is there:
//! `u16 len, content type, u16 len, content encoding, u16 len, owner`, where len 65535 means absent.
//! `what` of a change that makes something pending: 0 = its keys are marked, but for those that it deletes, 1 = all of its keys
//! are, of a flush all that it finds, 2 = the pending sums of its increments that add anything, after it, in their order.
//! `pended`: `u8` 0 = a mark, or 1 and the sum, an integer of so many bits.
//! All integers are little-endian. Replay needs neither a clock nor a configuration.

mod evict;
mod keyspace;
mod lifetime;
mod meta;
pub(crate) mod pending;
mod take;

pub(crate) use evict::{EVICT_BYTES, Evict, evict};
pub(crate) use keyspace::KeyspaceRecord;
pub use lifetime::Lifetime;
pub use meta::Meta;
use pending::{Buried, Pends, Redriven};
pub(crate) use take::Take;

use crate::int::{slot32, wide};

/// The type byte of a frame.
pub(crate) mod kind {
    pub(crate) const PUT: u8 = 1;
    pub(crate) const DELETE: u8 = 2;
    pub(crate) const EXPIRE: u8 = 3;
    pub(crate) const FLUSH: u8 = 4;
    pub(crate) const KEYSPACE: u8 = 5;
    pub(crate) const DROP: u8 = 6;
    pub(crate) const INCREMENT: u8 = 7;
    pub(crate) const TOUCH: u8 = 8;
    pub(crate) const DELETE_PREFIX: u8 = 9;
    pub(crate) const BATCH: u8 = 10;
    pub(crate) const EVICT: u8 = 11;
    pub(crate) const EVICTING: u8 = 12;
    pub(crate) const PENDING: u8 = 13;
    pub(crate) const FREEZE: u8 = 14;
    pub(crate) const DROP_GENERATION: u8 = 15;
    pub(crate) const BURY: u8 = 16;
    pub(crate) const REDRIVE: u8 = 17;
    pub(crate) const SEAL: u8 = 64;
    pub(crate) const MARK: u8 = 65;
}

const HAS_CREATED: u8 = 2;
const MEDIA_TEXT: u8 = 0;
const MEDIA_BINARY: u8 = 1;
const MEDIA_META: u8 = 2;

/// What an entry is made of, beside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) meta: Meta<'a>,
    pub(crate) lifetime: Lifetime,
    pub(crate) created_at_ms: u64,
}

/// 16 random bytes that belong to one segment.
pub(crate) type Salt = [u8; 16];

/// A valid frame whose payload does not read as its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A change, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Put {
        keyspace: u32,
        parts: Parts<'a>,
        value: &'a [u8],
        /// What was added, where the value is a counter that was incremented.
        delta: Option<i64>,
    },
    Delete {
        keyspace: u32,
        key: &'a [u8],
    },
    Expire {
        keyspace: u32,
        keys: Vec<&'a [u8]>,
    },
    Flush {
        keyspace: u32,
        /// When: what had expired by then was not there to be counted.
        time_ms: u64,
    },
    Keyspace(KeyspaceRecord),
    Drop {
        keyspace: u32,
    },
    Touch {
        keyspace: u32,
        key: &'a [u8],
        lifetime: Lifetime,
    },
    DeletePrefix {
        keyspace: u32,
        prefix: &'a [u8],
        keys: Vec<&'a [u8]>,
    },
    /// Changes of one revision, each with its place in the batch by its order.
    Batch(Vec<Self>),
    /// Entries that left so that others fit, and the change that they made room for, where it is of the same revision.
    Evict(Evict<'a>, Option<Box<Self>>),
    /// A change, and what it makes pending for a sink.
    Pending {
        generation: u64,
        pends: Pends,
        time_ms: u64,
        change: Box<Self>,
    },
    /// What is pending in `generation` is to be passed on, the next generation begins.
    Freeze {
        keyspace: u32,
        generation: u64,
        /// Of the start that logged it.
        mark: u64,
    },
    /// What was pending in `generation` has been passed on.
    DropGeneration {
        keyspace: u32,
        generation: u64,
    },
    /// Some of what is pending in `generation` could not be passed on.
    Bury {
        keyspace: u32,
        generation: u64,
        time_ms: u64,
        letters: Vec<Buried<'a>>,
    },
    /// Some of that is pending once more, in `generation`.
    Redrive {
        keyspace: u32,
        generation: u64,
        time_ms: u64,
        keys: Vec<Redriven<'a>>,
    },
    Seal,
    Mark,
}

/// Appends everything of a put's payload but key and value, which follow it in one piece.
pub(crate) fn put_prefix(out: &mut Vec<u8>, keyspace: u32, parts: &Parts<'_>, time_ms: u64) {
    out.extend_from_slice(&keyspace.to_le_bytes());
    put_parts(out, parts, time_ms);
}

/// Appends what a put and an entry of a snapshot have in common, up to the key, which follows.
pub(crate) fn put_parts(out: &mut Vec<u8>, parts: &Parts<'_>, time_ms: u64) {
    let media = match parts.meta {
        meta if meta == Meta::of_type(Meta::TEXT) => MEDIA_TEXT,
        meta if meta == Meta::of_type(Meta::BINARY) => MEDIA_BINARY,
        _ => MEDIA_META,
    };
    let created = (parts.created_at_ms != time_ms).then_some(parts.created_at_ms);
    let flags = parts.lifetime.flags() | if created.is_some() { HAS_CREATED } else { 0 };
    out.extend_from_slice(&[flags, media]);
    out.extend_from_slice(&key_len(parts.key));
    parts.lifetime.put(out);
    if let Some(at) = created {
        out.extend_from_slice(&at.to_le_bytes());
    }
    if media == MEDIA_META {
        let encoded = parts.meta.encoded();
        let len = u16::try_from(encoded.len()).expect("Meta::fits is checked before");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&encoded);
    }
}

/// The payload of a delete.
pub(crate) fn delete(keyspace: u32, key: &[u8]) -> Vec<u8> {
    [&keyspace.to_le_bytes(), key].concat()
}

/// The payload of an expiry of several keys.
pub(crate) fn expire(keyspace: u32, keys: &[&[u8]]) -> Vec<u8> {
    let mut out = keyspace.to_le_bytes().to_vec();
    put_keys(&mut out, keys);
    out
}

fn put_keys(out: &mut Vec<u8>, keys: &[&[u8]]) {
    out.extend_from_slice(&slot32(keys.len()).to_le_bytes());
    for key in keys {
        out.extend_from_slice(&key_len(key));
        out.extend_from_slice(key);
    }
}

/// The payload of a step of a delete by prefix.
pub(crate) fn delete_prefix(keyspace: u32, prefix: &[u8], keys: &[&[u8]]) -> Vec<u8> {
    let mut out = keyspace.to_le_bytes().to_vec();
    out.extend_from_slice(&key_len(prefix));
    out.extend_from_slice(prefix);
    put_keys(&mut out, keys);
    out
}

/// Bytes of the payload of a step of a delete by prefix.
pub(crate) fn delete_prefix_len(prefix: &[u8], keys: usize, key_bytes: usize) -> u64 {
    wide(4 + 2 + prefix.len() + 4 + 2 * keys + key_bytes)
}

/// The payload of a change of an entry's lifetime.
pub(crate) fn touch(keyspace: u32, key: &[u8], lifetime: &Lifetime) -> Vec<u8> {
    let mut out = keyspace.to_le_bytes().to_vec();
    out.push(lifetime.flags());
    lifetime.put(&mut out);
    out.extend_from_slice(key);
    out
}

/// The most bytes that the payload of a change of a lifetime takes.
pub(crate) fn touch_len(key: &[u8]) -> u64 {
    wide(4 + 1 + 8 + 8 + key.len())
}

/// Bytes of a part of a batch before its own payload.
pub(crate) const BATCH_PART: usize = 5;

/// Adds a part to a batch's payload, which begins with the count of them.
pub(crate) fn batch_part(out: &mut Vec<u8>, kind: u8, pieces: [&[u8]; 2]) {
    out.push(kind);
    let [first, second] = pieces;
    out.extend_from_slice(&slot32(first.len() + second.len()).to_le_bytes());
    out.extend_from_slice(first);
    out.extend_from_slice(second);
}

/// The payload of a flush or a drop.
pub(crate) fn whole_keyspace(keyspace: u32) -> Vec<u8> {
    keyspace.to_le_bytes().to_vec()
}

fn key_len(key: &[u8]) -> [u8; 2] {
    u16::try_from(key.len())
        .expect("keys are checked against MAX_KEY_BYTES before")
        .to_le_bytes()
}

impl<'a> Record<'a> {
    /// Reads the payload of a valid frame of type `code` and time `time_ms`.
    pub(crate) fn decode(code: u8, payload: &'a [u8], time_ms: u64) -> Result<Self, Malformed> {
        let mut take = Take(payload);
        let record = match code {
            kind::PUT => return Self::decode_put(payload, time_ms, None),
            kind::DELETE => {
                let keyspace = take.u32()?;
                return Ok(Self::Delete {
                    keyspace,
                    key: take.0,
                });
            }
            kind::EXPIRE => {
                let keyspace = take.u32()?;
                let count = take.u32()?;
                let keys = (0..count).map(|_| take.key()).collect::<Result<_, _>>()?;
                Self::Expire { keyspace, keys }
            }
            kind::FLUSH => Self::Flush {
                keyspace: take.u32()?,
                time_ms,
            },
            kind::DROP => Self::Drop {
                keyspace: take.u32()?,
            },
            kind::KEYSPACE => return KeyspaceRecord::decode(payload).map(Self::Keyspace),
            kind::INCREMENT => {
                let delta = i64::from_le_bytes(take.array()?);
                return Self::decode_put(take.0, time_ms, Some(delta));
            }
            kind::TOUCH => {
                let keyspace = take.u32()?;
                let flags = take.u8()?;
                let lifetime = Lifetime::take(&mut take, flags)?;
                let key = std::mem::take(&mut take.0);
                Self::Touch {
                    keyspace,
                    key,
                    lifetime,
                }
            }
            kind::DELETE_PREFIX => {
                let keyspace = take.u32()?;
                let prefix = take.key()?;
                let count = take.u32()?;
                let keys = (0..count).map(|_| take.key()).collect::<Result<_, _>>()?;
                Self::DeletePrefix {
                    keyspace,
                    prefix,
                    keys,
                }
            }
            kind::BATCH => {
                let count = take.u32()?;
                let parts = (0..count).map(|_| Self::decode_part(&mut take, time_ms));
                Self::Batch(parts.collect::<Result<_, _>>()?)
            }
            kind::EVICT => Self::Evict(Evict::take(&mut take)?, None),
            kind::EVICTING => {
                let evict = Evict::take(&mut take)?;
                let change = Self::decode_room_made_for(&mut take, time_ms)?;
                Self::Evict(evict, Some(Box::new(change)))
            }
            kind::SEAL => Self::Seal,
            kind::MARK => Self::Mark,
            _ => Self::decode_pending(code, &mut take, time_ms)?,
        };
        if take.0.is_empty() {
            Ok(record)
        } else {
            Err(Malformed("bytes behind the record"))
        }
    }

    /// One change of a batch; a batch in a batch is no change.
    fn decode_part(take: &mut Take<'a>, time_ms: u64) -> Result<Self, Malformed> {
        let code = take.u8()?;
        let len = crate::int::index(take.u32()?);
        let payload = take.bytes(len)?;
        match code {
            kind::PUT | kind::DELETE | kind::INCREMENT => Self::decode(code, payload, time_ms),
            _ => Err(Malformed("a batch holds what no batch may")),
        }
    }

    /// The change that others have made room for.
    fn decode_room_made_for(take: &mut Take<'a>, time_ms: u64) -> Result<Self, Malformed> {
        let code = take.u8()?;
        let payload = std::mem::take(&mut take.0);
        match code {
            kind::PUT | kind::INCREMENT | kind::TOUCH | kind::BATCH | kind::PENDING => {
                Self::decode(code, payload, time_ms)
            }
            _ => Err(Malformed("entries left for what needs no room")),
        }
    }

    fn decode_put(payload: &'a [u8], time_ms: u64, delta: Option<i64>) -> Result<Self, Malformed> {
        let mut take = Take(payload);
        let keyspace = take.u32()?;
        let parts = take_parts(&mut take, time_ms)?;
        Ok(Self::Put {
            keyspace,
            parts,
            value: take.0,
            delta,
        })
    }

    /// The keyspace that the record is about, where it is about one.
    pub(crate) fn keyspace(&self) -> Option<u32> {
        match self {
            Self::Put { keyspace, .. }
            | Self::Delete { keyspace, .. }
            | Self::Expire { keyspace, .. }
            | Self::Flush { keyspace, .. }
            | Self::Drop { keyspace }
            | Self::Touch { keyspace, .. }
            | Self::DeletePrefix { keyspace, .. }
            | Self::Freeze { keyspace, .. }
            | Self::DropGeneration { keyspace, .. }
            | Self::Bury { keyspace, .. }
            | Self::Redrive { keyspace, .. } => Some(*keyspace),
            Self::Keyspace(record) => Some(record.id),
            // All of its parts are about one.
            Self::Batch(parts) => parts.first().and_then(Self::keyspace),
            Self::Evict(evict, _) => Some(evict.keyspace),
            Self::Pending { change, .. } => change.keyspace(),
            Self::Seal | Self::Mark => None,
        }
    }

    /// Whether a record of this type takes a revision of its own.
    pub(crate) fn takes_revision(code: u8) -> bool {
        code != kind::SEAL && code != kind::MARK
    }
}

/// Reads what [`put_parts`] wrote, and the key; the value follows.
pub(crate) fn take_parts<'a>(take: &mut Take<'a>, time_ms: u64) -> Result<Parts<'a>, Malformed> {
    let flags = take.u8()?;
    let media = take.u8()?;
    let key_len = usize::from(take.u16()?);
    let lifetime = Lifetime::take(take, flags)?;
    let created_at_ms = if flags & HAS_CREATED == 0 {
        time_ms
    } else {
        take.u64()?
    };
    let meta = match media {
        MEDIA_TEXT => Meta::of_type(Meta::TEXT),
        MEDIA_BINARY => Meta::of_type(Meta::BINARY),
        MEDIA_META => {
            let len = usize::from(take.u16()?);
            Meta::decode(take.bytes(len)?)?
        }
        _ => return Err(Malformed("unknown media code")),
    };
    let key = take.bytes(key_len)?;
    Ok(Parts {
        key,
        meta,
        lifetime,
        created_at_ms,
    })
}

/// The most bytes that the payload of a put takes, however it comes out.
pub(crate) fn put_payload_len(parts: &Parts<'_>, value_len: usize) -> u64 {
    let meta =
        if parts.meta == Meta::of_type(Meta::TEXT) || parts.meta == Meta::of_type(Meta::BINARY) {
            0
        } else {
            let optional = |text: Option<&str>| text.map_or(0, str::len);
            8 + parts.meta.content_type.len()
                + optional(parts.meta.content_encoding)
                + optional(parts.meta.owner)
        };
    wide(8 + 24 + meta + parts.key.len()) + wide(value_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(code: u8, payload: &[u8], time_ms: u64) -> Record<'_> {
        Record::decode(code, payload, time_ms).unwrap()
    }

    #[test]
    fn every_record_reads_back_and_no_cut_of_it_panics() {
        let metas = [
            Meta::of_type(Meta::TEXT),
            Meta::of_type(Meta::BINARY),
            Meta {
                content_type: "a/b",
                content_encoding: Some(""),
                owner: Some("o"),
            },
        ];
        for meta in metas {
            let times = [None, Some(9)].into_iter();
            let times = times.flat_map(|a| [None, Some(7)].map(|b| (a, b)));
            for ((expires_at_ms, stale_at_ms), created_at_ms) in
                times.flat_map(|times| [(times, 5), (times, 4)])
            {
                let parts = Parts {
                    key: b"key",
                    meta,
                    lifetime: Lifetime {
                        expires_at_ms,
                        stale_at_ms,
                    },
                    created_at_ms,
                };
                let mut payload = Vec::new();
                put_prefix(&mut payload, 1, &parts, 5);
                payload.extend_from_slice(b"keyvalue");
                assert!(wide(payload.len()) <= put_payload_len(&parts, 5));
                assert_eq!(
                    round(kind::PUT, &payload, 5),
                    Record::Put {
                        keyspace: 1,
                        parts,
                        value: b"value",
                        delta: None
                    }
                );
                for cut in 0..payload.len() - 5 {
                    assert!(
                        Record::decode(kind::PUT, &payload[..cut], 5).is_err(),
                        "cut at {cut}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_small_record_reads_back() {
        for (expires_at_ms, stale_at_ms) in [
            (None, None),
            (Some(9), None),
            (None, Some(8)),
            (Some(9), Some(8)),
        ] {
            let lifetime = Lifetime {
                expires_at_ms,
                stale_at_ms,
            };
            let payload = touch(3, b"k", &lifetime);
            assert!(wide(payload.len()) <= touch_len(b"k"));
            assert_eq!(
                round(kind::TOUCH, &payload, 0),
                Record::Touch {
                    keyspace: 3,
                    key: b"k",
                    lifetime
                }
            );
        }
        assert_eq!(
            round(kind::DELETE, &delete(3, b"k"), 0),
            Record::Delete {
                keyspace: 3,
                key: b"k"
            }
        );
        let keys: [&[u8]; 2] = [b"a", b""];
        let expired = expire(3, &keys);
        assert_eq!(
            round(kind::EXPIRE, &expired, 0),
            Record::Expire {
                keyspace: 3,
                keys: keys.to_vec()
            }
        );
        assert_eq!(
            round(kind::FLUSH, &whole_keyspace(9), 0),
            Record::Flush {
                keyspace: 9,
                time_ms: 0
            }
        );
        assert_eq!(
            round(kind::DROP, &whole_keyspace(9), 0),
            Record::Drop { keyspace: 9 }
        );
        assert_eq!(
            Record::decode(200, b"", 0),
            Err(Malformed("unknown record type"))
        );
        assert_eq!(
            Record::decode(kind::SEAL, b"x", 0),
            Err(Malformed("bytes behind the record"))
        );
    }

    #[test]
    fn a_count_that_the_payload_cannot_hold_is_malformed_without_allocating() {
        let mut lie = 1_u32.to_le_bytes().to_vec();
        lie.extend_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(
            Record::decode(kind::EXPIRE, &lie, 0),
            Err(Malformed("it ends early"))
        );
    }
}
