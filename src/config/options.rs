//! From words to meaning: every component's `Options` out of the settings' texts, each checked. It must not know where
//! words come from, only where to point when they are wrong.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use standpipe_store::TailPolicy;

use super::error::ConfigError;
use super::given::{Form, Given};
use super::layers::{Layers, Origin, Said};
use super::path::SettingPath;
use super::said::{self, Kind};
use super::section::Notes;
use super::value::DAY;
use super::{keyspaces, movement, secrets, tokens, value};
use crate::logging::{self, Format, Level};
use crate::outbound::{self, Secret};
use crate::server::{self, OnSyncError};

type Settings = BTreeMap<&'static str, Said>;

/// What the store can hold at most: 16 bits.
const MAX_KEY_BYTES: u64 = 65_535;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What the settings mean, component by component.
pub(super) struct Checked {
    pub(super) server: server::Options,
    pub(super) logging: logging::Options,
    /// What deserves a warning, one sentence each, and how every setting holds.
    pub(super) notes: Notes,
}

/// Reads every setting.
pub(super) fn check(layers: &Layers) -> Result<Checked, ConfigError> {
    let words = Wordbook {
        settings: &layers.given,
    };
    words.read("version", version)?;
    let (logging, warnings) = logging(&words)?;
    let mut server = server(&words)?;
    let mut notes = Notes {
        given: words.given(),
        warnings,
    };
    let value_bytes = words.read("limits.value_bytes", |text| Ok(text.to_owned()))?;
    let bounds = movement::Bounds {
        storage: &server.storage.path.clone(),
        limits: &server.limits.clone(),
        value_bytes: &value_bytes,
    };
    keyspaces::check(&layers.keyspaces, &bounds, &mut server, &mut notes)?;
    server.sources = movement::sources(&layers.sources, &bounds, &server.mirrors, &mut notes)?;
    Ok(Checked {
        server,
        logging,
        notes,
    })
}

/// The settings' words, read one by one.
pub(super) struct Wordbook<'a> {
    settings: &'a Settings,
}

impl Wordbook<'_> {
    /// Reads one setting and, when it is wrong, says which and where.
    pub(super) fn read<T>(
        &self,
        path: &str,
        meaning: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        // The compiled-in defaults name every setting; a test holds them to it.
        let Some(Said { text, origin }) = self.settings.get(path) else {
            let problem = "has no default".to_owned();
            return Err(ConfigError::Value {
                origin: Origin::Default,
                path: path.to_owned(),
                value: String::new(),
                problem,
            });
        };
        meaning(text).map_err(|problem| ConfigError::Value {
            origin: origin.clone(),
            path: path.to_owned(),
            value: shown(path, text),
            problem,
        })
    }

    /// Every setting as it holds, in the order of the default file.
    fn given(&self) -> Vec<(SettingPath, Given)> {
        let mut given: Vec<_> = self.settings.iter().collect();
        given.sort_by_key(|(path, _)| said::rank(path));
        let shown = given.into_iter().map(|(path, Said { text, origin })| {
            let form = match said::kind(path) {
                Some((_, Kind::List)) => Form::List,
                Some((_, Kind::Tokens)) => Form::Flow,
                Some((_, Kind::Text | Kind::Secret)) | None => Form::Scalar,
            };
            let given = Given::new(form, shown(path, text), text, origin.clone());
            (SettingPath::of(path), given)
        });
        shown.collect()
    }

    /// Where a setting was said.
    fn origin(&self, path: &str) -> Origin {
        self.settings
            .get(path)
            .map_or(Origin::Default, |given| given.origin.clone())
    }

    fn size(&self, path: &str, low: u64, high: u64) -> Result<u64, ConfigError> {
        self.read(path, |text| value::size_between(text, low, high))
    }

    fn length(&self, path: &str, low: u64, high: u64) -> Result<usize, ConfigError> {
        let bytes = self.size(path, low, high)?;
        self.read(path, |_| {
            usize::try_from(bytes)
                .ok()
                .ok_or_else(|| "is more than this machine can address".to_owned())
        })
    }

    fn span(&self, path: &str, low: Duration, high: Duration) -> Result<Duration, ConfigError> {
        self.read(path, |text| value::span_between(text, low, high))
    }

    /// Reads a file's name; nothing stands for none.
    fn file(&self, path: &str) -> Result<Option<PathBuf>, ConfigError> {
        self.read(path, |text| {
            Ok(Some(PathBuf::from(text)).filter(|file| !file.as_os_str().is_empty()))
        })
    }
}

