//! `keyspaces.*.mirror`: what a keyspace follows. It must not know how anything is followed.

use std::collections::BTreeSet;

use super::super::error::ConfigError;
use super::super::given::Form;
use super::super::secrets;
use super::super::section::Section;
use super::super::value;
use super::super::yaml;
use super::web::{self, Key};
use super::{Bounds, backoff};
use crate::mirror::{OnDelete, Options, Service, SmartCore, Standpipe, Upstream};
use crate::outbound::HeaderValue;
use crate::server::is_keyspace_name;

/// Who can be followed, and what a file can say about each.
const UPSTREAMS: &[(&str, &[&str])] = &[
    (
        "standpipe",
        &[
            "endpoint",
            "keyspace",
            "prefix",
            "token",
            "token_file",
            "ca",
        ],
    ),
    (
        "smartcore",
        &[
            "endpoint",
            "device",
            "publications",
            "service",
            "poll_interval",
            "ca",
        ],
    ),
];

/// What a file can say about a mirror.
const MIRROR: &[&str] = &[
    "standpipe",
    "smartcore",
    "backoff_min",
    "backoff_max",
    "on_delete",
    "max_bytes",
    "unstored_bytes",
];

/// The words of a service.
const SERVICES: &[(&str, Service)] = &[
    ("any", Service::Any),
    ("smartcore.traits.PublicationApi", Service::Traits),
    ("smartcore.bos.publication.v1.PublicationApi", Service::Bos),
];

/// The most publications that one keyspace follows: each is a stream of its own.
const MOST_PUBLICATIONS: usize = 1_000;

/// Reads what a keyspace follows, where it follows anything.
pub(in crate::config) fn mirror(
    keyspace: &mut Section<'_>,
    bounds: &Bounds<'_>,
) -> Result<Option<Options>, ConfigError> {
    let Some(mut mirror) = keyspace.section("mirror", MIRROR)? else {
        return Ok(None);
    };
    let mirror = &mut mirror;
    let upstream = match mirror.one_of(UPSTREAMS)? {
        ("standpipe", mut upstream) => Upstream::Standpipe(standpipe(&mut upstream)?),
        (_, mut upstream) => Upstream::SmartCore(smart_core(&mut upstream, bounds)?),
    };
    let (backoff_min, backoff_max) = backoff(mirror, "10s", "5m")?;
    let on_delete = [("remove", OnDelete::Remove), ("keep", OnDelete::Keep)];
    Ok(Some(Options {
        upstream,
        backoff_min,
        backoff_max,
        on_delete: mirror.or("on_delete", "remove", |text| value::word(text, &on_delete))?,
        max_bytes: bounds.max_bytes(mirror)?,
        unstored_bytes: mirror.or("unstored_bytes", "64MiB", |text| {
            usize::try_from(value::bytes(text)?).map_err(|_too_large| "is too large".to_owned())
        })?,
    }))
}

fn standpipe(section: &mut Section<'_>) -> Result<Standpipe, ConfigError> {
    Ok(Standpipe {
        endpoint: section.needed("endpoint", secrets::address, server)?,
        keyspace: section.or("keyspace", "default", |text| {
            if is_keyspace_name(text) {
                Ok(text.to_owned())
            } else {
                Err(value::NOT_A_KEYSPACE.to_owned())
            }
        })?,
        prefix: section.or("prefix", "", |text| Ok(text.to_owned()))?,
        token: section.secret("token", "token_file", secrets::whole, |text| {
            let plain = |c: char| c.is_ascii_graphic();
            if text.chars().all(plain) && HeaderValue::from_str(text).is_ok() {
                Ok(())
            } else {
                Err("is not a token: `standpipe token` makes one".to_owned())
            }
        })?,
        ca: section.file("ca")?,
    })
}

fn smart_core(section: &mut Section<'_>, bounds: &Bounds<'_>) -> Result<SmartCore, ConfigError> {
    Ok(SmartCore {
        endpoint: section.needed("endpoint", secrets::address, server)?,
        device: section.needed("device", secrets::open, |text| Ok(text.to_owned()))?,
        publications: publications(section, bounds.limits.key_bytes)?,
        service: section.or("service", "any", |text| value::word(text, SERVICES))?,
        poll_interval: section.or("poll_interval", "5m", value::patience)?,
        ca: section.file("ca")?,
    })
}

/// Scheme, host and port; nothing that would be left out in silence.
fn server(text: &str) -> Result<String, String> {
    let (endpoint, auth) = web::address(text, Key::Refused)?;
    if auth.is_some() {
        return Err("has a user or a password in it, which this upstream does not take".to_owned());
    }
    let plain = endpoint.strip_suffix('/').unwrap_or(&endpoint);
    let authority = plain.get(secrets::authority_start(plain)..);
    if authority.is_none_or(|authority| authority.contains(['/', '?'])) || text.contains('#') {
        return Err("has a path: it is scheme, host and port, nothing else".to_owned());
    }
    Ok(plain.to_owned())
}

/// Their ids are keys here.
fn publications(section: &mut Section<'_>, key_bytes: usize) -> Result<Vec<String>, ConfigError> {
    let name = "publications";
    let Some(node) = section.value(name) else {
        return Err(section.whole("publications is missing"));
    };
    let items = node.list().map_err(|words| section.ill(name, words))?;
    let mut known = BTreeSet::new();
    let mut ids = Vec::with_capacity(items.len());
    for item in items {
        let id = item.text().map_err(|words| section.ill(name, words))?;
        if id.is_empty() || id.len() > key_bytes {
            let words = format!("{id:?} cannot be a key: that is 1 to {key_bytes} bytes");
            return Err(section.ill(name, words));
        }
        if !known.insert(id) {
            return Err(section.ill(name, format!("{id:?} stands there twice")));
        }
        ids.push(id.to_owned());
    }
    if ids.is_empty() || ids.len() > MOST_PUBLICATIONS {
        let words = format!(
            "there are {} of them; there can be 1 to {MOST_PUBLICATIONS}",
            ids.len()
        );
        return Err(section.ill(name, words));
    }
    let shown = yaml::flow(node);
    section.note(name, Form::Flow, shown.clone(), &shown);
    Ok(ids)
}
