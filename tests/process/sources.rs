//! Scheduled sources with files as cachepump's users write them: at a start, as the file changes, and across kills.
#![expect(
    clippy::indexing_slicing,
    reason = "an answer without what it should have fails the test"
)]

use std::fs;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::harness::{Place, Server, wait_until};
use crate::origin::{Behaviour, Origin, answer, good};

/// Looked at often enough for a test.
const OFTEN: &str = "server: { reload_interval: 10ms }\n";

fn place(text: &str) -> Place {
    Place::new().with_file("config.yml", &format!("{OFTEN}{text}"))
}

fn write(place: &Place, text: &str) {
    place.replace_file("config.yml", &format!("{OFTEN}{text}"));
}

/// What cachepump's clients ask for; none where it says that there is none.
fn look_up(server: &Server, name: &str) -> Option<String> {
    let answer = server.ask("GET", &format!("/?key={name}"));
    let text = String::from_utf8(answer.body).unwrap();
    match answer.status {
        200 => Some(text),
        404 => {
            assert_eq!(text, "key is not found");
            None
        }
        status => panic!("{status}: {text}"),
    }
}

#[track_caller]
fn wait_for(server: &Server, name: &str, value: Option<&str>) {
    wait_until(&format!("{name}: {value:?}"), || {
        look_up(server, name).as_deref() == value
    });
}

/// What `/sources` says of a source; nothing where there is none.
fn source(server: &Server, name: &str) -> Value {
    let all: Value = serde_json::from_slice(&server.ask("GET", "/sources").body).unwrap();
    let items = all["items"].as_array().unwrap();
    let named = items.iter().find(|item| item["name"] == name);
    named.cloned().unwrap_or_default()
}

fn wait_for_state(server: &Server, name: &str, state: &str) -> Value {
    wait_until(&format!("{name} {state}"), || {
        source(server, name)["state"] == state
    });
    source(server, name)
}

/// The three sources of cachepump's own page.
fn examples(origin: &Origin) -> String {
    let file = include_str!("../../examples/cachepump.yml");
    file.replace("http://127.0.0.1:8123", &origin.url(""))
}

#[test]
fn the_examples_of_cachepump_are_right_within_a_second_of_the_start() {
    let origin = Origin::start(good("{\"count\":\"10\"}\n"));
    let place = Place::new()
        .with_file("config.yml", &examples(&origin))
        .with_file("my_report_file.csv", "a,b\n1,2\n");
    // A busy machine may need more than one try.
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let began = Instant::now();
        let mut server = place.serve(&["-l", "INFO", "-c", "config.yml"]);
        wait_until("all three", || {
            let get = |name| server.try_request("GET", &format!("/?key={name}"), "", b"");
            let right = |name, value: &str| get(name).is_ok_and(|it| it.body == value.as_bytes());
            right("hello", "{\"data\":\"Hello world!\"}")
                && right("count", "{\"count\":\"10\"}\n")
                && right("report", "a,b\n1,2\n")
        });
        best = best.min(began.elapsed());
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        if best < Duration::from_secs(1) {
            break;
        }
        // What was kept would be there before anything is fetched.
        fs::remove_dir_all(place.path("data")).unwrap();
    }
    assert!(best < Duration::from_secs(1), "{best:?}");
    let asked = origin.last_asked();
    assert!(asked.starts_with("POST / HTTP/1.1\r\n"), "{asked}");
    for line in [
        "authorization: Basic YWRtaW46YWRtaW5hZG1pbg==\r\n",
        "x-clickhouse-format: JSONEachRow\r\n",
        "\r\n\r\nSELECT count() AS count FROM system.numbers LIMIT 10\n",
    ] {
        assert!(asked.contains(line), "{line:?}: {asked}");
    }
    assert!(!asked.contains("content-type"), "{asked}");
}