/// What may be seen of a setting's words.
fn shown(path: &str, text: &str) -> String {
    match said::kind(path) {
        Some((_, Kind::Secret)) => secrets::address(text),
        _ => text.to_owned(),
    }
}

fn version(text: &str) -> Result<(), String> {
    if text == "1.0" {
        Ok(())
    } else {
        Err("is not a version that this program reads; it reads '1.0'".to_owned())
    }
}

/// Certificate and key belong together, and authorities for clients to both.
fn tls(words: &Wordbook<'_>) -> Result<Option<server::Tls>, ConfigError> {
    let (cert, key) = ("server.tls.cert", "server.tls.key");
    let client_ca = words.file("server.tls.client_ca")?;
    let missing = |path, because: &str| {
        words.read(path, |_| Err(format!("is missing, but {because} is set")))
    };
    match (words.file(cert)?, words.file(key)?) {
        (Some(cert), Some(key)) => Ok(Some(server::Tls {
            cert,
            key,
            client_ca,
        })),
        (Some(_), None) => missing(key, cert),
        (None, Some(_)) => missing(cert, key),
        (None, None) if client_ca.is_some() => missing(cert, "server.tls.client_ca"),
        (None, None) => Ok(None),
    }
}

fn access(words: &Wordbook<'_>) -> Result<server::Access, ConfigError> {
    let path = "access.tokens";
    let text = words.settings.get(path).map(|given| given.text.as_str());
    let tokens = tokens::read(text.unwrap_or_default()).map_err(|problem| ConfigError::Tokens {
        origin: words.origin(path),
        problem,
    })?;
    let allow_origins = words.read("access.cors.allow_origins", |text| {
        value::list(text)
            .iter()
            .map(|item| value::origin(item))
            .collect()
    })?;
    Ok(server::Access {
        tokens,
        allow_origins,
    })
}

fn server(words: &Wordbook<'_>) -> Result<server::Options, ConfigError> {
    let ms = Duration::from_millis(1);
    let limits = limits(words)?;
    fits_in_flight(words, &limits)?;
    Ok(server::Options {
        access: access(words)?,
        access_log: words.read("logging.access", value::truth)?,
        outbound: outbound(words)?,
        tls: tls(words)?,
        ops_endpoint: words.read("server.ops_endpoint", |text| match text {
            "" => Ok(None),
            endpoint => value::endpoint(endpoint).map(Some),
        })?,
        endpoint: words.read("server.endpoint", value::endpoint)?,
        workers: words.read("server.workers", workers)?,
        keep_alive: words.span("server.keep_alive", Duration::from_secs(1), DAY)?,
        shutdown_delay: words.span("server.shutdown_delay", Duration::ZERO, DAY)?,
        drain_timeout: words.span("server.drain_timeout", Duration::ZERO, DAY)?,
        read_wait: words.span("server.read_wait", ms, DAY)?,
        reload_interval: words.span("server.reload_interval", ms, DAY)?,
        allowed_hosts: words.read("server.allowed_hosts", |text| Ok(value::list(text)))?,
        storage: server::Storage {
            path: words.read("storage.path", path)?,
            store: store(words, &limits)?,
        },
        limits,
        watch: server::Watch {
            history_events: words.read("watch.history_events", |text| {
                value::within(value::number(text)?, 1, 1 << 30, "from 1 to 1073741824")
            })?,
            history_bytes: words.length("watch.history_bytes", 1 << 10, 1 << 40)?,
            heartbeat: words.span("watch.heartbeat", Duration::from_millis(100), DAY)?,
        },
        on_sync_error: words.read("log.on_sync_error", |text| {
            value::word(
                text,
                &[
                    ("exit", OnSyncError::Exit),
                    ("read-only", OnSyncError::ReadOnly),
                ],
            )
        })?,
        ..server::Options::default()
    })
}

