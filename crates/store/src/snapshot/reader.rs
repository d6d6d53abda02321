//! Reads a snapshot: one thread reads blocks in order, the others check them and hand their entries out.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use super::{
    BLOCK_HEADER, BlockHeader, Chain, Footer, HEADER, Identity, Kind, Stored, StoredLetter,
    StoredRow, TAIL, entries, pending,
};
use crate::fs::{File, read_exact_at};
use crate::int::{index, wide};
use crate::record::Malformed;

/// Blocks that wait for a thread to check them.
const QUEUED: usize = 64;

/// Why a snapshot does not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Bytes are not what was written.
    #[error("{detail}")]
    Damaged { offset: u64, detail: &'static str },
    /// It is of a version that this program does not know.
    #[error("format version {0}")]
    Version(u32),
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn damaged(offset: u64) -> impl Fn(Malformed) -> ReadError {
    move |malformed| ReadError::Damaged {
        offset,
        detail: malformed.0,
    }
}

/// Reads the footer of a snapshot of `len` bytes, having checked its header.
pub(crate) fn footer(file: &dyn File, len: u64, identity: &Identity) -> Result<Footer, ReadError> {
    let actual = file.len()?;
    if actual != len {
        return Err(ReadError::Damaged {
            offset: actual.min(len),
            detail: "its length is not what the manifest says",
        });
    }
    let mut header = [0; HEADER];
    read_exact_at(file, &mut header, 0)?;
    identity
        .check_header(&header)
        .map_err(damaged(0))?
        .map_err(ReadError::Version)?;
    let tail_at = len.saturating_sub(wide(TAIL));
    let mut tail = [0; TAIL];
    read_exact_at(file, &mut tail, tail_at)?;
    let (footer_len, crc) = Footer::tail(&tail).map_err(damaged(tail_at))?;
    let offset = tail_at
        .checked_sub(u64::from(footer_len))
        .filter(|offset| *offset >= wide(HEADER));
    let Some(offset) = offset else {
        return Err(ReadError::Damaged {
            offset: tail_at,
            detail: "its footer would not fit",
        });
    };
    let mut bytes = vec![0; index(footer_len)];
    read_exact_at(file, &mut bytes, offset)?;
    let footer = Footer::decode(&bytes, identity, offset, crc).map_err(damaged(offset))?;
    if footer.s != identity.s || footer.t < footer.s {
        return Err(ReadError::Damaged {
            offset,
            detail: "its footer is of another moment",
        });
    }
    Ok(footer)
}

/// The entries of a block as they are read.
pub(crate) type Entries<'b> = dyn Iterator<Item = Result<Stored<'b>, Malformed>> + 'b;

/// The rows of a block as they are read.
pub(crate) type Rows<'b> = dyn Iterator<Item = Result<StoredRow<'b>, Malformed>> + 'b;
/// The dead letters of a block as they are read.
pub(crate) type Letters<'b> = dyn Iterator<Item = Result<StoredLetter<'b>, Malformed>> + 'b;

/// Something that takes what is in a snapshot, from several threads at once.
pub(crate) trait Sink: Sync {
    /// Takes the entries of a block, all of keyspace `keyspace`, and tells how many there were.
    fn block(&self, keyspace: u32, entries: &mut Entries<'_>) -> Result<u32, Malformed>;
    /// The same with what is pending.
    fn rows(&self, keyspace: u32, rows: &mut Rows<'_>) -> Result<u32, Malformed>;
    /// The same with what could not be passed on.
    fn letters(&self, keyspace: u32, letters: &mut Letters<'_>) -> Result<u32, Malformed>;
    /// `bytes` more of the file have been read.
    fn progress(&self, bytes: u64);
}

/// Reads and checks every block and hands each entry to `sink`.
pub(crate) fn blocks(
    file: &dyn File,
    len: u64,
    identity: &Identity,
    footer: &Footer,
    sink: &dyn Sink,
) -> Result<(), ReadError> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    let (send, receive) = sync_channel::<(u64, BlockHeader, Vec<u8>)>(QUEUED);
    let receive = Mutex::new(receive);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| check(&receive, identity, sink)))
            .collect();
        let mut chain = Chain::default();
        let (mut blocks, mut entries, mut rows) = (0, 0, 0);
        let read = read_blocks(file, len, footer, |offset, header, body| {
            chain.add(offset, header.crc);
            blocks += 1;
            // Of what kind a block is that is damaged is no matter.
            match header.kind() {
                Ok(Kind::Entries) => entries += u64::from(header.count),
                Ok(Kind::Pending | Kind::Dead) | Err(_) => rows += u64::from(header.count),
            }
            sink.progress(wide(BLOCK_HEADER + body.len()));
            // A worker that has found damage has left; the damage is what counts then.
            send.send((offset, header, body)).is_ok()
        });
        drop(send);
        for worker in workers {
            let checked = worker.join();
            checked.map_err(|_panic| {
                ReadError::Io(io::Error::other("a thread that checks blocks panicked"))
            })??;
        }
        read?;
        let told = (footer.blocks, footer.entries, footer.rows);
        if (blocks, entries, rows) != told || chain.hash() != footer.hash {
            return Err(ReadError::Damaged {
                offset: len,
                detail: "blocks are missing, doubled or moved",
            });
        }
        Ok(())
    })
}

