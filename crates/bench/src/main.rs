//! The benchmarks of Standpipe: a load generator, the bare handlers to compare with, and the rows of
//! `docs/performance.md`. A benchmark, not a test: numbers depend on the machine, so they are ratios measured side by side.

mod baseline;
mod cli;
mod disk;
mod failure;
mod load;
mod number;
mod process;
mod rows;
mod server;
mod store;
mod watch;

use std::process::ExitCode;

use mimalloc::MiMalloc;

pub(crate) use failure::{Failure, Outcome};

/// The allocator of the service, so that memory and speed are comparable.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
