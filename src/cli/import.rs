//! `standpipe import`: entries from a file into a directory, many in flight, each batch awaited on the disk. It must not
//! hide what is half done: bad lines are named, and so is how far it came.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use standpipe_store::{
    Clock, Conditions, Durability, Keyspace, KeyspaceError, Level, Lifetime, Meta, Policy, Store,
    WriteError, block_on,
};

use super::directory::DEFAULT;
use super::incoming::{Format, Incoming, Position};
use super::line::{Item, Said};
use super::{Exit, Failure, directory, progress, tell};
use crate::config::Config;
use crate::engine;
use crate::server::{self, Limits};

/// Bytes of values between two waits for the disk: enough that the wait is not felt, little enough to hold in flight.
const CHUNK_BYTES: u64 = 8 << 20;
/// Entries between two waits for the disk.
const CHUNK_ENTRIES: u64 = 10_000;
/// Bad lines that are named one by one; the rest is counted.
const NAMED: u64 = 20;

/// What `import` is told.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// What to read; without it, or with `-`, standard input
    file: Option<PathBuf>,
    /// Read and check everything, write nothing
    #[arg(long)]
    dry_run: bool,
    /// The keyspace of entries that name none
    #[arg(long, value_name = "NAME", default_value = DEFAULT)]
    keyspace: String,
    /// The file's shape; without it the first line decides
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// Imports, or with `--dry-run` only checks.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    if !server::is_keyspace_name(&arguments.keyspace) {
        let name = &arguments.keyspace;
        let message = format_args!("--keyspace {name:?} is no name: 1 to 64 of a-z 0-9 _ -");
        return Err(Failure::new(Exit::USAGE, message));
    }
    let input = Input::of(arguments);
    let limits = &config.server.limits;
    if arguments.dry_run {
        let checked = input.check(limits)?;
        tell(format_args!(
            "{} can be imported; nothing was written",
            checked.summary()
        ));
        return Ok(());
    }
    // What can be read twice is checked whole before anything is written.
    if input.is_regular_file() {
        input.check(limits)?;
    }
    let path = &config.server.storage.path;
    let dir = engine::directory(path).map_err(|error| {
        let what = format_args!("make or open {} (storage.path, --data)", path.display());
        Failure::io(what, &error)
    })?;
    let clock = Arc::new(Clock::system());
    let store = directory::open(config, Arc::new(dir), &clock)?;
    let imported = Importer::new(&store, &clock, config, &arguments.keyspace).import(&input);
    directory::close(&store)?;
    let imported = imported?;
    tell(format_args!(
        "{} imported into {}{}",
        imported.summary(),
        path.display(),
        imported.left_out()
    ));
    Ok(())
}

/// What was counted on the way.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    entries: u64,
    bytes: u64,
    expired: u64,
    bad: u64,
}

impl Counted {
    fn summary(&self) -> String {
        format!(
            "{} entries ({})",
            HumanCount(self.entries),
            HumanBytes(self.bytes)
        )
    }

    fn left_out(&self) -> String {
        match self.expired {
            0 => String::new(),
            expired => format!("; {} had expired and were left out", HumanCount(expired)),
        }
    }
}

/// Where entries come from.
struct Input {
    file: Option<PathBuf>,
    format: Option<Format>,
}

impl Input {
    fn of(arguments: &Arguments) -> Self {
        let file = arguments.file.clone().filter(|file| file != Path::new("-"));
        Self {
            file,
            format: arguments.format,
        }
    }

    fn name(&self) -> String {
        self.file.as_deref().map_or_else(
            || "standard input".to_owned(),
            |file| file.display().to_string(),
        )
    }

    fn is_regular_file(&self) -> bool {
        self.file
            .as_deref()
            .is_some_and(|file| fs::metadata(file).is_ok_and(|known| known.is_file()))
    }

    /// Hands each entry to `take`.
    fn each(
        &self,
        what: &'static str,
        limits: &Limits,
        take: &mut super::incoming::Taker<'_>,
    ) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::io(format_args!("read {}", self.name()), &error);
        let (reader, total): (Box<dyn Read>, _) = match &self.file {
            Some(file) => {
                let file = File::open(file).map_err(failed)?;
                let total = file.metadata().map_err(failed)?.len();
                (Box::new(file), Some(total))
            }
            None => (Box::new(io::stdin().lock()), None),
        };
        let bar = progress::bytes(what, total);
        let reader = BufReader::with_capacity(1 << 18, bar.wrap_read(reader));
        // JSON writes a byte of text as six at most; the other fields have room in what is left.
        let line_bytes =
            u64::try_from(limits.value_bytes + limits.key_bytes).unwrap_or(u64::MAX / 8) * 6
                + (1 << 20);
        let read = Incoming {
            reader,
            format: self.format,
            line_bytes,
        }
        .each(take);
        bar.finish_and_clear();
        read
    }

    /// Reads everything and names what is bad. Fails if anything is.
    fn check(&self, limits: &Limits) -> Result<Counted, Failure> {
        let mut counted = Counted::default();
        self.each("checking", limits, &mut |at, item| {
            match item.and_then(|item| admitted(item, limits)) {
                Ok(Said::Entry(item)) => {
                    counted.entries += 1;
                    counted.bytes += wide(item.value.len());
                }
                Ok(Said::Keyspace(..)) => {}
                Err(reason) => {
                    counted.bad += 1;
                    if counted.bad <= NAMED {
                        tell(format_args!("{}: {at}{reason}", self.name()));
                    }
                }
            }
            Ok(())
        })?;
        if counted.bad == 0 {
            return Ok(counted);
        }
        let unnamed = match counted.bad.saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" ({more} more than are named above)"),
        };
        let message = format!(
            "{}: {} bad entries{unnamed} and {} good ones; nothing was imported",
            self.name(),
            counted.bad,
            counted.entries
        );
        Err(Failure::new(Exit::DATA, message))
    }
}

