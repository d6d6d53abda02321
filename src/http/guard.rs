//! Who may talk to us without a token: a web page must not empty a developer's store. Two checks, both on headers that a
//! page cannot choose: whose name the request was sent to (DNS rebinding), and which site sent it (cross-site requests).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName};
use arc_swap::ArcSwap;

use super::code::Code;
use super::problem::Problem;

/// By which site's page a browser sends a request (W3C, Fetch Metadata).
static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that this server answers to.
#[derive(Debug)]
pub(crate) enum Hosts {
    /// Any: the address is not loopback, so a name is no protection.
    Any,
    /// `localhost`, IP literals and these.
    Only(ArcSwap<Vec<String>>),
}

impl Hosts {
    /// Those that the options allow.
    pub(crate) fn new(names: Option<Vec<String>>) -> Self {
        names.map_or(Self::Any, |names| Self::Only(ArcSwap::from_pointee(names)))
    }

    /// Answers to these names from now on. Where any name is answered to, that stays.
    pub(crate) fn set(&self, names: Vec<String>) {
        if let Self::Only(allowed) = self {
            allowed.store(Arc::new(names));
        }
    }

    /// Refuses a request that was sent to another name. HTTP/1.0 without `Host` passes: no browser sends that.
    #[inline]
    pub(crate) fn check(&self, head: &RequestHead) -> Result<(), Problem> {
        let Self::Only(allowed) = self else {
            return Ok(());
        };
        let Some(authority) = authority(head) else {
            return Ok(());
        };
        let host = without_port(authority);
        if is_ip_literal(host) || host.eq_ignore_ascii_case("localhost") {
            return Ok(());
        }
        let allowed = allowed.load();
        if allowed.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        let detail =
            format!("the request names the host {host:?}, which is none of this server's names");
        Err(Problem::new(Code::WrongHost, detail))
    }
}

/// Refuses a changing request that a browser sends for a page of another site.
#[inline]
pub(crate) fn check_site(head: &RequestHead) -> Result<(), Problem> {
    if matches!(
        head.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    ) {
        return Ok(());
    }
    let headers = head.headers();
    if headers.contains_key(&SEC_FETCH_SITE) {
        let same = |value: &[u8]| value == b"same-origin" || value == b"none";
        return if headers
            .get_all(&SEC_FETCH_SITE)
            .all(|value| same(value.as_bytes()))
        {
            Ok(())
        } else {
            Err(refused("Sec-Fetch-Site"))
        };
    }
    let ours = authority(head).unwrap_or_default();
    let from_us = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).unwrap_or_default();
        origin
            .split_once("://")
            .is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(ours))
    };
    if headers
        .get_all(header::ORIGIN)
        .all(|origin| from_us(origin.as_bytes()))
    {
        Ok(())
    } else {
        Err(refused("Origin"))
    }
}

fn refused(header: &str) -> Problem {
    Problem::new(
        Code::CrossSite,
        format!("by its {header} header the request comes from a page of another site"),
    )
}

/// Host and port as the request names them; the target's own wins over the header (RFC 9112, section 3.2.2).
fn authority(head: &RequestHead) -> Option<&str> {
    if let Some(authority) = head.uri.authority() {
        return Some(authority.as_str());
    }
    // A name that is no text is none of ours: it becomes the empty one.
    head.headers()
        .get(header::HOST)
        .map(|host| host.to_str().unwrap_or_default())
}

fn without_port(authority: &str) -> &str {
    if let Some((address, _)) = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return address;
    }
    authority
        .split_once(':')
        .map_or(authority, |(host, _)| host)
}

fn is_ip_literal(host: &str) -> bool {
    host.parse::<Ipv4Addr>().is_ok() || host.parse::<Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn host(host: &'static str) -> Result<(), Code> {
        let request = TestRequest::get()
            .insert_header((header::HOST, host))
            .to_http_request();
        let hosts = Hosts::new(Some(vec!["kv.example".to_owned()]));
        hosts
            .check(request.head())
            .map_err(|problem| problem.code())
    }

    fn post(headers: &[(&'static str, &'static str)]) -> Result<(), Code> {
        let mut request = TestRequest::post().insert_header((header::HOST, "localhost:8080"));
        for header in headers {
            request = request.append_header(*header);
        }
        check_site(request.to_http_request().head()).map_err(|problem| problem.code())
    }

    #[test]
    fn our_own_names_pass() {
        for name in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "KV.example:1",
        ] {
            assert_eq!(host(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_of_others_are_refused() {
        for name in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "",
            "evil.example:localhost",
        ] {
            assert_eq!(host(name), Err(Code::WrongHost), "{name}");
        }
    }

    #[test]
    fn requests_without_a_browser_pass() {
        assert_eq!(post(&[]), Ok(()));
    }

    #[test]
    fn our_own_pages_pass() {
        assert_eq!(
            post(&[
                ("sec-fetch-site", "same-origin"),
                ("origin", "http://localhost:8080")
            ]),
            Ok(())
        );
        assert_eq!(post(&[("sec-fetch-site", "none")]), Ok(()));
        assert_eq!(post(&[("origin", "http://LOCALHOST:8080")]), Ok(()));
    }

    #[test]
    fn pages_of_others_are_refused() {
        for site in ["cross-site", "same-site", "", "other"] {
            assert_eq!(
                post(&[("sec-fetch-site", site)]),
                Err(Code::CrossSite),
                "{site}"
            );
        }
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:8081",
            "http://localhost",
            "",
        ] {
            assert_eq!(
                post(&[("origin", origin)]),
                Err(Code::CrossSite),
                "{origin}"
            );
        }
        assert_eq!(
            post(&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")]),
            Err(Code::CrossSite)
        );
    }

    #[test]
    fn reading_is_nobody_s_business_here() {
        let request = TestRequest::get()
            .insert_header(("sec-fetch-site", "cross-site"))
            .to_http_request();
        check_site(request.head()).unwrap();
    }
}
