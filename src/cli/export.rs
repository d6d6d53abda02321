//! `standpipe export`: every keyspace and entry of a directory, one JSON object a line, in key order. It must not write anything
//! half: a file appears under its name only when it is whole.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use indicatif::HumanCount;
use standpipe_store::{Clock, Entry, Keyspace, Policy, Store};

use super::directory::DEFAULT;
use super::line::{self, Item};
use super::{Exit, Failure, directory, progress, tell};
use crate::config::Config;

/// Entries that are read at once: references, so that many cost little, and each page asks every shard.
const PAGE: usize = 8192;

/// What `export` is told.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Where to write; without it, or with `-`, standard output
    file: Option<PathBuf>,
    /// Only this keyspace; without it, all of them
    #[arg(long, value_name = "NAME")]
    keyspace: Option<String>,
}

/// Writes every entry of the directory, which no server may hold.
pub(super) fn run(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let path = &config.server.storage.path;
    let dir = directory::with_store(path)?;
    let clock = Arc::new(Clock::system());
    let store = directory::open(config, dir, &clock)?;
    let target = arguments
        .file
        .as_deref()
        .filter(|file| *file != Path::new("-"));
    let written = chosen(&store, arguments.keyspace.as_deref()).and_then(|keyspaces| {
        let source = Source {
            store: &store,
            keyspaces,
        };
        match target {
            Some(file) => to_file(&source, file),
            None => to_stream(&source, &mut io::stdout().lock(), "standard output"),
        }
    });
    directory::close(&store)?;
    let count = written?;
    tell(format_args!(
        "exported {} entries from {}",
        HumanCount(count),
        path.display()
    ));
    Ok(())
}

/// What is exported.
struct Source<'a> {
    store: &'a Store,
    keyspaces: Vec<Arc<Keyspace>>,
}

/// All keyspaces, or the one that was asked for.
fn chosen(store: &Store, name: Option<&str>) -> Result<Vec<Arc<Keyspace>>, Failure> {
    let Some(name) = name else {
        return Ok(store.keyspaces());
    };
    let missing = || Failure::new(Exit::DATA, format_args!("there is no keyspace {name:?}"));
    Ok(vec![store.keyspace(name).ok_or_else(missing)?])
}

/// Writes a file whole or not at all. What is no regular file (a pipe, a device) is written to as it is.
fn to_file(source: &Source<'_>, file: &Path) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::io(format_args!("write {}", file.display()), &error);
    if fs::metadata(file).is_ok_and(|known| !known.is_file()) {
        let mut stream = File::options().write(true).open(file).map_err(failed)?;
        return to_stream(source, &mut stream, &file.display().to_string());
    }
    // A link stays one: what it points to is replaced.
    let file = fs::canonicalize(file).unwrap_or_else(|_absent| file.to_owned());
    let mut partial = file.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = write_whole(source, &file, &partial);
    if written.is_err() {
        // The first failure is the one to tell; what it leaves has a name that says what it is.
        drop(fs::remove_file(&partial));
    }
    written.map_err(|error| match error {
        Broken::Stream(failure) => failure,
        Broken::File(error) => failed(error),
    })
}

enum Broken {
    Stream(Failure),
    File(io::Error),
}

/// The contents under the temporary name, synced, then the real name, then the name synced too.
fn write_whole(source: &Source<'_>, file: &Path, partial: &Path) -> Result<u64, Broken> {
    match fs::remove_file(partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Broken::File(error)),
        _ => {}
    }
    // As in the data directory, everybody's values are for the service's own user.
    let mut options = File::options();
    let mut stream = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(partial)
        .map_err(Broken::File)?;
    let count =
        to_stream(source, &mut stream, &file.display().to_string()).map_err(Broken::Stream)?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    stream
        .sync_all()
        .and_then(|()| fs::rename(partial, file))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(Broken::File)?;
    Ok(count)
}

fn to_stream(source: &Source<'_>, stream: &mut dyn Write, name: &str) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::io(format_args!("write {name}"), &error);
    let store = source.store;
    let entries = |keyspace: &Arc<Keyspace>| store.keyspace_stats(keyspace).entries;
    let bar = progress::entries("exporting", source.keyspaces.iter().map(entries).sum());
    let mut out = BufWriter::with_capacity(1 << 16, stream);
    let (mut count, mut text) = (0, Vec::new());
    for keyspace in &source.keyspaces {
        text.clear();
        head(keyspace, &mut text)?;
        out.write_all(&text).map_err(failed)?;
        let mut after = None::<Entry>;
        loop {
            let from = after.as_ref().map(Entry::key);
            let page = store.scan(keyspace, b"", from, PAGE).entries;
            for entry in &page {
                text.clear();
                append(store, keyspace, entry, &mut text)?;
                out.write_all(&text).map_err(failed)?;
                count += 1;
            }
            bar.set_position(count);
            let Some(last) = page.into_iter().last() else {
                break;
            };
            after = Some(last);
        }
    }
    out.flush().map_err(failed)?;
    bar.finish_and_clear();
    Ok(count)
}

/// The line of a keyspace before its entries; `default` needs none where it is as every store makes it.
fn head(keyspace: &Keyspace, text: &mut Vec<u8>) -> Result<(), Failure> {
    let policy = keyspace.policy();
    if keyspace.name() == DEFAULT && policy == Policy::default() {
        return Ok(());
    }
    let name = keyspace.name();
    line::write_keyspace(name, &policy, text)
        .map_err(|why| Failure::new(Exit::INTERNAL, format_args!("the keyspace {name}: {why}")))
}

fn append(
    store: &Store,
    keyspace: &Keyspace,
    entry: &Entry,
    text: &mut Vec<u8>,
) -> Result<(), Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::new(
            Exit::DATA,
            format_args!(
                "cannot export the key {:?}: {why}",
                String::from_utf8_lossy(entry.key())
            ),
        )
    };
    let facts = store.facts(entry);
    let meta = facts.as_meta();
    let name = keyspace.name();
    let item = Item {
        keyspace: (name != DEFAULT).then_some(name.into()),
        key: str::from_utf8(entry.key())
            .map_err(|error| refused(&error))?
            .into(),
        value: entry.value().into(),
        content_type: Some(meta.content_type.into()),
        content_encoding: meta.content_encoding.map(Cow::Borrowed),
        source: meta.owner.map(Cow::Borrowed),
        created_at_ms: Some(entry.created_at_ms()),
        expires_at_ms: entry.expires_at_ms(),
    };
    line::write(&item, text).map_err(|why| refused(&why))
}
