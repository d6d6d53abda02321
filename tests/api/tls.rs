//! TLS: who is let in, what is shown to whom, and certificates that change under a running server.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use standpipe::server::{Options, Tls, spawn};

use crate::authority::{Authority, Certificate, Files};
use crate::harness::{Client, PATIENCE, Server};
use crate::limits::peer_is_gone;

pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A server with the certificates of `files`.
pub(crate) fn server(files: &Files, change: impl FnOnce(&mut Options)) -> Server {
    Server::with(|options| {
        options.tls = Some(Tls {
            cert: files.path("cert.pem"),
            key: files.path("key.pem"),
            client_ca: None,
        });
        options.ops_endpoint = Some("127.0.0.1:0".to_owned());
        options.reload_interval = Duration::from_millis(20);
        change(options);
    })
}

fn with_client_ca(files: &Files, change: impl FnOnce(&mut Options)) -> Server {
    server(files, |options| {
        options.tls.as_mut().unwrap().client_ca = Some(files.path("ca.pem"));
        change(options);
    })
}

/// A client that trusts `authority`, shows `certificate` and speaks `protocols`.
pub(crate) struct Visitor<'a> {
    pub(crate) authority: &'a Authority,
    pub(crate) certificate: Option<&'a Certificate>,
    pub(crate) protocols: &'a [&'a str],
}

impl<'a> Visitor<'a> {
    pub(crate) fn new(authority: &'a Authority) -> Self {
        Self {
            authority,
            certificate: None,
            protocols: &[],
        }
    }

    /// A connection with the handshake done, as far as a client can tell.
    pub(crate) fn visit(&self, server: &Server) -> io::Result<Stream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.cert()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => builder
                .with_client_auth_cert(vec![certificate.cert.clone()], certificate.key())
                .unwrap(),
        };
        config.alpn_protocols = self
            .protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(server.address())?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// The whole answer to one request on a connection of its own.
    fn ask(&self, server: &Server, request: &str) -> io::Result<String> {
        exchange(&mut self.visit(server)?, request)
    }
}

/// Sends a request that closes the connection, and reads the answer.
fn exchange(stream: &mut Stream, request: &str) -> io::Result<String> {
    let head = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // An end of the connection without an end of TLS, after a whole answer.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        ended => drop(ended?),
    }
    Ok(String::from_utf8(answer).unwrap())
}

fn shown(stream: &Stream) -> CertificateDer<'static> {
    stream.conn.peer_certificates().unwrap()[0]
        .clone()
        .into_owned()
}

