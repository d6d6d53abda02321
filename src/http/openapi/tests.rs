//! The document equals the files, the routes, the codes and the rules of the interface.

use std::collections::{BTreeMap, BTreeSet};
use std::{env, fs};

use actix_web::http::Method;
use serde_json::Value;

use super::*;
use crate::http::routes::{self, Pattern, ROUTES, Target};
use crate::http::{access, failures};

/// Set to write the files instead of comparing them.
const UPDATE: &str = "UPDATE_OPENAPI";

fn compare_or_write(name: &str, generated: &str) {
    let path = format!("{}/openapi/{name}", env!("CARGO_MANIFEST_DIR"));
    if env::var_os(UPDATE).is_some() {
        fs::write(&path, generated).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(
        kept == generated,
        "openapi/{name} is old: run {UPDATE}=1 cargo test --lib openapi"
    );
}

#[test]
fn the_files_are_current() {
    compare_or_write("openapi.json", json());
    compare_or_write("openapi.yaml", yaml());
    compare_or_write("postman.json", postman());
}

/// Every operation as (path, method) with its part of the document.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.insert((path.clone(), method.to_uppercase()), operation.clone());
        }
    }
    operations
}

#[test]
fn every_operation_is_routed_and_every_route_that_is_no_page_is_documented() {
    let documented: BTreeSet<_> = operations(&document()).into_keys().collect();
    let pages = [
        "/docs",
        "/docs/",
        "/problems/",
        "/openapi.json",
        "/openapi.yaml",
        "/postman.json",
        "/ui",
        "/ui/",
    ];
    let mut routed = BTreeSet::new();
    for route in ROUTES {
        let path = match route.pattern {
            Pattern::Exact(path) => path.to_owned(),
            Pattern::Under("/v1/") => "/v1/{key}".to_owned(),
            Pattern::Under("/sources/run/") => "/sources/run/{name}".to_owned(),
            Pattern::Under(prefix) => prefix.to_owned(),
            Pattern::Keyspace => "/keyspaces/{ks}".to_owned(),
            Pattern::Of(name) => format!("/keyspaces/{{ks}}/{name}"),
            Pattern::Keyed(name) => format!("/keyspaces/{{ks}}/{name}/{{key}}"),
            Pattern::Sink(name) => format!("/sinks/{{ks}}/{name}"),
        };
        if pages.contains(&path.as_str()) {
            continue;
        }
        for (method, _) in route.operations {
            routed.insert((path.clone(), method.as_str().to_owned()));
        }
    }
    // HEAD is an operation of its own only where a value is read.
    let read = ["/", "/v1/{key}", "/keyspaces/{ks}/keys/{key}"];
    let implied =
        |(path, method): &(String, String)| method == "HEAD" && !read.contains(&path.as_str());
    let routed: BTreeSet<_> = routed
        .into_iter()
        .filter(|operation| !implied(operation))
        .collect();
    assert_eq!(documented, routed);
}

#[test]
fn operation_ids_are_unique_and_every_response_is_described() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (place, operation) in operations(&document) {
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
            "{place:?}"
        );
        assert!(
            operation["summary"].is_string() && operation["description"].is_string(),
            "{place:?}"
        );
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert_ne!(
                response["description"].as_str().unwrap(),
                "",
                "{place:?} {status}"
            );
        }
    }
}

#[test]
fn every_operation_has_an_example() {
    let document = document();
    for (place, operation) in operations(&document) {
        let text = operation.to_string();
        assert!(text.contains(r#""example""#), "{place:?}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            // A stream that is tried out has to end.
            let ends = operation["operationId"] == "watch"
                && ["limit", "timeout"].contains(&parameter["name"].as_str().unwrap());
            assert_eq!(
                parameter["required"] == true || ends,
                parameter.get("example").is_some(),
                "{place:?} {parameter}"
            );
        }
    }
}

#[test]
fn the_collection_has_every_operation_once() {
    let collection: Value = serde_json::from_str(postman()).unwrap();
    let folders = collection["item"].as_array().unwrap();
    let mut requests: Vec<_> = folders
        .iter()
        .flat_map(|folder| folder["item"].as_array().unwrap())
        .map(|item| &item["request"])
        .map(|request| {
            let path = request["url"]["path"].as_array().unwrap().iter();
            let segments = path.map(|segment| segment.as_str().unwrap().to_owned());
            let segments = segments.map(|segment| match segment.strip_prefix(':') {
                Some(name) => format!("/{{{name}}}"),
                None => format!("/{segment}"),
            });
            let method = request["method"].as_str().unwrap();
            (segments.collect::<String>(), method.to_owned())
        })
        .collect();
    requests.sort();
    let documented: Vec<_> = operations(&document()).into_keys().collect();
    assert_eq!(requests, documented);
}

#[test]
fn put_lists_text_first_and_a_file_last() {
    let text = document().to_string();
    let put = text.split(r#""operationId":"put_value""#).nth(1).unwrap();
    let body = put.split(r#""requestBody""#).nth(1).unwrap();
    let place = |media_type: &str| body.find(media_type).unwrap();
    assert!(place("text/plain") < place("application/json"));
    assert!(place("application/json") < place("application/octet-stream"));
    assert_eq!(document()["servers"][0]["url"], "/");
}

#[test]
fn the_codes_of_the_document_are_the_codes_of_the_program() {
    let document = document();
    let names = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let listed: Vec<_> = names
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let known: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(listed, known);
    // Every code belongs to some operation or to the routing; none is there for nothing.
    let text: String = operations(&document)
        .values()
        .map(Value::to_string)
        .collect();
    let routing = serde_json::to_string(&failures::responses(&[
        Code::RouteNotFound,
        Code::MethodNotAllowed,
    ]))
    .unwrap();
    for name in known {
        assert!(
            text.contains(&format!("`{name}`")) || routing.contains(&format!("`{name}`")),
            "{name}"
        );
    }
}

/// Who needs a token is told so, and who does not is not asked for one.
#[test]
fn operations_that_need_a_token_say_how_that_fails() {
    let document = document();
    assert_eq!(document["security"][0], serde_json::json!({}));
    assert_eq!(document["security"][1], serde_json::json!({"bearer": []}));
    let scheme = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&"http".into(), &"bearer".into())
    );
    for ((path, method), operation) in operations(&document) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let Target::Operation(target) = routes::target(&method, &path) else {
            panic!("{method} {path} is not routed")
        };
        // The probe's long form needs one, the lookup's path without a query does not.
        let needs = access::needs_token(target, Some("key=a&verbose"));
        let responses = &operation["responses"];
        let told = |status: &str, code: &str| {
            responses[status]["description"]
                .as_str()
                .is_some_and(|text| text.contains(code))
        };
        assert_eq!(told("401", "`token_required`"), needs, "{method} {path}");
        assert_eq!(told("403", "`forbidden`"), needs, "{method} {path}");
        assert!(told("421", "`wrong_host`"), "{method} {path}");
    }
}
