//! A keyspace that follows publications of a real Smart Core server.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use serde_json::{Value, json};
use standpipe::mirror::{OnDelete, Options as Mirror, Service, SmartCore, Upstream};
use tokio_rustls::TlsAcceptor;
use tonic::Code;

use crate::authority::{Authority, Files};
use crate::follower::{Follower, told};
use crate::harness::Server;
use crate::mirrors::{
    copied, copying, mirror, state, wait_for_copy, wait_for_state, wait_until_gone,
};
use crate::publications::{
    Audience, DEVICE, Manners, Names, Publication, Publications, Receipt, Timestamp,
};

fn following(server: &Publications, ids: &[&str]) -> SmartCore {
    SmartCore {
        endpoint: format!("http://{}", server.address),
        device: DEVICE.to_owned(),
        publications: ids.iter().map(|id| (*id).to_owned()).collect(),
        service: Service::Any,
        poll_interval: Duration::from_millis(50),
        ca: None,
    }
}

fn copy_of(server: &Publications, ids: &[&str]) -> Server {
    let mirror = mirror(Upstream::SmartCore(following(server, ids)));
    Server::with(|options| copying(options, mirror))
}

fn key(server: &Server, key: &str) -> Value {
    let state = state(server);
    let keys = state["keys"].as_array().unwrap().iter();
    keys.into_iter()
        .find(|shown| shown["key"] == key)
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_publication_is_followed_under_either_name_of_the_service() {
    for names in [Names::Both, Names::Bos, Names::Traits] {
        let plant = Publications::with(Manners {
            names,
            ..Manners::default()
        });
        plant.publish("a", "1");
        let copy = copy_of(&plant, &["a"]);
        wait_for_copy(&copy, "a", "1");
        wait_for_state(&copy, "following");
        plant.publish("a", "2");
        wait_for_copy(&copy, "a", "2");
        let asked = plant.asked();
        let older = names == Names::Traits;
        assert_eq!(asked.traits > 0, older, "the newer one is asked first");
        assert_eq!(asked.gets, 0, "{asked:?}");
    }
}

#[test]
fn only_the_name_that_was_asked_for_is_used() {
    let plant = Publications::start();
    plant.publish("a", "1");
    for (service, traits) in [(Service::Traits, true), (Service::Bos, false)] {
        let before = plant.asked();
        let followed = SmartCore {
            service,
            ..following(&plant, &["a"])
        };
        let mirror = mirror(Upstream::SmartCore(followed));
        let copy = Server::with(|options| copying(options, mirror));
        wait_for_copy(&copy, "a", "1");
        assert_eq!(plant.asked().traits > before.traits, traits);
    }
}

#[test]
fn what_is_published_is_the_value_and_what_is_said_of_it_is_shown() {
    let plant = Publications::start();
    let id = "test/area-controller-1:config";
    plant.publish_as(Publication {
        id: id.to_owned(),
        version: "3f".to_owned(),
        body: b"{\"a\":1}".as_slice().into(),
        audience: Some(Audience {
            name: "area-controller-1".to_owned(),
            receipt: Receipt::Rejected.into(),
            receipt_rejected_reason: "no room".to_owned(),
            receipt_time: Some(Timestamp {
                seconds: 1_700_000_060,
                nanos: 0,
            }),
        }),
        publish_time: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 120_000_000,
        }),
        media_type: "application/json".to_owned(),
    });
    plant.publish_as(Publication {
        id: "bytes".to_owned(),
        body: b"\0\xFF".as_slice().into(),
        media_type: "no media type\r\nX: y".to_owned(),
        ..Publication::default()
    });
    let copy = copy_of(&plant, &[id, "bytes"]);
    wait_for_state(&copy, "following");
    let answer = copied(&copy, "test/area-controller-1:config");
    assert_eq!(answer.text(), "{\"a\":1}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-status"), Some("standpipe; hit"));
    let bytes = copied(&copy, "bytes");
    assert_eq!(bytes.body, b"\0\xFF");
    assert_eq!(
        bytes.header("content-type"),
        Some("application/octet-stream")
    );
    let mut shown = key(&copy, id);
    assert!(shown["last_event_at"].take().is_string());
    let expected = json!({
        "key": id,
        "state": "following",
        "next_attempt_at": null,
        "last_event_at": null,
        "age_ms": 0,
        "version": "3f",
        "published_at": "2023-11-14T22:13:20.12Z",
        "audience": {
            "name": "area-controller-1",
            "receipt": "rejected",
            "rejected_reason": "no room",
            "receipt_at": "2023-11-14T22:14:20Z",
        },
        "unstored": false,
        "deleted_upstream": false,
        "error": null,
    });
    assert_eq!(shown, expected);
    let upstream = &state(&copy)["upstream"];
    let expected = json!({
        "kind": "smartcore",
        "endpoint": format!("http://{}", plant.address),
        "device": DEVICE,
    });
    assert_eq!(*upstream, expected);
}

