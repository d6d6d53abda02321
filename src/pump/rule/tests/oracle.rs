//! Rules against a second reading of them that shares nothing with the first: every second of the years is asked whether the
//! rule holds.

use jiff::civil::DateTime;
use jiff::{ToSpan as _, Zoned};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;

/// A part of a field, as the oracle understands it.
#[derive(Clone, Debug)]
enum Part {
    Star(&'static str, Option<u8>),
    One(u8),
    From(u8, u8),
    Range(u8, u8, Option<u8>),
}

/// A field: where it begins and ends, and whether its numbers have names.
#[derive(Clone, Copy)]
struct Kind {
    min: u8,
    max: u8,
    most: u8,
    names: &'static [&'static str],
}

const KINDS: [Kind; 6] = [
    Kind {
        min: 0,
        max: 59,
        most: 59,
        names: &[],
    },
    Kind {
        min: 0,
        max: 59,
        most: 59,
        names: &[],
    },
    Kind {
        min: 0,
        max: 23,
        most: 23,
        names: &[],
    },
    Kind {
        min: 1,
        max: 31,
        most: 31,
        names: &[],
    },
    Kind {
        min: 1,
        max: 12,
        most: 12,
        names: &[
            "jan", "Feb", "MAR", "apr", "mAy", "JUN", "jul", "AUG", "sep", "OCT", "nov", "dec",
        ],
    },
    Kind {
        min: 0,
        max: 6,
        most: 7,
        names: &["sun", "MON", "Tue", "weD", "THU", "fri", "SAT"],
    },
];

impl Part {
    fn holds(&self, number: u8, kind: Kind) -> bool {
        let stepped = |from: u8, to: u8, step: u8| {
            (from..=to).contains(&number) && (number - from).is_multiple_of(step)
        };
        match *self {
            Self::Star(_, step) => stepped(kind.min, kind.max, step.unwrap_or(1)),
            Self::One(one) => number == one,
            Self::From(from, step) => stepped(from, kind.max.max(from), step),
            Self::Range(from, to, step) => stepped(from, to, step.unwrap_or(1)),
        }
    }

    fn is_star(&self) -> bool {
        matches!(self, Self::Star(_, None | Some(1)))
    }

    fn text(&self, kind: Kind) -> String {
        let name = |number: u8| {
            // Every other number goes by its name where it has one.
            let place = usize::from(number - kind.min);
            match kind.names.get(place) {
                Some(name) if number.is_multiple_of(2) => (*name).to_owned(),
                _ => number.to_string(),
            }
        };
        let step = |step: Option<u8>| step.map(|step| format!("/{step}")).unwrap_or_default();
        match *self {
            Self::Star(sign, by) => format!("{sign}{}", step(by)),
            Self::One(one) => name(one),
            Self::From(from, by) => format!("{}/{by}", name(from)),
            Self::Range(from, to, by) => format!("{}-{}{}", name(from), name(to), step(by)),
        }
    }
}

fn part(kind: Kind) -> impl Strategy<Value = Part> {
    let number = kind.min..=kind.most;
    let step = proptest::option::of(prop_oneof![1..=4_u8, 1..=70_u8]);
    prop_oneof![
        3 => (select(&["*", "?"][..]), step.clone()).prop_map(|(sign, step)| Part::Star(sign, step)),
        3 => number.clone().prop_map(Part::One),
        1 => (number.clone(), 1..=20_u8).prop_map(|(from, step)| Part::From(from, step)),
        2 => (number.clone(), number, step)
            .prop_map(|(one, other, step)| Part::Range(one.min(other), one.max(other), step)),
    ]
}

fn field(kind: Kind) -> impl Strategy<Value = Vec<Part>> {
    prop_oneof![
        2 => Just(vec![Part::Star("*", None)]),
        5 => proptest::collection::vec(part(kind), 1..=3),
    ]
}

type Fields = [Vec<Part>; 6];

fn fields() -> impl Strategy<Value = Fields> {
    KINDS.map(field)
}

fn written(fields: &Fields) -> String {
    let field = |(field, kind): (&Vec<Part>, Kind)| {
        let parts: Vec<_> = field.iter().map(|part| part.text(kind)).collect();
        parts.join(",")
    };
    let fields: Vec<_> = fields.iter().zip(KINDS).map(field).collect();
    fields.join(" ")
}

