//! A simulated directory tree for tests: it knows what a power cut may leave, and fails where a plan says so.
//!
//! Durability is exact: every file and directory remembers which operations were not yet synced, and a crash keeps any
//! legal part of them, sector by sector ([`SimDir::crash`]). Failures follow what Linux does (Rebello et al., "Can
//! Applications Recover from fsync Failures?", ATC'20): a failed sync leaves the pages clean, readable and not durable.
//! The idea of crash states comes from Pillai et al., "All File Systems Are Not Created Equal" (OSDI'14).
//! It must not know what the files mean, and is no part of a released build.

mod choice;
mod dir;
mod disk;
mod file;
mod plan;

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::io::Errno;

use crate::int::wide;

pub use self::choice::{AllKept, AllLost, Choose, Exhaustive, Seeded};
pub use self::disk::SECTOR;
pub use self::plan::{Call, Effect, Fault, Times};
pub use rustix::io::Errno as ErrorNumber;

use self::disk::{DirNode, Disk, FileNode, NodeId, ROOT};
use self::plan::{Judgement, Plan};

/// What a file system without a limit says that it has.
const UNLIMITED: u64 = 1 << 40;

/// A directory of a simulated machine. Clones are handles of the same directory.
#[derive(Clone)]
#[must_use = "a machine that nobody looks at proves nothing"]
pub struct SimDir {
    machine: Arc<Machine>,
    node: NodeId,
    /// Empty for the root.
    path: String,
}

/// One machine: a disk, and what is planned for it.
struct Machine {
    state: Mutex<State>,
    /// Signalled when calls are held, released, or the machine goes off.
    changed: Condvar,
}

#[derive(Clone)]
struct State {
    disk: Disk,
    plan: Plan,
    /// Bytes that fit on the disk.
    limit: Option<u64>,
    /// Calls that wait to be released.
    waiting: usize,
    /// Decides what a sync that fails partly has written.
    dice: Seeded,
}

impl Default for SimDir {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDir {
    /// The empty root directory of a new machine.
    pub fn new() -> Self {
        Self::boot(Disk::new(), None)
    }

    fn boot(disk: Disk, limit: Option<u64>) -> Self {
        let state = Mutex::new(State {
            disk,
            plan: Plan::default(),
            limit,
            waiting: 0,
            dice: Seeded::new(0),
        });
        let changed = Condvar::new();
        Self {
            machine: Arc::new(Machine { state, changed }),
            node: ROOT,
            path: String::new(),
        }
    }

    /// Cuts the power: this machine is off from now on, every handle fails. What is left, as `chooser` decides, is the
    /// disk of the machine that is returned; nothing of it is unsynced, and no faults are planned.
    pub fn crash(&self, chooser: &mut dyn Choose) -> Self {
        self.turn_off();
        self.crash_image(chooser)
    }

    /// [`SimDir::crash`] with nothing left that was not synced.
    pub fn crash_all_lost(&self) -> Self {
        self.crash(&mut AllLost)
    }

    /// [`SimDir::crash`] with everything left that was written.
    pub fn crash_all_kept(&self) -> Self {
        self.crash(&mut AllKept)
    }

    /// Kills the process (`kill -9`): every handle fails and every lock is free, but the system lives on. The machine
    /// returned reads all that was written, and has yet to sync it; pages that a failed sync left clean stay so.
    pub fn kill(&self) -> Self {
        self.turn_off();
        let state = self.machine.state.lock();
        Self::boot(state.disk.killed(), state.limit)
    }

    /// What a crash now would leave, while this machine runs on.
    pub fn crash_image(&self, chooser: &mut dyn Choose) -> Self {
        let state = self.machine.state.lock();
        Self::boot(state.disk.crashed(chooser), state.limit)
    }

    /// A machine with a copy of everything, unsynced operations and planned faults included. Locks are free.
    pub fn fork(&self) -> Self {
        let state = self.machine.state.lock();
        let copy = Self::boot(state.disk.killed(), state.limit);
        copy.machine.state.lock().plan = state.plan.clone();
        copy
    }

    /// Ends this machine: every call fails, those that wait too.
    pub fn turn_off(&self) {
        self.machine.state.lock().plan.off = true;
        self.machine.changed.notify_all();
    }

    /// Whether the machine was turned off, by a crash or by [`SimDir::stop_after`].
    pub fn is_off(&self) -> bool {
        self.machine.state.lock().plan.off
    }

    /// Turns the machine off instead of doing the step after the next `steps` ones ([`Call::is_step`]).
    pub fn stop_after(&self, steps: u64) {
        let mut state = self.machine.state.lock();
        state.plan.last_step = Some(state.plan.steps + steps);
    }

    /// How many steps there were: calls that may change what a crash leaves ([`Call::is_step`]).
    pub fn steps(&self) -> u64 {
        self.machine.state.lock().plan.steps
    }

    /// How many calls of this kind there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.machine.state.lock().plan.count(call)
    }

    /// Plans a fault. Of several that strike the same call the first planned wins.
    pub fn fail(&self, fault: Fault) {
        self.machine.state.lock().plan.faults.push(fault);
    }

    /// Forgets all planned faults; what they did stays done.
    pub fn heal(&self) {
        self.machine.state.lock().plan.faults.clear();
    }

