//! Open files and held locks of a simulated machine: what they ask of the plan, then of the disk.
//!
//! It knows nothing of directories, nor of what a crash leaves.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::MutexGuard;
use rustix::io::Errno;

use super::choice::AllLost;
use super::disk::NodeId;
use super::plan::{Call, Effect, Judgement};
use super::{Machine, State};
use crate::fs::{File, Lock};
use crate::int::wide;

/// An open file of a simulated machine.
pub(super) struct SimFile {
    pub(super) machine: Arc<Machine>,
    pub(super) node: NodeId,
    /// The name that it was opened under: what faults match.
    pub(super) name: String,
    pub(super) writable: bool,
}

impl SimFile {
    fn begin(&self, call: Call) -> io::Result<(MutexGuard<'_, State>, Judgement)> {
        self.machine.begin(call, &self.name)
    }

    fn sync(&self, call: Call) -> io::Result<()> {
        let (mut state, judgement) = self.begin(call)?;
        let State { disk, dice, .. } = &mut *state;
        if let Some(file) = disk.file(self.node) {
            match judgement.0 {
                Some(Effect::Fail(_)) => file.sync_fails(&mut AllLost),
                Some(Effect::FailPartly(_)) => file.sync_fails(dice),
                Some(Effect::FailAfter(_) | Effect::Short(_)) | None => file.sync(),
            }
        }
        judgement.before()?;
        judgement.after()
    }
}

/// A position in a file as a position in memory; nothing simulated reaches further.
fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset)
        .ok()
        .filter(|place| *place <= usize::MAX / 4)
        .ok_or_else(|| Errno::FBIG.into())
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut state, judgement) = self.begin(Call::Read)?;
        judgement.before()?;
        let content = &state.file(self.node)?.cached;
        let rest = content.get(place(offset)?..).unwrap_or_default();
        let count = rest.len().min(buf.len()).min(judgement.most().max(1));
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        judgement.after()?;
        Ok(count)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let (mut state, judgement) = self.begin(Call::Write)?;
        judgement.before()?;
        if !self.writable {
            return Err(Errno::BADF.into());
        }
        let mut bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        bytes.truncate(judgement.most());
        let offset = place(offset)?;
        let len = state.file(self.node)?.cached.len();
        let most = len.saturating_add(usize::try_from(state.free()).unwrap_or(usize::MAX));
        if offset + bytes.len() > most && !bytes.is_empty() {
            bytes.truncate(most.saturating_sub(offset));
            if bytes.is_empty() {
                return Err(Errno::NOSPC.into());
            }
        }
        let count = bytes.len();
        if count > 0 {
            state.file(self.node)?.write(offset, bytes);
        }
        judgement.after()?;
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(Call::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(Call::SyncAll)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut state, judgement) = self.begin(Call::SetLen)?;
        judgement.before()?;
        if !self.writable {
            return Err(Errno::BADF.into());
        }
        let len = place(len)?;
        let growth = len.saturating_sub(state.file(self.node)?.cached.len());
        if wide(growth) > state.free() {
            return Err(Errno::NOSPC.into());
        }
        state.file(self.node)?.set_len(len);
        judgement.after()
    }

    fn len(&self) -> io::Result<u64> {
        let (mut state, judgement) = self.begin(Call::Len)?;
        judgement.before()?;
        Ok(wide(state.file(self.node)?.cached.len()))
    }

    fn drop_cache(&self) -> io::Result<()> {
        let (mut state, judgement) = self.begin(Call::DropCache)?;
        judgement.before()?;
        state.file(self.node)?.drop_cache();
        judgement.after()
    }
}

impl Debug for SimFile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimFile").field(&self.name).finish()
    }
}

/// A held lock of a simulated machine.
pub(super) struct SimLock {
    pub(super) machine: Arc<Machine>,
    pub(super) node: NodeId,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Some(file) = self.machine.state.lock().disk.file(self.node) {
            file.locked = false;
        }
    }
}

impl Debug for SimLock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SimLock")
    }
}
