//! A real small HTTP server that a test is the source of: it says what it is told to, holds its answers back until it may give
//! them, dies and comes again.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::PATIENCE;

/// What is answered to a path.
type Says = Box<dyn Fn(&str) -> Reply + Send + Sync>;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::ok("")
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// The server, which dies with its test.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    says: Mutex<Arc<Says>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Every request line so far, in the order in which they came.
    asked: Vec<String>,
    held: bool,
    dead: bool,
    open: Vec<TcpStream>,
}

impl Origin {
    /// A server that says this.
    pub(crate) fn saying(says: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, Arc::new(Box::new(says)))
    }

    /// A server that says nothing but the path that it was asked for.
    pub(crate) fn start() -> Self {
        Self::saying(|path| Reply::ok(format!("value of {path}")))
    }

    fn on(listener: TcpListener, says: Arc<Says>) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            says: Mutex::new(says),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says something else from now on.
    pub(crate) fn say(&self, says: impl Fn(&str) -> Reply + Send + Sync + 'static) {
        *self.shared.says.lock().unwrap() = Arc::new(Box::new(says));
    }

    /// From now on requests are taken and not answered.
    pub(crate) fn hold(&self) {
        self.shared.change(|state| state.held = true);
    }

    /// Answers what was held back, and everything after.
    pub(crate) fn release(&self) {
        self.shared.change(|state| state.held = false);
    }

    /// Every request line so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.state().asked.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.state().asked.len()
    }

    /// Waits until that many requests have come.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        while state.asked.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "only {:?} came", state.asked);
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Is gone: connections break, and new ones are refused.
    pub(crate) fn die(&mut self) {
        self.shared.change(|state| {
            state.dead = true;
            state.held = false;
            for stream in state.open.drain(..) {
                // It may be gone already.
                drop(stream.shutdown(Shutdown::Both));
            }
        });
        // Whoever accepts looks up.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().unwrap();
        }
    }

    /// Is there again, at the same address, with nothing asked yet.
    pub(crate) fn revive(&mut self) {
        let says = Arc::clone(&self.shared.says.lock().unwrap());
        let deadline = Instant::now() + PATIENCE;
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        *self = Self::on(listener, says);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.die();
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let mut state = self.state();
            if state.dead {
                return;
            }
            state.open.push(stream.try_clone().unwrap());
            drop(state);
            let shared = Arc::clone(self);
            thread::spawn(move || drop(shared.serve(stream)));
        }
    }

    /// Answers requests until the connection ends.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut read = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                let mut buffer = [0; 4096];
                let len = stream.read(&mut buffer)?;
                if len == 0 {
                    return Ok(());
                }
                read.extend_from_slice(&buffer[..len]);
            };
            let head: Vec<u8> = read.drain(..end).collect();
            let head = String::from_utf8(head).unwrap();
            let line = head.lines().next().unwrap().to_owned();
            let path = line.split(' ').nth(1).unwrap().to_owned();
            // What is said is decided when the request comes, as a source does that reads its data then.
            let says = Arc::clone(&self.says.lock().unwrap());
            let reply = says(&path);
            self.change(|state| state.asked.push(line));
            self.wait_while_held();
            write(&mut stream, &reply)?;
        }
    }

    fn wait_while_held(&self) {
        let mut state = self.state();
        while state.held {
            let waited = self.changed.wait_timeout(state, Duration::from_secs(1));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn write(stream: &mut TcpStream, reply: &Reply) -> io::Result<()> {
    let (status, len) = (reply.status, reply.body.len());
    let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {len}\r\n");
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), &reply.body].concat())
}
