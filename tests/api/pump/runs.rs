//! Runs: when they begin, what they keep, and what they do about servers that behave badly.

use std::fs;
use std::time::Duration;

use standpipe::outbound::{Auth, HeaderValue, Secret};
use standpipe::pump::{NotRun, State, Supply, Task};

use super::origin::{Behaviour, Origin, answer, good};
use super::{SELDOM, Stage, file, fixed, http, task, until};

#[tokio::test]
async fn every_kind_of_source_is_loaded_at_once_and_keeps_its_type() {
    let stage = Stage::new();
    let origin = Origin::start(good("a,b\n"));
    let path = stage.directory.path().join("report.json");
    fs::write(&path, "{}").unwrap();
    let binary = stage.directory.path().join("binary");
    fs::write(&binary, [0xFF, 0x00]).unwrap();
    let empty = answer("204 No Content", "", "");
    let nothing = Origin::start(empty);
    let untyped = Origin::start(answer("200 OK", "Content-Type: words\r\n", "x"));
    stage
        .apply(&[
            ("words", fixed("{\"data\":\"Hello world!\"}")),
            ("empty", fixed("")),
            ("table", http(&origin.url("/table"))),
            ("a/name with spaces", file(&path)),
            ("binary", file(&binary)),
            ("nothing", http(&nothing.url("/"))),
            ("untyped", http(&untyped.url("/"))),
        ])
        .await;
    for (name, value, media_type) in [
        (
            "words",
            &b"{\"data\":\"Hello world!\"}"[..],
            "text/plain; charset=utf-8",
        ),
        ("empty", b"", "text/plain; charset=utf-8"),
        ("table", b"a,b\n", "text/csv"),
        ("a/name with spaces", b"{}", "application/json"),
        ("binary", &[0xFF, 0x00], "application/octet-stream"),
        ("nothing", b"", "text/plain; charset=utf-8"),
        ("untyped", b"x", "text/plain; charset=utf-8"),
    ] {
        let facts = stage.until(name, State::Ok).await;
        let entry = stage.entry("default", name).await.unwrap();
        assert_eq!(
            (&*entry.value, entry.media_type.as_str()),
            (value, media_type)
        );
        assert_eq!(entry.owner.as_deref(), Some(name));
        assert_eq!((facts.runs, facts.failures, facts.stale), (1, 0, false));
        assert_eq!(facts.held.unwrap().len, value.len());
        assert!(facts.last_run_ms <= facts.last_success_ms, "{facts:?}");
    }
}

/// Ways to fail, what is said of each, and whether the last value stays in spite of it, which it always does.
fn failures() -> Vec<(Behaviour, &'static str, &'static str)> {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let huge = format!("{chunked}4000\r\n{}\r\n", "x".repeat(0x4000));
    vec![
        (
            answer("500 Oh", "", "an error page"),
            "source_failed",
            "500",
        ),
        (answer("404 Gone", "", ""), "source_failed", "404"),
        (answer("401 No", "", ""), "source_failed", "401"),
        (answer("304 Same", "", ""), "source_failed", "304"),
        (Behaviour::Vanish, "source_failed", "http://127.0.0.1:"),
        (Behaviour::Hang, "source_timeout", "500 ms"),
        (Behaviour::Drip, "source_failed", "10000 bytes"),
        (
            Behaviour::Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_owned()),
            "source_failed",
            "broke off",
        ),
        (
            Behaviour::Say(format!("{chunked}3\r\nhel")),
            "source_failed",
            "broke off",
        ),
        (
            answer("200 OK", "", &"x".repeat(10_001)),
            "source_failed",
            "10000 bytes",
        ),
        (Behaviour::Say(huge), "source_failed", "10000 bytes"),
        (
            answer("302 Away", "Location: /\r\n", ""),
            "source_failed",
            "redirects",
        ),
        (
            answer("302 Away", "Location: ftp://x/\r\n", ""),
            "source_failed",
            "http",
        ),
        (
            Behaviour::Say("nonsense\r\n\r\n".to_owned()),
            "source_failed",
            "http://",
        ),
    ]
}

#[tokio::test]
async fn a_server_that_behaves_badly_never_replaces_a_good_value() {
    let stage = Stage::new();
    let origin = Origin::start(good("good"));
    let bounded = Task {
        timeout: Duration::from_millis(500),
        ..http(&origin.url("/"))
    };
    stage.apply(&[("a", bounded)]).await;
    stage.until("a", State::Ok).await;
    let before = stage.entry("default", "a").await.unwrap();
    for (n, (behaviour, code, words)) in failures().into_iter().enumerate() {
        origin.behave(behaviour.clone());
        let facts = stage.run("a").await;
        assert_eq!(facts.state, State::Failing, "{behaviour:?}");
        let failure = facts.last_failure.unwrap();
        assert_eq!(failure.code, code, "{behaviour:?}: {}", failure.detail);
        assert!(
            failure.detail.contains(words),
            "{behaviour:?}: {}",
            failure.detail
        );
        assert!(facts.stale, "{behaviour:?}");
        assert_eq!(facts.failures, u64::try_from(n).unwrap() + 1);
        let entry = stage.entry("default", "a").await.unwrap();
        assert_eq!(
            (entry.version, &*entry.value),
            (before.version, &b"good"[..])
        );
    }
    origin.behave(good("better"));
    let facts = stage.run("a").await;
    assert_eq!((facts.state, facts.stale), (State::Ok, false));
    assert!(facts.last_failure.is_some(), "what was is still shown");
    assert_eq!(stage.text("a").await.as_deref(), Some("better"));
}

