//! One server for a test, and a client that sends exactly what it is told.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use standpipe::server::{self, Handle, Options};
use tempfile::TempDir;

/// No answer of a healthy server takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server over a directory of its own.
pub(crate) struct Server {
    handle: Option<Handle>,
    directory: Option<TempDir>,
}

impl Server {
    /// A ready server with the defaults.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// A ready server with changed options.
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        Self::over(tempfile::tempdir().unwrap(), change)
    }

    /// A ready server over a directory that is there.
    pub(crate) fn over(directory: TempDir, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options {
            endpoint: "127.0.0.1:0".to_owned(),
            workers: NonZeroUsize::new(2).unwrap(),
            ..Options::default()
        };
        options.storage.path = directory.path().join("data");
        change(&mut options);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let handle = server::spawn(options.clone()).unwrap();
            match wait_until_ready(&handle, deadline) {
                Ready::Yes => {
                    return Self {
                        handle: Some(handle),
                        directory: Some(directory),
                    };
                }
                // A worker of the server before may still be on its way out, and holds the directory until then.
                Ready::Ended => match handle.join() {
                    Err(error) if error.exit_code() == 69 && Instant::now() < deadline => {}
                    ended => panic!("the server ended at once: {ended:?}"),
                },
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.handle.as_ref().unwrap().addresses()[0]
    }

    /// The address for probes and figures.
    pub(crate) fn ops_address(&self) -> SocketAddr {
        self.handle().ops_addresses()[0]
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    /// Where its data lies, under `data`.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.as_ref().unwrap().path()
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    pub(crate) fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.connect().send(method, target, headers, body)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], b"")
    }

    pub(crate) fn put(&self, target: &str, body: &[u8]) -> Answer {
        self.send("PUT", target, &[], body)
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "it never held");
        }
    }

    /// Waits until `/metrics` shows `figure` at `wanted`.
    pub(crate) fn wait_for(&self, figure: &str, wanted: u64) {
        let deadline = Instant::now() + PATIENCE;
        let line = format!("{figure} {wanted}");
        while !self
            .get("/metrics")
            .text()
            .lines()
            .any(|known| known == line)
        {
            assert!(
                Instant::now() < deadline,
                "{line}: {}",
                self.get("/metrics").text()
            );
        }
    }

    /// Stops the server well and returns its directory.
    pub(crate) fn stop(mut self) -> TempDir {
        let handle = self.handle.take().unwrap();
        handle.ask_to_stop();
        handle.join().unwrap();
        self.directory.take().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.ask_to_stop();
            handle.ask_to_stop();
            // A test that has failed already should not fail twice.
            if handle.join().is_err() {
                eprintln_of("the server ended badly");
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test's output is standard error")]
fn eprintln_of(text: &str) {
    eprintln!("{text}");
}

enum Ready {
    Yes,
    Ended,
}

fn wait_until_ready(handle: &Handle, deadline: Instant) -> Ready {
    while !handle.has_ended() {
        // Where the server ends instead, the connection breaks or is not made at all.
        // Under TLS the probes answer in the clear on a port of their own.
        let asked = handle.ops_addresses().first();
        if probe(*asked.unwrap_or(&handle.addresses()[0])).is_ok_and(|answer| answer.status == 200)
        {
            return Ready::Yes;
        }
        assert!(Instant::now() < deadline, "the server never became ready");
    }
    Ready::Ended
}

fn probe(address: SocketAddr) -> io::Result<Answer> {
    let mut client = Client::try_connect(address)?;
    client.write(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
    client.try_read_answer("GET")
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// Bytes that arrived behind the answer that was read last.
    rest: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address)?))
    }

    /// Over a connection that is there.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    /// Sends bytes as they are. An error is one of the connection: a server may close it on an early answer.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and reads its answer.
    pub(crate) fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.write_request(method, target, headers, body);
        self.read_answer(method)
    }

    pub(crate) fn write_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        let has = |wanted: &str| {
            headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        if !has("host") {
            write!(head, "Host: {}\r\n", self.stream.peer_addr().unwrap()).unwrap();
        }
        if !has("content-length")
            && !has("transfer-encoding")
            && (!body.is_empty() || method == "PUT")
        {
            write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes).unwrap();
    }

    /// Reads the answer to a request of `method`.
    pub(crate) fn read_answer(&mut self, method: &str) -> Answer {
        self.try_read_answer(method)
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Reads the answer, or fails as the connection does.
    pub(crate) fn try_read_answer(&mut self, method: &str) -> io::Result<Answer> {
        let head = loop {
            if let Some(end) = find(&self.rest, b"\r\n\r\n") {
                break self.rest.drain(..end + 4).collect::<Vec<_>>();
            }
            self.fill()?;
        };
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status: u16 = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let split = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers: Vec<_> = lines.map(split).collect();
        if status == 100 {
            return self.try_read_answer(method);
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let bodiless = method == "HEAD" || status == 204 || status == 304;
        let len: usize = if bodiless {
            0
        } else {
            answer
                .header("content-length")
                .map_or(0, |len| len.parse().unwrap())
        };
        while self.rest.len() < len {
            self.fill()?;
        }
        answer.body = self.rest.drain(..len).collect();
        Ok(answer)
    }

    /// The next chunk of a chunked answer whose head has been read; `None` at its end.
    pub(crate) fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(end) = find(&self.rest, b"\r\n") {
                break end;
            }
            self.fill().unwrap();
        };
        let line = String::from_utf8(self.rest.drain(..end + 2).collect()).unwrap();
        let len = usize::from_str_radix(line.trim_end(), 16).unwrap();
        while self.rest.len() < len + 2 {
            self.fill().unwrap();
        }
        let chunk = self.rest.drain(..len).collect();
        self.rest.drain(..2);
        (len > 0).then_some(chunk)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        let len = self.stream.read(&mut buffer)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.rest.extend_from_slice(&buffer[..len]);
        Ok(())
    }

    /// Everything until the server closes the connection.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.rest);
        // A reset after the last byte is an end too.
        if let Err(error) = self.stream.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        bytes
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn etag(&self) -> &str {
        self.header("etag")
            .unwrap_or_else(|| panic!("no ETag: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a problem with that status and code, and whole.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.status,
            status,
            "{self:?} {}",
            String::from_utf8_lossy(&self.body)
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("/problems/{code}"));
        for member in ["title", "detail"] {
            assert!(!problem[member].as_str().unwrap().is_empty(), "{problem}");
        }
        assert_eq!(self.header("retry-after").is_some(), status == 503);
        problem
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
