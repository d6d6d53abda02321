//! What sources wrote that are not there any more, or that write somewhere else now. It must not touch what anybody else wrote.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::record::{Held, Record};
use crate::keyspace::{Keyspaces, Refusal, Values};

/// Removes from every keyspace what sources wrote whose records are not `records`, or which write to another keyspace now, and
/// notes what the others find there. Entries of a source that is invalid stay wherever they are.
pub(super) async fn remove(
    keyspaces: &Keyspaces,
    records: &BTreeMap<Arc<str>, Arc<Record>>,
) -> Result<(), Refusal> {
    for keyspace in keyspaces.names().await? {
        let values = match keyspaces.values(&keyspace) {
            Ok(values) => values,
            // It was dropped meanwhile.
            Err(Refusal::KeyspaceNotFound { .. }) => continue,
            Err(refusal) => return Err(refusal),
        };
        for owned in values.owned().await? {
            match records.get(&owned.owner) {
                Some(record) if writes(record, &keyspace, &owned.key) => {
                    note(record, &values).await?;
                }
                _ => {
                    values.delete_for_source(&owned.owner, &owned.key).await?;
                    tracing::info!(
                        source = &*owned.owner,
                        keyspace,
                        "the value of a source that is not there any more was removed"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Whether what the source is told to do, so far as that can be understood, leads to that key.
fn writes(record: &Record, keyspace: &str, key: &[u8]) -> bool {
    let here = match record.facts().work {
        Some(work) => *work.keyspace == *keyspace,
        None => true,
    };
    here && key == record.name().as_bytes()
}

/// Notes what is kept for a source that has not run since the start.
async fn note(record: &Record, values: &Values) -> Result<(), Refusal> {
    if record.is_held() {
        return Ok(());
    }
    if let Some(entry) = values.find(record.name().as_bytes()).await? {
        record.find_held(Held {
            len: entry.value.len(),
            confirmed_at_ms: entry.created_at_ms,
        });
    }
    Ok(())
}
