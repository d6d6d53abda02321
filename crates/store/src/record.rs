//! A record: one change, as effects (the resulting value, the absolute expiry), and its bytes.
//!
//! | type | record | payload |
//! |---|---|---|
//! | 1 | put | `u32 keyspace, u8 flags, u8 media, u16 key len, [u64 expires_at], [u64 created_at], [u16 len, meta], key, value` |
//! | 2 | delete | `u32 keyspace, key` |
//! | 3 | expire | `u32 keyspace, u32 count, count x (u16 len, key)` |
//! | 4 | flush | `u32 keyspace` |
//! | 5 | keyspace | `u32 keyspace, u8 durability, u8 name len, name, policy fields: n x (u8 tag, u16 len, bytes)` |
//! | 6 | drop | `u32 keyspace` |
//! | 7 to 63 | reserved for batches, counters, evictions, prefix deletes and sinks | |
//! | 64 | seal | empty; the last record of a segment; carries the revision of the last change and takes none |
//! | 65 | mark | empty; tells the durable revision after an idle period; takes no revision |
//!
//! `flags`: 1 = `expires_at` is there, 2 = `created_at` is there (otherwise it is the record's time).
//! `media`: 0 = `text/plain; charset=utf-8`, 1 = `application/octet-stream`, 2 = meta is there:
//! `u16 len, content type, u16 len, content encoding, u16 len, owner`, where len 65535 means absent.
//! All integers are little-endian. Replay needs neither a clock nor a configuration.

use crate::int::wide;
use crate::options::Durability;

/// The type byte of a frame.
pub(crate) mod kind {
    pub(crate) const PUT: u8 = 1;
    pub(crate) const DELETE: u8 = 2;
    pub(crate) const EXPIRE: u8 = 3;
    pub(crate) const FLUSH: u8 = 4;
    pub(crate) const KEYSPACE: u8 = 5;
    pub(crate) const DROP: u8 = 6;
    pub(crate) const SEAL: u8 = 64;
    pub(crate) const MARK: u8 = 65;
}

const HAS_EXPIRY: u8 = 1;
const HAS_CREATED: u8 = 2;
const MEDIA_TEXT: u8 = 0;
const MEDIA_BINARY: u8 = 1;
const MEDIA_META: u8 = 2;
const ABSENT: u16 = u16::MAX;

/// What is kept about a value beside its bytes, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Meta<'a> {
    /// The media type.
    pub content_type: &'a str,
    /// The content encoding, where one was given.
    pub content_encoding: Option<&'a str>,
    /// The source that wrote the value, where one did.
    pub owner: Option<&'a str>,
}

impl<'a> Meta<'a> {
    /// The type of text that came without one.
    pub const TEXT: &'static str = "text/plain; charset=utf-8";
    /// The type of bytes that came without one.
    pub const BINARY: &'static str = "application/octet-stream";
    /// Most bytes that the three strings may have together.
    pub const MAX_BYTES: usize = 16 << 10;

    /// A value of that media type and nothing else.
    pub const fn of_type(content_type: &'a str) -> Self {
        Self {
            content_type,
            content_encoding: None,
            owner: None,
        }
    }

    /// Whether the strings are short enough to be stored.
    pub fn fits(&self) -> bool {
        let optional = |text: Option<&str>| text.map_or(0, str::len);
        self.content_type.len() + optional(self.content_encoding) + optional(self.owner)
            <= Self::MAX_BYTES
    }

    pub(crate) fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(6 + self.content_type.len());
        for text in [Some(self.content_type), self.content_encoding, self.owner] {
            let len = text.map_or(ABSENT, |text| {
                u16::try_from(text.len()).expect("Meta::fits is checked before")
            });
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut take = Take(bytes);
        let content_type = take.text()?.ok_or(Malformed("the media type is absent"))?;
        let meta = Self {
            content_type,
            content_encoding: take.text()?,
            owner: take.text()?,
        };
        if take.0.is_empty() {
            Ok(meta)
        } else {
            Err(Malformed("bytes behind the meta strings"))
        }
    }
}

/// What an entry is made of, beside the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) meta: Meta<'a>,
    pub(crate) expires_at_ms: Option<u64>,
    pub(crate) created_at_ms: u64,
}

/// 16 random bytes that belong to one segment.
pub(crate) type Salt = [u8; 16];

/// A valid frame whose payload does not read as its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A keyspace as the log and the snapshot keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyspaceRecord {
    pub(crate) id: u32,
    pub(crate) name: String,
    pub(crate) durability: Durability,
}

