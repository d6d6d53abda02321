//! What the documents show is true: the comments of the default file, and every example.

use super::{Config, DEFAULTS, Place, loaded};
use crate::config::yaml::{self, Entry, Node, Shape};
use crate::outbound::Method;
use crate::pump::Supply;

/// A part of the default file that stands in comments, as the YAML that it is.
fn commented(name: &str) -> String {
    let start = format!("# {name}:\n");
    let (_, rest) = DEFAULTS.split_once(&start).expect(name);
    let lines = rest.lines().map_while(|line| line.strip_prefix('#'));
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(""))
        .collect();
    format!("{name}:\n{}\n", lines.join("\n"))
}

/// The same tree without the entries at these paths.
fn without(node: &Node, path: &str, removed: &[String]) -> Node {
    let shape = match &node.shape {
        Shape::Section(entries) => Shape::Section(
            entries
                .iter()
                .map(|entry| (format!("{path}{}", entry.name), entry))
                .filter(|(path, _)| !removed.contains(path))
                .map(|(path, entry)| Entry {
                    value: without(&entry.value, &format!("{path}."), removed),
                    ..entry.clone()
                })
                .collect(),
        ),
        Shape::Null | Shape::Text(_) | Shape::List(_) => node.shape.clone(),
    };
    let line = node.line;
    Node { line, shape }
}

/// Whether there is something at a path.
fn holds(node: &Node, path: &str) -> bool {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let found = node
        .section()
        .unwrap()
        .iter()
        .find(|entry| entry.name == name);
    found.is_some_and(|entry| rest.is_empty() || holds(&entry.value, rest))
}

/// Every setting of a section; an empty text, which stands for nothing, is not shown where it was not said.
fn settings(config: &Config, section: &str) -> Vec<(String, String)> {
    config
        .effective()
        .map(|(path, given)| (path.to_string(), given.text.clone()))
        .filter(|(path, text)| path.starts_with(section) && !text.is_empty())
        .collect()
}

/// Loads what the default file shows, less some of its alternatives, and again less what can be left out: it has to mean
/// the same.
fn assert_defaults(section: &str, alternatives: &[&str], below: &str, optional: &[&str]) {
    let tree = yaml::read(&commented(section)).expect(section);
    for path in alternatives {
        assert!(holds(&tree, path), "{path}");
    }
    let mut removed: Vec<String> = alternatives.iter().map(|&path| path.to_owned()).collect();
    let whole = loaded(&yaml::flow(&without(&tree, "", &removed)));
    for name in optional {
        let path = format!("{below}.{name}");
        assert!(holds(&tree, &path), "{path}");
        removed.push(path);
    }
    let least = loaded(&yaml::flow(&without(&tree, "", &removed)));
    assert_eq!(whole.warnings, Vec::<String>::new());
    assert_eq!(settings(&whole, section), settings(&least, section));
    assert_ne!(
        format!("{:?}", whole.effective),
        format!("{:?}", least.effective)
    );
}

#[test]
fn the_default_file_shows_the_defaults_of_policies() {
    let moving = [
        "keyspaces.users.source",
        "keyspaces.users.sink",
        "keyspaces.plant",
    ];
    let all = [
        "ttl",
        "max_bytes",
        "eviction",
        "durability",
        "client_max_age",
    ];
    assert_defaults("keyspaces", &moving, "keyspaces.users", &all);
}

#[test]
fn the_default_file_shows_the_defaults_of_sources() {
    let optional = [
        "timeout",
        "max_bytes",
        "honour_source",
        "negative_ttl",
        "negative_keys",
        "stale_while_revalidate",
        "stale_if_error",
        "max_concurrency",
        "rate_limit.burst",
        "circuit_breaker.failures",
        "circuit_breaker.reset",
        "refresh_ahead",
        "http.method",
        "http.body",
        "http.ca",
        "file.path",
        "sql.content_type",
    ];
    let source = "keyspaces.users.source";
    for others in [["file", "sql"], ["http", "sql"], ["http", "file"]] {
        let [one, two] = others.map(|other| format!("{source}.{other}"));
        let removed = [&one, &two, "keyspaces.users.sink", "keyspaces.plant"];
        assert_defaults("keyspaces", &removed, source, &optional);
    }
}

#[test]
fn the_default_file_shows_the_defaults_of_sinks() {
    let optional = [
        "every",
        "timeout",
        "batch",
        "max_pending",
        "max_dead",
        "backoff_min",
        "backoff_max",
    ];
    let sink = "keyspaces.users.sink";
    for other in ["sql", "http"] {
        let other = format!("{sink}.{other}");
        // What is shown of deletes belongs to the other mode.
        let deletes = format!("{sink}.deletes");
        let removed = [
            &other,
            &deletes,
            "keyspaces.users.source",
            "keyspaces.plant",
        ];
        assert_defaults("keyspaces", &removed, sink, &optional);
    }
}

#[test]
fn the_default_file_shows_the_defaults_of_mirrors() {
    let optional = [
        "standpipe.keyspace",
        "standpipe.prefix",
        "standpipe.ca",
        "smartcore.service",
        "smartcore.poll_interval",
        "smartcore.ca",
        "backoff_min",
        "backoff_max",
        "on_delete",
        "max_bytes",
    ];
    let mirror = "keyspaces.plant.mirror";
    for other in ["standpipe", "smartcore"] {
        let other = format!("{mirror}.{other}");
        assert_defaults("keyspaces", &["keyspaces.users", &other], mirror, &optional);
    }
}

#[test]
fn the_default_file_shows_the_defaults_of_scheduled_sources() {
    let optional = ["rule", "keyspace", "timeout", "max_bytes", "jitter"];
    let source = "sources.hello";
    for others in [["http", "file"], ["static", "file"], ["static", "http"]] {
        let [one, two] = others.map(|other| format!("{source}.{other}"));
        assert_defaults("sources", &[&one, &two], source, &optional);
    }
}

/// Loads an example, which has to be without a fault.
fn example(text: &str) -> Config {
    let config = Place::new().with_file("file.yml", text).load().unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    config
}

#[test]
fn the_example_of_cachepump_is_what_its_readme_shows() {
    let config = example(include_str!("../../../examples/cachepump.yml"));
    let sources = &config.server.sources.scheduled;
    let supplies: Vec<_> = sources
        .iter()
        .map(|source| (source.name.as_str(), &source.task.as_ref().unwrap().supply))
        .collect();
    let [
        ("count", Supply::Http(http)),
        ("hello", Supply::Static(hello)),
        ("report", Supply::File(_)),
    ] = supplies.as_slice()
    else {
        panic!("{supplies:?}");
    };
    assert_eq!(hello, "{\"data\":\"Hello world!\"}");
    assert_eq!((http.auth.is_some(), &http.method), (true, &Method::POST));
    let body = "SELECT count() AS count FROM system.numbers LIMIT 10\n";
    assert_eq!(http.body.as_deref(), Some(body));
}

#[test]
fn the_other_examples_load() {
    let through = example(include_str!("../../../examples/read-through.yml"));
    assert_eq!(through.server.through.len(), 3);
    let sink = example(include_str!("../../../examples/sink.yml"));
    assert_eq!(sink.server.sinks.len(), 2);
    let mirror = example(include_str!("../../../examples/mirror.yml"));
    assert_eq!(mirror.server.mirrors.len(), 2);
}
