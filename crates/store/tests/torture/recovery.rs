//! Damage: every byte of a small store flipped, files cut, sectors zeroed, swapped and repeated, stale files put back.
//!
//! Whatever was done, the store opens with exactly what was there, or with a prefix of it that holds everything known to
//! be durable, or refuses and changes nothing. It never shows wrong data and never panics.

use std::collections::BTreeMap;
use std::env;
use std::ops::Range;
use std::sync::Arc;
use std::thread;

use standpipe_store::fs::Dir as _;
use standpipe_store::fs::fault::{SECTOR, SimDir};
use standpipe_store::{Clock, Conditions, Level, OpenError, Options, Store};

use crate::harness::{self, block_on, default_keyspace, open, seen, until};
use crate::promises::{Change, Model, of_default};

/// A small store as a crash or a clean stop left it.
struct Reference {
    name: &'static str,
    image: SimDir,
    /// Promises what single damage cannot hide: all but the last change of a crashed store, of which no later record says
    /// that it was durable.
    model: Model,
    /// Everything up to here is in the newest snapshot: what is left where the end of the log is cut off.
    folded: u64,
    options: Options,
    clock: Arc<Clock>,
}

/// What a file is to a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The manifest, or a segment that was made ready and holds nothing: every byte is known.
    Fixed,
    /// The segment with the changes that are in no snapshot.
    Live,
    /// The newest snapshot: a start can go back to the one before it.
    Newest,
    /// The snapshot before, and the segments that only it needs: a start does not read them.
    Spare,
}

/// What became of a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Exact,
    /// Exact, by the snapshot before the newest one, and the store says so.
    PassedOver,
    Prefix,
    Refused,
}

/// Says which damage was being looked at when a test panics.
struct Damage<'a>(&'a str, String);

impl Drop for Damage<'_> {
    #[expect(clippy::print_stderr, reason = "the damage of a failure must be seen")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("damage to {}: {}", self.0, self.1);
        }
    }
}

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        max_record_bytes: 4 << 10,
        reserve_bytes: Some(0),
        shards: 1,
        ..harness::small()
    }
}

fn put(store: &Store, model: &mut Model, key: &str, value: &[u8]) -> u64 {
    let keyspace = default_keyspace(store);
    let draft = harness::draft(store, key.as_bytes(), value, "a/b", None);
    let when = Conditions::default();
    let put = store.put(&keyspace, draft, &when, Level::Durable);
    let put = block_on(put).unwrap();
    let revision = put.own.unwrap();
    let entry = store.get(&keyspace, key.as_bytes()).entry.unwrap();
    model.took(revision, Change::Put(of_default(key), seen(store, &entry)));
    revision
}

/// A store with two snapshots, several segments, and changes behind them.
fn reference(name: &'static str, closed: bool) -> Reference {
    let (sim, clock, options) = (SimDir::new(), harness::clock(), options());
    let mut model = Model::default();
    let store = open(&sim, &options, &clock).unwrap();
    for round in 0..2 {
        put(
            &store,
            &mut model,
            "same",
            format!("round {round}").as_bytes(),
        );
        put(&store, &mut model, &format!("own-{round}"), &[b'x'; 700]);
        block_on(store.compact()).unwrap();
    }
    let mut known_durable = 0;
    let folded = model.newest();
    for number in 0..6_u8 {
        let newest = put(&store, &mut model, &format!("late-{number}"), &[number; 40]);
        // The next record says on the disk that this one is durable: only the last is not known to be.
        if number < 5 {
            known_durable = newest;
        }
        block_on(store.wait_durable(newest)).unwrap();
    }
    model.promise(known_durable);
    // The preparer has sealed the segment before in the manifest, and put the next one beside the live one.
    until(|| {
        let files = sim
            .files()
            .into_iter()
            .filter(|(path, _)| path.contains("wal-"));
        let files: Vec<Vec<u8>> = files.map(|(path, _)| sim.bytes(&path).unwrap()).collect();
        let (last, named) = (files.last().unwrap(), u64::try_from(files.len()).unwrap());
        store.stats().segments == named
            && last.len() > SECTOR
            && last[SECTOR..].iter().all(|byte| *byte == 0)
    });
    let image = if closed {
        store.close().unwrap();
        model.promise(model.newest());
        sim.crash_all_kept()
    } else {
        let image = sim.crash_all_lost();
        drop(store);
        image
    };
    Reference {
        name,
        image,
        model,
        folded,
        options,
        clock,
    }
}

fn references() -> [Reference; 2] {
    [
        reference("a store closed", true),
        reference("a store crashed", false),
    ]
}

fn snapshot(sim: &SimDir) -> BTreeMap<String, Vec<u8>> {
    let files = sim.files().into_iter();
    files
        .map(|(path, _)| (path.clone(), sim.bytes(&path).unwrap()))
        .collect()
}

