//! When a source is to run next, whatever becomes of the clock. It must not read a clock: whoever asks says what it shows.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Rule;

/// The longest sleep: the clock may be set while somebody sleeps, and a machine that was suspended has not counted the time.
const LOOK: Duration = Duration::from_mins(1);
/// A clock that was set back by no more than this is waited for: time servers do that all the time.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

/// What a look at the clock tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Look {
    /// It is due.
    Due,
    /// It is not due before another look after this time.
    Wait(Duration),
}

/// A rule that is being followed.
#[derive(Debug)]
pub(super) struct Schedule {
    rule: Rule,
    /// When it is due next; `None` where the calendar ends before that.
    due: Option<Timestamp>,
    /// The latest that the clock has shown since it was set back.
    shown: Timestamp,
}

impl Schedule {
    /// Begins to follow `rule`.
    pub(super) fn new(rule: Rule, now: Timestamp) -> Self {
        let due = rule.next(now);
        Self {
            rule,
            due,
            shown: now,
        }
    }

    /// When it is due next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Looks at the clock. Where that was set back, it begins again.
    pub(super) fn look(&mut self, now: Timestamp) -> Look {
        if self.shown.duration_since(now) > SLACK {
            (self.due, self.shown) = (self.rule.next(now), now);
        }
        self.shown = self.shown.max(now);
        match self.due {
            None => Look::Wait(LOOK),
            Some(due) if due <= now => Look::Due,
            Some(due) => Look::Wait(due.duration_since(now).unsigned_abs().min(LOOK)),
        }
    }

    /// Lets go of everything that was due up to now, however much that was.
    pub(super) fn pass(&mut self, now: Timestamp) {
        if let Some(due) = self.due
            && due <= now
        {
            self.due = self.rule.next_in_beat(due, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-07-01T{text}Z").parse().unwrap()
    }

    fn schedule(rule: &str, now: &str) -> Schedule {
        Schedule::new(rule.parse().unwrap(), at(now))
    }

    fn seconds(seconds: u64) -> Look {
        Look::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn it_is_due_on_the_whole_second_and_not_a_moment_earlier() {
        let mut schedule = schedule("TZ=UTC 0 * * * * *", "10:00:30.25");
        assert_eq!(
            schedule.look(at("10:00:30.25")),
            Look::Wait(Duration::from_millis(29_750))
        );
        assert_eq!(
            schedule.look(at("10:00:59.999")),
            Look::Wait(Duration::from_millis(1))
        );
        assert_eq!(schedule.look(at("10:01:00")), Look::Due);
        schedule.pass(at("10:01:00"));
        assert_eq!(schedule.look(at("10:01:00")), seconds(60));
    }

    #[test]
    fn nobody_sleeps_longer_than_a_minute() {
        let mut schedule = schedule("TZ=UTC @daily", "10:00:00");
        assert_eq!(schedule.look(at("10:00:00")), seconds(60));
        assert_eq!(schedule.look(at("23:59:59")), seconds(1));
    }

    #[test]
    fn what_was_due_meanwhile_is_let_go_as_a_whole() {
        let mut schedule = schedule("TZ=UTC * * * * * *", "10:00:00");
        assert_eq!(schedule.look(at("10:00:07.5")), Look::Due);
        schedule.pass(at("10:00:07.5"));
        assert_eq!(schedule.due(), Some(at("10:00:08")));
    }

    #[test]
    fn an_interval_keeps_its_beat() {
        let mut schedule = schedule("@every 90s", "10:00:00.9");
        assert_eq!(schedule.due(), Some(at("10:01:30")));
        assert_eq!(schedule.look(at("10:01:30.01")), Look::Due);
        schedule.pass(at("10:01:31.3"));
        assert_eq!(schedule.due(), Some(at("10:03:00")));
        // A run that took four minutes: the two times in between are gone.
        schedule.pass(at("10:07:00"));
        assert_eq!(schedule.due(), Some(at("10:07:30")));
        // What is not due yet stays.
        schedule.pass(at("10:07:01"));
        assert_eq!(schedule.due(), Some(at("10:07:30")));
    }

    #[test]
    fn a_clock_that_is_set_forward_makes_one_run_and_no_storm() {
        for rule in ["TZ=UTC * * * * * *", "@every 1s"] {
            let mut schedule = schedule(rule, "10:00:00");
            let later: Timestamp = "2027-01-01T00:00:00.5Z".parse().unwrap();
            assert_eq!(schedule.look(later), Look::Due, "{rule}");
            schedule.pass(later);
            assert_eq!(
                schedule.look(later),
                Look::Wait(Duration::from_millis(500)),
                "{rule}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_it() {
        for (rule, wait) in [("TZ=UTC */10 * * * * *", 10), ("@every 30s", 30)] {
            let mut schedule = schedule(rule, "10:00:00");
            assert_eq!(schedule.look(at("10:00:30")), Look::Due, "{rule}");
            schedule.pass(at("10:00:30"));
            assert_eq!(schedule.look(at("03:00:00")), seconds(wait), "{rule}");
            assert_eq!(schedule.look(at("03:00:30")), Look::Due, "{rule}");
        }
    }

    #[test]
    fn a_clock_that_is_put_right_by_a_little_makes_no_second_run() {
        for rule in ["TZ=UTC 0 * * * * *", "@every 1m"] {
            let mut schedule = schedule(rule, "10:00:00");
            assert_eq!(schedule.look(at("10:01:00.001")), Look::Due, "{rule}");
            schedule.pass(at("10:01:00.001"));
            assert_eq!(
                schedule.look(at("10:00:59.999")),
                seconds(60),
                "{rule}: a look, and nothing is due"
            );
            assert_eq!(schedule.due(), Some(at("10:02:00")), "{rule}");
        }
    }
}
