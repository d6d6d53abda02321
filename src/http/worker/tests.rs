//! What is answered before the store is open, and when it has failed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::body::to_bytes;
use actix_web::dev::fn_service;
use actix_web::http::{Method, StatusCode, header};
use actix_web::test::{TestRequest, call_service, init_service};
use serde_json::Value;

use super::Worker;
use crate::http::limits::{BatchLimits, Limits};
use crate::http::service::{Options, Service};
use crate::keyspace::Opening;

fn starting() -> Arc<Service> {
    let options = Options {
        hosts: Some(Vec::new()),
        limits: Limits {
            connections_per_address: None,
            streams_per_connection: 1,
            inflight_bytes: 1000,
            body_stall: Duration::from_secs(1),
            read_stall: Duration::from_secs(1),
            json_bytes: 1000,
            batch: BatchLimits {
                operations: 10,
                bytes: 1000,
                answer_bytes: 1000,
            },
            watchers: 1,
            watch_duration: None,
            watch_heartbeat: Duration::from_secs(1),
            shown: Vec::new(),
        },
    };
    Arc::new(Service::new(options, Opening::default()))
}

/// Status, `Retry-After` and body of the answer.
async fn ask(
    service: &Arc<Service>,
    method: Method,
    target: &str,
    host: &str,
) -> (StatusCode, Option<String>, Value) {
    let worker = Rc::new(Worker::new(Arc::clone(service)));
    let app = App::new().default_service(fn_service(move |request| {
        Rc::clone(&worker).answer(request)
    }));
    let app = init_service(app).await;
    let request = TestRequest::default()
        .method(method)
        .uri(target)
        .insert_header((header::HOST, host));
    let answer = call_service(&app, request.to_request()).await;
    let retry_after = answer
        .headers()
        .get(header::RETRY_AFTER)
        .map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status();
    let body = to_bytes(answer.into_body()).await.ok().unwrap_or_default();
    (
        status,
        retry_after,
        serde_json::from_slice(&body).unwrap_or_default(),
    )
}

#[actix_web::test]
async fn while_starting_everything_that_needs_the_store_says_so() {
    let service = starting();
    for (method, target) in [
        (Method::GET, "/v1/a"),
        (Method::PUT, "/v1/a"),
        (Method::DELETE, "/v1/a"),
        (Method::PATCH, "/v1/a"),
        (Method::POST, "/flush"),
        (Method::GET, "/?key=a"),
        (Method::GET, "/limits"),
        (Method::POST, "/admin/snapshot"),
        (Method::GET, "/nothing"),
    ] {
        let (status, retry_after, body) = ask(&service, method, target, "localhost").await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (503, &"starting".into()),
            "{target}"
        );
        assert!(retry_after.is_some(), "{target}");
    }
}

#[actix_web::test]
async fn while_starting_probes_metrics_and_pages_answer() {
    let service = starting();
    for target in [
        "/",
        "/livez",
        "/metrics",
        "/docs/",
        "/openapi.json",
        "/problems/starting",
    ] {
        let (status, _, _) = ask(&service, Method::GET, target, "localhost").await;
        assert!(
            status.is_success() || status.is_redirection(),
            "{target} {status}"
        );
    }
    let (status, _, body) = ask(&service, Method::GET, "/health", "localhost").await;
    assert_eq!(
        (status.as_u16(), &body["status"]),
        (503, &"starting".into())
    );
    let (status, _, body) = ask(&service, Method::GET, "/readyz?verbose", "localhost").await;
    assert_eq!(
        (status.as_u16(), &body["status"]),
        (503, &"starting".into())
    );
    assert_eq!(body["progress"]["step"], "opening the directory");
    assert_eq!(body["checks"][0]["ok"], false);
}

#[actix_web::test]
async fn the_guards_stand_before_everything() {
    let service = starting();
    for target in ["/v1/a", "/livez", "/docs/", "/nothing"] {
        let (status, _, body) = ask(&service, Method::GET, target, "evil.example").await;
        assert_eq!(
            (status.as_u16(), &body["code"]),
            (421, &"wrong_host".into()),
            "{target}"
        );
    }
}

#[actix_web::test]
async fn a_server_that_was_asked_to_stop_or_failed_is_not_ready() {
    let service = starting();
    service.drain();
    let (status, _, body) = ask(&service, Method::GET, "/readyz", "localhost").await;
    assert_eq!(
        (status.as_u16(), &body["status"]),
        (503, &"draining".into())
    );
    service.fail();
    for probe in ["/readyz", "/health"] {
        let (status, _, body) = ask(&service, Method::GET, probe, "localhost").await;
        assert_eq!(
            (status.as_u16(), &body["status"]),
            (503, &"failed".into()),
            "{probe}"
        );
    }
    let (status, _, _) = ask(&service, Method::GET, "/livez", "localhost").await;
    assert_eq!(status, StatusCode::OK);
}

#[test]
fn names_change_on_both_ports() {
    let service = starting();
    let ops = service.ops_hosts(Some(Vec::new()));
    let request = TestRequest::get()
        .insert_header((header::HOST, "kv.test"))
        .to_http_request();
    let answered = || {
        let checked = [&service.hosts, &*ops].map(|hosts| hosts.check(request.head()));
        checked.map(|checked| checked.is_ok())
    };
    assert_eq!(answered(), [false, false]);
    service.set_hosts(vec!["kv.test".to_owned()]);
    assert_eq!(answered(), [true, true]);
    service.set_hosts(Vec::new());
    assert_eq!(answered(), [false, false]);
}
