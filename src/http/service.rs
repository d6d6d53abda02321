//! What all requests share: the keyspaces once they are open, the phase, the limits, the counters. It must not know
//! sockets or signals: the server moves it from phase to phase.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use super::addresses::Addresses;
use super::budget::Budget;
use super::code::Code;
use super::gate::{Access, Gate};
use super::guard::Hosts;
use super::limits::Limits;
use super::problem::Problem;
use super::watch::Seats;
use crate::keyspace::{Entry, Keyspaces, Opening, Values};
use crate::metrics::Metrics;
use crate::mirror::Mirrors;
use crate::pump::Pump;
use crate::sink::Sinks;

/// What the HTTP side can be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The names that a `Host` header may carry beside `localhost` and IP literals; `None` where any may.
    pub hosts: Option<Vec<String>>,
    /// The limits to start with.
    pub limits: Limits,
}

/// How far a server is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// The store is being opened.
    Starting,
    /// Requests are served.
    Serving,
    /// It was asked to stop; requests are still served.
    Draining,
    /// The store failed; the process is about to end.
    Failed,
}

/// How what holds compares with the configuration's files.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Why the files are not what holds, where they are not.
    pub refused: Option<String>,
    /// Changed settings that take effect only at the next start.
    pub waiting: Vec<String>,
    /// Why the files of the certificates are not what is in use, where they are not.
    pub certificates: Option<String>,
}

/// The shared state of all requests.
#[derive(Debug)]
pub struct Service {
    phase: AtomicU8,
    since: Instant,
    opening: Opening,
    keyspaces: OnceLock<Keyspaces>,
    mirrors: OnceLock<Mirrors>,
    pump: OnceLock<Pump>,
    sinks: OnceLock<Sinks>,
    pub(super) metrics: Metrics,
    pub(super) budget: Budget,
    pub(super) watchers: Seats,
    pub(super) hosts: Hosts,
    /// The names on the port for probes and figures, where there is one.
    ops_hosts: OnceLock<Arc<Hosts>>,
    pub(super) gate: Gate,
    pub(super) addresses: Arc<Addresses>,
    limits: ArcSwap<Limits>,
    configuration: ArcSwap<Configuration>,
}

impl Service {
    /// A service whose store is being opened.
    pub fn new(options: Options, opening: Opening) -> Self {
        let metrics = Metrics::new();
        let budget = Budget::new(
            options.limits.inflight_bytes,
            metrics.http.inflight_bytes.clone(),
        );
        Self {
            watchers: Seats::new(metrics.http.watchers.clone()),
            phase: AtomicU8::new(STARTING),
            since: Instant::now(),
            opening,
            keyspaces: OnceLock::new(),
            mirrors: OnceLock::new(),
            pump: OnceLock::new(),
            sinks: OnceLock::new(),
            metrics,
            budget,
            hosts: Hosts::new(options.hosts),
            ops_hosts: OnceLock::new(),
            gate: Gate::default(),
            addresses: Arc::new(Addresses::new(options.limits.connections_per_address)),
            limits: ArcSwap::from_pointee(options.limits),
            configuration: ArcSwap::default(),
        }
    }

    /// The names on the port for probes and figures: these now, and those of [`Service::set_hosts`] later.
    pub(super) fn ops_hosts(&self, names: Option<Vec<String>>) -> Arc<Hosts> {
        Arc::clone(self.ops_hosts.get_or_init(|| Arc::new(Hosts::new(names))))
    }

    /// Replaces the names that a `Host` header may carry, where only some may.
    pub fn set_hosts(&self, names: Vec<String>) {
        if let Some(hosts) = self.ops_hosts.get() {
            hosts.set(names.clone());
        }
        self.hosts.set(names);
    }

    /// Everything that is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How what holds compares with the configuration's files.
    pub(super) fn configuration(&self) -> Guard<Arc<Configuration>> {
        self.configuration.load()
    }

    /// Tells how what holds compares with the configuration's files.
    pub fn set_configuration(&self, configuration: Configuration) {
        let figures = &self.metrics.config;
        figures
            .stale
            .set(u64::from(configuration.refused.is_some()));
        figures
            .certificates_stale
            .set(u64::from(configuration.certificates.is_some()));
        let waiting = configuration.waiting.len();
        figures
            .waiting
            .set(u64::try_from(waiting).unwrap_or(u64::MAX));
        self.configuration.store(Arc::new(configuration));
    }

