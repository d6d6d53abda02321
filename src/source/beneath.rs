//! Files beneath a directory that no key leads out of: each part of the path is opened by itself, below the one before, and
//! none of them may be a link. It must not know what a key is.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::file::{self, is_absence};
use super::template;
use super::{BeneathOptions, FetchError, Fetched};

/// A directory with a file for each key.
#[derive(Debug)]
pub(super) struct Beneath {
    root: PathBuf,
    /// Below it, with the key's place.
    path: String,
}

/// Where the file of one key would lie.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    names: Vec<String>,
}

impl Beneath {
    pub(super) fn new(options: &BeneathOptions) -> Self {
        Self {
            root: options.root.clone(),
            path: options.path.clone(),
        }
    }

    /// Where the file of `key` would lie; `None` where no file can be called so.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        Some(Place {
            root: self.root.clone(),
            names: template::names(&self.path, key)?,
        })
    }
}

/// What was met instead of what could be opened.
enum Met {
    /// Nothing, or something below which nothing lies.
    Nothing,
    /// What says so.
    Failure(FetchError),
}

impl Place {
    /// What the file holds. Blocks.
    pub(super) fn read(&self, most: usize) -> Result<Fetched, FetchError> {
        match self.open() {
            Ok(None) | Err(Met::Nothing) => Ok(Fetched::Absent),
            Err(Met::Failure(failure)) => Err(failure),
            Ok(Some(file)) => {
                let bytes = file::whole(file, &self.root, most)?;
                let name = self.names.last().map_or(Path::new(""), Path::new);
                Ok(Fetched::Value(file::typed(bytes, name)))
            }
        }
    }

    /// The regular file, opened step by step: what is moved or replaced meanwhile leads nowhere else.
    fn open(&self) -> Result<Option<File>, Met> {
        let Some((name, above)) = self.names.split_last() else {
            return Ok(None);
        };
        // Without its root nothing is known of any file: that the disk is not there removes no value.
        let mut below = openat(
            CWD,
            &self.root,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|error| Met::Failure(self.unreadable(error)))?;
        for name in above {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            below = self.step(&below, name, flags)?;
        }
        // Opening a pipe would wait for its writer.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(self.step(&below, name, flags)?);
        // A directory is no file, which is no failure of the source.
        let facts = file.metadata();
        let facts =
            facts.map_err(|error| Met::Failure(FetchError::unreadable(&self.root, &error)))?;
        Ok((!facts.is_dir()).then_some(file))
    }

    fn step(&self, below: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Met> {
        let error = match openat(below, name, flags, Mode::empty()) {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        // A link says that it is one, or that it is no directory.
        let is_link = || {
            let facts = statat(below, name, AtFlags::SYMLINK_NOFOLLOW);
            facts.is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::Symlink)
        };
        if matches!(error, Errno::LOOP | Errno::NOTDIR) && is_link() {
            let reason = "there is a link beneath it, and links are not followed";
            return Err(Met::Failure(FetchError::unreadable(&self.root, reason)));
        }
        if is_absence(&error.into()) {
            return Err(Met::Nothing);
        }
        Err(Met::Failure(self.unreadable(error)))
    }

    fn unreadable(&self, error: Errno) -> FetchError {
        FetchError::unreadable(&self.root, &std::io::Error::from(error))
    }
}
