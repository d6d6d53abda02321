//! The directory operations of a simulated machine: what they ask of the plan, then of the disk.
//!
//! It knows nothing of what a crash leaves.

use std::io;
use std::sync::Arc;

use parking_lot::MutexGuard;
use rustix::io::Errno;

use super::disk::NodeId;
use super::file::{SimFile, SimLock};
use super::plan::{Call, Judgement};
use super::{SimDir, State, UNLIMITED};
use crate::fs::{Dir, File, Lock, Space, is_name};

impl SimDir {
    /// Counts and judges a call, after waiting where calls of its kind are held.
    fn begin(&self, call: Call, name: &str) -> io::Result<(MutexGuard<'_, State>, Judgement)> {
        self.machine.begin(call, name)
    }

    /// As [`SimDir::begin`], for calls that take a name.
    fn begin_named(
        &self,
        call: Call,
        name: &str,
    ) -> io::Result<(MutexGuard<'_, State>, Judgement)> {
        if is_name(name) {
            self.begin(call, name)
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    fn handle(&self, node: NodeId, name: &str, writable: bool) -> Arc<SimFile> {
        Arc::new(SimFile {
            machine: Arc::clone(&self.machine),
            node,
            name: name.to_owned(),
            writable,
        })
    }

    fn child(&self, node: NodeId, name: &str) -> Self {
        Self {
            machine: Arc::clone(&self.machine),
            node,
            path: self.display(name),
        }
    }

    fn open_handle(&self, name: &str, writable: bool) -> io::Result<Arc<dyn File>> {
        let (mut state, judgement) = self.begin_named(Call::Open, name)?;
        judgement.before()?;
        let node = state.entry(self.node, name)?;
        if state.disk.dir(node).is_some() {
            return Err(Errno::ISDIR.into());
        }
        judgement.after()?;
        Ok(self.handle(node, name, writable))
    }

    fn own_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Takes away the entries of `node`, each a step of its own, deepest first.
    fn remove_entries(&self, node: NodeId) -> io::Result<()> {
        let found = self.machine.state.lock().disk.walk(node);
        for (path, child, len) in found.into_iter().rev() {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let (mut state, judgement) = self.begin(Call::Remove, name)?;
            judgement.before()?;
            let parent = state.walk_to(node, parent)?;
            if len.is_none() {
                state.live_dir(child)?.removed = true;
            }
            state.live_dir(parent)?.unlink(name);
            judgement.after()?;
        }
        Ok(())
    }
}

impl Dir for SimDir {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let (mut state, judgement) = self.begin_named(Call::Create, name)?;
        judgement.before()?;
        state.vacant(self.node, name)?;
        let node = state.disk.link_file(self.node, name);
        judgement.after()?;
        Ok(self.handle(node, name, true))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open_handle(name, true)
    }

    fn open_read(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open_handle(name, false)
    }

    fn create_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        let (mut state, judgement) = self.begin_named(Call::CreateDir, name)?;
        judgement.before()?;
        state.vacant(self.node, name)?;
        let node = state.disk.link_dir(self.node, name);
        judgement.after()?;
        Ok(Arc::new(self.child(node, name)))
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        let (mut state, judgement) = self.begin_named(Call::Open, name)?;
        judgement.before()?;
        let node = state.entry(self.node, name)?;
        state.live_dir(node)?;
        judgement.after()?;
        Ok(Arc::new(self.child(node, name)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if !is_name(to) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (mut state, judgement) = self.begin_named(Call::Rename, from)?;
        judgement.before()?;
        let node = state.entry(self.node, from)?;
        if from != to {
            if let Some(old) = state.live_dir(self.node)?.cached.get(to).copied() {
                state.replaced(node, old)?;
            }
            state.live_dir(self.node)?.rename(from, to, node);
        }
        judgement.after()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (mut state, judgement) = self.begin_named(Call::Remove, name)?;
        judgement.before()?;
        let node = state.entry(self.node, name)?;
        if state.disk.dir(node).is_some() {
            return Err(Errno::ISDIR.into());
        }
        state.live_dir(self.node)?.unlink(name);
        judgement.after()
    }

    fn remove_dir_all(&self, name: &str) -> io::Result<()> {
        if !is_name(name) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let node = {
            let mut state = self.machine.state.lock();
            let node = state.entry(self.node, name)?;
            state.live_dir(node)?;
            node
        };
        self.remove_entries(node)?;
        let (mut state, judgement) = self.begin(Call::Remove, name)?;
        judgement.before()?;
        state.live_dir(node)?.removed = true;
        state.live_dir(self.node)?.unlink(name);
        judgement.after()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let (mut state, judgement) = self.begin(Call::List, self.own_name())?;
        judgement.before()?;
        let names = state
            .disk
            .dir(self.node)
            .map(|dir| dir.cached.keys().cloned());
        Ok(names.into_iter().flatten().collect())
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, judgement) = self.begin(Call::SyncDir, self.own_name())?;
        // Entries are metadata: unlike pages they stay to be written when a sync fails.
        judgement.before()?;
        if let Some(dir) = state.disk.dir(self.node) {
            dir.sync();
        }
        judgement.after()
    }

    fn space(&self) -> io::Result<Space> {
        let (state, judgement) = self.begin(Call::Space, self.own_name())?;
        judgement.before()?;
        Ok(Space {
            total: state.limit.unwrap_or(UNLIMITED),
            free: state.free(),
        })
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        if is_name(name) {
            let absent = self.machine.state.lock().vacant(self.node, name).is_ok();
            if absent {
                self.create(name)?;
            }
        }
        let (mut state, judgement) = self.begin_named(Call::Lock, name)?;
        judgement.before()?;
        let node = state.entry(self.node, name)?;
        let file = state.file(node)?;
        if file.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        file.locked = true;
        let machine = Arc::clone(&self.machine);
        Ok(Box::new(SimLock { machine, node }))
    }

    fn display(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}
