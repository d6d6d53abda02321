//! Configurations and what they mean, layer over layer.

mod documents;
mod keyspaces;
mod mirrors;
mod outbound;
mod reading_again;
mod refusals;
mod requests;
mod scheduled;
mod secrecy;
mod sinks;
mod through;

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use standpipe_store::TailPolicy;

use super::said::settings;
use super::*;
use crate::logging::{Format, Level};
use crate::server::OnSyncError;

/// A directory with at most two files, and variables.
struct Place {
    directory: tempfile::TempDir,
    variables: Vec<(OsString, OsString)>,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn with_file(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    fn load_with(&self, mut flags: Flags) -> Result<Config, String> {
        // Unless a test is about which file is read, it is `file.yml`, here.
        let named = self
            .variables
            .iter()
            .any(|(name, _)| name == "STANDPIPE_CONFIG");
        if flags.config.is_none() && !named && self.path("file.yml").exists() {
            flags.config = Some(self.path("file.yml"));
        }
        let around = Surroundings {
            environment: self.variables.clone(),
            image_file: self.path("image.yml"),
        };
        Config::load(&flags, &around).map_err(|error| {
            let directory = format!("{}/", self.directory.path().display());
            error.to_string().replace(&directory, "")
        })
    }

    fn load(&self) -> Result<Config, String> {
        self.load_with(Flags::default())
    }
}

/// What a file of these words means.
fn loaded(text: &str) -> Config {
    let place = Place::new().with_file("file.yml", text);
    place.load().expect(text)
}

/// Loads each file and compares the sentence that refuses it.
fn assert_refused(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let refusal = Place::new()
            .with_file("file.yml", text)
            .load()
            .expect_err(text);
        assert_eq!(refusal, *expected, "{text}");
    }
}

/// Every setting below a path as it is shown: `path=words`.
fn shown(config: &Config, below: &str) -> Vec<String> {
    let all = config.effective();
    all.map(|(path, given)| format!("{path}={}", given.text))
        .filter(|shown| shown.starts_with(below))
        .collect()
}

fn origin(config: &Config, setting: &str) -> String {
    let (_, given) = config
        .effective()
        .find(|(path, _)| path.to_string() == setting)
        .expect("a known setting");
    given.origin.to_string()
}

#[test]
fn nothing_said_is_the_documented_defaults() {
    let config = Place::new().load().unwrap();
    // Debug shows every field: the compiled-in file and the components' own defaults are the same.
    assert_eq!(
        format!("{:#?}", config.server),
        format!("{:#?}", server::Options::default())
    );
    assert_eq!(
        config.logging,
        logging::Options {
            level: Level::Info,
            format: Format::Text
        }
    );
    assert_eq!(config.warnings, Vec::<String>::new());
    assert_eq!(config.file, None);
}

#[test]
fn the_default_file_names_every_setting() {
    let config = Place::new().load().unwrap();
    let defaults: Vec<String> = config
        .effective()
        .map(|(path, _)| path.to_string())
        .collect();
    assert_eq!(defaults, settings().collect::<Vec<_>>());
}

#[test]
fn every_setting_takes_a_value_of_its_own() {
    let text = "
version: 1.0
server:
  endpoint: ':9090'
  workers: 3
  keep_alive: 1m
  shutdown_delay: 2s
  drain_timeout: 500ms
  read_wait: 3
  reload_interval: 70ms
  allowed_hosts: [app.test, api.test]
storage: { path: /tmp/elsewhere }
log: { on_sync_error: read-only }
watch: { history_events: 11, history_bytes: 12KiB }
logging: { level: debug, format: json }
";
    let config = Place::new().with_file("file.yml", text).load().unwrap();
    let server = &config.server;
    assert_eq!(server.endpoint, ":9090");
    assert_eq!(server.workers, NonZeroUsize::new(3).unwrap());
    assert_eq!(server.keep_alive, Duration::from_mins(1));
    assert_eq!(server.shutdown_delay, Duration::from_secs(2));
    assert_eq!(server.drain_timeout, Duration::from_millis(500));
    assert_eq!(server.read_wait, Duration::from_secs(3));
    assert_eq!(server.reload_interval, Duration::from_millis(70));
    assert_eq!(server.allowed_hosts, ["app.test", "api.test"]);
    assert_eq!(server.storage.path, PathBuf::from("/tmp/elsewhere"));
    assert_eq!(server.on_sync_error, OnSyncError::ReadOnly);
    assert_eq!(
        (server.watch.history_events, server.watch.history_bytes),
        (11, 12 << 10)
    );
    assert_eq!(
        config.logging,
        logging::Options {
            level: Level::Debug,
            format: Format::Json
        }
    );
}

