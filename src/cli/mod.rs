//! The command line: what can be asked for, one file per command. It must not know how anything is done: commands read
//! the configuration and call the server or the store.

mod check;
mod directory;
mod exit;
mod export;
mod healthcheck;
mod import;
mod incoming;
mod line;
mod progress;
mod repair;
mod serve;
mod token;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

pub use exit::{Exit, Failure};

use crate::config::{self, Reader, Surroundings};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "standpipe",
    version,
    about = "A durable key-value and cache service over plain HTTP",
    after_help = "Without a command it serves. Settings come from flags, else from variables such as \
                  STANDPIPE_SERVER__ENDPOINT, else from the configuration file; `standpipe check` prints what holds.",
    disable_help_subcommand = true,
    args_override_self = true
)]
struct CommandLine {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The flags that every command takes. The short ones are those of cachepump, and work as Go's flags do: `-e=x`,
/// `--e x`, and of several the last one counts.
#[derive(Args, Debug)]
struct Flags {
    /// Where to listen, host:port; `:8080` is all interfaces (server.endpoint)
    #[arg(short = 'e', long, alias = "e", value_name = "ENDPOINT", global = true)]
    endpoint: Option<String>,
    /// DEBUG, INFO, WARN, ERROR, FATAL or OFF (logging.level)
    #[arg(short = 'l', long, alias = "l", value_name = "LEVEL", global = true)]
    level: Option<String>,
    /// The configuration file [default: ./config.yml where there is one]
    #[arg(short = 'c', long, alias = "c", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The directory of the data (storage.path)
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT (the default)
    Serve,
    /// Print the configuration that holds and where each value came from, then check every byte of the data
    Check(check::Arguments),
    /// Go on where a start was refused, as the refusal said
    Repair(repair::Arguments),
    /// Write every entry as a line of JSON; no server may be running on the data
    Export(export::Arguments),
    /// Put entries from a file of JSON lines, or from In-Memory-Cache's state file, into the data
    Import(import::Arguments),
    /// Exit 0 if the server of this configuration is ready, else 1
    Healthcheck,
    /// Make a new access token and print the lines for the configuration
    Token(token::Arguments),
}

/// Runs the command that the arguments ask for. Whatever fails becomes one line on standard error and an exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    if let Err(error) = survive_file_size_limit() {
        return Failure::new(Exit::INTERNAL, format_args!("cannot take SIGXFSZ: {error}")).report();
    }
    let line = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line,
        Err(refusal) => return usage(&refusal),
    };
    // A panic has printed itself; it must not look like a failure that someone foresaw.
    match panic::catch_unwind(|| run(line)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.report(),
        Err(_panic) => Exit::INTERNAL.into(),
    }
}

/// A write beyond the file size limit is to fail like one on a full disk, not to end the process.
fn survive_file_size_limit() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()).map(|_id| ())
}

fn run(line: CommandLine) -> Result<(), Failure> {
    let CommandLine { flags, command } = line;
    let flags = config::Flags {
        config: flags.config,
        endpoint: flags.endpoint,
        level: flags.level,
        data: flags.data,
    };
    let loaded = Reader::new(flags, Surroundings::of_process());
    match command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let (config, reader) = loaded?;
            serve::run(config, reader)
        }
        Command::Check(arguments) => check::run(&loaded?.0, &arguments),
        Command::Repair(arguments) => repair::run(&loaded?.0, &arguments),
        Command::Export(arguments) => export::run(&loaded?.0, &arguments),
        Command::Import(arguments) => import::run(&loaded?.0, &arguments),
        Command::Healthcheck => healthcheck::run(loaded.map(|(config, _)| config)),
        Command::Token(arguments) => token::run(&arguments),
    }
}

/// Help and the version were asked for: standard output, success. Anything else is a wrong command line.
fn usage(refusal: &clap::Error) -> ExitCode {
    let printed = refusal.print();
    match (refusal.use_stderr(), printed) {
        (true, _) => Exit::USAGE.into(),
        (false, Ok(())) => ExitCode::SUCCESS,
        (false, Err(_closed)) => Exit::IO.into(),
    }
}

/// One line on standard error. Where that is closed nobody is left to tell, and the exit code still speaks.
fn tell(words: fmt::Arguments<'_>) {
    drop(writeln!(io::stderr(), "standpipe: {words}"));
}

/// What was asked for, on standard output.
fn print(words: fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_fmt(words)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::io("write to standard output", &error))
}
