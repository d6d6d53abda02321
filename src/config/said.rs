//! What was said: the settings' names, each with the words that a layer gave for it. It must not know what the words
//! mean; [`super::value`] and [`super::options`] do.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::tokens::{self, TokenSaid};
use super::yaml::Spanned;

/// The words of one setting, and the line of its file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Words {
    pub(super) text: String,
    pub(super) line: u64,
}

/// One value of text, number or truth, in its own spelling.
type Text = String;
/// A list of such values; one text with commas from here on, because that is how the environment says lists.
type List = Vec<String>;
/// The tokens; one text in YAML's flow style from here on.
type Tokens = Vec<TokenSaid>;

trait IntoText {
    fn into_text(self) -> String;
}

impl IntoText for Text {
    fn into_text(self) -> String {
        self
    }
}

impl IntoText for List {
    fn into_text(self) -> String {
        self.join(",")
    }
}

impl IntoText for Tokens {
    fn into_text(self) -> String {
        tokens::text(&self)
    }
}

fn words<T: IntoText>(said: Spanned<T>) -> Words {
    Words {
        line: said.referenced.line(),
        text: said.value.into_text(),
    }
}

/// Declares the sections of a file as structs that refuse what they do not know, and the names of all settings.
/// `within` names the sections of a section. `later` names what the design has and this version has not: known, so that
/// it is refused by its right name.
macro_rules! sections {
    (later { $($later_section:ident),* }
     $($section:ident: $Type:ident {
        $($field:ident: $Kind:ident),*;
        $(within $inner:ident: $Inner:ident { $($leaf:ident: $Leaf:ident),* };)*
        later { $($later:ident),* }
     })*) => {
        $(
            #[derive(Debug, Default, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            struct $Type {
                $($field: Option<Spanned<$Kind>>,)*
                $($inner: Option<$Inner>,)*
                $($later: Option<Spanned<IgnoredAny>>,)*
            }

            $(
                #[derive(Debug, Default, Deserialize)]
                #[serde(deny_unknown_fields, default)]
                struct $Inner {
                    $($leaf: Option<Spanned<$Leaf>>,)*
                }
            )*
        )*

        /// A whole file as it was said.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct Said {
            version: Option<Spanned<Text>>,
            keyspaces: Option<BTreeMap<String, Spanned<Option<Keyspace>>>>,
            $($section: Option<$Type>,)*
            $($later_section: Option<Spanned<IgnoredAny>>,)*
        }

        /// The path of every setting, `version` and those of the keyspaces aside.
        pub(super) const SETTINGS: &[&str] = &[$(
            $(concat!(stringify!($section), ".", stringify!($field)),)*
            $($(concat!(stringify!($section), ".", stringify!($inner), ".", stringify!($leaf)),)*)*
        )*];

        /// What the design has and this version has not: whole sections, and settings of sections that it has.
        const LATER: &[&str] = &[
            $(stringify!($later_section),)*
            $($(concat!(stringify!($section), ".", stringify!($later)),)*)*
        ];

        /// The keys that a file may have at its top.
        const TOP: &[&str] = &["version", "keyspaces", $(stringify!($section),)*];

        impl Said {
            /// Every setting that was said.
            pub(super) fn into_parts(self) -> Parts {
                let mut parts = Parts::default();
                if let Some(version) = self.version {
                    parts.settings.insert("version".to_owned(), words(version));
                }
                $(if let Some(unbuilt) = self.$later_section {
                    parts.later(unbuilt.referenced.line(), stringify!($later_section).to_owned());
                })*
                $(if let Some(section) = self.$section {
                    $(if let Some(said) = section.$field {
                        let path = concat!(stringify!($section), ".", stringify!($field));
                        parts.settings.insert(path.to_owned(), words(said));
                    })*
                    $(if let Some(inner) = section.$inner {
                        $(if let Some(said) = inner.$leaf {
                            let path = concat!(
                                stringify!($section), ".", stringify!($inner), ".", stringify!($leaf)
                            );
                            parts.settings.insert(path.to_owned(), words(said));
                        })*
                    })*
                    $(if let Some(unbuilt) = section.$later {
                        let path = concat!(stringify!($section), ".", stringify!($later));
                        parts.later(unbuilt.referenced.line(), path.to_owned());
                    })*
                })*
                for (name, keyspace) in self.keyspaces.unwrap_or_default() {
                    parts.keyspace(name, keyspace);
                }
                parts
            }
        }
    };
}

