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
    /// This verb, on whichever keyspaces.
    Anywhere(&'static str),
    /// The verb read or the verb write on the keyspace of the path.
    Batch,
    /// The verb admin and a token for no keyspace in particular.
    Server,
}
use Needs::{Anywhere, Batch, Nothing, OnDefault, OnKeyspace, Server as OnServer};

/// Every route: method, target, and what it needs. Keyspaces are dropped last.
#[rustfmt::skip]
const ROUTES: &[(&str, &str, Needs)] = &[
    ("GET", "/", Nothing),
    ("HEAD", "/", Nothing),
    ("GET", "/docs", Nothing),
    ("GET", "/docs/", Nothing),
    ("GET", "/openapi.json", Nothing),
    ("HEAD", "/openapi.yaml", Nothing),
    ("GET", "/problems/forbidden", Nothing),
    ("GET", "/livez", Nothing),
    ("GET", "/readyz", Nothing),
    ("GET", "/readyz?verbose=false", Nothing),
    ("GET", "/readyz?verbose", OnServer),
    ("GET", "/health", Nothing),
    ("GET", "/?key=a", OnDefault("read")),
    ("HEAD", "/?key=a", OnDefault("read")),
    ("GET", "/?nothing=1", OnDefault("read")),
    ("GET", "/v1/a", OnDefault("read")),
    ("HEAD", "/v1/a", OnDefault("read")),
    ("PUT", "/v1/a", OnDefault("write")),
    ("DELETE", "/v1/a", OnDefault("write")),
    ("DELETE", "/flush", OnDefault("admin")),
    ("POST", "/flush", OnDefault("admin")),
    ("GET", "/metrics", OnServer),
    ("HEAD", "/metrics", OnServer),
    ("GET", "/limits", OnServer),
    ("GET", "/mirrors", OnServer),
    ("POST", "/admin/snapshot", OnServer),
    ("GET", "/sinks", OnServer),
    ("POST", "/sinks/{ks}/sync", OnKeyspace("admin")),
    ("GET", "/sinks/{ks}/pending", OnKeyspace("admin")),
    ("GET", "/sinks/{ks}/dead", OnKeyspace("admin")),
    ("POST", "/sinks/{ks}/redrive", OnKeyspace("admin")),
    ("POST", "/sinks/{ks}/resume", OnKeyspace("admin")),
    ("GET", "/sources", OnServer),
    ("HEAD", "/sources", OnServer),
    ("POST", "/sources/run/a", OnServer),
    ("GET", "/keyspaces/{ks}/keys/a", OnKeyspace("read")),
    ("HEAD", "/keyspaces/{ks}/keys/a", OnKeyspace("read")),
    ("PUT", "/keyspaces/{ks}/keys/a", OnKeyspace("write")),
    ("DELETE", "/keyspaces/{ks}/keys/a", OnKeyspace("write")),
    ("GET", "/keyspaces/{ks}/keys", OnKeyspace("read")),
    ("DELETE", "/keyspaces/{ks}/keys?prefix=b", OnKeyspace("write")),
    ("GET", "/keyspaces/{ks}", OnKeyspace("read")),
    ("PUT", "/keyspaces/{ks}", OnKeyspace("admin")),
    ("GET", "/keyspaces", Anywhere("read")),
    ("GET", "/keyspaces/{ks}/ttl/a", OnKeyspace("read")),
    ("PUT", "/keyspaces/{ks}/ttl/a", OnKeyspace("write")),
    ("DELETE", "/keyspaces/{ks}/ttl/a", OnKeyspace("write")),
    ("GET", "/keyspaces/{ks}/counters/a", OnKeyspace("read")),
    ("POST", "/keyspaces/{ks}/counters/a", OnKeyspace("write")),
    ("GET", "/keyspaces/{ks}/entries/a", OnKeyspace("read")),
    ("POST", "/keyspaces/{ks}/flush", OnKeyspace("admin")),
    ("POST", "/keyspaces/{ks}/batch", Batch),
    ("GET", "/ui/", Nothing),
    ("GET", "/ui", Nothing),
    ("GET", "/keyspaces/{ks}/watch?timeout=1ms", OnKeyspace("read")),
    ("DELETE", "/keyspaces?name={ks}", OnKeyspace("admin")),
    ("DELETE", "/keyspaces/{ks}", OnKeyspace("admin")),
];

