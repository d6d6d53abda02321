//! Many operations in one request, in a keyspace that reads through: what a get does not find is fetched, several keys at one
//! time. It must not know how one key is read.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Through;
use super::reading::Found;
use super::served::{Accepts, Read};
use crate::engine::Durability;
use crate::keyspace::batch::{Action, Done, Operation};
use crate::keyspace::values::{Refusal, Values};

/// What became of each operation.
type Answers = Vec<Result<Done, Refusal>>;

/// The room for values that are fetched, in bytes.
struct Room {
    limit: usize,
    taken: usize,
}

impl Through {
    /// Does one operation after the other. The values that are fetched for it take about `room` bytes at most: a get that
    /// finds nothing and comes after that is refused.
    pub(in crate::keyspace) async fn each(
        self: &Arc<Self>,
        values: &Values,
        operations: &[Operation<'_>],
        durability: Option<Durability>,
        room: usize,
    ) -> Result<Answers, Refusal> {
        let mut answers = Vec::with_capacity(operations.len());
        let mut room = Room {
            limit: room,
            taken: 0,
        };
        let mut rest = operations;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(run_len(rest));
            let mut done = values.each_stored(run, durability).await?;
            self.fetch_missing(values, run, &mut done, &mut room).await;
            answers.append(&mut done);
            rest = behind;
        }
        Ok(answers)
    }

    /// Fetches what gets did not find, while there is room for it.
    async fn fetch_missing(
        self: &Arc<Self>,
        values: &Values,
        operations: &[Operation<'_>],
        done: &mut Answers,
        room: &mut Room,
    ) {
        let now_ms = values.engine.now_ms();
        let mut missing = operations
            .iter()
            .zip(done.iter())
            .enumerate()
            .filter(|(_, (_, done))| is_missing(done, now_ms))
            .map(|(place, (operation, _))| (place, operation.key.as_ref().to_owned()))
            .collect::<Vec<_>>()
            .into_iter();
        let mut reading = JoinSet::new();
        loop {
            while reading.len() < self.options.max_concurrency && room.taken < room.limit {
                let Some((place, key)) = missing.next() else {
                    break;
                };
                let (through, values) = (Arc::clone(self), values.clone());
                reading.spawn(async move {
                    let read = through.read(&values, &key, Accepts::Anything).await;
                    (place, read)
                });
            }
            let Some(ended) = reading.join_next().await else {
                break;
            };
            let (place, read) = ended.expect("a read ends with an answer, unless it panicked");
            if let Ok(Read {
                entry: Some(entry), ..
            }) = &read
            {
                room.taken = room.taken.saturating_add(entry.value.len());
            }
            if let Some(answer) = done.get_mut(place) {
                *answer = read.map(|read| Done::Got(read.entry));
            }
        }
        for (place, _) in missing {
            if let Some(answer) = done.get_mut(place) {
                *answer = Err(Refusal::AnswerFull { limit: room.limit });
            }
        }
    }
}

/// Whether a get has found nothing that will do as it is.
fn is_missing(done: &Result<Done, Refusal>, now_ms: u64) -> bool {
    match done {
        Ok(Done::Got(entry)) => !matches!(Found::judge(entry.clone(), now_ms), Found::Fresh(_)),
        Ok(Done::Put(_) | Done::Deleted(_) | Done::Counted(_)) | Err(_) => false,
    }
}

/// How many operations are done before anything is fetched: up to the first that changes a key which a get before it reads,
/// because that get has to be answered as if it had been sent by itself.
fn run_len(operations: &[Operation<'_>]) -> usize {
    let mut read = HashSet::new();
    let end = operations
        .iter()
        .position(|operation| match operation.action {
            Action::Get => {
                read.insert(operation.key.as_ref());
                false
            }
            Action::Put { .. } | Action::Delete { .. } | Action::Increment(_) => {
                read.contains(operation.key.as_ref())
            }
        });
    end.unwrap_or(operations.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Conditions;

    /// How many of these are one run; a small letter gets, a capital one deletes its key.
    fn run(letters: &str) -> usize {
        let operations = letters.chars().map(|letter| Operation {
            key: letter.to_lowercase().to_string().into(),
            action: if letter.is_lowercase() {
                Action::Get
            } else {
                let when = Conditions::default();
                Action::Delete { when }
            },
        });
        run_len(&operations.collect::<Vec<_>>())
    }

    #[test]
    fn a_run_ends_before_what_changes_a_key_that_it_has_read() {
        for (letters, len) in [
            ("abc", 3),
            ("ABC", 3),
            ("AaBb", 4),
            ("aA", 1),
            ("aBbA", 3),
            ("AaAa", 2),
        ] {
            assert_eq!(run(letters), len, "{letters}");
        }
    }
}
