//! The binary with certificates: its health, its check, and its refusal.

use std::fs;
use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::harness::Place;

const CONFIG: &str = "server: { tls: { cert: cert.pem, key: key.pem } }\n";

fn install(place: &Place) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    write(&place.path("cert.pem"), &cert.pem());
    write(&place.path("key.pem"), &signing_key.serialize_pem());
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
}

#[test]
fn health_is_asked_over_tls_of_the_server_with_our_certificate_alone() {
    let place = Place::new().with_file("config.yml", CONFIG);
    install(&place);
    let mut server = place.serve(&[]);
    server.wait_for_line("ready");
    let health = |place: &Place| place.run(&["healthcheck", "-e", &server.address]);
    assert_eq!(health(&place).code, Some(0), "{:?}", health(&place));
    let other = Place::new().with_file("config.yml", CONFIG);
    install(&other);
    assert_eq!(health(&other).code, Some(1), "{:?}", health(&other));
    let in_the_clear = Place::new();
    assert_eq!(health(&in_the_clear).code, Some(1));
}

#[test]
fn a_signal_takes_new_certificates_into_use() {
    let place = Place::new().with_file("config.yml", CONFIG);
    install(&place);
    let mut server = place.serve(&[]);
    server.wait_for_line("ready");
    install(&place);
    server.signal("HUP");
    server.wait_for_line("the certificates were reloaded");
    let health = place.run(&["healthcheck", "-e", &server.address]);
    assert_eq!(health.code, Some(0), "{health:?}");
    write(&place.path("key.pem"), "nothing");
    server.signal("HUP");
    let line = server.wait_for_line("the certificates were not reloaded");
    assert!(
        line.contains("server.tls.key: key.pem: holds no private key"),
        "{line}"
    );
}

#[test]
fn a_key_of_another_certificate_refuses_the_start_and_the_check() {
    let place = Place::new().with_file("config.yml", CONFIG);
    install(&place);
    let cert = fs::read_to_string(place.path("cert.pem")).unwrap();
    install(&place);
    write(&place.path("cert.pem"), &cert);
    for arguments in [&["-e", "127.0.0.1:0"][..], &["check"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        let expected = "server.tls.key: key.pem: is not the key of the certificate in cert.pem";
        assert!(ended.stderr.contains(expected), "{ended:?}");
    }
    fs::remove_file(place.path("key.pem")).unwrap();
    let ended = place.run(&["-e", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("server.tls.key: key.pem: cannot be read"),
        "{ended:?}"
    );
}

#[test]
fn other_files_are_taken_into_use_and_tls_itself_waits_for_the_next_start() {
    let place = Place::new().with_file("config.yml", CONFIG);
    install(&place);
    let mut server = place.serve(&[]);
    server.wait_for_line("ready");
    let moved =
        |name: &str| fs::rename(place.path(name), place.path(&format!("new-{name}"))).unwrap();
    moved("cert.pem");
    moved("key.pem");
    // The same pair in other files, and then another pair in them.
    place.replace_file(
        "config.yml",
        &CONFIG
            .replace("cert.pem", "new-cert.pem")
            .replace("key.pem", "new-key.pem"),
    );
    install(&place);
    moved("cert.pem");
    moved("key.pem");
    server.signal("HUP");
    server.wait_for_line("the certificates were reloaded");
    let health = place.run(&["healthcheck", "-e", &server.address]);
    assert_eq!(health.code, Some(0), "{health:?}");
    place.replace_file("config.yml", "version: '1.0'\n");
    server.signal("HUP");
    let line = server.wait_for_line("only at the next start");
    assert!(
        line.contains("server.tls.cert") && line.contains("server.tls.key"),
        "{line}"
    );
}
