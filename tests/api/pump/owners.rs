//! Whose a key is: what a source writes, leaves alone and takes along, also while a fetch is under way and across restarts.

use std::collections::BTreeSet;
use std::time::Duration;

use standpipe::engine::Durability;
use standpipe::pump::{NotRun, Options, Scheduled, State, Task};
use tokio::time::sleep;

use super::origin::{Behaviour, Origin, good};
use super::{Stage, fixed, http, options, until};

fn within(keyspace: &str, task: Task) -> Task {
    Task {
        keyspace: keyspace.to_owned(),
        ..task
    }
}

#[tokio::test]
async fn a_clients_key_is_left_alone_whoever_comes_and_goes() {
    let stage = Stage::new();
    stage.put("default", "a", "a client's").await;
    let origin = Origin::start(good("a source's"));
    stage.apply(&[("a", http(&origin.url("/")))]).await;
    let facts = stage.until("a", State::Failing).await;
    assert_eq!(facts.last_failure.unwrap().code, "key_taken");
    assert_eq!((facts.held, facts.stale), (None, false));
    assert_eq!(origin.count(), 0, "nobody is called for nothing");
    stage.apply(&[]).await;
    assert_eq!(stage.text("a").await.as_deref(), Some("a client's"));
    let stage = stage.again().await;
    stage.apply(&[]).await;
    assert_eq!(stage.text("a").await.as_deref(), Some("a client's"));
}

#[tokio::test]
async fn a_client_that_is_faster_keeps_its_key() {
    let stage = Stage::new();
    let origin = Origin::start(Behaviour::Hang);
    stage.apply(&[("a", http(&origin.url("/")))]).await;
    until(|| origin.open() == 1).await;
    stage.put("default", "a", "a client's").await;
    origin.behave(good("a source's"));
    let facts = stage.until("a", State::Failing).await;
    assert_eq!(facts.last_failure.unwrap().code, "key_taken");
    assert_eq!(stage.text("a").await.as_deref(), Some("a client's"));
}

#[tokio::test]
async fn a_source_that_is_gone_takes_its_value_and_no_other_along() {
    let stage = Stage::new();
    stage.put("default", "b", "a client's").await;
    let both = [("a", fixed("1")), ("b", fixed("2")), ("c", fixed("3"))];
    stage.apply(&both).await;
    stage.until("a", State::Ok).await;
    stage.until("c", State::Ok).await;
    stage.apply(&[("c", fixed("3"))]).await;
    assert_eq!(stage.text("a").await, None);
    assert_eq!(stage.text("b").await.as_deref(), Some("a client's"));
    assert_eq!(stage.text("c").await.as_deref(), Some("3"));
    assert_eq!(stage.pump.list().len(), 1);
    assert!(matches!(stage.pump.run("a"), Err(NotRun::NotFound { .. })));
}

#[tokio::test]
async fn a_source_that_left_while_the_service_was_stopped_takes_its_value_along() {
    let stage = Stage::new();
    stage.make("other", Durability::Written).await;
    stage.put("default", "b", "a client's").await;
    let sources = [
        ("a", fixed("1")),
        ("b", fixed("2")),
        ("c", within("other", fixed("3"))),
        ("d", fixed("4")),
    ];
    stage.apply(&sources).await;
    for name in ["a", "c", "d"] {
        stage.until(name, State::Ok).await;
    }
    let version = stage.entry("default", "d").await.unwrap().version;
    let stage = stage.again().await;
    assert_eq!(
        stage.text("a").await.as_deref(),
        Some("1"),
        "values survive"
    );
    stage.apply(&[("d", fixed("4"))]).await;
    assert_eq!(stage.text("a").await, None);
    assert_eq!(stage.text("b").await.as_deref(), Some("a client's"));
    assert!(stage.entry("other", "c").await.is_none());
    stage.until("d", State::Ok).await;
    let entry = stage.entry("default", "d").await.unwrap();
    assert_eq!(
        entry.version, version,
        "what has not changed is not written again"
    );
}

#[tokio::test]
async fn a_fetch_that_is_under_way_brings_nothing_back() {
    let stage = Stage::new();
    let origin = Origin::start(good("1"));
    let source = http(&origin.url("/"));
    stage.apply(&[("a", source.clone())]).await;
    stage.until("a", State::Ok).await;
    for _ in 0..20 {
        origin.behave(Behaviour::Hang);
        stage.pump.run("a").unwrap();
        until(|| origin.open() == 1).await;
        stage.apply(&[]).await;
        assert_eq!(stage.text("a").await, None);
        origin.behave(good("2"));
        until(|| origin.open() == 0).await;
        assert_eq!(stage.text("a").await, None);
        stage.apply(&[("a", source.clone())]).await;
        stage.until("a", State::Ok).await;
    }
}

