//! Who may write, what is written, and what is not.

use super::*;

#[tokio::test]
async fn a_feed_that_was_replaced_overwrites_nothing() {
    let trial = Trial::new(Durability::Written).await;
    trial.take(&[puts("a", "old")]).await;
    let newer = trial.keyspaces.feed("copy", ROOM).await.unwrap();
    newer.take(&[puts("a", "new")]).await.unwrap();
    for late in [
        puts("a", "old"),
        gone("a"),
        Received::Flushed {
            prefix: String::new(),
        },
    ] {
        let untaken = trial.feed.take(&[late]).await.unwrap_err();
        assert!(matches!(untaken.why, Why::Superseded), "{untaken:?}");
    }
    assert_eq!(trial.value("a").await.as_deref(), Some("new"));
    let values = trial.copy();
    let value = Value {
        key: b"s",
        media_type: "text/plain",
        content_encoding: None,
        ttl: Ttl::Forever,
    };
    let by_the_clock = values.put_for_source("s", &value, b"1").await;
    assert!(matches!(by_the_clock, Err(Refusal::ReadOnly { .. })));
    // Nor does the last one, once the keyspace follows nobody any more.
    assert!(matches!(
        put(&values, "a", b"mine").await,
        Err(Refusal::ReadOnly { .. })
    ));
    trial.keyspaces.set_roles(BTreeMap::new()).await;
    put(&values, "a", b"mine").await.unwrap();
    let untaken = newer.take(&[puts("a", "late")]).await.unwrap_err();
    assert!(matches!(untaken.why, Why::Superseded), "{untaken:?}");
    assert_eq!(trial.value("a").await.as_deref(), Some("mine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyspace_follows_only_when_the_changes_are_made_that_clients_had_begun() {
    let machine = Simulated::new();
    let keyspaces = keyspaces(machine.open(PATIENCE));
    keyspaces.set("copy", &Policy::default()).await.unwrap();
    machine.stall();
    let values = keyspaces.values("copy").unwrap();
    let begun = tokio::spawn(async move { put(&values, "a", b"client").await });
    machine.wait_until_stalled();
    let set = keyspaces.set_roles(mirrored());
    tokio::pin!(set);
    let early = timeout(MOMENT, &mut set).await;
    assert!(early.is_err(), "a client's change is still being made");
    // Who comes later is refused already.
    let values = keyspaces.values("copy").unwrap();
    let refused = put(&values, "b", b"client").await;
    assert!(matches!(refused, Err(Refusal::ReadOnly { .. })));
    machine.release();
    timeout(PATIENCE, set).await.unwrap();
    begun.await.unwrap().unwrap();
}

#[tokio::test]
async fn equal_values_are_neither_written_nor_announced_again() {
    let trial = Trial::new(Durability::Written).await;
    let mut watch = trial.watch(Begin::Now, false);
    trial
        .take(&[puts("a", "1"), puts("a", "1"), gone("b"), puts("a", "2")])
        .await;
    assert_eq!(told(&mut watch, 2).await, ["+a=1", "+a=2"]);
    let version = trial.find("a").await.unwrap().version;
    trial.take(&[puts("a", "2")]).await;
    nothing_is_told(&mut watch).await;
    assert_eq!(trial.find("a").await.unwrap().version, version);
    // Another type is another value.
    let other = Received::Put {
        key: "a".to_owned(),
        content: Content {
            value: "2".into(),
            media_type: Some("text/css".to_owned()),
            content_encoding: Some("br".to_owned()),
        },
    };
    trial.take(&[other]).await;
    assert_eq!(told(&mut watch, 1).await, ["+a=2"]);
}

#[tokio::test]
async fn what_a_client_or_a_source_wrote_before_is_overwritten() {
    let machine = Simulated::new();
    let keyspaces = keyspaces(machine.open(PATIENCE));
    keyspaces.set("copy", &Policy::default()).await.unwrap();
    let values = keyspaces.values("copy").unwrap();
    put(&values, "client", b"1").await.unwrap();
    for key in ["source", "other"] {
        let facts = Facts {
            media_type: "text/plain",
            content_encoding: None,
            lifetime: Lifetime::default(),
            writer: Writer::Source("hourly"),
        };
        let mut draft = values.entries.draft(key.as_bytes(), 1, &facts).unwrap();
        draft.write(0, b"1");
        let when = Conditions::default();
        let put = values.entries.put(draft, &when, Durability::Synced).await;
        assert!(matches!(put, Ok(Put::Created(_))));
    }
    keyspaces.set_roles(mirrored()).await;
    let feed = keyspaces.feed("copy", ROOM).await.unwrap();
    let changes = [puts("client", "2"), puts("source", "2"), gone("other")];
    feed.take(&changes).await.unwrap();
    for key in ["client", "source"] {
        let entry = values.find(key.as_bytes()).await.unwrap().unwrap();
        assert_eq!((&*entry.value, entry.owner), (b"2".as_slice(), None));
    }
    assert!(values.find(b"other").await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_refused_for_itself_is_marked_and_the_others_are_taken() {
    let trial = Trial::new(Durability::Written).await;
    let long = "k".repeat(1025);
    let large = "x".repeat((1 << 20) + 1);
    trial
        .take(&[
            puts("a", "1"),
            puts(&long, "1"),
            puts("large", &large),
            puts("z", "1"),
        ])
        .await;
    assert_eq!(trial.keys("", 10).await, ["a", "z"]);
    let fares = trial.feed.fares(10);
    assert_eq!(fares.remarkable.len(), 2);
    assert!(fares.remarkable.iter().all(|key| key.refused.is_some()));
    trial.take(&[puts("large", "1")]).await;
    assert_eq!(trial.feed.fares(10).remarkable_in_all, 1);
}
