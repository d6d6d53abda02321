//! Scheduled sources: each is read for itself, and cachepump's files are files.

use std::path::PathBuf;
use std::time::Duration;

use super::{Config, Place, assert_refused, loaded, shown};
use crate::outbound::{Auth, Method, Secret};
use crate::pump::{Supply, Task};
use crate::source::{FileOptions, HttpOptions};

/// Each source by its name, or what is wrong with it.
fn scheduled(config: &Config) -> Vec<(&str, Result<&Task, &str>)> {
    let all = config.server.sources.scheduled.iter();
    all.map(|source| {
        let task = source.task.as_ref().map_err(String::as_str);
        (source.name.as_str(), task)
    })
    .collect()
}

/// What a file with the one source `a`, whose parts are these, means. The parts begin in line 3.
fn source(parts: &str) -> Config {
    loaded(&format!("sources:\n  a:\n    {parts}\n"))
}

/// The one source of a file.
fn task(config: &Config) -> &Task {
    scheduled(config)[0].1.expect("a valid source")
}

fn request(config: &Config) -> &HttpOptions {
    match &task(config).supply {
        Supply::Http(request) => request,
        Supply::Static(_) | Supply::File(_) => panic!("{config:?}"),
    }
}

/// The warnings without the directory of the file.
fn warnings(config: &Config) -> Vec<String> {
    let file = config.file.as_ref().unwrap();
    let directory = format!("{}/", file.parent().unwrap().display());
    let warnings = config.warnings.iter();
    warnings
        .map(|warning| warning.replace(&directory, ""))
        .collect()
}

/// As cachepump's users write it: everything that it knows, some of it left empty.
const CACHEPUMP: &str = "version: 1.0
sources:
  hello:
    rule: '* * * * * *'
    static:
      value: '{\"data\":\"Hello world!\"}'
  'a key/with .dots and é':
    rule:
    static: { value: 007 }
    http: { endpoint: '', method: '', header: , auth: , body: '' }
    file: { path: '' }
  count:
    rule: ''
    http:
      endpoint: http://127.0.0.1:8123
      method: POST
      header:
        X-A: [one, two]
        X-B: three
        x-c: 4
      auth: { user: admin, password: 123 }
      body: >
        SELECT count()
        FROM t
  on: { file: { path: report.csv } }
";

#[test]
fn a_file_of_cachepump_is_a_file() {
    let config = loaded(CACHEPUMP);
    assert_eq!(config.warnings, Vec::<String>::new());
    let tasks = scheduled(&config);
    let names: Vec<&str> = tasks.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["a key/with .dots and é", "count", "hello", "on"]);
    let usual = Task {
        keyspace: "default".to_owned(),
        rule: "0 0 * * * *".to_owned(),
        supply: Supply::Static("007".to_owned()),
        timeout: Duration::from_secs(10),
        max_bytes: 16 << 20,
        jitter: Duration::ZERO,
    };
    assert_eq!(tasks[0].1, Ok(&usual));
    let hello = Task {
        rule: "* * * * * *".to_owned(),
        supply: Supply::Static("{\"data\":\"Hello world!\"}".to_owned()),
        ..usual.clone()
    };
    assert_eq!(tasks[2].1, Ok(&hello));
    let report = Task {
        supply: Supply::File(FileOptions {
            path: PathBuf::from("report.csv"),
        }),
        ..usual
    };
    assert_eq!(tasks[3].1, Ok(&report));
    let Supply::Http(http) = &tasks[1].1.unwrap().supply else {
        panic!("{tasks:?}");
    };
    assert_eq!(
        (http.endpoint.as_str(), &http.method),
        ("http://127.0.0.1:8123", &Method::POST)
    );
    let sent: Vec<_> = http
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(sent, ["x-a: one", "x-a: two", "x-b: three", "x-c: 4"]);
    let auth = Auth {
        user: "admin".to_owned(),
        password: Secret::Given("123".into()),
    };
    assert_eq!(http.auth, Some(auth));
    assert_eq!(http.body.as_deref(), Some("SELECT count() FROM t\n"));
}

