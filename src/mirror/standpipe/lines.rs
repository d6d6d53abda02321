//! Server-sent events out of bytes, in whatever pieces they come (HTML, section 9.2.6). Nothing of a sender's can make it hold
//! more than its limit: of an event that is larger the beginning is kept, and that it was cut. It must not know what the
//! events mean.

use std::mem;

/// What is kept of an event that was too large: enough for whatever stands in front of a value.
pub(super) const HEAD_BYTES: usize = 16 << 10;
/// The longest id, and the longest name, of an event.
const NAME_BYTES: usize = 1024;
/// The most comments of one event.
const COMMENTS: usize = 8;

/// The mark at the beginning of a stream that some senders make.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What stands between two empty lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Block {
    /// Where to go on behind it.
    pub(super) id: Option<String>,
    /// What kind of event it is; empty where nothing was said.
    pub(super) event: String,
    /// The data, its lines joined.
    pub(super) data: Option<Vec<u8>>,
    /// What was said beside the event.
    pub(super) comments: Vec<String>,
    /// Whether something of the event was left out because it was too large.
    pub(super) cut: bool,
}

/// Gathers lines into blocks.
#[derive(Debug)]
pub(super) struct Lines {
    /// The most bytes of one event that are held.
    limit: usize,
    line: Vec<u8>,
    line_cut: bool,
    block: Block,
    /// Whether the block holds anything.
    begun: bool,
    /// The line before ended with a carriage return: a line feed that follows belongs to it.
    returned: bool,
    /// Bytes at the very beginning that may be a byte order mark; `None` behind it.
    first: Option<Vec<u8>>,
}

