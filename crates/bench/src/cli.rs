//! The command line of the benchmarks.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::load::protocol::Protocol;
use crate::load::{Load, Mix, count_of, usual};
use crate::rows::{self, ROWS, Setting, say};
use standpipe_store::Durability;

use crate::store::churn;
use crate::store::lists;
use crate::store::operations::{Operation, Plan};
use crate::{Failure, Outcome, baseline, disk, server, store, watch};

/// The benchmarks of Standpipe. Everything runs on the loopback address and on directories of its own.
#[derive(Debug, Parser)]
#[command(name = "standpipe-bench", disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load a running server
    Load(LoadArguments),
    /// Serve bare handlers to compare with, on a free port
    Baseline {
        #[arg(long, default_value_t = 2)]
        workers: usize,
    },
    /// Measure rows of docs/performance.md
    Rows(RowArguments),
    /// Every row once, very short: to see that it works
    Smoke {
        /// The service's binary
        #[arg(long)]
        program: Option<PathBuf>,
        /// Where data directories are made [default: beside this program]
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Measure the store alone
    #[command(subcommand)]
    Store(StoreCommand),
    /// Many watchers, some of which never read, beside a writer; fails where one that reads misses anything
    Watch(WatchArguments),
    /// Measure a sync of 4 KiB
    Sync {
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
struct LoadArguments {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long, value_enum, default_value = "http")]
    protocol: Protocol,
    #[arg(long, value_enum, default_value = "get")]
    mix: Mix,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value = "100k", value_parser = count_of)]
    keys: u64,
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// The run ends after this time
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The run ends after so many requests
    #[arg(long, default_value = "1000M", value_parser = count_of)]
    requests: u64,
    /// The server's process, whose CPU time is told
    #[arg(long)]
    pid: Option<u32>,
}

#[derive(Debug, Args)]
struct WatchArguments {
    /// The service's binary
    #[arg(long)]
    program: PathBuf,
    /// Where the data directory is made [default: beside this program]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, default_value_t = 10_000)]
    watchers: usize,
    /// Groups that the changes go round: each change is seen by one watcher of so many
    #[arg(long, default_value_t = 100)]
    groups: u64,
    /// Watchers of a hundred that watch everything and never read
    #[arg(long, default_value_t = 1)]
    stalled_percent: usize,
    /// Changes in a second
    #[arg(long, default_value_t = 100)]
    changes: u64,
    #[arg(long, default_value_t = 1_000)]
    value_bytes: usize,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Fail where the writer's slowest hundredth takes so many times longer than without watchers
    #[arg(long)]
    most_slower: Option<f64>,
}

#[derive(Debug, Args)]
struct RowArguments {
    /// Row numbers [default: all that are known]
    #[arg(value_delimiter = ',')]
    rows: Vec<u8>,
    /// The service's binary; without it the store alone is measured
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where data directories are made, on a disk [default: beside this program]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Entries of rows 7 to 11 and 17
    #[arg(long, default_value = "5M", value_parser = count_of)]
    entries: u64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Fill a new store
    Fill {
        #[arg(long)]
        dir: PathBuf,
        #[arg(long, default_value = "1M", value_parser = count_of)]
        entries: u64,
        /// Fold the log into a snapshot
        #[arg(long)]
        snapshot: bool,
    },
    /// Open a store; tells microseconds, bytes in memory, entries
    Open {
        #[arg(long)]
        dir: PathBuf,
    },
    /// Make a snapshot; tells microseconds, bytes, entries
    Snapshot {
        #[arg(long)]
        dir: PathBuf,
    },
    /// Entries that fall due in one second: latencies before and meanwhile
    Expiry {
        /// Where the data directory is made [default: beside this program]
        #[arg(long)]
        dir: Option<PathBuf>,
        #[arg(long, default_value = "1M", value_parser = count_of)]
        entries: u64,
        /// Nothing is logged
        #[arg(long)]
        memory: bool,
    },
    /// An hour's coming and going in a bounded keyspace: memory counted and taken
    Churn(ChurnArguments),
    /// Pages of a list at random places, beside a writer
    Lists {
        /// Where the data directory is made [default: beside this program]
        #[arg(long)]
        dir: Option<PathBuf>,
        #[arg(long, default_value = "5M", value_parser = count_of)]
        entries: u64,
        /// Keys of a page
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
    /// Operations from several threads
    Operations {
        #[arg(value_enum)]
        operation: Operation,
        /// Where the data directory is made [default: beside this program]
        #[arg(long)]
        dir: Option<PathBuf>,
        #[arg(long, default_value_t = 2)]
        threads: u64,
        /// Operations in flight on each thread
        #[arg(long, default_value_t = 32)]
        tasks: u64,
        #[arg(long, default_value = "100k", value_parser = count_of)]
        keys: u64,
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// Most operations of each task
        #[arg(long, default_value = "1000M", value_parser = count_of)]
        count: u64,
    },
}

#[derive(Debug, Args)]
struct ChurnArguments {
    /// Where the data directory is made [default: beside this program]
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, default_value = "256M", value_parser = count_of)]
    max_bytes: u64,
    /// Puts: an hour of a thousand a second
    #[arg(long, default_value = "3600k", value_parser = count_of)]
    changes: u64,
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Nothing is logged
    #[arg(long)]
    memory: bool,
    /// How long values are
    #[arg(long, value_enum, default_value = "varied")]
    sizes: churn::Sizes,
    /// Fail where the process takes more than docs/eviction.md states
    #[arg(long)]
    check: bool,
}

