//! Sinks whose database has seen what the store has not: nothing is passed on before a person has decided.

use std::fs;
use std::path::Path;

use serde_json::json;
use standpipe::sink::Mode;
use tempfile::TempDir;

use crate::harness::Server;
use crate::sink_stage::{Base, add, post, rows, serving, serving_over, shown, sync, synced, views};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// A copy of a stopped server's directory.
fn backup(directory: &TempDir) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    copy(directory.path(), copied.path());
    copied
}

#[test]
fn a_restored_store_stops_until_a_person_has_decided() {
    for (choice, expected) in [("skip", "7"), ("resend", "8")] {
        let base = Base::new("INTEGER");
        let server = serving(base.sink(Mode::Increment));
        base.execute("ALTER TABLE t RENAME TO away");
        add(&server, "a", 1);
        let directory = server.stop();
        let restored = backup(&directory);
        base.execute("ALTER TABLE away RENAME TO t");
        let server = serving_over(directory, base.sink(Mode::Increment));
        add(&server, "a", 2);
        assert_eq!(synced(&server), 1);
        drop(server.stop());
        assert_eq!(base.rows(), rows(&[("a", "3")]));
        // The backup has the first change waiting, which the database has already.
        let server = Server::over(restored, views(base.sink(Mode::Increment)));
        add(&server, "a", 4);
        let problem = sync(&server).assert_problem(502, "sink_ahead");
        assert!(problem["detail"].as_str().unwrap().contains("restored"));
        assert_eq!(shown(&server)["state"], "sink_ahead");
        assert_eq!(base.rows(), rows(&[("a", "3")]));
        add(&server, "b", 1);
        let wrong = post(
            &server,
            "/sinks/views/resume",
            &json!({"generation": "both"}),
        );
        wrong.assert_problem(422, "invalid_operation");
        let resumed = post(
            &server,
            "/sinks/views/resume",
            &json!({"generation": choice}),
        );
        assert_eq!(resumed.status, 200, "{}", resumed.text());
        let skipped = u64::from(choice == "skip");
        assert_eq!(resumed.json()["skipped"], skipped);
        // What came after the restore is passed on either way.
        assert_eq!(base.rows(), rows(&[("a", expected), ("b", "1")]));
        assert_eq!(shown(&server)["state"], "idle");
    }
}

#[test]
fn a_copy_of_a_store_that_goes_on_beside_it_stops() {
    let base = Base::new("INTEGER");
    let server = serving(base.sink(Mode::Increment));
    add(&server, "a", 1);
    assert_eq!(synced(&server), 1);
    let directory = server.stop();
    let copied = backup(&directory);
    let one = serving_over(directory, base.sink(Mode::Increment));
    let other = serving_over(copied, base.sink(Mode::Increment));
    add(&one, "a", 10);
    assert_eq!(synced(&one), 1);
    add(&other, "a", 100);
    sync(&other).assert_problem(502, "sink_ahead");
    assert_eq!(base.rows(), rows(&[("a", "11")]));
    add(&one, "a", 10);
    assert_eq!(synced(&one), 1);
    // A person lets the copy be the one that goes on: what has come of it since is told before.
    let choice = json!({"generation": "resend"});
    let resume = || post(&other, "/sinks/views/resume", &choice);
    resume().assert_problem(502, "sink_ahead");
    let resumed = resume();
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    assert_eq!(base.rows(), rows(&[("a", "121")]));
    add(&one, "a", 1000);
    sync(&one).assert_problem(502, "sink_ahead");
}