fn read_blocks(
    file: &dyn File,
    len: u64,
    footer: &Footer,
    mut each: impl FnMut(u64, BlockHeader, Vec<u8>) -> bool,
) -> Result<(), ReadError> {
    let mut offset = wide(HEADER);
    for _ in 0..footer.blocks {
        let mut bytes = [0; BLOCK_HEADER];
        if offset + wide(BLOCK_HEADER + TAIL) > len {
            return Err(ReadError::Damaged {
                offset,
                detail: "a block is missing",
            });
        }
        read_exact_at(file, &mut bytes, offset)?;
        let header = BlockHeader::decode(&bytes).map_err(damaged(offset))?;
        if offset + wide(BLOCK_HEADER + TAIL) + u64::from(header.len) > len {
            return Err(ReadError::Damaged {
                offset,
                detail: "a block would not fit",
            });
        }
        let mut body = vec![0; index(header.len)];
        read_exact_at(file, &mut body, offset + wide(BLOCK_HEADER))?;
        let at = offset;
        offset += wide(BLOCK_HEADER) + u64::from(header.len);
        if !each(at, header, body) {
            return Ok(());
        }
    }
    Ok(())
}

fn check(
    receive: &Mutex<Receiver<(u64, BlockHeader, Vec<u8>)>>,
    identity: &Identity,
    sink: &dyn Sink,
) -> Result<(), ReadError> {
    loop {
        let next = receive.lock().map(|receive| receive.recv());
        let Ok(Ok((offset, header, body))) = next else {
            return Ok(());
        };
        if !header.matches(identity, offset, &body) {
            return Err(ReadError::Damaged {
                offset,
                detail: "a block does not match its checksum",
            });
        }
        let keyspace = header.keyspace;
        let count = header.kind().and_then(|kind| match kind {
            Kind::Entries => sink.block(keyspace, &mut entries(&body)),
            Kind::Pending => sink.rows(keyspace, &mut pending::rows(&body)),
            Kind::Dead => sink.letters(keyspace, &mut pending::letters(&body)),
        });
        let count = count.map_err(damaged(offset))?;
        if count != header.count {
            return Err(ReadError::Damaged {
                offset,
                detail: "a block holds another number of entries than it says",
            });
        }
    }
}

/// A sink that keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn block(&self, _: u32, entries: &mut Entries<'_>) -> Result<u32, Malformed> {
        count(entries)
    }

    fn rows(&self, _: u32, rows: &mut Rows<'_>) -> Result<u32, Malformed> {
        count(rows)
    }

    fn letters(&self, _: u32, letters: &mut Letters<'_>) -> Result<u32, Malformed> {
        count(letters)
    }

    fn progress(&self, _: u64) {}
}

fn count<T>(all: impl Iterator<Item = Result<T, Malformed>>) -> Result<u32, Malformed> {
    let mut count = 0;
    for one in all {
        one?;
        count += 1;
    }
    Ok(count)
}

/// Reads and checks a whole snapshot, and returns its footer.
pub(crate) fn verify(file: &dyn File, len: u64, identity: &Identity) -> Result<Footer, ReadError> {
    let footer = footer(file, len, identity)?;
    blocks(file, len, identity, &footer, &Nowhere)?;
    Ok(footer)
}
