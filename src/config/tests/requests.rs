//! Whom a source asks over HTTP, and what of that is refused.

use super::through::{assert_sources_refused, through};
use crate::outbound::{Auth, Secret};
use crate::source::Origin;

#[test]
fn a_user_in_an_address_becomes_authentication() {
    for (user, name, password) in [
        ("user:p%40ss", "user", "p@ss"),
        ("a%3Ab:", "a:b", ""),
        ("token", "token", ""),
        (":pass", "", "pass"),
        ("a@b:c:d", "a@b", "c:d"),
    ] {
        let options = through(&format!(
            "{{ http: {{ endpoint: 'http://{user}@h:1/{{key}}#x' }} }}"
        ));
        let Origin::Http(http) = options.origin else {
            panic!("{options:?}");
        };
        assert_eq!(http.endpoint, "http://h:1/{key}");
        let auth = Auth {
            user: name.to_owned(),
            password: Secret::Given(password.into()),
        };
        assert_eq!(http.auth, Some(auth), "{user}");
    }
    let options =
        through("{ http: { endpoint: 'http://:@h/{key}', auth: { user: '', password: } } }");
    let Origin::Http(http) = options.origin else {
        panic!("{options:?}");
    };
    assert_eq!(
        (http.endpoint.as_str(), http.auth),
        ("http://h/{key}", None)
    );
}

/// Requests of a keyspace's source, and what is said of them.
const BROKEN: &[(&str, &str)] = &[
    ("{}", ": endpoint is missing"),
    ("{ endpoint: '' }", ": endpoint is missing"),
    (
        "{ endpoint: 'h/{key}' }",
        ".endpoint: \"h/{key}\" is not an address: it begins with neither http:// nor https://",
    ),
    (
        "{ endpoint: 'ftp://u:hunter2@h/{key}' }",
        ".endpoint: \"ftp://***@h/{key}\" is not an address: it begins with neither http:// nor https://",
    ),
    (
        "{ endpoint: 'http://u:hunter2@h:x/{key}' }",
        ".endpoint: \"***\" is not an address: invalid port number",
    ),
    (
        "{ endpoint: 'http:///{key}' }",
        ".endpoint: \"http:///{key}\" is not an address: it has no host",
    ),
    (
        "{ endpoint: \"http://h/\\t{key}\" }",
        ".endpoint: \"http://h/\\t{key}\" is not an address: it holds a backslash, a tab or another character that no address \
         has",
    ),
    (
        "{ endpoint: 'http://h/a' }",
        ".endpoint: \"http://h/a\" has no {key} in its path or query: every key would get the same value",
    ),
    (
        "{ endpoint: 'http://h/#{key}' }",
        ".endpoint: \"http://h/#***\" has no {key} in its path or query: every key would get the same value",
    ),
    (
        "{ endpoint: 'http://{key}.h/{key}' }",
        ".endpoint: \"http://{key}.h/{key}\" has {key} in its user, host or port: it can stand in the path and in the query \
         alone",
    ),
    (
        "{ endpoint: 'http://{key}@h/{key}' }",
        ".endpoint: \"http://***@h/{key}\" has {key} in its user, host or port: it can stand in the path and in the query \
         alone",
    ),
    (
        "{ endpoint: 'http://hunter2%@h/{key}' }",
        ".endpoint: \"http://***@h/{key}\" is not an address: its user or its password is not percent-encoded text",
    ),
    (
        "{ endpoint: 'http://u:hunter2@h/{key}', auth: { user: a } }",
        ".auth: the endpoint holds a user or a password as well; keep one of the two",
    ),
    (
        "{ endpoint: 'http://h/{key}', auth: { password: hunter2, password_file: x } }",
        ".auth.password_file: password is set as well; keep one of the two",
    ),
    (
        "{ endpoint: 'http://h/{key}', auth: { user: 'hunter2:' } }",
        ".auth.user: \"***\" holds a colon, which no user can have (RFC 7617, section 2)",
    ),
    (
        "{ endpoint: 'http://h/{key}', auth: { password: \"hunter2\\n\" } }",
        ".auth.password: \"***\" holds a character that cannot be sent",
    ),
    (
        "{ endpoint: 'http://h/{key}', method: 'G T' }",
        ".method: \"G T\" is not a method of HTTP, such as GET or POST",
    ),
    (
        "{ endpoint: 'http://h/{key}', method: CONNECT }",
        ".method: \"CONNECT\" is not a method that fetches",
    ),
    (
        "{ endpoint: 'http://h/{key}', header: { 'a b': c } }",
        ".header: \"a b\" is not the name of a header",
    ),
    (
        "{ endpoint: 'http://h/{key}', header: { a: \"hunter2\\n\" } }",
        ".header: a has a value that cannot be sent",
    ),
    (
        "{ endpoint: 'http://h/{key}', header: { a: { b: hunter2 } } }",
        ".header: a: a value or a list of them belongs here",
    ),
    (
        "{ endpoint: 'http://h/{key}', header: { a: b, a: c } }",
        ".header: a is set twice; keep one of the two",
    ),
    (
        "{ endpoint: 'http://h/{key}', header: [a] }",
        ".header: a section belongs here: lines of `name: value`",
    ),
    (
        "{ endpoint: 'http://h/{key}', header: { Content-Length: 7 } }",
        ".header: Content-Length follows from the request itself; take it out",
    ),
    (
        "{ endpoint: 'http://h/{key}', header: { authorization: hunter2 }, auth: { user: a } }",
        ".header: it says who asks, and so do auth or the endpoint; keep one of the two",
    ),
    (
        "{ endpoint: 'http://h/{key}', body: [a] }",
        ".body: one value belongs here, not a list or a section",
    ),
];

#[test]
fn what_is_wrong_with_a_request_is_said_with_its_line() {
    for (http, expected) in BROKEN {
        assert_sources_refused(&[(&format!("{{ http: {http} }}"), &format!(".http{expected}"))]);
    }
    assert_sources_refused(&[(
        "{ http: { endpoint: 'http://h/{key}', timeout: 1s }, timeout: 2s }",
        ".timeout: timeout is set further in as well; keep one of the two",
    )]);
}

#[test]
fn a_hundred_values_of_headers_can_be_sent() {
    let with = |count: usize| {
        let values = vec!["b"; count].join(", ");
        format!("{{ http: {{ endpoint: 'http://h/{{key}}', header: {{ a: [{values}] }} }} }}")
    };
    let options = through(&with(100));
    let Origin::Http(http) = options.origin else {
        panic!("{options:?}");
    };
    assert_eq!(http.headers.len(), 100);
    let many: Vec<String> = (0..101).map(|number| format!("a{number}: ")).collect();
    let many = format!(
        "{{ http: {{ endpoint: 'http://h/{{key}}', header: {{ {} }} }} }}",
        many.join(", ")
    );
    assert_sources_refused(&[
        (&with(101), ".http.header: more than 100 values"),
        (&many, ".http.header: more than 100 values"),
    ]);
}
