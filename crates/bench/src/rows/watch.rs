//! Row 13: watchers that all see every change, beside a writer.

use std::path::Path;

use super::http::temporary;
use super::{Reach, Row, Setting};
use crate::Outcome;
use crate::load::histogram::Histogram;
use crate::watch::Plan;

/// How many watch.
const WATCHERS: usize = 1_000;
/// Changes in a second.
const CHANGES: u64 = 100;

/// Row 13.
pub(super) fn watchers(setting: &Setting, program: &Path) -> Outcome<()> {
    let (mut delivery, mut beside, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setting.rounds.max(1) {
        let dir = temporary(setting)?;
        let plan = Plan {
            watchers: WATCHERS,
            groups: 1,
            stalled_percent: 0,
            changes: CHANGES,
            value_bytes: 100,
            duration: setting.duration,
        };
        let report = plan.run(program, dir.path(), setting.workers)?.judged()?;
        let ms = |part: &Histogram| part.quantile(0.99).as_secs_f64() * 1e3;
        delivery.push(ms(&report.delivery));
        beside.push(ms(&report.beside));
        alone.push(ms(&report.alone));
    }
    Row {
        number: 13,
        what: format!(
            "{WATCHERS} watchers, {CHANGES} changes a second each seen by all, p99 delivery"
        ),
        unit: "ms",
        ours: delivery,
        theirs: Vec::new(),
        reach: Reach::Alone(50.0),
    }
    .print()?;
    Row {
        number: 13,
        what: "the same, the writer's p99, against own without watchers".to_owned(),
        unit: "ms",
        ours: beside,
        theirs: alone,
        reach: Reach::AtMost(1.5),
    }
    .print()
}
