//! Entries out of one directory and into another: nothing is lost, nothing half-done is hidden.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::harness::{Ended, Place};

/// One entry of each kind: text, bytes, empty, encoded, owned by a source, leaving in 2096, a key of odd letters.
const EVERY_KIND: &str = r#"{"key":"bytes","value_base64":"AP/+gA==","content_type":"image/png"}
{"key":"dir/a b/é\u0000\"","value":"snow ☃\r\n","content_type":"text/plain; charset=utf-8"}
{"key":"empty","value":"","content_type":"application/octet-stream"}
{"key":"encoded","value_base64":"H4sIAAAAAAAAA0vkAgAHoerdAgAAAA==","content_type":"text/css","content_encoding":"gzip"}
{"key":"leaves","value":"later","content_type":"text/plain","expires_at":"2096-01-02T03:04:05.678Z"}
{"key":"owned","value":"{}","content_type":"application/json","source":"report"}
"#;

/// The exported lines without the one fact that nobody said.
fn lines(text: &str) -> Vec<serde_json::Value> {
    let line = |line: &str| -> serde_json::Value {
        let mut object: serde_json::Value = serde_json::from_str(line).unwrap();
        let created = object.as_object_mut().unwrap().remove("created_at");
        assert!(created.is_some_and(|at| at.is_string()), "{line}");
        object
    };
    text.lines().map(line).collect()
}

fn objects(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn assert_ended(ended: &Ended, code: i32) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
}

#[test]
fn what_was_imported_is_exported_unchanged() {
    let place = Place::new();
    let imported = place.run_with_input(&["import", "--data", "one"], EVERY_KIND.as_bytes());
    assert_ended(&imported, 0);
    assert_eq!(
        imported.stderr,
        "standpipe: 6 entries (43 B) imported into one\n"
    );
    let exported = place.run(&["export", "--data", "one"]);
    assert_ended(&exported, 0);
    assert_eq!(lines(&exported.stdout), objects(EVERY_KIND));
    assert_ended(&place.run(&["export", "--data", "one", "one.ndjson"]), 0);
    assert_ended(&place.run(&["import", "--data", "two", "one.ndjson"]), 0);
    let again = place.run(&["export", "--data", "two"]);
    assert_eq!(again.stdout, exported.stdout, "when it was written, too");
}

