//! Reads the configuration again while the process runs, and tells whether that is worth it. It must not know what becomes
//! of what it reads.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

use super::layers::{Flags, Layers, Surroundings};
use super::{Config, ConfigError};
use crate::server::Look;

/// The configuration of a process, as often as it changes. Flags and variables stay what they were at the start.
#[derive(Debug)]
pub struct Reader {
    flags: Flags,
    around: Surroundings,
    /// What the newest good configuration was read from.
    good: Seen,
    /// What the newest configuration, good or not, was read from.
    read: Seen,
    /// What was seen by the last look.
    seen: Seen,
}

impl Reader {
    /// Reads the configuration for the first time.
    pub fn new(flags: Flags, around: Surroundings) -> Result<(Config, Self), ConfigError> {
        // Looked at before they are read: what changes in between is seen by the next look.
        let seen = Seen::now(&flags, &around);
        let config = Config::load(&flags, &around)?;
        let reader = Self {
            flags,
            around,
            good: seen.clone(),
            read: seen.clone(),
            seen,
        };
        Ok((config, reader))
    }

    /// Looks whether the files have changed. It compares what is in them: a new time alone is no change, and neither a
    /// swapped link nor an editor's rename can hide one.
    pub fn look(&mut self) -> Look {
        let now = Seen::now(&self.flags, &self.around);
        let still = now == self.seen;
        self.seen = now;
        if self.seen == self.read {
            Look::Same
        } else if still {
            Look::Changed
        } else {
            Look::Moving
        }
    }

    /// Reads everything again. That a file has gone or become empty which the configuration in use came from is a failure:
    /// somebody may be about to put a new one in its place, and half a file could open what the whole one closes.
    pub fn read(&mut self) -> Result<Config, ConfigError> {
        self.seen = Seen::now(&self.flags, &self.around);
        self.read = self.seen.clone();
        self.seen.check(&self.good)?;
        let config = Config::load(&self.flags, &self.around)?;
        // What was loaded is what was looked at, or nothing is.
        if Seen::now(&self.flags, &self.around) != self.seen {
            let moving = self.seen.moving();
            // Whatever the next look shows is a change.
            self.read = Seen(Vec::new());
            return Err(moving);
        }
        self.good.clone_from(&self.seen);
        Ok(config)
    }
}

/// What was found where the files of the configuration are.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Seen(Vec<(PathBuf, Found)>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    Absent,
    Unreadable(io::ErrorKind),
    /// A pipe or a device: it gave what it had when it was read first.
    Special,
    /// With nothing in it.
    Empty,
    /// By the hash of its bytes: they may hold what should not stay in memory.
    File(u64),
}

impl Seen {
    fn now(flags: &Flags, around: &Surroundings) -> Self {
        let files = Layers::files(flags, around);
        Self(
            files
                .into_iter()
                .map(|file| {
                    let found = found(&file);
                    (file, found)
                })
                .collect(),
        )
    }

    fn check(&self, in_use: &Self) -> Result<(), ConfigError> {
        for ((file, found), (_, before)) in self.0.iter().zip(&in_use.0) {
            let error = match found {
                Found::Special => io::Error::new(
                    io::ErrorKind::Unsupported,
                    "it is no regular file and can be read only once",
                ),
                Found::Absent if *before != Found::Absent => io::ErrorKind::NotFound.into(),
                Found::Empty if *before != Found::Empty => io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it has become empty; write `version: '1.0'` into it if the defaults are meant",
                ),
                Found::Absent | Found::Unreadable(_) | Found::Empty | Found::File(_) => continue,
            };
            return Err(unreadable(file, error));
        }
        Ok(())
    }

    fn moving(&self) -> ConfigError {
        let file = self.0.last().map(|(file, _)| file.as_path());
        let reason = io::Error::new(io::ErrorKind::Interrupted, "it changed while it was read");
        unreadable(file.unwrap_or(Path::new("")), reason)
    }
}

fn unreadable(file: &Path, source: io::Error) -> ConfigError {
    ConfigError::Unreadable {
        file: file.to_owned(),
        source,
    }
}

fn found(file: &Path) -> Found {
    let read = fs::metadata(file).and_then(|facts| {
        // A directory is left to the reading, which says what is wrong with it.
        if facts.is_file() || facts.is_dir() {
            fs::read(file).map(Some)
        } else {
            Ok(None)
        }
    });
    match read {
        Ok(Some(bytes)) if bytes.trim_ascii().is_empty() => Found::Empty,
        Ok(Some(bytes)) => {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            Found::File(hasher.finish())
        }
        Ok(None) => Found::Special,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Absent,
        Err(error) => Found::Unreadable(error.kind()),
    }
}
