//! Failing calls: the n-th of every kind, for every n, once and for ever. Nothing acknowledged is lost, poisoned stays
//! poisoned, and a full disk never poisons.

use std::env;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use standpipe_store::fs::fault::{
    AllKept, AllLost, Call, Effect, ErrorNumber, Fault, Seeded, SimDir,
};
use standpipe_store::{Clock, CompactError, Conditions, Level, Options, Store, WriteError, Writer};

use crate::harness::{self, block_on, default_keyspace, open, seen, until};
use crate::promises::{Change, Model, of_default};

/// Says which fault was planned when a test panics.
struct Planned(String);

impl Drop for Planned {
    #[expect(clippy::print_stderr, reason = "the fault of a failure must be seen")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("planned: {}", self.0);
        }
    }
}

fn options() -> Options {
    Options {
        room_wait: Duration::from_millis(100),
        ..harness::small()
    }
}

/// One client that goes through everything a store does, and takes every error as it comes.
struct Client {
    sim: SimDir,
    clock: Arc<Clock>,
    model: Model,
    /// The first answer that durability is lost.
    lost: bool,
    full: bool,
    overloaded: bool,
}

impl Client {
    fn new() -> Self {
        Self {
            sim: SimDir::new(),
            clock: harness::clock(),
            model: Model::default(),
            lost: false,
            full: false,
            overloaded: false,
        }
    }

    /// Opens, writes past several rotations, compacts twice, deletes, closes, and does it again.
    fn everything(&mut self) {
        for round in 0..2 {
            let Ok(store) = open(&self.sim, &options(), &self.clock) else {
                return;
            };
            let kept = self.model.check(&store, self.clock.now_ms());
            self.model.promise(kept);
            self.lost = false;
            for number in 0..12 {
                self.put(&store, &format!("key-{}", number % 5), 6_000 + round);
            }
            self.compact(&store);
            self.put(&store, "between", 10);
            self.delete(&store, "key-1");
            self.compact(&store);
            self.put(&store, "last", 10);
            if store.close().is_ok() {
                self.model.promise(self.model.newest());
            }
        }
    }

    fn put(&mut self, store: &Store, key: &str, len: usize) {
        let keyspace = default_keyspace(store);
        let draft = harness::draft(store, key.as_bytes(), &vec![b'v'; len], "a/b", None);
        let when = Conditions::default();
        let put = store.put(&keyspace, draft, &when, Level::Durable);
        match block_on(put) {
            Ok(put) => {
                assert!(!self.lost, "a poisoned store took a write");
                let entry = store.get(&keyspace, key.as_bytes()).entry.unwrap();
                let change = Change::Put(of_default(key), seen(store, &entry));
                self.model.took(put.own.unwrap(), change);
                self.wait(store, put.seen.max(put.own.unwrap()));
            }
            Err(e) => self.failed(store, &e),
        }
    }

    fn delete(&mut self, store: &Store, key: &str) {
        let keyspace = default_keyspace(store);
        let when = Conditions::default();
        let delete = store.delete(
            &keyspace,
            key.as_bytes(),
            &when,
            Writer::Client,
            Level::Durable,
        );
        match block_on(delete) {
            Ok(delete) => {
                assert!(
                    !self.lost || delete.own.is_none(),
                    "a poisoned store took a delete"
                );
                if let Some(own) = delete.own {
                    self.model.took(own, Change::Delete(of_default(key)));
                }
                self.wait(store, delete.seen.max(delete.own.unwrap_or(0)));
            }
            Err(e) => self.failed(store, &e),
        }
    }

    fn compact(&mut self, store: &Store) {
        match block_on(store.compact()) {
            Ok(_) => assert!(!self.lost, "a poisoned store installed a snapshot"),
            Err(CompactError::Lost(_)) => self.lost = true,
            Err(_) => {}
        }
    }

