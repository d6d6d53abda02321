//! Whom to ask over HTTP and how: addresses, headers, credentials. It must not know what the answers are for.

use std::path::PathBuf;
use std::time::Duration;

use super::super::error::ConfigError;
use super::super::given::Form;
use super::super::secrets::{self, MASK};
use super::super::section::Section;
use super::super::value::{self, KEY};
use super::super::yaml::{self, Entry, Node, Shape};
use crate::outbound::{Auth, HeaderMap, HeaderName, HeaderValue, Method, Secret, Url};
use crate::source::HttpOptions;

/// What a file can say about a request.
pub(super) const REQUEST: &[&str] = &[
    "endpoint", "method", "header", "auth", "body", "timeout", "ca",
];

/// The most values of headers. A server takes no more.
const MOST_HEADERS: usize = 100;

/// Headers that follow from the request itself.
const OUR_HEADERS: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a key can stand in an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Key {
    /// It has to.
    Needed,
    /// There is none: what looks like its place is text like any other.
    Text,
    /// There is none, and whoever writes its place is mistaken.
    Refused,
}

/// What every request has.
pub(super) struct Web {
    /// Without a user and a password.
    pub(super) endpoint: String,
    pub(super) headers: HeaderMap,
    pub(super) auth: Option<Auth>,
    pub(super) ca: Option<PathBuf>,
}

/// Reads a request, and the time for it where that was said here.
pub(super) fn request(
    section: &mut Section<'_>,
    key: Key,
) -> Result<(HttpOptions, Option<Duration>), ConfigError> {
    let Web {
        endpoint,
        headers,
        auth,
        ca,
    } = web(section, key)?;
    let method = section.or("method", "GET", method)?;
    let body = section.given("body", secrets::whole, |text| Ok(text.to_owned()))?;
    let request = HttpOptions {
        endpoint,
        method,
        headers,
        auth,
        body,
        ca,
    };
    let timeout = section.given("timeout", secrets::open, value::patience)?;
    Ok((request, timeout))
}

/// Reads whom to ask.
pub(super) fn web(section: &mut Section<'_>, key: Key) -> Result<Web, ConfigError> {
    let (endpoint, in_address) =
        section.needed("endpoint", secrets::address, |text| address(text, key))?;
    let mut headers = headers(section)?;
    let own = auth(section)?;
    if own.is_some() && in_address.is_some() {
        let words = "the endpoint holds a user or a password as well; keep one of the two";
        section.object(section.ill("auth", words))?;
    }
    let auth = own.or(in_address);
    if auth.is_some() && headers.contains_key("authorization") {
        let words = "it says who asks, and so do auth or the endpoint; keep one of the two";
        section.object(section.ill("header", words))?;
        headers.remove("authorization");
    }
    Ok(Web {
        endpoint,
        headers,
        auth,
        ca: section.file("ca")?,
    })
}

/// The address of a proxy, which may have a password in it.
pub(in crate::config) fn proxy(text: &str) -> Result<Secret, String> {
    let _checked = address(text, Key::Text)?;
    Ok(Secret::Given(text.into()))
}

/// An address without its user and password, and these two.
pub(super) fn address(text: &str, key: Key) -> Result<(String, Option<Auth>), String> {
    let wrong = |why: &str| Err(format!("is not an address: {why}"));
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return wrong("it begins with neither http:// nor https://");
    }
    let path = text.split(['?', '#']).next().unwrap_or_default();
    if text.contains(char::is_control) || path.contains('\\') {
        return wrong("it holds a backslash, a tab or another character that no address has");
    }
    let (scheme, rest) = text.split_at(secrets::authority_start(text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let (target, _fragment) = target.split_once('#').unwrap_or((target, ""));
    place_of_key(authority, target, key)?;
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let endpoint = format!("{scheme}{host}{target}");
    if let Err(error) = Url::parse(&endpoint.replace(KEY, "key")) {
        return wrong(&error.to_string());
    }
    if host.is_empty() {
        return wrong("it has no host");
    }
    let auth = user.filter(|user| !user.is_empty() && *user != ":");
    Ok((endpoint, auth.map(credentials).transpose()?))
}

fn place_of_key(authority: &str, target: &str, key: Key) -> Result<(), String> {
    let problem = if key == Key::Refused && (authority.contains(KEY) || target.contains(KEY)) {
        "has {key} in it, but there is no key that it could stand for"
    } else if key == Key::Needed && authority.contains(KEY) {
        "has {key} in its user, host or port: it can stand in the path and in the query alone"
    } else if key == Key::Needed && !target.contains(KEY) {
        "has no {key} in its path or query: every key would get the same value"
    } else {
        return Ok(());
    };
    Err(problem.to_owned())
}

/// The user and the password of an address.
fn credentials(user: &str) -> Result<Auth, String> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text: &str| {
        let text = value::percent_decoded(text);
        let text = text.filter(|text| !text.contains(char::is_control));
        text.ok_or_else(|| {
            "is not an address: its user or its password is not percent-encoded text".to_owned()
        })
    };
    let (user, password) = (decoded(user)?, decoded(password)?);
    Ok(Auth {
        user,
        password: Secret::Given(password.into()),
    })
}

