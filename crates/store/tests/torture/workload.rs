//! A client that does anything, one thing after another, and remembers what it was promised; and the crashes it meets.

use std::mem;
use std::sync::Arc;
use std::thread;

use standpipe_store::fs::fault::{SECTOR, Seeded, SimDir};
use standpipe_store::{
    Clock, Conditions, Deleted, Entry, Keyspace, Level, Lifetime, Meta, Options, Putted, Store,
    Versions, Writer,
};

use crate::harness::{self, block_on, open, seen};
use crate::promises::{Change, Key, Model};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The power goes: what was not synced is there in any part.
    Power,
    /// The process goes: everything written is there, unsynced.
    Process,
}

/// One machine, its store, and what the client knows.
pub(crate) struct Workload {
    seed: u64,
    pub(crate) dice: Seeded,
    pub(crate) sim: SimDir,
    pub(crate) clock: Arc<Clock>,
    pub(crate) options: Options,
    store: Option<Store>,
    pub(crate) model: Model,
    /// Everything up to here was acknowledged as written.
    written: u64,
    /// The same of a process that has ended: it is kept while the machine stays on.
    left_behind: u64,
    /// Crash states looked at.
    pub(crate) states: u64,
    /// What was done, for whoever has to find out why it failed.
    pub(crate) trace: Vec<String>,
}

impl Drop for Workload {
    #[expect(clippy::print_stderr, reason = "the seed of a failure must be seen")]
    fn drop(&mut self) {
        if thread::panicking() {
            let from = self.trace.len().saturating_sub(60);
            for line in &self.trace[from..] {
                eprintln!("  {line}");
            }
            eprintln!(
                "seed {}: STANDPIPE_TORTURE_SEED={} repeats it",
                self.seed, self.seed
            );
        }
    }
}