sections! {
    later { sources, engine, outbound, discovery }
    server: Server {
        endpoint: Text, workers: Text, keep_alive: Text, shutdown_delay: Text, drain_timeout: Text, read_wait: Text,
        reload_interval: Text, allowed_hosts: List, ops_endpoint: Text;
        within tls: Tls { cert: Text, key: Text, client_ca: Text }; later {}
    }
    access: Access { tokens: Tokens; within cors: Cors { allow_origins: List }; later {} }
    storage: Storage { path: Text, reserve: Text, shards: Text; later {} }
    log: Log {
        sync_interval: Text, segment_bytes: Text, batch_bytes: Text, pending_bytes: Text, room_wait: Text,
        recovery: Text, on_sync_error: Text; later {}
    }
    compaction: Compaction { min_bytes: Text, bytes_per_second: Text; later {} }
    limits: Limits {
        key_bytes: Text, value_bytes: Text, inflight_bytes: Text, connections: Text, connections_per_address: Text, streams_per_connection: Text,
        head_timeout: Text,
        body_stall: Text, read_stall: Text, keyspaces: Text, watchers: Text, watch_duration: Text, json_bytes: Text,
        batch_operations: Text, batch_bytes: Text, batch_answer_bytes: Text; later {}
    }
    watch: Watch { history_events: Text, history_bytes: Text, heartbeat: Text; later {} }
    logging: Logging { level: Text, format: Text, access: Text; later {} }
}

/// Declares what a file can say about a keyspace.
macro_rules! keyspace {
    ($($property:ident),*; later { $($later:ident),* }) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Keyspace {
            $($property: Option<Spanned<Text>>,)*
            $($later: Option<Spanned<IgnoredAny>>,)*
        }

        /// The properties of a keyspace that a file can set, in the order in which they are shown.
        pub(super) const PROPERTIES: &[&str] = &[$(stringify!($property)),*];

        impl Keyspace {
            fn into_parts(self, keyspace: &str, parts: &mut Parts) {
                $(if let Some(said) = self.$property {
                    parts.settings.insert(property(keyspace, stringify!($property)), words(said));
                })*
                $(if let Some(unbuilt) = self.$later {
                    parts.later(unbuilt.referenced.line(), property(keyspace, stringify!($later)));
                })*
            }
        }
    };
}

keyspace! { ttl, max_bytes, eviction, durability, client_max_age; later { source, mirror, sink } }

/// The path of a keyspace's property.
pub(super) fn property(keyspace: &str, property: &str) -> String {
    format!("keyspaces.{keyspace}.{property}")
}

/// What a file said, in a flat list.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Setting by setting.
    pub(super) settings: BTreeMap<String, Words>,
    /// The keyspaces that are named, each with its line.
    pub(super) keyspaces: BTreeMap<String, u64>,
    /// What the design has and this version has not: line and path, first line first.
    pub(super) unbuilt: Vec<(u64, String)>,
}

impl Parts {
    fn later(&mut self, line: u64, path: String) {
        self.unbuilt.push((line, path));
        self.unbuilt.sort();
    }

    fn keyspace(&mut self, name: String, said: Spanned<Option<Keyspace>>) {
        if let Some(keyspace) = said.value {
            keyspace.into_parts(&name, self);
        }
        self.keyspaces.insert(name, said.referenced.line());
    }
}

