//! HTTP/2 over TLS, frame by frame: values both ways, readers that stop, and more requests than are answered at one time.
#![expect(
    clippy::big_endian_bytes,
    reason = "the numbers of a frame are in network order (RFC 9113, section 2.2)"
)]

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::authority::{Authority, Files};
use crate::harness::{PATIENCE, Server};
use crate::tls::{Stream, Visitor, server};

// Frames of RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The largest window.
const WIDE: u32 = (1 << 31) - 1;

/// A client that says of every stream how much it will read, once and for all.
struct Client(Stream);

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Client {
    fn connect(server: &Server, authority: &Authority, window: u32) -> Self {
        let visitor = Visitor {
            protocols: &["h2"],
            ..Visitor::new(authority)
        };
        let mut client = Self(visitor.visit(server).unwrap());
        client
            .0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        // SETTINGS_INITIAL_WINDOW_SIZE; the window of the connection is as wide as it can be.
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        client.write(SETTINGS, 0, 0, &settings).unwrap();
        let more = WIDE - 65_535;
        client
            .write(WINDOW_UPDATE, 0, 0, &more.to_be_bytes())
            .unwrap();
        client
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&len[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.0.write_all(&[&head, payload].concat())
    }

    /// A request with a short path, by indexes and literals of RFC 7541: no compression.
    fn request(&mut self, stream: u32, method: u8, path: &str, flags: u8) -> io::Result<()> {
        let len = |text: &str| u8::try_from(text.len()).unwrap();
        let block = [
            // :scheme https, :authority, :path
            &[method, 0x87, 0x01, len("localhost")][..],
            b"localhost",
            &[0x04, len(path)],
            path.as_bytes(),
        ];
        self.write(HEADERS, flags | END_HEADERS, stream, &block.concat())
    }

    fn get(&mut self, stream: u32, path: &str) -> io::Result<()> {
        self.request(stream, 0x82, path, END_STREAM)
    }

    fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head)?;
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        };
        let mut payload = vec![0; usize::try_from(number(&head[..3])).unwrap()];
        self.0.read_exact(&mut payload)?;
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream: number(&head[5..]),
            payload,
        })
    }

    /// The head of the answer on `stream`, and its body.
    fn answer(&mut self, stream: u32) -> (Vec<u8>, Vec<u8>) {
        let (mut head, mut body) = (Vec::new(), Vec::new());
        loop {
            let frame = self.read().unwrap();
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS => head = frame.payload,
                DATA => body.extend(frame.payload),
                _ => {}
            }
            if frame.flags & END_STREAM != 0 && frame.kind <= HEADERS {
                return (head, body);
            }
        }
    }

    /// Reads until there is nothing more; how many frames of the kind there were.
    fn drain(&mut self, kind: u8) -> usize {
        let mut frames = 0;
        while let Ok(frame) = self.read() {
            frames += usize::from(frame.kind == kind);
        }
        frames
    }
}

/// The indexed status 200, and a literal one in Huffman's code: 503.
const OK: u8 = 0x88;
const UNAVAILABLE: [u8; 3] = [0x6c, 0x0c, 0xff];

fn holds(head: &[u8], part: &[u8]) -> bool {
    head.windows(part.len()).any(|window| window == part)
}

#[test]
fn values_go_both_ways() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |_| {});
    let mut client = Client::connect(&server, &authority, WIDE);
    let value: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    // :method PUT as a literal with the name of index 2.
    let mut block = vec![0x02, 3];
    block.extend(b"PUT");
    block.extend([0x87, 0x01, 9]);
    block.extend(b"localhost");
    block.extend([0x04, 5]);
    block.extend(b"/v1/a");
    client.write(HEADERS, END_HEADERS, 1, &block).unwrap();
    // What the server lets us send before it widens the window is enough for none of this value.
    let mut window = 65_535;
    for piece in value.chunks(16_384) {
        while window < piece.len() {
            let frame = client.read().unwrap();
            if frame.kind == WINDOW_UPDATE && frame.stream == 1 {
                let more = <[u8; 4]>::try_from(frame.payload).unwrap();
                window += usize::try_from(u32::from_be_bytes(more)).unwrap();
            } else if frame.kind == SETTINGS && frame.flags == 0 {
                let initial = initial_window(&frame.payload);
                window = window + initial - 65_535;
            }
        }
        window -= piece.len();
        client.write(DATA, 0, 1, piece).unwrap();
    }
    client.write(DATA, END_STREAM, 1, b"").unwrap();
    client.answer(1);
    client.get(3, "/v1/a").unwrap();
    let (head, body) = client.answer(3);
    assert_eq!(head[0], OK);
    assert!(body == value, "{} bytes of {}", body.len(), value.len());
}

/// The server's `SETTINGS_INITIAL_WINDOW_SIZE`, or its default.
fn initial_window(settings: &[u8]) -> usize {
    let setting = settings.chunks(6).find(|setting| setting[..2] == [0, 4]);
    setting.map_or(65_535, |setting| {
        let value = <[u8; 4]>::try_from(&setting[2..]).unwrap();
        usize::try_from(u32::from_be_bytes(value)).unwrap()
    })
}

#[test]
fn a_reader_that_stops_by_flow_control_is_cut() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |options| {
        options.limits.read_stall = Duration::from_millis(400);
    });
    let mut client = Client::connect(&server, &authority, 0);
    client.get(1, "/health").unwrap();
    let began = Instant::now();
    // The head needs no window, the body has none.
    assert_eq!(client.drain(DATA), 0);
    assert!(
        began.elapsed() < PATIENCE,
        "the connection stood all the time"
    );
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_reader_that_goes_on_is_not_cut() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |options| {
        options.limits.read_stall = Duration::from_millis(400);
    });
    let mut client = Client::connect(&server, &authority, WIDE);
    let began = Instant::now();
    let mut stream = 1;
    // An idle connection is nobody's stopped reader.
    while began.elapsed() < Duration::from_millis(1_500) {
        client.get(stream, "/health").unwrap();
        assert_eq!(client.answer(stream).1, br#"{"status":"ok"}"#);
        stream += 2;
        std::thread::park_timeout(Duration::from_millis(300));
    }
}

#[test]
fn as_many_requests_as_the_limit_are_answered_at_one_time() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |options| options.limits.streams_per_connection = 3);
    let mut client = Client::connect(&server, &authority, 0);
    let mut status = |stream: u32| {
        client.get(stream, "/health").unwrap();
        loop {
            let frame = client.read().unwrap();
            if (frame.kind, frame.stream) == (HEADERS, stream) {
                break frame.payload;
            }
        }
    };
    // None of these answers is read, so each of them counts.
    for stream in [1, 3, 5] {
        assert_eq!(status(stream)[0], OK, "{stream}");
    }
    assert!(holds(&status(7), &UNAVAILABLE));
    // From its second time on that status is one byte, by the table of the connection.
    for stream in [9, 11] {
        assert_ne!(status(stream)[0], OK, "{stream}");
    }
    // More than twice as many: the connection ends.
    drop(client.get(13, "/health"));
    let began = Instant::now();
    client.drain(HEADERS);
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn a_request_that_was_answered_makes_room() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |options| options.limits.streams_per_connection = 1);
    let mut client = Client::connect(&server, &authority, WIDE);
    for stream in [1, 3, 5, 7] {
        client.get(stream, "/health").unwrap();
        assert_eq!(client.answer(stream).0[0], OK, "{stream}");
    }
}