impl Workload {
    /// An empty store of a new machine.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Seeded::new(seed);
        let mut options = harness::small();
        options.shards = [1, 4][dice.below(2)];
        Self {
            seed,
            dice,
            sim: SimDir::new(),
            clock: harness::clock(),
            options,
            store: None,
            model: Model::default(),
            written: 0,
            left_behind: 0,
            states: 0,
            trace: Vec::new(),
        }
    }

    pub(crate) fn say(&mut self, line: String) {
        self.trace.push(line);
    }

    pub(crate) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Opens the store, through as many crashes as it takes, and holds what it shows to the promises.
    pub(crate) fn recover(&mut self) {
        loop {
            if self.dice.below(3) == 0 {
                let steps = self.dice.bits() % 50;
                self.say(format!("the machine stops after {steps} steps"));
                self.sim.stop_after(steps);
            }
            match open(&self.sim, &self.options, &self.clock) {
                Ok(store) => {
                    self.model.promise(self.left_behind);
                    let kept = self.model.check(&store, self.clock.now_ms());
                    self.say(format!("recovered to {kept}"));
                    // What a start shows was synced before it was shown.
                    self.model.promise(kept);
                    self.written = kept;
                    self.states += 1;
                    self.store = Some(store);
                    return;
                }
                Err(_) if self.sim.is_off() => {
                    self.say("crashed inside recovery".to_owned());
                    self.end();
                }
                Err(e) => {
                    self.say_files();
                    panic!("recovery refuses: {e}")
                }
            }
        }
    }

    /// Notes what is on the disk, for whoever has to find out why a start was refused.
    fn say_files(&mut self) {
        for (path, len) in self.sim.files() {
            let bytes = self.sim.bytes(&path).unwrap();
            let sectors = bytes.chunks(SECTOR).enumerate();
            let used = sectors.filter(|(_, sector)| sector.iter().any(|byte| *byte != 0));
            let used: Vec<usize> = used.map(|(number, _)| number).collect();
            self.say(format!("file {path}: {len} bytes, sectors {used:?}"));
        }
    }

    /// Ends the process or the machine, whatever state it is in.
    pub(crate) fn end(&mut self) {
        let end = if self.dice.below(5) == 0 {
            End::Process
        } else {
            End::Power
        };
        self.end_by(end);
    }

    fn end_by(&mut self, end: End) {
        let next = match (end, self.dice.below(6)) {
            (End::Process, _) => self.sim.kill(),
            (End::Power, 0) => self.sim.crash_all_lost(),
            (End::Power, 1) => self.sim.crash_all_kept(),
            (End::Power, _) => {
                let seed = self.dice.bits();
                self.sim.crash(&mut Seeded::new(seed))
            }
        };
        self.say(format!("{end:?} off"));
        drop(self.store.take());
        self.left_behind = match end {
            End::Process => self.left_behind.max(self.written),
            End::Power => 0,
        };
        self.written = 0;
        self.sim = next;
    }

    /// Does one thing. Errors are fine where the machine is off, and nowhere else.
    pub(crate) fn act(&mut self) {
        match self.dice.below(130) {
            0..50 => self.put(),
            50..60 => self.delete(),
            60..62 => self.flush(),
            62..72 => self.conditional_put(),
            72..82 => self.read(),
            82..92 => self.wait(),
            92..95 => self.compact(),
            95..97 => {
                let ms = self.dice.bits() % 4_000;
                self.clock.advance(ms);
                self.say(format!("{ms} ms pass"));
            }
            97..99 => self.restart(),
            99 => {
                self.end_by(End::Process);
                self.recover();
            }
            _ => self.operate(),
        }
    }

    /// One of the keyspaces that there are.
    pub(crate) fn keyspace(&mut self) -> Arc<Keyspace> {
        let all = self.store().keyspaces();
        let at = self.dice.below(all.len());
        Arc::clone(&all[at])
    }

    pub(crate) fn level(&mut self) -> Level {
        [Level::Durable, Level::Written][self.dice.below(2)]
    }

    pub(crate) fn key(&mut self) -> Vec<u8> {
        format!("key-{}", self.dice.below(10)).into_bytes()
    }

    pub(crate) fn value(&mut self) -> Vec<u8> {
        let len = match self.dice.below(20) {
            0 => 0,
            1..14 => self.dice.below(100),
            14..18 => self.dice.below(2_000),
            18 => self.dice.below(14_000),
            _ => self.dice.below(20_000),
        };
        let seed = self.dice.bits();
        let text = format!("{seed:016x} ");
        text.into_bytes().into_iter().cycle().take(len).collect()
    }

    /// A time to leave at, some time soon, or none.
    pub(crate) fn expiry(&mut self) -> Option<u64> {
        let lifetime = self.dice.bits() % 5_000 + 1;
        (self.dice.below(5) == 0).then_some(self.clock.now_ms() + lifetime)
    }

    /// Fresh for some of its time, or for all of it.
    pub(crate) fn lifetime(&mut self, expires_at_ms: Option<u64>) -> Lifetime {
        let fresh = self.dice.bits() % 3_000;
        let stale_at_ms = (self.dice.below(4) == 0).then_some(self.clock.now_ms() + fresh);
        Lifetime {
            expires_at_ms,
            stale_at_ms,
        }
    }

    /// Who makes the next change: mostly a client, sometimes one of two sources.
    pub(crate) fn by(&mut self) -> Writer<'static> {
        match self.dice.below(12) {
            0 => Writer::Source("one"),
            1 => Writer::Source("two"),
            _ => Writer::Client,
        }
    }

    fn put(&mut self) {
        let (keyspace, key) = (self.keyspace(), self.key());
        self.put_when(&keyspace, &key, &Conditions::default());
    }

    fn conditional_put(&mut self) {
        let (keyspace, key) = (self.keyspace(), self.key());
        let current = self.store().get(&keyspace, &key).entry;
        let current = current.map(|entry| self.store().version(&entry));
        let versions: Vec<_> = current.into_iter().collect();
        let when = if self.dice.below(2) == 0 {
            Conditions {
                if_match: Some(Versions::OneOf(&versions)),
                ..Conditions::default()
            }
        } else {
            Conditions {
                if_none_match: Some(Versions::Any),
                ..Conditions::default()
            }
        };
        self.put_when(&keyspace, &key, &when);
    }

    fn put_when(&mut self, keyspace: &Arc<Keyspace>, key: &[u8], when: &Conditions<'_>) {
        let value = self.value();
        let expires = self.expiry();
        let lifetime = self.lifetime(expires);
        let by = self.by();
        let meta = Meta {
            owner: owner(by),
            ..Meta::of_type(["a/b", Meta::TEXT, Meta::BINARY][self.dice.below(3)])
        };
        let level = self.level();
        let store = self.store().clone();
        let draft = harness::draft_of(&store, key, &value, &meta, lifetime);
        let before = store.get(keyspace, key).entry;
        let (existed, foreign) = (before.is_some(), foreign(&store, before.as_ref(), by));
        let put = match block_on(store.put(keyspace, draft, when, level)) {
            Ok(put) => put,
            Err(e) => return self.failed("put", &e),
        };
        let of = (keyspace.name().to_owned(), key.to_vec());
        match put.outcome {
            Putted::Stored { version, created } => {
                assert!(!foreign, "{by:?}");
                assert_eq!(created, !existed, "created");
                let entry = store.get(keyspace, key).entry.unwrap();
                let shown = seen(&store, &entry);
                assert_eq!((&shown.value, shown.lifetime), (&value, lifetime));
                assert_eq!(shown.owner.as_deref(), meta.owner);
                assert_eq!(shown.version, harness::version(version));
                assert_eq!(put.own, Some(version.revision));
                self.say(format!("put {} = {}", version.revision, shown.value.len()));
                self.model.took(version.revision, Change::Put(of, shown));
            }
            Putted::Foreign(_) => {
                assert_eq!((put.own, foreign), (None, true), "{by:?}");
                self.rests(&of, put.seen);
            }
            Putted::Refused { current } => {
                assert!(!foreign, "{by:?}");
                assert_eq!(put.own, None);
                assert_eq!(current.is_some(), existed);
                self.say(format!("put refused, seen {}", put.seen));
                self.rests(&of, put.seen);
            }
        }
        self.maybe_wait(put.seen.max(put.own.unwrap_or(0)));
    }

    fn delete(&mut self) {
        let (keyspace, key) = (self.keyspace(), self.key());
        let store = self.store().clone();
        let before = store.get(&keyspace, &key).entry;
        let (level, by) = (self.level(), self.by());
        let (existed, foreign) = (before.is_some(), foreign(&store, before.as_ref(), by));
        let when = Conditions::default();
        let delete = store.delete(&keyspace, &key, &when, by, level);
        let delete = match block_on(delete) {
            Ok(delete) => delete,
            Err(e) => return self.failed("delete", &e),
        };
        self.say(format!("delete {:?}", delete.own));
        let of = (keyspace.name().to_owned(), key);
        self.rests(&of, delete.seen);
        match delete.outcome {
            Deleted::Removed => assert!(existed && !foreign),
            Deleted::Absent => assert!(!existed),
            Deleted::Foreign(_) => assert!(foreign),
            Deleted::Refused { current } => panic!("refused for {current:?}"),
        }
        let seen = delete.seen.max(delete.own.unwrap_or(0));
        if let Some(own) = delete.own {
            self.model.took(own, Change::Delete(of));
        }
        self.maybe_wait(seen);
    }

    /// An answer waits for the newest change of its key, unless that is durable already.
    pub(crate) fn rests(&self, key: &Key, seen: u64) {
        let newest = self.model.newest_of(key);
        let durable = self.store().has_reached(Level::Durable, newest);
        assert!(
            seen >= newest || durable,
            "the answer waits for {seen}, the key was changed by {newest}"
        );
    }

    fn flush(&mut self) {
        let (keyspace, now_ms) = (self.keyspace(), self.clock.now_ms());
        let store = self.store().clone();
        let level = self.level();
        let flush = match block_on(store.flush(&keyspace, level)) {
            Ok(flush) => flush,
            Err(e) => return self.failed("flush", &e),
        };
        self.say(format!("flush {:?}", flush.own));
        if let Some(own) = flush.own {
            self.model
                .took(own, Change::Flush(keyspace.name().to_owned(), now_ms));
        }
        self.maybe_wait(flush.seen.max(flush.own.unwrap_or(0)));
    }

    /// Reads a key and is told of it: from then on what was shown must survive.
    fn read(&mut self) {
        let (keyspace, key) = (self.keyspace(), self.key());
        let store = self.store().clone();
        let read = store.get(&keyspace, &key);
        let now_ms = self.clock.now_ms();
        let expected = self.model.keyspace(keyspace.name(), now_ms).remove(&key);
        assert_eq!(read.entry.map(|entry| seen(&store, &entry)), expected);
        self.rests(&(keyspace.name().to_owned(), key), read.seen);
        self.wait_for(read.seen);
    }

    fn wait(&mut self) {
        let newest = self.model.newest();
        if self.dice.below(4) == 0 {
            match block_on(self.store().wait_written(newest)) {
                Ok(()) => self.written = newest,
                Err(e) => self.failed("wait_written", &e),
            }
        } else {
            self.wait_for(newest);
        }
    }

    pub(crate) fn maybe_wait(&mut self, revision: u64) {
        if self.dice.below(3) == 0 {
            self.wait_for(revision);
        }
    }

    fn wait_for(&mut self, revision: u64) {
        match block_on(self.store().wait_durable(revision)) {
            Ok(()) => {
                self.say(format!("durable {revision}"));
                self.model.promise(revision);
            }
            Err(e) => self.failed("wait_durable", &e),
        }
    }

    fn compact(&mut self) {
        self.say("compact".to_owned());
        if let Err(e) = block_on(self.store().compact()) {
            self.failed("compact", &e);
        }
    }

    fn restart(&mut self) {
        self.say("close".to_owned());
        let store = self.store.take().unwrap();
        match store.close() {
            Ok(()) => self.model.promise(self.model.newest()),
            Err(e) => self.failed("close", &e),
        }
        drop(store);
        if self.sim.is_off() {
            self.end();
        }
        self.recover();
    }

    pub(crate) fn failed(&mut self, what: &str, error: &dyn std::error::Error) {
        self.say(format!("{what}: {error}"));
        assert!(
            self.sim.is_off(),
            "{what} failed on a machine without faults: {error}"
        );
    }

    /// Recovers what a crash now might leave, writes to it, crashes it again, and recovers again; this machine runs on.
    pub(crate) fn look_at_an_image(&mut self) {
        let seed = self.dice.bits();
        let mut other = Self::new(seed);
        other.seed = self.seed;
        other.options = self.options.clone();
        other.clock = Arc::clone(&self.clock);
        other.model = self.model.clone();
        other.trace = mem::take(&mut self.trace);
        other.say(format!("-- image {seed} --"));
        other.sim = self.sim.crash_image(&mut Seeded::new(seed));
        other.recover();
        for _ in 0..other.dice.below(6) {
            other.put();
        }
        other.end();
        other.recover();
        self.states += other.states;
        other.trace.clear();
        drop(other);
    }
}

/// The owner that a value has which `by` puts.
fn owner(by: Writer<'static>) -> Option<&'static str> {
    match by {
        Writer::Source(name) => Some(name),
        Writer::Client | Writer::Fetch | Writer::Restore => None,
    }
}

/// Whether what is there is not `by`'s to change.
pub(crate) fn foreign(store: &Store, before: Option<&Entry>, by: Writer<'static>) -> bool {
    before.is_some_and(|entry| store.facts(entry).owner.as_deref() != owner(by))
}
