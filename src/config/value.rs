//! The kinds of value that a setting can have, each read from its words. It must not know which setting it reads for:
//! what is wrong is said about the value alone.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// What stands for the key in an address or a path.
pub(super) const KEY: &str = "{key}";

/// What is said of a name that no keyspace can have.
pub(super) const NOT_A_KEYSPACE: &str =
    "is not a name for a keyspace: it is 1 to 64 of a-z 0-9 _ -";

/// The longest span that a setting takes, where nothing speaks for another one.
pub(super) const DAY: Duration = Duration::from_hours(24);

/// A number of bytes: `16777216`, `64KiB`, `16 MiB`, `2GB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("is not a size; write it like 64MiB, 16MB or 4096".to_owned()),
    };
    let Ok(count) = number.parse::<u64>() else {
        return Err("is not a size; write it like 64MiB, 16MB or 4096".to_owned());
    };
    count
        .checked_mul(factor)
        .ok_or_else(|| "is more bytes than can be counted".to_owned())
}

/// A span of time: `500ms`, `10s`, `15m`, `2h`, `7d`; a bare number is seconds.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(
                "is not a span of time; write it like 500ms, 10s, 15m, 2h or 7d".to_owned(),
            );
        }
    };
    let Ok(count) = number.parse::<u64>() else {
        return Err("is not a span of time; write it like 500ms, 10s, 15m, 2h or 7d".to_owned());
    };
    let total = count
        .checked_mul(milliseconds)
        .ok_or_else(|| "is a longer time than can be counted".to_owned())?;
    Ok(Duration::from_millis(total))
}

/// A whole number.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .ok()
        .ok_or_else(|| "is not a whole number in range".to_owned())
}

/// A value within its bounds, the bounds included.
pub(super) fn within<T: Copy + PartialOrd>(
    value: T,
    low: T,
    high: T,
    shown: impl Display,
) -> Result<T, String> {
    if value < low || value > high {
        Err(format!("is out of range: {shown}"))
    } else {
        Ok(value)
    }
}

/// A span of time within its bounds.
pub(super) fn span_between(text: &str, low: Duration, high: Duration) -> Result<Duration, String> {
    let shown = format_args!("from {low:?} to {} s", high.as_secs());
    within(span(text)?, low, high, shown)
}

/// A span from a millisecond to a day.
pub(super) fn patience(text: &str) -> Result<Duration, String> {
    span_between(text, Duration::from_millis(1), DAY)
}

/// A number of bytes within its bounds.
pub(super) fn size_between(text: &str, low: u64, high: u64) -> Result<u64, String> {
    let bounds = format_args!("from {} to {}", shown_bytes(low), shown_bytes(high));
    within(bytes(text)?, low, high, bounds)
}

/// A size in the largest unit that divides it.
fn shown_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    units
        .into_iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(
            || bytes.to_string(),
            |(unit, name)| format!("{}{name}", bytes / unit),
        )
}

/// `None` for the word that stands for nothing of the kind.
pub(super) fn unless<T>(
    text: &str,
    word: &str,
    meaning: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text == word {
        Ok(None)
    } else {
        meaning(text).map(Some)
    }
}

/// Yes or no.
pub(super) fn truth(text: &str) -> Result<bool, String> {
    word(text, &[("true", true), ("false", false)])
}

/// The text that a percent-encoded one stands for (RFC 3986, section 2.1).
pub(super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2)?;
        // The parser would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// One of a few words.
pub(super) fn word<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, meaning)) = known.iter().find(|(word, _)| *word == text) {
        return Ok(*meaning);
    }
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    Err(format!("is not known; it can be {}", words.join(", ")))
}