/// Runs the command of the arguments.
pub(crate) fn main() -> ExitCode {
    match run(CommandLine::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            drop(writeln!(std::io::stderr(), "standpipe-bench: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome<()> {
    match command {
        Command::Load(arguments) => load(&arguments),
        Command::Baseline { workers } => baseline::serve(workers),
        Command::Rows(arguments) => {
            let rows = arguments.rows.clone();
            let rows = if rows.is_empty() { ROWS.to_vec() } else { rows };
            rows::run(&rows, &setting(&arguments)?)
        }
        Command::Smoke { program, dir } => smoke(program.as_deref(), dir.as_deref()),
        Command::Store(command) => store_command(command),
        Command::Watch(arguments) => watch(&arguments),
        Command::Sync { dir } => {
            disk::on_a_disk(&dir)?;
            say(format_args!("{:?}", disk::sync_latency(&dir)?))
        }
    }
}

fn load(arguments: &LoadArguments) -> Outcome<()> {
    let report = Load {
        address: arguments.address,
        protocol: arguments.protocol,
        mix: arguments.mix,
        connections: arguments.connections,
        keys: arguments.keys,
        key_bytes: arguments.key_bytes,
        value_bytes: arguments.value_bytes,
        duration: seconds(arguments.seconds)?,
        requests: arguments.requests,
        pid: arguments.pid,
    }
    .run()?;
    say(&report)
}

fn watch(arguments: &WatchArguments) -> Outcome<()> {
    let plan = watch::Plan {
        watchers: arguments.watchers,
        groups: arguments.groups.max(1),
        stalled_percent: arguments.stalled_percent,
        changes: arguments.changes.max(1),
        value_bytes: arguments.value_bytes,
        duration: seconds(arguments.seconds)?,
    };
    let program = absolute(&arguments.program)?;
    in_new_directory(arguments.dir.as_deref(), |data| {
        let report = plan.run(&program, data, arguments.workers)?.judged()?;
        let slower = report.slower();
        say(report)?;
        match arguments.most_slower {
            Some(most) if slower > most => Err(Failure::of("the writer was slowed down too much")),
            Some(_) | None => Ok(()),
        }
    })
}

fn seconds(seconds: f64) -> Outcome<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(Failure::at("--seconds"))
}

fn setting(arguments: &RowArguments) -> Outcome<Setting> {
    Ok(Setting {
        program: arguments.program.as_deref().map(absolute).transpose()?,
        dir: directory(arguments.dir.as_deref())?,
        rounds: arguments.rounds,
        duration: seconds(arguments.seconds)?,
        entries: arguments.entries,
        connections: arguments.connections,
        workers: arguments.workers,
    })
}

fn absolute(path: &Path) -> Outcome<PathBuf> {
    path.canonicalize().map_err(Failure::at(path.display()))
}

/// The directory that was named, or the one of this program: build output lies on a disk, temporary files often do not.
fn directory(named: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(dir) = named {
        return absolute(dir);
    }
    let this = std::env::current_exe().map_err(Failure::at("this program"))?;
    let dir = this.parent().map(Path::to_owned);
    dir.ok_or_else(|| Failure::of("this program lies nowhere"))
}

/// Every part once: the load generator against the bare handlers, the store's operations, all rows.
fn smoke(program: Option<&Path>, dir: Option<&Path>) -> Outcome<()> {
    let setting = Setting {
        program: program.map(absolute).transpose()?,
        dir: directory(dir)?,
        rounds: 1,
        duration: Duration::from_millis(400),
        entries: 20_000,
        connections: 16,
        workers: 2,
    };
    let bare = server::baseline(setting.workers)?;
    for mix in [Mix::Get, Mix::Put, Mix::Mixed] {
        let mut load = usual(bare.address, mix, setting.duration);
        load.pid = Some(bare.pid());
        say(format_args!("bare {mix:?}: {}", load.run_well()?))?;
    }
    bare.stop()?;
    for operation in [
        Operation::Get,
        Operation::Apply,
        Operation::Written,
        Operation::Synced,
    ] {
        operations(Some(&setting.dir), |plan| Plan {
            operation,
            duration: setting.duration,
            keys: 1_000,
            ..plan
        })?;
    }
    rows::run(&ROWS, &setting)
}

/// Calls `run` with a directory on a disk that is removed afterwards.
fn in_new_directory(dir: Option<&Path>, run: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<()> {
    let dir = directory(dir)?;
    disk::on_a_disk(&dir)?;
    let made = tempfile::Builder::new().prefix("bench-").tempdir_in(&dir);
    let data = made.map_err(Failure::at(dir.display()))?;
    run(data.path())
}

const fn durability(memory: bool) -> Durability {
    if memory {
        Durability::Memory
    } else {
        Durability::Written
    }
}

fn churn(arguments: &ChurnArguments) -> Outcome<()> {
    let plan = churn::Plan {
        durability: durability(arguments.memory),
        max_bytes: arguments.max_bytes,
        changes: arguments.changes,
        duration: seconds(arguments.seconds)?,
        sizes: arguments.sizes,
    };
    in_new_directory(arguments.dir.as_deref(), |data| {
        let churned = plan.run(data)?;
        say(&churned)?;
        if churned.exceeded() || (arguments.check && !churned.is_as_stated()) {
            return Err(Failure::of("it took more than it may"));
        }
        Ok(())
    })
}

fn operations(dir: Option<&Path>, plan: impl FnOnce(Plan) -> Plan) -> Outcome<()> {
    let plan = plan(Plan {
        operation: Operation::Get,
        threads: 2,
        tasks: 32,
        keys: 100_000,
        duration: Duration::from_secs(2),
        count: u64::MAX,
    });
    in_new_directory(dir, |data| {
        say(format_args!(
            "store {:?}: {}",
            plan.operation,
            plan.run(data)?
        ))
    })
}

fn store_command(command: StoreCommand) -> Outcome<()> {
    match command {
        StoreCommand::Fill {
            dir,
            entries,
            snapshot,
        } => {
            let took = store::fill(&dir, entries, snapshot)?;
            say(format_args!("{entries} entries put in {took:?}"))
        }
        StoreCommand::Open { dir } => say(store::opening(&dir)?),
        StoreCommand::Snapshot { dir } => {
            let (took, bytes, entries) = store::snapshot(&dir)?;
            say(format_args!(
                "made in {} us, {bytes} bytes, {entries} entries",
                took.as_micros()
            ))
        }
        StoreCommand::Expiry {
            dir,
            entries,
            memory,
        } => in_new_directory(dir.as_deref(), |data| {
            say(store::expiry::run(data, entries, durability(memory))?)
        }),
        StoreCommand::Churn(arguments) => churn(&arguments),
        StoreCommand::Lists {
            dir,
            entries,
            limit,
            seconds: time,
        } => in_new_directory(dir.as_deref(), |data| {
            let duration = seconds(time)?;
            say(lists::Plan::new(entries, limit, duration).run(data)?)
        }),
        StoreCommand::Operations {
            operation,
            dir,
            threads,
            tasks,
            keys,
            seconds: time,
            count,
        } => {
            let duration = seconds(time)?;
            operations(dir.as_deref(), |_| Plan {
                operation,
                threads,
                tasks,
                keys,
                duration,
                count,
            })
        }
    }
}