    /// The limits that hold now.
    #[inline]
    pub(super) fn limits(&self) -> Guard<Arc<Limits>> {
        self.limits.load()
    }

    /// Replaces the limits for requests from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.budget.set_limit(limits.inflight_bytes);
        self.addresses.set_most(limits.connections_per_address);
        self.limits.store(Arc::new(limits));
    }

    /// Replaces who may do what; requests that are already admitted go on. Until the first call everything is open.
    pub fn set_access(&self, access: Access) {
        self.gate.set(access);
    }

    /// Writes a line for each request from now on, or no longer.
    pub fn set_access_log(&self, log: bool) {
        self.gate.set_log(log);
    }

    /// These mirrors are shown from now on.
    pub fn set_mirrors(&self, mirrors: Mirrors) {
        self.mirrors.get_or_init(|| mirrors);
    }

    /// The mirrors, once there may be some.
    pub(super) fn mirrors(&self) -> Option<&Mirrors> {
        self.mirrors.get()
    }

    /// The store is open: requests are served from now on.
    pub fn open(&self, keyspaces: Keyspaces) {
        if self.keyspaces.set(keyspaces).is_ok() {
            // A server that was asked to stop while it was starting goes on stopping.
            self.move_on(STARTING, SERVING);
        }
    }

    /// Shows what is fetched by the clock; to be told before [`Service::open`].
    pub fn set_pump(&self, pump: Pump) {
        self.pump.get_or_init(|| pump);
    }

    /// The server was asked to stop.
    pub fn drain(&self) {
        self.move_on(STARTING, DRAINING);
        self.move_on(SERVING, DRAINING);
    }

    /// The store failed for good.
    pub fn fail(&self) {
        self.phase.store(FAILED, Ordering::Relaxed);
    }

    /// How far this server is in its life.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            STARTING => Phase::Starting,
            SERVING => Phase::Serving,
            DRAINING => Phase::Draining,
            _ => Phase::Failed,
        }
    }

    fn move_on(&self, from: u8, to: u8) {
        // Another phase than `from` means that the server has already moved on: that stands.
        let moved = self
            .phase
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        tracing::debug!(from, to, moved = moved.is_ok(), "phase");
    }

    /// The keyspaces, once they are open.
    #[inline]
    pub(super) fn keyspaces(&self) -> Result<&Keyspaces, Problem> {
        self.keyspaces.get().ok_or_else(|| {
            Problem::new(
                Code::Starting,
                "the store is being opened: /readyz shows the progress",
            )
        })
    }

    /// Takes the sinks; before the store is told to be open.
    pub fn set_sinks(&self, sinks: Sinks) {
        if self.sinks.set(sinks).is_err() {
            tracing::error!("the sinks were given twice");
        }
    }

    /// The sinks, once the store is open.
    pub(super) fn sinks(&self) -> Result<&Sinks, Problem> {
        self.sinks
            .get()
            .ok_or_else(|| Problem::new(Code::Starting, "the sinks are being started"))
    }

    /// What is fetched by the clock, once the store is open.
    pub(super) fn pump(&self) -> Result<&Pump, Problem> {
        self.pump
            .get()
            .ok_or_else(|| Problem::new(Code::Starting, "the sources are being looked at"))
    }

    /// How old a value is that a scheduled source wrote; `None` of any other.
    #[inline]
    pub(super) fn age(&self, entry: &Entry) -> Option<Duration> {
        let age = |owner: &Arc<str>| {
            let pump = self.pump.get()?;
            Some(Duration::from_millis(
                pump.age_ms(owner, entry.created_at_ms),
            ))
        };
        entry.owner.as_ref().and_then(age)
    }

    /// The values of the default keyspace, once they are open.
    #[inline]
    pub(super) fn values(&self) -> Result<&Values, Problem> {
        Ok(self.keyspaces()?.default_values())
    }

    /// The store that is being opened.
    pub(super) fn opening(&self) -> &Opening {
        &self.opening
    }

    /// How long this process has been at it.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
}

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;
const FAILED: u8 = 3;
