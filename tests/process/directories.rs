//! Directories that cannot be used, or not as they are: one line, one exit code, and nothing on the disk is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Place, Server};

/// Every file below a directory with its bytes.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_second_process_on_one_directory_is_69() {
    let place = Place::new();
    let first = place.serve(&[]).ready();
    assert_eq!(first.put("a", "text/plain", b"1"), 201);
    let commands = [
        &["-e", "127.0.0.1:0"][..],
        &["export"],
        &["import"],
        &["repair", "--acknowledge"],
    ];
    for arguments in commands {
        let second = place.run(arguments);
        assert_eq!(second.code, Some(69), "{arguments:?}: {second:?}");
        let line = second.stderr.lines().last().unwrap_or_default();
        assert!(
            line.starts_with("standpipe: ") && line.contains("in use"),
            "{arguments:?}: {second:?}"
        );
        assert_eq!(second.stdout, "", "{arguments:?}");
    }
    let checked = place.run(&["check"]);
    assert_eq!(checked.code, Some(69), "{checked:?}");
    let configuration = place.run(&["check", "--config-only"]);
    assert_eq!(
        (configuration.code, configuration.stderr.as_str()),
        (Some(0), ""),
        "{configuration:?}"
    );
    assert_eq!(first.ask("GET", "/v1/a").body, b"1");
    assert_eq!(first.put("b", "text/plain", b"2"), 201);
}

#[test]
fn a_directory_that_is_none_is_74() {
    let place = Place::new().with_file("file", "no directory");
    for data in ["file", "file/below", "/proc/standpipe"] {
        let ended = place.run(&["-e", "127.0.0.1:0", "--data", data]);
        assert_eq!(ended.code, Some(74), "{data}: {ended:?}");
        let line = ended.stderr.lines().last().unwrap_or_default();
        assert!(
            line.starts_with("standpipe: ") && line.contains(data),
            "{data}: {ended:?}"
        );
    }
    assert_eq!(fs::read(place.path("file")).unwrap(), b"no directory");
}

#[test]
fn a_flipped_bit_is_65_until_the_named_command_was_run() {
    let place = Place::new();
    let server = place.serve(&[]).ready();
    for key in 0..20 {
        assert_eq!(
            server.put(
                &format!("k{key}"),
                "text/plain",
                b"a value that is long enough to be hit"
            ),
            201
        );
    }
    server.kill();
    let log = flip_in_the_first_value(&place.path("data"));
    let before = contents(&place.path("data"));
    let refused = place.run(&["-e", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(65), "{refused:?}");
    let line = refused.stderr.lines().last().unwrap_or_default().to_owned();
    assert!(line.contains(&log) && line.contains("offset"), "{line}");
    let checked = place.run(&["check"]);
    assert_eq!(checked.code, Some(65), "{checked:?}");
    // The lock file may be new: it holds nothing.
    let mut after = contents(&place.path("data"));
    after.retain(|path, _| before.contains_key(path));
    assert!(after == before, "a refused start changed something");
    let (_, command) = line
        .split_once("standpipe repair ")
        .expect("the command to go on with");
    let arguments: Vec<&str> = ["repair"]
        .into_iter()
        .chain(command.split_whitespace())
        .collect();
    let repaired = place.run(&arguments);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    let server = place.serve(&[]).ready();
    assert_eq!(server.put("again", "text/plain", b"1"), 201);
}

/// Changes one bit of the first value in the log; the file's name.
fn flip_in_the_first_value(data: &Path) -> String {
    for (path, mut bytes) in contents(data) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let value = b"a value that is long";
        let found = bytes
            .windows(value.len())
            .position(|window| window == value);
        if let (true, Some(at)) = (name.starts_with("wal-"), found) {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1;
            }
            fs::write(&path, bytes).unwrap();
            return name;
        }
    }
    panic!("no value in any log file")
}

#[test]
fn a_repair_has_to_be_told_what_to_do() {
    let ended = Place::new().run(&["repair"]);
    assert_eq!(ended.code, Some(64), "{ended:?}");
    let ended = Place::new().run(&["repair", "--cut", "wal-1.log"]);
    assert_eq!(ended.code, Some(64), "{ended:?}");
    let absent = Place::new().run(&["repair", "--acknowledge"]);
    assert_eq!(absent.code, Some(74), "{absent:?}");
}

