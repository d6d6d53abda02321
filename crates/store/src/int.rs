//! Conversions between integer widths that cannot lose anything on the machines that this crate supports.

// A `usize` that did not fit into `u64` would make `wide` truncate.
const _: () = assert!(usize::BITS <= u64::BITS);

/// A length as a file offset or counter.
#[inline]
pub(crate) const fn wide(n: usize) -> u64 {
    #[expect(
        clippy::as_conversions,
        reason = "usize has at most 64 bits, asserted above"
    )]
    {
        n as u64
    }
}

/// A file offset as a length in memory; saturates on a 32-bit machine, where the allocation that follows fails.
#[inline]
pub(crate) fn narrow(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// The low 32 bits.
#[inline]
pub(crate) const fn low32(n: u64) -> u32 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "the low half is what is asked for"
    )]
    {
        n as u32
    }
}

/// A slot or count that is known to fit into 32 bits because the tables that hold it are that large at most.
#[inline]
pub(crate) fn slot32(n: usize) -> u32 {
    u32::try_from(n).expect("a shard holds fewer than 2^32 entries")
}

/// A 32-bit slot as an index.
#[inline]
pub(crate) const fn index(n: u32) -> usize {
    #[expect(
        clippy::as_conversions,
        reason = "usize has at least 32 bits on every target with std"
    )]
    {
        n as usize
    }
}