/// The path by which the document calls the route of a target.
fn documented(target: &str) -> String {
    let path = target.split('?').next().unwrap();
    let keyed = path.strip_suffix("/a").map(|resource| match resource {
        "/sources/run" => format!("{resource}/{{name}}"),
        _ => format!("{resource}/{{key}}"),
    });
    keyed.unwrap_or_else(|| path.to_owned())
}

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
        Batch => fits("read", keyspace) || fits("write", keyspace),
        Anywhere(needed) => verb == needed,
        OnServer => verb == "admin" && bound.is_none(),
    }
}

#[test]
fn each_route_answers_each_token_as_the_page_says() {
    let server = server();
    for (method, target, needs) in ROUTES {
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
    let mut wanted = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            wanted.insert((method.to_uppercase(), path.clone()));
        }
    }
    let listed: BTreeSet<_> = ROUTES
        .iter()
        .map(|(method, target, _)| ((*method).to_owned(), documented(target)))
        .collect();
    let missing: Vec<_> = wanted.difference(&listed).collect();
    assert!(missing.is_empty() && wanted.len() > 30, "{missing:?}");
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

#[test]
fn the_list_shows_only_the_keyspaces_of_the_token() {
    let server = server();
    let names = |token: &str| {
        let list = with_token(&server, "GET", "/keyspaces", token).json();
        let items = list["items"].as_array().unwrap().clone();
        let name = |item: &serde_json::Value| item["name"].as_str().unwrap().to_owned();
        items.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names("reader"), ["readable"]);
}

#[test]
fn of_several_keyspaces_none_is_dropped_where_one_is_not_the_token_s() {
    let server = Server::with(|options| {
        options.access = Access {
            tokens: vec![token("some", &["admin", "read"], Some(&["a", "b"]))],
            ..Access::default()
        };
    });
    for name in ["a", "b"] {
        let made = with_token(&server, "PUT", &format!("/keyspaces/{name}"), "some");
        assert_eq!(made.status, 201, "{made:?}");
    }
    let refused = with_token(&server, "DELETE", "/keyspaces?name=a&name=default", "some");
    refused.assert_problem(403, "forbidden");
    assert_eq!(
        with_token(&server, "GET", "/keyspaces/a", "some").status,
        200
    );
    let dropped = with_token(&server, "DELETE", "/keyspaces?name=a&name=b", "some").json();
    assert_eq!(dropped["dropped"], serde_json::json!(["a", "b"]));
}

#[test]
fn items_of_a_batch_are_judged_one_by_one() {
    let server = server();
    let body =
        br#"{"operations": [{"op": "get", "key": "k"}, {"op": "put", "key": "k", "value": "1"},
        {"op": "delete", "key": "k"}, {"op": "increment", "key": "n"}]}"#;
    let send = |keyspace: &str, token: &str, body: &[u8]| {
        let bearer = format!("Bearer {token}");
        let target = format!("/keyspaces/{keyspace}/batch");
        server.send("POST", &target, &[("Authorization", &bearer)], body)
    };
    let statuses = |answer: Answer| {
        let json = answer.json();
        let items = json["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{json}"))
            .clone();
        items
            .iter()
            .map(|item| item["status"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        statuses(send("readable", "reader", body)),
        [404, 403, 403, 403]
    );
    assert_eq!(
        statuses(send("writable", "writer", body)),
        [403, 201, 204, 200]
    );
    let atomic = body.to_vec();
    let atomic = String::from_utf8(atomic)
        .unwrap()
        .replacen('{', "{\"atomic\": true, ", 1);
    let refused = send("readable", "reader", atomic.as_bytes());
    assert_ne!(refused.status, 200, "{refused:?}");
}
