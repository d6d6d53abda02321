//! Keyspaces that follow somebody else, and what of them is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::{assert_refused, loaded, shown};
use crate::mirror::{OnDelete, Options, Service, SmartCore, Standpipe, Upstream};
use crate::outbound::Secret;
use crate::server::Durability;

/// Refuses each mirror of the keyspace `a` with a sentence about it.
fn assert_mirrors_refused(cases: &[(&str, &str)]) {
    for (mirror, expected) in cases {
        let text = format!("keyspaces:\n  a:\n    mirror: {mirror}\n");
        let expected = format!("file.yml:3: keyspaces.a.mirror{expected}");
        assert_refused(&[(&text, &expected)]);
    }
}

#[test]
fn another_standpipe_is_followed() {
    let config = loaded(
        "
keyspaces:
  plain: { mirror: { standpipe: { endpoint: 'http://h' } } }
  whole:
    mirror:
      standpipe: { endpoint: 'https://h:8080/', keyspace: flags, prefix: a/, token_file: /run/token, ca: ours.pem }
      backoff_min: 1s
      backoff_max: 1s
      on_delete: keep
      max_bytes: 1KiB
      unstored_bytes: 1MiB
",
    );
    let plain = Options {
        upstream: Upstream::Standpipe(Standpipe {
            endpoint: "http://h".to_owned(),
            keyspace: "default".to_owned(),
            prefix: String::new(),
            token: None,
            ca: None,
        }),
        backoff_min: Duration::from_secs(10),
        backoff_max: Duration::from_mins(5),
        on_delete: OnDelete::Remove,
        max_bytes: 16 << 20,
        unstored_bytes: 64 << 20,
    };
    let whole = Options {
        upstream: Upstream::Standpipe(Standpipe {
            endpoint: "https://h:8080".to_owned(),
            keyspace: "flags".to_owned(),
            prefix: "a/".to_owned(),
            token: Some(Secret::File(PathBuf::from("/run/token"))),
            ca: Some(PathBuf::from("ours.pem")),
        }),
        backoff_min: Duration::from_secs(1),
        backoff_max: Duration::from_secs(1),
        on_delete: OnDelete::Keep,
        max_bytes: 1 << 10,
        unstored_bytes: 1 << 20,
    };
    assert_eq!(config.server.mirrors["plain"], plain);
    assert_eq!(config.server.mirrors["whole"], whole);
    for (name, policy) in &config.server.keyspaces {
        assert_eq!(policy.durability, Durability::Written, "{name}");
    }
}

#[test]
fn publications_are_followed() {
    let config = loaded(
        "
keyspaces:
  plant:
    mirror:
      smartcore: { endpoint: 'http://127.0.0.1:23557', device: d, publications: ['a:config', b] }
  other:
    ttl: none
    max_bytes: unlimited
    mirror:
      smartcore:
        endpoint: https://h
        device: d
        publications: [a]
        service: smartcore.bos.publication.v1.PublicationApi
        poll_interval: 1m
        ca: ours.pem
",
    );
    let Upstream::SmartCore(plant) = &config.server.mirrors["plant"].upstream else {
        panic!("{config:?}");
    };
    let expected = SmartCore {
        endpoint: "http://127.0.0.1:23557".to_owned(),
        device: "d".to_owned(),
        publications: vec!["a:config".to_owned(), "b".to_owned()],
        service: Service::Any,
        poll_interval: Duration::from_mins(5),
        ca: None,
    };
    assert_eq!(*plant, expected);
    let Upstream::SmartCore(other) = &config.server.mirrors["other"].upstream else {
        panic!("{config:?}");
    };
    assert_eq!(
        (other.service, other.poll_interval, other.ca.as_ref()),
        (
            Service::Bos,
            Duration::from_mins(1),
            Some(&PathBuf::from("ours.pem"))
        )
    );
    assert!(
        shown(&config, "keyspaces.plant.mirror.smartcore.publications")[0]
            .ends_with("=['a:config', 'b']")
    );
}

#[test]
fn a_mirror_is_alone_in_its_keyspace() {
    let mirror = "mirror: { standpipe: { endpoint: 'http://h' } }";
    let alone = "a keyspace with a mirror holds what its upstream does; take this out";
    for (other, name) in [
        ("source: { file: { root: x } }", "source"),
        (
            "sink: { http: { endpoint: 'http://h' }, mode: upsert }",
            "sink",
        ),
        ("ttl: 1s", "ttl"),
        ("max_bytes: 1MiB", "max_bytes"),
    ] {
        let text = format!("keyspaces:\n  a:\n    {mirror}\n    {other}\n");
        assert_refused(&[(&text, &format!("file.yml:4: keyspaces.a.{name}: {alone}"))]);
    }
}

