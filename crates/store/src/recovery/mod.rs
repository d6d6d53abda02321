//! Opens a directory: lock, manifest, snapshot, log, verdict, a new segment. One type per stage; nothing on disk changes
//! before the verdict.
//!
//! 1. [`Locked`]: the lock is held, the store's folder is there (made whole under a temporary name at first start).
//! 2. [`Found`]: the manifest is read and every file that it names exists.
//! 3. [`Loaded`]: the newest snapshot that reads is in the map; segments that are not sealed have been synced, and dropped
//!    from the page cache, so that what is read next is what the disk has.
//! 4. [`Replayed`]: the log is in the map up to its first invalid place, and that place has its verdict ([`verdict`]).
//! 5. [`Begun`]: the tail is cut where it was torn, a new segment is made, and one manifest names it, seals every
//!    older segment, and tells the new incarnation. Only then may anything be acknowledged.

mod apply;
mod begin;
mod pending;
mod replay;
mod verdict;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::error::{Damage, OpenError, Verdict};
use crate::fs::{self, Dir, File, Lock};
use crate::int::narrow;
use crate::log::segment;
use crate::manifest::{self, Manifest};
use crate::map::{ById, Contents, Effect, Entry, HASH_ALGORITHM, Keyspace, Place, Shard};
use crate::options::Options;
use crate::progress::{Phase, Progress};
use crate::record::Malformed;
use crate::snapshot::reader::{Entries, Letters, ReadError, Rows};
use crate::snapshot::{self, Footer, Identity, Stored, StoredLetter};
pub(crate) use begin::{Begun, cut as cut_segment};
pub(crate) use replay::Replayed;

/// The folder of the store inside the storage directory.
pub(crate) const FOLDER: &str = "store";
const LOCK: &str = "LOCK";
const TEMPORARY: &str = "store.tmp-";
/// Damaged or doubtful bytes are moved here, never deleted.
pub(crate) const QUARANTINE: &str = "quarantine";

/// Whether an opening may change the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It will go on and write.
    Own,
    /// It only looks.
    Look,
}

/// Stage 1: the directory is ours and holds a store.
#[derive(Debug)]
pub(crate) struct Locked {
    pub(crate) storage: Arc<dyn Dir>,
    pub(crate) dir: Arc<dyn Dir>,
    /// Held for as long as this value lives.
    _lock: Option<Box<dyn Lock>>,
}

impl Locked {
    /// Takes the lock; makes the store's folder at first start.
    pub(crate) fn open(storage: Arc<dyn Dir>, access: Access) -> Result<Self, OpenError> {
        let lock = match (access, storage.lock(LOCK)) {
            (_, Ok(lock)) => Some(lock),
            (_, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(OpenError::Locked {
                    path: storage.display(LOCK),
                });
            }
            // A read-only disk can still be looked at.
            (Access::Look, Err(_)) => None,
            (Access::Own, Err(source)) => {
                return Err(OpenError::Io {
                    what: storage.display(LOCK),
                    source,
                });
            }
        };
        let dir = match storage.open_dir(FOLDER) {
            Ok(dir) => {
                if access == Access::Own {
                    // A first start that ended between the rename and its sync has left this to us.
                    let synced = storage.sync();
                    synced.map_err(OpenError::sync(storage.display(FOLDER)))?;
                }
                dir
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::Own => {
                create(&storage)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let why = "there is no store in it".to_owned();
                return Err(OpenError::NotAStore {
                    path: storage.display(FOLDER),
                    why,
                });
            }
            Err(source) => {
                return Err(OpenError::Io {
                    what: storage.display(FOLDER),
                    source,
                });
            }
        };
        if access == Access::Own {
            remove_leftovers(&*storage)?;
        }
        Ok(Self {
            storage,
            dir,
            _lock: lock,
        })
    }
}

/// Builds an empty store beside its place, syncs all of it, and renames it there.
fn create(storage: &Arc<dyn Dir>) -> Result<Arc<dyn Dir>, OpenError> {
    let temporary = format!("{TEMPORARY}{:016x}", u64::from_le_bytes(crate::random()));
    let what = || storage.display(&temporary);
    let dir = storage
        .create_dir(&temporary)
        .map_err(OpenError::io(what()))?;
    let manifest = Manifest {
        store_id: crate::random(),
        hash_seed: u64::from_le_bytes(crate::random()),
        hash_algorithm: HASH_ALGORITHM,
        durable: 0,
        newest_time_ms: 0,
        quarantined: false,
        clock_reset: false,
        cut: false,
        segments: Vec::new(),
        snapshots: Vec::new(),
        incarnations: Vec::new(),
    };
    let replaced = fs::replace(&*dir, manifest::FILE, &manifest.encode());
    replaced.map_err(|error| OpenError::Io {
        what: what(),
        source: error.source,
    })?;
    storage
        .rename(&temporary, FOLDER)
        .map_err(OpenError::io(what()))?;
    storage
        .sync()
        .map_err(OpenError::sync(storage.display(FOLDER)))?;
    storage
        .open_dir(FOLDER)
        .map_err(OpenError::io(storage.display(FOLDER)))
}

fn remove_leftovers(storage: &dyn Dir) -> Result<(), OpenError> {
    for name in storage.list().map_err(OpenError::io(storage.display("")))? {
        if name.starts_with(TEMPORARY) {
            storage
                .remove_dir_all(&name)
                .map_err(OpenError::io(storage.display(&name)))?;
        }
    }
    Ok(())
}

/// Stage 2: what should be there is there.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) locked: Locked,
    pub(crate) manifest: Manifest,
}