/// What the service would refuse, an import refuses too.
fn admitted<'a>(said: Said<'a>, limits: &Limits) -> Result<Said<'a>, String> {
    match said {
        Said::Entry(item) => entry(item, limits).map(Said::Entry),
        keyspace @ Said::Keyspace(..) => Ok(keyspace),
    }
}

fn entry<'a>(item: Item<'a>, limits: &Limits) -> Result<Item<'a>, String> {
    let too_long = |what, actual, limit, setting| {
        format!("its {what} has {actual} bytes, the limit is {limit} ({setting})")
    };
    if item.key.is_empty() {
        return Err("its key is empty".to_owned());
    }
    if item.key.len() > limits.key_bytes {
        return Err(too_long(
            "key",
            item.key.len(),
            limits.key_bytes,
            "limits.key_bytes",
        ));
    }
    if item.value.len() > limits.value_bytes {
        return Err(too_long(
            "value",
            item.value.len(),
            limits.value_bytes,
            "limits.value_bytes",
        ));
    }
    // Both are sent as header fields: what cannot be one (RFC 9110 section 5.5) could be stored and never be read.
    for (name, said) in [
        ("content_type", &item.content_type),
        ("content_encoding", &item.content_encoding),
    ] {
        let sendable = |text: &str| {
            !text.trim().is_empty()
                && text
                    .bytes()
                    .all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte))
        };
        if said.as_deref().is_some_and(|text| !sendable(text)) {
            return Err(format!("its {name} cannot be a header field"));
        }
    }
    if !meta(&item).fits() {
        return Err(format!(
            "content_type, content_encoding and source have more than {} bytes",
            Meta::MAX_BYTES
        ));
    }
    Ok(item)
}

/// The facts of an entry; where nobody said a type, the one that a PUT without a type gets.
fn meta<'a>(item: &'a Item<'_>) -> Meta<'a> {
    let unsaid = if str::from_utf8(&item.value).is_ok() {
        Meta::TEXT
    } else {
        Meta::BINARY
    };
    Meta {
        content_type: item.content_type.as_deref().unwrap_or(unsaid),
        content_encoding: item.content_encoding.as_deref(),
        owner: item.source.as_deref(),
    }
}

/// Writes entries and waits for the disk chunk by chunk.
struct Importer<'a> {
    store: &'a Store,
    clock: &'a Clock,
    limits: &'a Limits,
    /// What the configuration file says of keyspaces: it counts, also where no server has brought it to the store yet.
    defined: &'a [(String, server::Policy)],
    /// Where entries go that name no keyspace.
    unnamed: &'a str,
    /// The keyspace of the last entry: nearly always that of the next.
    keyspace: Option<Arc<Keyspace>>,
    counted: Counted,
    /// Since the last wait.
    chunk: Counted,
    /// The newest change of this import.
    newest: u64,
    /// The newest change of the chunk before: awaited when this one is full, so that the disk is never idle.
    before: u64,
}

impl<'a> Importer<'a> {
    fn new(store: &'a Store, clock: &'a Clock, config: &'a Config, unnamed: &'a str) -> Self {
        let (counted, chunk) = (Counted::default(), Counted::default());
        Self {
            store,
            clock,
            limits: &config.server.limits,
            defined: &config.server.keyspaces,
            unnamed,
            keyspace: None,
            counted,
            chunk,
            newest: 0,
            before: 0,
        }
    }

    fn import(mut self, input: &Input) -> Result<Counted, Failure> {
        let written = input
            .each("importing", self.limits, &mut |at, said| {
                let said = said.and_then(|said| admitted(said, self.limits));
                let bad = |reason| Failure::new(Exit::DATA, format_args!("{at}{reason}"));
                match said.map_err(bad)? {
                    Said::Entry(item) => self.put(at, &item),
                    Said::Keyspace(name, policy) => self.keyspace(at, &name, &policy),
                }
            })
            .and_then(|()| self.settle(self.newest));
        match written {
            Ok(()) => Ok(self.counted),
            Err(failure) => Err(self.stopped(input, &failure)),
        }
    }