#[test]
fn every_change_is_told_once_in_order_over_one_stream_whoever_watches() {
    let plant = Publications::start();
    plant.publish("a", "0");
    let copy = copy_of(&plant, &["a"]);
    wait_for_copy(&copy, "a", "0");
    let mut followers: Vec<_> = (0..100)
        .map(|_| Follower::new(&copy, "copy/watch?key=a&values=true"))
        .collect();
    for body in ["1", "1", "2", "2", "2", "3"] {
        plant.publish("a", body);
    }
    for follower in &mut followers {
        for expected in ["1", "2", "3"] {
            assert_eq!(follower.next().data["value"], expected);
        }
    }
    assert_eq!((plant.open_streams("a"), plant.asked().pulls), (1, 1));
}

#[test]
fn a_server_that_cannot_stream_is_asked_at_once_and_then_from_time_to_time() {
    let plant = Publications::with(Manners {
        streams: false,
        ..Manners::default()
    });
    plant.publish("a", "1");
    let copy = copy_of(&plant, &["a"]);
    wait_for_copy(&copy, "a", "1");
    wait_for_state(&copy, "polling");
    assert_eq!(
        copied(&copy, "a").header("cache-status"),
        Some("standpipe; hit")
    );
    plant.publish("a", "2");
    wait_for_copy(&copy, "a", "2");
    let asked = plant.asked();
    assert!(asked.gets >= 2 && asked.pulls == 2, "{asked:?}");
    plant.delete("a");
    wait_until_gone(&copy, "a");
    plant.publish("a", "3");
    wait_for_copy(&copy, "a", "3");
    wait_for_state(&copy, "polling");
}

#[test]
fn without_a_stream_and_without_an_answer_there_is_no_service() {
    let plant = Publications::with(Manners {
        names: Names::Neither,
        ..Manners::default()
    });
    let copy = copy_of(&plant, &["a"]);
    copy.wait_until(|copy| {
        key(copy, "a")["error"] == "the upstream has no service for publications"
    });
    plant.publish("a", "1");
    plant.behave(|manners| manners.names = Names::Traits);
    wait_for_copy(&copy, "a", "1");
}

#[test]
fn what_is_deleted_upstream_leaves_and_may_come_back() {
    let plant = Publications::start();
    plant.publish("a", "1");
    plant.publish("b", "1");
    let copy = copy_of(&plant, &["a", "b", "c"]);
    wait_for_copy(&copy, "a", "1");
    wait_for_copy(&copy, "b", "1");
    let mut follower = Follower::new(&copy, "copy/watch");
    plant.delete("a");
    assert_eq!(follower.take(1), told(&[("delete", "a")]));
    assert_eq!(copied(&copy, "a").status, 404);
    copy.wait_until(|copy| key(copy, "a")["error"] == "the upstream has no publication \"a\"");
    assert_eq!(key(&copy, "b")["state"], "following");
    // That it is not there is known as well as what is.
    copy.wait_until(|copy| key(copy, "c")["age_ms"].is_number());
    assert_eq!(state(&copy)["stale"], false);
    plant.publish("a", "2");
    plant.publish("c", "1");
    wait_for_copy(&copy, "a", "2");
    wait_for_copy(&copy, "c", "1");
    wait_for_state(&copy, "following");
}

#[test]
fn what_is_deleted_upstream_may_be_kept_and_is_marked() {
    let plant = Publications::start();
    plant.publish("a", "1");
    let mirror = Mirror {
        on_delete: OnDelete::Keep,
        ..mirror(Upstream::SmartCore(following(&plant, &["a"])))
    };
    let copy = Server::with(|options| copying(options, mirror.clone()));
    wait_for_copy(&copy, "a", "1");
    plant.delete("a");
    copy.wait_until(|copy| key(copy, "a")["deleted_upstream"] == true);
    let answer = copied(&copy, "a");
    assert_eq!(answer.text(), "1");
    assert!(answer.header("cache-status").unwrap().contains("stale"));
    let copy = Server::over(copy.stop(), |options| copying(options, mirror));
    copy.wait_until(|copy| key(copy, "a")["deleted_upstream"] == true);
    plant.publish("a", "1");
    copy.wait_until(|copy| key(copy, "a")["deleted_upstream"] == false);
    wait_for_state(&copy, "following");
    assert_eq!(
        copied(&copy, "a").header("cache-status"),
        Some("standpipe; hit")
    );
}