#[test]
fn every_setting_of_a_source_takes_a_value_of_its_own() {
    let config = loaded(
        "
sources:
  a:
    rule: '@every 90s'
    http: { endpoint: 'http://h', auth: { user: u, password_file: /run/p }, ca: ours.pem, timeout: 3s }
    keyspace: reports
    max_bytes: 1KiB
    jitter: 5s
  b: { static: { value: x }, timeout: 4s }
",
    );
    let expected = Task {
        keyspace: "reports".to_owned(),
        rule: "@every 90s".to_owned(),
        supply: task(&config).supply.clone(),
        timeout: Duration::from_secs(3),
        max_bytes: 1 << 10,
        jitter: Duration::from_secs(5),
    };
    assert_eq!(*task(&config), expected);
    let http = request(&config);
    assert_eq!(http.ca, Some(PathBuf::from("ours.pem")));
    let password = http.auth.as_ref().map(|auth| auth.password.clone());
    assert_eq!(password, Some(Secret::File(PathBuf::from("/run/p"))));
    assert_eq!(
        scheduled(&config)[1].1.unwrap().timeout,
        Duration::from_secs(4)
    );
    assert_eq!(
        shown(&config, "sources.a."),
        [
            "sources.a.rule=@every 90s",
            "sources.a.keyspace=reports",
            "sources.a.http.endpoint=http://h",
            "sources.a.http.auth.user=u",
            "sources.a.http.auth.password_file=/run/p",
            "sources.a.http.ca=ours.pem",
            "sources.a.http.method=GET",
            "sources.a.http.timeout=3s",
            "sources.a.max_bytes=1KiB",
            "sources.a.jitter=5s",
        ]
    );
}

/// What is wrong with a source whose parts are these, from its line and its path on.
const BROKEN: &[(&str, &str)] = &[
    ("rule: '@hourly'", NONE),
    ("static:", NONE),
    ("static: { value: }", NONE),
    ("static: {}", NONE),
    ("http: { method: POST }", NONE),
    ("file: { path: '' }", NONE),
    (
        "7",
        "3: sources.a: a section belongs here: lines of `name: value`",
    ),
    (
        "[a]",
        "3: sources.a: a section belongs here: lines of `name: value`",
    ),
    (
        "static: 7",
        "3: sources.a.static: a section belongs here: lines of `name: value`",
    ),
    (
        "static: { value: [a] }",
        "3: sources.a.static.value: one value belongs here, not a list or a section",
    ),
    (
        "{ rule: [a], static: { value: x } }",
        "3: sources.a.rule: one value belongs here, not a list or a section",
    ),
    (
        "http: { endpoint: 'ftp://u:hunter2@h' }",
        "3: sources.a.http.endpoint: \"ftp://***@h\" is not an address: it begins with neither http:// nor https://",
    ),
    (
        "http: { endpoint: 'http://h', method: 'G T' }",
        "3: sources.a.http.method: \"G T\" is not a method of HTTP, such as GET or POST",
    ),
    (
        "http: { endpoint: 'http://h', header: { 'a b': hunter2 } }",
        "3: sources.a.http.header: \"a b\" is not the name of a header",
    ),
    (
        "http: { endpoint: 'http://h', auth: { password: hunter2, password_file: x } }",
        "3: sources.a.http.auth.password_file: password is set as well; keep one of the two",
    ),
    (
        "file: { path: data/store/x }",
        "3: sources.a.file.path: \"data/store/x\" lies under storage.path: the data is read and written over HTTP alone",
    ),
    (
        "{ static: { value: x }, rule: '0 60 * * * *' }",
        "3: sources.a.rule: \"0 60 * * * *\" is not a rule: minute: \"60\" is not from 0 to 59",
    ),
    (
        "{ static: { value: x }, rule: 'TZ=UTC' }",
        "3: sources.a.rule: \"TZ=UTC\" is not a rule: behind \"TZ=UTC\" a space and a rule have to follow, as in \
         \"TZ=UTC 0 0 * * * *\"",
    ),
    (
        "{ static: { value: x }, keyspace: A }",
        "3: sources.a.keyspace: \"A\" is not a name for a keyspace: it is 1 to 64 of a-z 0-9 _ -",
    ),
    (
        "{ static: { value: x }, keyspace: plant }",
        "3: sources.a.keyspace: \"plant\" has a mirror: nobody but its upstream changes it",
    ),
    (
        "{ static: { value: x }, timeout: soon }",
        "3: sources.a.timeout: \"soon\" is not a span of time; write it like 500ms, 10s, 15m, 2h or 7d",
    ),
    (
        "{ static: { value: x }, max_bytes: 17MiB }",
        "3: sources.a.max_bytes: \"17MiB\" is more than limits.value_bytes, 16MiB: such a value could not be kept",
    ),
    (
        "{ static: { value: x }, jitter: 2d }",
        "3: sources.a.jitter: \"2d\" is out of range: from 0ns to 86400 s",
    ),
];

