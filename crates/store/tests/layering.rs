//! Who may import whom, and what nobody may: read from the sources and compared to the table in `ARCHITECTURE.md`.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and read the sources from the disk"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that anyone may use: they know nothing but each other.
const COMMON: &[&str] = &[
    "clock", "error", "int", "options", "progress", "record", "stats", "wait",
];

/// Module, and what it may import beside the common ones.
const TABLE: &[(&str, &[&str])] = &[
    (
        "store",
        &[
            "compaction",
            "fs",
            "log",
            "manifest",
            "map",
            "recovery",
            "snapshot",
            "watch",
        ],
    ),
    (
        "offline",
        &[
            "fs", "log", "manifest", "map", "recovery", "snapshot", "watch",
        ],
    ),
    (
        "recovery",
        &["fs", "log", "manifest", "map", "snapshot", "watch"],
    ),
    ("compaction", &["fs", "log", "manifest", "map", "snapshot"]),
    ("log", &["fs", "manifest"]),
    ("snapshot", &["fs"]),
    ("manifest", &["fs"]),
    ("watch", &["map"]),
    ("map", &[]),
    ("fs", &[]),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, files: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(&root).unwrap().to_owned(), text))
        .collect()
}

/// The top module that a file belongs to.
fn module(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file: no comments, no tests (which may look at anything).
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The top modules that a piece of code names behind `crate::`.
fn imports(code: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    code.split("crate::")
        .skip(1)
        .map(name)
        .filter(|name| name.starts_with(char::is_lowercase))
        .collect()
}

#[test]
fn every_module_imports_only_what_the_table_lets_it() {
    let mut seen = BTreeSet::new();
    for (path, text) in sources() {
        let module = module(&path);
        if module == "lib" {
            continue;
        }
        let allowed = TABLE
            .iter()
            .find(|(name, _)| *name == module)
            .map(|(_, allowed)| *allowed);
        let common = COMMON.contains(&module.as_str());
        assert!(
            allowed.is_some() || common,
            "{}: the table does not know module {module}",
            path.display()
        );
        for import in imports(&code(&text)) {
            let fine = import == module
                || import == "random"
                || COMMON.contains(&import.as_str())
                || allowed.is_some_and(|allowed| allowed.contains(&import.as_str()));
            assert!(
                fine,
                "{} imports {import}, which {module} may not",
                path.display()
            );
            seen.insert((module.clone(), import));
        }
    }
    assert!(
        seen.contains(&("store".to_owned(), "log".to_owned())),
        "the imports are really read: {seen:?}"
    );
}

#[test]
fn only_one_file_touches_the_file_system_and_one_the_clock() {
    let only = |what: &str, where_: &str| {
        for (path, text) in sources() {
            let there = code(&text).contains(what);
            assert!(
                !there || path == Path::new(where_),
                "{} uses {what}",
                path.display()
            );
        }
    };
    only("std::fs", "fs/real.rs");
    only("SystemTime", "clock.rs");
    only("Instant", "clock.rs");
    only("clock_gettime", "clock.rs");
}

#[test]
fn nothing_durable_knows_http_json_or_a_runtime() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let normal = manifest.split("[dev-dependencies]").next().unwrap();
    for banned in ["actix", "hyper", "http", "serde", "json", "reqwest", "axum"] {
        let named = normal
            .lines()
            .filter(|line| !line.starts_with('#'))
            .any(|line| line.starts_with(banned));
        assert!(!named, "Cargo.toml names {banned}");
    }
    assert!(
        normal.contains("tokio = { workspace = true, features = [\"sync\"] }"),
        "of tokio its sync alone"
    );
    for (path, text) in sources() {
        for word in code(&text).split("tokio::").skip(1) {
            assert!(
                word.starts_with("sync"),
                "{} uses more of tokio than sync",
                path.display()
            );
        }
    }
}

#[test]
fn no_file_is_longer_than_500_lines_without_its_tests() {
    for (path, text) in sources() {
        let lines = text.split("#[cfg(test)]").next().unwrap().lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}