#[test]
fn a_stream_that_ends_without_a_deletion_takes_nothing_away() {
    let plant = Publications::start();
    plant.publish("a", "1");
    let copy = copy_of(&plant, &["a"]);
    wait_for_copy(&copy, "a", "1");
    let mut follower = Follower::new(&copy, "copy/watch");
    plant.end_streams("a");
    copy.wait_until(|_| plant.asked().gets == 1 && plant.open_streams("a") == 1);
    plant.publish("a", "2");
    assert_eq!(follower.take(1), told(&[("put", "a")]));
    // Where it cannot be asked, the end is the interface's word for a deletion.
    plant.behave(|manners| manners.answers_get = false);
    plant.end_streams("a");
    assert_eq!(follower.take(1), told(&[("delete", "a")]));
}

#[test]
fn a_server_that_dies_is_served_on_and_taken_up_again() {
    let plant = Publications::start();
    plant.publish("a", "1");
    plant.publish("b", "1");
    let copy = copy_of(&plant, &["a", "b"]);
    wait_for_copy(&copy, "a", "1");
    wait_for_copy(&copy, "b", "1");
    let address = plant.address;
    plant.die();
    copy.wait_until(|copy| {
        let answer = copied(copy, "a");
        assert_eq!(answer.text(), "1");
        answer.header("cache-status").unwrap().contains("stale")
    });
    copy.wait_until(|copy| {
        let error = key(copy, "a")["error"].to_string();
        error.contains(&address.to_string())
    });
    let plant = Publications::again_at(address);
    plant.publish("a", "2");
    wait_for_copy(&copy, "a", "2");
    wait_until_gone(&copy, "b");
    assert_eq!(copied(&copy, "a").header("age"), Some("0"));
}

#[test]
fn a_mirror_that_starts_without_its_upstream_serves_what_it_stored() {
    let plant = Publications::start();
    plant.publish("a", "1");
    plant.publish("b", "1");
    let followed = following(&plant, &["a", "b"]);
    let mirror = mirror(Upstream::SmartCore(followed.clone()));
    let copy = Server::with(|options| copying(options, mirror.clone()));
    wait_for_copy(&copy, "a", "1");
    wait_for_copy(&copy, "b", "1");
    let address = plant.address;
    plant.die();
    let copy = Server::over(copy.stop(), |options| copying(options, mirror.clone()));
    assert_eq!(copied(&copy, "a").text(), "1");
    assert!(
        copied(&copy, "a")
            .header("cache-status")
            .unwrap()
            .contains("stale")
    );
    wait_for_state(&copy, "waiting");
    assert_eq!(state(&copy)["age_ms"], Value::Null);
    // One that is not listed any more leaves when the server has said something about another one.
    let shorter = Mirror {
        upstream: Upstream::SmartCore(SmartCore {
            publications: vec!["a".to_owned()],
            ..followed
        }),
        ..mirror
    };
    let copy = Server::over(copy.stop(), |options| copying(options, shorter));
    wait_for_state(&copy, "waiting");
    assert_eq!(copied(&copy, "b").text(), "1");
    let plant = Publications::again_at(address);
    plant.publish("a", "1");
    plant.publish("b", "1");
    wait_until_gone(&copy, "b");
    assert_eq!(copied(&copy, "a").text(), "1");
}

#[test]
fn an_error_is_shown_and_takes_nothing_away() {
    let plant = Publications::start();
    plant.publish("a", "1");
    let copy = copy_of(&plant, &["a"]);
    wait_for_copy(&copy, "a", "1");
    for (code, message, shown) in [
        (
            Code::PermissionDenied,
            "not you\n",
            "PermissionDenied: not you ",
        ),
        (
            Code::Unknown,
            "no rows in result set",
            "Unknown: no rows in result set",
        ),
    ] {
        plant.behave(|manners| manners.fails = Some((code, message)));
        plant.end_streams("a");
        let expected = format!("the upstream answers {shown}");
        copy.wait_until(|copy| key(copy, "a")["error"] == *expected);
        assert_eq!(copied(&copy, "a").text(), "1");
        plant.behave(|manners| manners.fails = None);
        wait_for_state(&copy, "following");
        assert_eq!(key(&copy, "a")["error"], Value::Null);
    }
}

#[test]
fn a_publication_that_is_never_answered_holds_up_no_other() {
    let plant = Publications::with(Manners {
        silent: vec!["slow"],
        ..Manners::default()
    });
    plant.publish("fast", "1");
    let copy = copy_of(&plant, &["slow", "fast"]);
    wait_for_copy(&copy, "fast", "1");
    plant.publish("fast", "2");
    wait_for_copy(&copy, "fast", "2");
    assert_eq!(key(&copy, "slow")["state"], "connecting");
    assert_eq!(key(&copy, "fast")["state"], "following");
    assert_eq!(state(&copy)["stale"], true);
}