/// What is said of a source without a supply.
const NONE: &str =
    "2: sources.a: it is not supported: it has none of static.value, http.endpoint and file.path";

#[test]
fn an_error_in_a_source_disables_that_source_alone() {
    for (parts, expected) in BROKEN {
        let text = format!(
            "sources:\n  a:\n    {parts}\n  b: {{ static: {{ value: x }} }}\n\
             keyspaces: {{ plant: {{ mirror: {{ standpipe: {{ endpoint: 'http://h' }} }} }} }}\n"
        );
        let config = loaded(&text);
        let tasks = scheduled(&config);
        let problem = format!("line {expected}");
        assert_eq!(tasks[0], ("a", Err(problem.as_str())), "{parts}");
        assert!(tasks[1].1.is_ok(), "{parts}");
        let warning = format!("file.yml:{expected}; this source does nothing until that is mended");
        assert_eq!(warnings(&config), [warning], "{parts}");
        assert_eq!(shown(&config, "sources.a"), ["sources.a={}"], "{parts}");
    }
}

#[test]
fn names_are_any_text_that_a_key_can_be() {
    let longest = "x".repeat(1024);
    let too_long = "y".repeat(1025);
    let config = loaded(&format!(
        "sources:\n  '': {{ static: {{ value: a }} }}\n  {longest}: {{ static: {{ value: a }} }}\n  {too_long}: {{ static: {{ value: a }} }}\n  \
         07: {{ static: {{ value: a }} }}\n  null: {{ static: {{ value: a }} }}\n"
    ));
    let tasks = scheduled(&config);
    let valid: Vec<&str> = tasks
        .iter()
        .filter(|(_, task)| task.is_ok())
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(valid, ["07", "null", &longest]);
    assert_eq!(
        tasks[0],
        (
            "",
            Err("line 2: sources.\"\": its name is empty, and no key is")
        )
    );
    let problem = tasks[4].1.unwrap_err();
    assert!(
        problem.ends_with("its name is longer than limits.key_bytes, 1024"),
        "{problem}"
    );
}

