//! Every limit of `/limits` has a test at the limit and one step past it: this names them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::Server;

/// A setting, the file of its test, the name of its test.
const TESTED: &[(&str, &str, &str)] = &[
    (
        "limits.key_bytes",
        "tests/api/keys.rs",
        "a_key_may_have_1024_bytes_and_no_more",
    ),
    (
        "limits.value_bytes",
        "tests/api/limits.rs",
        "a_value_may_be_as_large_as_the_limit_and_no_larger",
    ),
    (
        "limits.json_bytes",
        "tests/api/json.rs",
        "a_body_may_be_as_large_as_the_limit_and_no_larger",
    ),
    (
        "limits.batch_operations",
        "tests/api/batch.rs",
        "a_batch_has_at_most_so_many_operations_and_bytes",
    ),
    (
        "limits.batch_bytes",
        "tests/api/batch.rs",
        "a_batch_has_at_most_so_many_operations_and_bytes",
    ),
    (
        "limits.batch_answer_bytes",
        "tests/api/batch.rs",
        "values_that_do_not_fit_into_the_answer_stay_away_and_the_rest_is_done",
    ),
    (
        "limits.inflight_bytes",
        "tests/api/limits.rs",
        "bodies_beyond_the_budget_are_refused_until_there_is_room",
    ),
    (
        "limits.connections",
        "tests/api/connections.rs",
        "as_many_connections_as_the_limit_are_served_and_one_more_waits",
    ),
    (
        "limits.connections_per_address",
        "tests/api/addresses.rs",
        "as_many_as_the_limit_are_served_and_one_more_is_closed",
    ),
    (
        "limits.head_timeout",
        "tests/api/connections.rs",
        "a_head_that_does_not_arrive_is_given_up",
    ),
    (
        "limits.body_stall",
        "tests/api/limits.rs",
        "a_stalled_body_is_given_up",
    ),
    (
        "limits.read_stall",
        "tests/api/limits.rs",
        "a_reader_that_stops_is_cut",
    ),
    (
        "limits.keyspaces",
        "tests/api/policies.rs",
        "one_keyspace_more_than_the_limit_is_refused",
    ),
    (
        "limits.watchers",
        "tests/api/watch_ends.rs",
        "there_are_so_many_watches_and_no_more",
    ),
    (
        "limits.watch_duration",
        "tests/api/watch_ends.rs",
        "no_watch_lasts_longer_than_the_server_lets_it",
    ),
    (
        "watch.history_events",
        "tests/api/watch_resume.rs",
        "a_place_that_is_not_kept_is_gone_or_a_reset",
    ),
    (
        "watch.heartbeat",
        "tests/api/watch_ends.rs",
        "a_quiet_watch_shows_that_it_lives_and_where_to_go_on",
    ),
    (
        "limits.streams_per_connection",
        "tests/api/http2.rs",
        "as_many_requests_as_the_limit_are_answered_at_one_time",
    ),
    (
        "watch.history_bytes",
        "crates/store/src/watch/ring.rs",
        "bytes_are_bounded_with_the_texts_in_them_and_the_newest_stays",
    ),
    (
        "server.keep_alive",
        "tests/api/connections.rs",
        "an_idle_connection_is_closed_after_a_time_and_a_busy_one_is_not",
    ),
    (
        "server.read_wait",
        "src/engine/embedded/tests/mod.rs",
        "a_disk_that_takes_too_long_is_said_so",
    ),
    (
        "server.shutdown_delay",
        "tests/api/stopping.rs",
        "while_it_is_about_to_stop_it_serves_and_says_so",
    ),
    (
        "server.drain_timeout",
        "tests/api/stopping.rs",
        "a_request_that_does_not_finish_is_given_up_when_the_time_is_over",
    ),
];

#[test]
fn every_limit_is_tested() {
    let server = Server::start();
    let limits = server.get("/limits").json();
    let items = limits["items"].as_array().unwrap().iter();
    let shown: BTreeSet<&str> = items
        .map(|item| item["setting"].as_str().unwrap())
        .collect();
    let tested = TESTED.iter().map(|(setting, _, _)| *setting);
    let tested: BTreeSet<&str> = tested.collect();
    assert_eq!(tested, shown);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (setting, file, name) in TESTED {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(
            text.contains(&format!("fn {name}(")),
            "{setting}: {file} has no test {name}"
        );
    }
}