impl Found {
    pub(crate) fn read(locked: Locked) -> Result<Self, OpenError> {
        let manifest = manifest::read(&*locked.dir)?;
        if manifest.hash_algorithm != HASH_ALGORITHM {
            return Err(OpenError::UnknownFormat {
                file: locked.dir.display(manifest::FILE),
                found: manifest.hash_algorithm,
                known: HASH_ALGORITHM,
            });
        }
        let there = locked
            .dir
            .list()
            .map_err(OpenError::io(locked.dir.display("")))?;
        let segments = manifest
            .segments
            .iter()
            .map(|segment| segment::name(segment.number));
        let snapshots = manifest
            .snapshots
            .iter()
            .map(|snapshot| snapshot::name(snapshot.s));
        if let Some(missing) = segments.chain(snapshots).find(|name| !there.contains(name)) {
            let why =
                "the manifest names this file and it is not there: restore a backup".to_owned();
            return Err(OpenError::NotAStore {
                path: locked.dir.display(&missing),
                why,
            });
        }
        Ok(Self { locked, manifest })
    }

    /// Bytes that a start will read, about.
    pub(crate) fn bytes(&self) -> u64 {
        let newest = self.manifest.snapshots.last();
        let covered = newest.map_or(0, |snapshot| snapshot.s);
        let needed = |segment: &&manifest::Segment| {
            segment
                .sealed
                .is_none_or(|sealed| sealed.last_revision > covered)
        };
        let len = |segment: &manifest::Segment| {
            self.locked
                .dir
                .open_read(&segment::name(segment.number))
                .and_then(|file| file.len())
                .unwrap_or(0)
        };
        let log: u64 = self.manifest.segments.iter().filter(needed).map(len).sum();
        log + newest.map_or(0, |snapshot| snapshot.len)
    }
}

/// Stage 3: the snapshot is in the map.
#[derive(Debug)]
pub(crate) struct Loaded {
    found: Found,
    contents: Contents,
    /// S and T of the snapshot; 0 without one.
    s: u64,
    t: u64,
    /// What was wrong with a newer snapshot that was passed over.
    passed_over: Option<String>,
}

struct SnapshotSink<'a> {
    contents: &'a Contents,
    progress: &'a Progress,
}

