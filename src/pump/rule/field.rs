//! One field of a rule: which of its numbers are meant. It must not know the calendar.

use std::fmt;

/// What stands between two spaces of a rule.
#[derive(Debug)]
pub(super) struct Field {
    /// As errors call it.
    name: &'static str,
    min: u8,
    /// The last one that `*` means.
    max: u8,
    /// The last one that can be said.
    most: u8,
    /// The names of its numbers, the first one being `min`.
    names: &'static [&'static str],
}

/// The fields of a rule in their order.
pub(super) const FIELDS: [Field; 6] = [
    Field::plain("second", 0, 59),
    Field::plain("minute", 0, 59),
    Field::plain("hour", 0, 23),
    Field::plain("day of month", 1, 31),
    Field {
        names: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
        ..Field::plain("month", 1, 12)
    },
    // 7 is Sunday again, and only where it is said: steps end with Saturday.
    Field {
        most: SUNDAY_AGAIN,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        ..Field::plain("day of week", 0, 6)
    },
];

/// The other number of Sunday.
const SUNDAY_AGAIN: u8 = 7;

/// What is wrong with a field.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {part:?} {wrong}")]
pub struct FieldError {
    /// Its name.
    pub field: &'static str,
    /// The part of it that is wrong.
    pub part: String,
    /// Why.
    pub wrong: Wrong,
}

/// What can be wrong with a part of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wrong {
    /// It is neither a number nor a name.
    NoNumber {
        /// The first and the last name, where the field has any.
        names: Option<(&'static str, &'static str)>,
    },
    /// It is a number that the field does not have.
    Outside {
        /// The least.
        min: u8,
        /// The most.
        most: u8,
    },
    /// The range ends before it begins.
    Backwards,
    /// The range has more than two ends.
    Hyphens,
    /// There is more than one step.
    Slashes,
    /// The step is no number, or nothing.
    Step,
    /// There is nothing in it.
    Empty,
    /// It is a sign of other dialects.
    Foreign,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber { names: None } => f.write_str("is no number"),
            Self::NoNumber {
                names: Some((first, last)),
            } => write!(f, "is no number and no name ({first} to {last})"),
            Self::Outside { min, most } => write!(f, "is not from {min} to {most}"),
            Self::Backwards => {
                f.write_str("ends before it begins: a range does not go round, a list of two does")
            }
            Self::Hyphens => f.write_str("has more than two ends: a range is FROM-TO"),
            Self::Slashes => f.write_str("has more than one step: it is FROM-TO/STEP"),
            Self::Step => f.write_str("has no step: that is a number from 1 on"),
            Self::Empty => f.write_str("names nothing"),
            Self::Foreign => f.write_str("is not known: L, W and # are of other dialects"),
        }
    }
}

/// Which numbers are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Set {
    /// One bit for each.
    bits: u64,
    /// Whether that was said with a star.
    star: bool,
}

impl Field {
    const fn plain(name: &'static str, min: u8, max: u8) -> Self {
        Self {
            name,
            min,
            max,
            most: max,
            names: &[],
        }
    }

    /// Reads a list of numbers, ranges and steps. What is empty between two commas counts for nothing, as it always has.
    pub(super) fn read(&self, said: &str) -> Result<Set, FieldError> {
        let mut set = Set {
            bits: 0,
            star: false,
        };
        for part in said.split(',').filter(|part| !part.is_empty()) {
            let read = self.part(part).map_err(|wrong| self.error(part, wrong))?;
            set.bits |= read.bits;
            set.star |= read.star;
        }
        if set.bits == 0 {
            return Err(self.error(said, Wrong::Empty));
        }
        Ok(set)
    }

    fn error(&self, part: &str, wrong: Wrong) -> FieldError {
        FieldError {
            field: self.name,
            part: part.to_owned(),
            wrong,
        }
    }

    fn part(&self, part: &str) -> Result<Set, Wrong> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step_of(step)?)),
            None => (part, None),
        };
        let star = matches!(range, "*" | "?");
        let (from, to) = match (range.split_once('-'), step) {
            _ if star => (self.min, self.max),
            (Some((from, to)), _) => (self.number(from)?, self.end(to)?),
            (None, None) => (self.number(range)?, self.number(range)?),
            // A step from one number on goes to the end of the field.
            (None, Some(_)) => (self.number(range)?, self.max.max(self.number(range)?)),
        };
        if from > to {
            return Err(Wrong::Backwards);
        }
        let step = step.unwrap_or(1);
        let bits = (from..=to)
            .step_by(step)
            .fold(0, |bits, number| bits | 1 << self.place(number));
        Ok(Set {
            bits,
            star: star && step == 1,
        })
    }

    /// The number under which `number` is kept.
    fn place(&self, number: u8) -> u8 {
        if number > self.max { self.min } else { number }
    }

    fn end(&self, said: &str) -> Result<u8, Wrong> {
        if said.contains('-') {
            return Err(Wrong::Hyphens);
        }
        self.number(said)
    }

    fn number(&self, said: &str) -> Result<u8, Wrong> {
        let named = (self.min..)
            .zip(self.names)
            .find(|(_, name)| said.eq_ignore_ascii_case(name));
        if let Some((number, _)) = named {
            return Ok(number);
        }
        let (min, most) = (self.min, self.most);
        match said.parse::<u64>().map(u8::try_from) {
            Ok(Ok(number)) if (min..=most).contains(&number) => Ok(number),
            Ok(_) => Err(Wrong::Outside { min, most }),
            Err(_) if self.is_foreign(said) => Err(Wrong::Foreign),
            Err(_) => Err(Wrong::NoNumber {
                names: self.names.first().copied().zip(self.names.last().copied()),
            }),
        }
    }

    /// Whether it is the last day, the nearest weekday, or the nth one, as Quartz writes them.
    fn is_foreign(&self, said: &str) -> bool {
        let rest = said.trim_end_matches(['L', 'W', 'l', 'w']);
        let marked = rest.len() < said.len() && (rest.is_empty() || self.number(rest).is_ok());
        marked || said.contains('#')
    }
}

fn step_of(said: &str) -> Result<usize, Wrong> {
    if said.contains('/') {
        return Err(Wrong::Slashes);
    }
    match said.parse() {
        Ok(0) | Err(_) => Err(Wrong::Step),
        Ok(step) => Ok(step),
    }
}

impl Set {
    /// The same as a star, or as a list of plain numbers.
    pub(super) fn listed(self) -> String {
        if self.star {
            return "*".to_owned();
        }
        let numbers = (0..64).filter(|number| self.bits & (1 << number) != 0);
        let numbers: Vec<String> = numbers.map(|number: u8| number.to_string()).collect();
        numbers.join(",")
    }
}