#[tokio::test]
async fn whatever_runs_have_come_to_nothing_is_left_of_them() {
    // Large enough to be met while it is being written.
    const LEN: usize = 4 << 20;
    let stage = Stage::new();
    stage.make("memory", Durability::Memory).await;
    let large = Task {
        max_bytes: LEN,
        ..within("memory", fixed(&"x".repeat(LEN)))
    };
    let sources = ["a", "b", "c"].map(|name| (name, large.clone()));
    let values = stage.keyspaces.values("memory").unwrap();
    for round in 0..60 {
        stage.apply(&sources).await;
        sleep(Duration::from_millis(round % 12)).await;
        stage.apply(&[]).await;
        // Whoever has been stopped has had the time to go on.
        sleep(Duration::from_millis(10)).await;
        assert_eq!(values.owned().await.unwrap(), [], "round {round}");
    }
}

#[tokio::test]
async fn a_source_that_is_edited_is_given_up_and_run_at_once() {
    let stage = Stage::new();
    let origin = Origin::start(Behaviour::Hang);
    stage.apply(&[("a", http(&origin.url("/")))]).await;
    until(|| origin.open() == 1).await;
    stage.apply(&[("a", fixed("edited"))]).await;
    stage.until("a", State::Ok).await;
    origin.behave(good("late"));
    until(|| origin.open() == 0).await;
    assert_eq!(stage.text("a").await.as_deref(), Some("edited"));
    // Each of its words counts.
    let rule = Task {
        rule: "@yearly".to_owned(),
        ..fixed("edited")
    };
    stage.apply(&[("a", rule)]).await;
    let facts = stage.until_facts("a", |facts| facts.runs == 2).await;
    assert_eq!(&*facts.work.unwrap().rule, "@yearly");
}

