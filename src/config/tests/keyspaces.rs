//! Keyspaces that a file defines, and what of them is refused.

use std::time::Duration;

use super::{Place, origin, shown};
use crate::server::{Durability, Eviction, Policy};

#[test]
fn a_policy_is_whole() {
    let text = "
keyspaces:
  users:
    ttl: 10m
    max_bytes: 64MiB
    eviction: none
    durability: memory
    client_max_age: 5s
  views: { durability: written, max_bytes: 1000 }
  plain:
  default: { ttl: none, max_bytes: unlimited, client_max_age: none }
";
    let config = Place::new().with_file("file.yml", text).load().unwrap();
    let users = Policy {
        ttl: Some(Duration::from_mins(10)),
        max_bytes: Some(64 << 20),
        eviction: Eviction::None,
        durability: Durability::Memory,
        client_max_age: Some(Duration::from_secs(5)),
        ..Policy::default()
    };
    let views = Policy {
        durability: Durability::Written,
        max_bytes: Some(1000),
        ..Policy::default()
    };
    let expected = [
        ("default", Policy::default()),
        ("plain", Policy::default()),
        ("users", users),
        ("views", views),
    ];
    let expected = expected.map(|(name, policy)| (name.to_owned(), policy));
    assert_eq!(config.server.keyspaces, expected);
}

#[test]
fn every_property_of_a_named_keyspace_is_shown_with_its_origin() {
    let text = "keyspaces:\n  b: { ttl: 1s }\n  a:\n    durability: written\n";
    let place = Place::new().with_file("file.yml", text);
    let config = place.load().unwrap();
    let expected = [
        "keyspaces.a.ttl=none",
        "keyspaces.a.max_bytes=unlimited",
        "keyspaces.a.eviction=sieve",
        "keyspaces.a.durability=written",
        "keyspaces.a.client_max_age=none",
        "keyspaces.b.ttl=1s",
        "keyspaces.b.max_bytes=unlimited",
        "keyspaces.b.eviction=sieve",
        "keyspaces.b.durability=synced",
        "keyspaces.b.client_max_age=none",
    ];
    assert_eq!(shown(&config, "keyspaces."), expected);
    let file = place.path("file.yml").display().to_string();
    assert_eq!(
        origin(&config, "keyspaces.a.durability"),
        format!("{file}:4")
    );
    assert_eq!(origin(&config, "keyspaces.a.ttl"), "default");
}

#[test]
fn a_higher_file_s_entry_covers_a_lower_one_as_a_whole() {
    let place = Place::new()
        .with_file(
            "image.yml",
            "keyspaces:\n  a: { ttl: 1s }\n  b: { ttl: 2s }\n",
        )
        .with_file("file.yml", "keyspaces:\n  a: { durability: written }\n");
    let ttls: Vec<_> = place
        .load()
        .unwrap()
        .server
        .keyspaces
        .into_iter()
        .map(|(name, policy)| (name, policy.ttl))
        .collect();
    assert_eq!(
        ttls,
        [
            ("a".to_owned(), None),
            ("b".to_owned(), Some(Duration::from_secs(2)))
        ]
    );
}

#[test]
fn what_is_wrong_with_a_keyspace_is_said_with_its_line() {
    let long = "x".repeat(65);
    let not_a_name = "is not a name for a keyspace: it is 1 to 64 of a-z 0-9 _ -";
    let cases = [
        (
            "keyspaces:\n  Users:\n    ttl: 1s\n".to_owned(),
            format!("file.yml:2: keyspaces: \"Users\" {not_a_name}"),
        ),
        (
            format!("keyspaces:\n  {long}: {{}}\n"),
            format!("file.yml:2: keyspaces: \"{long}\" {not_a_name}"),
        ),
        (
            "keyspaces:\n  '': {}\n".to_owned(),
            format!("file.yml:2: keyspaces: \"\" {not_a_name}"),
        ),
        (
            "keyspaces:\n  a: {}\n  b: {}\n  a: {}\n".to_owned(),
            "file.yml:4: keyspaces.a is set twice; keep one of the two".to_owned(),
        ),
        (
            "keyspaces:\n  a:\n    max_byte: 1\n".to_owned(),
            "file.yml:3: keyspaces.a.max_byte is not a setting; did you mean keyspaces.a.max_bytes? \
             (`standpipe check` prints all of them)"
                .to_owned(),
        ),
        (
            "keyspaces:\n  a:\n    ttl: 0s\n".to_owned(),
            "file.yml:3: keyspaces.a.ttl: \"0s\" is out of range: from 1ms to 36525d, or none".to_owned(),
        ),
        (
            "keyspaces:\n  a:\n    ttl: 36526d\n".to_owned(),
            "file.yml:3: keyspaces.a.ttl: \"36526d\" is out of range: from 1ms to 36525d, or none".to_owned(),
        ),
        (
            "keyspaces:\n  a: { client_max_age: 1ms }\n".to_owned(),
            "file.yml:2: keyspaces.a.client_max_age: \"1ms\" is out of range: from 1s to 36525d, or none"
                .to_owned(),
        ),
        (
            "keyspaces:\n  a: { max_bytes: 64mb }\n".to_owned(),
            "file.yml:2: keyspaces.a.max_bytes: \"64mb\" is not a size; write it like 64MiB, 16MB or 4096".to_owned(),
        ),
        (
            "keyspaces:\n  a: { max_bytes: 0 }\n".to_owned(),
            "file.yml:2: keyspaces.a.max_bytes: \"0\" is out of range: from 1 to 1125899906842624, or unlimited"
                .to_owned(),
        ),
        (
            "keyspaces:\n  a: { eviction: lru }\n".to_owned(),
            "file.yml:2: keyspaces.a.eviction: \"lru\" is not known; it can be sieve, none".to_owned(),
        ),
        (
            "keyspaces: [a]\n".to_owned(),
            "file.yml:1: keyspaces: a section belongs here: lines of `name: value`".to_owned(),
        ),
        (
            "keyspaces:\n  a: 5\n".to_owned(),
            "file.yml:2: keyspaces.a: a section belongs here: lines of `name: value`".to_owned(),
        ),
        (
            "limits: { keyspaces: 2 }\nkeyspaces:\n  a: {}\n  b: {}\n".to_owned(),
            "file.yml:4: keyspaces: \"b\" is one more than limits.keyspaces, 2, which counts default too".to_owned(),
        ),
    ];
    for (text, expected) in cases {
        let place = Place::new().with_file("file.yml", &text);
        assert_eq!(place.load().expect_err(&text), expected, "{text}");
    }
}

#[test]
fn as_many_keyspaces_as_the_limit_may_be_defined() {
    for text in [
        "limits: { keyspaces: 2 }\nkeyspaces: { default: {}, b: {} }\n",
        "limits: { keyspaces: 2 }\nkeyspaces: { b: {} }\n",
    ] {
        Place::new().with_file("file.yml", text).load().expect(text);
    }
}
