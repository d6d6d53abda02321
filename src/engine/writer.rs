//! Who makes a change, and whose an entry is. What a source wrote carries its name, durably, and is changed by that source
//! alone; a source leaves alone what anybody else wrote. The words say what every engine promises.

use std::sync::Arc;

use bytes::Bytes;

/// Who makes a change.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Writer<'a> {
    /// A client: it changes whatever no source wrote.
    #[default]
    Client,
    /// The source of this name: it changes what it wrote itself, and writes keys that are absent.
    Source(&'a str),
    /// Who follows somebody else, whose word counts here: it changes everything, and nothing is its own.
    Mirror,
}

/// Whose an entry is that was not the writer's to change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Holder {
    /// A client's: only a source is told so.
    Client,
    /// That of the source of this name.
    Source(Arc<str>),
}

/// A key that a source wrote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owned {
    /// The key.
    pub key: Bytes,
    /// The source.
    pub owner: Arc<str>,
}
