//! Reading files, wherever they lie: regular ones, to a limit. It must not know which files may be read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use tokio::sync::Semaphore;

use super::{FetchError, Fetched, Value, apart};

/// Types that are told by the end of a file's name, as web servers do.
const TYPES: &[(&str, &str)] = &[
    ("csv", "text/csv"),
    ("gif", "image/gif"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
];

/// The most threads that read files of one source at one time. A file system that hangs keeps its threads, and leaves those of
/// others alone.
const READERS: usize = 8;

/// Reads files on threads for that.
#[derive(Debug)]
pub(super) struct Readers(Arc<Semaphore>);

impl Readers {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(READERS)))
    }

    /// Does `work` once a thread may.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let permit = permit.expect("nobody closes it");
        apart(move || {
            let done = work();
            // Whoever waits may be gone; the thread is not.
            drop(permit);
            done
        })
        .await
    }
}

/// What a file of the operator's holds, behind links too. Blocks.
pub(super) fn read(path: &Path, most: usize) -> Result<Fetched, FetchError> {
    let unreadable = |error: io::Error| FetchError::unreadable(path, &error);
    // Opening a pipe would wait for its writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("flags of a call that takes them as such");
    let opened = File::options().read(true).custom_flags(flags).open(path);
    match opened {
        Ok(file) => {
            let bytes = whole(file, path, most)?;
            Ok(Fetched::Value(typed(bytes, path)))
        }
        Err(error) if is_absence(&error) => Ok(Fetched::Absent),
        Err(error) => Err(unreadable(error)),
    }
}

/// Whether an error says that there is no such file.
pub(super) fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
    )
}

/// Everything in a regular file, of at most `most` bytes. `path` is how it is called where that fails.
pub(super) fn whole(file: File, path: &Path, most: usize) -> Result<Vec<u8>, FetchError> {
    let unreadable = |error: io::Error| FetchError::unreadable(path, &error);
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(FetchError::unreadable(path, "it is no regular file"));
    }
    let too_large = FetchError::TooLarge { limit: most };
    let Some(announced) = usize::try_from(facts.len()).ok().filter(|len| *len <= most) else {
        return Err(too_large);
    };
    let mut bytes = Vec::with_capacity(announced);
    // It may grow while it is read, and then it is read to one byte more than it may have.
    let enough = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(enough)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > most {
        return Err(too_large);
    }
    Ok(bytes)
}

/// The bytes of a file with the type that its name tells.
pub(super) fn typed(bytes: Vec<u8>, path: &Path) -> Value {
    let end = path.extension().and_then(|end| end.to_str());
    let known = end.and_then(|end| {
        let mut known = TYPES.iter();
        known.find(|(known, _)| known.eq_ignore_ascii_case(end))
    });
    Value {
        media_type: known.map(|(_, media_type)| (*media_type).into()),
        ..Value::of(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_file_system_that_hangs_takes_only_so_many_threads() {
        let readers = Arc::new(Readers::new());
        let mut hanging = Vec::new();
        for _ in 0..READERS {
            let (sender, receiver) = mpsc::channel::<()>();
            let run = readers.run(move || receiver.recv().is_err());
            // Given up by whoever waits, as at the end of its time.
            assert!(
                timeout(Duration::from_millis(1), run).await.is_err(),
                "it hangs"
            );
            hanging.push(sender);
        }
        let refused = timeout(Duration::from_millis(50), readers.run(|| ())).await;
        assert!(refused.is_err(), "all threads hang");
        drop(hanging.pop());
        timeout(Duration::from_secs(30), readers.run(|| ()))
            .await
            .unwrap();
    }
}
