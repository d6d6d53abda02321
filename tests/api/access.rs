//! Tokens: who may do what, over every operation of the document.

use std::collections::BTreeSet;

use standpipe::server::{Access, Policy, Token, Verbs};

use crate::harness::{Answer, Server};

/// The names of the keyspaces that the tokens are for, the default one, and one that does not exist.
const KEYSPACES: [&str; 5] = ["readable", "writable", "managed", "default", "absent"];

/// What an operation needs, as the page on access says it.
#[derive(Clone, Copy, Debug)]
enum Needs {
    Nothing,
    /// This verb on the keyspace `default`.
    OnDefault(&'static str),
    /// This verb on the keyspace of the path.
    OnKeyspace(&'static str),
    /// The verb read or write on the keyspace of the path; each part of the request says which.
    EachOnKeyspace,
    /// This verb, on whichever keyspaces.
    Anywhere(&'static str),
    /// The verb admin and a token for no keyspace in particular.
    Server,
}
use Needs::{Anywhere, EachOnKeyspace, Nothing, OnDefault, OnKeyspace, Server as OnServer};

/// Every route: method, target, and the path by which the document calls it; empty for what is no operation of it.
const ROUTES: &[(&str, &str, &str, Needs)] = &[
    ("GET", "/", "", Nothing),
    ("HEAD", "/", "", Nothing),
    ("GET", "/docs", "", Nothing),
    ("GET", "/docs/", "", Nothing),
    ("GET", "/openapi.json", "", Nothing),
    ("HEAD", "/openapi.yaml", "", Nothing),
    ("GET", "/problems/forbidden", "", Nothing),
    ("GET", "/livez", "/livez", Nothing),
    ("GET", "/readyz", "/readyz", Nothing),
    ("GET", "/readyz?verbose=false", "/readyz", Nothing),
    ("GET", "/readyz?verbose", "/readyz", OnServer),
    ("GET", "/health", "/health", Nothing),
    ("GET", "/?key=a", "/", OnDefault("read")),
    ("HEAD", "/?key=a", "/", OnDefault("read")),
    ("GET", "/?nothing=1", "", OnDefault("read")),
    ("GET", "/v1/a", "/v1/{key}", OnDefault("read")),
    ("HEAD", "/v1/a", "/v1/{key}", OnDefault("read")),
    ("PUT", "/v1/a", "/v1/{key}", OnDefault("write")),
    ("DELETE", "/v1/a", "/v1/{key}", OnDefault("write")),
    ("DELETE", "/flush", "/flush", OnDefault("admin")),
    ("POST", "/flush", "/flush", OnDefault("admin")),
    ("GET", "/metrics", "/metrics", OnServer),
    ("HEAD", "/metrics", "", OnServer),
    ("GET", "/limits", "/limits", OnServer),
    ("POST", "/admin/snapshot", "/admin/snapshot", OnServer),
    (
        "GET",
        "/keyspaces/{ks}/keys/a",
        "/keyspaces/{ks}/keys/{key}",
        OnKeyspace("read"),
    ),
    (
        "HEAD",
        "/keyspaces/{ks}/keys/a",
        "/keyspaces/{ks}/keys/{key}",
        OnKeyspace("read"),
    ),
    (
        "PUT",
        "/keyspaces/{ks}/keys/a",
        "/keyspaces/{ks}/keys/{key}",
        OnKeyspace("write"),
    ),
    (
        "DELETE",
        "/keyspaces/{ks}/keys/a",
        "/keyspaces/{ks}/keys/{key}",
        OnKeyspace("write"),
    ),
    (
        "GET",
        "/keyspaces/{ks}/keys",
        "/keyspaces/{ks}/keys",
        OnKeyspace("read"),
    ),
    (
        "DELETE",
        "/keyspaces/{ks}/keys?prefix=b",
        "/keyspaces/{ks}/keys",
        OnKeyspace("write"),
    ),
    (
        "GET",
        "/keyspaces/{ks}",
        "/keyspaces/{ks}",
        OnKeyspace("read"),
    ),
    (
        "PUT",
        "/keyspaces/{ks}",
        "/keyspaces/{ks}",
        OnKeyspace("admin"),
    ),
    ("GET", "/keyspaces", "/keyspaces", Anywhere("read")),
    (
        "DELETE",
        "/keyspaces?name={ks}",
        "/keyspaces",
        OnKeyspace("admin"),
    ),
    (
        "DELETE",
        "/keyspaces/{ks}",
        "/keyspaces/{ks}",
        OnKeyspace("admin"),
    ),
    (
        "GET",
        "/keyspaces/{ks}/ttl/a",
        "/keyspaces/{ks}/ttl/{key}",
        OnKeyspace("read"),
    ),
    (
        "PUT",
        "/keyspaces/{ks}/ttl/a",
        "/keyspaces/{ks}/ttl/{key}",
        OnKeyspace("write"),
    ),
    (
        "DELETE",
        "/keyspaces/{ks}/ttl/a",
        "/keyspaces/{ks}/ttl/{key}",
        OnKeyspace("write"),
    ),
    (
        "GET",
        "/keyspaces/{ks}/counters/a",
        "/keyspaces/{ks}/counters/{key}",
        OnKeyspace("read"),
    ),
    (
        "POST",
        "/keyspaces/{ks}/counters/a",
        "/keyspaces/{ks}/counters/{key}",
        OnKeyspace("write"),
    ),
    (
        "GET",
        "/keyspaces/{ks}/entries/a",
        "/keyspaces/{ks}/entries/{key}",
        OnKeyspace("read"),
    ),
    (
        "POST",
        "/keyspaces/{ks}/flush",
        "/keyspaces/{ks}/flush",
        OnKeyspace("admin"),
    ),
    (
        "POST",
        "/keyspaces/{ks}/counters/a",
        "/keyspaces/{ks}/counters/{key}",
        OnKeyspace("write"),
    ),
    (
        "POST",
        "/keyspaces/{ks}/batch",
        "/keyspaces/{ks}/batch",
        EachOnKeyspace,
    ),
];

/// A token whose text is its name.
fn token(name: &str, verbs: &[&str], keyspaces: Option<&[&str]>) -> Token {
    let has = |verb| verbs.contains(&verb);
    Token {
        name: name.to_owned(),
        sha256: Token::hash(name),
        keyspaces: keyspaces.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        verbs: Verbs {
            read: has("read"),
            write: has("write"),
            admin: has("admin"),
        },
    }
}

/// A token's name, the verb that it has, and the keyspace that it is for.
const HOLDERS: [(&str, &str, Option<&str>); 4] = [
    ("reader", "read", Some("readable")),
    ("writer", "write", Some("writable")),
    ("manager", "admin", Some("managed")),
    ("admin", "admin", None),
];

fn server() -> Server {
    Server::with(|options| {
        let tokens = HOLDERS.map(|(name, verb, keyspace)| {
            token(
                name,
                &[verb],
                keyspace.as_slice().first().map(std::slice::from_ref),
            )
        });
        options.access = Access {
            tokens: tokens.into(),
            ..Access::default()
        };
        let names = ["readable", "writable", "managed"];
        options.keyspaces = names
            .map(|name| (name.to_owned(), Policy::default()))
            .into();
    })
}

fn with_token(server: &Server, method: &str, target: &str, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    server.send(method, target, &[("Authorization", &bearer)], b"")
}

fn may(needs: Needs, keyspace: &str, (_, verb, bound): (&str, &str, Option<&str>)) -> bool {
    let fits = |needed, name| verb == needed && bound.is_none_or(|bound| bound == name);
    match needs {
        Nothing => true,
        OnDefault(needed) => fits(needed, "default"),
        OnKeyspace(needed) => fits(needed, keyspace),
        EachOnKeyspace => fits("read", keyspace) || fits("write", keyspace),
        Anywhere(needed) => verb == needed,
        OnServer => verb == "admin" && bound.is_none(),
    }
}

#[test]
fn each_route_answers_each_token_as_the_page_says() {
    let server = server();
    for (method, target, _, needs) in ROUTES {
        let keyspaces: &[&str] = if target.contains("{ks}") {
            &KEYSPACES
        } else {
            &["default"]
        };
        for keyspace in keyspaces {
            let target = target.replace("{ks}", keyspace);
            let place = format!("{method} {target}");
            let nobody = server.send(method, &target, &[], b"");
            assert_eq!(
                nobody.status == 401,
                !matches!(needs, Nothing),
                "{place}: {nobody:?}"
            );
            if nobody.status == 401 {
                assert_eq!(
                    nobody.header("www-authenticate"),
                    Some("Bearer realm=\"standpipe\"")
                );
                assert!(
                    *method == "HEAD" || nobody.assert_problem(401, "token_required").is_object()
                );
            }
            for holder in HOLDERS {
                let answer = with_token(&server, method, &target, holder.0);
                let place = format!("{place} by {}: {answer:?}", holder.0);
                assert_ne!(answer.status, 401, "{place}");
                assert_eq!(
                    answer.status != 403,
                    may(*needs, keyspace, holder),
                    "{place}"
                );
                if answer.status == 403 && *method != "HEAD" {
                    let problem = answer.assert_problem(403, "forbidden");
                    let detail = problem["detail"].as_str().unwrap();
                    assert!(detail.contains(holder.0), "{place} {detail}");
                }
            }
        }
    }
}

#[test]
fn the_table_holds_every_operation_of_the_document() {
    let server = Server::start();
    let document = server.get("/openapi.json").json();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert((method.to_uppercase(), path.clone()));
        }
    }
    let listed: BTreeSet<_> = ROUTES
        .iter()
        .filter(|(_, _, path, _)| !path.is_empty())
        .map(|(method, _, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(documented, listed);
}

#[test]
fn what_is_missing_is_named() {
    let server = server();
    let detail = |method: &str, target: &str, token: &str| {
        let answer = with_token(&server, method, target, token);
        answer.assert_problem(403, "forbidden")["detail"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(detail("PUT", "/keyspaces/readable/keys/a", "reader").contains("the verb write"));
    assert!(detail("GET", "/v1/a", "reader").contains("the keyspace \"default\""));
    assert!(detail("GET", "/metrics", "manager").contains("a token for all of them"));
}

#[test]
fn an_unknown_token_is_401_even_where_the_keyspace_is_absent() {
    let server = server();
    for authorization in [
        "Bearer nobody",
        "Bearer",
        "Basic YTpi",
        "reader",
        "Bearer reader2",
    ] {
        let headers = [("Authorization", authorization)];
        let answer = server.send("GET", "/keyspaces/absent/keys/a", &headers, b"");
        answer.assert_problem(401, "token_required");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Bearer ") && challenge.contains("invalid_token"));
    }
    // Where no token is needed, a wrong one hurts nobody.
    let headers = [("Authorization", "Bearer nobody")];
    assert_eq!(server.send("GET", "/health", &headers, b"").status, 200);
    let answer = server.send("GET", "/nothing", &headers, b"");
    answer.assert_problem(404, "route_not_found");
}

#[test]
fn a_name_that_no_keyspace_can_have_is_404_only_for_who_may_see_all() {
    let server = Server::with(|options| {
        options.access = Access {
            tokens: vec![
                token("all", &["read"], None),
                token("one", &["read"], Some(&["a"])),
            ],
            ..Access::default()
        };
    });
    for name in ["%zz", "%FF", "A", "b%2Fc"] {
        let target = format!("/keyspaces/{name}/keys/k");
        with_token(&server, "GET", &target, "one").assert_problem(403, "forbidden");
        with_token(&server, "GET", &target, "all").assert_problem(404, "keyspace_not_found");
    }
}

#[test]
fn the_scheme_is_read_in_any_case_and_two_headers_are_nobody() {
    let server = server();
    let target = "/keyspaces/readable/keys/a";
    for scheme in ["bearer reader", "BEARER   reader", "Bearer reader "] {
        let answer = server.send("GET", target, &[("Authorization", scheme)], b"");
        assert_eq!(answer.status, 404, "{scheme}");
    }
    let twice = [
        ("Authorization", "Bearer reader"),
        ("Authorization", "Bearer reader"),
    ];
    server
        .send("GET", target, &twice, b"")
        .assert_problem(401, "token_required");
}

#[test]
fn without_tokens_everything_is_open_whatever_is_sent() {
    let server = Server::start();
    let headers = [("Authorization", "Bearer nobody")];
    assert_eq!(server.send("PUT", "/v1/a", &headers, b"1").status, 201);
    assert_eq!(server.send("POST", "/flush", &headers, b"").status, 200);
    assert_eq!(server.send("GET", "/metrics", &headers, b"").status, 200);
}
