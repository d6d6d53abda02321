//! The rows of the table in `docs/performance.md`: each measures two sides alternately and prints a ratio.

mod http;
mod start;
mod watch;

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::number::median;
use crate::{Failure, Outcome, disk, server};

/// What all rows are told.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The service's binary; without it only the store is measured.
    pub(crate) program: Option<PathBuf>,
    /// Where data directories are made.
    pub(crate) dir: PathBuf,
    /// How often each side is measured.
    pub(crate) rounds: usize,
    /// How long each measurement of a rate takes.
    pub(crate) duration: Duration,
    /// Entries of the rows about starts and memory.
    pub(crate) entries: u64,
    pub(crate) connections: usize,
    pub(crate) workers: usize,
}

/// Rows that are known, in the order in which they are run.
pub(crate) const ROWS: [u8; 14] = [1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17];

/// One row's result.
#[derive(Debug)]
struct Row {
    number: u8,
    what: String,
    unit: &'static str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    reach: Reach,
}

/// What the ratio of ours to theirs should be.
#[derive(Debug, Clone, Copy)]
enum Reach {
    AtMost(f64),
    AtLeast(f64),
    /// Only our own number counts.
    Alone(f64),
}

impl Row {
    fn print(&self) -> Outcome<()> {
        let (ours, theirs) = (
            median(self.ours.iter().copied()),
            median(self.theirs.iter().copied()),
        );
        let unit = self.unit;
        let (found, met, wanted) = match self.reach {
            Reach::Alone(most) => {
                let met = ours <= most;
                (String::new(), met, format!("<= {most} {unit}"))
            }
            Reach::AtMost(most) => {
                let ratio = ours / theirs;
                (self.ratio(ratio), ratio <= most, format!("<= {most:.2} x"))
            }
            Reach::AtLeast(least) => {
                let ratio = ours / theirs;
                (
                    self.ratio(ratio),
                    ratio >= least,
                    format!(">= {least:.2} x"),
                )
            }
        };
        let against = if self.theirs.is_empty() {
            String::new()
        } else {
            format!(" against {theirs:.2} {unit}")
        };
        let verdict = if met { "met" } else { "not met" };
        say(format_args!(
            "row {:>2}  {}: {ours:.2} {unit}{against}{found}; {wanted}: {verdict}",
            self.number, self.what
        ))
    }

    fn ratio(&self, ratio: f64) -> String {
        let pairs = self.ours.iter().zip(&self.theirs);
        let mut each: Vec<f64> = pairs.map(|(ours, theirs)| ours / theirs).collect();
        each.sort_by(f64::total_cmp);
        match (each.first(), each.last()) {
            (Some(first), Some(last)) => {
                format!(", {ratio:.3} x (rounds: {first:.3} to {last:.3})")
            }
            _ => String::new(),
        }
    }
}

/// Measures `ours` and `theirs` in turn.
fn alternate(
    rounds: usize,
    mut ours: impl FnMut() -> Outcome<f64>,
    mut theirs: impl FnMut() -> Outcome<f64>,
) -> Outcome<(Vec<f64>, Vec<f64>)> {
    let mut found = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        found.0.push(ours()?);
        found.1.push(theirs()?);
    }
    Ok(found)
}

/// Prints a line.
pub(crate) fn say(what: impl Display) -> Outcome<()> {
    writeln!(std::io::stdout(), "{what}").map_err(Failure::at("standard output"))
}

/// Runs the rows that are asked for. A row that cannot be run says why, and the others go on; a row that fails ends the run.
pub(crate) fn run(rows: &[u8], setting: &Setting) -> Outcome<()> {
    if let Some(unknown) = rows.iter().find(|row| !ROWS.contains(row)) {
        let known = format!("row {unknown} is not known here; these are: {ROWS:?}");
        return Err(Failure::of(known));
    }
    disk::on_a_disk(&setting.dir)?;
    let sync = disk::sync_latency(&setting.dir)?;
    say(format_args!(
        "4 KiB over zeros and a sync: {:.0} us; {} rounds of {:.1} s; medians",
        sync.as_secs_f64() * 1e6,
        setting.rounds,
        setting.duration.as_secs_f64()
    ))?;
    let redis = server::has_redis();
    for row in rows {
        let needs_redis = matches!(row, 3 | 7 | 8 | 9 | 10);
        if needs_redis && !redis {
            say(format_args!(
                "row {row:>2}  skipped: redis-server is not installed"
            ))?;
            continue;
        }
        if *row == 17 {
            start::pages(setting)?;
            continue;
        }
        let Some(program) = &setting.program else {
            match row {
                7..=10 => start::store(*row, setting)?,
                _ => say(format_args!("row {row:>2}  skipped: needs --program"))?,
            }
            continue;
        };
        match row {
            1 => http::get_against_bare(setting, program)?,
            2 => http::put_against_bare(setting, program)?,
            3 => http::synced_against_redis(setting, program)?,
            4 => http::synced_against_written(setting, program)?,
            7..=9 => start::service(*row, setting, program)?,
            10 => start::store(10, setting)?,
            11 => http::many_keys(setting, program)?,
            12 => http::idle_connections(setting, program)?,
            13 => watch::watchers(setting, program)?,
            16 => http::hot_counter(setting, program)?,
            _ => http::empty_start(setting, program)?,
        }
    }
    // A shared disk changes its mind: rows 3, 4 and 16 count only where it was as fast afterwards.
    let sync = disk::sync_latency(&setting.dir)?;
    say(format_args!(
        "4 KiB over zeros and a sync, afterwards: {:.0} us",
        sync.as_secs_f64() * 1e6
    ))
}
