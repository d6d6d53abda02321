//! Times as text, written as databases do: `2024-02-29 12:30:00.5`. It must not know which database they come from.

use jiff::Span;
use jiff::civil::{Date, DateTime, date};

/// From when `PostgreSQL` counts.
const EPOCH: Date = date(2000, 1, 1);

/// A moment, so many microseconds after the year 2000 began; `None` where no calendar of ours has it.
pub(super) fn moment(micros: i64) -> Option<String> {
    match micros {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let moment = EPOCH.to_datetime(jiff::civil::Time::midnight());
    let moment = moment
        .checked_add(Span::new().try_microseconds(micros).ok()?)
        .ok()?;
    (moment.year() > 0).then(|| shown(moment))
}

/// A day, so many days after the first of the year 2000.
pub(super) fn day(days: i32) -> Option<String> {
    match days {
        i32::MAX => return Some("infinity".to_owned()),
        i32::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let day = EPOCH.checked_add(Span::new().try_days(days).ok()?).ok()?;
    (day.year() > 0).then(|| day.to_string())
}

/// A time of day, so many microseconds after it began; a day may end at 24:00:00.
pub(super) fn time_of_day(micros: i64) -> Option<String> {
    let micros = u64::try_from(micros).ok()?;
    let seconds = micros / 1_000_000;
    Some(clock(
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        micros % 1_000_000,
    ))
}

/// Hours, minutes, seconds and what of the second is over, in microseconds.
pub(super) fn clock(hours: u64, minutes: u64, seconds: u64, micros: u64) -> String {
    let mut text = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if micros > 0 {
        let fraction = format!(".{micros:06}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

fn shown(moment: DateTime) -> String {
    let part = |part: i8| u64::try_from(part).unwrap_or_default();
    let micros = u64::try_from(moment.subsec_nanosecond() / 1000).unwrap_or_default();
    let time = clock(
        part(moment.hour()),
        part(moment.minute()),
        part(moment.second()),
        micros,
    );
    format!("{} {time}", moment.date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_days_are_counted_from_2000() {
        assert_eq!(moment(0).unwrap(), "2000-01-01 00:00:00");
        assert_eq!(moment(-1).unwrap(), "1999-12-31 23:59:59.999999");
        let leap = 8_825 * 86_400_000_000 + 45_000_500_000;
        assert_eq!(moment(leap).unwrap(), "2024-02-29 12:30:00.5");
        assert_eq!(moment(i64::MAX).unwrap(), "infinity");
        assert_eq!(moment(i64::MIN).unwrap(), "-infinity");
        assert_eq!(moment(i64::MAX - 1), None);
        assert_eq!(moment(-63_082_281_600_000_001 - 31_536_000_000_000), None);
        assert_eq!(day(0).unwrap(), "2000-01-01");
        assert_eq!(day(-10_957).unwrap(), "1970-01-01");
        assert_eq!(day(i32::MAX).unwrap(), "infinity");
        assert_eq!(day(i32::MIN).unwrap(), "-infinity");
        assert_eq!(day(i32::MAX - 1), None);
    }

    #[test]
    fn times_of_day_show_no_more_of_a_second_than_there_is() {
        assert_eq!(time_of_day(0).unwrap(), "00:00:00");
        assert_eq!(time_of_day(45_000_000_001).unwrap(), "12:30:00.000001");
        assert_eq!(time_of_day(86_400_000_000).unwrap(), "24:00:00");
        assert_eq!(time_of_day(-1), None);
    }
}