#[test]
fn every_limit_takes_a_value_of_its_own() {
    let text = "
limits:
  key_bytes: 2KiB
  value_bytes: 1MB
  json_bytes: 2KiB
  batch_operations: 9
  batch_bytes: 3MiB
  batch_answer_bytes: 4MiB
  inflight_bytes: 32MiB
  connections: 7
  head_timeout: 4s
  body_stall: 6s
  read_stall: 8s
  keyspaces: 9
  watch_duration: 10s
";
    let config = Place::new().with_file("file.yml", text).load().unwrap();
    let limits = &config.server.limits;
    assert_eq!((limits.key_bytes, limits.value_bytes), (2048, 1_000_000));
    assert_eq!((limits.json_bytes, limits.batch_operations), (2 << 10, 9));
    assert_eq!(
        [limits.batch_bytes, limits.batch_answer_bytes],
        [3 << 20, 4 << 20]
    );
    assert_eq!((limits.inflight_bytes, limits.connections), (32 << 20, 7));
    assert_eq!(limits.head_timeout, Duration::from_secs(4));
    assert_eq!(limits.body_stall, Duration::from_secs(6));
    assert_eq!(limits.read_stall, Duration::from_secs(8));
    assert_eq!(limits.keyspaces, 9);
    assert_eq!(limits.watch_duration, Some(Duration::from_secs(10)));
}

#[test]
fn every_setting_of_the_store_takes_a_value_of_its_own() {
    let text = "
storage: { reserve: 3MiB, shards: 8 }
log:
  sync_interval: 20ms
  segment_bytes: 8MiB
  batch_bytes: 64KiB
  pending_bytes: 16MiB
  room_wait: 7s
  recovery: tolerate-tail
compaction: { min_bytes: 2MiB, bytes_per_second: 5MiB }
limits: { value_bytes: 1MiB, key_bytes: 65535, batch_bytes: 2MiB, batch_operations: 10000 }
";
    let store = Place::new()
        .with_file("file.yml", text)
        .load()
        .unwrap()
        .server
        .storage
        .store;
    assert_eq!((store.reserve_bytes, store.shards), (Some(3 << 20), 8));
    assert_eq!(store.sync_interval, Duration::from_millis(20));
    assert_eq!(
        (store.segment_bytes, store.batch_bytes),
        (8 << 20, 64 << 10)
    );
    assert_eq!(
        (store.pending_bytes, store.room_wait),
        (16 << 20, Duration::from_secs(7))
    );
    assert_eq!(store.tail, TailPolicy::Tolerate);
    assert_eq!(store.compaction_min_bytes, 2 << 20);
    assert_eq!(store.snapshot_bytes_per_second, Some(5 << 20));
    assert_eq!(store.max_record_bytes, (2 << 20) + 10_000 * 128);
}

