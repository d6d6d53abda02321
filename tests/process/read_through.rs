//! Keyspaces that the file lets read through: what a reload takes over and what it keeps, and what nobody may ever see.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::harness::{Answer, Place, Server, wait_until};

/// What must never be shown.
const SECRET: &str = "hunter2";

/// A server that says this to whoever asks, and then ends the connection, or never does.
fn saying(words: &'static [u8], hangs: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            read_head(&mut stream);
            // Whoever asked may be gone.
            drop(stream.write_all(words));
            if hangs {
                kept.push(stream);
            }
        }
    });
    address
}

fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|len| len == 1) {
        head.extend_from_slice(&byte);
    }
}

/// An address at which nobody is.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn get(server: &Server, keyspace: &str) -> Answer {
    server.ask("GET", &format!("/keyspaces/{keyspace}/keys/a"))
}

fn code(answer: &Answer) -> String {
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    problem
        .get("code")
        .and_then(|code| code.as_str())
        .unwrap()
        .to_owned()
}

#[test]
fn a_reload_keeps_what_is_known_of_a_source_that_is_as_it_was() {
    let address = nobody();
    let file = |level: &str, timeout: &str| {
        format!(
            "server: {{ reload_interval: 1d }}\n\
             logging: {{ level: {level} }}\n\
             keyspaces:\n  users:\n    source:\n      http: {{ endpoint: 'http://{address}/{{key}}' }}\n      \
             timeout: {timeout}\n      circuit_breaker: {{ failures: 1, reset: 1h }}\n"
        )
    };
    let place = Place::new().with_file("config.yml", &file("INFO", "5s"));
    let mut server = place.serve(&[]).ready();
    let mut reload = |level: &str, timeout: &str| {
        place.replace_file("config.yml", &file(level, timeout));
        server.signal("HUP");
        server.wait_for_line("the configuration was reloaded");
        code(&get(&server, "users"))
    };
    assert_eq!(reload("DEBUG", "5s"), "source_failed");
    // The breaker is still open.
    assert_eq!(reload("INFO", "5s"), "breaker_open");
    // Another source is asked anew.
    assert_eq!(reload("INFO", "6s"), "source_failed");
    assert_eq!(reload("DEBUG", "6s"), "breaker_open");
}

#[test]
fn a_reload_gives_a_keyspace_a_source_and_takes_it_away_and_keeps_what_it_holds() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("users")).unwrap();
    let place = place
        .with_file("users/a", "value")
        .with_file("users/b", "value");
    let plain = "server: { reload_interval: 10ms }\nkeyspaces:\n  users: { durability: written }\n";
    let through = "server: { reload_interval: 10ms }\nkeyspaces:\n  users:\n    source:\n      file: { root: ./users }\n";
    let place = place.with_file("config.yml", plain);
    let server = place.serve(&[]).ready();
    let read = |key: &str| server.ask("GET", &format!("/keyspaces/users/keys/{key}"));
    assert_eq!(read("a").status, 404);
    place.replace_file("config.yml", through);
    wait_until("reading through", || read("a").status == 200);
    assert_eq!(read("a").header("cache-status"), Some("standpipe; hit"));
    place.replace_file("config.yml", plain);
    wait_until("reading what is stored", || {
        read("b").header("cache-status").is_none()
    });
    let kept = read("a");
    assert_eq!((kept.status, kept.header("cache-status")), (200, None));
    assert_eq!(kept.body, b"value");
}

