//! Every benchmark that needs no other program works: each for a moment.

use std::process::Command;

#[test]
fn every_benchmark_of_the_store_and_the_load_generator_runs() {
    let output = Command::new(env!("CARGO_BIN_EXE_standpipe-bench"))
        .arg("smoke")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    for part in [
        "bare Get",
        "bare Put",
        "bare Mixed",
        "store Get",
        "store Apply",
        "store Synced",
        "row  1",
        "row 14",
    ] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}

/// The memory of a process of its own, whose whole work it is: a part for the program, the rest for what it counts. All
/// changes are made, however long that takes on a busy machine.
#[test]
fn a_bounded_keyspace_takes_the_memory_that_it_counts() {
    let output = Command::new(env!("CARGO_BIN_EXE_standpipe-bench"))
        .args(["store", "churn", "--memory", "--max-bytes", "64M"])
        .args(["--sizes", "drift", "--changes", "250k"])
        .args(["--seconds", "600", "--check"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
}

#[test]
fn a_row_that_nobody_knows_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_standpipe-bench"))
        .args(["rows", "99"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("row 99"));
}
