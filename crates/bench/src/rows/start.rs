//! Rows about starts, memory and snapshots, beside Redis: of the service, or of the store alone.

use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Reach, Row, Setting, alternate};
use crate::load::key;
use crate::load::protocol::{Operation, Protocol, Template};
use crate::process::resident;
use crate::server::{Persistence, Standpipe, redis, redis_command, redis_info};
use crate::store::lists::Plan;
use crate::store::{self, VALUE, overhead};
use crate::{Failure, Outcome};

/// Requests that are sent to Redis before its replies are read.
const PIPELINE: u64 = 1_000;

/// A row of the store alone.
pub(super) fn store(number: u8, setting: &Setting) -> Outcome<()> {
    let sides = Sides::new(setting)?;
    match number {
        7 | 8 => sides.starts(number, |data| Ok(store::opening_elsewhere(data)?.took)),
        9 => sides.memory(|data| Ok(store::opening_elsewhere(data)?.resident)),
        _ => sides.snapshots(),
    }
}

/// Pages of a list anywhere in many keys: of the store alone.
pub(super) fn pages(setting: &Setting) -> Outcome<()> {
    let plan = Plan::new(setting.entries, 100, setting.duration);
    let made = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&setting.dir);
    let data = made.map_err(Failure::at(setting.dir.display()))?;
    let measured = plan.run(data.path())?;
    let keys = setting.entries;
    let (rest, beside) = (measured.at_rest, measured.beside_a_writer);
    for (pages, what) in [
        (
            &rest,
            format!("a page of 100 keys among {keys}, p99: {rest}"),
        ),
        (&beside, format!("the same beside a writer, p99: {beside}")),
    ] {
        let row = Row {
            number: 17,
            what,
            unit: "ms",
            ours: vec![pages.p99().as_secs_f64() * 1e3],
            theirs: Vec::new(),
            reach: Reach::Alone(5.0),
        };
        row.print()?;
    }
    Ok(())
}

/// A row of the service.
pub(super) fn service(number: u8, setting: &Setting, program: &Path) -> Outcome<()> {
    let sides = Sides::new(setting)?;
    let start = |data: &Path| {
        Standpipe {
            program,
            data: data.to_owned(),
            durability: "written",
            workers: setting.workers,
            log_only: true,
        }
        .start()
    };
    match number {
        7 | 8 => sides.starts(number, |data| {
            let server = start(data)?;
            let took = server.ready_after;
            server.stop()?;
            Ok(took)
        }),
        _ => sides.memory(|data| {
            let server = start(data)?;
            let bytes = resident(server.pid())?;
            server.stop()?;
            Ok(bytes)
        }),
    }
}

/// Two sides in a directory of their own.
struct Sides<'s> {
    setting: &'s Setting,
    dir: tempfile::TempDir,
}

impl<'s> Sides<'s> {
    fn new(setting: &'s Setting) -> Outcome<Self> {
        let dir = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(&setting.dir)
            .map_err(Failure::at(setting.dir.display()))?;
        Ok(Self { setting, dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Redis's files with all entries: from SAVE, or its append-only file.
    fn filled_redis(&self, persistence: Persistence) -> Outcome<PathBuf> {
        let data = self.path("redis");
        let server = redis(&data, persistence)?;
        fill_redis(server.address, self.setting.entries)?;
        if persistence == Persistence::Snapshot {
            redis_command(server.address, "SAVE")?;
        }
        server.stop()?;
        Ok(data)
    }

    /// Rows 7 and 8.
    fn starts(&self, number: u8, start: impl Fn(&Path) -> Outcome<Duration>) -> Outcome<()> {
        let entries = self.setting.entries;
        let (persistence, most, from) = match number {
            7 => (
                Persistence::Snapshot,
                0.25,
                "a snapshot against Redis loading an RDB",
            ),
            _ => (
                Persistence::EverySecond,
                0.20,
                "the log alone against Redis loading an AOF",
            ),
        };
        let ours = self.path("ours");
        store::fill(&ours, entries, number == 7)?;
        let theirs = self.filled_redis(persistence)?;
        let (ours, theirs) = alternate(
            self.setting.rounds,
            || Ok(start(&ours)?.as_secs_f64() * 1e3),
            || {
                let server = redis(&theirs, persistence)?;
                let took = server.ready_after;
                server.stop()?;
                Ok(took.as_secs_f64() * 1e3)
            },
        )?;
        Row {
            number,
            what: format!("start with {entries} entries from {from}"),
            unit: "ms",
            ours,
            theirs,
            reach: Reach::AtMost(most),
        }
        .print()
    }

    /// Row 9: after a start from a snapshot.
    fn memory(&self, resident: impl Fn(&Path) -> Outcome<u64>) -> Outcome<()> {
        let entries = self.setting.entries;
        let (empty, ours) = (self.path("empty"), self.path("ours"));
        store::fill(&ours, entries, true)?;
        let found = overhead(resident(&ours)?, resident(&empty)?, entries);
        let server = redis(&self.path("redis"), Persistence::Snapshot)?;
        let without = redis_info(server.address, "used_memory")?;
        fill_redis(server.address, entries)?;
        let with = redis_info(server.address, "used_memory")?;
        server.stop()?;
        let theirs = overhead(with, without, entries);
        Row {
            number: 9,
            what: format!(
                "memory beyond key and value, {entries} entries (Redis: {theirs:.1} bytes of used_memory)"
            ),
            unit: "bytes",
            ours: vec![found],
            theirs: Vec::new(),
            reach: Reach::Alone(72.0),
        }
        .print()
    }

    /// Row 10, without a limit on the rate; reading back is included on our side.
    fn snapshots(&self) -> Outcome<()> {
        let entries = self.setting.entries;
        let ours = self.path("ours");
        store::fill(&ours, entries, false)?;
        let server = redis(&self.path("redis"), Persistence::Snapshot)?;
        fill_redis(server.address, entries)?;
        let (ours, theirs) = alternate(
            self.setting.rounds,
            || Ok(store::snapshot_elsewhere(&ours)?.as_secs_f64() * 1e3),
            || {
                let (_, took) = redis_command(server.address, "SAVE")?;
                Ok(took.as_secs_f64() * 1e3)
            },
        )?;
        server.stop()?;
        Row {
            number: 10,
            what: format!(
                "snapshot of {entries} entries, synced and read back, against Redis SAVE"
            ),
            unit: "ms",
            ours,
            theirs,
            reach: Reach::AtMost(0.5),
        }
        .print()
    }
}

/// Sets `entries` keys in Redis, many requests at a time.
fn fill_redis(address: SocketAddr, entries: u64) -> Outcome<()> {
    let failed = |error| Failure::at("filling redis")(error);
    let stream = TcpStream::connect(address).map_err(failed)?;
    let mut replies = BufReader::new(stream.try_clone().map_err(failed)?);
    let mut out = BufWriter::with_capacity(1 << 20, stream);
    let mut set = Template::new(Protocol::Resp, Operation::Put, address, key(0).len(), VALUE);
    let mut sent = 0;
    while sent < entries {
        let some = PIPELINE.min(entries - sent);
        for n in sent..sent + some {
            out.write_all(set.for_key(n)).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        for _ in 0..some {
            let mut reply = [0; 5];
            replies.read_exact(&mut reply).map_err(failed)?;
            if reply != *b"+OK\r\n" {
                return Err(Failure::of("redis refused a SET"));
            }
        }
        sent += some;
    }
    Ok(())
}
