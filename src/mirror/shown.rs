//! Mirrors as whoever asks may see them. It must not know how they are shown.

use std::collections::BTreeMap;

use super::Options;
use super::status::{Board, Facts, Followed, Line, State};
use crate::keyspace::{Feed, Freshness, Remarkable, Whom};
use crate::metrics::MirrorFigures;

/// A mirror as it is.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The keyspace that follows.
    pub keyspace: String,
    /// Whom it follows.
    pub followed: Followed,
    /// What it is at.
    pub state: State,
    /// When something came for the last time, in Unix milliseconds; `None` where nothing has yet.
    pub last_event_ms: Option<u64>,
    /// How current it is; `None` where nothing has come yet in this process.
    pub freshness: Option<Freshness>,
    /// How many keys stand for something that is not stored yet.
    pub unstored: usize,
    /// How many bytes of memory that takes.
    pub unstored_bytes: usize,
    /// What went wrong last, where that still matters.
    pub error: Option<String>,
    /// Its publications, and keys of which there is something to say.
    pub keys: Vec<Key>,
    /// How many there are of them, shown or not.
    pub keys_in_all: usize,
}

/// A key of a mirror.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// The key.
    pub key: String,
    /// What the following of it is at, where it is followed for itself.
    pub state: Option<State>,
    /// When something came for it for the last time, in Unix milliseconds.
    pub last_event_ms: Option<u64>,
    /// How current it is, where that is known for itself.
    pub freshness: Option<Freshness>,
    /// What is known of a publication beside its value.
    pub facts: Facts,
    /// Whether what it stands for is not stored yet.
    pub unstored: bool,
    /// Whether the upstream does not have it any more.
    pub kept: bool,
    /// What is wrong with it.
    pub error: Option<String>,
}

impl Mirror {
    pub(super) fn of(
        keyspace: &str,
        options: &Options,
        board: &Board,
        feed: &Feed,
        most: usize,
    ) -> Self {
        let mut lines = board.lines();
        let fares = feed.fares(most);
        let state = worst(lines.values().map(|line| line.state));
        let last_event_ms = lines.values().filter_map(|line| line.last_event_ms).max();
        let error = lines.values().find_map(|line| line.error.clone());
        // All keys together are no key.
        lines.remove("");
        let lines_in_all = lines.len();
        let mut keys: BTreeMap<_, _> = lines
            .into_iter()
            .take(most)
            .map(|(key, line)| (key.clone(), Key::of_line(key, line, feed)))
            .collect();
        let mut others = fares.remarkable_in_all;
        for remarkable in fares.remarkable {
            if let Some(key) = keys.get_mut(&remarkable.key) {
                others = others.saturating_sub(1);
                key.remark(remarkable);
            } else if keys.len() < most {
                let mut key = Key {
                    key: remarkable.key.clone(),
                    ..Key::default()
                };
                key.remark(remarkable);
                keys.insert(key.key.clone(), key);
            }
        }
        Self {
            keyspace: keyspace.to_owned(),
            followed: Followed::of(options),
            state,
            last_event_ms,
            freshness: feed.freshness(Whom::All),
            unstored: fares.unstored,
            unstored_bytes: fares.unstored_bytes,
            error,
            keys: keys.into_values().collect(),
            keys_in_all: lines_in_all + others,
        }
    }

    /// The same in numbers.
    pub(super) fn figures(&self) -> MirrorFigures {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        MirrorFigures {
            stale: self.freshness.is_none_or(|freshness| freshness.stale),
            age: self.freshness.map(|freshness| freshness.age),
            unstored: wide(self.unstored),
            unstored_bytes: wide(self.unstored_bytes),
        }
    }
}

impl Key {
    fn of_line(key: String, line: Line, feed: &Feed) -> Self {
        Self {
            state: Some(line.state),
            last_event_ms: line.last_event_ms,
            freshness: feed.freshness(Whom::Key(&key)),
            facts: line.facts,
            unstored: false,
            kept: false,
            error: line.error,
            key,
        }
    }

    fn remark(&mut self, remarkable: Remarkable) {
        self.unstored = remarkable.unstored;
        self.kept = remarkable.kept;
        self.error = remarkable.refused.or(self.error.take());
    }
}

/// The state that a mirror as a whole is in: the worst of its parts, and of those that wait the one that waits least.
fn worst(states: impl Iterator<Item = State>) -> State {
    let worse = |one: State, other: State| match (one, other) {
        (State::Waiting { until_ms: one }, State::Waiting { until_ms: other }) => State::Waiting {
            until_ms: one.min(other),
        },
        _ => one.max(other),
    };
    states.reduce(worse).unwrap_or(State::Connecting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_in_the_worst_state_of_its_parts() {
        let waiting = |until_ms| State::Waiting { until_ms };
        for (parts, expected) in [
            (vec![], State::Connecting),
            (vec![State::Following], State::Following),
            (vec![State::Following, State::Polling], State::Polling),
            (vec![State::Connecting, State::Polling], State::Connecting),
            (vec![waiting(9), State::Connecting, waiting(7)], waiting(7)),
        ] {
            assert_eq!(worst(parts.iter().copied()), expected, "{parts:?}");
        }
    }
}
