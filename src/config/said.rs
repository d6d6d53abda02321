//! What was said: the settings' names, each with the words that a layer gave for it. It must not know what the words
//! mean; [`super::value`] and [`super::options`] do.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

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

fn words<T: IntoText>(said: Spanned<T>) -> Words {
    Words {
        line: said.referenced.line(),
        text: said.value.into_text(),
    }
}

/// Declares the sections of a file as structs that refuse what they do not know, and the names of all settings.
/// `later` names what the design has and this version has not: known, so that it is refused by its right name.
macro_rules! sections {
    (later { $($later_section:ident),* }
     $($section:ident: $Type:ident { $($field:ident: $Kind:ident),*; later { $($later:ident),* } })*) => {
        $(
            #[derive(Debug, Default, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            struct $Type {
                $($field: Option<Spanned<$Kind>>,)*
                $($later: Option<Spanned<IgnoredAny>>,)*
            }
        )*

        /// A whole file as it was said.
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct Said {
            version: Option<Spanned<Text>>,
            keyspaces: Option<BTreeMap<String, Option<Spanned<Keyspace>>>>,
            $($section: Option<$Type>,)*
            $($later_section: Option<Spanned<IgnoredAny>>,)*
        }

        /// The path of every setting, `version` and the keyspaces' aside.
        pub(super) const SETTINGS: &[&str] =
            &[$($(concat!(stringify!($section), ".", stringify!($field)),)*)*];

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
                    parts.settings.insert("version", words(version));
                }
                $(if let Some(unbuilt) = self.$later_section {
                    parts.later(unbuilt.referenced.line(), stringify!($later_section).to_owned());
                })*
                $(if let Some(section) = self.$section {
                    $(if let Some(said) = section.$field {
                        let path = concat!(stringify!($section), ".", stringify!($field));
                        parts.settings.insert(path, words(said));
                    })*
                    $(if let Some(unbuilt) = section.$later {
                        let path = concat!(stringify!($section), ".", stringify!($later));
                        parts.later(unbuilt.referenced.line(), path.to_owned());
                    })*
                })*
                for (name, keyspace) in self.keyspaces.unwrap_or_default() {
                    parts.keyspace(&name, keyspace);
                }
                parts
            }
        }
    };
}

sections! {
    later { sources, access, engine, watch, outbound, discovery }
    server: Server {
        endpoint: Text, workers: Text, keep_alive: Text, shutdown_delay: Text, drain_timeout: Text, read_wait: Text,
        allowed_hosts: List; later { tls, ops_endpoint }
    }
    storage: Storage { path: Text, reserve: Text, shards: Text; later {} }
    log: Log {
        sync_interval: Text, segment_bytes: Text, batch_bytes: Text, pending_bytes: Text, room_wait: Text,
        recovery: Text, on_sync_error: Text; later {}
    }
    compaction: Compaction { min_bytes: Text, bytes_per_second: Text; later {} }
    limits: Limits {
        key_bytes: Text, value_bytes: Text, inflight_bytes: Text, connections: Text, head_timeout: Text,
        body_stall: Text, read_stall: Text;
        later { keyspaces, batch_operations, batch_bytes, batch_answer_bytes, watch_duration }
    }
    logging: Logging { level: Text, format: Text; later {} }
}

/// The one property of the one keyspace that this version has.
pub(super) const DURABILITY: &str = "keyspaces.default.durability";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keyspace {
    durability: Option<Spanned<Text>>,
    ttl: Option<Spanned<IgnoredAny>>,
    max_bytes: Option<Spanned<IgnoredAny>>,
    eviction: Option<Spanned<IgnoredAny>>,
    client_max_age: Option<Spanned<IgnoredAny>>,
    source: Option<Spanned<IgnoredAny>>,
    mirror: Option<Spanned<IgnoredAny>>,
    sink: Option<Spanned<IgnoredAny>>,
}

/// What a file said, in a flat list.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Setting by setting.
    pub(super) settings: BTreeMap<&'static str, Words>,
    /// What the design has and this version has not: line and path, first line first.
    pub(super) unbuilt: Vec<(u64, String)>,
}

impl Parts {
    fn later(&mut self, line: u64, path: String) {
        self.unbuilt.push((line, path));
        self.unbuilt.sort();
    }

    fn keyspace(&mut self, name: &str, said: Option<Spanned<Keyspace>>) {
        let Some(said) = said else {
            if name != "default" {
                self.later(0, format!("keyspaces.{name}"));
            }
            return;
        };
        if name != "default" {
            self.later(said.referenced.line(), format!("keyspaces.{name}"));
            return;
        }
        let keyspace = said.value;
        if let Some(durability) = keyspace.durability {
            self.settings.insert(DURABILITY, words(durability));
        }
        let unbuilt = [
            ("ttl", keyspace.ttl),
            ("max_bytes", keyspace.max_bytes),
            ("eviction", keyspace.eviction),
            ("client_max_age", keyspace.client_max_age),
            ("source", keyspace.source),
            ("mirror", keyspace.mirror),
            ("sink", keyspace.sink),
        ];
        for (property, said) in unbuilt {
            if let Some(said) = said {
                self.later(
                    said.referenced.line(),
                    format!("keyspaces.default.{property}"),
                );
            }
        }
    }
}

/// Where a setting stands among all: the version, then the sections as declared, then the keyspaces.
pub(super) fn rank(path: &str) -> usize {
    let place = SETTINGS.iter().position(|known| *known == path);
    place.map_or(if path == DURABILITY { usize::MAX } else { 0 }, |place| {
        place + 1
    })
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
pub(super) fn nearest(unknown: &str) -> Option<&'static str> {
    let known = SETTINGS.iter().chain(TOP).chain([&DURABILITY]);
    let scored = known.map(|path| (strsim::damerau_levenshtein(unknown, path), *path));
    // A third of the letters may be wrong: more is a guess that sends people the wrong way.
    scored
        .min()
        .filter(|(distance, path)| distance * 3 <= path.len().max(3))
        .map(|(_, path)| path)
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
        assert_eq!(parts.unbuilt, []);
    }

    #[test]
    fn rooms_of_later_versions_are_named_in_the_order_of_their_lines() {
        let text = "sources: { a: 1 }\nkeyspaces:\n  default: { durability: synced, ttl: 1s }\n  users: {}\nserver:\n  tls: {}\n";
        let parts = parts(text);
        let expected = [
            (1, "sources"),
            (3, "keyspaces.default.ttl"),
            (4, "keyspaces.users"),
            (6, "server.tls"),
        ];
        assert_eq!(
            parts.unbuilt,
            expected.map(|(line, path)| (line, path.to_owned()))
        );
        assert_eq!(parts.settings[DURABILITY].text, "synced");
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("server.enpoint"), Some("server.endpoint"));
        assert_eq!(nearest("sever"), Some("server"));
        assert_eq!(nearest("limits.value_byte"), Some("limits.value_bytes"));
        assert_eq!(nearest("something.else.entirely"), None);
    }
}
