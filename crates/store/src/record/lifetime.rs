//! Until when an entry is good for something, and its bytes: the flags of what is there, then each time that is.

use super::{Malformed, Take};

/// Flags of a record: which times follow.
pub(super) const HAS_EXPIRY: u8 = 1;
pub(super) const HAS_STALE: u8 = 4;

/// Until when an entry is there, and until when it is fresh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// When the entry leaves, in Unix milliseconds; `None` = never.
    pub expires_at_ms: Option<u64>,
    /// When somebody should look for a newer value, in Unix milliseconds; `None` = never. The store only keeps it.
    pub stale_at_ms: Option<u64>,
}

impl Lifetime {
    /// There for ever, and always fresh.
    pub const FOREVER: Self = Self::until(None);

    /// Fresh until it leaves at `expires_at_ms` (Unix milliseconds; `None` = never).
    pub const fn until(expires_at_ms: Option<u64>) -> Self {
        Self {
            expires_at_ms,
            stale_at_ms: None,
        }
    }

    pub(super) fn flags(&self) -> u8 {
        let flag = |at: Option<u64>, flag| if at.is_some() { flag } else { 0 };
        flag(self.expires_at_ms, HAS_EXPIRY) | flag(self.stale_at_ms, HAS_STALE)
    }

    /// Appends the times that are there.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        for at in [self.expires_at_ms, self.stale_at_ms].into_iter().flatten() {
            out.extend_from_slice(&at.to_le_bytes());
        }
    }

    pub(super) fn take(take: &mut Take<'_>, flags: u8) -> Result<Self, Malformed> {
        let mut time = |flag| (flags & flag != 0).then(|| take.u64()).transpose();
        let (expires_at_ms, stale_at_ms) = (time(HAS_EXPIRY)?, time(HAS_STALE)?);
        #[cfg(feature = "bug-relative-expiry")]
        let expires_at_ms = expires_at_ms.map(|at| at + 1_000);
        Ok(Self {
            expires_at_ms,
            stale_at_ms,
        })
    }
}