/// Whether the rule holds when a clock shows `time`, down to the hour where only that is asked.
fn shown(fields: &Fields, time: DateTime, depth: Depth) -> bool {
    let holds = |place: usize, number: i8| {
        let number = u8::try_from(number).unwrap();
        fields[place]
            .iter()
            .any(|part| part.holds(number, KINDS[place]))
    };
    let weekday = time.date().weekday().to_sunday_zero_offset();
    let (dom, dow) = (
        holds(3, time.day()),
        holds(5, weekday) || (weekday == 0 && holds(5, 7)),
    );
    let star = [3, 5]
        .iter()
        .any(|place: &usize| fields[*place].iter().any(Part::is_star));
    let day = if star { dom && dow } else { dom || dow };
    let hour = day && holds(4, time.month()) && holds(2, time.hour());
    hour && match depth {
        Depth::Hour => true,
        Depth::Second => holds(1, time.minute()) && holds(0, time.second()),
    }
}

#[derive(Clone, Copy)]
enum Depth {
    Hour,
    Second,
}

/// Clocks are changed on a quarter of an hour, and then by quarters of an hour.
const QUARTER: i64 = 900;

/// Asks second by second what the clock shows, quarters of an hour aside that show another hour. `None` where it never
/// holds for `days`.
fn asked(fields: &Fields, after: Timestamp, zone: &TimeZone, days: i64) -> Option<Timestamp> {
    let mut second = after.as_second() + 1;
    let end = second + days * 86_400;
    let shows = |second: i64| -> Zoned {
        Timestamp::from_second(second)
            .unwrap()
            .to_zoned(zone.clone())
    };
    while second < end {
        let quarter = second - second.rem_euclid(QUARTER) + QUARTER;
        if shown(fields, shows(second).datetime(), Depth::Hour) {
            let found = (second..quarter)
                .find(|second| shown(fields, shows(*second).datetime(), Depth::Second));
            if let Some(found) = found {
                return Some(Timestamp::from_second(found).unwrap());
            }
        }
        second = quarter;
    }
    None
}

/// Zones whose clocks are changed in every way there is: by an hour, by half of one, at midnight, in the south, on other
/// days of the week, never.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "Pacific/Chatham",
    "Antarctica/Troll",
];

/// A moment of the years 2023 to 2041, more often than not close to a change of the clock or to the end of a month.
fn moment() -> impl Strategy<Value = (TimeZone, Timestamp)> {
    let anywhere = 1_672_531_200..2_240_000_000_i64;
    (select(ZONES), anywhere, 0..4, -93_600..93_600_i64).prop_map(
        |(zone, second, near, distance)| {
            let zone = TimeZone::get(zone).unwrap();
            let anywhere = Timestamp::from_second(second).unwrap();
            let change = zone.following(anywhere).next().map(|it| it.timestamp());
            let near = match (near, change) {
                (0, _) => anywhere,
                (1, _) | (_, None) => {
                    let month = anywhere.to_zoned(zone.clone()).last_of_month().unwrap();
                    month.end_of_day().unwrap().timestamp()
                }
                (_, Some(change)) => change,
            };
            let after = near.checked_add(distance.seconds()).unwrap();
            (zone, after)
        },
    )
}

/// How far the second reading looks ahead: over the next leap year but one.
const DAYS: i64 = 9 * 366;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_next_time_is_the_first_second_at_which_the_clock_shows_it(
        fields in fields(),
        (zone, after) in moment(),
    ) {
        let text = written(&fields);
        let expected = asked(&fields, after, &zone, DAYS);
        match Rule::read(&text, || zone.clone()) {
            Ok(rule) => {
                let next = rule.next(after);
                let within = next.filter(|next| next.as_second() < after.as_second() + DAYS * 86_400);
                prop_assert_eq!(within, expected, "{} after {}", text, after);
            }
            Err(error) => {
                prop_assert_eq!(&error, &RuleError::Never, "{}", text);
                prop_assert_eq!(expected, None, "{}", text);
            }
        }
    }

    #[test]
    fn no_words_make_a_rule_panic(text in "(CRON_)?(TZ=[A-Za-z/ ]{0,8})?[@*?0-9a-zLW#,/ -]{0,24}") {
        if let Ok(rule) = Rule::read(&text, || TimeZone::UTC) {
            prop_assert!(rule.next(Timestamp::UNIX_EPOCH).is_some());
        }
    }
}