#[test]
fn whatever_cachepumps_users_have_written_is_read_source_by_source() {
    let origin = Origin::start(good("1"));
    let report = tempfile::NamedTempFile::new().unwrap();
    fs::write(report.path(), "report").unwrap();
    let url = origin.url("/");
    let path = report.path().display();
    let place = Place::new().with_file(
        "config.yml",
        &format!(
            "version: '1.0'
sources:
  empty header: {{ http: {{ endpoint: '{url}', header: , auth: , method: , body: }} }}
  empty rule: {{ rule: , static: {{ value: 1 }} }}
  unknown field: {{ rul: '* * * * * *', static: {{ value: 1 }} }}
  zone: {{ rule: 'TZ=UTC', static: {{ value: 1 }} }}
  five: {{ rule: '*/5 * * * *', static: {{ value: 1 }} }}
  days: {{ rule: 'TZ=UTC 0 0 0 */2 * MON', static: {{ value: 1 }} }}
  question: {{ rule: '? ? * * * ?', static: {{ value: 1 }} }}
  scalar: {{ http: {{ endpoint: '{url}', header: {{ Accept: text/csv }} }} }}
  absolute: {{ file: {{ path: {path} }} }}
  a/b c: {{ static: {{ value: '' }} }}
"
        ),
    );
    let server = place.serve(&["-l", "debug"]).ready();
    for name in [
        "empty header",
        "empty rule",
        "unknown field",
        "days",
        "question",
        "scalar",
        "absolute",
        "a/b c",
    ] {
        wait_for_state(&server, name, "ok");
    }
    for (name, words) in [
        ("zone", &["TZ=UTC", "space"]),
        ("five", &["six fields", "five"]),
    ] {
        let invalid = source(&server, name);
        assert_eq!(invalid["state"], "invalid", "{invalid}");
        let reason = invalid["reason"].as_str().unwrap();
        for word in words {
            assert!(reason.contains(word), "{reason}");
        }
        assert_eq!(look_up(&server, name), None);
    }
    for name in ["empty rule", "unknown field", "scalar"] {
        assert_eq!(source(&server, name)["rule"], "0 0 * * * *", "{name}");
    }
    assert_eq!(look_up(&server, "absolute").as_deref(), Some("report"));
    assert_eq!(look_up(&server, "a/b%20c").as_deref(), Some(""));
    assert_eq!(look_up(&server, "scalar").as_deref(), Some("1"));
    // On the odd days of the month, and on Mondays.
    let next = source(&server, "days")["next_run"]
        .as_str()
        .unwrap()
        .to_owned();
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let is_due = |day: &jiff::Zoned| day.day() % 2 == 1 || day.weekday() == Weekday::Monday;
    let mut day = now.tomorrow().unwrap().start_of_day().unwrap();
    while !is_due(&day) {
        day = day.tomorrow().unwrap();
    }
    assert_eq!(next, day.timestamp().to_string());
    let checked = place.run(&["check", "--config-only"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for words in ["rul", "TZ=UTC", "six fields"] {
        assert!(checked.stderr.contains(words), "{words}: {checked:?}");
    }
}

#[test]
fn a_source_is_added_edited_and_taken_out_while_it_serves() {
    let one = "sources: { a: { static: { value: '1' } }, b: { static: { value: 'b' } } }\n";
    let place = place(one);
    let server = place.serve(&[]).ready();
    wait_for(&server, "a", Some("1"));
    wait_for(&server, "b", Some("b"));
    let before = source(&server, "b");
    // Its value, its rule, its kind.
    write(&place, &one.replace("'1'", "'2'"));
    wait_for(&server, "a", Some("2"));
    write(&place, &one.replace("a: {", "a: { rule: '@yearly',"));
    wait_until("the rule", || source(&server, "a")["rule"] == "@yearly");
    wait_for(&server, "a", Some("1"));
    fs::write(place.path("file"), "3").unwrap();
    write(
        &place,
        &one.replace("static: { value: '1' }", "file: { path: file }"),
    );
    wait_for(&server, "a", Some("3"));
    assert_eq!(source(&server, "a")["kind"], "file");
    // The other one has not noticed.
    let after = source(&server, "b");
    assert_eq!(
        (&after["runs"], &after["last_run"]),
        (&before["runs"], &before["last_run"])
    );
    // A mistake leaves the value and stops the source; a client does not get at it.
    write(&place, &one.replace("a: {", "a: { rule: never,"));
    let invalid = wait_for_state(&server, "a", "invalid");
    assert_eq!(invalid["stale"], true, "{invalid}");
    assert_eq!(look_up(&server, "a").as_deref(), Some("3"));
    assert_eq!(server.put("a", "text/plain", b"4"), 409);
    write(&place, "sources: { b: { static: { value: 'b' } } }\n");
    wait_for(&server, "a", None);
    assert_eq!(server.put("a", "text/plain", b"4"), 201);
    // A source of a client's name comes and goes.
    write(&place, one);
    let taken = wait_for_state(&server, "a", "failing");
    assert_eq!(taken["last_error"]["code"], "key_taken", "{taken}");
    write(&place, "");
    wait_for(&server, "b", None);
    assert_eq!(look_up(&server, "a").as_deref(), Some("4"));
}

#[test]
fn a_file_that_breaks_changes_nothing() {
    let good = "sources: { a: { static: { value: '1' } } }\n";
    let place = place(good);
    let mut server = place.serve(&[]).ready();
    wait_for(&server, "a", Some("1"));
    for broken in [
        "sources: { a: { static: { value: '1'",
        "sources: [a]\n",
        "version: '2.0'\n",
        "nothing: known\n",
        "sources: { a: {}, a: {} }\n",
    ] {
        write(&place, broken);
        server.wait_for_line("was not reloaded");
        assert_eq!(look_up(&server, "a").as_deref(), Some("1"), "{broken}");
        assert_eq!(source(&server, "a")["state"], "ok");
        write(&place, good);
        server.wait_for_line("loads again");
    }
    fs::remove_file(place.path("config.yml")).unwrap();
    server.wait_for_line("was not reloaded");
    assert_eq!(look_up(&server, "a").as_deref(), Some("1"));
}

#[test]
fn what_is_under_way_when_a_source_is_taken_out_comes_to_nothing() {
    let origin = Origin::start(good("1"));
    let text = format!(
        "sources: {{ a: {{ http: {{ endpoint: '{}' }} }} }}\n",
        origin.url("/")
    );
    let place = place(&text);
    let server = place.serve(&[]).ready();
    wait_for_state(&server, "a", "ok");
    origin.behave(Behaviour::Hang);
    assert_eq!(server.ask("POST", "/sources/run/a").status, 202);
    wait_until("the call", || origin.open() == 1);
    assert_eq!(server.ask("POST", "/sources/run/a").status, 409);
    write(&place, "");
    wait_for(&server, "a", None);
    origin.behave(good("2"));
    wait_until("the end of the call", || origin.open() == 0);
    assert_eq!(look_up(&server, "a"), None);
    assert_eq!(server.ask("POST", "/sources/run/a").status, 404);
}

#[test]
fn a_value_survives_a_kill_and_goes_with_a_source_that_left_meanwhile() {
    let origin = Origin::start(good("kept"));
    let url = origin.url("/");
    let text = format!(
        "sources: {{ a: {{ http: {{ endpoint: '{url}' }} }}, b: {{ static: {{ value: b }} }} }}\n"
    );
    let place = place(&text);
    let server = place.serve(&[]).ready();
    wait_for(&server, "a", Some("kept"));
    wait_for(&server, "b", Some("b"));
    assert_eq!(server.put("c", "text/plain", b"a client's"), 201);
    server.kill();
    // Its source does not answer any more: it is there, and as old as it is.
    origin.behave(Behaviour::Hang);
    let server = place.serve(&[]).ready();
    assert_eq!(look_up(&server, "a").as_deref(), Some("kept"));
    let value = server.ask("GET", "/v1/a");
    assert_eq!(value.header("content-type"), Some("text/csv"));
    assert!(value.header("age").is_some());
    server.kill();
    write(&place, "sources: { c: { static: { value: c } } }\n");
    let server = place.serve(&[]).ready();
    assert_eq!((look_up(&server, "a"), look_up(&server, "b")), (None, None));
    wait_for_state(&server, "c", "failing");
    assert_eq!(look_up(&server, "c").as_deref(), Some("a client's"));
}

#[test]
fn the_rule_goes_by_the_clock_of_the_machine_unless_it_says_another() {
    let place = place(
        "sources:
  here: { rule: '0 30 9 * * *', static: { value: x } }
  there: { rule: 'CRON_TZ=Asia/Kolkata 0 0 9 * * *', static: { value: x } }
",
    )
    .with_variable("TZ", "Asia/Tokyo");
    let server = place.serve(&[]).ready();
    for (name, time) in [("here", "T00:30:00Z"), ("there", "T03:30:00Z")] {
        let next = source(&server, name)["next_run"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(next.ends_with(time), "{name}: {next}");
    }
}

#[test]
fn a_call_that_hangs_does_not_keep_it_from_stopping() {
    let origin = Origin::start(Behaviour::Hang);
    let text = format!(
        "sources: {{ a: {{ http: {{ endpoint: '{}' }}, timeout: 1h }} }}\n",
        origin.url("/")
    );
    let place = place(&text);
    let mut server = place.serve(&[]).ready();
    wait_until("the call", || origin.open() == 1);
    let asked = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20));
    wait_until("the end of the call", || origin.open() == 0);
}

#[test]
fn it_says_once_that_a_source_fails_and_once_that_it_works_and_never_a_secret() {
    let origin = Origin::start(answer("500 hunter2", "X: hunter2\r\n", "hunter2"));
    let text = format!(
        "sources:
  a:
    rule: '* * * * * *'
    http:
      endpoint: '{}'
      header: {{ X-Api-Key: hunter2, Cookie: [hunter2] }}
      auth: {{ user: hunter2, password: hunter2 }}
      body: hunter2
  b: {{ http: {{ endpoint: 'http://hunter2:hunter2@127.0.0.1:1/hunter2?hunter2=hunter2#hunter2' }} }}
",
        origin.url("/hunter2?key=hunter2")
    );
    let place = place(&text);
    let mut server = place.serve(&["-l", "DEBUG"]).ready();
    wait_until("three failures", || {
        source(&server, "a")["failures"].as_u64() >= Some(3)
    });
    wait_for_state(&server, "b", "failing");
    let [sources, metrics] = ["/sources", "/metrics"].map(|path| {
        let body = server.ask("GET", path).body;
        String::from_utf8(body).unwrap()
    });
    origin.behave(good("1"));
    wait_for(&server, "a", Some("1"));
    let runs = source(&server, "a")["runs"].as_u64();
    wait_until("two more runs", || {
        source(&server, "a")["runs"].as_u64() > runs.map(|runs| runs + 1)
    });
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let log = server.log();
    for shown in [&log, &sources, &metrics] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let count = |words: &str| {
        let of_a = |line: &&str| line.contains(words) && line.contains("\"a\"");
        log.lines().filter(of_a).count()
    };
    assert_eq!(count("a source fails"), 1, "{log}");
    assert_eq!(count("a source works again"), 1, "{log}");
    assert!(count("a run failed") >= 3, "{log}");
}
