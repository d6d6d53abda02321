//! Who may import whom: the sources of the service against the table in `ARCHITECTURE.md`. It reads text, not types:
//! a path that starts with `crate::` or climbs to the root with `super::` is seen, in tests as in the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the service, and the modules that it may name.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &["config", "engine", "logging", "metrics", "server", "tls"],
    ),
    // It gives every component its own checked options, whose types lie with the components.
    (
        "config",
        &[
            "logging", "mirror", "outbound", "pump", "server", "sink", "source",
        ],
    ),
    (
        "server",
        &[
            "engine", "http", "keyspace", "logging", "metrics", "mirror", "outbound", "pump",
            "sink", "source", "tls",
        ],
    ),
    (
        "http",
        &[
            "keyspace", "logging", "metrics", "mirror", "pump", "sink", "tls",
        ],
    ),
    ("pump", &["keyspace", "metrics", "source"]),
    ("mirror", &["keyspace", "metrics", "outbound"]),
    ("sink", &["keyspace", "metrics", "outbound"]),
    ("keyspace", &["engine", "metrics", "source"]),
    ("source", &["metrics", "outbound"]),
    ("outbound", &["metrics"]),
    ("engine", &["metrics"]),
    ("logging", &[]),
    ("metrics", &[]),
    ("tls", &[]),
];

/// Libraries that stay where they are: the start of the name, and the files or folders that may name it.
const AT_HOME: &[(&str, &[&str])] = &[
    ("actix", &["http"]),
    ("utoipa", &["http"]),
    ("standpipe_store", &["engine", "cli", "config"]),
    (
        "serde_json",
        &["http", "cli/line.rs", "cli/incoming.rs", "mirror", "sink"],
    ),
    ("reqwest", &["outbound"]),
    ("sqlx", &["outbound", "source", "sink"]),
    ("tonic", &["mirror"]),
    ("hyper_util", &["mirror"]),
    ("tokio_rustls", &["outbound"]),
    ("prost", &["mirror"]),
    ("croner", &["pump"]),
    ("granit_parser", &["config/yaml"]),
    ("prometheus_client", &["metrics", "http/worker.rs"]),
    ("tracing_subscriber", &["logging.rs"]),
    ("clap", &["cli"]),
    ("sha2", &["http/token.rs", "sink/web"]),
    ("rustls", &["tls", "outbound", "http/listener.rs"]),
    ("subtle", &["http/token.rs"]),
    ("indicatif", &["cli"]),
];

/// A source file: its path below `src`, its module, and its code without comments and the contents of strings.
struct Source {
    path: String,
    module: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(source(&root, &path));
            }
        }
    }
    assert!(
        found.len() > 10,
        "only {} source files under {}",
        found.len(),
        root.display()
    );
    found
}

fn source(root: &Path, file: &PathBuf) -> Source {
    let path = file
        .strip_prefix(root)
        .expect("a path below the root")
        .to_string_lossy()
        .into_owned();
    let module = path.split(['/', '.']).next().unwrap_or_default().to_owned();
    let code = code_of(&fs::read_to_string(file).expect("a readable source"));
    Source { path, module, code }
}

/// The text without line comments and without what stands in strings.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let mut chars = line.chars().peekable();
        let mut in_string = false;
        while let Some(c) = chars.next() {
            match c {
                '\\' if in_string => {
                    chars.next();
                }
                '"' => in_string = !in_string,
                '/' if !in_string && chars.peek() == Some(&'/') => break,
                _ if !in_string => code.push(c),
                _ => {}
            }
        }
        code.push('\n');
    }
    code
}

/// The names that follow `prefix`, those in braces too.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        if before.is_some_and(is_word) {
            continue;
        }
        let rest = code.get(at + prefix.len()..).unwrap_or_default();
        match rest.strip_prefix('{') {
            Some(group) => names.extend(top_of_group(group)),
            None => names.extend(first_word(rest)),
        }
    }
    names
}

/// The first word of each member of a `{a, b::{c, d}, e}`, its brace taken off already.
fn top_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut member, mut members) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(std::mem::take(&mut member)),
            _ => {}
        }
        if depth == 0 && c != ',' {
            member.push(c);
        }
    }
    members.push(member);
    members
        .iter()
        .filter_map(|member| first_word(member.trim()))
        .collect()
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| is_word(*c)).collect();
    if word.is_empty() { None } else { Some(word) }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let mut refused = Vec::new();
    for Source { path, module, code } in sources() {
        if module == "lib" {
            continue;
        }
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(known, _)| *known == module) else {
            panic!(
                "src/{path}: the module {module} is not in the table: decide what it may import"
            );
        };
        let depth = path.trim_end_matches("/mod.rs").matches('/').count();
        let to_the_root = "super::".repeat(depth + 1);
        let mut named = BTreeSet::new();
        for prefix in ["crate::", "standpipe::", &to_the_root] {
            named.extend(names_after(&code, prefix));
        }
        for name in named {
            let known = MAY_IMPORT.iter().any(|(module, _)| *module == name);
            if known && name != module && !allowed.contains(&name.as_str()) {
                refused.push(format!("src/{path}: {module} may not import {name}"));
            }
        }
    }
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn libraries_stay_at_home() {
    let mut refused = Vec::new();
    for Source { path, code, .. } in sources() {
        for (library, homes) in AT_HOME {
            let used = code.match_indices(library).any(|(at, _)| {
                let before = code.get(..at).and_then(|text| text.chars().next_back());
                !before.is_some_and(is_word) && code.get(at..).is_some_and(path_like)
            });
            let home = homes.iter().any(|home| {
                path == *home
                    || path.starts_with(&format!("{home}/"))
                    || path == format!("{home}.rs")
            });
            if used && !home {
                refused.push(format!("src/{path}: {library} belongs to {homes:?}"));
            }
        }
    }
    assert_eq!(refused, Vec::<String>::new());
}

/// Whether a word is followed by `::`: a path, not a variable of that name.
fn path_like(rest: &str) -> bool {
    rest.trim_start_matches(is_word).starts_with("::")
}

#[test]
fn the_reader_sees_groups_and_skips_comments_and_strings() {
    let text = "use crate::{http::x, engine::{self, y}, metrics};\n// crate::config\nlet s = \"crate::sink \\\" x\"; crate::cli::main();\nmycrate::pump;";
    let names: Vec<String> = names_after(&code_of(text), "crate::").into_iter().collect();
    assert_eq!(names, ["cli", "engine", "http", "metrics"]);
    assert!(path_like("actix_web::App") && !path_like("actix = 1"));
}