/// Where a setting stands among all: the version, then the sections as declared, then the keyspaces by name, the
/// properties of each as declared.
pub(super) fn rank(path: &str) -> (usize, &str, usize) {
    let place = |known: &[&str], path| known.iter().position(|known| *known == path);
    if let Some(place) = place(SETTINGS, path) {
        return (place + 1, "", 0);
    }
    match path.strip_prefix("keyspaces.") {
        None => (0, path, 0),
        Some(rest) => {
            let (keyspace, property) = rest.rsplit_once('.').unwrap_or((rest, ""));
            let place = place(PROPERTIES, property).map_or(0, |place| place + 1);
            (usize::MAX, keyspace, place)
        }
    }
}

/// Whether a path lies in what the design has and this version has not.
pub(super) fn is_later(path: &str) -> bool {
    let within = |later: &&str| {
        path.strip_prefix(*later)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    LATER.iter().any(within)
}

/// The known path that comes closest to an unknown one, if any comes close enough to be what was meant.
pub(super) fn nearest(unknown: &str) -> Option<String> {
    let of_keyspace = unknown
        .strip_prefix("keyspaces.")
        .and_then(|rest| rest.rsplit_once('.'));
    if let Some((keyspace, unknown)) = of_keyspace {
        return closest(unknown, &[PROPERTIES]).map(|known| property(keyspace, known));
    }
    closest(unknown, &[SETTINGS, TOP]).map(str::to_owned)
}

fn closest(unknown: &str, known: &[&[&'static str]]) -> Option<&'static str> {
    let scored = known
        .iter()
        .copied()
        .flatten()
        .map(|known| (strsim::damerau_levenshtein(unknown, known), *known));
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
        yaml::read::<Said>(text)
            .expect("a valid document")
            .into_parts()
    }

    #[test]
    fn settings_are_flat_and_keep_their_lines() {
        let parts = parts("version: 1.0\nserver:\n  endpoint: :80\n  allowed_hosts: [a, b]\n");
        let said: Vec<_> = parts
            .settings
            .iter()
            .map(|(path, words)| (path.as_str(), words.text.as_str(), words.line))
            .collect();
        assert_eq!(
            said,
            [
                ("server.allowed_hosts", "a,b", 4),
                ("server.endpoint", ":80", 3),
                ("version", "1.0", 1)
            ]
        );
        assert_eq!(parts.unbuilt, []);
    }

    #[test]
    fn keyspaces_have_names_and_properties_with_lines() {
        let text = "keyspaces:\n  users:\n    ttl: 10m\n    max_bytes: 64MiB\n  empty: {}\n  bare:\n  07: { ttl: 1s }\n  on: {}\n";
        let parts = parts(text);
        let said: Vec<_> = parts
            .settings
            .iter()
            .map(|(path, words)| (path.as_str(), words.text.as_str(), words.line))
            .collect();
        assert_eq!(
            said,
            [
                ("keyspaces.07.ttl", "1s", 7),
                ("keyspaces.users.max_bytes", "64MiB", 4),
                ("keyspaces.users.ttl", "10m", 3)
            ]
        );
        let named: Vec<_> = parts
            .keyspaces
            .iter()
            .map(|(name, line)| (name.as_str(), *line))
            .collect();
        assert_eq!(
            named,
            [
                ("07", 7),
                ("bare", 6),
                ("empty", 5),
                ("on", 8),
                ("users", 3)
            ]
        );
    }

    #[test]
    fn rooms_of_later_versions_are_named_in_the_order_of_their_lines() {
        let text = "sources: { a: 1 }\nkeyspaces:\n  default: { durability: synced, sink: {} }\n  users: { source: { http: {} } }\n";
        let parts = parts(text);
        let expected = [
            (1, "sources"),
            (3, "keyspaces.default.sink"),
            (4, "keyspaces.users.source"),
        ];
        assert_eq!(
            parts.unbuilt,
            expected.map(|(line, path)| (line, path.to_owned()))
        );
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let offered = |unknown| nearest(unknown).unwrap_or_default();
        assert_eq!(offered("server.enpoint"), "server.endpoint");
        assert_eq!(offered("sever"), "server");
        assert_eq!(offered("limits.value_byte"), "limits.value_bytes");
        assert_eq!(offered("keyspaces.a.max_byte"), "keyspaces.a.max_bytes");
        assert_eq!(offered("something.else.entirely"), "");
    }
}
