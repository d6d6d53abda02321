//! Reads the parts of a record from the front of its bytes.

use super::Malformed;
use super::meta::ABSENT;

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