impl Reference {
    /// Every file of the store with what it is to a start.
    fn files(&self) -> Vec<(String, Part, Vec<u8>)> {
        let files = snapshot(&self.image).into_iter();
        let files: Vec<_> = files
            .filter(|(path, _)| path.starts_with("store/"))
            .collect();
        let holding = |path: &str, bytes: &[u8]| {
            path.contains("wal-") && bytes[512..].iter().any(|byte| *byte != 0)
        };
        let live = files
            .iter()
            .rev()
            .find(|(path, bytes)| holding(path, bytes))
            .unwrap()
            .0
            .clone();
        let newest = files
            .iter()
            .rev()
            .find(|(path, _)| path.contains("snapshot-"))
            .unwrap()
            .0
            .clone();
        let part = |path: &str| match path {
            _ if path == live => Part::Live,
            _ if path == newest => Part::Newest,
            _ if path.contains("MANIFEST") || *path > *live => Part::Fixed,
            _ => Part::Spare,
        };
        files
            .iter()
            .map(|(path, bytes)| (path.clone(), part(path), bytes.clone()))
            .collect()
    }

    /// Opens a copy with `change` done to it, and judges what comes out: the state after everything up to `promised` at
    /// least, or a refusal that changes nothing.
    fn damaged(&self, what: String, promised: u64, change: impl FnOnce(&SimDir)) -> Outcome {
        let damage = Damage(self.name, what);
        let sim = self.image.fork();
        change(&sim);
        let before = snapshot(&sim);
        let mut model = self.model.clone();
        model.promised = model.promised.min(promised);
        let outcome = match open(&sim, &self.options, &self.clock) {
            Ok(store) => {
                let kept = model.check(&store, self.clock.now_ms());
                let passed_over = store.health().snapshot_passed_over.is_some();
                drop(store);
                match (kept == self.model.newest(), passed_over) {
                    (true, false) => Outcome::Exact,
                    (true, true) => Outcome::PassedOver,
                    (false, _) => Outcome::Prefix,
                }
            }
            Err(
                OpenError::Corrupt(_)
                | OpenError::UnknownFormat { .. }
                | OpenError::NotAStore { .. },
            ) => {
                assert!(snapshot(&sim) == before, "a refusal changed the disk");
                Outcome::Refused
            }
            Err(other) => panic!("refused for another reason: {other}"),
        };
        drop(damage);
        outcome
    }

    /// Changes the bytes of one file, where one change of the log is damaged at most.
    fn edited(&self, path: &str, what: &str, change: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        self.cut(path, what, u64::MAX, change)
    }

