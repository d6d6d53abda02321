//! What a batch says of itself: the parts of its record, and the events for those who watch, in the same order.

use bytes::Bytes;

use super::{Decided, Operation};
use crate::map::{Entry, Keyspace};
use crate::record::{batch_part, kind};
use crate::watch::{Change, Teller};

/// The record of a batch while it is put together.
pub(super) struct Parts {
    pub(super) count: u32,
    pub(super) bytes: Vec<u8>,
}

impl Parts {
    pub(super) fn add(&mut self, kind: u8, pieces: [&[u8]; 2]) {
        self.count += 1;
        batch_part(&mut self.bytes, kind, pieces);
    }

    /// The whole payload.
    pub(super) fn finish(mut self) -> Bytes {
        if let Some(count) = self.bytes.first_chunk_mut() {
            *count = self.count.to_le_bytes();
        }
        self.bytes.into()
    }
}

/// Adds the parts that only the locks could tell.
pub(super) fn add_small(
    keyspace: &Keyspace,
    operations: &[Operation<'_>],
    decided: &[Decided],
    parts: &mut Parts,
) {
    for planned in decided {
        if let Decided::Increment(planned) = planned {
            let pieces = [&*planned.prefix, planned.entry.key_and_value()];
            parts.add(kind::INCREMENT, pieces);
        }
    }
    for (operation, decided) in operations.iter().zip(decided) {
        if let Decided::Delete { existed: true } = decided {
            parts.add(
                kind::DELETE,
                [&keyspace.id().to_le_bytes(), operation.key()],
            );
        }
    }
}

/// Gives the entries their revision and tells what the batch does, in the order of the record's parts.
pub(super) fn tell_all(
    teller: &mut Teller<'_>,
    operations: &mut [Operation<'_>],
    decided: &mut [Decided],
) {
    let mut put = |entry: &mut Entry| {
        entry.set_revision(teller.revision());
        teller.tell(Change::Put(entry.clone()));
    };
    for operation in operations.iter_mut() {
        if let Operation::Put { draft, .. } = operation {
            put(draft.entry_mut());
        }
    }
    for decided in decided.iter_mut() {
        if let Decided::Increment(planned) = decided {
            put(&mut planned.entry);
        }
    }
    for (operation, decided) in operations.iter().zip(decided) {
        if let Decided::Delete { existed: true } = decided {
            teller.tell(Change::delete(operation.key()));
        }
    }
}
