//! Text as YAML that reads as that text again. It must not know what the text means.

use std::fmt::Write as _;

use super::{Node, Shape};

/// Plain where every YAML reader agrees that it is that text, else quoted.
pub(in crate::config) fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-');
    let words = ["null", "true", "false", "yes", "no", "on", "off"];
    let other = words.iter().any(|word| word.eq_ignore_ascii_case(text))
        || (text.contains('.') && text.parse::<f64>().is_ok());
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') && !other {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// On one line, whatever is in it.
fn quoted(text: &str) -> String {
    if text.chars().all(printable) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if printable(c) => quoted.push(c),
            c => {
                let code = u32::from(c);
                write!(quoted, "\\U{code:08x}").expect("writing to a String cannot fail");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// What may stand in YAML as it is and is no kind of line end (YAML 1.2.2, section 5.1; 1.1 had more line ends).
fn printable(c: char) -> bool {
    let special = matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    );
    !c.is_control() && !special
}

/// A value on one line, in flow style.
pub(in crate::config) fn flow(node: &Node) -> String {
    match &node.shape {
        Shape::Null => "null".to_owned(),
        Shape::Text(text) => quoted(text),
        Shape::List(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Shape::Section(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}: {}", scalar(&entry.name), flow(&entry.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
