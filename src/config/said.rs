//! What was said: the settings' names, each with the words that a layer gave for it. It must not know what the words
//! mean; [`super::value`], [`super::options`] and [`super::movement`] do.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ConfigError;
use super::layers::Document;
use super::path::SettingPath;
use super::tokens;
use super::yaml::{Entry, Node};

/// The words of one setting, and the line of its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) line: u64,
}

/// A part of a file with names of the operator's in it, and the line of its own name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) value: Node,
    pub(super) line: u64,
}

/// What stands behind a setting's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// One value of text, number or truth, in its own spelling.
    Text,
    /// One that nobody is to see.
    Secret,
    /// A list of such values; one text with commas from here on, because that is how the environment says lists.
    List,
    /// The tokens; one text in YAML's flow style from here on.
    Tokens,
}

use Kind::{List, Secret, Text, Tokens};

/// Every setting with a fixed name, in the order in which they are shown.
const TABLE: &[(&str, Kind)] = &[
    ("version", Text),
    ("server.endpoint", Text),
    ("server.workers", Text),
    ("server.keep_alive", Text),
    ("server.shutdown_delay", Text),
    ("server.drain_timeout", Text),
    ("server.read_wait", Text),
    ("server.reload_interval", Text),
    ("server.allowed_hosts", List),
    ("server.ops_endpoint", Text),
    ("server.tls.cert", Text),
    ("server.tls.key", Text),
    ("server.tls.client_ca", Text),
    ("access.tokens", Tokens),
    ("access.cors.allow_origins", List),
    ("storage.path", Text),
    ("storage.reserve", Text),
    ("storage.shards", Text),
    ("log.sync_interval", Text),
    ("log.segment_bytes", Text),
    ("log.batch_bytes", Text),
    ("log.pending_bytes", Text),
    ("log.room_wait", Text),
    ("log.recovery", Text),
    ("log.on_sync_error", Text),
    ("compaction.min_bytes", Text),
    ("compaction.bytes_per_second", Text),
    ("limits.key_bytes", Text),
    ("limits.value_bytes", Text),
    ("limits.inflight_bytes", Text),
    ("limits.connections", Text),
    ("limits.connections_per_address", Text),
    ("limits.streams_per_connection", Text),
    ("limits.head_timeout", Text),
    ("limits.body_stall", Text),
    ("limits.read_stall", Text),
    ("limits.keyspaces", Text),
    ("limits.watchers", Text),
    ("limits.watch_duration", Text),
    ("limits.json_bytes", Text),
    ("limits.batch_operations", Text),
    ("limits.batch_bytes", Text),
    ("limits.batch_answer_bytes", Text),
    ("watch.history_events", Text),
    ("watch.history_bytes", Text),
    ("watch.heartbeat", Text),
    ("outbound.threads", Text),
    ("outbound.connect_timeout", Text),
    ("outbound.ca", Text),
    ("outbound.proxy", Secret),
    ("outbound.proxy_file", Text),
    ("outbound.allow_link_local", Text),
    ("logging.level", Text),
    ("logging.format", Text),
    ("logging.access", Text),
];

/// What the design has and this version has not: known, so that it is refused by its right name.
const LATER: &[&str] = &["engine", "discovery"];

/// Sections whose names are the operator's: they come from files alone.
const NAMED: &[&str] = &["keyspaces", "sources"];

/// The path of every setting with a fixed name.
pub(super) fn settings() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(path, _)| *path)
}

/// What stands behind a path, where it is that of a setting.
pub(super) fn kind(path: &str) -> Option<(&'static str, Kind)> {
    TABLE.iter().find(|(known, _)| *known == path).copied()
}

/// Where a setting stands among all.
pub(super) fn rank(path: &str) -> usize {
    let place = settings().position(|known| known == path);
    place.unwrap_or(usize::MAX)
}

fn is_section(path: &str) -> bool {
    settings().any(|known| within(known, path))
}

/// Whether a path lies below another one.
fn within(path: &str, section: &str) -> bool {
    path.strip_prefix(section)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// Whether a path lies in what the design has and this version has not.
pub(super) fn is_later(path: &str) -> bool {
    LATER
        .iter()
        .any(|later| *later == path || within(path, later))
}

/// Whether a path lies in a section whose names are the operator's.
pub(super) fn is_named(path: &str) -> bool {
    NAMED.iter().any(|named| within(path, named))
}

/// What a file said.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Setting by setting.
    pub(super) settings: BTreeMap<&'static str, Words>,
    /// `keyspaces`, by name.
    pub(super) keyspaces: BTreeMap<String, Named>,
    /// `sources`, by name.
    pub(super) sources: BTreeMap<String, Named>,
}

impl Parts {
    /// Takes a document apart.
    pub(super) fn of(root: &Node, document: &Document) -> Result<Self, ConfigError> {
        let mut parts = Self::default();
        parts.section(root, "", document)?;
        Ok(parts)
    }

    fn section(&mut self, node: &Node, path: &str, document: &Document) -> Result<(), ConfigError> {
        for entry in entries(node, path, document)? {
            let name = &entry.name;
            let own = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            // A name with a dot in it is one name, not two.
            let known = !name.contains('.') && self.take(entry, &own, document)?;
            if !known {
                return Err(ConfigError::Unknown {
                    origin: document.at(entry.line),
                    path: section_path(path).join(name).to_string(),
                    nearest: nearest(&own),
                });
            }
        }
        Ok(())
    }

