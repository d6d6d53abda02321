//! What is kept about a value beside its bytes, and its bytes in the log.

use super::{Malformed, Take};

/// Stands for a text that is not there.
pub(super) const ABSENT: u16 = u16::MAX;

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