/// A change, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Put {
        keyspace: u32,
        parts: Parts<'a>,
        value: &'a [u8],
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
    },
    Keyspace(KeyspaceRecord),
    Drop {
        keyspace: u32,
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
    let expires = parts.expires_at_ms;
    let flags = if expires.is_some() { HAS_EXPIRY } else { 0 }
        | if created.is_some() { HAS_CREATED } else { 0 };
    out.extend_from_slice(&[flags, media]);
    out.extend_from_slice(&key_len(parts.key));
    for at in [expires, created].into_iter().flatten() {
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
    out.extend_from_slice(&crate::int::slot32(keys.len()).to_le_bytes());
    for key in keys {
        out.extend_from_slice(&key_len(key));
        out.extend_from_slice(key);
    }
    out
}

/// The payload of a flush or a drop.
pub(crate) fn whole_keyspace(keyspace: u32) -> Vec<u8> {
    keyspace.to_le_bytes().to_vec()
}

impl KeyspaceRecord {
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let mut out = self.id.to_le_bytes().to_vec();
        out.push(durability_code(self.durability));
        out.push(u8::try_from(self.name.len()).expect("keyspace names have at most 64 bytes"));
        out.extend_from_slice(self.name.as_bytes());
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut take = Take(payload);
        let id = take.u32()?;
        let durability = durability_of(take.u8()?)?;
        let len = usize::from(take.u8()?);
        let name = utf8(take.bytes(len)?)?.to_owned();
        // Policy fields of later versions of this format are skipped by their length, never guessed at.
        while !take.0.is_empty() {
            take.u8()?;
            let len = usize::from(take.u16()?);
            take.bytes(len)?;
        }
        Ok(Self {
            id,
            name,
            durability,
        })
    }
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
            kind::PUT => return Self::decode_put(payload, time_ms),
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
            },
            kind::DROP => Self::Drop {
                keyspace: take.u32()?,
            },
            kind::KEYSPACE => return KeyspaceRecord::decode(payload).map(Self::Keyspace),
            kind::SEAL => Self::Seal,
            kind::MARK => Self::Mark,
            _ => return Err(Malformed("unknown record type")),
        };
        if take.0.is_empty() {
            Ok(record)
        } else {
            Err(Malformed("bytes behind the record"))
        }
    }

    fn decode_put(payload: &'a [u8], time_ms: u64) -> Result<Self, Malformed> {
        let mut take = Take(payload);
        let keyspace = take.u32()?;
        let parts = take_parts(&mut take, time_ms)?;
        Ok(Self::Put {
            keyspace,
            parts,
            value: take.0,
        })
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
    let expires_at_ms = if flags & HAS_EXPIRY == 0 {
        None
    } else {
        Some(take.u64()?)
    };
    #[cfg(feature = "bug-relative-expiry")]
    let expires_at_ms = expires_at_ms.map(|at| at + 1_000);
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
        expires_at_ms,
        created_at_ms,
    })
}

/// Reads from the front of a slice; running out is an error, never a panic.
#[derive(Debug)]
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (front, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Malformed("it ends early"))?;
        self.0 = rest;
        Ok(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (front, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("it ends early"))?;
        self.0 = rest;
        Ok(*front)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A key behind its `u16` length.
    pub(crate) fn key(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::from(self.u16()?);
        self.bytes(len)
    }

    /// A text behind its `u16` length; `None` where that says absent.
    pub(crate) fn text(&mut self) -> Result<Option<&'a str>, Malformed> {
        match self.u16()? {
            ABSENT => Ok(None),
            len => utf8(self.bytes(usize::from(len))?).map(Some),
        }
    }
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    str::from_utf8(bytes)
        .ok()
        .ok_or(Malformed("a text is not UTF-8"))
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
    wide(8 + 16 + meta + parts.key.len()) + wide(value_len)
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
            for (expires_at_ms, created_at_ms) in [(None, 5), (Some(9), 5), (Some(9), 4)] {
                let parts = Parts {
                    key: b"key",
                    meta,
                    expires_at_ms,
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
                        value: b"value"
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
            Record::Flush { keyspace: 9 }
        );
        assert_eq!(
            round(kind::DROP, &whole_keyspace(9), 0),
            Record::Drop { keyspace: 9 }
        );
        let keyspace = KeyspaceRecord {
            id: 7,
            name: "default".to_owned(),
            durability: Durability::Written,
        };
        let encoded = keyspace.encoded();
        assert_eq!(
            round(kind::KEYSPACE, &encoded, 0),
            Record::Keyspace(keyspace)
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
