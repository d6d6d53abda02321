//! Calls against servers that behave badly, each a few lines over a socket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;

const PATIENT: Bounds = Bounds {
    timeout: Duration::from_secs(20),
    bytes: 1 << 20,
};

/// A server that says `words` to whoever has sent a head, and ends the connection, or keeps it where `then` says so.
async fn saying(words: &'static [u8], then: Then) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if read_head(&mut stream).await.is_ok() && stream.write_all(words).await.is_ok() {
                match then {
                    Then::End => {}
                    Then::Hang => kept.push(stream),
                }
            }
        }
    });
    address
}

#[derive(Clone, Copy)]
enum Then {
    End,
    Hang,
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn get(url: &str) -> Call {
    Call {
        method: Method::GET,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
    }
}

fn outbound() -> Outbound {
    Outbound::start(Options::default()).unwrap()
}

async fn fetch(call: Call, bounds: Bounds) -> Result<Answer, CallError> {
    let outbound = outbound();
    let client = outbound.client(None).unwrap();
    outbound
        .run(async move { client.call(call, bounds).await })
        .await
}

#[tokio::test]
async fn an_answer_comes_whole_with_its_headers() {
    let words = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\nhello";
    let address = saying(words, Then::End).await;
    let answer = fetch(get(&format!("http://{address}/a")), PATIENT)
        .await
        .unwrap();
    assert_eq!(
        (answer.status, &*answer.body),
        (StatusCode::OK, &b"hello"[..])
    );
    assert_eq!(answer.headers.get("etag").unwrap(), "\"x\"");
}

#[tokio::test]
async fn a_body_that_is_cut_short_is_no_answer() {
    let words = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    let address = saying(words, Then::End).await;
    let error = fetch(get(&format!("http://{address}/")), PATIENT)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Broken { .. }), "{error}");
}

#[tokio::test]
async fn whoever_hangs_or_drips_is_given_up_in_time() {
    let address = saying(
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nh",
        Then::Hang,
    )
    .await;
    let after = Duration::from_millis(200);
    let bounds = Bounds {
        timeout: after,
        ..PATIENT
    };
    let error = fetch(get(&format!("http://{address}/")), bounds)
        .await
        .unwrap_err();
    assert_eq!(error, CallError::Timeout { after });
}

#[tokio::test]
async fn a_body_is_read_to_its_limit_and_not_one_byte_further() {
    for words in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ] {
        let address = saying(words, Then::Hang).await;
        let url = format!("http://{address}/");
        let limited = |bytes| Bounds { bytes, ..PATIENT };
        assert_eq!(fetch(get(&url), limited(5)).await.unwrap().body, "hello");
        let error = fetch(get(&url), limited(4)).await.unwrap_err();
        assert_eq!(error, CallError::TooLarge { limit: 4 });
    }
}

#[tokio::test]
async fn a_link_local_address_is_refused_by_number_and_by_name() {
    let error = fetch(get("http://169.254.169.254/latest"), PATIENT)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Refused(_)), "{error}");
    let error = fetch(get("http://[::ffff:169.254.169.254]/"), PATIENT)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Refused(_)), "{error}");
}

#[tokio::test]
async fn three_redirects_are_followed_and_the_fourth_is_not() {
    let words =
        b"HTTP/1.1 302 Found\r\nLocation: /again\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let address = saying(words, Then::End).await;
    let error = fetch(get(&format!("http://{address}/")), PATIENT)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("three redirects"), "{error}");
}

#[tokio::test]
async fn what_may_be_a_credential_is_not_taken_to_another_origin() {
    let home = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Then::End).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if read_head(&mut stream).await.is_ok() {
                let words = format!(
                    "HTTP/1.1 307 X\r\nLocation: http://{home}/\r\nContent-Length: 0\r\n\r\n"
                );
                stream.write_all(words.as_bytes()).await.unwrap();
            }
        }
    });
    let url = format!("http://{address}/");
    assert_eq!(fetch(get(&url), PATIENT).await.unwrap().body, "hi");
    let mut call = get(&url);
    call.headers
        .insert("x-api-key", HeaderValue::from_static("hunter2"));
    let error = fetch(call, PATIENT).await.unwrap_err();
    assert!(matches!(error, CallError::Redirect { .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn who_is_not_there_is_named_without_path_or_credentials() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://user:hunter2@{address}/private?token=hunter2");
    let error = fetch(get(&url), PATIENT).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("http://{address}: ")), "{error}");
    assert!(
        !error.contains("hunter2") && !error.contains("private"),
        "{error}"
    );
}

#[tokio::test]
async fn an_authority_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "nothing").unwrap();
    let options = Options {
        ca: Some(file),
        ..Options::default()
    };
    let error = Outbound::start(options).unwrap_err().to_string();
    assert!(error.contains("ca.pem"), "{error}");
}

#[tokio::test]
async fn work_goes_with_whoever_waits_for_it() {
    let outbound = outbound();
    let (sender, receiver) = oneshot::channel::<()>();
    let running = outbound.run(async move {
        std::future::pending::<()>().await;
        drop(sender);
    });
    drop(running);
    assert!(receiver.await.is_err());
}

#[tokio::test]
async fn addresses_of_databases_are_told_by_their_beginning_and_never_shown() {
    let outbound = outbound();
    let ask = |text: &str| {
        let (outbound, secret) = (outbound.clone(), Secret::Given(text.into()));
        async move {
            outbound
                .clone()
                .run(async move { outbound.database(&secret, 1, Duration::from_secs(1)).await })
                .await
        }
    };
    assert!(matches!(
        ask("postgres://u:hunter2@localhost/db").await,
        Ok(Database::Postgres(_))
    ));
    assert!(matches!(
        ask("mariadb://u:hunter2@localhost/db").await,
        Ok(Database::MySql(_))
    ));
    assert!(matches!(
        ask("sqlite::memory:").await,
        Ok(Database::Sqlite(_))
    ));
    for text in [
        "hunter2://x",
        "hunter2",
        "postgres://u:hunter2@169.254.169.254/db",
    ] {
        let error = ask(text).await.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
