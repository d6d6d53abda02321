//! `standpipe check`: prints the configuration that holds, as a file that could be given back, with the origin of every
//! value behind it. It must not change anything, on the disk or elsewhere.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::Failure;
use crate::config::Config;

/// Prints the effective configuration.
pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(effective(config).as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::io("write the configuration to standard output", &error))
}

/// The settings as YAML: one line each, its origin as the comment.
fn effective(config: &Config) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for (path, given) in config.effective() {
        let mut steps: Vec<&str> = path.split('.').collect();
        let name = steps.pop().unwrap_or_default();
        let shared = open
            .iter()
            .zip(&steps)
            .take_while(|(one, other)| one == other)
            .count();
        for (depth, section) in steps.iter().enumerate().skip(shared) {
            line(&mut text, depth, &format!("{section}:"), None);
        }
        let value = match path {
            "server.allowed_hosts" => list(&given.text),
            _ => scalar(&given.text),
        };
        line(
            &mut text,
            steps.len(),
            &format!("{name}: {value}"),
            Some(&given.origin.to_string()),
        );
        open = steps;
    }
    text
}

fn line(text: &mut String, depth: usize, words: &str, origin: Option<&str>) {
    let words = format!("{:indent$}{words}", "", indent = depth * 2);
    let written = match origin {
        Some(origin) => writeln!(text, "{words:<44}  # {origin}"),
        None => writeln!(text, "{words}"),
    };
    // Writing to a String cannot fail.
    written.unwrap_or_default();
}

fn list(items: &str) -> String {
    let items: Vec<String> = items
        .split(',')
        .filter(|item| !item.is_empty())
        .map(scalar)
        .collect();
    format!("[{}]", items.join(", "))
}

/// Plain where every YAML reader agrees that it is that text, else quoted.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-');
    let number_like = text.parse::<f64>().is_ok() && text.contains('.');
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') && !number_like {
        text.to_owned()
    } else if text.chars().any(char::is_control) {
        format!("{text:?}")
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}
