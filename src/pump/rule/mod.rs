//! When a source is due: six fields, a word, or an interval, in a time zone. It must not know what is due, nor what time it
//! is.
//!
//! Rules are written as for cachepump, which read them with robfig/cron v3: the second first, `?` wherever `*` may stand, and
//! the two fields of the day as there. Both have to hold where one of them is `*`, `?` or a step of 1 over either, also as
//! part of a list; where neither is, one suffices. `*/2` is not such a star. Beyond that, 7 is Sunday too.
//!
//! | the clock | then |
//! |---|---|
//! | leaps over a time | the rule does not hold there: the time does not exist |
//! | shows a time twice | the rule holds twice |
//!
//! So a rule holds at every moment at which the clock of its zone shows what it says, and at no other.

mod every;
mod field;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use field::{FIELDS, Field, Set};
pub use field::{FieldError, Wrong};

/// A rule that can be followed.
#[derive(Clone, Debug)]
pub struct Rule(When);

#[derive(Clone, Debug)]
enum When {
    /// So long after the last time.
    Every(SignedDuration),
    /// Whenever a clock shows this.
    Shows { cron: Box<Cron>, zone: TimeZone },
}

/// Why a rule cannot be followed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// Too few fields, or too many.
    #[error("{}", FieldCount(*found))]
    Fields {
        /// How many there are.
        found: usize,
    },
    /// One of the fields.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A word that begins with `@`.
    #[error(
        "{word:?} is not known: there are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, and @every with \
         a time"
    )]
    Word {
        /// As it was said.
        word: String,
    },
    /// An interval that is none.
    #[error("@every takes a time such as 90s, 1h30m10s or 1.5s, and {said:?} is none")]
    Interval {
        /// As it was said.
        said: String,
    },
    /// An interval of nothing, or less.
    #[error("@every {said}: it has to be more than nothing")]
    NoInterval {
        /// As it was said.
        said: String,
    },
    /// A zone and nothing else.
    #[error("behind {prefix:?} a space and a rule have to follow, as in \"{prefix} 0 0 * * * *\"")]
    NothingBehindZone {
        /// The zone with what stands before it.
        prefix: String,
    },
    /// A zone that is none.
    #[error(
        "{name:?} is no time zone: those of the IANA database are known, as in TZ=Europe/Berlin"
    )]
    Zone {
        /// As it was said.
        name: String,
    },
    /// A day that no month has.
    #[error("day of month, month: it never comes true, because no such month has such a day")]
    Never,
    /// Should not happen: what has been read and written down again is always understood.
    #[error("it is not understood: {reason}")]
    NotUnderstood {
        /// What the calendar says of it.
        reason: String,
    },
}

/// The words for too few fields, or too many.
struct FieldCount(usize);

impl fmt::Display for FieldCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a rule has six fields (second, minute, hour, day of month, month, day of week), and this one has ",
        )?;
        match self.0 {
            0 => f.write_str("none"),
            5 => f.write_str(
                "five: the second is missing, so put a 0 before it where it was made for cron",
            ),
            found => write!(f, "{found}"),
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    /// Reads a rule that is meant for the machine's own zone, unless it says another one.
    fn from_str(text: &str) -> Result<Self, RuleError> {
        Self::read(text, machine_zone)
    }
}

/// The zone of the machine; UTC where it has none, as in a bare container.
fn machine_zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

impl Rule {
    fn read(text: &str, own_zone: impl FnOnce() -> TimeZone) -> Result<Self, RuleError> {
        let (zone, rest) = split_zone(text.trim())?;
        let zone = match zone {
            None | Some("Local") => own_zone(),
            Some("") => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_unknown| RuleError::Zone {
                name: name.to_owned(),
            })?,
        };
        if let Some(word) = rest.strip_prefix('@') {
            return described(word, zone);
        }
        Ok(Self(When::Shows {
            cron: Box::new(calendar(rest)?),
            zone,
        }))
    }

    /// The first time behind `now` at which it is due, on the whole second; `None` where the calendar ends before that. An
    /// interval is counted from `now`.
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let whole = Timestamp::from_second(now.as_millisecond().div_euclid(1000)).ok()?;
        match &self.0 {
            When::Every(pause) => whole.checked_add(*pause).ok(),
            When::Shows { cron, zone } => {
                let next = whole.checked_add(SignedDuration::from_secs(1)).ok()?;
                first_shown(cron, zone, next)
            }
        }
    }

    /// The same, where `last` is a time at which it was due: an interval is counted from there on, so that it keeps its beat
    /// however long somebody took.
    pub fn next_in_beat(&self, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            When::Every(pause) if now >= last => {
                let passed = now
                    .duration_since(last)
                    .as_secs()
                    .checked_div(pause.as_secs())?;
                let beats = i32::try_from(passed.checked_add(1)?).ok()?;
                last.checked_add(pause.checked_mul(beats)?).ok()
            }
            When::Every(_) | When::Shows { .. } => self.next(now),
        }
    }
}