#[test]
fn only_a_start_and_an_import_make_a_store() {
    let place = Place::new();
    fs::create_dir_all(place.path("data/lost+found")).unwrap();
    for (arguments, code) in [
        (&["check"][..], 0),
        (&["repair", "--acknowledge"], 74),
        (&["export"], 74),
    ] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert_eq!(
            fs::read_dir(place.path("data")).unwrap().count(),
            1,
            "{arguments:?} made something"
        );
    }
    assert_eq!(
        place
            .run_with_input(&["import"], b"{\"key\":\"a\",\"value\":\"1\"}")
            .code,
        Some(0)
    );
    assert!(place.path("data/store").is_dir() && place.path("data/lost+found").is_dir());
}

#[test]
fn check_reads_the_data_and_leaves_it_alone() {
    let place = Place::new();
    let none = place.run(&["check"]);
    assert_eq!(none.code, Some(0));
    assert!(
        none.stdout.contains("no data yet") && !place.path("data").exists(),
        "{none:?}"
    );
    let server = place.serve(&[]).ready();
    assert_eq!(server.put("a", "text/plain", b"1"), 201);
    server.kill();
    let before = contents(&place.path("data"));
    let checked = place.run(&["check"]);
    assert_eq!(
        (checked.code, checked.stderr.as_str()),
        (Some(0), ""),
        "{checked:?}"
    );
    assert!(
        contents(&place.path("data")) == before,
        "check changed something"
    );
}

#[test]
fn a_ready_server_is_healthy() {
    let place = Place::new();
    let mut server = place.serve(&[]).ready();
    let healthy = place.run(&["healthcheck", "-e", &server.address]);
    assert_eq!(
        (healthy.code, healthy.stderr.as_str()),
        (Some(0), ""),
        "{healthy:?}"
    );
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let gone = place.run(&["healthcheck", "-e", &server.address]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
}

#[test]
fn a_durability_that_does_not_fit_the_data_is_78() {
    let place = Place::new();
    assert_eq!(
        place
            .run_with_input(&["import"], b"{\"key\":\"a\",\"value\":\"1\"}")
            .code,
        Some(0)
    );
    let place = place.with_file(
        "config.yml",
        "keyspaces: { default: { durability: memory } }\n",
    );
    let refused = place.run(&["-e", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    let line = refused.stderr.lines().last().unwrap_or_default();
    assert!(
        line.contains("keyspaces.default.durability") && line.contains("memory"),
        "{line}"
    );
    // The other two can be exchanged at any time.
    let place = place.with_file(
        "config.yml",
        "keyspaces: { default: { durability: written } }\n",
    );
    let server = place.serve(&[]).ready();
    assert_eq!(server.ask("GET", "/v1/a").body, b"1");
    assert_eq!(server.ask("PUT", "/v1/b?durability=synced").status, 201);
}

/// A directory whose last record is damaged and was never marked as durable: nobody can tell a tear from damage there.
/// The log marks what is durable after 100 ms without a change, so that a slow machine may need several attempts.
fn ambiguous_end() -> Place {
    for _ in 0..50 {
        let place = Place::new();
        let server = place.serve(&[]).ready();
        assert_eq!(server.put("kept", "text/plain", b"kept"), 201);
        assert_eq!(
            server.put(
                "last",
                "text/plain",
                b"a value that is long enough to be hit"
            ),
            201
        );
        server.kill();
        let _log = flip_in_the_first_value(&place.path("data"));
        let refused = place.run(&["-e", "127.0.0.1:0"]);
        assert_eq!(refused.code, Some(65), "{refused:?}");
        if refused.stderr.contains("ambiguous") {
            return place;
        }
    }
    panic!("the mark was always faster than the kill")
}

#[test]
fn an_ambiguous_end_is_tolerated_when_told_and_reported_until_acknowledged() {
    let place = ambiguous_end().with_file("config.yml", "log: { recovery: tolerate-tail }\n");
    let report =
        |server: &Server| String::from_utf8(server.ask("GET", "/readyz?verbose").body).unwrap();
    let mut server = place.serve(&[]).ready();
    assert_eq!(server.ask("GET", "/v1/kept").body, b"kept");
    assert_eq!(server.ask("GET", "/v1/last").status, 404);
    let tolerated = report(&server);
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    let checked = place.run(&["check"]);
    assert!(
        checked.stdout.contains("standpipe repair --acknowledge"),
        "{}",
        checked.stdout
    );
    let acknowledged = place.run(&["repair", "--acknowledge"]);
    assert_eq!(
        (acknowledged.code, acknowledged.stderr.as_str()),
        (Some(0), ""),
        "{acknowledged:?}"
    );
    let server = place.serve(&[]).ready();
    assert_ne!(report(&server), tolerated);
    assert_eq!(server.ask("GET", "/v1/kept").body, b"kept");
}