impl SnapshotSink<'_> {
    /// The keyspace of a block; `None` where it was dropped while the snapshot was written.
    fn keyspace(&self, id: u32) -> Result<Option<Arc<Keyspace>>, Malformed> {
        match self.contents.keyspaces.by_id(id) {
            ById::Known(keyspace) => Ok(Some(keyspace)),
            ById::Dropped => Ok(None),
            ById::Unknown => Err(Malformed("a block of a keyspace that nobody knows")),
        }
    }

    fn entry(&self, stored: &Stored<'_>) -> Entry {
        let mut entry = Entry::reserve(&stored.parts, stored.value.len(), &self.contents.facts);
        entry.fill(|value| value.copy_from_slice(stored.value));
        entry.set_revision(stored.revision);
        entry
    }
}

/// Puts loaded entries into the map: a snapshot is written shard by shard, so a block needs one lock or two.
fn put_all(keyspace: &Keyspace, mut entries: VecDeque<(Place, Entry)>) {
    while let Some((first, _)) = entries.front() {
        let number = first.shard;
        let mut shard = keyspace.map.write(number);
        while let Some((place, entry)) = entries.pop_front_if(|(place, _)| place.shard == number) {
            drop(shard.apply(place.hash, Effect::Put(entry), u64::MAX));
        }
    }
}

impl snapshot::reader::Sink for SnapshotSink<'_> {
    fn block(&self, keyspace: u32, entries: &mut Entries<'_>) -> Result<u32, Malformed> {
        let keyspace = self.keyspace(keyspace)?;
        let mut count = 0;
        // Read and allocated before any lock: the threads beside this one mostly want the same shard.
        let mut loaded = VecDeque::new();
        for stored in entries {
            let stored = stored?;
            count += 1;
            if let Some(keyspace) = &keyspace {
                let place = keyspace.map.place(stored.parts.key);
                loaded.push_back((place, self.entry(&stored)));
            }
        }
        if let Some(keyspace) = keyspace {
            put_all(&keyspace, loaded);
        }
        Ok(count)
    }

    fn rows(&self, keyspace: u32, rows: &mut Rows<'_>) -> Result<u32, Malformed> {
        let keyspace = self.keyspace(keyspace)?;
        let mut count = 0;
        for stored in rows {
            let stored = stored?;
            count += 1;
            if let Some(keyspace) = &keyspace {
                pending::load_row(keyspace, &stored);
            }
        }
        Ok(count)
    }

    fn letters(&self, keyspace: u32, letters: &mut Letters<'_>) -> Result<u32, Malformed> {
        let keyspace = self.keyspace(keyspace)?;
        let mut count = 0;
        for stored in letters {
            let StoredLetter { key, letter } = stored?;
            count += 1;
            if let Some(keyspace) = &keyspace {
                keyspace.ledger().dead().put(key, letter);
            }
        }
        Ok(count)
    }

    fn progress(&self, bytes: u64) {
        self.progress.add(bytes);
    }
}

impl Loaded {
    /// Syncs what is not sealed, then loads the newest snapshot that reads.
    pub(crate) fn load(
        found: Found,
        options: &Options,
        access: Access,
        progress: &Progress,
    ) -> Result<Self, OpenError> {
        let dir = &found.locked.dir;
        for segment in found
            .manifest
            .segments
            .iter()
            .filter(|segment| segment.sealed.is_none())
        {
            let name = segment::name(segment.number);
            let what = || dir.display(&name);
            if access == Access::Own {
                let file = dir.open(&name).map_err(OpenError::io(what()))?;
                // A page that a former process wrote may be in the cache and not on the disk, its error long reported.
                #[cfg(not(feature = "bug-no-first-sync"))]
                file.sync_data().map_err(OpenError::sync(what()))?;
                file.drop_cache().map_err(OpenError::io(what()))?;
            }
        }
        let mut passed_over = None;
        for snapshot in found.manifest.snapshots.iter().rev() {
            let contents = contents_of(options, &found.manifest);
            match load_snapshot(&**dir, &found.manifest, snapshot, &contents, progress) {
                Ok(()) => {
                    let (s, t) = (snapshot.s, snapshot.t);
                    let passed_over = passed_over.map(|damage: Damage| damage.to_string());
                    return Ok(Self {
                        found,
                        contents,
                        s,
                        t,
                        passed_over,
                    });
                }
                Err(OpenError::Corrupt(damage)) => {
                    tracing::error!(%damage, "a snapshot is damaged: going back to the one before it and the log");
                    passed_over.get_or_insert(damage);
                }
                Err(other) => return Err(other),
            }
        }
        // Without any snapshot the log has to begin at the beginning.
        match passed_over {
            Some(damage) if found.manifest.snapshots.len() > 1 => Err(OpenError::Corrupt(damage)),
            _ => {
                let contents = contents_of(options, &found.manifest);
                Ok(Self {
                    found,
                    contents,
                    s: 0,
                    t: 0,
                    passed_over: passed_over.map(|damage| damage.to_string()),
                })
            }
        }
    }
}