fn outbound(words: &Wordbook<'_>) -> Result<outbound::Options, ConfigError> {
    let proxy = words.read("outbound.proxy", |text| match text {
        "" => Ok(None),
        text => movement::proxy(text).map(Some),
    })?;
    let in_file = words.file("outbound.proxy_file")?.map(Secret::File);
    if proxy.is_some() && in_file.is_some() {
        return words.read("outbound.proxy_file", |_| {
            Err("is set as well as outbound.proxy; keep one of the two".to_owned())
        });
    }
    Ok(outbound::Options {
        threads: words.read("outbound.threads", |text| {
            value::within(value::number(text)?, 1, 64, "from 1 to 64")
        })?,
        connect_timeout: words.span("outbound.connect_timeout", Duration::from_millis(1), DAY)?,
        ca: words.file("outbound.ca")?,
        proxy: proxy.or(in_file),
        allow_link_local: words.read("outbound.allow_link_local", value::truth)?,
    })
}

/// A value that is larger than all that may be in flight could never be put.
fn fits_in_flight(words: &Wordbook<'_>, limits: &server::Limits) -> Result<(), ConfigError> {
    if limits.value_bytes <= limits.inflight_bytes {
        return Ok(());
    }
    let (value, inflight) = ("limits.value_bytes", "limits.inflight_bytes");
    let said = |path| {
        words
            .settings
            .get(path)
            .is_some_and(|given| given.origin != Origin::Default)
    };
    // To blame is the one that somebody set.
    let (blamed, other, than) = if said(value) {
        (value, inflight, "more")
    } else {
        (inflight, value, "less")
    };
    words.read(blamed, |_| {
        let Some(other_text) = words.settings.get(other).map(|given| &given.text) else {
            return Ok(());
        };
        Err(format!(
            "is {than} than {other}, {other_text}: a value of the largest size could never be put"
        ))
    })
}

/// The store's own; `limits` say how large a record can get.
fn store(
    words: &Wordbook<'_>,
    limits: &server::Limits,
) -> Result<standpipe_store::Options, ConfigError> {
    let ms = Duration::from_millis(1);
    Ok(standpipe_store::Options {
        segment_bytes: words.size("log.segment_bytes", MIB, GIB)?,
        batch_bytes: words.length("log.batch_bytes", 4 << 10, GIB)?,
        pending_bytes: words.size("log.pending_bytes", MIB, 1 << 40)?,
        sync_interval: words.span("log.sync_interval", ms, DAY)?,
        max_record_bytes: record_bytes(limits),
        reserve_bytes: words.read("storage.reserve", |text| {
            value::unless(text, "auto", value::bytes)
        })?,
        tail: words.read("log.recovery", |text| {
            value::word(
                text,
                &[
                    ("refuse", TailPolicy::Refuse),
                    ("tolerate-tail", TailPolicy::Tolerate),
                ],
            )
        })?,
        shards: words.read("storage.shards", shards)?,
        snapshot_bytes_per_second: words.read("compaction.bytes_per_second", |text| {
            value::unless(text, "unlimited", |text| {
                value::within(value::bytes(text)?, MIB, 1 << 50, "at least 1MiB")
            })
        })?,
        compaction_min_bytes: words.size("compaction.min_bytes", MIB, 1 << 50)?,
        room_wait: words.span("log.room_wait", ms, DAY)?,
        // How much is kept for watchers is the server's to say, for it may change while it runs; and the file's keyspaces
        // are all made alike, once the store is open.
        ..standpipe_store::Options::default()
    })
}

/// The largest value with the largest key and the facts about it, or the largest atomic batch, which is one record.
fn record_bytes(limits: &server::Limits) -> u32 {
    /// What an operation of a batch takes in a record beyond what it takes in the body: a revision, lengths, a number.
    const OPERATION: usize = 128;
    let facts = (64 << 10) + limits.key_bytes.max(64 << 10);
    let operations = limits.batch_operations.saturating_mul(OPERATION);
    let batch = limits.batch_bytes.saturating_add(facts.max(operations));
    u32::try_from(batch.max(limits.value_bytes + facts)).unwrap_or(u32::MAX)
}