    /// Makes a keyspace as the line says; one that holds entries keeps what it has.
    fn keyspace(&mut self, at: Position, name: &str, policy: &Policy) -> Result<(), Failure> {
        let Some(known) = self.store.keyspace(name) else {
            return self.set(at, name, policy);
        };
        // What is kept for a sink is the configuration's business.
        let policy = Policy {
            pending: known.policy().pending,
            ..*policy
        };
        if self.store.keyspace_stats(&known).entries > 0 {
            if known.policy() != policy {
                tell(format_args!(
                    "{at}the keyspace {name} holds entries and keeps its policy"
                ));
            }
            return Ok(());
        }
        self.set(at, name, &policy)
    }

    fn set(&mut self, at: Position, name: &str, policy: &Policy) -> Result<(), Failure> {
        let set = self.store.set_keyspace(name, policy, self.limits.keyspaces);
        let set = block_on(set).map_err(|error| {
            let exit = match &error {
                KeyspaceError::TooMany { .. } => Exit::DATA,
                KeyspaceError::DurabilityFixed { .. }
                | KeyspaceError::SinkPending { .. }
                | KeyspaceError::NotLogged => Exit::CONFIG,
                KeyspaceError::Write(_) => Exit::IO,
            };
            Failure::new(exit, format_args!("{at}the keyspace {name}: {error}"))
        })?;
        self.newest = set.own.unwrap_or(self.newest);
        // It may have taken the place of the one that is known.
        self.keyspace = None;
        Ok(())
    }

    /// The keyspace of an entry. One that nobody has told of is made as every keyspace is by default.
    fn keyspace_of(&mut self, at: Position, item: &Item<'_>) -> Result<Arc<Keyspace>, Failure> {
        let name = item.keyspace.as_deref().unwrap_or(self.unnamed);
        if let Some(keyspace) = self.keyspace.as_ref().filter(|one| one.name() == name) {
            return Ok(Arc::clone(keyspace));
        }
        if self.store.keyspace(name).is_none() {
            self.set(at, name, &Policy::default())?;
        }
        let keyspace = self.store.keyspace(name).ok_or_else(|| {
            Failure::new(Exit::INTERNAL, format_args!("the keyspace {name} is gone"))
        })?;
        let in_memory = |(defined, policy): &(String, server::Policy)| {
            defined == name && policy.durability == server::Durability::Memory
        };
        if keyspace.durability() == Durability::Memory || self.defined.iter().any(in_memory) {
            let message = format_args!(
                "keyspaces.{name}.durability is memory: what is imported would be gone with this command"
            );
            return Err(Failure::new(Exit::CONFIG, message));
        }
        self.keyspace = Some(Arc::clone(&keyspace));
        Ok(keyspace)
    }

    /// How far it came: the entries before the failure are in the directory, in the order of the input.
    fn stopped(&self, input: &Input, failure: &Failure) -> Failure {
        let done = match self.settle(self.newest) {
            Ok(()) => format!("{} before that are imported", self.counted.summary()),
            Err(_same) => "of the entries before that, the last ones may be missing".to_owned(),
        };
        Failure::new(
            failure.exit(),
            format_args!("{}: {failure}; {done}", input.name()),
        )
    }

    fn put(&mut self, at: Position, item: &Item<'_>) -> Result<(), Failure> {
        if item
            .expires_at_ms
            .is_some_and(|expires| expires <= self.clock.now_ms())
        {
            self.counted.expired += 1;
            return Ok(());
        }
        let keyspace = self.keyspace_of(at, item)?;
        let (key, value) = (item.key.as_bytes(), &*item.value);
        let failed = |error| refused(at, &error);
        let mut draft = self
            .store
            .restored_draft(
                key,
                value.len(),
                &meta(item),
                Lifetime::until(item.expires_at_ms),
                item.created_at_ms,
            )
            .map_err(failed)?;
        draft.fill(|room| room.copy_from_slice(value));
        // Not waited for one by one, so the log need not sync at once; the chunk's wait makes it.
        let always = Conditions::default();
        let put = self.store.put(&keyspace, draft, &always, Level::Written);
        let put = block_on(put).map_err(failed)?;
        self.newest = put.own.unwrap_or(self.newest);
        self.counted.entries += 1;
        self.counted.bytes += wide(item.value.len());
        self.chunk.entries += 1;
        self.chunk.bytes += wide(item.value.len());
        if self.chunk.bytes >= CHUNK_BYTES || self.chunk.entries >= CHUNK_ENTRIES {
            self.settle(self.before)?;
            self.before = self.newest;
            self.chunk = Counted::default();
        }
        Ok(())
    }

    /// Waits until everything up to this change is on the disk.
    fn settle(&self, revision: u64) -> Result<(), Failure> {
        let durable = block_on(self.store.wait_durable(revision));
        durable.map_err(|lost| Failure::new(Exit::IO, lost))
    }
}

fn refused(at: Position, error: &WriteError) -> Failure {
    let exit = match error {
        WriteError::TooLarge { .. } | WriteError::EntryTooLarge { .. } => Exit::DATA,
        WriteError::DiskFull
        | WriteError::KeyspaceFull { .. }
        | WriteError::SinkBacklog { .. }
        | WriteError::Dropped
        | WriteError::Overloaded { .. }
        | WriteError::Lost(_)
        | WriteError::Closing => Exit::IO,
    };
    Failure::new(exit, format_args!("{at}{error}"))
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