/// Contents without anything in them yet.
pub(crate) fn contents_of(options: &Options, manifest: &Manifest) -> Contents {
    let largest = u64::from(options.max_record_bytes);
    Contents::new(options.shards, manifest.hash_seed, largest)
}

/// Loads one snapshot into `contents`.
fn load_snapshot(
    dir: &dyn Dir,
    manifest: &Manifest,
    snapshot: &manifest::Snapshot,
    contents: &Contents,
    progress: &Progress,
) -> Result<(), OpenError> {
    let name = snapshot::name(snapshot.s);
    let what = dir.display(&name);
    let file = dir.open_read(&name).map_err(OpenError::io(what.clone()))?;
    progress.enter(Phase::Snapshot);
    read_snapshot(&*file, manifest, snapshot, contents, progress).map_err(|error| match error {
        ReadError::Version(found) => OpenError::UnknownFormat {
            file: what,
            found,
            known: snapshot::VERSION,
        },
        ReadError::Io(source) => OpenError::Io { what, source },
        ReadError::Damaged { offset, detail } => OpenError::Corrupt(Damage {
            command: "restore the newest backup of this directory".to_owned(),
            file: what,
            offset,
            expected: 0,
            watermark: snapshot.t,
            verdict: Verdict::Corrupt,
            detail: detail.to_owned(),
        }),
    })
}

/// How many entries a shard is made ready for. Where there are several keyspaces nobody knows whose the entries are.
fn entries_per_shard(footer: &Footer, len: u64, contents: &Contents) -> usize {
    /// An entry takes more than this in a snapshot, so that a wrong count cannot ask for too much memory.
    const SMALLEST: u64 = 16;
    let [keyspace] = &*footer.keyspaces else {
        return 0;
    };
    let entries = narrow(footer.entries.min(len / SMALLEST));
    let shards = contents.keyspaces.shards_of(&keyspace.policy);
    let mean = entries / shards;
    // Shards differ by chance; the few that have more grow.
    mean + mean / 64
}

/// Checks a snapshot against the manifest and hands everything in it to `contents`.
pub(crate) fn read_snapshot(
    file: &dyn File,
    manifest: &Manifest,
    snapshot: &manifest::Snapshot,
    contents: &Contents,
    progress: &Progress,
) -> Result<(), ReadError> {
    let identity = Identity::new(manifest.store_id, snapshot.s);
    let footer = snapshot::reader::footer(file, snapshot.len, &identity)?;
    if footer.t != snapshot.t || footer.hash != snapshot.hash {
        let offset = snapshot.len;
        return Err(ReadError::Damaged {
            offset,
            detail: "its footer is not what the manifest says",
        });
    }
    for id in &footer.dropped {
        contents.keyspaces.drop_id(*id, footer.t);
    }
    let per_shard = entries_per_shard(&footer, snapshot.len, contents);
    for keyspace in &footer.keyspaces {
        contents
            .keyspaces
            .set(keyspace, footer.t, || Shard::loading(per_shard));
    }
    // Before the rows, which belong to them: what is of a generation that has been dropped meanwhile is left out.
    for (id, generations) in &footer.generations {
        if let ById::Known(keyspace) = contents.keyspaces.by_id(*id) {
            keyspace.ledger().set_generations(generations);
        }
    }
    snapshot::reader::blocks(
        file,
        snapshot.len,
        &identity,
        &footer,
        &SnapshotSink { contents, progress },
    )
}
