//! One place to run the binary in: a directory of its own, no variables but those of the test, and deadlines on
//! everything that is waited for. It must not know what a test is about.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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
            lines,
            seen: Vec::new(),
            address: String::new(),
        }
    }
}

/// A server that runs; killed when the test is done with it.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
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
            match self.lines.recv_timeout(left) {
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
        self.seen.extend(self.lines.iter());
        self.seen.join("\n")
    }

    /// One request without a body, on a connection of its own; the whole answer as text.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
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
