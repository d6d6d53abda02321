//! Takes a changed configuration over while the server runs: all of it or nothing. What may fail comes first, what is only
//! swapped comes last, so that a configuration which is refused has changed nothing. It must not know where options come
//! from: a [`Source`] does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::life::{http_limits, keyspace_options};
use super::movement::{Movement, defined};
use super::{Options, Tls as TlsOptions};
use crate::http::{Configuration, Service};
use crate::keyspace::Keyspaces;
use crate::logging::{self, Level};
use crate::metrics::Reloaded;
use crate::tls::{self, Tls};

/// When files that somebody seems to be writing are looked at again: longer than any editor needs between emptying a file
/// and filling it.
const MOVING: Duration = Duration::from_millis(100);

/// Settings that take effect while the server runs. Every other one that has changed waits for the next start.
const AT_ONCE: &[&str] = &[
    "limits.batch_answer_bytes",
    "limits.batch_bytes",
    "limits.batch_operations",
    "limits.body_stall",
    "limits.connections_per_address",
    "limits.inflight_bytes",
    "limits.json_bytes",
    "limits.key_bytes",
    "limits.keyspaces",
    "limits.read_stall",
    "limits.streams_per_connection",
    "limits.value_bytes",
    "limits.watch_duration",
    "limits.watchers",
    "logging.access",
    "logging.level",
    "outbound.allow_link_local",
    "outbound.ca",
    "outbound.connect_timeout",
    "outbound.proxy",
    "outbound.proxy_file",
    "server.allowed_hosts",
    "server.reload_interval",
    "server.shutdown_delay",
    "watch.heartbeat",
    "watch.history_bytes",
    "watch.history_events",
];

/// Settings with names of the operator's that take effect while the server runs.
const AT_ONCE_BELOW: &[&str] = &["access.", "keyspaces.", "sources."];

/// Every setting's words, by its name.
pub type Words = BTreeMap<String, String>;

/// Where a server that runs gets its options from again. Both methods may block.
pub trait Source: Send {
    /// Looks whether there is something new to read.
    fn look(&mut self) -> Look;

    /// Reads everything again, or says in one sentence why it cannot be used.
    fn read(&mut self) -> Result<Loaded, String>;
}

/// What a look at the source showed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Look {
    /// It is as it was when it was read.
    Same,
    /// It is other than at the last look: somebody may still be writing.
    Moving,
    /// It is other than when it was read, and has kept still since the last look.
    Changed,
}

/// What a source holds.
#[derive(Debug)]
pub struct Loaded {
    /// What the server is to do, checked.
    pub options: Options,
    /// What of the log is to be shown.
    pub level: Level,
    /// The words behind all that, to tell what has changed.
    pub words: Words,
    /// What is understood but advised against: one sentence each.
    pub warnings: Vec<String>,
}

/// The side that asks for a reload at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Trigger(Arc<Notify>);

impl Trigger {
    /// Asks; while one reload is asked for already, this is the same one.
    pub(super) fn ask(&self) {
        self.0.notify_one();
    }

    async fn asked(&self) {
        self.0.notified().await;
    }
}

/// The options that hold, and where others may come from.
pub(super) struct Reload {
    /// What holds now.
    pub(super) options: Options,
    source: Option<Box<dyn Source>>,
    trigger: Trigger,
    /// Where the certificates lie that are in use, where there are any.
    tls: Option<TlsOptions>,
    /// What the process was started with.
    started: Started,
    /// The words of what holds now.
    words: Words,
    state: Configuration,
    /// Whether what was refused may be accepted later as it is: a keyspace may have become empty.
    again: bool,
}

struct Started {
    words: Words,
    max_record_bytes: u32,
}

/// What a configuration is taken over into.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) service: &'a Service,
    pub(super) keyspaces: &'a Keyspaces,
    pub(super) tls: Option<&'a Arc<Tls>>,
    pub(super) movement: &'a Movement,
}

impl Reload {
    /// Holds what the server was started with; without a source it stays like that.
    pub(super) fn new(
        options: Options,
        words: Words,
        source: Option<Box<dyn Source>>,
        trigger: Trigger,
    ) -> Self {
        let started = Started {
            words: words.clone(),
            max_record_bytes: options.storage.store.max_record_bytes,
        };
        Self {
            tls: options.tls.clone(),
            options,
            source,
            trigger,
            started,
            words,
            state: Configuration::default(),
            again: false,
        }
    }