fn shards(text: &str) -> Result<usize, String> {
    let shards = value::within(value::number(text)?, 1, 1 << 16, "from 1 to 65536")?;
    if usize::is_power_of_two(shards) {
        Ok(shards)
    } else {
        Err("is not a power of two".to_owned())
    }
}

fn limits(words: &Wordbook<'_>) -> Result<server::Limits, ConfigError> {
    let ms = Duration::from_millis(1);
    Ok(server::Limits {
        key_bytes: words.length("limits.key_bytes", 1, MAX_KEY_BYTES)?,
        value_bytes: words.length("limits.value_bytes", 1, GIB)?,
        json_bytes: words.length("limits.json_bytes", 1 << 10, MIB)?,
        batch_operations: words.read("limits.batch_operations", |text| {
            value::within(value::number(text)?, 1, 100_000, "from 1 to 100000")
        })?,
        batch_bytes: words.length("limits.batch_bytes", 1 << 10, GIB)?,
        batch_answer_bytes: words.length("limits.batch_answer_bytes", 1 << 10, GIB)?,
        inflight_bytes: words.length("limits.inflight_bytes", MIB, 1 << 40)?,
        body_stall: words.span("limits.body_stall", ms, DAY)?,
        read_stall: words.span("limits.read_stall", ms, DAY)?,
        head_timeout: words.span("limits.head_timeout", ms, DAY)?,
        connections: words.read("limits.connections", |text| {
            value::within(value::number(text)?, 1, 1_000_000, "from 1 to 1000000")
        })?,
        connections_per_address: words.read("limits.connections_per_address", |text| {
            if text == "unlimited" || text == "0" {
                return Ok(None);
            }
            let shown = "from 1 to 1000000, or unlimited";
            value::within(value::number(text)?, 1, 1_000_000, shown).map(Some)
        })?,
        streams_per_connection: words.read("limits.streams_per_connection", |text| {
            value::within(value::number(text)?, 1, 1_000_000, "from 1 to 1000000")
        })?,
        keyspaces: words.read("limits.keyspaces", |text| {
            value::within(value::number(text)?, 1, 1_000_000, "from 1 to 1000000")
        })?,
        watchers: words.read("limits.watchers", |text| {
            value::within(value::number(text)?, 1, 1_000_000, "from 1 to 1000000")
        })?,
        watch_duration: words.read("limits.watch_duration", |text| {
            if text == "off" {
                return Ok(None);
            }
            let span = value::within(value::span(text)?, ms, DAY, "from 1ms to 1d, or off")?;
            Ok(Some(span))
        })?,
    })
}

/// A word that the flag has and the levels have not is INFO, as cachepump's users know it; anywhere else it is refused.
fn logging(words: &Wordbook<'_>) -> Result<(logging::Options, Vec<String>), ConfigError> {
    let mut warnings = Vec::new();
    let by_flag = words
        .settings
        .get("logging.level")
        .is_some_and(|given| matches!(given.origin, Origin::Flag(_)));
    let level = words.read("logging.level", |text| match Level::from_name(text) {
        Some(level) => Ok(level),
        None if by_flag => {
            warnings.push(format!(
                "-l {text:?} is not a level; using INFO (levels: DEBUG INFO WARN ERROR FATAL OFF)"
            ));
            Ok(Level::Info)
        }
        None => Err("is not a level; it can be DEBUG, INFO, WARN, ERROR, FATAL or OFF".to_owned()),
    })?;
    let format = words.read("logging.format", |text| {
        value::word(text, &[("text", Format::Text), ("json", Format::Json)])
    })?;
    Ok((logging::Options { level, format }, warnings))
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    if text == "auto" {
        return Ok(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    }
    let wrong = "is not a number of threads; write a number from 1 to 1024, or auto";
    let number: NonZeroUsize = text.parse().ok().ok_or_else(|| wrong.to_owned())?;
    if number.get() > 1024 {
        Err(wrong.to_owned())
    } else {
        Ok(number)
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err("names no directory".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}