    /// Makes every call of this kind wait until [`SimDir::release`], on names that start with `prefix`.
    pub fn hold(&self, call: Call, prefix: &str) {
        let mut state = self.machine.state.lock();
        state.plan.held.push((call, prefix.to_owned()));
    }

    /// Lets held calls of this kind go on.
    pub fn release(&self, call: Call) {
        let mut state = self.machine.state.lock();
        state.plan.held.retain(|(held, _)| *held != call);
        drop(state);
        self.machine.changed.notify_all();
    }

    /// Lets one of the held calls go on, and waits until it has: the next one of its kind is held again.
    pub fn let_one(&self) {
        let mut state = self.machine.state.lock();
        state.plan.passes += 1;
        self.machine.changed.notify_all();
        while state.plan.passes > 0 {
            self.machine.changed.wait(&mut state);
        }
    }

    /// How many calls are held.
    pub fn held(&self) -> usize {
        self.machine.state.lock().waiting
    }

    /// Waits until `count` calls are held at once.
    pub fn wait_held(&self, count: usize) {
        let mut state = self.machine.state.lock();
        while state.waiting < count {
            self.machine.changed.wait(&mut state);
        }
    }

    /// Sets how many bytes fit on the disk; `None` for no limit. What is there already stays.
    pub fn limit(&self, bytes: Option<u64>) {
        self.machine.state.lock().limit = bytes;
    }

    /// Bytes in all files, as the limit counts them.
    pub fn used(&self) -> u64 {
        wide(self.machine.state.lock().disk.used())
    }

    /// Every file of the machine, by its path from the root with `/` between the names, and its length.
    pub fn files(&self) -> Vec<(String, u64)> {
        let found = self.machine.state.lock().disk.walk(ROOT);
        let files = found.into_iter().filter_map(|(path, _, len)| {
            let len = wide(len?);
            Some((path, len))
        });
        files.collect()
    }

    /// The bytes of the file at `path` from the root, as reads see them. `NotFound` where there is none.
    pub fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut state = self.machine.state.lock();
        Ok(state.at_path(path)?.cached.clone())
    }

    /// Changes the bytes of the file at `path` from the root, on the disk and in the cache: damage behind the system's
    /// back. `NotFound` where there is none.
    pub fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.machine.state.lock();
        let file = state.at_path(path)?;
        file.sync();
        change(&mut file.durable);
        file.cached.clone_from(&file.durable);
        Ok(())
    }
}

impl Machine {
    fn begin(&self, call: Call, name: &str) -> io::Result<(MutexGuard<'_, State>, Judgement)> {
        let mut state = self.state.lock();
        if state.plan.holds(call, name) {
            state.waiting += 1;
            self.changed.notify_all();
            while state.plan.holds(call, name) && state.plan.passes == 0 {
                self.changed.wait(&mut state);
            }
            state.plan.passes = state.plan.passes.saturating_sub(1);
            state.waiting -= 1;
            self.changed.notify_all();
        }
        let judgement = state.plan.judge(call, name)?;
        Ok((state, judgement))
    }
}

impl State {
    /// The directory, where it is still in its parent.
    fn live_dir(&mut self, node: NodeId) -> io::Result<&mut DirNode> {
        match self.disk.dir(node) {
            Some(dir) if !dir.removed => Ok(dir),
            Some(_) => Err(Errno::NOENT.into()),
            None => Err(Errno::NOTDIR.into()),
        }
    }

    fn entry(&mut self, dir: NodeId, name: &str) -> io::Result<NodeId> {
        let found = self.live_dir(dir)?.cached.get(name).copied();
        found.ok_or_else(|| Errno::NOENT.into())
    }

    /// Refuses a name that is taken.
    fn vacant(&mut self, dir: NodeId, name: &str) -> io::Result<()> {
        if self.live_dir(dir)?.cached.contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        Ok(())
    }

    fn file(&mut self, node: NodeId) -> io::Result<&mut FileNode> {
        self.disk.file(node).ok_or_else(|| Errno::ISDIR.into())
    }

    fn walk_to(&mut self, from: NodeId, path: &str) -> io::Result<NodeId> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(from, |node, name| self.entry(node, name))
    }

    fn at_path(&mut self, path: &str) -> io::Result<&mut FileNode> {
        let node = self.walk_to(ROOT, path)?;
        self.file(node)
    }

    fn free(&self) -> u64 {
        let total = self.limit.unwrap_or(UNLIMITED);
        total.saturating_sub(wide(self.disk.used()))
    }

    /// Whether `from` may take the place of `to`, and what it replaces there.
    fn replaced(&mut self, from: NodeId, to: NodeId) -> io::Result<()> {
        let from_is_dir = self.disk.dir(from).is_some();
        match self.disk.dir(to) {
            Some(_) if !from_is_dir => Err(Errno::ISDIR.into()),
            Some(dir) if !dir.cached.is_empty() => Err(Errno::NOTEMPTY.into()),
            Some(dir) => {
                dir.removed = true;
                Ok(())
            }
            None if from_is_dir => Err(Errno::NOTDIR.into()),
            None => Ok(()),
        }
    }
}

impl Debug for SimDir {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimDir").field(&self.path).finish()
    }
}
