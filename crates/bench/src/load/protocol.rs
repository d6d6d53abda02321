//! What goes over a connection: requests made once with a place for the key, and where a response ends.
//! It knows the two protocols' few shapes that a benchmark meets, and no sockets.

use std::net::SocketAddr;

use crate::number::{narrow, wide};
use crate::{Failure, Outcome};

/// How the server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// HTTP/1.1, `/v1/{key}`.
    Http,
    /// The protocol of Redis, GET and SET.
    Resp,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Get,
    Put,
    /// Adds 1 to a counter.
    Count,
}

/// A request with a place for its key: made once, only the key's digits change.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    key_at: usize,
    key_bytes: usize,
    /// Where the value starts, which begins with the key too, so that values differ.
    value_at: Option<usize>,
}

impl Template {
    /// A request for keys of `key_bytes` bytes and values of `value_bytes` bytes.
    pub(crate) fn new(
        protocol: Protocol,
        operation: Operation,
        address: SocketAddr,
        key_bytes: usize,
        value_bytes: usize,
    ) -> Self {
        let mut bytes = match (protocol, operation) {
            (Protocol::Http, Operation::Get) => b"GET /v1/".to_vec(),
            (Protocol::Http, Operation::Put) => b"PUT /v1/".to_vec(),
            (Protocol::Http, Operation::Count) => b"POST /keyspaces/default/counters/".to_vec(),
            (Protocol::Resp, Operation::Count) => {
                format!("*2\r\n$4\r\nINCR\r\n${key_bytes}\r\n").into_bytes()
            }
            (Protocol::Resp, Operation::Get) => {
                format!("*2\r\n$3\r\nGET\r\n${key_bytes}\r\n").into_bytes()
            }
            (Protocol::Resp, Operation::Put) => {
                format!("*3\r\n$3\r\nSET\r\n${key_bytes}\r\n").into_bytes()
            }
        };
        let key_at = bytes.len();
        bytes.resize(key_at + key_bytes, b'k');
        let rest = match (protocol, operation) {
            (Protocol::Http, Operation::Get) => format!(" HTTP/1.1\r\nHost: {address}\r\n\r\n"),
            (Protocol::Http, Operation::Put) => {
                format!(" HTTP/1.1\r\nHost: {address}\r\nContent-Length: {value_bytes}\r\n\r\n")
            }
            (Protocol::Http, Operation::Count) => {
                format!(" HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n")
            }
            (Protocol::Resp, Operation::Get | Operation::Count) => "\r\n".to_owned(),
            (Protocol::Resp, Operation::Put) => format!("\r\n${value_bytes}\r\n"),
        };
        bytes.extend_from_slice(rest.as_bytes());
        let value_at = (operation == Operation::Put).then_some(bytes.len());
        if value_at.is_some() {
            bytes.resize(bytes.len() + value_bytes, b'v');
            if protocol == Protocol::Resp {
                bytes.extend_from_slice(b"\r\n");
            }
        }
        let value_at = value_at.filter(|_| value_bytes >= key_bytes);
        Self {
            bytes,
            key_at,
            key_bytes,
            value_at,
        }
    }

    /// The request about key number `n`.
    pub(crate) fn for_key(&mut self, n: u64) -> &[u8] {
        for at in [Some(self.key_at), self.value_at].into_iter().flatten() {
            if let Some(place) = self.bytes.get_mut(at..at + self.key_bytes) {
                digits(place, n);
            }
        }
        &self.bytes
    }
}

/// Writes `n` right-aligned in decimal digits; what is left of it becomes zeros.
pub(crate) fn digits(place: &mut [u8], mut n: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789".get(narrow(n % 10)).copied().unwrap_or(b'0');
        n /= 10;
    }
}

/// A response as far as it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    /// More bytes are needed; in all at least so many.
    Partial(usize),
    /// It takes so many bytes and says so much of success.
    Whole { len: usize, body: usize, good: bool },
}

/// Looks at what was received for one request.
pub(crate) fn response(protocol: Protocol, received: &[u8]) -> Outcome<Response> {
    match protocol {
        Protocol::Http => http(received),
        Protocol::Resp => resp(received),
    }
}

fn http(received: &[u8]) -> Outcome<Response> {
    let Some(head) = find(received, b"\r\n\r\n") else {
        return Ok(Response::Partial(received.len() + 1));
    };
    let lines = received.get(..head).unwrap_or_default();
    let status = number(lines.get(9..12).unwrap_or_default());
    let body = content_length(lines)?;
    let len = head + 4 + body;
    if received.len() < len {
        return Ok(Response::Partial(len));
    }
    let good = matches!(status, Some(200..=299));
    Ok(Response::Whole { len, body, good })
}

