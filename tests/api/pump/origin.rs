//! A server that is asked by sources: it answers, or misbehaves, as it is told at that moment, and notes what it was asked.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What whoever asks gets.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// These bytes, and the end of the connection.
    Say(String),
    /// Nothing, until it behaves in another way; then that.
    Hang,
    /// The beginning of an answer, and then one byte after the other without an end.
    Drip,
    /// The end of the connection without an answer.
    Vanish,
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Behaviour {
    let len = body.len();
    Behaviour::Say(format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n{body}"
    ))
}

/// 200 with `body`.
pub(crate) fn good(body: &str) -> Behaviour {
    answer("200 OK", "Content-Type: text/csv\r\n", body)
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    /// Every request.
    asked: Vec<String>,
    /// Requests that are being answered, and the most that there were at one time.
    open: usize,
    most_open: usize,
    gone: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// The server. It ends with its test.
#[derive(Debug)]
pub(crate) struct Origin {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Origin {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                behaviour,
                asked: Vec::new(),
                open: 0,
                most_open: 0,
                gone: false,
            }),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                if shared.lock().gone {
                    return;
                }
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { shared, address }
    }

    /// An address below it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.shared.lock().behaviour = behaviour;
        self.shared.changed.notify_all();
    }

    /// How often it was asked.
    pub(crate) fn count(&self) -> usize {
        self.shared.lock().asked.len()
    }

    /// The request that came last.
    pub(crate) fn last_asked(&self) -> String {
        self.shared.lock().asked.last().unwrap().clone()
    }

    /// Requests that are being answered.
    pub(crate) fn open(&self) -> usize {
        self.shared.lock().open
    }

    /// The most of them at one time.
    pub(crate) fn most_open(&self) -> usize {
        self.shared.lock().most_open
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.lock().gone = true;
        self.behave(Behaviour::Vanish);
        // Wakes whoever accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, stream: io::Result<TcpStream>) {
        let Ok(mut stream) = stream else { return };
        let Ok(request) = read(&mut stream) else {
            return;
        };
        {
            let mut state = self.lock();
            state.asked.push(request);
            state.open += 1;
            state.most_open = state.most_open.max(state.open);
        }
        self.answer(stream);
        self.lock().open -= 1;
    }

    fn answer(&self, mut stream: TcpStream) {
        let behaviour = self.behaviour(&stream);
        // A client that has gone is no failure of the server.
        let told = match behaviour {
            None | Some(Behaviour::Hang | Behaviour::Vanish) => Ok(()),
            Some(Behaviour::Say(words)) => stream.write_all(words.as_bytes()),
            Some(Behaviour::Drip) => drip(&mut stream),
        };
        drop(told);
    }

    /// How to behave now; `None` where the client has gone before that was said.
    fn behaviour(&self, stream: &TcpStream) -> Option<Behaviour> {
        stream.set_nonblocking(true).unwrap();
        let mut state = self.lock();
        while matches!(state.behaviour, Behaviour::Hang) {
            match stream.peek(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return None,
            }
            (state, _) = self
                .changed
                .wait_timeout(state, Duration::from_millis(10))
                .unwrap();
        }
        stream.set_nonblocking(false).unwrap();
        Some(state.behaviour.clone())
    }
}

fn drip(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
    loop {
        stream.write_all(b"x")?;
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// A whole request.
fn read(stream: &mut TcpStream) -> io::Result<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    request.extend_from_slice(&body);
    Ok(String::from_utf8_lossy(&request).into_owned())
}
