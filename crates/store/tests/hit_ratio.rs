//! How many requests find their key in a bounded keyspace, beside what a list in order of use (LRU) of the same size would
//! have found: on requests after Zipf's law, and on those with scans in between. Printed; run with `--nocapture`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and this one has something to show"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use standpipe_store::fs::real::RealDir;
use standpipe_store::{
    Clock, Conditions, Durability, Keyspace, Level, Lifetime, Meta, Options, Policy, Progress,
    Store, block_on,
};

const KEYS: u32 = 20_000;
const REQUESTS: usize = 200_000;
const VALUE: usize = 100;

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from 0 to 1.
    fn part(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 33).unwrap()) / f64::from(1_u32 << 31)
    }
}

/// Requests whose n-th most wanted key is asked for in proportion to 1 / n.
fn zipf(requests: usize) -> Vec<u32> {
    let mut sum = 0.0;
    let upto: Vec<f64> = (1..=KEYS)
        .map(|n| {
            sum += 1.0 / f64::from(n);
            sum
        })
        .collect();
    let mut random = Random(0x9E37_79B9);
    let mut pick = || {
        let at = random.part() * sum;
        u32::try_from(upto.partition_point(|upto| *upto < at)).unwrap()
    };
    (0..requests).map(|_| pick()).collect()
}

/// The same with scans: after every 3,000 requests, 3,000 keys in a row that nobody asks for again.
fn with_scans() -> Vec<u32> {
    let mut next = KEYS;
    let mut requests = Vec::new();
    for piece in zipf(REQUESTS / 2).chunks(3_000) {
        requests.extend_from_slice(piece);
        requests.extend(next..next + 3_000);
        next += 3_000;
    }
    requests
}

/// What LRU finds with room for `most` keys.
fn lru(requests: &[u32], most: usize) -> f64 {
    let mut used: HashMap<u32, usize> = HashMap::new();
    let mut order: BTreeMap<usize, u32> = BTreeMap::new();
    let mut hits = 0;
    for (now, key) in requests.iter().enumerate() {
        if let Some(before) = used.insert(*key, now) {
            order.remove(&before);
            hits += 1;
        } else if used.len() > most {
            let (_, oldest) = order.pop_first().unwrap();
            used.remove(&oldest);
        }
        order.insert(now, *key);
    }
    part(hits, requests.len())
}

fn part(hits: usize, all: usize) -> f64 {
    f64::from(u32::try_from(hits).unwrap()) / f64::from(u32::try_from(all).unwrap())
}

/// What the store finds in `max_bytes`, putting what it did not; and how many keys it held in the end.
fn store(requests: &[u32], max_bytes: u64) -> (f64, usize) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        max_record_bytes: 4 << 10,
        ..Options::default()
    };
    let clock = Arc::new(Clock::system());
    let dir = Arc::new(RealDir::open(dir.path()).unwrap());
    let store = Store::open(dir, clock, options, &Progress::new()).unwrap();
    let policy = Policy {
        max_bytes: Some(max_bytes),
        ..Policy::of(Durability::Memory)
    };
    block_on(store.set_keyspace("cache", &policy, 2)).unwrap();
    let cache = store.keyspace("cache").unwrap();
    let hits = requests.iter().filter(|key| ask(&store, &cache, **key));
    let hits = hits.count();
    let held = usize::try_from(store.keyspace_stats(&cache).entries).unwrap();
    (part(hits, requests.len()), held)
}

/// Whether `key` was there; it is then.
fn ask(store: &Store, cache: &Arc<Keyspace>, key: u32) -> bool {
    let key = format!("{key:08}");
    if store.get(cache, key.as_bytes()).entry.is_some() {
        return true;
    }
    let meta = Meta::of_type(Meta::TEXT);
    let draft = store
        .draft(key.as_bytes(), VALUE, &meta, Lifetime::FOREVER)
        .unwrap();
    block_on(store.put(cache, draft, &Conditions::default(), Level::Written)).unwrap();
    false
}

#[test]
fn sieve_finds_no_less_than_lru_and_more_where_scans_pass_through() {
    let traces = [("zipf", zipf(REQUESTS)), ("zipf and scans", with_scans())];
    let mut gains = Vec::new();
    for (name, requests) in &traces {
        for max_bytes in [200_000, 400_000, 1_000_000] {
            let (sieve, held) = store(requests, max_bytes);
            let lru = lru(requests, held);
            println!(
                "{name:>15}, {held:>5} keys: SIEVE {:.1} %, LRU {:.1} %",
                sieve * 100.0,
                lru * 100.0
            );
            gains.push((name, held, sieve - lru));
        }
    }
    for (name, held, gain) in gains {
        let least = if *name == "zipf" { 0.0 } else { 0.02 };
        assert!(gain > least, "{name} with {held} keys: {gain}");
    }
}
