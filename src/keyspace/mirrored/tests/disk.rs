//! Over a disk that fills up, fails or stalls: updates go on, everything that reads sees them, and what can be stored is.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_updates_are_served_from_memory_and_stored_when_there_is_space() {
    let trial = Trial::new(Durability::Synced).await;
    trial
        .take(&[puts("a", "1"), puts("b", "1"), puts("d", "1")])
        .await;
    trial.fill().await;
    trial
        .take(&[puts("a", "22"), puts("c", "1"), puts("a", "333")])
        .await;
    assert_eq!(trial.value("a").await.as_deref(), Some("333"));
    assert_eq!(trial.value("c").await.as_deref(), Some("1"));
    assert_eq!(trial.value("b").await.as_deref(), Some("1"));
    assert!(trial.find("a").await.unwrap().version.revision >= UNSTORED);
    assert_eq!(trial.keys("", 2).await, ["a", "b", "c", "d"]);
    let fares = trial.feed.fares(10);
    assert_eq!((fares.unstored, fares.remarkable_in_all), (2, 2));
    assert!(fares.remarkable.iter().all(|key| key.unstored && !key.kept));
    // Deletions need no space, and what goes and comes is in order.
    trial.take(&[gone("b"), gone("c")]).await;
    assert_eq!(trial.keys("", 10).await, ["a", "d"]);
    let version = trial.find("a").await.unwrap().version;
    trial.take(&[puts("a", "333")]).await;
    assert_eq!(
        trial.find("a").await.unwrap().version,
        version,
        "it is the same"
    );

    trial.machine.free();
    trial.stored().await;
    let entry = trial.find("a").await.unwrap();
    assert!(entry.version.revision < UNSTORED);
    assert_eq!(&*entry.value, b"333");
    let Trial {
        machine, keyspaces, ..
    } = trial;
    let killed = machine.kill();
    drop(keyspaces);
    let trial = Trial::over(killed, Durability::Synced, PATIENCE).await;
    assert_eq!(trial.keys("", 10).await, ["a", "d"]);
    assert_eq!(trial.find("a").await.unwrap().version, entry.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_over_the_store_is_seen_by_everything_that_reads() {
    let trial = Trial::new(Durability::Written).await;
    trial.take(&[puts("n", "1"), puts("gone", "1")]).await;
    trial.fill().await;
    trial
        .take(&[puts("n", "7"), puts("text", "x"), gone("gone")])
        .await;
    let copy = trial.copy();
    let counter = copy.counter(b"n").await.unwrap().unwrap();
    assert_eq!(counter.value, 7);
    assert!(matches!(
        copy.counter(b"text").await,
        Err(Refusal::NotACounter)
    ));
    assert!(copy.counter(b"gone").await.unwrap().is_none());
    let get = |key: &'static str| Operation {
        key: key.into(),
        action: Action::Get,
    };
    let operations = [get("n"), get("text"), get("gone"), get("absent")];
    let values = |done: &Done| match done {
        Done::Got(entry) => entry.as_ref().map(|entry| entry.value.clone()),
        other @ (Done::Put(_) | Done::Deleted(_) | Done::Counted(_)) => panic!("{other:?}"),
    };
    let expected = [Some("7".into()), Some("x".into()), None, None];
    let each = copy.each(&operations, None, 1_000).await.unwrap();
    let each: Vec<Option<Bytes>> = each
        .iter()
        .map(|one| values(one.as_ref().unwrap()))
        .collect();
    assert_eq!(each, expected);
    let Atomic::Done(all) = copy.atomically(&operations, None).await.unwrap() else {
        panic!("it only reads")
    };
    assert_eq!(all.iter().map(values).collect::<Vec<_>>(), expected);
    let entry = trial.find("n").await.unwrap();
    assert_eq!(copy.ttl_left_ms(&entry), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_meets_each_key_once_whatever_lies_over_the_store() {
    let trial = Trial::new(Durability::Written).await;
    let stored: Vec<_> = (0..40).map(|n| puts(&format!("k{n:02}"), "1")).collect();
    trial.take(&stored).await;
    trial.fill().await;
    // Every other is new, every fourth is gone, and a whole page in the middle.
    let laid: Vec<_> = (0..40).map(|n| puts(&format!("k{n:02}x"), "1")).collect();
    trial.take(&laid).await;
    trial.machine.fail();
    let gone: Vec<_> = (0..40)
        .filter(|n| n % 4 == 0 || (10..20).contains(n))
        .map(|n| gone(&format!("k{n:02}")))
        .collect();
    trial.take(&gone).await;
    let mut expected: Vec<String> = (0..40)
        .flat_map(|n| {
            let kept = n % 4 != 0 && !(10..20).contains(&n);
            let stored = kept.then(|| format!("k{n:02}"));
            stored.into_iter().chain([format!("k{n:02}x")])
        })
        .collect();
    for limit in [1, 2, 3, 7, 100] {
        assert_eq!(trial.keys("", limit).await, expected, "{limit} a page");
    }
    expected.retain(|key| key.starts_with("k1"));
    assert_eq!(trial.keys("k1", 3).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_has_failed_stops_no_update() {
    let trial = Trial::new(Durability::Synced).await;
    trial
        .take(&[
            puts("a", "1"),
            puts("p/1", "1"),
            puts("p/2", "1"),
            puts("z", "1"),
        ])
        .await;
    trial.machine.fail();
    trial.take(&[puts("a", "2"), gone("z")]).await;
    trial.take(&[gone("p/1"), puts("n", "1")]).await;
    for (key, value) in [
        ("a", Some("2")),
        ("n", Some("1")),
        ("z", None),
        ("p/1", None),
        ("p/2", Some("1")),
    ] {
        assert_eq!(trial.value(key).await.as_deref(), value, "{key}");
    }
    assert_eq!(trial.feed.store_the_rest().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_updates_go_on_whatever_the_disk_does() {
    let trial = Trial::new(Durability::Memory).await;
    trial.fill().await;
    trial
        .take(&[puts("a", "1"), puts("b", "1"), gone("a")])
        .await;
    trial.machine.fail();
    trial.take(&[puts("a", "2")]).await;
    assert_eq!(trial.keys("", 10).await, ["a", "b"]);
    assert_eq!(trial.feed.fares(10), Fares::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_takes_as_much_memory_as_it_may_and_no_more() {
    let trial = Trial::new(Durability::Written).await;
    trial.fill().await;
    let feed = trial.keyspaces.feed("copy", 2_000).await.unwrap();
    let many: Vec<_> = (0..10)
        .map(|n| puts(&n.to_string(), &"x".repeat(200)))
        .collect();
    let untaken = feed.take(&many).await.unwrap_err();
    assert!(
        matches!(untaken.why, Why::Unstored { limit: 2_000 }),
        "{untaken:?}"
    );
    assert_eq!(untaken.taken, 4);
    let fares = feed.fares(0);
    assert_eq!(fares.unstored, 4);
    assert!(fares.unstored_bytes <= 2_000);
    assert_eq!(trial.keys("", 10).await, ["0", "1", "2", "3"]);
    // A key that is there already may change, and one that goes makes room.
    feed.take(&[puts("0", &"y".repeat(200))]).await.unwrap();
    feed.take(&[gone("1")]).await.unwrap();
    feed.take(&many[4..5]).await.unwrap();
    assert_eq!(trial.keys("", 10).await, ["0", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_durable_in_time_is_served_and_not_made_twice() {
    let wait = Duration::from_millis(50);
    let trial = Trial::over(Simulated::new(), Durability::Synced, wait).await;
    trial.take(&[puts("a", "1")]).await;
    let before = trial.find("a").await.unwrap().version;
    trial.machine.stall();
    trial.take(&[puts("a", "2")]).await;
    assert_eq!(trial.value("a").await.as_deref(), Some("2"));
    trial.machine.release();
    trial.stored().await;
    let after = trial.find("a").await.unwrap();
    assert_eq!(&*after.value, b"2");
    assert_eq!(after.version.revision, before.revision + 1);
}