    fn wait(&mut self, store: &Store, revision: u64) {
        match block_on(store.wait_durable(revision)) {
            Ok(()) => self.model.promise(revision),
            Err(_) => self.lost = true,
        }
        // The other way round is possible: it was durable, and another thread met the failure since.
        assert!(
            !self.lost || store.health().lost.is_some(),
            "who is lost is poisoned"
        );
    }

    fn failed(&mut self, store: &Store, error: &WriteError) {
        match error {
            WriteError::Lost(_) => self.lost = true,
            WriteError::DiskFull => self.full = true,
            WriteError::Overloaded { .. } => self.overloaded = true,
            WriteError::TooLarge { .. }
            | WriteError::Dropped
            | WriteError::KeyspaceFull { .. }
            | WriteError::EntryTooLarge { .. }
            | WriteError::SinkBacklog { .. }
            | WriteError::Closing => panic!("{error}"),
        }
        if self.lost {
            assert!(store.health().lost.is_some());
        }
    }

    /// Whatever the failure left must recover to all that was promised, and take writes again.
    fn recovers(&self) {
        let images = [
            self.sim.crash_image(&mut AllLost),
            self.sim.crash_image(&mut AllKept),
            self.sim.crash_image(&mut Seeded::new(1)),
            self.sim.crash_image(&mut Seeded::new(2)),
            self.sim.fork().kill(),
        ];
        for sim in images {
            let mut next = Self {
                sim,
                model: self.model.clone(),
                clock: Arc::clone(&self.clock),
                ..Self::new()
            };
            let store = open(&next.sim, &options(), &next.clock).unwrap();
            let kept = next.model.check(&store, next.clock.now_ms());
            next.model.promise(kept);
            next.put(&store, "after", 10);
            assert!(!(next.lost || next.full || next.overloaded));
            next.sim = next.sim.crash_all_lost();
            drop(store);
            let store = open(&next.sim, &options(), &next.clock).unwrap();
            next.model.check(&store, next.clock.now_ms());
        }
    }
}

/// The numbers of calls that are failed, of `count`.
fn some_of(count: u64, first: u64) -> impl Iterator<Item = u64> {
    let every = env::var("STANDPIPE_FAULTS").is_ok_and(|value| value == "every");
    let (first, step) = if every { (1, 1) } else { (1 + first % 5, 5) };
    (first..=count).step_by(step)
}

/// Fails the n-th call of this kind: for every n that the client's way has where `STANDPIPE_FAULTS` says `every`, otherwise
/// for some, and others in the next test that asks.
fn for_every_call(call: Call, effect: Effect, first: u64) {
    let without = {
        let mut client = Client::new();
        client.everything();
        client.sim.calls(call)
    };
    assert!(without > 0, "{call:?} is never called");
    for nth in some_of(without, first) {
        for always in [false, true] {
            let planned = Planned(format!("{call:?} {nth} {effect:?}, always: {always}"));
            let mut client = Client::new();
            let fault = Fault::on(call).nth(nth).effect(effect);
            client.sim.fail(if always { fault.always() } else { fault });
            client.everything();
            client.recovers();
            drop(planned);
        }
    }
}

fn io_error() -> Effect {
    Effect::Fail(ErrorNumber::IO)
}

#[test]
fn a_failed_sync_is_never_retried_into_a_false_success() {
    for call in [Call::SyncData, Call::SyncAll, Call::SyncDir] {
        let effects = [
            io_error(),
            Effect::FailPartly(ErrorNumber::IO),
            Effect::FailAfter(ErrorNumber::IO),
            Effect::Fail(ErrorNumber::NOSPC),
        ];
        for (first, effect) in (0..).zip(effects) {
            for_every_call(call, effect, first);
        }
    }
}

#[test]
fn a_failed_rename_loses_nothing_whether_it_was_done_or_not() {
    for (first, effect) in (0..).zip([io_error(), Effect::FailAfter(ErrorNumber::IO)]) {
        for_every_call(Call::Rename, effect, first);
    }
}

