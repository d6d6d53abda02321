//! The servers that are measured: the service itself, the bare handlers, Redis. Each on a free port of the loopback
//! address, with a directory of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Process, wait_for};
use crate::{Failure, Outcome};

/// How long a server may take to be ready; 10 million entries included.
const READY: Duration = Duration::from_mins(5);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);

/// A server that answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// From its start to its first answer that says it is ready.
    pub(crate) ready_after: Duration,
    process: Process,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it and waits until it has.
    pub(crate) fn stop(self) -> Outcome<()> {
        self.process.stop()
    }

    fn when_ready(
        mut process: Process,
        address: SocketAddr,
        ready: impl Fn(SocketAddr) -> Option<bool>,
    ) -> Outcome<Self> {
        let is_ready = wait_for("a server's readiness", READY, || {
            let ready = ready(address).unwrap_or(false);
            (ready || process.has_ended()).then_some(ready)
        });
        let ready_after = process.started().elapsed();
        match is_ready {
            Ok(true) => Ok(Self {
                address,
                ready_after,
                process,
            }),
            Ok(false) => Err(process.failed("ended by itself")),
            Err(failure) => Err(process.failed(&failure.to_string())),
        }
    }
}

/// How the service is started.
#[derive(Debug, Clone)]
pub(crate) struct Standpipe<'a> {
    pub(crate) program: &'a Path,
    pub(crate) data: PathBuf,
    /// `synced` or `written`.
    pub(crate) durability: &'static str,
    pub(crate) workers: usize,
    /// No snapshot is made by itself.
    pub(crate) log_only: bool,
}

impl Standpipe<'_> {
    /// Starts the service and waits until `/readyz` says 200.
    pub(crate) fn start(&self) -> Outcome<Server> {
        let min_bytes = if self.log_only { "1000GiB" } else { "64MiB" };
        let config = format!(
            "server:\n  endpoint: 127.0.0.1:0\n  workers: {}\ncompaction:\n  min_bytes: {min_bytes}\n\
             keyspaces:\n  default:\n    durability: {}\n",
            self.workers, self.durability
        );
        fs::create_dir_all(&self.data).map_err(Failure::at(self.data.display()))?;
        let file = self.data.join("bench.yml");
        fs::write(&file, config).map_err(Failure::at(file.display()))?;
        let mut command = Command::new(self.program);
        command
            .current_dir(&self.data)
            .arg("-c")
            .arg(&file)
            .arg("--data")
            .arg(&self.data);
        let process = Process::start("standpipe", &mut command)?;
        let address = process.address()?;
        Server::when_ready(process, address, |address| {
            let answer = ask(
                address,
                b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            )?;
            Some(answer.starts_with(b"HTTP/1.1 200"))
        })
    }
}

/// Starts the bare handlers.
pub(crate) fn baseline(workers: usize) -> Outcome<Server> {
    let this = std::env::current_exe().map_err(Failure::at("this program"))?;
    let mut command = Command::new(this);
    command.args(["baseline", "--workers", &workers.to_string()]);
    let process = Process::start("the bare handlers", &mut command)?;
    let address = process.address()?;
    Server::when_ready(process, address, |address| {
        ask(
            address,
            b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .map(|answer| answer.starts_with(b"HTTP/1.1 200"))
    })
}

/// What Redis keeps on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// The append-only file, synced before every answer.
    Always,
    /// The append-only file, synced once a second.
    EverySecond,
    /// Only what SAVE writes.
    Snapshot,
}

/// Whether there is a Redis.
pub(crate) fn has_redis() -> bool {
    Command::new("redis-server")
        .arg("--version")
        .output()
        .is_ok()
}

/// Starts Redis with its files in `data`.
pub(crate) fn redis(data: &Path, persistence: Persistence) -> Outcome<Server> {
    fs::create_dir_all(data).map_err(Failure::at(data.display()))?;
    let append = if persistence == Persistence::Snapshot {
        "no"
    } else {
        "yes"
    };
    let fsync = if persistence == Persistence::Always {
        "always"
    } else {
        "everysec"
    };
    // Redis cannot say which free port it was given, so one is looked for; somebody else may be faster.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(Failure::at("a free port"))?;
    let mut command = Command::new("redis-server");
    command
        .current_dir(data)
        .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", append, "--appendfsync", fsync])
        .args(["--auto-aof-rewrite-percentage", "0", "--daemonize", "no"])
        .arg("--dir")
        .arg(data);
    let process = Process::start("redis-server", &mut command)?;
    Server::when_ready(process, address, |address| {
        ask(address, b"PING\r\nQUIT\r\n").map(|answer| answer.starts_with(b"+PONG"))
    })
}

/// Sends one request on a connection of its own and reads until the server closes it.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, LOOK).ok()?;
    stream.set_read_timeout(Some(LOOK)).ok()?;
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}

/// Runs one command of Redis that may take long, and returns its reply and the time that it took.
pub(crate) fn redis_command(address: SocketAddr, command: &str) -> Outcome<(String, Duration)> {
    let mut stream = TcpStream::connect(address).map_err(Failure::at("redis"))?;
    stream
        .set_read_timeout(Some(READY))
        .map_err(Failure::at("redis"))?;
    let started = Instant::now();
    stream
        .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
        .map_err(Failure::at("redis"))?;
    let mut reply = String::new();
    stream
        .read_to_string(&mut reply)
        .map_err(Failure::at("redis"))?;
    let took = started.elapsed();
    if reply.starts_with('-') {
        return Err(Failure::of(format!("redis: {command}: {reply}")));
    }
    Ok((reply, took))
}

/// A field of Redis's INFO, as a number.
pub(crate) fn redis_info(address: SocketAddr, field: &str) -> Outcome<u64> {
    let (reply, _) = redis_command(address, "INFO")?;
    let value = reply
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value
        .and_then(|value| value.trim().parse().ok())
        .ok_or_else(|| Failure::of(format!("redis tells no {field}")))
}