    /// Takes what stands behind a path; `false` where nothing may.
    fn take(
        &mut self,
        entry: &Entry,
        path: &str,
        document: &Document,
    ) -> Result<bool, ConfigError> {
        let value = &entry.value;
        if let Some((path, kind)) = kind(path) {
            if !value.is_null() {
                let text = words(value, kind, path, document)?;
                let line = value.line;
                self.settings.insert(path, Words { text, line });
            }
        } else if path == "keyspaces" {
            self.keyspaces = named(value, path, document)?;
        } else if path == "sources" {
            self.sources = named(value, path, document)?;
        } else if is_section(path) {
            self.section(value, path, document)?;
        } else if is_later(path) {
            let (origin, path) = (document.at(entry.line), path.to_owned());
            return Err(ConfigError::NotBuilt { origin, path });
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// The path of a section, which is nothing for the file itself.
fn section_path(path: &str) -> SettingPath {
    if path.is_empty() {
        SettingPath::default()
    } else {
        SettingPath::of(path)
    }
}

/// The entries of a section, each name once.
fn entries<'a>(
    node: &'a Node,
    path: &str,
    document: &Document,
) -> Result<&'a [Entry], ConfigError> {
    let entries = node.section().map_err(|words| ConfigError::Malformed {
        origin: document.at(node.line),
        path: path.to_owned(),
        words: words.to_owned(),
    })?;
    match second(entries) {
        None => Ok(entries),
        Some(entry) => Err(ConfigError::Duplicate {
            origin: document.at(entry.line),
            path: section_path(path).join(&entry.name).to_string(),
        }),
    }
}

/// The first entry whose name stands before it already.
pub(super) fn second(entries: &[Entry]) -> Option<&Entry> {
    let mut names = BTreeSet::new();
    entries.iter().find(|entry| !names.insert(&entry.name))
}

fn named(
    node: &Node,
    path: &str,
    document: &Document,
) -> Result<BTreeMap<String, Named>, ConfigError> {
    let entries = entries(node, path, document)?.iter();
    let named = entries.map(|Entry { name, line, value }| {
        let (value, line) = (value.clone(), *line);
        (name.clone(), Named { value, line })
    });
    Ok(named.collect())
}

/// The words of a setting as one text.
fn words(node: &Node, kind: Kind, path: &str, document: &Document) -> Result<String, ConfigError> {
    let malformed = |node: &Node, item: String, words: &str| ConfigError::Malformed {
        origin: document.at(node.line),
        path: format!("{path}{item}"),
        words: words.to_owned(),
    };
    match kind {
        Text | Secret => node
            .text()
            .map(str::to_owned)
            .map_err(|words| malformed(node, String::new(), words)),
        List => {
            let items = node
                .list()
                .map_err(|words| malformed(node, String::new(), words))?;
            let texts = items.iter().enumerate().map(|(index, item)| {
                item.text()
                    .map_err(|words| malformed(item, format!("[{index}]"), words))
            });
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        Tokens => tokens::text(node).map_err(|fault| fault.of_file(path, document)),
    }
}

/// The known path that comes closest to an unknown one, if any comes close enough to be what was meant.
pub(super) fn nearest(unknown: &str) -> Option<String> {
    let sections = settings().filter_map(|path| path.split_once('.').map(|(section, _)| section));
    let known = settings().chain(sections).chain(NAMED.iter().copied());
    closest(unknown, known).map(str::to_owned)
}

/// The known name that comes closest to an unknown one, if any comes close enough to be what was meant.
pub(super) fn closest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(unknown, known), known));
    // A third of the letters may be wrong: more is a guess that sends people the wrong way.
    scored
        .min()
        .filter(|(distance, known)| distance * 3 <= known.len().max(3))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn parts(text: &str) -> Parts {
        let root = yaml::read(text).expect("a valid document");
        Parts::of(&root, &Document::Defaults).expect("a valid file")
    }

    #[test]
    fn settings_are_flat_and_keep_their_lines() {
        let parts =
            parts("version: 1.0\nserver:\n  endpoint: :80\n  allowed_hosts: [a, b]\n  workers:\n");
        let said: Vec<_> = parts
            .settings
            .iter()
            .map(|(path, words)| (*path, words.text.as_str(), words.line))
            .collect();
        assert_eq!(
            said,
            [
                ("server.allowed_hosts", "a,b", 4),
                ("server.endpoint", ":80", 3),
                ("version", "1.0", 1)
            ]
        );
    }

    #[test]
    fn what_the_operator_names_is_kept_by_name_with_its_line() {
        let text = "keyspaces:\n  users:\n    ttl: 10m\n  bare:\n  07: { ttl: 1s }\nsources: { 'a b/c.d': , on: 1 }\n";
        let parts = parts(text);
        let lines = |named: &BTreeMap<String, Named>| {
            let lines = named.iter().map(|(name, named)| (name.clone(), named.line));
            lines.collect::<Vec<_>>()
        };
        let owned = |name: &str, line| (name.to_owned(), line);
        assert_eq!(
            lines(&parts.keyspaces),
            [owned("07", 5), owned("bare", 4), owned("users", 2)]
        );
        assert_eq!(lines(&parts.sources), [owned("a b/c.d", 6), owned("on", 6)]);
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let offered = |unknown| nearest(unknown).unwrap_or_default();
        assert_eq!(offered("server.enpoint"), "server.endpoint");
        assert_eq!(offered("sever"), "server");
        assert_eq!(offered("source"), "sources");
        assert_eq!(offered("limits.value_byte"), "limits.value_bytes");
        assert_eq!(offered("something.else.entirely"), "");
    }

    #[test]
    fn every_setting_is_named_once() {
        let names: BTreeSet<&str> = settings().collect();
        assert_eq!(names.len(), settings().count());
    }
}
