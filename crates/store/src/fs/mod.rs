//! The seam to the file system: the few operations that the store needs, and their contract.
//!
//! Everything durable goes through [`Dir`] and [`File`], so that one suite of tests can run over the real directory
//! ([`real`]), and a simulated one can fail the n-th call or forget what was not synced (`fault`).
//! The shape of the seam follows the storage backends of redb and tantivy's `Directory`.
//! It knows nothing of logs, snapshots or manifests.

#[cfg(feature = "fault")]
pub mod fault;
pub mod real;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::int::wide;

/// A directory. Names are single path components; anything else is `InvalidInput`.
///
/// Durability contract: creating, renaming and removing an entry survive a power cut only after [`Dir::sync`] on the
/// directory (for a rename of a directory: on the parent that holds both names).
pub trait Dir: Debug + Send + Sync {
    /// Creates a new, empty file open for reading and writing. `AlreadyExists` where the name is taken.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing. `NotFound` where it is absent.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading only; works on a read-only mount.
    fn open_read(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Creates a directory and opens it. `AlreadyExists` where the name is taken.
    fn create_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>>;

    /// Opens an existing directory. `NotFound` where it is absent.
    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>>;

    /// Renames a file or directory within this directory, replacing a file of the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes a directory and everything in it.
    fn remove_dir_all(&self, name: &str) -> io::Result<()>;

    /// The names in this directory, in byte order. Names that are not UTF-8 are left out: none of them is ours.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes the entries of this directory durable (`fsync` on the directory).
    fn sync(&self) -> io::Result<()>;

    /// Size and free bytes of the file system that holds this directory.
    fn space(&self) -> io::Result<Space>;

    /// Takes the exclusive lock of file `name`, creating it where absent, without waiting. `WouldBlock` where another
    /// process holds it. The lock is held until the returned value is dropped.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>>;

    /// How a person would name `name` in this directory: for messages only.
    fn display(&self, name: &str) -> String;
}

/// An open file. All positions are explicit: there is no cursor to share.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length of a file is a call to the system that can fail"
)]
pub trait File: Debug + Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; 0 only at the end of the file. May be short; never `Interrupted`.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes from `bufs` at `offset` (one `pwritev`); may be short, may be `Interrupted`. Extends the file.
    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Makes the contents durable, and of the metadata what reading them back needs (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;

    /// Makes contents and all metadata durable (`fsync`).
    fn sync_all(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Drops the file's clean pages from the page cache, so that what is read next comes from the disk. Advisory.
    fn drop_cache(&self) -> io::Result<()>;
}

/// A held lock; dropping it releases.
pub trait Lock: Debug + Send + Sync {}

/// What a file system has to offer, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// The whole file system.
    pub total: u64,
    /// What an unprivileged process may still allocate.
    pub free: u64,
}

/// Whether `name` is a single path component: what every [`Dir`] takes as a name.
fn is_name(name: &str) -> bool {
    !(name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']))
}

/// Reads exactly `buf.len()` bytes at `offset`; `UnexpectedEof` where the file ends before.
pub fn read_exact_at(file: &dyn File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buf.is_empty() {
        let n = file.read_at(buf, offset)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += wide(n);
        buf = buf.get_mut(n..).unwrap_or_default();
    }
    Ok(())
}

/// Reads the whole file.
pub fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes)
}

/// Writes all of `bytes` at `offset`, continuing after short counts and interruptions. The first other error is returned;
/// what was written before it stays written.
pub fn write_all_at(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(&[IoSlice::new(bytes)], offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += wide(n);
                bytes = bytes.get(n..).unwrap_or_default();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Replaces the file `name` whole: temporary name, contents, sync, rename, sync of the directory.
///
/// # Errors
/// The first failed step, with [`Replace::renamed`] telling whether the rename had been asked for: from there on nobody
/// knows which of the two files a power cut would leave.
pub fn replace(dir: &dyn Dir, name: &str, bytes: &[u8]) -> Result<(), Replace> {
    let temporary = format!("{name}.tmp");
    let before = |source| Replace {
        renamed: false,
        source,
    };
    let after = |source| Replace {
        renamed: true,
        source,
    };
    match dir.remove(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(before(e)),
        Ok(()) | Err(_) => {}
    }
    let file = dir.create(&temporary).map_err(before)?;
    write_all_at(&*file, bytes, 0).map_err(before)?;
    file.sync_all().map_err(before)?;
    dir.rename(&temporary, name).map_err(after)?;
    #[cfg(not(feature = "bug-no-directory-sync"))]
    dir.sync().map_err(after)?;
    Ok(())
}

/// Why a file could not be replaced.
#[derive(Debug, thiserror::Error)]
#[error("cannot replace the file: {source}")]
pub struct Replace {
    /// Whether the rename had been asked for, after which the outcome is unknown.
    pub renamed: bool,
    /// What the system said.
    pub source: io::Error,
}
