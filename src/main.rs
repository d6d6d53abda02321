//! Entry point: arguments to command, and its result to an exit code. It must not know what a command does.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Gives memory back to the system after a flush, which the system's own allocator does not.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    standpipe::cli::main(std::env::args_os())
}
