//! Rows about requests: the service beside bare handlers, Redis, and itself.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::{Reach, Row, Setting, alternate};
use crate::load::protocol::Protocol;
use crate::load::{Load, Mix, Report, usual};
use crate::number::float;
use crate::process::resident;
use crate::server::{Persistence, Server, Standpipe, ask, baseline, redis};
use crate::{Failure, Outcome};

/// Idle connections of row 12.
const IDLE: u32 = 2_000;
/// Keys of the small side of row 11.
const FEW_KEYS: u64 = 1_000;
/// Keys of the large side, where the setting allows as many.
const MANY_KEYS: u64 = 10_000_000;

struct Side {
    server: Server,
    load: Load,
}

impl Side {
    fn new(server: Server, mix: Mix, setting: &Setting) -> Self {
        let mut load = usual(server.address, mix, setting.duration);
        load.connections = setting.connections;
        load.pid = Some(server.pid());
        Self { server, load }
    }

    /// Puts every key once.
    fn filled(self, setting: &Setting) -> Outcome<Self> {
        let fill = Load {
            mix: Mix::Fill,
            duration: Duration::from_mins(10),
            connections: setting.connections,
            ..self.load.clone()
        };
        fill.run_well()?;
        Ok(self)
    }

    fn warmed_up(self) -> Outcome<Self> {
        let short = Load {
            duration: self.load.duration / 4,
            ..self.load.clone()
        };
        short.run_well()?;
        Ok(self)
    }

    fn cpu_us(&self) -> Outcome<f64> {
        cpu_us(&self.load.run_well()?)
    }

    fn rate(&self) -> Outcome<f64> {
        Ok(self.load.run_well()?.rate())
    }
}

fn cpu_us(report: &Report) -> Outcome<f64> {
    let cpu = report.cpu_us().filter(|cpu| *cpu > 0.0);
    cpu.ok_or_else(|| Failure::of("the run was too short to see processor time"))
}

pub(super) fn temporary(setting: &Setting) -> Outcome<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&setting.dir)
        .map_err(Failure::at(setting.dir.display()))
}

fn standpipe(
    program: &Path,
    dir: &Path,
    durability: &'static str,
    setting: &Setting,
) -> Outcome<Server> {
    Standpipe {
        program,
        data: dir.join(durability),
        durability,
        workers: setting.workers,
        log_only: false,
    }
    .start()
}

/// Row 1.
pub(super) fn get_against_bare(setting: &Setting, program: &Path) -> Outcome<()> {
    let dir = temporary(setting)?;
    let ours = standpipe(program, dir.path(), "synced", setting)?;
    let ours = Side::new(ours, Mix::Get, setting)
        .filled(setting)?
        .warmed_up()?;
    let bare = baseline(setting.workers)?;
    let bare = Side::new(bare, Mix::Get, setting).warmed_up()?;
    compare_cpu(
        1,
        "GET, CPU per request, against a bare handler",
        1.10,
        setting,
        ours,
        bare,
    )
}

/// Row 2.
pub(super) fn put_against_bare(setting: &Setting, program: &Path) -> Outcome<()> {
    let dir = temporary(setting)?;
    let ours = standpipe(program, dir.path(), "written", setting)?;
    let ours = Side::new(ours, Mix::Put, setting)
        .filled(setting)?
        .warmed_up()?;
    let bare = baseline(setting.workers)?;
    let bare = Side::new(bare, Mix::Put, setting).warmed_up()?;
    let what = "PUT written, CPU per request, against a bare handler";
    compare_cpu(2, what, 1.20, setting, ours, bare)
}

fn compare_cpu(
    number: u8,
    what: &str,
    most: f64,
    setting: &Setting,
    ours: Side,
    theirs: Side,
) -> Outcome<()> {
    let (found_ours, found_theirs) =
        alternate(setting.rounds, || ours.cpu_us(), || theirs.cpu_us())?;
    ours.server.stop()?;
    theirs.server.stop()?;
    Row {
        number,
        what: what.to_owned(),
        unit: "us",
        ours: found_ours,
        theirs: found_theirs,
        reach: Reach::AtMost(most),
    }
    .print()
}

fn compare_rate(
    number: u8,
    what: String,
    least: f64,
    setting: &Setting,
    ours: Side,
    theirs: Side,
) -> Outcome<()> {
    let (found_ours, found_theirs) = alternate(setting.rounds, || ours.rate(), || theirs.rate())?;
    ours.server.stop()?;
    theirs.server.stop()?;
    Row {
        number,
        what,
        unit: "/s",
        ours: found_ours,
        theirs: found_theirs,
        reach: Reach::AtLeast(least),
    }
    .print()
}

/// Row 3.
pub(super) fn synced_against_redis(setting: &Setting, program: &Path) -> Outcome<()> {
    let dir = temporary(setting)?;
    let ours = standpipe(program, dir.path(), "synced", setting)?;
    let ours = Side::new(ours, Mix::Put, setting)
        .filled(setting)?
        .warmed_up()?;
    let redis = redis(&dir.path().join("redis"), Persistence::Always)?;
    let mut redis = Side::new(redis, Mix::Put, setting);
    redis.load.protocol = Protocol::Resp;
    let redis = redis.filled(setting)?.warmed_up()?;
    let what = format!(
        "PUT synced against Redis SET, appendfsync always, {} connections each",
        setting.connections
    );
    compare_rate(3, what, 1.0, setting, ours, redis)
}