    /// Looks for changes for as long as it is polled.
    pub(super) async fn run(&mut self, parts: Parts<'_>) -> Infallible {
        let mut source = self.source.take();
        if source.is_none() && parts.tls.is_none() {
            return pending().await;
        }
        let mut pause = self.options.reload_interval;
        loop {
            let asked = tokio::select! {
                () = self.trigger.asked() => true,
                () = sleep(pause) => false,
            };
            pause = self.options.reload_interval;
            if let Some(mut given) = source.take() {
                let look;
                (given, look) = apart(given, |source| source.look()).await;
                match look {
                    Look::Moving if !asked => pause = MOVING,
                    Look::Same if !asked && !self.again => {}
                    Look::Same | Look::Moving | Look::Changed => {
                        let read;
                        (given, read) = apart(given, |source| source.read()).await;
                        self.take_over(read, parts, asked).await;
                        pause = self.options.reload_interval;
                    }
                }
                source = Some(given);
            }
            self.look_at_certificates(parts, asked).await;
        }
    }

    /// Takes new certificates into use. Two files are seldom replaced in one step, so what does not fit together now may
    /// fit at the next look.
    async fn look_at_certificates(&mut self, parts: Parts<'_>, asked: bool) {
        let (Some(tls), Some(options)) = (parts.tls.cloned(), self.tls.clone()) else {
            return;
        };
        let reloaded = spawn_blocking(move || tls.reload(&options)).await;
        let refused = match reloaded.expect("the thread ends with what it read") {
            Ok(tls::Reloaded::Unchanged) => None,
            Ok(tls::Reloaded::Replaced) => {
                tracing::info!("the certificates were reloaded");
                None
            }
            Err(error) => Some(error.to_string()),
        };
        let news = refused != self.state.certificates;
        if let Some(reason) = &refused
            && (news || asked)
        {
            tracing::error!("the certificates were not reloaded, the ones before stay: {reason}");
        }
        if news {
            self.state.certificates = refused;
            parts.service.set_configuration(self.state.clone());
        }
    }

    async fn take_over(&mut self, read: Result<Loaded, String>, parts: Parts<'_>, asked: bool) {
        let before = self.state.clone();
        // What a file is refused for stays until the file changes; what the keyspaces refuse may pass.
        (self.again, self.state.refused) = (false, None);
        let mut news = Vec::new();
        match read {
            Err(reason) => self.state.refused = Some(reason),
            Ok(loaded) => match self.apply(loaded, parts).await {
                Ok(told) => news = told,
                Err(reason) => (self.again, self.state.refused) = (true, Some(reason)),
            },
        }
        // Whoever reads the log finds everything else as it says.
        let Parts {
            service, keyspaces, ..
        } = parts;
        service.set_configuration(self.state.clone());
        let figures = &service.metrics().config;
        let repeated = before.refused == self.state.refused && !asked;
        match &self.state.refused {
            Some(_) if repeated => {}
            Some(reason) => {
                figures.count(Reloaded::Refused);
                tracing::error!(
                    "the configuration was not reloaded, all stays as it was: {reason}"
                );
            }
            None => {
                figures.count(Reloaded::Done);
                figures.last.set(keyspaces.now_ms() / 1000);
                tell(&news, before.refused.is_some());
            }
        }
        if before.waiting != self.state.waiting && !self.state.waiting.is_empty() {
            let settings = self.state.waiting.join(", ");
            tracing::warn!(
                settings,
                "changed settings take effect only at the next start"
            );
        }
    }

    /// 1. The keyspaces are brought to their policies: that can fail, and then nothing has changed.
    /// 2. Everything else is swapped.
    ///
    /// Returns the settings that have changed.
    async fn apply(&mut self, loaded: Loaded, parts: Parts<'_>) -> Result<Vec<String>, String> {
        let Loaded {
            mut options,
            level,
            words,
            warnings,
        } = loaded;
        let waiting = self.waiting(&mut options, &words);
        // What is the file's nobody else has changed meanwhile.
        let keyspaces = defined(&options);
        if keyspaces != defined(&self.options) {
            parts
                .keyspaces
                .apply_file(&keyspaces, options.limits.keyspaces)
                .await
                .map_err(|refused| refused.to_string())?;
        }
        let movement = parts.movement;
        movement
            .set_outbound(&options)
            .map_err(|refused| format!("outbound: {refused}"))?;
        if self.tls.is_some() && options.tls.is_some() {
            self.tls.clone_from(&options.tls);
        }
        swap(&options, parts);
        // By the new limits.
        movement.apply(&options, parts.keyspaces).await;
        logging::set_level(level);
        let changed = differing(&self.words, &words);
        if !changed.is_empty() {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
        }
        self.state.waiting = waiting;
        self.words = words;
        self.options = options;
        Ok(changed)
    }

