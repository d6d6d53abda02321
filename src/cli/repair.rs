//! `standpipe repair`: what an operator decides when a start was refused. It must not decide anything itself: every step
//! has a flag, and the refusal names the one that fits.

use clap::Args;
use standpipe_store::Repair;

use super::{Failure, directory, print};
use crate::config::Config;

/// What `repair` is told.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(super) struct Arguments {
    /// Cut a file of the log off at this offset: what was acknowledged behind it is lost (a copy goes to quarantine)
    #[arg(long, value_name = "FILE:OFFSET", value_parser = cut)]
    cut: Option<(String, u64)>,
    /// Accept what a tolerant start has put into quarantine, and stop reporting it
    #[arg(long)]
    acknowledge: bool,
    /// Take the wall clock of now as right, so that what has expired by it is removed
    #[arg(long)]
    reset_clock: bool,
}

/// Repairs the directory, which no server may hold.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let dir = directory::with_store(&config.server.storage.path)?;
    let order = Repair {
        acknowledge: arguments.acknowledge,
        reset_clock: arguments.reset_clock,
        cut: arguments.cut.clone(),
    };
    for done in standpipe_store::repair(dir, &order)?.done {
        print(format_args!("{done}\n"))?;
    }
    Ok(())
}

/// `wal-7.log:4096`. File names of the log hold no colon.
fn cut(text: &str) -> Result<(String, u64), String> {
    let wrong = || "write it as FILE:OFFSET, as the refusal of the start did".to_owned();
    let (file, offset) = text.rsplit_once(':').ok_or_else(wrong)?;
    let offset = offset.parse().ok().ok_or_else(wrong)?;
    if file.is_empty() {
        Err(wrong())
    } else {
        Ok((file.to_owned(), offset))
    }
}