#[tokio::test]
async fn what_has_not_changed_goes_on_undisturbed() {
    let stage = Stage::new();
    let origin = Origin::start(Behaviour::Hang);
    let under_way = ("a", http(&origin.url("/")));
    stage.apply(&[under_way.clone(), ("b", fixed("1"))]).await;
    until(|| origin.open() == 1).await;
    let before = stage.until("b", State::Ok).await;
    stage
        .apply(&[("b", fixed("1")), under_way, ("c", fixed("1"))])
        .await;
    stage.until("c", State::Ok).await;
    assert_eq!(stage.facts("a").state, State::Running);
    let after = stage.facts("b");
    assert_eq!((after.runs, after.last_run_ms), (1, before.last_run_ms));
    origin.behave(good("1"));
    stage.until("a", State::Ok).await;
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_source_that_moves_takes_its_former_key_along() {
    let stage = Stage::new();
    for keyspace in ["one", "two"] {
        stage.make(keyspace, Durability::Synced).await;
    }
    let origin = Origin::start(good("1"));
    let source = http(&origin.url("/"));
    stage.apply(&[("a", within("one", source.clone()))]).await;
    stage.until("a", State::Ok).await;
    // A run in the former keyspace is under way.
    origin.behave(Behaviour::Hang);
    stage.pump.run("a").unwrap();
    until(|| origin.open() == 1).await;
    stage.apply(&[("a", within("two", source.clone()))]).await;
    assert!(stage.entry("one", "a").await.is_none());
    origin.behave(good("2"));
    stage.until("a", State::Ok).await;
    until(|| origin.open() == 0).await;
    assert_eq!(&*stage.entry("two", "a").await.unwrap().value, b"2");
    assert!(stage.entry("one", "a").await.is_none());
    // And while the service is stopped.
    let stage = stage.again().await;
    stage.apply(&[("a", within("one", source))]).await;
    stage.until("a", State::Ok).await;
    assert!(stage.entry("two", "a").await.is_none());
    assert_eq!(&*stage.entry("one", "a").await.unwrap().value, b"2");
}

#[tokio::test]
async fn a_flush_runs_all_sources_of_the_keyspace_and_no_others() {
    let stage = Stage::new();
    stage.make("other", Durability::Synced).await;
    stage.put("default", "taken", "a client's").await;
    let sources = [
        ("a", fixed("1")),
        ("b", fixed("2")),
        ("taken", fixed("3")),
        ("c", within("other", fixed("4"))),
    ];
    stage.apply(&sources).await;
    for name in ["a", "b", "c"] {
        stage.until(name, State::Ok).await;
    }
    stage.until("taken", State::Failing).await;
    assert_eq!(stage.flush("default").await, 3);
    for name in ["a", "b", "taken"] {
        stage
            .until_facts(name, |facts| facts.runs == 2 && facts.state == State::Ok)
            .await;
    }
    assert_eq!(stage.text("a").await.as_deref(), Some("1"));
    assert_eq!(stage.text("taken").await.as_deref(), Some("3"));
    assert_eq!(stage.facts("c").runs, 1);
}

#[tokio::test]
async fn a_flush_while_a_fetch_is_under_way_is_followed_by_another_run() {
    let stage = Stage::new();
    let origin = Origin::start(good("1"));
    stage.apply(&[("a", http(&origin.url("/")))]).await;
    stage.until("a", State::Ok).await;
    origin.behave(Behaviour::Hang);
    stage.pump.run("a").unwrap();
    until(|| origin.open() == 1).await;
    assert_eq!(stage.flush("default").await, 1);
    assert_eq!(stage.text("a").await, None);
    origin.behave(good("2"));
    stage
        .until_facts("a", |facts| facts.runs == 3 && facts.state == State::Ok)
        .await;
    assert_eq!(stage.text("a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_keyspace_that_is_not_there_is_waited_for() {
    let stage = Stage::new();
    stage.apply(&[("a", within("later", fixed("1")))]).await;
    let facts = stage.until("a", State::Failing).await;
    let failure = facts.last_failure.unwrap();
    assert_eq!(failure.code, "keyspace_not_found");
    assert!(failure.detail.contains("\"later\""), "{}", failure.detail);
    stage.make("later", Durability::Synced).await;
    stage.until("a", State::Ok).await;
    assert!(stage.entry("later", "a").await.is_some());
    // It may go, and come again.
    stage.keyspaces.drop_one("later").await.unwrap();
    stage.until("a", State::Failing).await;
    stage.make("later", Durability::Memory).await;
    stage.until("a", State::Ok).await;
    assert!(stage.entry("later", "a").await.is_some());
}

#[tokio::test]
async fn a_keyspace_in_memory_is_filled_again_after_a_restart() {
    let stage = Stage::new();
    stage.make("memory", Durability::Memory).await;
    let source = [("a", within("memory", fixed("1")))];
    stage.apply(&source).await;
    stage.until("a", State::Ok).await;
    let stage = stage.again().await;
    assert!(stage.entry("memory", "a").await.is_none());
    stage.apply(&source).await;
    stage.until("a", State::Ok).await;
    let entry = stage.entry("memory", "a").await.unwrap();
    assert_eq!(entry.owner.as_deref(), Some("a"));
    stage.apply(&[]).await;
    assert!(stage.entry("memory", "a").await.is_none());
}

#[tokio::test]
async fn no_source_writes_where_a_mirror_does() {
    let stage = Stage::new();
    stage.make("plant", Durability::Written).await;
    let sources = options(&[("a", within("plant", fixed("1")))]);
    let mirrored = BTreeSet::from(["plant".to_owned()]);
    stage.pump.apply(&sources, mirrored).await;
    let facts = stage.until("a", State::Failing).await;
    assert_eq!(facts.last_failure.unwrap().code, "keyspace_read_only");
    assert!(stage.entry("plant", "a").await.is_none());
}

#[tokio::test]
async fn names_that_cannot_be_read_take_nothing_along() {
    let stage = Stage::new();
    stage.apply(&[("a", fixed("1"))]).await;
    stage.until("a", State::Ok).await;
    let unreadable = Options {
        scheduled: Vec::new(),
        unreadable: Some("sources is no map".to_owned()),
    };
    stage.pump.apply(&unreadable, BTreeSet::new()).await;
    assert_eq!(stage.text("a").await.as_deref(), Some("1"));
    assert_eq!(stage.run("a").await.state, State::Ok, "it goes on");
    let stage = stage.again().await;
    stage.pump.apply(&unreadable, BTreeSet::new()).await;
    assert_eq!(stage.text("a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_value_of_a_source_that_is_invalid_stays_and_is_stale() {
    let stage = Stage::new();
    stage.apply(&[("a", fixed("1"))]).await;
    stage.until("a", State::Ok).await;
    let invalid = Options {
        scheduled: vec![Scheduled {
            name: "a".to_owned(),
            task: Err("http.endpoint: no address".to_owned()),
        }],
        unreadable: None,
    };
    stage.pump.apply(&invalid, BTreeSet::new()).await;
    let facts = stage.facts("a");
    assert_eq!((facts.state, facts.stale), (State::Invalid, true));
    assert_eq!(facts.reason.as_deref(), Some("http.endpoint: no address"));
    assert_eq!(stage.text("a").await.as_deref(), Some("1"));
    let stage = stage.again().await;
    stage.pump.apply(&invalid, BTreeSet::new()).await;
    let facts = stage.facts("a");
    assert_eq!((facts.state, facts.stale), (State::Invalid, true));
    assert_eq!(facts.held.unwrap().len, 1);
    assert_eq!(stage.text("a").await.as_deref(), Some("1"));
    stage.apply(&[("a", fixed("2"))]).await;
    stage.until("a", State::Ok).await;
    assert_eq!(stage.text("a").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn nothing_is_written_once_it_has_stopped() {
    let stage = Stage::new();
    let origin = Origin::start(Behaviour::Hang);
    stage.apply(&[("a", http(&origin.url("/")))]).await;
    until(|| origin.open() == 1).await;
    stage.pump.stop().await;
    origin.behave(good("late"));
    until(|| origin.open() == 0).await;
    assert_eq!(stage.text("a").await, None);
    stage.apply(&[("b", fixed("1"))]).await;
    assert!(stage.pump.list().iter().all(|facts| &*facts.name == "a"));
    assert_eq!(stage.text("b").await, None);
}
