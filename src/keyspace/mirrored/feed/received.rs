//! What an upstream says, whoever it is. It must not know what becomes of it.

use bytes::Bytes;

use crate::engine::{Entry, MediaType};

/// A value, as it was received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Content {
    /// The bytes.
    pub value: Bytes,
    /// What they are, as it was said: what cannot be kept as a media type is as good as nothing.
    pub media_type: Option<String>,
    /// How they are encoded, as it was said.
    pub content_encoding: Option<String>,
}

impl Content {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            value: entry.value.clone(),
            media_type: Some(entry.media_type.as_str().to_owned()),
            content_encoding: entry.content_encoding.as_deref().map(str::to_owned),
        }
    }

    /// The media type that the value is kept with.
    pub(super) fn media_type(&self) -> &str {
        MediaType::choose(self.media_type.as_deref(), &self.value)
    }

    /// The encoding that it is kept with: one that can stand in a header.
    pub(super) fn encoding(&self) -> Option<&str> {
        let text = self.content_encoding.as_deref()?;
        let visible = text
            .bytes()
            .all(|byte| (0x21..=0x7E).contains(&byte) || byte == b' ');
        let fits = (1..=MediaType::MOST_BYTES).contains(&text.len());
        (visible && fits).then_some(text)
    }

    /// Whether `entry` has just this.
    pub(super) fn is_of(&self, entry: &Entry) -> bool {
        entry.value == self.value
            && entry.media_type.as_str() == self.media_type()
            && entry.content_encoding.as_deref() == self.encoding()
            && entry.expires_at_ms.is_none()
    }
}

/// What the upstream says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Received {
    /// The key has this value.
    Put {
        /// The key.
        key: String,
        /// The value.
        content: Content,
    },
    /// The key has a value that is too large to be taken.
    TooLarge {
        /// The key.
        key: String,
        /// The most bytes.
        limit: usize,
    },
    /// The key is gone, and leaves here too.
    Gone {
        /// The key.
        key: String,
    },
    /// The key is gone, and stays here.
    Kept {
        /// The key.
        key: String,
    },
    /// Every key that begins so is gone, and leaves here too.
    Flushed {
        /// What they begin with.
        prefix: String,
    },
    /// Every key that begins so is gone, and stays here.
    KeptAll {
        /// What they begin with.
        prefix: String,
    },
}

impl Received {
    /// The key that it is about; `None` where it is about many.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Put { key, .. }
            | Self::TooLarge { key, .. }
            | Self::Gone { key }
            | Self::Kept { key } => Some(key),
            Self::Flushed { .. } | Self::KeptAll { .. } => None,
        }
    }

    pub(super) fn content(&self) -> Option<&Content> {
        match self {
            Self::Put { content, .. } => Some(content),
            Self::TooLarge { .. }
            | Self::Gone { .. }
            | Self::Kept { .. }
            | Self::Flushed { .. }
            | Self::KeptAll { .. } => None,
        }
    }

    /// The key that it is about, or what the keys begin with that it is about.
    pub fn named(&self) -> &str {
        match self {
            Self::Put { key, .. }
            | Self::TooLarge { key, .. }
            | Self::Gone { key }
            | Self::Kept { key } => key,
            Self::Flushed { prefix } | Self::KeptAll { prefix } => prefix,
        }
    }
}