fn is_let_in(answer: &io::Result<String>) -> bool {
    answer
        .as_ref()
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Waits until a new handshake shows this certificate.
fn wait_until_shown(visitor: &Visitor<'_>, server: &Server, wanted: &Certificate) {
    let deadline = Instant::now() + PATIENCE;
    while visitor
        .visit(server)
        .is_ok_and(|stream| shown(&stream) != wanted.cert)
    {
        assert!(Instant::now() < deadline, "the certificate was never shown");
    }
}

fn check(server: &Server) -> serde_json::Value {
    let ready = Client::connect(server.ops_address())
        .send("GET", "/readyz?verbose", &[], b"")
        .json();
    let checks = ready["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["name"] == "certificates")
        .unwrap()
        .clone()
}

#[test]
fn values_travel_over_tls_and_nothing_else_is_answered() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |_| {});
    let visitor = Visitor::new(&authority);
    let health = visitor.ask(&server, "GET /health").unwrap();
    assert!(
        health.starts_with("HTTP/1.1 200") && health.ends_with(r#"{"status":"ok"}"#),
        "{health}"
    );
    let mut plain = server.connect();
    plain
        .write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert!(!String::from_utf8_lossy(&plain.read_to_end()).contains("HTTP/1.1"));
    let stranger = Authority::new();
    Visitor::new(&stranger).visit(&server).unwrap_err();
}

#[test]
fn http_2_is_chosen_where_the_client_has_it() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |_| {});
    let chosen = |protocols: &[&str]| {
        let visitor = Visitor {
            protocols,
            ..Visitor::new(&authority)
        };
        let stream = visitor.visit(&server).unwrap();
        stream
            .conn
            .alpn_protocol()
            .map(|name| String::from_utf8(name.to_vec()).unwrap())
    };
    assert_eq!(chosen(&["h2", "http/1.1"]).as_deref(), Some("h2"));
    assert_eq!(chosen(&["http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(chosen(&[]), None);
}

#[test]
fn with_authorities_for_clients_only_their_clients_are_let_in() {
    let (files, authority, stranger) = (Files::new(), Authority::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    authority.write(&files.path("ca.pem"));
    let server = with_client_ca(&files, |_| {});
    let (friend, other) = (authority.sign("friend"), stranger.sign("other"));
    let ask = |certificate| {
        let visitor = Visitor {
            certificate,
            ..Visitor::new(&authority)
        };
        visitor.ask(&server, "GET /health")
    };
    assert!(is_let_in(&ask(Some(&friend))));
    ask(None).unwrap_err();
    ask(Some(&other)).unwrap_err();
}

#[test]
fn a_changed_certificate_is_shown_to_whoever_comes_next() {
    let (files, authority) = (Files::new(), Authority::new());
    let (first, second) = (authority.sign("localhost"), authority.sign("localhost"));
    files.install(&first);
    let server = server(&files, |_| {});
    let visitor = Visitor::new(&authority);
    let mut before = visitor.visit(&server).unwrap();
    assert_eq!(shown(&before), first.cert);
    files.install(&second);
    wait_until_shown(&visitor, &server, &second);
    // The connection from before goes on.
    assert!(
        exchange(&mut before, "GET /health")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
}

#[test]
fn a_broken_certificate_leaves_the_old_one_and_says_so() {
    let (files, authority) = (Files::new(), Authority::new());
    let (first, second) = (authority.sign("localhost"), authority.sign("localhost"));
    files.install(&first);
    let server = server(&files, |_| {});
    let visitor = Visitor::new(&authority);
    assert_eq!(check(&server)["ok"], true);
    // One half of a pair, as it looks between two copies.
    second.write_cert(&files.path("cert.pem"));
    let deadline = Instant::now() + PATIENCE;
    while check(&server)["ok"] == true {
        assert!(Instant::now() < deadline, "nobody noticed");
    }
    let detail = check(&server)["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("is not the key of the certificate"),
        "{detail}"
    );
    let metrics = Client::connect(server.ops_address()).send("GET", "/metrics", &[], b"");
    assert!(metrics.text().contains("standpipe_certificates_stale 1"));
    assert_eq!(shown(&visitor.visit(&server).unwrap()), first.cert);
    assert!(is_let_in(&visitor.ask(&server, "GET /health")));
    second.write_key(&files.path("key.pem"));
    wait_until_shown(&visitor, &server, &second);
    let deadline = Instant::now() + PATIENCE;
    while check(&server)["ok"] == false {
        assert!(
            Instant::now() < deadline,
            "nobody noticed that it is well again"
        );
    }
}

#[test]
fn changed_authorities_hold_for_whoever_comes_next() {
    let (files, authority, successor) = (Files::new(), Authority::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    authority.write(&files.path("ca.pem"));
    let server = with_client_ca(&files, |_| {});
    let (old, new) = (authority.sign("old"), successor.sign("new"));
    let ask = |certificate: &Certificate| {
        let visitor = Visitor {
            certificate: Some(certificate),
            ..Visitor::new(&authority)
        };
        is_let_in(&visitor.ask(&server, "GET /health"))
    };
    assert!(ask(&old) && !ask(&new));
    successor.write(&files.path("ca.pem"));
    let deadline = Instant::now() + PATIENCE;
    while !ask(&new) {
        assert!(Instant::now() < deadline, "the new authority never counted");
    }
    assert!(!ask(&old));
}

#[test]
fn files_that_cannot_be_used_refuse_the_start_and_are_named() {
    let (files, authority) = (Files::new(), Authority::new());
    let refused = |expected: &str, change: &dyn Fn(&mut Tls)| {
        let mut tls = Tls {
            cert: files.path("cert.pem"),
            key: files.path("key.pem"),
            client_ca: None,
        };
        change(&mut tls);
        let options = Options {
            endpoint: "127.0.0.1:0".to_owned(),
            tls: Some(tls),
            ..Options::default()
        };
        let error = spawn(options).expect_err(expected);
        assert_eq!(error.exit_code(), 78, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    refused("server.tls.cert: ", &|_| {});
    files.install(&authority.sign("localhost"));
    refused("cannot be read", &|tls| tls.key = files.path("none.pem"));
    fs::write(files.path("text"), "no certificate").unwrap();
    refused("holds no certificate in PEM", &|tls| {
        tls.cert = files.path("text");
    });
    refused("holds no private key in PEM", &|tls| {
        tls.key = files.path("text");
    });
    refused("server.tls.client_ca: ", &|tls| {
        tls.client_ca = Some(files.path("text"));
    });
    authority
        .sign("localhost")
        .write_key(&files.path("other.pem"));
    refused("is not the key of the certificate", &|tls| {
        tls.key = files.path("other.pem");
    });
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |options| {
        options.limits.head_timeout = Duration::from_millis(300);
    });
    let mut client = server.connect();
    // The first bytes of a handshake, and nothing more.
    client.write(&[0x16, 3, 1, 2, 0]).unwrap();
    client.read_to_end();
    // A handshake without a request behind it too.
    let mut stream = Visitor::new(&authority).visit(&server).unwrap();
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let waited = ended.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    assert!(
        !waited && !answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn a_reader_that_stops_is_cut_under_tls_too() {
    let (files, authority) = (Files::new(), Authority::new());
    files.install(&authority.sign("localhost"));
    let server = server(&files, |options| {
        options.limits.read_stall = Duration::from_secs(1);
    });
    let visitor = Visitor::new(&authority);
    let value = vec![b'7'; 16 << 20];
    let mut writer = visitor.visit(&server).unwrap();
    let head = format!(
        "PUT /v1/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        value.len()
    );
    writer.write_all(head.as_bytes()).unwrap();
    writer.write_all(&value).unwrap();
    let mut answer = [0; 12];
    writer.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
    let mut reader = visitor.visit(&server).unwrap();
    reader
        .write_all(b"GET /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    // The kernel holds some megabytes for us; the rest cannot be sent until we read, and we do not.
    let deadline = Instant::now() + PATIENCE;
    let mut began = false;
    while !began || !peer_is_gone(&server) {
        began |= !peer_is_gone(&server);
        assert!(Instant::now() < deadline, "the reader was never cut");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap_err();
    assert!(got.len() < value.len());
}