#[tokio::test]
async fn a_source_that_never_worked_has_no_value_and_is_not_stale() {
    let stage = Stage::new();
    let absent = stage.directory.path().join("absent");
    let directory = stage.directory.path().to_owned();
    stage
        .apply(&[("absent", file(&absent)), ("directory", file(&directory))])
        .await;
    for (name, words) in [("absent", "no such file"), ("directory", "no regular file")] {
        let facts = stage.until(name, State::Failing).await;
        assert!(facts.last_failure.unwrap().detail.contains(words), "{name}");
        assert_eq!((facts.stale, facts.held), (false, None));
        assert_eq!(stage.text(name).await, None);
    }
    fs::write(&absent, "here").unwrap();
    assert_eq!(stage.run("absent").await.state, State::Ok);
    assert_eq!(stage.text("absent").await.as_deref(), Some("here"));
}

#[tokio::test]
async fn the_same_value_is_not_written_again_and_is_known_to_be_new() {
    let stage = Stage::new();
    let origin = Origin::start(good("same"));
    stage.apply(&[("a", http(&origin.url("/")))]).await;
    let first = stage.until("a", State::Ok).await;
    let version = stage.entry("default", "a").await.unwrap().version;
    until(|| stage.keyspaces.now_ms() > first.held.unwrap().confirmed_at_ms).await;
    let second = stage.run("a").await;
    assert_eq!(stage.entry("default", "a").await.unwrap().version, version);
    assert!(second.held.unwrap().confirmed_at_ms > first.held.unwrap().confirmed_at_ms);
    // The same bytes as something else are another value.
    origin.behave(answer("200 OK", "Content-Type: text/html\r\n", "same"));
    stage.run("a").await;
    let entry = stage.entry("default", "a").await.unwrap();
    assert_ne!(entry.version, version);
    assert_eq!(entry.media_type.as_str(), "text/html");
}

#[tokio::test]
async fn a_value_that_has_not_changed_is_not_sent_again() {
    let stage = Stage::new();
    let tagged = "ETag: \"7\"\r\nLast-Modified: Wed, 01 Jul 2026 00:00:00 GMT\r\n";
    let origin = Origin::start(answer("200 OK", tagged, "tagged"));
    stage.apply(&[("a", http(&origin.url("/")))]).await;
    let first = stage.until("a", State::Ok).await;
    assert!(!origin.last_asked().contains("if-none-match"));
    origin.behave(answer("304 Not Modified", "", ""));
    until(|| stage.keyspaces.now_ms() > first.held.unwrap().confirmed_at_ms).await;
    let facts = stage.run("a").await;
    assert_eq!(facts.state, State::Ok);
    assert!(facts.held.unwrap().confirmed_at_ms > first.held.unwrap().confirmed_at_ms);
    let asked = origin.last_asked();
    assert!(asked.contains("if-none-match: \"7\"\r\n"), "{asked}");
    assert!(
        asked.contains("if-modified-since: Wed, 01 Jul 2026 00:00:00 GMT\r\n"),
        "{asked}"
    );
    assert_eq!(stage.text("a").await.as_deref(), Some("tagged"));
    // A failure makes nobody forget that.
    origin.behave(Behaviour::Vanish);
    assert_eq!(stage.run("a").await.state, State::Failing);
    origin.behave(answer("304 Not Modified", "", ""));
    assert_eq!(stage.run("a").await.state, State::Ok);
    // Where the value is gone, the whole of it is asked for.
    origin.behave(answer("200 OK", tagged, "tagged"));
    assert_eq!(stage.flush("default").await, 1);
    stage.until_facts("a", |facts| facts.runs == 5).await;
    assert!(!origin.last_asked().contains("if-none-match"));
    assert_eq!(stage.text("a").await.as_deref(), Some("tagged"));
}

#[tokio::test]
async fn a_run_that_takes_long_is_the_only_one_and_nothing_piles_up() {
    let stage = Stage::new();
    let origin = Origin::start(Behaviour::Hang);
    let every_second = Task {
        rule: "* * * * * *".to_owned(),
        ..http(&origin.url("/"))
    };
    stage.apply(&[("a", every_second)]).await;
    until(|| origin.open() == 1).await;
    // Three times at which the rule would have asked for a run pass.
    let began = stage.keyspaces.wall_ms();
    until(|| stage.keyspaces.wall_ms() > began + 3_100).await;
    assert_eq!((origin.count(), stage.facts("a").runs), (1, 0));
    origin.behave(good("late"));
    let facts = stage.until_facts("a", |facts| facts.runs == 1).await;
    // The next one comes when it is due, and not because something was left out.
    assert_eq!(facts.next_run_ms.unwrap() % 1_000, 0);
    stage.until_facts("a", |facts| facts.runs == 3).await;
    let took = stage.keyspaces.wall_ms() - facts.last_success_ms.unwrap();
    assert!(took >= 1_000, "{took}");
    assert_eq!(origin.most_open(), 1);
}