#[test]
fn a_mistake_that_cannot_hurt_is_a_warning() {
    let all = "(`standpipe check` prints all of them)";
    for (parts, expected) in [
        (
            "{ static: { value: x }, rul: '@hourly' }",
            format!("file.yml:3: sources.a.rul is not a setting; did you mean sources.a.rule? {all}"),
        ),
        (
            "{ static: { valu: y, value: x } }",
            format!("file.yml:3: sources.a.static.valu is not a setting; did you mean sources.a.static.value? {all}"),
        ),
        (
            "http: { endpoint: 'http://h', headers: { a: b } }",
            format!("file.yml:3: sources.a.http.headers is not a setting; did you mean sources.a.http.header? {all}"),
        ),
        (
            "http: { endpoint: 'http://h', auth: { username: x } }",
            "file.yml:3: sources.a.http.auth.username is not a setting; `standpipe check` prints all of them".to_owned(),
        ),
        (
            "{ static: { value: y }, static: { value: x } }",
            "file.yml:3: sources.a.static is set twice; keep one of the two".to_owned(),
        ),
        (
            "{ static: { value: x }, file: { path: y }, http: { endpoint: z } }",
            "file.yml:2: sources.a: it has static, http, file; of these static counts".to_owned(),
        ),
        (
            "{ file: { path: y }, http: { endpoint: 'http://h' } }",
            "file.yml:2: sources.a: it has http, file; of these http counts".to_owned(),
        ),
        (
            "http: { endpoint: 'http://h/{key}' }",
            "file.yml:3: sources.a.http.endpoint: {key} stays as it is: it stands for a key only where a keyspace reads through"
                .to_owned(),
        ),
        (
            "http: { endpoint: 'http://h', header: { a: b, a: c } }",
            "file.yml:3: sources.a.http.header: a is set twice; keep one of the two".to_owned(),
        ),
        (
            "http: { endpoint: 'http://h', header: { Connection: close } }",
            "file.yml:3: sources.a.http.header: Connection follows from the request itself; take it out".to_owned(),
        ),
        (
            "http: { endpoint: 'http://h', header: { Authorization: hunter2 }, auth: { user: u } }",
            "file.yml:3: sources.a.http.header: it says who asks, and so do auth or the endpoint; keep one of the two"
                .to_owned(),
        ),
        (
            "http: { endpoint: 'http://v:hunter2@h', auth: { user: u } }",
            "file.yml:3: sources.a.http.auth: the endpoint holds a user or a password as well; keep one of the two"
                .to_owned(),
        ),
    ] {
        let config = source(parts);
        assert_eq!(warnings(&config), [expected], "{parts}");
        match &task(&config).supply {
            Supply::Static(value) => assert_eq!(value, "x", "{parts}"),
            Supply::Http(http) => {
                assert!(http.endpoint.starts_with("http://h"), "{parts}");
                assert!(http.auth.as_ref().is_none_or(|auth| auth.user == "u"), "{parts}");
                assert!(http.headers.values().all(|value| value == "c"), "{parts}");
            }
            Supply::File(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_empty_value_can_be_said_where_nothing_else_is() {
    let config = source("static: { value: '' }");
    assert_eq!(task(&config).supply, Supply::Static(String::new()));
    assert_eq!(config.warnings, Vec::<String>::new());
    let filled = source("{ static: { value: '' }, file: { path: x } }");
    assert!(matches!(task(&filled).supply, Supply::File(_)));
    assert_eq!(filled.warnings, Vec::<String>::new());
}

#[test]
fn methods_are_known_in_any_case_and_others_are_taken() {
    let method = |word: &str| {
        let config = source(&format!("http: {{ endpoint: 'http://h', method: {word} }}"));
        request(&config).method.to_string()
    };
    assert_eq!(
        [
            method("get"),
            method("Post"),
            method("REPORT"),
            method("''")
        ],
        ["GET", "POST", "REPORT", "GET"]
    );
}

#[test]
fn sources_take_from_each_other_as_yaml_has_it() {
    let config = loaded(
        "sources:\n  a: &a { rule: '@hourly', static: { value: x } }\n  b: { <<: *a, static: { value: y } }\n",
    );
    let tasks = scheduled(&config);
    let (a, b) = (tasks[0].1.unwrap(), tasks[1].1.unwrap());
    assert_eq!((a.rule.as_str(), b.rule.as_str()), ("@hourly", "@hourly"));
    assert_eq!(b.supply, Supply::Static("y".to_owned()));
}

#[test]
fn what_is_wrong_with_all_of_them_refuses_the_file() {
    assert_refused(&[
        (
            "sources:\n  a: {}\n  a: {}\n",
            "file.yml:3: sources.a is set twice; keep one of the two",
        ),
        (
            "sources: 7\n",
            "file.yml:1: sources: a section belongs here: lines of `name: value`",
        ),
        (
            "sources: [a]\n",
            "file.yml:1: sources: a section belongs here: lines of `name: value`",
        ),
        (
            "sources:\n  [a]: {}\n",
            "file.yml:2: a name belongs here, not a list or a section",
        ),
        (
            "source: {}\n",
            "file.yml:1: source is not a setting; did you mean sources? (`standpipe check` prints all of them)",
        ),
    ]);
    for text in ["sources:\n", "sources: {}\n", "sources: ~\n"] {
        assert_eq!(scheduled(&loaded(text)), []);
    }
    let many = |count: usize| {
        let names = (0..count).map(|number| format!("  {number}: {{}}\n"));
        format!("sources:\n{}", names.collect::<String>())
    };
    assert_eq!(scheduled(&loaded(&many(10_000))).len(), 10_000);
    assert_refused(&[(
        &many(10_001),
        "file.yml:10001: sources: there are 10001 sources; 10000 is the most",
    )]);
}

#[test]
fn sources_come_from_files_alone() {
    let refusal = Place::new()
        .with_variable("STANDPIPE_SOURCES__A__RULE", "@hourly")
        .load()
        .unwrap_err();
    assert_eq!(
        refusal,
        "STANDPIPE_SOURCES__A__RULE: sources.a.rule cannot come from the environment, only from the configuration file"
    );
}

#[test]
fn a_higher_file_s_source_covers_a_lower_one_as_a_whole() {
    let place = Place::new()
        .with_file("image.yml", "sources:\n  a: { rule: '@daily', static: { value: x } }\n  b: { static: { value: y } }\n")
        .with_file("file.yml", "sources:\n  a: { static: { value: z } }\n");
    let config = place.load().unwrap();
    let tasks = scheduled(&config);
    assert_eq!(tasks.len(), 2);
    let a = tasks[0].1.unwrap();
    assert_eq!(
        (a.rule.as_str(), &a.supply),
        ("0 0 * * * *", &Supply::Static("z".to_owned()))
    );
}