#[test]
fn a_higher_layer_covers_a_lower_one_and_says_so() {
    let image = "server:\n  endpoint: 0.0.0.0:1\n  read_wait: 1s\n  keep_alive: 1s\nstorage: { path: /data }\n";
    let file = "server:\n  endpoint: 0.0.0.0:2\n  keep_alive: 2s\nlogging: { level: warn }\n";
    let place = Place::new()
        .with_file("image.yml", image)
        .with_file("file.yml", file)
        .with_variable("STANDPIPE_SERVER__ENDPOINT", "0.0.0.0:3")
        .with_variable("STANDPIPE_LOGGING__LEVEL", "error");
    let flags = Flags {
        endpoint: Some("0.0.0.0:4".to_owned()),
        ..Flags::default()
    };
    let config = place.load_with(flags).unwrap();
    assert_eq!(config.server.endpoint, "0.0.0.0:4");
    assert_eq!(origin(&config, "server.endpoint"), "-e");
    assert_eq!(config.logging.level, Level::Error);
    assert_eq!(origin(&config, "logging.level"), "STANDPIPE_LOGGING__LEVEL");
    assert_eq!(config.server.keep_alive, Duration::from_secs(2));
    assert_eq!(
        origin(&config, "server.keep_alive"),
        format!("{}:3", place.path("file.yml").display())
    );
    assert_eq!(config.server.storage.path, PathBuf::from("/data"));
    assert_eq!(
        origin(&config, "storage.path"),
        format!("{}:5", place.path("image.yml").display())
    );
    assert_eq!(origin(&config, "log.sync_interval"), "default");
}

#[test]
fn the_file_is_named_by_the_flag_else_by_the_variable() {
    let place = Place::new()
        .with_file("one.yml", "server: { endpoint: ':1' }\n")
        .with_file("two.yml", "server: { endpoint: ':2' }\n");
    let two = place.path("two.yml");
    let place = place.with_variable("STANDPIPE_CONFIG", two.to_str().unwrap());
    assert_eq!(place.load().unwrap().server.endpoint, ":2");
    let flags = Flags {
        config: Some(place.path("one.yml")),
        ..Flags::default()
    };
    assert_eq!(place.load_with(flags).unwrap().server.endpoint, ":1");
}

#[test]
fn variables_are_settings_only_with_two_underscores() {
    let place = Place::new()
        .with_variable("STANDPIPE_PORT", "tcp://10.0.0.1:8080")
        .with_variable("STANDPIPE_PORT_8080_TCP_ADDR", "10.0.0.1")
        .with_variable("STANDPIPE__X_SERVICE_HOST", "10.0.0.1")
        .with_variable("STANDPIPE_CONFIG", "")
        .with_variable("PATH", "/bin")
        .with_variable("STANDPIPE_SERVER__ALLOWED_HOSTS", "app.test, api.test");
    let config = place.load().unwrap();
    assert_eq!(config.server.allowed_hosts, ["app.test", "api.test"]);
    assert_eq!(config.server.endpoint, "127.0.0.1:8080");
}

#[test]
fn another_word_for_a_level_is_info_and_a_warning_in_the_flag_alone() {
    let flags = Flags {
        level: Some("loud".to_owned()),
        ..Flags::default()
    };
    let config = Place::new().load_with(flags).unwrap();
    assert_eq!(config.logging.level, Level::Info);
    let expected =
        "-l \"loud\" is not a level; using INFO (levels: DEBUG INFO WARN ERROR FATAL OFF)";
    assert_eq!(config.warnings, [expected]);
}

#[test]
fn tokens_come_from_the_file_or_from_a_variable_in_one_line() {
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let file = format!(
        "access:\n  tokens:\n    - name: ci\n      sha256: {hash}\n      keyspaces: [default]\n      verbs: [read, write]\n"
    );
    let config = Place::new().with_file("file.yml", &file).load().unwrap();
    let tokens = &config.server.access.tokens;
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].name, "ci");
    assert_eq!(tokens[0].keyspaces, Some(vec!["default".to_owned()]));
    assert!(tokens[0].verbs.read && tokens[0].verbs.write && !tokens[0].verbs.admin);
    assert_eq!(
        origin(&config, "access.tokens"),
        "file.yml:3".replace(
            "file.yml",
            &config.file.as_ref().unwrap().display().to_string()
        )
    );

    let one_line = format!("[{{name: other, sha256: {hash}, verbs: [admin]}}]");
    let config = Place::new()
        .with_file("file.yml", &file)
        .with_variable("STANDPIPE_ACCESS__TOKENS", &one_line)
        .load()
        .unwrap();
    assert_eq!(config.server.access.tokens.len(), 1);
    assert_eq!(config.server.access.tokens[0].name, "other");
    assert_eq!(config.server.access.tokens[0].keyspaces, None);
}