/// A file with secrets wherever there is a place for one, and a source for each way to fail.
fn file_of_secrets(level: &str, place: &Place) -> String {
    let (gone, hangs) = (nobody(), saying(b"HTTP/1.1 200 X\r\n", true));
    let refuses = saying(
        b"HTTP/1.1 401 hunter2\r\nX-A: hunter2\r\nContent-Length: 7\r\n\r\nhunter2",
        false,
    );
    let leads_away = saying(
        b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/hunter2\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    let breaks_off = saying(
        b"HTTP/1.1 200 X\r\nContent-Length: 99\r\n\r\nhunter2",
        false,
    );
    let is_no_http = saying(b"hunter2 hunter2\r\n\r\n", false);
    let too_large = saying(
        b"HTTP/1.1 200 X\r\nContent-Length: 9999\r\n\r\nhunter2",
        true,
    );
    let mut file =
        format!("logging: {{ level: {level}, format: json, access: true }}\nkeyspaces:\n");
    let http = [
        ("gone", gone),
        ("hangs", hangs),
        ("refuses", refuses),
        ("leads_away", leads_away),
        ("breaks_off", breaks_off),
        ("is_no_http", is_no_http),
        ("too_large", too_large),
    ];
    for (name, address) in http {
        write!(
            file,
            "  {name}:\n    source:\n      timeout: 500ms\n      max_bytes: 1000\n      http:\n        \
             endpoint: 'http://hunter2:hunter2@{address}/hunter2/{{key}}?hunter2=hunter2'\n        \
             header: {{ X-Api-Key: hunter2, X-B: [hunter2, hunter2] }}\n        body: hunter2\n"
        )
        .unwrap();
    }
    std::fs::write(
        place.path("hunter2.url"),
        "postgres://hunter2:hunter2@127.0.0.1:1/hunter2",
    )
    .unwrap();
    let absent = place.path("hunter2.db");
    for (name, url) in [
        (
            "postgres",
            format!("url: 'postgres://hunter2:hunter2@{gone}/hunter2'"),
        ),
        (
            "mysql",
            format!("url: 'mysql://hunter2:hunter2@{is_no_http}/hunter2'"),
        ),
        ("sqlite", format!("url: 'sqlite://{}'", absent.display())),
        ("in_a_file", "url_file: hunter2.url".to_owned()),
    ] {
        let question = if name == "postgres" || name == "in_a_file" {
            "$1"
        } else {
            "?"
        };
        write!(
            file,
            "  {name}:\n    source:\n      timeout: 500ms\n      sql:\n        {url}\n        \
             query: SELECT 'hunter2' WHERE 'a' = {question}\n"
        )
        .unwrap();
    }
    file
}

#[test]
fn no_password_no_header_and_no_address_is_ever_shown() {
    for level in ["DEBUG", "INFO"] {
        let place = Place::new();
        let file = file_of_secrets(level, &place);
        let place = place.with_file("config.yml", &file);
        let mut server = place.serve(&[]).ready();
        let listed = server.ask("GET", "/keyspaces");
        let mut shown = vec![("list".to_owned(), listed)];
        let names: Vec<String> = file
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
            .filter(|name| !name.starts_with(' '))
            .map(str::to_owned)
            .collect();
        assert_eq!(names.len(), 11, "{names:?}");
        for name in &names {
            let answer = get(&server, name);
            assert!([502, 504].contains(&answer.status), "{name}: {answer:?}");
            shown.push((name.clone(), answer));
            let described = server.ask("GET", &format!("/keyspaces/{name}"));
            shown.push((name.clone(), described));
        }
        for page in ["/metrics", "/limits", "/readyz?verbose"] {
            shown.push((page.to_owned(), server.ask("GET", page)));
        }
        for (of, answer) in shown {
            let text = format!("{answer:?} {}", String::from_utf8_lossy(&answer.body));
            assert!(!text.contains(SECRET), "{of}: {text}");
        }
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        let log = server.log();
        for name in &names {
            // That one value is too large says nothing about its source.
            let is_told = level == "DEBUG" || name != "too_large";
            let keyspace = format!("\"keyspace\":\"{name}\"");
            assert_eq!(log.contains(&keyspace), is_told, "{name}: {log}");
        }
        assert!(!log.contains(SECRET), "{log}");
    }
}