#[test]
fn keyspaces_go_with_their_policies_and_their_entries() {
    let place = Place::new();
    let text = concat!(
        r#"{"keyspace":"cache","policy":{"durability":"memory","max_bytes":1048576,"eviction":"none"}}"#,
        "\n",
        r#"{"key":"a","value":"1","content_type":"text/plain","created_at":"2026-01-02T03:04:05.678Z"}"#,
        "\n",
        r#"{"keyspace":"users","policy":{"durability":"written","ttl_ms":90000,"eviction":"sieve","client_max_age_ms":5000}}"#,
        "\n",
        r#"{"keyspace":"users","key":"a","value":"2","content_type":"text/plain","created_at":"2026-01-02T03:04:05.678Z"}"#,
        "\n",
    );
    assert_ended(
        &place.run_with_input(&["import", "--data", "one"], text.as_bytes()),
        0,
    );
    let exported = place.run(&["export", "--data", "one"]);
    assert_ended(&exported, 0);
    assert_eq!(exported.stdout, text);
    let users = place.run(&["export", "--data", "one", "--keyspace", "users"]);
    assert_eq!(
        users.stdout,
        text.split_inclusive('\n').skip(2).collect::<String>()
    );
    assert_ended(
        &place.run(&["export", "--data", "one", "--keyspace", "nobody"]),
        65,
    );
    // Entries that name no keyspace go where the command says; a keyspace that nobody told of is made.
    let into = ["import", "--data", "two", "--keyspace", "made"];
    assert_ended(
        &place.run_with_input(&into, br#"{"key":"a","value":"1"}"#),
        0,
    );
    let made = place.run(&["export", "--data", "two", "--keyspace", "made"]);
    assert!(
        made.stdout
            .starts_with(r#"{"keyspace":"made","policy":{"durability":"synced""#)
    );
    assert!(
        made.stdout
            .contains(r#"{"keyspace":"made","key":"a","value":"1""#)
    );
    assert_ended(
        &place.run_with_input(&["import", "--keyspace", "A"], b""),
        64,
    );
}

#[test]
fn many_entries_and_a_large_one_arrive() {
    let place = Place::new();
    let mut text = String::new();
    for n in 0..25_000 {
        writeln!(text, "{{\"key\":\"k{n:05}\",\"value\":\"{n}\"}}").unwrap();
    }
    writeln!(
        text,
        "{{\"key\":\"z\",\"value\":\"{}\"}}",
        "x".repeat(15 << 20)
    )
    .unwrap();
    let place = place.with_file("many.ndjson", &text);
    assert_ended(&place.run(&["import", "many.ndjson"]), 0);
    let exported = place.run(&["export"]);
    assert_ended(&exported, 0);
    let found = lines(&exported.stdout);
    assert_eq!(found.len(), 25_001);
    assert_eq!(found[24_999]["value"], "24999");
    assert_eq!(found[25_000]["value"].as_str().unwrap().len(), 15 << 20);
}

#[test]
fn the_state_file_of_in_memory_cache_is_imported() {
    let state = "{\n\t\"a\": \"1\",\n\t\"key\": \"\\u003cb\\u003e\",\n\t\"slash/ed\": \"\"\n}";
    let place = Place::new().with_file("file.tmp", state);
    assert_ended(&place.run(&["import", "file.tmp"]), 0);
    let found = lines(&place.run(&["export"]).stdout);
    let pairs: Vec<_> = found
        .iter()
        .map(|line| {
            (
                line["key"].as_str().unwrap(),
                line["value"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(pairs, [("a", "1"), ("key", "<b>"), ("slash/ed", "")]);
    assert_eq!(found[0]["content_type"], "text/plain; charset=utf-8");
}

#[test]
fn a_dry_run_checks_everything_and_writes_nothing() {
    let place = Place::new().with_file("all.ndjson", EVERY_KIND);
    let checked = place.run(&["import", "--dry-run", "all.ndjson"]);
    assert_ended(&checked, 0);
    assert_eq!(
        checked.stderr,
        "standpipe: 6 entries (43 B) can be imported; nothing was written\n"
    );
    let piped = place.run_with_input(&["import", "--dry-run"], b"{\"key\":\"a\"}\n");
    assert_ended(&piped, 65);
    assert!(!place.path("data").exists());
}

#[test]
fn bad_lines_of_a_file_are_all_named_and_nothing_is_imported() {
    let text = format!(
        "{{\"key\":\"good\",\"value\":\"1\"}}\n{{\"key\":\"\",\"value\":\"1\"}}\nnonsense\n{{\"key\":\"{}\",\"value\":\"1\"}}\n\
         {{\"key\":\"big\",\"value\":\"12345\"}}\n{{\"key\":\"h\",\"value\":\"1\",\"content_type\":\"a\\nb\"}}\n",
        "k".repeat(2000)
    );
    let place = Place::new()
        .with_file("bad.ndjson", &text)
        .with_variable("STANDPIPE_LIMITS__VALUE_BYTES", "4");
    let refused = place.run(&["import", "bad.ndjson"]);
    assert_ended(&refused, 65);
    let expected = "\
        standpipe: bad.ndjson: line 2: its key is empty\n\
        standpipe: bad.ndjson: line 3: expected ident at column 2\n\
        standpipe: bad.ndjson: line 4: its key has 2000 bytes, the limit is 1024 (limits.key_bytes)\n\
        standpipe: bad.ndjson: line 5: its value has 5 bytes, the limit is 4 (limits.value_bytes)\n\
        standpipe: bad.ndjson: line 6: its content_type cannot be a header field\n\
        standpipe: bad.ndjson: 5 bad entries and 1 good ones; nothing was imported\n";
    assert_eq!(refused.stderr, expected);
    assert!(!place.path("data").exists());
}

#[test]
fn a_bad_line_in_a_stream_says_how_far_it_came() {
    let place = Place::new();
    let text = b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n{\"key\":\"c\"}\n{\"key\":\"d\",\"value\":\"4\"}\n";
    let refused = place.run_with_input(&["import"], text);
    assert_ended(&refused, 65);
    let expected = "standpipe: standard input: line 3: it has neither value nor value_base64; \
                    2 entries (2 B) before that are imported\n";
    assert_eq!(refused.stderr, expected);
    let keys: Vec<_> = lines(&place.run(&["export"]).stdout)
        .into_iter()
        .map(|line| line["key"].clone())
        .collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn what_has_expired_is_left_out_and_counted() {
    let place = Place::new();
    let text = b"{\"key\":\"a\",\"value\":\"1\",\"expires_at\":\"2001-01-01T00:00:00Z\"}\n{\"key\":\"b\",\"value\":\"2\"}\n";
    let imported = place.run_with_input(&["import"], text);
    assert_ended(&imported, 0);
    assert_eq!(
        imported.stderr,
        "standpipe: 1 entries (1 B) imported into ./data; 1 had expired and were left out\n"
    );
}

#[test]
fn an_export_appears_whole_or_not_at_all() {
    let place = Place::new().with_file("kept.ndjson", "as it was");
    let nothing = place.run(&["export", "kept.ndjson"]);
    assert_ended(&nothing, 74);
    assert!(nothing.stderr.contains("storage.path"), "{nothing:?}");
    assert_eq!(
        fs::read_to_string(place.path("kept.ndjson")).unwrap(),
        "as it was"
    );
    assert_ended(
        &place.run_with_input(&["import"], b"{\"key\":\"a\",\"value\":\"1\"}\n"),
        0,
    );
    assert_ended(&place.run(&["export", "no/such/directory.ndjson"]), 74);
    assert_ended(&place.run(&["export", "kept.ndjson"]), 0);
    assert_eq!(
        lines(&fs::read_to_string(place.path("kept.ndjson")).unwrap()).len(),
        1
    );
    assert!(!place.path("kept.ndjson.partial").exists());
    let mode = fs::metadata(place.path("kept.ndjson"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    symlink("kept.ndjson", place.path("link.ndjson")).unwrap();
    assert_ended(&place.run(&["export", "link.ndjson"]), 0);
    assert!(
        fs::symlink_metadata(place.path("link.ndjson"))
            .unwrap()
            .is_symlink()
    );
    let full = place.run(&["export", "/dev/full"]);
    assert_ended(&full, 74);
    assert!(
        full.stderr
            .starts_with("standpipe: cannot write /dev/full: No space left"),
        "{full:?}"
    );
    // What is no file is written to, not replaced.
    assert_ended(&place.run(&["export", "/dev/null"]), 0);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn an_import_into_memory_is_refused() {
    let place = Place::new().with_file(
        "config.yml",
        "keyspaces: { default: { durability: memory } }\n",
    );
    let refused = place.run_with_input(&["import"], b"{\"key\":\"a\",\"value\":\"1\"}\n");
    assert_ended(&refused, 78);
    assert!(
        refused
            .stderr
            .contains("keyspaces.default.durability is memory"),
        "{refused:?}"
    );
}

#[test]
fn a_file_size_limit_is_a_full_disk_and_no_death() {
    let mut text = String::new();
    for n in 0..200 {
        writeln!(
            text,
            "{{\"key\":\"k{n:03}\",\"value\":\"{}\"}}",
            "x".repeat(50_000)
        )
        .unwrap();
    }
    let place = Place::new().with_file("many.ndjson", &text);
    let full = place.run_with_small_files(4096, &["import", "many.ndjson"]);
    assert_ended(&full, 74);
    let line = full.stderr.lines().last().unwrap_or_default();
    assert!(
        line.contains("the disk is full") && line.contains("before that are imported"),
        "{full:?}"
    );
    // What it said is imported is there.
    let count: usize = line
        .split("; ")
        .last()
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let found = lines(&place.run(&["export"]).stdout);
    assert_eq!(found.len(), count, "{full:?}");
    assert!(count > 0, "{full:?}");
}
