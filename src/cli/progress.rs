//! Progress bars on standard error: seen on a terminal, silent everywhere else. It must not know what progresses.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use standpipe_store::Progress;

/// How often a bar is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// A bar over bytes; without a known total a count that runs.
pub(super) fn bytes(what: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, shape) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{prefix} {bytes} {bytes_per_sec}"),
    };
    styled(bar, shape, what)
}

/// A bar over entries.
pub(super) fn entries(what: &'static str, total: u64) -> ProgressBar {
    styled(
        ProgressBar::new(total),
        "{prefix} [{bar:30}] {pos}/{len} entries, {eta} left",
        what,
    )
}

fn styled(bar: ProgressBar, shape: &str, what: &'static str) -> ProgressBar {
    // A shape that does not parse would be a slip in this file; the plain bar is as true.
    let style =
        ProgressStyle::with_template(shape).unwrap_or_else(|_slip| ProgressStyle::default_bar());
    bar.with_style(style).with_prefix(what)
}

/// Shows how the store progresses while `work` runs.
pub(super) fn of_store<T>(what: &'static str, progress: &Progress, work: impl FnOnce() -> T) -> T {
    let bar = bytes(what, Some(0));
    if bar.is_hidden() {
        return work();
    }
    thread::scope(|scope| {
        let (done, ended) = mpsc::channel::<()>();
        let drawn = &bar;
        scope.spawn(move || {
            // The channel closes when the work has ended, be it in a panic.
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(REDRAW) {
                drawn.set_length(progress.bytes_total());
                drawn.set_position(progress.bytes_done());
            }
            drawn.finish_and_clear();
        });
        let result = work();
        drop(done);
        result
    })
}
