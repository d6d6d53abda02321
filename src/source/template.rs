//! Where a key stands in an address or a path. It must not know what is found there.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::outbound::Url;

/// What stands for the key.
const KEY: &str = "{key}";

/// An endpoint with the places of the key in it.
#[derive(Debug)]
pub(super) struct Template {
    /// Scheme, user, host and port.
    authority: String,
    /// The path, from its first slash on.
    path: String,
    /// From the `?` on, where there is one.
    query: String,
}

impl Template {
    /// Refuses what is no address of http or https, and one whose host, user or port would depend on a key.
    pub(super) fn new(endpoint: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = endpoint.split_once("://").ok_or("is no address")?;
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        if scheme.contains(KEY) || authority.contains(KEY) {
            return Err("has {key} before its path");
        }
        let template = Self {
            authority: format!("{scheme}://{authority}"),
            path: path.to_owned(),
            query: query.to_owned(),
        };
        let url = template.parse("key")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("is neither http nor https");
        }
        Ok(template)
    }

    /// The address of `key`; `None` where a segment of its path would lead up, or nowhere.
    pub(super) fn of(&self, key: Option<&str>) -> Result<Option<Url>, &'static str> {
        let Some(key) = key else {
            return self.parse(KEY).map(Some);
        };
        if !self.leads_to(key) {
            return Ok(None);
        }
        self.parse(&encoded(key)).map(Some)
    }

    /// Whether `key` has an address.
    pub(super) fn leads_to(&self, key: &str) -> bool {
        let key = encoded(key);
        let mut segments = self.path.split('/').filter(|text| text.contains(KEY));
        !segments.any(|segment| is_dots(&segment.replace(KEY, &key)))
    }

    fn parse(&self, key: &str) -> Result<Url, &'static str> {
        let (path, query) = (self.path.replace(KEY, key), self.query.replace(KEY, key));
        let text = format!("{}{path}{query}", self.authority);
        text.parse().map_err(|_why| "is no address")
    }
}

/// The parts of a path below a directory, with `key` in its places; `None` where one of them leads up or is no name.
pub(super) fn names(path: &str, key: &str) -> Option<Vec<String>> {
    let path = path.replace(KEY, key);
    let names = path.split('/').map(|name| {
        let is_name = !matches!(name, "" | "." | "..") && !name.contains('\0');
        is_name.then(|| name.to_owned())
    });
    names.collect()
}

/// Whether a segment is one of those that lead nowhere or up, in any of the spellings that an address knows (WHATWG URL,
/// single- and double-dot path segments).
fn is_dots(segment: &str) -> bool {
    let segment = if segment.contains('%') {
        Cow::Owned(segment.to_ascii_lowercase().replace("%2e", "."))
    } else {
        Cow::Borrowed(segment)
    };
    matches!(&*segment, "." | "..")
}

/// Everything but what is unreserved stands as `%XX` (RFC 3986, section 2.3): no key can end a segment or begin a query.
fn encoded(key: &str) -> String {
    let mut encoded = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoint: &str, key: &str) -> Option<String> {
        let template = Template::new(endpoint).unwrap();
        template.of(Some(key)).unwrap().map(String::from)
    }

    #[test]
    fn a_key_is_encoded_whatever_is_in_it() {
        for (key, there) in [
            ("plain-1_~.x", "plain-1_~.x"),
            ("a/b", "a%2Fb"),
            ("a?b#c", "a%3Fb%23c"),
            ("a%2Fb", "a%252Fb"),
            ("gr\u{fc}n \\", "gr%C3%BCn%20%5C"),
            ("a\n\tb", "a%0A%09b"),
            ("{key}", "%7Bkey%7D"),
            ("@evil:1", "%40evil%3A1"),
        ] {
            let url = of("http://h:1/users/{key}.json?k={key}#{key}", key).unwrap();
            assert_eq!(url, format!("http://h:1/users/{there}.json?k={there}"));
        }
    }

    #[test]
    fn a_key_that_would_lead_up_has_no_address() {
        for (path, key) in [
            ("{key}", "."),
            ("{key}", ".."),
            ("a/{key}/b", ".."),
            (".{key}", "."),
            ("{key}{key}", "."),
            ("%2e{key}", "."),
            ("%2E{key}?{key}", "."),
        ] {
            assert_eq!(of(&format!("http://h/{path}"), key), None, "{path} {key}");
        }
        for (path, key) in [
            ("{key}.json", ".."),
            ("x{key}", "."),
            ("{key}", "..."),
            ("?k={key}", ".."),
        ] {
            assert!(
                of(&format!("http://h/{path}"), key).is_some(),
                "{path} {key}"
            );
        }
        // What is encoded twice is no dot for anybody who decodes once.
        assert_eq!(of("http://h/{key}", "%2e").unwrap(), "http://h/%252e");
    }

    #[test]
    fn what_does_not_depend_on_a_key_stays_as_it_is() {
        let template = Template::new("https://h/a/../b?x={y}").unwrap();
        let url = template.of(None).unwrap().unwrap();
        assert_eq!(url.as_str(), "https://h/b?x={y}");
    }

    #[test]
    fn endpoints_that_cannot_be_called_are_told_apart() {
        for (endpoint, why) in [
            ("", "is no address"),
            ("h/a", "is no address"),
            ("http://", "is no address"),
            ("http://h:x/", "is no address"),
            ("ftp://h/", "is neither http nor https"),
            ("http://{key}/", "has {key} before its path"),
            ("http://{key}@h/", "has {key} before its path"),
            ("{key}://h/", "has {key} before its path"),
        ] {
            let refused = Template::new(endpoint).unwrap_err();
            assert_eq!(refused, why, "{endpoint}");
        }
        for endpoint in ["http://h", "HTTPS://h?{key}", "http://[::1]:1/{key}"] {
            assert!(of(endpoint, "a").is_some(), "{endpoint}");
        }
    }

    #[test]
    fn names_below_a_directory_never_lead_out_of_it() {
        assert_eq!(names("{key}.json", "a/b").unwrap(), ["a", "b.json"]);
        assert_eq!(names("u/{key}", "..x").unwrap(), ["u", "..x"]);
        for key in ["", ".", "..", "/etc", "a//b", "a/", "a/../b", "a/.", "\0"] {
            assert_eq!(names("{key}", key), None, "{key:?}");
        }
        assert_eq!(names("../{key}", "a"), None);
    }
}