/// Row 4.
pub(super) fn synced_against_written(setting: &Setting, program: &Path) -> Outcome<()> {
    let dir = temporary(setting)?;
    let side = |durability| {
        let server = standpipe(program, dir.path(), durability, setting)?;
        Side::new(server, Mix::Put, setting)
            .filled(setting)?
            .warmed_up()
    };
    let (synced, written) = (side("synced")?, side("written")?);
    compare_rate(
        4,
        "PUT synced against PUT written".to_owned(),
        0.8,
        setting,
        synced,
        written,
    )
}

/// Row 16.
pub(super) fn hot_counter(setting: &Setting, program: &Path) -> Outcome<()> {
    let dir = temporary(setting)?;
    let side = |name, mix| -> Outcome<Side> {
        let server = standpipe(program, &dir.path().join(name), "synced", setting)?;
        Ok(Side::new(server, mix, setting))
    };
    let counters = side("counters", Mix::HotCounter)?.warmed_up()?;
    let puts = side("puts", Mix::Put)?.filled(setting)?.warmed_up()?;
    let what = format!(
        "increments of one counter, synced, against PUT synced, {} connections each",
        setting.connections
    );
    compare_rate(16, what, 0.8, setting, counters, puts)
}

/// Row 11, with as many keys as the setting has entries, at most ten million.
pub(super) fn many_keys(setting: &Setting, program: &Path) -> Outcome<()> {
    let dir = temporary(setting)?;
    let side = |keys, name: &str| {
        crate::store::fill(&dir.path().join(name), keys, true)?;
        let server = Standpipe {
            program,
            data: dir.path().join(name),
            durability: "written",
            workers: setting.workers,
            log_only: false,
        }
        .start()?;
        let mut side = Side::new(server, Mix::Get, setting);
        side.load.keys = keys;
        side.warmed_up()
    };
    let many = setting.entries.min(MANY_KEYS);
    let (ours, theirs) = (side(many, "many")?, side(FEW_KEYS, "few")?);
    let what = format!("GET, CPU per request, {many} keys against {FEW_KEYS}");
    compare_cpu(11, &what, 1.3, setting, ours, theirs)
}

/// Row 12.
pub(super) fn idle_connections(setting: &Setting, program: &Path) -> Outcome<()> {
    let dir = temporary(setting)?;
    let ours = standpipe(program, dir.path(), "synced", setting)?;
    let cost = |server: &Server, request: &[u8]| -> Outcome<f64> {
        let before = resident(server.pid())?;
        let held = (0..IDLE)
            .map(|_| used_connection(server, request))
            .collect::<Outcome<Vec<_>>>()?;
        let after = resident(server.pid())?;
        drop(held);
        Ok(float(after.saturating_sub(before)) / f64::from(IDLE) / 1024.0)
    };
    let request = b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // One that is warm is not what a connection costs: each side is measured once, from its start.
    let found_ours = cost(&ours, request)?;
    ours.stop()?;
    let bare = baseline(setting.workers)?;
    let found_theirs = cost(&bare, request)?;
    bare.stop()?;
    Row {
        number: 12,
        what: format!(
            "memory of an idle keep-alive connection of {IDLE} (a bare handler: {found_theirs:.1} KiB)"
        ),
        unit: "KiB",
        ours: vec![found_ours],
        theirs: Vec::new(),
        reach: Reach::Alone(12.0),
    }
    .print()
}

/// A connection that has had one answer.
fn used_connection(server: &Server, request: &[u8]) -> Outcome<TcpStream> {
    use std::io::{Read as _, Write as _};
    let failed = |error| Failure::at("an idle connection")(error);
    let mut stream = TcpStream::connect(server.address).map_err(failed)?;
    stream.write_all(request).map_err(failed)?;
    let mut answer = [0; 4096];
    let n = stream.read(&mut answer).map_err(failed)?;
    if n == 0 {
        return Err(Failure::of("the server closed a connection"));
    }
    Ok(stream)
}

/// Row 14.
pub(super) fn empty_start(setting: &Setting, program: &Path) -> Outcome<()> {
    let mut found = Vec::new();
    for _ in 0..setting.rounds.max(1) {
        let dir = temporary(setting)?;
        let server = standpipe(program, dir.path(), "synced", setting)?;
        found.push(server.ready_after.as_secs_f64() * 1e3);
        if ask(
            server.address,
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .is_none()
        {
            return Err(Failure::of("a ready server does not answer"));
        }
        server.stop()?;
    }
    Row {
        number: 14,
        what: "empty start to the first 200 of /readyz".to_owned(),
        unit: "ms",
        ours: found,
        theirs: Vec::new(),
        reach: Reach::Alone(50.0),
    }
    .print()
}