#[tokio::test]
async fn a_rule_runs_it_on_the_whole_second() {
    let stage = Stage::new();
    let every_second = Task {
        rule: "* * * * * *".to_owned(),
        ..fixed("tick")
    };
    stage.apply(&[("a", every_second)]).await;
    let version = {
        stage.until_facts("a", |facts| facts.runs > 0).await;
        stage.entry("default", "a").await.unwrap().version
    };
    let before = stage.facts("a").last_run_ms;
    let facts = stage
        .until_facts("a", |facts| facts.last_run_ms > before)
        .await;
    let next = u64::try_from(facts.next_run_ms.unwrap()).unwrap();
    assert_eq!(next % 1_000, 0);
    let again = stage
        .until_facts("a", |again| again.last_run_ms > facts.last_run_ms)
        .await;
    assert!(again.last_run_ms.unwrap() >= next);
    // However often it ran, it was written once.
    assert_eq!(stage.entry("default", "a").await.unwrap().version, version);
}

#[tokio::test]
async fn a_run_can_be_asked_for_where_none_goes_on() {
    let stage = Stage::new();
    let origin = Origin::start(Behaviour::Hang);
    let wrong = Task {
        rule: "* * * * *".to_owned(),
        ..fixed("never")
    };
    stage
        .apply(&[("a/b c", http(&origin.url("/"))), ("wrong", wrong)])
        .await;
    until(|| origin.open() == 1).await;
    let name = "a/b c".to_owned();
    assert_eq!(
        stage.pump.run(&name).unwrap_err(),
        NotRun::AlreadyRunning { name: name.clone() }
    );
    origin.behave(good("1"));
    stage.until(&name, State::Ok).await;
    origin.behave(Behaviour::Hang);
    assert_eq!(stage.pump.run(&name).unwrap().state, State::Running);
    let again = stage.pump.run(&name);
    assert!(matches!(again, Err(NotRun::AlreadyRunning { .. })));
    until(|| origin.open() == 1).await;
    origin.behave(good("2"));
    stage.until_facts(&name, |facts| facts.runs == 2).await;
    assert_eq!(stage.text(&name).await.as_deref(), Some("2"));
    let invalid = stage.pump.run("wrong").unwrap_err();
    assert!(invalid.to_string().contains("six fields"), "{invalid}");
    let name = "absent".to_owned();
    assert_eq!(
        stage.pump.run("absent").unwrap_err(),
        NotRun::NotFound { name }
    );
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    const SECRET: &str = "hunter2";
    let stage = Stage::new();
    let origin = Origin::start(answer("503 No", "", SECRET));
    let task_at = |url: String| {
        let Supply::Http(mut options) = http(&url).supply else {
            panic!()
        };
        options.auth = Some(Auth {
            user: SECRET.to_owned(),
            password: Secret::Given(SECRET.into()),
        });
        let mut value = HeaderValue::from_static(SECRET);
        value.set_sensitive(true);
        options.headers.insert("x-api-key", value);
        options.body = Some(SECRET.to_owned());
        task(Supply::Http(options))
    };
    stage
        .apply(&[
            (
                "status",
                task_at(origin.url("/hunter2?key=hunter2#hunter2")),
            ),
            (
                "unreachable",
                task_at("http://127.0.0.1:1/hunter2?key=hunter2".to_owned()),
            ),
            ("address", task_at("hunter2 is no address".to_owned())),
        ])
        .await;
    for name in ["status", "unreachable", "address"] {
        let facts = stage.until(name, State::Failing).await;
        let shown = format!("{facts:?} {:?}", stage.pump.run(name).unwrap());
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[tokio::test]
async fn what_cannot_be_kept_fails_for_that_reason() {
    let stage = Stage::new();
    let long = "k".repeat(65);
    let large = Task {
        max_bytes: usize::MAX,
        ..fixed(&"x".repeat((4 << 20) + 1))
    };
    stage
        .apply(&[
            (&long, fixed("x")),
            ("large", large),
            ("whole", fixed(&"x".repeat(10_000))),
        ])
        .await;
    for (name, code) in [(&*long, "key_too_long"), ("large", "value_too_large")] {
        let facts = stage.until(name, State::Failing).await;
        assert_eq!(facts.last_failure.unwrap().code, code);
    }
    stage.until("whole", State::Ok).await;
    assert_eq!(stage.facts("whole").work.unwrap().rule.as_ref(), SELDOM);
}