/// Reads `auth`; without a user and a password it is as if it were not there.
fn auth(section: &mut Section<'_>) -> Result<Option<Auth>, ConfigError> {
    let known = ["user", "password", "password_file"];
    let Some(mut section) = section.section("auth", &known)? else {
        return Ok(None);
    };
    let plain = |text: &str| {
        if text.contains(char::is_control) {
            return Err("holds a character that cannot be sent".to_owned());
        }
        Ok(text.to_owned())
    };
    // Without a password it is the user that is secret: many interfaces take a token so.
    let with_password = section.filled("password")? || section.filled("password_file")?;
    let show = if with_password {
        secrets::open
    } else {
        secrets::whole
    };
    let user = section.given("user", show, |text| {
        if text.contains(':') {
            return Err("holds a colon, which no user can have (RFC 7617, section 2)".to_owned());
        }
        plain(text)
    })?;
    let password = section.secret("password", "password_file", secrets::whole, |text| {
        plain(text).map(drop)
    })?;
    if user.is_none() && password.is_none() {
        return Ok(None);
    }
    Ok(Some(Auth {
        user: user.unwrap_or_default(),
        password: password.unwrap_or_else(|| Secret::Given("".into())),
    }))
}

/// A method as HTTP has it; the usual ones in any case.
fn method(text: &str) -> Result<Method, String> {
    let usual = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let known = usual
        .iter()
        .find(|known| known.eq_ignore_ascii_case(text))
        .copied();
    match Method::from_bytes(known.unwrap_or(text).as_bytes()) {
        Ok(Method::CONNECT | Method::TRACE) => Err("is not a method that fetches".to_owned()),
        Ok(method) => Ok(method),
        Err(_invalid) => Err("is not a method of HTTP, such as GET or POST".to_owned()),
    }
}

/// Reads `header`: names with a value or a list of them. Every value may be a credential.
fn headers(section: &mut Section<'_>) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    let Some(node) = section.value("header") else {
        return Ok(headers);
    };
    let entries = node
        .section()
        .map_err(|words| section.ill("header", words))?;
    if entries.len() > MOST_HEADERS {
        return Err(section.ill("header", format!("more than {MOST_HEADERS} values")));
    }
    let mut last: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let before = last.len();
        last.retain(|other| other.name != entry.name);
        if last.len() < before {
            let words = format!("{} is set twice; keep one of the two", entry.name);
            section.object(section.ill("header", words))?;
        }
        last.push(entry.clone());
    }
    for entry in &last {
        header(section, entry, &mut headers)?;
    }
    let last = Node {
        line: node.line,
        shape: Shape::Section(last),
    };
    let shown = yaml::flow(&masked(&last));
    section.note("header", Form::Flow, shown, &yaml::flow(&last));
    Ok(headers)
}

fn header(
    section: &mut Section<'_>,
    entry: &Entry,
    headers: &mut HeaderMap,
) -> Result<(), ConfigError> {
    let Entry { name, value, .. } = entry;
    if OUR_HEADERS
        .iter()
        .any(|ours| ours.eq_ignore_ascii_case(name))
    {
        let words = format!("{name} follows from the request itself; take it out");
        return section.object(section.ill("header", words));
    }
    let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(section.ill("header", format!("{name:?} is not the name of a header")));
    };
    let values = match &value.shape {
        Shape::Text(_) => std::slice::from_ref(value),
        Shape::Null | Shape::List(_) | Shape::Section(_) => {
            value.list().map_err(|_not_a_list| {
                section.ill(
                    "header",
                    format!("{name}: a value or a list of them belongs here"),
                )
            })?
        }
    };
    for value in values {
        let sent = value.text().ok().map(str::as_bytes);
        let sent = sent.and_then(|bytes| HeaderValue::from_bytes(bytes).ok());
        let Some(mut sent) = sent else {
            let words = format!("{name} has a value that cannot be sent");
            return Err(section.ill("header", words));
        };
        sent.set_sensitive(true);
        if headers.len() >= MOST_HEADERS || headers.try_append(&known, sent).is_err() {
            let words = format!("more than {MOST_HEADERS} values");
            return Err(section.ill("header", words));
        }
    }
    Ok(())
}

/// The same names with nothing to be seen behind them.
fn masked(node: &Node) -> Node {
    let shape = match &node.shape {
        Shape::Null => Shape::Null,
        Shape::Text(_) => Shape::Text(MASK.to_owned()),
        Shape::List(items) => Shape::List(items.iter().map(masked).collect()),
        Shape::Section(entries) => Shape::Section(
            entries
                .iter()
                .map(|entry| Entry {
                    value: masked(&entry.value),
                    ..entry.clone()
                })
                .collect(),
        ),
    };
    Node {
        line: node.line,
        shape,
    }
}
