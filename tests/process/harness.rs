//! One place to run the binary in: a directory of its own, no variables but those of the test, and deadlines on
//! everything that is waited for. It must not know what a test is about.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A working directory and the variables of the processes that run in it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn with_file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    /// Puts a file in the place of one that is there, as editors do: nobody sees the half of it.
    pub(crate) fn replace_file(&self, name: &str, text: &str) {
        let new = self.path("new file");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_standpipe"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with_input(arguments, b"")
    }

    /// Runs a command that may not write files of more than this many KiB.
    pub(crate) fn run_with_small_files(&self, kib: u32, arguments: &[&str]) -> Ended {
        let binary = env!("CARGO_BIN_EXE_standpipe");
        let script = format!("ulimit -f {kib} && exec \"$0\" \"$@\"");
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &script, binary])
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear();
        let output = shell.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs a command to its end with this on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A process that does not read all of it closes the pipe, which is no fault of the test's.
        let writing = thread::spawn(move || drop(stdin.write_all(&input)));
        let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
        let code = wait(&mut child);
        writing.join().unwrap();
        Ended {
            code,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        }
    }

    /// Starts a server on a free port and waits until it listens.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let mut server = self.start(&[&["-e", "127.0.0.1:0"], arguments].concat());
        let line = server.wait_for_line("listening");
        let (_, rest) = line
            .split_once("127.0.0.1:")
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        server.address = format!("127.0.0.1:{port}");
        server
    }

    /// Feeds an import this many lines, which it may or may not have read all, and kills it.
    pub(crate) fn kill_import_after(&self, lines: u64, line: impl Fn(u64) -> String) {
        let mut child = self
            .command(&["import"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = BufWriter::new(child.stdin.take().unwrap());
        for number in 0..lines {
            writeln!(stdin, "{}", line(number)).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What is still buffered has nowhere to go.
        drop(stdin.into_parts());
    }

    /// Starts a process and does not wait for anything.
    pub(crate) fn start(&self, arguments: &[&str]) -> Server {
        let mut child = self.command(arguments).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Server {
            child,
            lines: Mutex::new(lines),
            seen: Vec::new(),
            address: String::new(),
        }
    }
}

/// A server that runs; killed when the test is done with it.
pub(crate) struct Server {
    child: Child,
    /// Behind a lock only so that threads may share a server.
    lines: Mutex<Receiver<String>>,
    seen: Vec<String>,
    /// `127.0.0.1:port`
    pub(crate) address: String,
}

impl Server {
    /// The first line of the log, from now on, that holds these words.
    pub(crate) fn wait_for_line(&mut self, words: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.get_mut().unwrap().recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no line with {words:?} in time, but {:#?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("no line with {words:?}, but {:#?}", self.seen)
                }
            }
        }
    }

    /// Everything that was logged, once the process has closed its standard error.
    pub(crate) fn log(&mut self) -> String {
        self.seen.extend(self.lines.get_mut().unwrap().iter());
        self.seen.join("\n")
    }

    /// One request with this header line and without a body; the whole answer.
    pub(crate) fn ask_with(&self, method: &str, path: &str, header: &str) -> Answer {
        let header = format!("{header}\r\n");
        self.try_request(method, path, &header, b"").unwrap()
    }

    /// One request without a body; the whole answer.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Answer {
        self.try_request(method, path, "", b"").unwrap()
    }

    /// A PUT; the status.
    pub(crate) fn put(&self, key: &str, media_type: &str, value: &[u8]) -> u16 {
        self.try_put(key, media_type, value).unwrap()
    }

    /// A PUT to a server that may be gone by now; the status.
    pub(crate) fn try_put(&self, key: &str, media_type: &str, value: &[u8]) -> io::Result<u16> {
        let media_type = format!("Content-Type: {media_type}\r\n");
        Ok(self
            .try_request("PUT", &format!("/v1/{key}"), &media_type, value)?
            .status)
    }

    /// A request on a connection of its own.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let (address, length) = (&self.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Answer::of(&answer).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits until `/readyz` says yes.
    pub(crate) fn ready(self) -> Self {
        let deadline = Instant::now() + DEADLINE;
        while !self
            .try_request("GET", "/readyz", "", b"")
            .is_ok_and(|answer| answer.status == 200)
        {
            assert!(
                Instant::now() < deadline,
                "{} was not ready in time",
                self.address
            );
            thread::park_timeout(Duration::from_millis(2));
        }
        self
    }

    /// Ends the process as a power cut of the process would: no code of its own runs.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    /// Waits for the end and gives the exit code; none when a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        wait(&mut self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An answer, read to its end.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, body) = bytes.split_at(end);
        let head = String::from_utf8_lossy(head).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self {
            status,
            head,
            body: body.get(4..)?.to_vec(),
        })
    }

    /// The value of a header, by its name in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// Waits until this holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not hold in time");
        thread::park_timeout(Duration::from_millis(2));
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut stream = stream.unwrap();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("process {} did not end in time", child.id());
        }
        thread::park_timeout(Duration::from_millis(2));
    }
}