#[test]
fn more_publications_are_followed_than_a_connection_has_streams() {
    let plant = Publications::start();
    let ids: Vec<_> = (0..150).map(|n| n.to_string()).collect();
    for id in &ids {
        plant.publish(id, "1");
    }
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let copy = copy_of(&plant, &ids);
    wait_for_state(&copy, "following");
    assert_eq!(state(&copy)["keys"].as_array().unwrap().len(), 150);
    plant.publish("149", "2");
    wait_for_copy(&copy, "149", "2");
}

#[test]
fn a_value_that_is_too_large_is_named_and_the_one_before_stays() {
    let plant = Publications::start();
    plant.publish("a", "1");
    plant.publish("b", "1");
    let mirror = Mirror {
        max_bytes: 2000,
        ..mirror(Upstream::SmartCore(following(&plant, &["a", "b"])))
    };
    let copy = Server::with(|options| copying(options, mirror));
    wait_for_copy(&copy, "a", "1");
    wait_for_copy(&copy, "b", "1");
    plant.publish("a", &"x".repeat(2001));
    copy.wait_until(|copy| {
        key(copy, "a")["error"]
            .to_string()
            .contains("the limit is 2000")
    });
    let answer = copied(&copy, "a");
    assert_eq!(answer.text(), "1");
    assert!(answer.header("cache-status").unwrap().contains("stale"));
    plant.publish("a", &"x".repeat(2000));
    wait_for_copy(&copy, "a", &"x".repeat(2000));
    copy.wait_until(|copy| key(copy, "a")["error"].is_null());
    // One that no message may hold ends the stream, of this publication alone.
    plant.publish("a", &"x".repeat(200_000));
    copy.wait_until(|copy| key(copy, "a")["error"].to_string().contains("too large"));
    plant.publish("b", "2");
    wait_for_copy(&copy, "b", "2");
    assert_eq!(copied(&copy, "a").body.len(), 2000);
}

#[test]
fn what_is_no_publication_of_that_id_is_not_taken() {
    let plant = Publications::start();
    plant.publish("a", "1");
    let copy = copy_of(&plant, &["a"]);
    wait_for_copy(&copy, "a", "1");
    plant.tell("a", None);
    plant.publish("a", "2");
    wait_for_copy(&copy, "a", "2");
    assert_eq!(
        plant.asked().pulls,
        1,
        "that was no reason to end the stream"
    );
    let other = Publication {
        id: "b".to_owned(),
        ..Publication::default()
    };
    plant.tell("a", Some(other));
    copy.wait_until(|copy| {
        key(copy, "a")["error"].to_string().contains("another id") || plant.asked().pulls > 1
    });
    assert_eq!(copied(&copy, "a").text(), "2");
}

#[test]
fn what_was_there_before_leaves_when_the_upstream_is_known() {
    let plant = Publications::start();
    let plain = Server::with(|options| {
        options.keyspaces = vec![("copy".to_owned(), standpipe::server::Policy::default())];
    });
    plain.put("/keyspaces/copy/keys/mine", b"1");
    plain.put("/keyspaces/copy/keys/a", b"1");
    let mirror = mirror(Upstream::SmartCore(following(&plant, &["a"])));
    let copy = Server::over(plain.stop(), |options| copying(options, mirror));
    wait_until_gone(&copy, "mine");
    // The server has said that it does not have it.
    wait_until_gone(&copy, "a");
}

fn acceptor(files: &Files) -> TlsAcceptor {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificates = CertificateDer::pem_file_iter(files.path("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(files.path("key.pem")).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates.map(Result::unwrap).collect(), key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[test]
fn under_tls_the_authority_of_the_file_is_believed_and_nobody_else() {
    let (authority, files) = (Authority::new(), Files::new());
    files.install(&authority.sign("localhost"));
    authority.write(&files.path("ca.pem"));
    let plant = Publications::under_tls(acceptor(&files));
    plant.publish("a", "1");
    let endpoint = format!("https://localhost:{}", plant.address.port());
    let followed = SmartCore {
        endpoint,
        ..following(&plant, &["a"])
    };
    let mirror_of = |followed: SmartCore| mirror(Upstream::SmartCore(followed));
    let doubtful = mirror_of(followed.clone());
    let copy = Server::with(|options| copying(options, doubtful));
    copy.wait_until(|copy| {
        let error = key(copy, "a")["error"].to_string();
        error.contains("certificate") && error.contains("https://localhost:")
    });
    let believing = mirror_of(SmartCore {
        ca: Some(files.path("ca.pem")),
        ..followed
    });
    let copy = Server::with(|options| copying(options, believing));
    wait_for_copy(&copy, "a", "1");
}