/// The length of the body: what Content-Length says, 0 without one. A body of unknown length is not understood here.
fn content_length(head: &[u8]) -> Outcome<usize> {
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            return number(value).map(narrow).ok_or_else(|| {
                Failure::of(format!("Content-Length {}", String::from_utf8_lossy(value)))
            });
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(Failure::of("a response without Content-Length"));
        }
    }
    Ok(0)
}

fn resp(received: &[u8]) -> Outcome<Response> {
    let Some(end) = find(received, b"\r\n") else {
        return Ok(Response::Partial(received.len() + 1));
    };
    let line = received.get(1..end).unwrap_or_default();
    match received.first() {
        Some(b'+' | b':') => Ok(Response::Whole {
            len: end + 2,
            body: 0,
            good: true,
        }),
        Some(b'-') => Ok(Response::Whole {
            len: end + 2,
            body: 0,
            good: false,
        }),
        Some(b'$') if line == b"-1" => Ok(Response::Whole {
            len: end + 2,
            body: 0,
            good: false,
        }),
        Some(b'$') => {
            let body = number(line).map(narrow);
            let body = body.ok_or_else(|| Failure::of("a bulk string without a length"))?;
            let len = end + 2 + body + 2;
            if received.len() < len {
                return Ok(Response::Partial(len));
            }
            Ok(Response::Whole {
                len,
                body,
                good: true,
            })
        }
        _ => Err(Failure::of(format!(
            "a reply that is not understood: {}",
            String::from_utf8_lossy(line)
        ))),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn number(digits: &[u8]) -> Option<u64> {
    let value = |digit: &u8| digit.is_ascii_digit().then(|| u64::from(digit - b'0'));
    if digits.is_empty() || wide(digits.len()) > 18 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |sum, digit| Some(sum * 10 + value(digit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 80))
    }

    #[test]
    fn requests_carry_key_and_value() {
        let mut put = Template::new(Protocol::Http, Operation::Put, address(), 4, 6);
        assert_eq!(
            put.for_key(42),
            b"PUT /v1/0042 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 6\r\n\r\n0042vv"
        );
        let mut set = Template::new(Protocol::Resp, Operation::Put, address(), 4, 2);
        assert_eq!(
            set.for_key(7),
            b"*3\r\n$3\r\nSET\r\n$4\r\n0007\r\n$2\r\nvv\r\n"
        );
        let mut get = Template::new(Protocol::Resp, Operation::Get, address(), 2, 0);
        assert_eq!(get.for_key(123), b"*2\r\n$3\r\nGET\r\n$2\r\n23\r\n");
        let mut count = Template::new(Protocol::Http, Operation::Count, address(), 2, 9);
        assert_eq!(
            count.for_key(0),
            b"POST /keyspaces/default/counters/00 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_response_ends_where_it_says() {
        let whole = b"HTTP/1.1 200 OK\r\nETag: \"a\"\r\ncontent-length: 3\r\n\r\nabc";
        for len in 0..whole.len() {
            let part = response(Protocol::Http, &whole[..len]).unwrap();
            assert!(matches!(part, Response::Partial(more) if more > len && more <= whole.len()));
        }
        let expected = Response::Whole {
            len: whole.len(),
            body: 3,
            good: true,
        };
        assert_eq!(response(Protocol::Http, whole).unwrap(), expected);
        let refused = response(
            Protocol::Http,
            b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
        );
        assert!(matches!(
            refused.unwrap(),
            Response::Whole { good: false, .. }
        ));
        let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        response(Protocol::Http, endless).unwrap_err();
    }

    #[test]
    fn replies_end_where_they_say() {
        let cases: [(&[u8], bool, usize); 4] = [
            (b"+OK\r\n", true, 0),
            (b"-ERR no\r\n", false, 0),
            (b"$-1\r\n", false, 0),
            (b"$3\r\nabc\r\n", true, 3),
        ];
        for (reply, good, body) in cases {
            let expected = Response::Whole {
                len: reply.len(),
                body,
                good,
            };
            assert_eq!(response(Protocol::Resp, reply).unwrap(), expected);
            let short = &reply[..reply.len() - 1];
            assert!(matches!(
                response(Protocol::Resp, short).unwrap(),
                Response::Partial(_)
            ));
        }
    }
}
