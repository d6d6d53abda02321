//! No secret is ever shown: not in what holds, not in what is warned of, not in what is refused, not by `{:?}`.

use super::{Config, Place, loaded};

/// A file with a secret in every place that can hold one.
const FULL: &str = "
outbound: { proxy: 'http://hunter2:hunter2@proxy:1' }
keyspaces:
  web:
    ttl: 1h
    source:
      http:
        endpoint: 'https://hunter2:hunter2@h/{key}?a=hunter2&b=x{key}hunter2&hunter2#hunter2'
        header: { X-A: hunter2, X-B: [hunter2, hunter2], Cookie: hunter2 }
        body: 'password=hunter2'
  other:
    source: { http: { endpoint: 'http://h/{key}', auth: { user: u, password: hunter2 } } }
  token:
    source: { http: { endpoint: 'http://h/{key}', auth: { user: hunter2 } } }
  base:
    source: { sql: { url: 'postgres://u:hunter2@h/hunter2?hunter2', query: SELECT $1 } }
  file:
    source: { sql: { url: 'sqlite:hunter2.db', query: SELECT $1 } }
  hook:
    sink:
      http: { endpoint: 'https://u:hunter2@h/hook?name=hunter2', header: { Authorised: hunter2 } }
      mode: upsert
  table:
    sink:
      sql: { url: 'mysql://u:hunter2@h/d', table: t, key_column: k, value_column: v }
      mode: increment
  plant:
    mirror: { standpipe: { endpoint: 'http://h', token: hunter2 } }
sources:
  good:
    http: { endpoint: 'http://h?hunter2', header: { A: hunter2 }, auth: { user: u, password: hunter2 }, body: hunter2 }
  unknown:
    http: { endpoint: 'http://u:hunter2@h', header: { A: hunter2, A: hunter2 }, pasword: hunter2 }
  both:
    http: { endpoint: 'http://u:hunter2@h', header: { Authorization: hunter2, Connection: hunter2 }, auth: { password: hunter2 } }
  broken:
    http: { endpoint: 'http://u:hunter2@h', header: { A: \"hunter2\\n\" } }
";

/// Everything that is shown of a configuration, to people and to programs.
fn everything(config: &Config) -> String {
    let settings = config
        .effective()
        .map(|(path, given)| format!("{path}: {} {}", given.yaml(), given.words()));
    let settings: Vec<String> = settings.collect();
    format!(
        "{config:#?}\n{}\n{}",
        settings.join("\n"),
        config.warnings.join("\n")
    )
}

/// The lines that show a secret.
fn leaks(shown: &str) -> Vec<&str> {
    let lines = shown.lines();
    lines.filter(|line| line.contains("hunter2")).collect()
}

/// The file around each of its secrets.
fn around_secrets() -> Vec<(String, String)> {
    let places = FULL.match_indices("hunter2");
    places
        .map(|(at, secret)| {
            let (head, rest) = FULL.split_at(at);
            let tail = rest.strip_prefix(secret).unwrap();
            (head.to_owned(), tail.to_owned())
        })
        .collect()
}

#[test]
fn no_secret_is_shown_of_what_holds() {
    let config = loaded(FULL);
    assert_eq!(config.server.sinks.len() + config.server.through.len(), 7);
    let shown = everything(&config);
    assert_eq!(leaks(&shown), Vec::<&str>::new());
    assert!(shown.contains("***"));
}

#[test]
fn a_changed_secret_is_a_changed_setting() {
    let words = |text: &str| -> Vec<(String, String)> {
        let config = loaded(text);
        let all = config.effective();
        all.map(|(path, given)| (path.to_string(), given.words()))
            .collect()
    };
    let before = words(FULL);
    assert_eq!(before, words(FULL));
    let mut changed = 0;
    for (head, tail) in around_secrets() {
        let text = format!("{head}hunter3{tail}");
        // A fragment is never sent, and a name that a source does not have is left out.
        let nothing =
            head.ends_with('#') || head.ends_with("pasword: ") || head.ends_with("header: { A: ");
        let differs = words(&text) != before;
        assert!(differs || nothing, "{text}");
        changed += usize::from(differs);
    }
    assert!(changed > 25, "{changed}");
}

#[test]
fn no_secret_is_shown_of_what_is_refused() {
    // Each word of the file in turn is one that cannot stand there, and each line in turn is cut short.
    let mut refused = 0;
    let mut check = |text: &str| {
        let place = Place::new().with_file("file.yml", text);
        let shown = match place.load() {
            Ok(config) => everything(&config),
            Err(refusal) => {
                refused += 1;
                refusal
            }
        };
        assert_eq!(leaks(&shown), Vec::<&str>::new(), "{text}");
    };
    for wrong in [
        "/", "?", "#", "\\", "é", "://", "[]", "\"", "'", "!x ", "&a ", "*a ", "{", "]", "\t", "%",
        "\u{1}",
    ] {
        for (head, tail) in around_secrets() {
            check(&format!("{head}{wrong}hunter2{tail}"));
            check(&format!("{head}hunter2{wrong}{tail}"));
        }
    }
    for (at, _) in FULL.match_indices(['\n', ',']) {
        let (head, _) = FULL.split_at(at);
        check(head);
    }
    assert!(refused > 100, "{refused}");
}
