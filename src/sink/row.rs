//! What is passed on, and what a target can say about it. It must not know how either is kept or sent.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A key with what has become of it.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Row {
    /// The key.
    pub(super) key: Bytes,
    /// What is to be done at the target.
    pub(super) change: Change,
}

/// What is to be done at the target for one key.
#[derive(Clone, Eq, PartialEq)]
pub(super) enum Change {
    /// Add this to what is there, and take nothing for 0.
    Add(i64),
    /// Let this be what is there.
    Put(Value),
    /// Let nothing be there.
    Remove,
}

/// A value with what its writer has said about it.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Value {
    /// As it was put.
    pub(super) bytes: Bytes,
    /// What the bytes are.
    pub(super) media_type: Arc<str>,
    /// How they are encoded, where that was said.
    pub(super) content_encoding: Option<Arc<str>>,
}

impl Row {
    /// About how many bytes it takes on its way.
    pub(super) fn weight(&self) -> usize {
        let value = match &self.change {
            Change::Add(_) | Change::Remove => 8,
            Change::Put(value) => value.bytes.len(),
        };
        self.key.len() + value
    }

    /// The key of a row that is known to be text.
    pub(super) fn key_text(&self) -> &str {
        text(&self.key)
    }

    /// What is added; 0 where nothing is.
    pub(super) fn sum(&self) -> i64 {
        match self.change {
            Change::Add(sum) => sum,
            Change::Put(_) | Change::Remove => 0,
        }
    }
}

/// Bytes that are known to be text: rows that are not were set aside before.
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither keys nor values are shown: they may be secrets.
        let change = match self.change {
            Change::Add(_) => "add",
            Change::Put(_) => "put",
            Change::Remove => "remove",
        };
        write!(f, "Row({change}, {} bytes)", self.weight())
    }
}

/// A key that the target refuses for good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refused {
    /// The key.
    pub(super) key: Bytes,
    /// Why, in a sentence for who looks after it.
    pub(super) reason: Arc<str>,
}

/// Names one generation of changes for ever: also after a restored backup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Generation {
    /// The incarnation of the store that closed it.
    pub(super) mark: u64,
    /// Its number.
    pub(super) number: u64,
}

/// Names a keyspace of a store for ever: also where another one gets its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    /// The store.
    pub(super) store: [u8; 16],
    /// The keyspace in it.
    pub(super) keyspace: u64,
}

impl Identity {
    /// The store in hexadecimal.
    pub(super) fn store_hex(&self) -> String {
        hex(&self.store)
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digit = |four: u8| DIGITS.get(usize::from(four)).copied().unwrap_or_default();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