/// The items of a list, which is text with commas between them.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A `host:port` to listen on, as cachepump's and Go's users write it: `:8080` is every interface, `[::1]:80` is IPv6.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let wrong = |why: &str| {
        format!(
            "is not host:port: {why}; write it like 127.0.0.1:8080, or :8080 for all interfaces"
        )
    };
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| wrong("it has no port"))?;
    if port.parse::<u16>().is_err() || port.starts_with('+') {
        return Err(wrong("the port is not a number from 0 to 65535"));
    }
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_err() => {
            Err(wrong("the brackets hold no IPv6 address"))
        }
        None if host.contains(':') => Err(wrong("an IPv6 address goes in brackets")),
        None if host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@') => {
            Err(wrong("the host is not a name or an address"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// An origin as a browser writes it (RFC 6454, section 6.2): `https://app.example`, in lower case, without the scheme's
/// own port.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let wrong = |why: &str| {
        format!(
            "holds {text:?}, which is no origin: {why}; write it like https://app.example or http://localhost:3000"
        )
    };
    if text == "*" {
        return Err(
            "holds \"*\": any page of any site could use this server; name the origins".to_owned(),
        );
    }
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower
        .split_once("://")
        .ok_or_else(|| wrong("it has no scheme"))?;
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return Err(wrong("the scheme is neither http nor https")),
    };
    if authority.contains(['/', '?', '#', '@', '*', ',']) || authority.contains(char::is_whitespace)
    {
        return Err(wrong("it is scheme, host and port, nothing else"));
    }
    let authority = authority.strip_suffix(default_port).unwrap_or(authority);
    // The rules for a host and a port are those of an endpoint; a port is made up where there is none.
    let with_port = if authority.ends_with(']') || !authority.contains(':') {
        format!("{authority}:0")
    } else {
        authority.to_owned()
    };
    if authority.is_empty() || authority.starts_with(':') || endpoint(&with_port).is_err() {
        return Err(wrong("the host or the port cannot be read"));
    }
    Ok(format!("{scheme}://{authority}"))
}

fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_and_decimal_units() {
        let good = [
            ("0", 0),
            ("4096", 4096),
            ("64MiB", 64 << 20),
            ("16 MiB", 16 << 20),
            ("2GB", 2_000_000_000),
            ("1B", 1),
        ];
        for (text, expected) in good {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "MiB",
            "64M",
            "-1",
            "1.5MiB",
            "64mib",
            "1 2",
            "99999999999GiB",
            "１",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_take_one_unit_and_bare_seconds() {
        let good = [
            ("0s", 0),
            ("500ms", 500),
            ("90", 90_000),
            ("15m", 900_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ];
        for (text, expected) in good {
            assert_eq!(span(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for text in [
            "",
            "s",
            "1m30s",
            "-5s",
            "1.5s",
            "10 years",
            "99999999999999999999d",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_are_host_and_port() {
        for text in [
            "127.0.0.1:8080",
            ":8080",
            "localhost:0",
            "[::1]:80",
            "[::]:8080",
            "example.org:65535",
        ] {
            assert_eq!(endpoint(text), Ok(text.to_owned()));
        }
        for text in [
            "",
            "8080",
            "localhost",
            "::1:80",
            "[::1]",
            "[x]:80",
            "a:65536",
            "a:-1",
            "a:+1",
            "http://a:80",
            "a b:80",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for (text, expected) in [
            ("https://app.example", "https://app.example"),
            ("HTTPS://App.Example:443", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]", "http://[::1]"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://a:443", "http://a:443"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(expected));
        }
        for text in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "ftp://a",
            "https://a:b",
            "https://:1",
            "http://a b",
            "https://*.example",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percent_encoding_is_undone_once() {
        for (text, expected) in [
            ("", Some("")),
            ("a%40b%25", Some("a@b%")),
            ("%2541", Some("%41")),
            ("%c3%A9", Some("é")),
            ("%", None),
            ("%4", None),
            ("%+1", None),
            ("%ff", None),
            ("a+b", Some("a+b")),
        ] {
            assert_eq!(percent_decoded(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn lists_are_split_at_commas() {
        assert_eq!(list(" a, b ,,c"), ["a", "b", "c"]);
        assert_eq!(list(""), Vec::<String>::new());
    }
}
