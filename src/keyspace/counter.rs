//! Counters: values that are a number in decimal text, added to in one step. It must not know how they are sent.

use super::role::Changing;
use super::values::{Acknowledged, Refusal, Ttl, Values};
use crate::engine::{Durability, Increment, Incremented, Version};

/// What is to be added to a counter, and within which bounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Count {
    /// What is added.
    pub by: i64,
    /// What a counter starts from that is not there.
    pub initial: i64,
    /// The least that may come out.
    pub min: Option<i64>,
    /// The most that may come out.
    pub max: Option<i64>,
    /// How long to keep a counter that this makes; one that is there keeps what it has.
    pub ttl: Ttl,
}

impl Default for Count {
    fn default() -> Self {
        Self {
            by: 1,
            initial: 0,
            min: None,
            max: None,
            ttl: Ttl::Unspecified,
        }
    }
}

/// A counter after it was added to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counted {
    /// The number now.
    pub value: i64,
    /// The number before; where there was none, what it started from.
    pub previous: i64,
    /// The new version.
    pub version: Version,
    /// How durable it is.
    pub acknowledged: Acknowledged,
}

/// A counter as it was met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counter {
    /// The number.
    pub value: i64,
    /// The version that has it.
    pub version: Version,
}

impl Values {
    /// The number that `key` counts, if it is there.
    pub async fn counter(&self, key: &[u8]) -> Result<Option<Counter>, Refusal> {
        self.check_key(key)?;
        let counter = match self.over(key) {
            Some(over) => over.number(),
            None => self.entries.counter(key).await?,
        };
        match counter {
            None => Ok(None),
            Some((version, Some(value))) => Ok(Some(Counter { value, version })),
            Some((_, None)) => Err(Refusal::NotACounter),
        }
    }

    /// Adds to the counter `key`, and makes it where it is absent.
    pub async fn count(
        &self,
        key: &[u8],
        count: &Count,
        durability: Option<Durability>,
    ) -> Result<Counted, Refusal> {
        self.check_key(key)?;
        let (until, acknowledged) = self.acknowledge(durability)?;
        let _held = self.before(Changing::Key(key)).await?;
        let increment = self.increment(count);
        let incremented = self.entries.increment(key, &increment, until).await?;
        counted(incremented, count, acknowledged)
    }

    /// As the engine is told it.
    pub(super) fn increment(&self, count: &Count) -> Increment {
        Increment {
            by: count.by,
            initial: count.initial,
            min: count.min,
            max: count.max,
            expires_at_ms: self.expiry(count.ttl),
        }
    }
}

/// What an increment came to.
pub(super) fn counted(
    incremented: Incremented,
    count: &Count,
    acknowledged: Acknowledged,
) -> Result<Counted, Refusal> {
    match incremented {
        Incremented::Counted {
            value,
            previous,
            version,
        } => Ok(Counted {
            value,
            previous,
            version,
            acknowledged,
        }),
        Incremented::OutOfRange { current } => Err(out_of_range(current, count)),
        Incremented::NotACounter => Err(Refusal::NotACounter),
        Incremented::Foreign(holder) => Err(holder.into()),
        Incremented::PendingOutOfRange { pending } => {
            let by = count.by;
            Err(Refusal::PendingOutOfRange { pending, by })
        }
    }
}

pub(super) fn out_of_range(current: i64, count: &Count) -> Refusal {
    let fits = current.checked_add(count.by).is_some();
    let (min, max) = if fits {
        (count.min, count.max)
    } else {
        (None, None)
    };
    Refusal::CounterOutOfRange {
        current,
        by: count.by,
        min: min.unwrap_or(i64::MIN),
        max: max.unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_out_of_range_is_told_with_the_bounds_that_it_broke() {
        let bounded = Count {
            by: -3,
            min: Some(0),
            ..Count::default()
        };
        assert_eq!(
            out_of_range(2, &bounded).to_string(),
            format!(
                "the counter is 2, and adding -3 would leave the range from 0 to {}",
                i64::MAX
            )
        );
        let overflowing = Count {
            by: i64::MIN,
            max: Some(7),
            ..Count::default()
        };
        assert_eq!(
            out_of_range(-1, &overflowing).to_string(),
            format!(
                "the counter is -1, and adding {} would leave the range from {} to {}",
                i64::MIN,
                i64::MIN,
                i64::MAX
            )
        );
    }
}