#[test]
fn what_is_wrong_with_a_mirror_is_said_with_its_line() {
    assert_mirrors_refused(&[
        ("{}", ": one of these belongs here: standpipe, smartcore"),
        (
            "{ standpipe: { endpoint: 'http://h' }, smartcore: {} }",
            ".smartcore: standpipe is set as well; keep one of the two",
        ),
        ("{ standpipe: {} }", ".standpipe: endpoint is missing"),
        (
            "{ standpipe: { endpoint: 'http://h/base' } }",
            ".standpipe.endpoint: \"http://h/base\" has a path: it is scheme, host and port, nothing else",
        ),
        (
            "{ standpipe: { endpoint: 'http://h?x=hunter2' } }",
            ".standpipe.endpoint: \"http://h?x=***\" has a path: it is scheme, host and port, nothing else",
        ),
        (
            "{ standpipe: { endpoint: 'http://u:hunter2@h' } }",
            ".standpipe.endpoint: \"http://***@h\" has a user or a password in it, which this upstream does not take",
        ),
        (
            "{ standpipe: { endpoint: 'http://{key}' } }",
            ".standpipe.endpoint: \"http://{key}\" has {key} in it, but there is no key that it could stand for",
        ),
        (
            "{ standpipe: { endpoint: 'http://h', keyspace: A } }",
            ".standpipe.keyspace: \"A\" is not a name for a keyspace: it is 1 to 64 of a-z 0-9 _ -",
        ),
        (
            "{ standpipe: { endpoint: 'http://h', token: 'hunter 2' } }",
            ".standpipe.token: \"***\" is not a token: `standpipe token` makes one",
        ),
        (
            "{ standpipe: { endpoint: 'http://h', token: hunter2, token_file: x } }",
            ".standpipe.token_file: token is set as well; keep one of the two",
        ),
        (
            "{ standpipe: { endpoint: 'http://h' }, backoff_min: 2s, backoff_max: 1s }",
            ".backoff_max: it is less than backoff_min",
        ),
        (
            "{ standpipe: { endpoint: 'http://h' }, on_delete: drop }",
            ".on_delete: \"drop\" is not known; it can be remove, keep",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_publications_is_said_with_its_line() {
    let many: Vec<String> = (0..1001).map(|number| number.to_string()).collect();
    let many = format!(
        "{{ smartcore: {{ endpoint: 'http://h', device: d, publications: [{}] }} }}",
        many.join(", ")
    );
    let long = "x".repeat(1025);
    let long_id =
        format!("{{ smartcore: {{ endpoint: 'http://h', device: d, publications: [{long}] }} }}");
    let too_long =
        format!(".smartcore.publications: \"{long}\" cannot be a key: that is 1 to 1024 bytes");
    assert_mirrors_refused(&[
        (
            "{ smartcore: { endpoint: 'http://h', publications: [a] } }",
            ".smartcore: device is missing",
        ),
        (
            "{ smartcore: { endpoint: 'http://h', device: d } }",
            ".smartcore: publications is missing",
        ),
        (
            "{ smartcore: { endpoint: 'http://h', device: d, publications: [] } }",
            ".smartcore.publications: there are 0 of them; there can be 1 to 1000",
        ),
        (
            many.as_str(),
            ".smartcore.publications: there are 1001 of them; there can be 1 to 1000",
        ),
        (long_id.as_str(), too_long.as_str()),
        (
            "{ smartcore: { endpoint: 'http://h', device: d, publications: [a, a] } }",
            ".smartcore.publications: \"a\" stands there twice",
        ),
        (
            "{ smartcore: { endpoint: 'http://h', device: d, publications: a } }",
            ".smartcore.publications: a list belongs here: [one, two]",
        ),
        (
            "{ smartcore: { endpoint: 'http://h', device: d, publications: [a], service: bos } }",
            ".smartcore.service: \"bos\" is not known; it can be any, smartcore.traits.PublicationApi, \
             smartcore.bos.publication.v1.PublicationApi",
        ),
    ]);
}

#[test]
fn a_thousand_publications_can_be_followed() {
    let ids: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let ids = ids.join(", ");
    let config = loaded(&format!(
        "keyspaces: {{ a: {{ mirror: {{ smartcore: {{ endpoint: 'http://h', device: d, publications: [{ids}] }} }} }} }}\n"
    ));
    assert_eq!(config.server.mirrors.len(), 1);
}
