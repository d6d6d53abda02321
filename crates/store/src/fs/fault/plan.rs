//! Which calls of a simulated tree fail, wait, or are the last: the plan of a test.
//!
//! It counts calls and judges them; what a judgement does to files is the disk's affair (`disk`).

use std::io;

use rustix::io::Errno;

/// The kinds of calls that a plan tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `Dir::create`, and `Dir::lock` where it makes the file.
    Create,
    /// `Dir::create_dir`.
    CreateDir,
    /// `Dir::open`, `Dir::open_read` and `Dir::open_dir`.
    Open,
    /// `Dir::list`.
    List,
    /// `Dir::rename`.
    Rename,
    /// `Dir::remove`, and each entry that `Dir::remove_dir_all` takes away.
    Remove,
    /// `Dir::sync`.
    SyncDir,
    /// `Dir::space`.
    Space,
    /// `Dir::lock`.
    Lock,
    /// `File::read_at`.
    Read,
    /// `File::write_at`.
    Write,
    /// `File::sync_data`.
    SyncData,
    /// `File::sync_all`.
    SyncAll,
    /// `File::set_len`.
    SetLen,
    /// `File::len`.
    Len,
    /// `File::drop_cache`.
    DropCache,
}

impl Call {
    /// Every kind, for loops over all of them.
    pub const ALL: [Self; 16] = [
        Self::Create,
        Self::CreateDir,
        Self::Open,
        Self::List,
        Self::Rename,
        Self::Remove,
        Self::SyncDir,
        Self::Space,
        Self::Lock,
        Self::Read,
        Self::Write,
        Self::SyncData,
        Self::SyncAll,
        Self::SetLen,
        Self::Len,
        Self::DropCache,
    ];

    /// Whether the call may change what a crash leaves behind: the steps between which a crash is worth trying.
    pub fn is_step(self) -> bool {
        match self {
            Self::Create
            | Self::CreateDir
            | Self::Rename
            | Self::Remove
            | Self::SyncDir
            | Self::Write
            | Self::SyncData
            | Self::SyncAll
            | Self::SetLen => true,
            Self::Open
            | Self::List
            | Self::Space
            | Self::Lock
            | Self::Read
            | Self::Len
            | Self::DropCache => false,
        }
    }
}

/// What a fault does to the call that meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The call fails with this error number. A failed sync of a file marks the dirty pages clean without writing them, as
    /// Linux does; any other call leaves everything as it was.
    Fail(Errno),
    /// As [`Effect::Fail`], but a sync of a file writes some of the sectors before it fails.
    FailPartly(Errno),
    /// The call does its work, and reports this error all the same.
    FailAfter(Errno),
    /// A read or write handles at most this many bytes. Nothing, for other calls.
    Short(usize),
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// The n-th matching call alone.
    Once,
    /// The n-th matching call and all after it.
    Always,
}

/// One planned fault. Build it with [`Fault::on`] and the methods that follow.
#[derive(Debug, Clone)]
pub struct Fault {
    call: Call,
    prefix: String,
    nth: u64,
    times: Times,
    effect: Effect,
    seen: u64,
}

impl Fault {
    /// The next call of this kind, on any name, once, fails with EIO.
    pub fn on(call: Call) -> Self {
        Self {
            call,
            prefix: String::new(),
            nth: 1,
            times: Times::Once,
            effect: Effect::Fail(Errno::IO),
            seen: 0,
        }
    }

    /// The n-th matching call from now on, counted from 1.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// That call and every later one.
    #[must_use]
    pub fn always(self) -> Self {
        let times = Times::Always;
        Self { times, ..self }
    }

    /// What happens instead of EIO.
    #[must_use]
    pub fn effect(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    /// Only names that start so: for files the name they were opened under, for a directory its own.
    #[must_use]
    pub fn prefix(self, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        Self { prefix, ..self }
    }

    /// Counts the call and says whether it is struck.
    fn strikes(&mut self, call: Call, name: &str) -> bool {
        if call != self.call || !name.starts_with(&self.prefix) {
            return false;
        }
        self.seen += 1;
        match self.times {
            Times::Once => self.seen == self.nth,
            Times::Always => self.seen >= self.nth,
        }
    }
}

/// The plan of one simulated machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) faults: Vec<Fault>,
    /// Calls of these kinds, on names that start so, wait until released.
    pub(super) held: Vec<(Call, String)>,
    /// How many of those that wait may go on all the same.
    pub(super) passes: usize,
    /// Steps so far.
    pub(super) steps: u64,
    /// The machine goes off instead of doing the step after this one.
    pub(super) last_step: Option<u64>,
    /// The machine is off: every call fails.
    pub(super) off: bool,
    counts: [u64; Call::ALL.len()],
}

impl Plan {
    /// Counts a call and judges it.
    pub(super) fn judge(&mut self, call: Call, name: &str) -> io::Result<Judgement> {
        if !self.off && call.is_step() && self.last_step.is_some_and(|last| self.steps >= last) {
            self.off = true;
        }
        if self.off {
            return Err(io::Error::other("the simulated machine is off"));
        }
        self.steps += u64::from(call.is_step());
        for (kind, count) in Call::ALL.iter().zip(&mut self.counts) {
            *count += u64::from(*kind == call);
        }
        // Every fault counts every call, so that two of them do not shift each other.
        let mut effect = None;
        for fault in &mut self.faults {
            if fault.strikes(call, name) {
                effect = effect.or(Some(fault.effect));
            }
        }
        Ok(Judgement(effect))
    }

    /// Whether the call has to wait.
    pub(super) fn holds(&self, call: Call, name: &str) -> bool {
        let mut held = self.held.iter();
        !self.off && held.any(|(kind, prefix)| *kind == call && name.starts_with(prefix))
    }

    /// How many calls of this kind there were.
    pub(super) fn count(&self, call: Call) -> u64 {
        let mut counted = Call::ALL.iter().zip(&self.counts);
        counted
            .find(|(kind, _)| **kind == call)
            .map_or(0, |(_, count)| *count)
    }
}

/// What the plan has in mind for one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement(pub(super) Option<Effect>);

impl Judgement {
    /// Fails where the call must not do its work.
    pub(super) fn before(self) -> io::Result<()> {
        match self.0 {
            Some(Effect::Fail(e) | Effect::FailPartly(e)) => Err(e.into()),
            Some(Effect::FailAfter(_) | Effect::Short(_)) | None => Ok(()),
        }
    }

    /// Fails where the call did its work and hides it.
    pub(super) fn after(self) -> io::Result<()> {
        match self.0 {
            Some(Effect::FailAfter(e)) => Err(e.into()),
            Some(Effect::Fail(_) | Effect::FailPartly(_) | Effect::Short(_)) | None => Ok(()),
        }
    }

    /// The most bytes that a read or write may handle.
    pub(super) fn most(self) -> usize {
        match self.0 {
            Some(Effect::Short(most)) => most,
            Some(Effect::Fail(_) | Effect::FailPartly(_) | Effect::FailAfter(_)) | None => {
                usize::MAX
            }
        }
    }
}
