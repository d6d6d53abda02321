//! Whose an entry is, and what is told of without being stored.

use std::future::poll_fn;

use super::*;
use crate::engine::{Begin, Entry, Filter, Holder, Owned, Told, Touched, Watching, What};

const SYNCED: Durability = Durability::Synced;

fn facts(writer: Writer<'_>, lifetime: Lifetime) -> Facts<'_> {
    Facts {
        media_type: MediaType::TEXT,
        content_encoding: None,
        lifetime,
        writer,
    }
}

fn draft(entries: &Entries, key: &str, writer: Writer<'_>) -> super::super::Draft {
    let facts = facts(writer, Lifetime::default());
    let mut draft = entries.draft(key.as_bytes(), 5, &facts).unwrap();
    draft.write(0, b"value");
    draft
}

async fn put_by(entries: &Entries, key: &str, writer: Writer<'_>) -> Put {
    let any = Conditions::default();
    let draft = draft(entries, key, writer);
    entries.put(draft, &any, SYNCED).await.unwrap()
}

async fn found(entries: &Entries, key: &str) -> Entry {
    entries.find(key.as_bytes()).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_a_source_wrote_is_its_own_and_a_client_is_told_whose_it_is() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = &engine.default_entries();
    let any = &Conditions::default();
    let (one, client) = (Writer::Source("one"), Writer::Client);
    assert!(matches!(
        put_by(entries, "mine", one).await,
        Put::Created(_)
    ));
    assert!(matches!(
        put_by(entries, "free", client).await,
        Put::Created(_)
    ));
    let mine = Holder::Source("one".into());
    assert_eq!(
        put_by(entries, "mine", client).await,
        Put::Foreign(mine.clone())
    );
    assert_eq!(
        put_by(entries, "free", one).await,
        Put::Foreign(Holder::Client)
    );
    let removed = entries.delete(b"mine", any, client, SYNCED).await.unwrap();
    assert_eq!(removed, Delete::Foreign(mine.clone()));
    let late = Lifetime::until(Some(u64::MAX));
    let touched = entries.touch(b"mine", late, any, client, SYNCED).await;
    assert!(matches!(touched, Ok(Touched::Foreign(held)) if held == mine));
    assert_eq!(found(entries, "mine").await.owner.as_deref(), Some("one"));
    assert_eq!(found(entries, "free").await.owner, None);
    let owned = Owned {
        key: "mine".into(),
        owner: "one".into(),
    };
    assert_eq!(entries.owned().await.unwrap(), [owned]);
    let removed = entries.delete(b"mine", any, one, SYNCED).await.unwrap();
    assert_eq!(removed, Delete::Removed);
    assert_eq!(entries.owned().await.unwrap(), []);
    engine.close().unwrap();
}

#[tokio::test]
async fn a_value_says_until_when_it_is_fresh_until_it_is_given_another_lifetime() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = &engine.default_entries();
    let any = &Conditions::default();
    let lifetime = Lifetime {
        expires_at_ms: None,
        stale_at_ms: Some(7),
    };
    let draft = entries.draft(b"a", 5, &facts(Writer::Client, lifetime));
    let put = entries.put(draft.unwrap(), any, SYNCED).await.unwrap();
    assert!(matches!(put, Put::Created(_)));
    let stale_at_ms = found(entries, "a").await.stale_at_ms;
    assert_eq!(stale_at_ms, Some(7), "it is there, stale or not");
    let client = Writer::Client;
    let touched = entries.touch(b"a", Lifetime::default(), any, client, SYNCED);
    assert!(matches!(touched.await, Ok(Touched::Set(entry)) if entry.stale_at_ms.is_none()));
    engine.close().unwrap();
}

async fn next(watch: &mut super::super::Watch) -> Told {
    let told = poll_fn(|context| watch.poll_told(context));
    timeout(PATIENCE, told).await.expect("something is told")
}

#[tokio::test]
async fn what_is_announced_has_no_place_and_is_stored_nowhere() {
    let machine = SimDir::new();
    let engine = engine(&machine, None);
    let entries = &engine.default_entries();
    let watching = Watching {
        filter: Filter::Prefix([].into()),
        begin: Begin::Now,
        initial: false,
    };
    let mut watch = entries.watch(watching).unwrap();
    let announced = entries.announce(draft(entries, "a", Writer::Client));
    entries.announce_removed(b"b");
    assert_eq!(&*announced.value, b"value");
    let unstored = entries.unstored(draft(entries, "a", Writer::Client));
    let drawn = entries.unstored_version();
    assert!(announced.version != unstored.version && unstored.version != drawn);
    let Told::Event(event) = next(&mut watch).await else {
        panic!("no event")
    };
    assert_eq!(event.place(), None);
    assert!(matches!(event.what(), What::Put(b"a", entry) if entry.version == announced.version));
    let Told::Event(event) = next(&mut watch).await else {
        panic!("no event")
    };
    assert_eq!(event.place(), None);
    assert!(matches!(event.what(), What::Delete(b"b")));
    assert!(entries.find(b"a").await.unwrap().is_none());
    engine.close().unwrap();
}
