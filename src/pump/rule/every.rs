//! `@every`: a time as Go writes it (`1h30m10s`, `1.5s`, `300ms`). It must not know what is due so often.

use jiff::SignedDuration;

use super::RuleError;

/// The units, and how many nanoseconds each has. Those that others begin with stand behind them.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const SECOND: u64 = 1_000_000_000;

/// The interval in whole seconds, what is less being cut off, but never less than one.
pub(super) fn read(said: &str) -> Result<SignedDuration, RuleError> {
    let none = || RuleError::Interval {
        said: said.to_owned(),
    };
    let nothing = || RuleError::NoInterval {
        said: said.to_owned(),
    };
    if let Some(negative) = said.strip_prefix('-') {
        return Err(nanos(negative).map_or_else(none, |_| nothing()));
    }
    match nanos(said.strip_prefix('+').unwrap_or(said)) {
        None => Err(none()),
        Some(0) => Err(nothing()),
        Some(nanos) => {
            let seconds = i64::try_from((nanos / SECOND).max(1)).unwrap_or(i64::MAX);
            Ok(SignedDuration::from_secs(seconds))
        }
    }
}

/// Numbers with units, one after the other; 0 needs no unit. `None` where that is something else or too long.
fn nanos(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at_checked(end)?;
        let (unit, nanos) = UNITS.iter().find(|(unit, _)| behind.starts_with(unit))?;
        sum = sum.checked_add(times(number, *nanos)?)?;
        rest = behind.strip_prefix(unit)?;
    }
    (!text.is_empty()).then_some(sum)
}

/// A number with or without a fraction, times `unit`; of the fraction, what is less than a nanosecond is cut off.
fn times(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let (mut part, mut tenth) = (0, unit);
    for digit in fraction.chars() {
        tenth /= 10;
        part += u64::from(digit.to_digit(10)?) * tenth;
    }
    whole.checked_mul(unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_go() {
        for (said, seconds) in [
            ("1h30m10s", 5410),
            ("90s", 90),
            ("1.5h", 5400),
            (".5m", 30),
            ("2.s", 2),
            ("1m0.999s", 60),
            ("1500ms", 1),
            ("+3s", 3),
            ("1h1h", 7200),
            ("2000000us", 2),
            ("3000000\u{b5}s", 3),
            ("4000000\u{3bc}s", 4),
            ("5000000000ns", 5),
            ("87600h", 315_360_000),
        ] {
            let pause = read(said).unwrap_or_else(|error| panic!("{said}: {error}"));
            assert_eq!(pause, SignedDuration::from_secs(seconds), "{said}");
        }
    }

    #[test]
    fn what_is_less_than_a_second_is_one() {
        for said in ["1ms", "1ns", "999ms", "0.1s"] {
            assert_eq!(read(said).unwrap(), SignedDuration::from_secs(1), "{said}");
        }
    }

    #[test]
    fn nothing_is_no_interval() {
        for said in ["0", "0s", "0h0m0.0s", "-1s", "-0", "0.1ns"] {
            let said = said.to_owned();
            assert_eq!(read(&said), Err(RuleError::NoInterval { said }));
        }
    }

    #[test]
    fn what_is_no_time_is_named() {
        for said in [
            "",
            "5",
            "s",
            ".s",
            "1.2.3s",
            "1d",
            "1 s",
            "1s ",
            "x",
            "-x",
            "+-1s",
            "1e3s",
            "9999999h",
            "18446744073709551616s",
        ] {
            let said = said.to_owned();
            assert_eq!(read(&said), Err(RuleError::Interval { said }));
        }
    }
}
