//! What stands for a secret where words are shown. It must not know which settings are secret.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

use super::value::KEY;
use crate::outbound::{DatabaseKind, Url};

/// What is shown in the place of a secret.
pub(super) const MASK: &str = "***";

/// The whole text is secret.
pub(super) fn whole(_text: &str) -> String {
    MASK.to_owned()
}

/// Nothing of it is.
pub(super) fn open(text: &str) -> String {
    text.to_owned()
}

/// Of the address of a database the kind is shown, so that what is shown is such an address still.
pub(super) fn database(text: &str) -> String {
    match text.split_once(':') {
        Some((scheme, _)) if DatabaseKind::of(text).is_some() => format!("{scheme}://{MASK}"),
        _ => MASK.to_owned(),
    }
}

/// Of an address of the web, the user and the password are secret, and so are the values in the query and the fragment.
/// An `@` further on may belong to a password that was not encoded: then nothing is shown but where the key goes.
pub(super) fn address(text: &str) -> String {
    // Of a backslash or a tab the library makes something else.
    let odd = |c: char| c == '\\' || c.is_control();
    let readable = text.contains("://") && !text.contains(odd) && Url::parse(text).is_ok();
    if !readable {
        // Where nobody knows what is what, only that is shown which can hold neither.
        let harmless = !text.contains(['@', '?', '#', ':']) || is_host_and_path(text);
        return if harmless { open(text) } else { whole(text) };
    }
    let start = authority_start(text);
    let (scheme, after) = text.split_at(start);
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, target) = after.split_at(end);
    let (target, fragment) = match target.split_once('#') {
        Some((target, _)) => (target, "#***"),
        None => (target, ""),
    };
    if after.split_at(end).1.contains('@') {
        let masked = target.split_inclusive(['/', '?', '&']).map(|step| {
            let text = step.trim_end_matches(['/', '?', '&']);
            format!(
                "{}{}",
                masked(text),
                step.get(text.len()..).unwrap_or_default()
            )
        });
        return format!("{scheme}{MASK}{}{fragment}", masked.collect::<String>());
    }
    let target = match target.split_once('?') {
        Some((path, query)) => format!("{path}?{}", masked_query(query)),
        None => target.to_owned(),
    };
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_owned(),
    };
    format!("{scheme}{authority}{target}{fragment}")
}

/// `localhost:9000/users`: an address whose scheme was forgotten.
fn is_host_and_path(text: &str) -> bool {
    let (authority, path) = text.split_once('/').unwrap_or((text, ""));
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    !text.contains(['@', '?', '#'])
        && !path.contains(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where the part with user, host and port begins.
pub(super) fn authority_start(text: &str) -> usize {
    text.find("://").map_or(0, |at| at + "://".len())
}

/// Names are shown, and where the key goes.
fn masked_query(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{name}={}", masked(value)),
        None => masked(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Nothing is shown but where the key goes.
fn masked(text: &str) -> String {
    let around = text.split(KEY);
    let masked = around.map(|text| if text.is_empty() { "" } else { MASK });
    masked.collect::<Vec<_>>().join(KEY)
}

/// A number that changes with the text and tells nothing about it: it differs from process to process.
pub(super) fn mark(text: &str) -> u64 {
    static STATE: OnceLock<RandomState> = OnceLock::new();
    STATE.get_or_init(RandomState::new).hash_one(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_no_credential_is_shown() {
        for (text, shown) in [
            (
                "http://127.0.0.1:9000/users/{key}",
                "http://127.0.0.1:9000/users/{key}",
            ),
            ("https://user:hunter2@host/a", "https://***@host/a"),
            (
                "https://user:hunter2@host/a@b/{key}",
                "https://***/***/{key}",
            ),
            ("https://hunter2/:hunter2@host", "https://***/***"),
            ("https://hunter2?:hunter2@host", "https://***?***"),
            (
                "https://hunter2?hunter2=a&b={key}@c",
                "https://***?***&***{key}***",
            ),
            ("https://hunter2#:hunter2@host", "https://***#***"),
            ("https://hunter2@host", "https://***@host"),
            ("https://a@hunter2@host:1/", "https://***@host:1/"),
            (
                "http://host/?q={key}&token=hunter2",
                "http://host/?q={key}&token=***",
            ),
            ("http://host/?hunter2", "http://host/?***"),
            (
                "http://host/?a=x{key}hunter2&b=",
                "http://host/?a=***{key}***&b=",
            ),
            ("http://host/a?b#hunter2", "http://host/a?***#***"),
            ("http://host/a#hunter2?b=c", "http://host/a#***"),
            ("localhost:9000/users", "localhost:9000/users"),
            ("host/users", "host/users"),
            ("user:hunter2@host/", "***"),
            ("http://user:hunt/er2@host/", "***"),
            ("http://user:hunt?er2@host/", "***"),
            ("http//user:hunter2", "***"),
            ("http://\\user:hunter2@host/", "***"),
            ("http://\tuser:hunter2@host/", "***"),
            ("hunter2@host", "***"),
        ] {
            assert_eq!(address(text), shown, "{text}");
        }
    }

    #[test]
    fn of_the_address_of_a_database_the_kind_is_shown() {
        assert_eq!(database("postgres://u:hunter2@h/d"), "postgres://***");
        assert_eq!(database("sqlite:hunter2.db"), "sqlite://***");
        assert_eq!(database("hunter2"), "***");
        assert_eq!(database("hunter2://x"), "***");
    }

    #[test]
    fn a_mark_changes_with_its_text() {
        assert_eq!(mark("hunter2"), mark("hunter2"));
        assert_ne!(mark("hunter2"), mark("hunter3"));
    }
}
