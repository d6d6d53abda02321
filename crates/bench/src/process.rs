//! Processes that a benchmark starts: their address, processor time and memory, and their end. Each is stopped by its own
//! id, when its guard is dropped at the latest.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::number::wide;
use crate::{Failure, Outcome};

/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_micros(500);
/// Last lines of output that are kept for an error message.
const KEPT: usize = 10;

/// Waits until `done` gives something, asking again and again until `limit` has passed.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut done: impl FnMut() -> Option<T>,
) -> Outcome<T> {
    let (_never, pause) = channel::<()>();
    let deadline = Instant::now() + limit;
    loop {
        if let Some(result) = done() {
            return Ok(result);
        }
        if Instant::now() > deadline {
            return Err(Failure::of(format!("{what}: not within {limit:?}")));
        }
        // Nobody signals what happens in another process: this is only a pause between two looks.
        if pause.recv_timeout(LOOK).is_ok() {
            return Err(Failure::of("a channel that nobody sends on"));
        }
    }
}

/// The processor time that a process has taken, user and system, in the steps of the system's clock (10 ms mostly).
pub(crate) fn cpu_time(pid: u32) -> Outcome<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
    // The name in parentheses may hold anything: count from behind it. utime and stime are fields 14 and 15.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Option<u64> = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().ok())
        .sum();
    let ticks = ticks.ok_or_else(|| Failure::of(format!("{path} does not read as expected")))?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_millis(ticks * 1_000 / per_second))
}

/// The memory of a process that is in RAM, in bytes.
pub(crate) fn resident(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).map_err(Failure::at(&path))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    });
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| Failure::of(format!("{path} does not read as expected")))
}

/// A started process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    started: Instant,
    addresses: Receiver<SocketAddr>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts `command` and reads what it says, on both outputs, until it ends.
    pub(crate) fn start(name: &str, command: &mut Command) -> Outcome<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command
            .spawn()
            .map_err(Failure::at(format!("starting {name}")))?;
        let (found, addresses) = channel();
        let last_lines = Arc::new(Mutex::new(VecDeque::new()));
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(boxed),
            child.stderr.take().map(boxed),
        ];
        for output in outputs.into_iter().flatten() {
            let (found, last_lines) = (found.clone(), Arc::clone(&last_lines));
            thread::spawn(move || follow(output, &found, &last_lines));
        }
        Ok(Self {
            name: name.to_owned(),
            child,
            started,
            addresses,
            last_lines,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The address that it says it is listening on.
    pub(crate) fn address(&self) -> Outcome<SocketAddr> {
        match self.addresses.recv_timeout(PATIENCE) {
            Ok(address) => Ok(address),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(self.failed("did not say where it is listening"))
            }
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// A failure with the last words of the process.
    pub(crate) fn failed(&self, what: &str) -> Failure {
        let lines = self.last_lines.lock().map(|lines| {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            lines.join("\n")
        });
        Failure::of(format!(
            "{} {what}\n{}",
            self.name,
            lines.unwrap_or_default()
        ))
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(mut self) -> Outcome<()> {
        self.terminate()
    }

    fn terminate(&mut self) -> Outcome<()> {
        if self.has_ended() {
            return Ok(());
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::of("a process id that is none"))?;
        kill_process(pid, Signal::TERM).map_err(Failure::at("SIGTERM"))?;
        let child = &mut self.child;
        wait_for(&self.name, PATIENCE, || child.try_wait().ok().flatten()).map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.terminate().is_err() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn boxed(pipe: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(pipe)
}

/// Reads an output to its end: passes the first address of a line about listening on, keeps the last lines.
fn follow(output: impl Read, found: &Sender<SocketAddr>, last_lines: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        // Where nobody waits for it any more, the lines are still read, so that the process never blocks.
        let told = address_in(&line).is_some_and(|address| found.send(address).is_ok());
        if told {
            continue;
        }
        if let Ok(mut lines) = last_lines.lock() {
            if wide(lines.len()) >= wide(KEPT) {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }
}

/// The address in a line such as `listening address=127.0.0.1:8080`, colours or not.
fn address_in(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    line.split(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')))
        .filter(|word| word.matches('.').count() == 3)
        .find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_lines_about_listening() {
        let plain = "2026-01-02T03:04:05.678Z INFO listening address=127.0.0.1:4711";
        let coloured = "\u{1b}[32mINFO\u{1b}[0m listening \u{1b}[3maddress\u{1b}[0m=127.0.0.1:4711";
        let expected = SocketAddr::from(([127, 0, 0, 1], 4711));
        assert_eq!(address_in(plain), Some(expected));
        assert_eq!(address_in(coloured), Some(expected));
        assert_eq!(address_in("connected address=127.0.0.1:4711"), None);
    }

    #[test]
    fn this_process_takes_time_and_memory() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let mut sum = 0_u64;
        wait_for("processor time", Duration::from_secs(20), || {
            sum = (0..5_000_000_u64).fold(sum, |sum, n| sum.wrapping_mul(31) ^ n);
            (cpu_time(pid).unwrap() > before).then_some(())
        })
        .unwrap_or_else(|failure| panic!("{failure} ({sum})"));
        assert!(resident(pid).unwrap() > 100_000);
    }
}