impl Lines {
    /// Holds at most `limit` bytes of one event, and never less than [`HEAD_BYTES`].
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(HEAD_BYTES),
            line: Vec::new(),
            line_cut: false,
            block: Block::default(),
            begun: false,
            returned: false,
            first: Some(Vec::new()),
        }
    }

    /// Takes the next bytes, and appends the blocks that they complete.
    pub(super) fn push(&mut self, bytes: &[u8], blocks: &mut Vec<Block>) {
        let Some(mut first) = self.first.take() else {
            return self.take(bytes, blocks);
        };
        first.extend_from_slice(bytes);
        if first.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&first) {
            self.first = Some(first);
            return;
        }
        let rest = first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&first);
        self.take(rest, blocks);
    }

    fn take(&mut self, mut bytes: &[u8], blocks: &mut Vec<Block>) {
        while !bytes.is_empty() {
            if mem::take(&mut self.returned)
                && let Some(rest) = bytes.strip_prefix(b"\n")
            {
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let Some(end) = end else {
                self.gather(bytes);
                return;
            };
            let (line, rest) = bytes.split_at(end);
            self.gather(line);
            self.returned = rest.first() == Some(&b'\r');
            bytes = rest.split_first().map_or(&[], |(_end, rest)| rest);
            self.end_line(blocks);
        }
    }

    /// Adds to the line, as far as there is room.
    fn gather(&mut self, bytes: &[u8]) {
        let held = self.line.len() + self.block.data.as_ref().map_or(0, Vec::len);
        let room = self.limit.saturating_sub(held);
        if self.line_cut {
            return;
        }
        if bytes.len() <= room {
            self.line.extend_from_slice(bytes);
            return;
        }
        self.line_cut = true;
        let missing = HEAD_BYTES.saturating_sub(self.line.len());
        self.line.extend(bytes.iter().take(missing));
        self.line.truncate(HEAD_BYTES);
        self.line.shrink_to_fit();
    }

    fn end_line(&mut self, blocks: &mut Vec<Block>) {
        let line = mem::take(&mut self.line);
        let cut = mem::take(&mut self.line_cut);
        if line.is_empty() && !cut {
            let block = mem::take(&mut self.block);
            if mem::take(&mut self.begun) {
                blocks.push(block);
            }
            return;
        }
        self.begun = true;
        self.block.cut |= cut;
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || {
            let fits = !cut && value.len() <= NAME_BYTES;
            let text = fits.then(|| std::str::from_utf8(value).ok()).flatten();
            text.map(str::to_owned)
        };
        match name {
            b"" if self.block.comments.len() < COMMENTS => self.block.comments.extend(text()),
            b"data" => match &mut self.block.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.block.data = Some(value.to_vec()),
            },
            b"event" => self.block.event = text().unwrap_or_default(),
            // One with a NUL in it is passed over, as the standard says; so is one that we could not send back.
            b"id" => self.block.id = text().filter(|id| !id.contains('\0')),
            _ => {}
        }
        if self.block.cut
            && let Some(data) = &mut self.block.data
        {
            data.truncate(HEAD_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Block> {
        let mut lines = Lines::new(1 << 20);
        let mut blocks = Vec::new();
        for piece in pieces {
            lines.push(piece, &mut blocks);
        }
        blocks
    }

    fn data(text: &str) -> Block {
        Block {
            data: Some(text.as_bytes().to_vec()),
            ..Block::default()
        }
    }

    #[test]
    fn what_a_standpipe_sends_is_read() {
        let stream = b"retry: 2000\n: heartbeat 15000\nid: 1-2\n\nid: 1-3\nevent: put\ndata: {\"key\":\"a\"}\n\n:\n\n";
        let blocks = read(&[stream]);
        let first = Block {
            id: Some("1-2".to_owned()),
            comments: vec!["heartbeat 15000".to_owned()],
            ..Block::default()
        };
        let put = Block {
            id: Some("1-3".to_owned()),
            event: "put".to_owned(),
            ..data("{\"key\":\"a\"}")
        };
        let nothing = Block {
            comments: vec![String::new()],
            ..Block::default()
        };
        assert_eq!(blocks, [first, put, nothing]);
    }

    #[test]
    fn all_line_ends_of_the_standard_are_known_and_lines_of_data_are_joined() {
        for end in ["\n", "\r", "\r\n"] {
            let text = ["data: a", "data", "data:b", "data:  c", "", ""].join(end);
            assert_eq!(read(&[text.as_bytes()]), [data("a\n\nb\n c")], "{end:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_only_at_the_beginning() {
        assert_eq!(read(&[b"\xEF\xBB", b"\xBFdata: a\n\n"]), [data("a")]);
        assert_eq!(read(&[b"\xEF\xBB", b"data: a\n\n"]), [Block::default()]);
        let twice = read(&[b"\xEF\xBB\xBFdata: a\n\n\xEF\xBB\xBFdata: b\n\n"]);
        assert_eq!(twice, [data("a"), Block::default()]);
    }

    #[test]
    fn an_unfinished_block_is_no_block() {
        assert_eq!(read(&[b"data: a\n"]), []);
        assert_eq!(read(&[b"\n\n\n"]), []);
    }

    #[test]
    fn an_id_with_a_nul_in_it_or_that_is_no_text_is_none() {
        for id in [&b"id: a\0b\n\n"[..], b"id: \xFF\n\n"] {
            assert_eq!(read(&[id]), [Block::default()]);
        }
        let long = format!("id: {}\n\n", "x".repeat(NAME_BYTES + 1));
        assert_eq!(read(&[long.as_bytes()]), [Block::default()]);
    }

    #[test]
    fn an_event_is_held_up_to_the_limit_and_no_further() {
        let limit = 2 * HEAD_BYTES;
        let sent = |len: usize| {
            let mut lines = Lines::new(limit);
            let mut blocks = Vec::new();
            lines.push(b"id: 7\ndata: ", &mut blocks);
            for _ in 0..len {
                lines.push(b"x", &mut blocks);
                assert!(lines.line.capacity() <= 2 * limit);
            }
            lines.push(b"\n\ndata: next\n\n", &mut blocks);
            blocks
        };
        let whole = limit - "data: ".len();
        let fits = sent(whole);
        assert_eq!(fits[0].data.as_ref().map(Vec::len), Some(whole));
        assert!(!fits[0].cut);
        let cut = sent(whole + 1);
        assert_eq!(
            cut[0].data.as_ref().map(Vec::len),
            Some(HEAD_BYTES - "data: ".len())
        );
        assert_eq!((cut[0].cut, cut[0].id.as_deref()), (true, Some("7")));
        assert_eq!(cut[1], data("next"), "and what follows is as it should be");
    }

    #[test]
    fn many_lines_of_data_are_bounded_as_one_is() {
        let mut lines = Lines::new(HEAD_BYTES);
        let mut blocks = Vec::new();
        for _ in 0..10 * HEAD_BYTES {
            lines.push(b"data:x\n", &mut blocks);
            let held = lines.block.data.as_ref().map_or(0, Vec::len) + lines.line.len();
            assert!(held <= HEAD_BYTES + 1, "{held}");
        }
        lines.push(b": a comment\n: a comment\n\n", &mut blocks);
        assert!(blocks[0].cut);
        let mut lines = Lines::new(HEAD_BYTES);
        for _ in 0..100 {
            lines.push(b": a comment\n", &mut blocks);
        }
        assert_eq!(lines.block.comments.len(), COMMENTS);
    }

    #[test]
    fn any_bytes_are_read_alike_in_any_pieces() {
        // Bytes that matter, by a generator that is the same at every run (xorshift, Marsaglia 2003).
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let parts: [&[u8]; 14] = [
            b"\n",
            b"\r",
            b"\r\n",
            b"data",
            b"id",
            b"event",
            b":",
            b" ",
            b"\0",
            b"\xFF",
            b"\xEF\xBB\xBF",
            b"{\"key\":\"\xC3\xA4\"}",
            b"retry: 1",
            b"x",
        ];
        for _ in 0..500 {
            let mut stream = Vec::new();
            for _ in 0..next() % 60 {
                let which = usize::try_from(next() % 14).unwrap();
                stream.extend_from_slice(parts[which]);
            }
            let whole = read(&[&stream]);
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(read(&bytes), whole, "{stream:?}");
            let at = usize::try_from(next()).unwrap_or(0) % (stream.len() + 1);
            let (one, two) = stream.split_at(at);
            assert_eq!(read(&[one, two]), whole, "{stream:?} cut at {at}");
        }
    }
}