    /// The settings that differ from what the process was started with and cannot take effect in it. The limits of what
    /// goes into one record are not raised beyond what the log was opened for.
    fn waiting(&self, options: &mut Options, words: &Words) -> Vec<String> {
        // Other files are taken into use; TLS itself is not switched on or off.
        let by_tls = self.tls.is_some() && options.tls.is_some();
        let at_once =
            |path: &str| takes_effect_at_once(path) || (by_tls && path.starts_with("server.tls."));
        let mut waiting: Vec<String> = differing(&self.started.words, words)
            .into_iter()
            .filter(|path| !at_once(path))
            .collect();
        if options.storage.store.max_record_bytes > self.started.max_record_bytes {
            let (new, old) = (&mut options.limits, &self.options.limits);
            for (path, new, old) in [
                ("limits.key_bytes", &mut new.key_bytes, old.key_bytes),
                ("limits.value_bytes", &mut new.value_bytes, old.value_bytes),
                ("limits.batch_bytes", &mut new.batch_bytes, old.batch_bytes),
                (
                    "limits.batch_operations",
                    &mut new.batch_operations,
                    old.batch_operations,
                ),
            ] {
                if *new > old {
                    *new = old;
                    waiting.push(path.to_owned());
                }
            }
        }
        waiting
    }
}

/// What a reload that was not refused has to say.
fn tell(changed: &[String], was_refused: bool) {
    if was_refused {
        tracing::info!("the configuration loads again");
    }
    if changed.is_empty() {
        tracing::info!("the configuration was read again: nothing has changed");
    } else {
        let changed = changed.join(", ");
        tracing::info!(changed, "the configuration was reloaded");
    }
}

/// What cannot fail.
fn swap(options: &Options, parts: Parts<'_>) {
    let Parts {
        service, keyspaces, ..
    } = parts;
    let history_bytes = options.watch.history_bytes.try_into().unwrap_or(u64::MAX);
    keyspaces.set_history(options.watch.history_events, history_bytes);
    keyspaces.set_options(keyspace_options(options));
    service.set_limits(http_limits(options));
    service.set_hosts(options.allowed_hosts.clone());
    service.set_access(options.access.clone());
    service.set_access_log(options.access_log);
}

/// Does what blocks on a thread for that.
async fn apart<T: Send + 'static>(
    mut source: Box<dyn Source>,
    work: impl FnOnce(&mut dyn Source) -> T + Send + 'static,
) -> (Box<dyn Source>, T) {
    spawn_blocking(move || {
        let found = work(source.as_mut());
        (source, found)
    })
    .await
    .expect("the thread ends with what it found, unless it panicked")
}

/// The settings whose words differ, by name.
fn differing(one: &Words, other: &Words) -> Vec<String> {
    let mut paths: Vec<String> = one
        .iter()
        .filter(|(path, text)| other.get(*path) != Some(*text))
        .map(|(path, _)| path.clone())
        .collect();
    paths.extend(
        other
            .keys()
            .filter(|path| !one.contains_key(*path))
            .cloned(),
    );
    paths.sort();
    paths
}

fn takes_effect_at_once(path: &str) -> bool {
    AT_ONCE.contains(&path)
        || AT_ONCE_BELOW
            .iter()
            .any(|section| path.starts_with(section))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(said: &[(&str, &str)]) -> Words {
        let owned = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        said.iter().map(owned).collect()
    }

    #[test]
    fn what_takes_effect_at_once_is_a_setting() {
        let file = include_str!("../../config/default.yml");
        for path in AT_ONCE {
            let (section, name) = path.split_once('.').unwrap();
            let (_, rest) = file.split_once(&format!("\n{section}:\n")).expect(path);
            let section = rest
                .lines()
                .take_while(|line| !line.starts_with(|c: char| c.is_ascii_lowercase()));
            let named = format!("  {name}: ");
            assert!(
                section.into_iter().any(|line| line.starts_with(&named)),
                "{path}"
            );
        }
    }

    #[test]
    fn what_was_added_changed_or_taken_out_differs() {
        let one = words(&[("a.x", "1"), ("b.x", "1"), ("c.x", "1")]);
        let other = words(&[("b.x", "2"), ("c.x", "1"), ("d.x", "1")]);
        assert_eq!(differing(&one, &other), ["a.x", "b.x", "d.x"]);
        assert_eq!(differing(&one, &one), Vec::<String>::new());
    }
}