#[test]
fn a_failed_write_loses_nothing_that_was_acknowledged() {
    for (first, effect) in (0..).zip([io_error(), Effect::FailAfter(ErrorNumber::IO)]) {
        for_every_call(Call::Write, effect, first);
    }
}

#[test]
fn every_other_failing_call_loses_nothing() {
    let calls = [
        Call::Create,
        Call::CreateDir,
        Call::Open,
        Call::List,
        Call::Remove,
        Call::Space,
        Call::Lock,
        Call::Read,
        Call::SetLen,
        Call::Len,
        Call::DropCache,
    ];
    for (first, call) in (0..).zip(calls) {
        for_every_call(call, io_error(), first);
    }
}

/// The n-th write fails or is short as on a disk that is full for a moment.
#[test]
fn a_disk_full_for_a_moment_never_poisons() {
    let errors = [
        ErrorNumber::NOSPC,
        ErrorNumber::DQUOT,
        ErrorNumber::FBIG,
        ErrorNumber::INTR,
    ];
    let mut effects: Vec<Effect> = errors.into_iter().map(Effect::Fail).collect();
    effects.extend([Effect::Short(1), Effect::Short(700)]);
    let calls = {
        let mut probe = Client::new();
        probe.everything();
        probe.sim.calls(Call::Write)
    };
    for (first, effect) in (0..).zip(effects) {
        for nth in some_of(calls, first) {
            let planned = Planned(format!("write {nth} {effect:?}"));
            let mut client = Client::new();
            client
                .sim
                .fail(Fault::on(Call::Write).nth(nth).effect(effect));
            client.everything();
            assert!(!client.lost, "a full disk poisoned the store");
            client.recovers();
            drop(planned);
        }
    }
}

#[test]
fn a_full_disk_refuses_puts_serves_reads_takes_deletes_and_resumes() {
    let mut client = Client::new();
    let store = open(&client.sim, &options(), &client.clock).unwrap();
    client.put(&store, "first", 100);
    let keyspace = default_keyspace(&store);
    // The reserve is made by the helper once the service is ready.
    until(|| {
        client
            .sim
            .files()
            .iter()
            .any(|(path, len)| path.contains("reserve") && *len > 0)
    });
    client.sim.limit(Some(client.sim.used()));
    for number in 0..200 {
        client.put(&store, &format!("key-{}", number % 3), 5_000);
        if client.full {
            break;
        }
    }
    assert!(client.full && !client.lost, "the disk filled up");
    assert!(store.health().disk_full);
    assert_eq!(
        store.get(&keyspace, b"first").entry.unwrap().value().len(),
        100
    );
    client.delete(&store, "key-1");
    assert!(
        store.get(&keyspace, b"key-1").entry.is_none(),
        "a delete works on a full disk"
    );
    client.recovers();
    client.sim.limit(None);
    until(|| !store.health().disk_full);
    client.full = false;
    client.put(&store, "again", 5_000);
    assert!(!client.full && !client.overloaded);
    store.close().unwrap();
    client.model.promise(client.model.newest());
    client.recovers();
}

#[test]
fn what_a_failed_sync_left_in_doubt_is_told_to_nobody() {
    let mut client = Client::new();
    let store = open(&client.sim, &options(), &client.clock).unwrap();
    client.put(&store, "safe", 10);
    client.sim.fail(Fault::on(Call::SyncData).always());
    client.put(&store, "doubtful", 10);
    assert!(client.lost);
    let keyspace = default_keyspace(&store);
    let safe = store.get(&keyspace, b"safe");
    block_on(store.wait_durable(safe.seen)).unwrap();
    let doubtful = store.get(&keyspace, b"doubtful");
    if doubtful.entry.is_some() {
        block_on(store.wait_durable(doubtful.seen)).unwrap_err();
    }
    client.sim.heal();
    // The disk is well again, but nobody knows what it holds: the process stays poisoned.
    client.put(&store, "late", 10);
    client.delete(&store, "safe");
    client.compact(&store);
    block_on(store.until_lost());
    client.recovers();
}
