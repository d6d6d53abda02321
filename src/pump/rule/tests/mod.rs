//! What is due when, what is wrong with the rest, and what happens where clocks are changed.

mod oracle;

use super::*;

fn rule(text: &str) -> Rule {
    Rule::read(text, || TimeZone::UTC).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn wrong(text: &str) -> String {
    Rule::read(text, || TimeZone::UTC).unwrap_err().to_string()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first times of a rule behind `after`, as the clock of `zone` shows them.
fn times(text: &str, after: &str, zone: &str, count: usize) -> Vec<String> {
    let (rule, mut time) = (rule(text), at(after));
    let zone = TimeZone::get(zone).unwrap();
    let mut times = Vec::new();
    for _ in 0..count {
        time = rule.next(time).unwrap();
        times.push(time.to_zoned(zone.clone()).strftime("%F %T%:z").to_string());
    }
    times
}

/// Rules, a moment, and when each is due next.
#[rustfmt::skip]
const NEXT: &[(&str, &str, &str)] = &[
    ("* * * * * *", "2026-07-01T00:00:00Z", "2026-07-01T00:00:01Z"),
    ("* * * * * *", "2026-07-01T00:00:00.999Z", "2026-07-01T00:00:01Z"),
    ("0 0 * * * *", "2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z"),
    ("0 */2 * * * *", "2026-07-01T00:01:59Z", "2026-07-01T00:02:00Z"),
    ("?/15 * * * * *", "2026-07-01T00:00:46Z", "2026-07-01T00:01:00Z"),
    ("? ? ? ? ? ?", "2026-07-01T00:00:46Z", "2026-07-01T00:00:47Z"),
    ("5/20 * * * * *", "2026-07-01T00:00:26Z", "2026-07-01T00:00:45Z"),
    ("0 0 12 1 JAN ?", "2026-07-01T00:00:00Z", "2027-01-01T12:00:00Z"),
    ("0 0 12 ? jan-Feb mon", "2026-07-01T00:00:00Z", "2027-01-04T12:00:00Z"),
    ("0 0 0 29 2 ?", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"),
    ("0 0 0 ? * 7", "2026-07-01T00:00:00Z", "2026-07-05T00:00:00Z"),
    ("0 0 0 ? * 5-7/2", "2026-07-04T00:00:00Z", "2026-07-05T00:00:00Z"),
    ("0 0 0 ? * 1/2", "2026-07-04T00:00:00Z", "2026-07-06T00:00:00Z"),
    ("10,20-22,59 5 4 * * *", "2026-07-01T04:05:21Z", "2026-07-01T04:05:22Z"),
    ("00 05 ,4,, * * *", "2026-07-01T00:00:00Z", "2026-07-01T04:05:00Z"),
    ("0 0 0 31 * ?", "2026-08-31T00:00:00Z", "2026-10-31T00:00:00Z"),
    (" 0\t0 0 1 1 * \n", "2026-07-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ("TZ=Asia/Tokyo 0 0 9 * * *", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
    ("CRON_TZ=America/New_York 0 0 9 * * *", "2026-07-01T00:00:00Z", "2026-07-01T13:00:00Z"),
    ("TZ=asia/kolkata @daily", "2026-07-01T00:00:00Z", "2026-07-01T18:30:00Z"),
    ("TZ= 0 0 9 * * *", "2026-07-01T00:00:00Z", "2026-07-01T09:00:00Z"),
    ("TZ=Local 0 0 9 * * *", "2026-07-01T00:00:00Z", "2026-07-01T09:00:00Z"),
    ("@yearly", "2026-07-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ("@annually", "2026-07-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ("@monthly", "2026-07-01T00:00:00Z", "2026-08-01T00:00:00Z"),
    ("@weekly", "2026-07-01T00:00:00Z", "2026-07-05T00:00:00Z"),
    ("@daily", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
    ("@midnight", "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"),
    ("@hourly", "2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z"),
    ("@every 90s", "2026-07-01T00:00:00.25Z", "2026-07-01T00:01:30Z"),
    ("@every 1.5s", "2026-07-01T00:00:00Z", "2026-07-01T00:00:01Z"),
    ("TZ=Asia/Tokyo @every 1h", "2026-07-01T00:00:00Z", "2026-07-01T01:00:00Z"),
    ("* * * * * *", "1969-12-31T23:59:57.5Z", "1969-12-31T23:59:58Z"),
];

#[test]
fn each_field_says_what_the_clock_shows() {
    for (text, after, next) in NEXT {
        assert_eq!(rule(text).next(at(after)), Some(at(next)), "{text}");
    }
}

#[test]
fn the_day_needs_both_fields_where_one_is_a_star_and_else_one_of_them() {
    // The first of July 2026 is a Wednesday.
    let days = |fields: &str| {
        let [dom, dow] = fields.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{fields}");
        };
        let text = format!("0 0 0 {dom} 7 {dow}");
        times(&text, "2026-06-30T12:00:00Z", "UTC", 4)
            .iter()
            .map(|time| time.get(8..10).unwrap().parse().unwrap())
            .collect::<Vec<u8>>()
    };
    for (fields, expected) in [
        // Both: a star is on one of the sides, whatever else is in its list.
        ("* MON", [6, 13, 20, 27]),
        ("? MON", [6, 13, 20, 27]),
        ("*/1 MON", [6, 13, 20, 27]),
        ("10,?/1 MON", [6, 13, 20, 27]),
        ("9-12 *", [9, 10, 11, 12]),
        ("9-12 WED,*", [9, 10, 11, 12]),
        // One: what names every day without a star is no star.
        ("1-31 MON", [1, 2, 3, 4]),
        ("1/1 MON", [1, 2, 3, 4]),
        ("10 0-6", [1, 2, 3, 4]),
        ("10 0-7", [1, 2, 3, 4]),
        ("*/2 MON", [1, 3, 5, 6]),
        ("10,20 MON", [6, 10, 13, 20]),
        ("10 */3", [1, 4, 5, 8]),
    ] {
        assert_eq!(days(fields), expected, "{fields}");
    }
}

#[test]
fn a_time_that_the_clock_leaps_over_does_not_come() {
    let rule = "TZ=Europe/Berlin 0 30 2 * * *";
    assert_eq!(
        times(rule, "2026-03-27T12:00:00Z", "Europe/Berlin", 2),
        ["2026-03-28 02:30:00+01:00", "2026-03-30 02:30:00+02:00"]
    );
    // Nor do those of a rule that holds in every minute: behind 01:59 comes 03:00.
    let rule = "TZ=Europe/Berlin 0 */30 * * * *";
    assert_eq!(
        times(rule, "2026-03-29T00:29:00Z", "Europe/Berlin", 2),
        ["2026-03-29 01:30:00+01:00", "2026-03-29 03:00:00+02:00"]
    );
    // In Beirut the day begins at one o'clock then.
    assert_eq!(
        times(
            "TZ=Asia/Beirut @daily",
            "2026-03-28T12:00:00Z",
            "Asia/Beirut",
            1
        ),
        ["2026-03-30 00:00:00+03:00"]
    );
}

#[test]
fn a_time_that_the_clock_shows_twice_comes_twice() {
    let rule = "TZ=Europe/Berlin 0 30 2 * * *";
    assert_eq!(
        times(rule, "2026-10-24T12:00:00Z", "Europe/Berlin", 3),
        [
            "2026-10-25 02:30:00+02:00",
            "2026-10-25 02:30:00+01:00",
            "2026-10-26 02:30:00+01:00"
        ]
    );
    // Where the clock goes back by half an hour, only that half hour comes twice.
    let rule = "TZ=Australia/Lord_Howe 0 */20 1 5 4 ?";
    assert_eq!(
        times(rule, "2026-04-03T00:00:00Z", "Australia/Lord_Howe", 4),
        [
            "2026-04-05 01:00:00+11:00",
            "2026-04-05 01:20:00+11:00",
            "2026-04-05 01:40:00+11:00",
            "2026-04-05 01:40:00+10:30"
        ]
    );
}

/// Rules that are wrong, and what is said of each.
#[rustfmt::skip]
const WRONG: &[(&str, &[&str])] = &[
    ("", &["six fields", "none"]),
    ("* * * * *", &["six fields", "five", "second is missing"]),
    ("0 0 0 * * * *", &["six fields", "7"]),
    ("60 * * * * *", &["second", "\"60\"", "from 0 to 59"]),
    ("* 60 * * * *", &["minute", "\"60\"", "from 0 to 59"]),
    ("* * 24 * * *", &["hour", "\"24\"", "from 0 to 23"]),
    ("* * * 0 * *", &["day of month", "\"0\"", "from 1 to 31"]),
    ("* * * 32 * *", &["day of month", "\"32\""]),
    ("* * * * 13 *", &["month", "\"13\"", "from 1 to 12"]),
    ("* * * * 0 *", &["month", "\"0\""]),
    ("* * * * * 8", &["day of week", "\"8\"", "from 0 to 7"]),
    ("* * * * JANUARY *", &["month", "JANUARY", "JAN to DEC"]),
    ("* * * * * MO", &["day of week", "MO", "SUN to SAT"]),
    ("MON * * * * *", &["second", "MON", "no number"]),
    ("* * 20-8 * * *", &["hour", "20-8", "before it begins"]),
    ("* * * * * SAT-SUN", &["day of week", "SAT-SUN", "before it begins"]),
    ("* * 1-2-3 * * *", &["hour", "1-2-3", "two ends"]),
    ("*/2/3 * * * * *", &["second", "*/2/3", "one step"]),
    ("*/0 * * * * *", &["second", "*/0", "from 1 on"]),
    ("*/x * * * * *", &["second", "*/x", "from 1 on"]),
    ("1/ * * * * *", &["second", "1/", "from 1 on"]),
    (", * * * * *", &["second", "\",\"", "nothing"]),
    ("-5 * * * * *", &["second", "-5"]),
    ("*-5 * * * * *", &["second", "*-5", "no number"]),
    ("99999999999999999999 * * * * *", &["second", "no number"]),
    ("* * * L * *", &["day of month", "\"L\"", "L, W and #"]),
    ("* * * 15W * *", &["day of month", "15W", "L, W and #"]),
    ("* * * * * 5#2", &["day of week", "5#2", "L, W and #"]),
    ("* * * * * FRIL", &["day of week", "FRIL", "L, W and #"]),
    ("0 0 0 31 FEB *", &["day of month", "month", "never"]),
    ("0 0 0 30-31 2 ?", &["never"]),
    ("0 0 0 31 4,6,9,11 */1", &["never"]),
    ("TZ=UTC", &["TZ=UTC", "space"]),
    ("CRON_TZ=UTC", &["CRON_TZ=UTC", "space"]),
    ("TZ=UTC,0 0 * * * *", &["UTC,0", "time zone"]),
    ("TZ=UTC * * * * *", &["six fields", "five"]),
    ("TZ=Nowhere/Land * * * * * *", &["Nowhere/Land", "time zone"]),
    ("TZ=UTC TZ=UTC * * * * *", &["second", "TZ=UTC"]),
    ("@every 0", &["@every 0", "more than nothing"]),
    ("@every -5s", &["@every -5s", "more than nothing"]),
    ("@every", &["@every", "1h30m10s"]),
    ("@every 5", &["\"5\"", "1h30m10s"]),
    ("@every 1d", &["\"1d\""]),
    ("@reboot", &["@reboot", "@hourly"]),
    ("@hourly now", &["@hourly now"]),
    ("@", &["\"@\""]),
];

#[test]
fn a_rule_that_is_wrong_names_the_field_and_what_is_wrong() {
    for (text, words) in WRONG {
        let sentence = wrong(text);
        for word in *words {
            assert!(sentence.contains(word), "{text:?}: {sentence}: {word}");
        }
    }
}

#[test]
fn what_has_no_end_ends_with_the_calendar() {
    assert_eq!(rule("@yearly").next(at("9999-06-01T00:00:00Z")), None);
    assert_eq!(rule("@every 87600h").next(at("9999-06-01T00:00:00Z")), None);
}