/// The first moment from `from` on at which the clock of `zone` shows what `cron` says.
///
/// Between two changes of the clock its time goes on evenly, and there the calendar alone decides; so such a stretch is
/// searched, and where nothing is found in it, the next one from its beginning.
fn first_shown(cron: &Cron, zone: &TimeZone, from: Timestamp) -> Option<Timestamp> {
    let mut from = from;
    loop {
        let offset = zone.to_offset(from);
        let end = zone.following(from).next().map(|change| change.timestamp());
        let shown = cron.find_next_occurrence(&offset.to_datetime(from), true);
        let found = offset.to_timestamp(shown.ok()?).ok()?;
        match end {
            Some(end) if found >= end => from = end,
            _ => return Some(found),
        }
    }
}

/// Takes `TZ=` or `CRON_TZ=` off.
fn split_zone(text: &str) -> Result<(Option<&str>, &str), RuleError> {
    let named = text
        .strip_prefix("CRON_TZ=")
        .or_else(|| text.strip_prefix("TZ="));
    let Some(named) = named else {
        return Ok((None, text));
    };
    match named.split_once(char::is_whitespace) {
        Some((zone, rest)) => Ok((Some(zone), rest.trim_start())),
        None => Err(RuleError::NothingBehindZone {
            prefix: text.to_owned(),
        }),
    }
}

/// A rule that begins with `@`.
fn described(word: &str, zone: TimeZone) -> Result<Rule, RuleError> {
    let (name, said) = word
        .split_once(char::is_whitespace)
        .map_or((word, ""), |(name, said)| (name, said.trim()));
    if name.eq_ignore_ascii_case("every") {
        return every::read(said).map(|pause| Rule(When::Every(pause)));
    }
    let unknown = || RuleError::Word {
        word: format!("@{word}"),
    };
    let fields = match name.to_ascii_lowercase().as_str() {
        "yearly" | "annually" => "0 0 0 1 1 *",
        "monthly" => "0 0 0 1 * *",
        "weekly" => "0 0 0 * * 0",
        "daily" | "midnight" => "0 0 0 * * *",
        "hourly" => "0 0 * * * *",
        _ => return Err(unknown()),
    };
    if !said.is_empty() {
        return Err(unknown());
    }
    Ok(Rule(When::Shows {
        cron: Box::new(calendar(fields)?),
        zone,
    }))
}

/// The calendar of six fields. They are written down again as plain lists, in which nothing is left that another reader of
/// such rules could take in another way.
fn calendar(text: &str) -> Result<Cron, RuleError> {
    let said: Vec<&str> = text.split_whitespace().collect();
    if said.len() != FIELDS.len() {
        return Err(RuleError::Fields { found: said.len() });
    }
    let read = |(field, said): (&Field, &&str)| field.read(said).map(Set::listed);
    let lists: Vec<String> = FIELDS
        .iter()
        .zip(&said)
        .map(read)
        .collect::<Result<_, _>>()?;
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Disallowed)
        .build();
    let cron = parser
        .parse(&lists.join(" "))
        .map_err(|error| RuleError::NotUnderstood {
            reason: error.to_string(),
        })?;
    // From any day on: what does not come in the whole of the calendar never comes.
    let anywhere: DateTime = date(2000, 1, 1).into();
    match cron.find_next_occurrence(&anywhere, true) {
        Ok(_some_time) => Ok(cron),
        Err(_none) => Err(RuleError::Never),
    }
}
