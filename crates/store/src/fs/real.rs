//! The real directory: the only place of this crate that touches the operating system's files.
//!
//! Every name is resolved against an open directory descriptor (`openat` and its kin), so that a directory that is
//! renamed while open goes on being the same directory, as the simulated one (`fault`) does.
//! It knows nothing of what the files hold, and decides nothing: errors go up as the system gave them.
#![expect(
    clippy::disallowed_types,
    reason = "the one file in which std::fs is at home"
)]

use std::fs::{File as OsFile, TryLockError};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, AtFlags, CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Dir, File, Lock, Space};

/// Files are for the service's own user: they hold everybody's values.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
/// As [`FILE_MODE`], for directories.
const DIR_MODE: Mode = Mode::from_raw_mode(0o700);
/// The most buffers that Linux takes in one `pwritev` (`UIO_MAXIOV`); more would be `EINVAL` instead of a short count.
const MAX_BUFS: usize = 1024;

/// An open directory of the real file system.
#[derive(Debug)]
pub struct RealDir {
    dir: OsFile,
    /// Where it was when it was opened: for messages only.
    path: PathBuf,
}

impl RealDir {
    /// Opens the existing directory `path`. `NotFound` where it is absent, `NotADirectory` where it is something else.
    #[expect(
        clippy::same_name_method,
        reason = "`Dir::open` opens a file; the root has no directory to open it from"
    )]
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))?;
        Ok(Self {
            dir: fd.into(),
            path: path.to_path_buf(),
        })
    }

    /// Opens the entry `name`. `flags` say how; `CLOEXEC` is always added.
    fn open_entry(&self, name: &str, flags: OFlags) -> io::Result<OsFile> {
        check_name(name)?;
        let flags = flags | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(&self.dir, name, flags, FILE_MODE))?;
        Ok(fd.into())
    }
}

impl Dir for RealDir {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = self.open_entry(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile(self.open_entry(name, OFlags::RDWR)?)))
    }

    fn open_read(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = self.open_entry(name, OFlags::RDONLY)?;
        // Only a read-only open lets a directory through; reading it would fail later and less clearly.
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn create_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        check_name(name)?;
        rustix::fs::mkdirat(&self.dir, name, DIR_MODE)?;
        self.open_dir(name)
    }

    fn open_dir(&self, name: &str) -> io::Result<Arc<dyn Dir>> {
        let dir = self.open_entry(name, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let path = self.path.join(name);
        Ok(Arc::new(Self { dir, path }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        Ok(rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    fn remove_dir_all(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        remove_tree(&self.dir, name.as_bytes())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = entries(&self.dir)?
            .into_iter()
            .filter_map(|name| String::from_utf8(name).ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn sync(&self) -> io::Result<()> {
        self.dir.sync_all()
    }

    fn space(&self) -> io::Result<Space> {
        let facts = rustix::fs::fstatvfs(&self.dir)?;
        Ok(Space {
            total: facts.f_blocks.saturating_mul(facts.f_frsize),
            free: facts.f_bavail.saturating_mul(facts.f_frsize),
        })
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Lock>> {
        let file = self.open_entry(name, OFlags::RDWR | OFlags::CREATE)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _held: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn display(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

#[derive(Debug)]
struct RealFile(OsFile);

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buf, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let bufs = bufs.get(..MAX_BUFS).unwrap_or(bufs);
        Ok(rustix::io::pwritev(&self.0, bufs, offset)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }
}

/// Holds the descriptor, and with it the lock: the system releases it when the last copy is closed.
#[derive(Debug)]
struct RealLock {
    _held: OsFile,
}

impl Lock for RealLock {}

/// Refuses what is not a single path component.
fn check_name(name: &str) -> io::Result<()> {
    if super::is_name(name) {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// The names in `dir` as the system gives them, without `.` and `..`, in no order.
fn entries(dir: &OsFile) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Removes the directory `name` in `parent` with everything in it, following no symbolic link.
fn remove_tree(parent: &OsFile, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd: OwnedFd = retry_on_intr(|| rustix::fs::openat(parent, name, flags, Mode::empty()))?;
    let dir = OsFile::from(fd);
    for child in entries(&dir)? {
        match rustix::fs::unlinkat(&dir, child.as_slice(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => remove_tree(&dir, &child)?,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}