    fn cut(
        &self,
        path: &str,
        what: &str,
        promised: u64,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> Outcome {
        let what = format!("{path}: {what}");
        self.damaged(what, promised, |sim| sim.edit(path, change).unwrap())
    }
}

fn every_bit() -> bool {
    env::var("STANDPIPE_DAMAGE").is_ok_and(|value| value == "every-bit")
}

/// Where damage is worth trying: everywhere that something is written, and here and there in the zeros behind it.
fn places(bytes: &[u8]) -> Vec<usize> {
    let written = |place: usize| {
        let from = place.saturating_sub(16);
        let near = &bytes[from..(place + 16).min(bytes.len())];
        near.iter().any(|byte| *byte != 0)
    };
    let wanted = |place: &usize| every_bit() || written(*place) || place.is_multiple_of(509);
    (0..bytes.len()).filter(wanted).collect()
}

/// The sectors of a file, each as a range of bytes, and the last that holds anything.
fn sectors(bytes: &[u8]) -> (Vec<Range<usize>>, usize) {
    let count = bytes.len().div_ceil(SECTOR);
    let range = |sector: usize| sector * SECTOR..((sector + 1) * SECTOR).min(bytes.len());
    let ranges: Vec<_> = (0..count).map(range).collect();
    let used = |range: &Range<usize>| bytes[range.clone()].iter().any(|byte| *byte != 0);
    let last = ranges.iter().rposition(used).unwrap_or(0);
    (ranges, last)
}

#[test]
fn a_flipped_bit_is_never_served_and_never_dropped_silently() {
    for reference in references() {
        for (path, part, bytes) in reference.files() {
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
            for place in places(&bytes) {
                let bits = if every_bit() {
                    0..8
                } else {
                    place % 8..place % 8 + 1
                };
                for bit in bits {
                    let what = format!("bit {bit} of byte {place}");
                    let outcome = reference.edited(&path, &what, |bytes| bytes[place] ^= 1 << bit);
                    let fits = match part {
                        // One byte in the zeros behind the log can look like the start of a torn header.
                        Part::Live if place > end => outcome != Outcome::Prefix,
                        Part::Fixed | Part::Live => outcome == Outcome::Refused,
                        Part::Newest => outcome == Outcome::PassedOver,
                        Part::Spare => outcome == Outcome::Exact,
                    };
                    assert!(
                        fits,
                        "{}: {path} ({part:?}): {what}: {outcome:?}",
                        reference.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_exact_a_prefix_or_refused() {
    for reference in references() {
        let crashed = reference.model.promised < reference.model.newest();
        for (path, part, bytes) in reference.files() {
            let (_, last) = sectors(&bytes);
            for len in places(&bytes) {
                let what = format!("cut to {len}");
                let outcome =
                    reference.cut(&path, &what, reference.folded, |bytes| bytes.truncate(len));
                let fits = match part {
                    // Zeros that were never written over can be missing: nothing was told about them.
                    Part::Fixed => {
                        outcome == Outcome::Refused || (len >= SECTOR && path.contains("wal-"))
                    }
                    Part::Live if crashed => outcome != Outcome::Exact || len > last * SECTOR,
                    Part::Live => outcome == Outcome::Refused,
                    Part::Newest => outcome == Outcome::PassedOver,
                    Part::Spare => outcome == Outcome::Exact,
                };
                assert!(
                    fits,
                    "{}: {path} ({part:?}): {what}: {outcome:?}",
                    reference.name
                );
            }
        }
    }
}

#[test]
fn zeroed_swapped_and_repeated_sectors_are_never_served() {
    for reference in references() {
        for (path, part, bytes) in reference.files() {
            let (ranges, last) = sectors(&bytes);
            // What the last sector says about earlier ones goes with it.
            let promised = |touched: &[usize]| {
                let end = part == Part::Live && touched.contains(&last);
                if end { reference.folded } else { u64::MAX }
            };
            let mut outcomes = Vec::new();
            for (sector, range) in ranges.iter().enumerate() {
                let what = format!("sector {sector} zeroed");
                let zeroed = reference.cut(&path, &what, promised(&[sector]), |bytes| {
                    bytes[range.clone()].fill(0);
                });
                outcomes.push((what, sector, zeroed));
                for (other, place) in ranges.iter().enumerate().take(8) {
                    if other == sector || range.len() < SECTOR || place.len() < SECTOR {
                        continue;
                    }
                    let what = format!("sector {sector} repeated at {other}");
                    let repeated = reference.cut(&path, &what, promised(&[other]), |bytes| {
                        bytes.copy_within(range.clone(), place.start);
                    });
                    outcomes.push((what, other, repeated));
                    let what = format!("sectors {sector} and {other} swapped");
                    let both = promised(&[sector, other]);
                    let swapped = reference.cut(&path, &what, both, |bytes| {
                        let one = bytes[range.clone()].to_vec();
                        bytes.copy_within(place.clone(), range.start);
                        bytes[place.clone()].copy_from_slice(&one);
                    });
                    outcomes.push((what, sector.min(other), swapped));
                }
            }
            // Damage before the last sector of the log is told from a torn end by what that sector says.
            for (what, sector, outcome) in outcomes {
                let needed = matches!(part, Part::Fixed | Part::Live) && sector < last;
                assert!(
                    !needed || outcome == Outcome::Refused,
                    "{path}: {what}: {outcome:?}"
                );
            }
        }
    }
}

#[test]
fn a_missing_file_is_refused() {
    for reference in references() {
        for (path, part, _) in reference.files() {
            let name = path.strip_prefix("store/").unwrap().to_owned();
            let outcome = reference.damaged(format!("{path} is gone"), u64::MAX, |sim| {
                let store = sim.open_dir("store").unwrap();
                store.remove(&name).unwrap();
                store.sync().unwrap();
            });
            assert_eq!(
                outcome,
                Outcome::Refused,
                "{}: {path} ({part:?})",
                reference.name
            );
        }
    }
}

#[test]
fn stale_files_and_blocks_of_other_files_are_never_served() {
    for reference in references() {
        let files = reference.files();
        for (path, part, bytes) in &files {
            let (_, last) = sectors(bytes);
            for (other, _, stale) in &files {
                if path == other {
                    continue;
                }
                let what = format!("replaced by {other}");
                let outcome = reference.edited(path, &what, |bytes| bytes.clone_from(stale));
                let whole = match part {
                    Part::Fixed | Part::Live => Outcome::Refused,
                    Part::Newest => Outcome::PassedOver,
                    Part::Spare => Outcome::Exact,
                };
                assert_eq!(outcome, whole, "{path} ({part:?}): {what}");
                for sector in 0..(bytes.len().min(stale.len()) / SECTOR).min(16) {
                    let range = sector * SECTOR..(sector + 1) * SECTOR;
                    let end = *part == Part::Live && sector == last;
                    let promised = if end { reference.folded } else { u64::MAX };
                    let what = format!("sector {sector} taken from {other}");
                    reference.cut(path, &what, promised, |bytes| {
                        bytes[range.clone()].copy_from_slice(&stale[range]);
                    });
                }
            }
        }
    }
}

#[test]
fn files_of_another_store_are_never_served() {
    let (own, other) = (
        reference("a store", false),
        reference("another store", false),
    );
    for (path, part, _) in own.files() {
        let Ok(stale) = other.image.bytes(&path) else {
            continue;
        };
        let outcome = own.edited(&path, "taken from another store", |bytes| {
            bytes.clone_from(&stale);
        });
        let expected = match part {
            Part::Fixed | Part::Live => Outcome::Refused,
            Part::Newest => Outcome::PassedOver,
            Part::Spare => Outcome::Exact,
        };
        assert_eq!(outcome, expected, "{path} ({part:?})");
    }
}
