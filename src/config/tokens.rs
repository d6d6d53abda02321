//! The tokens of a configuration: a list of small maps, carried from layer to layer as one text in YAML's flow style, so
//! that a variable can say it as well as a file. What is wrong with a token is said without its hash: people paste the
//! wrong line.

use std::collections::BTreeSet;

use super::error::ConfigError;
use super::layers::Document;
use super::said;
use super::yaml::{self, Node};
use crate::server::{Token, Verbs};

/// More would make every request slow: each is compared with all of them.
const MOST: usize = 1_000;

/// The properties of a token.
const PROPERTIES: &[&str] = &["name", "sha256", "keyspaces", "verbs"];

/// One token as it was said.
#[derive(Debug, Default)]
struct TokenSaid {
    name: Option<String>,
    sha256: Option<String>,
    keyspaces: Option<Vec<String>>,
    verbs: Option<Vec<String>>,
}

/// What is wrong with the shape of a list of tokens, and where.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Fault {
    line: u64,
    /// From the list on: `[0].verbs`.
    path: String,
    what: What,
}

#[derive(Debug, Eq, PartialEq)]
enum What {
    Unknown,
    Duplicate,
    Other(String),
}

impl Fault {
    /// The same about a list in a file.
    pub(super) fn of_file(self, list: &str, document: &Document) -> ConfigError {
        let origin = document.at(self.line);
        let path = format!("{list}{}", self.path);
        match self.what {
            What::Unknown => ConfigError::Unknown {
                nearest: nearest(&path),
                origin,
                path,
            },
            What::Duplicate => ConfigError::Duplicate { origin, path },
            What::Other(words) => ConfigError::Malformed {
                origin,
                path,
                words,
            },
        }
    }
}

fn nearest(path: &str) -> Option<String> {
    let (token, unknown) = path.rsplit_once('.')?;
    let known = said::closest(unknown, PROPERTIES.iter().copied())?;
    Some(format!("{token}.{known}"))
}

/// The list as one text in flow style, once its shape is right.
pub(super) fn text(node: &Node) -> Result<String, Fault> {
    said(node).map(|_tokens| yaml::flow(node))
}

fn said(node: &Node) -> Result<Vec<TokenSaid>, Fault> {
    let items = node.list().map_err(|words| other(node, "", words))?;
    let tokens = items.iter().enumerate();
    tokens
        .map(|(index, node)| token_said(node, &format!("[{index}]")))
        .collect()
}

fn token_said(node: &Node, path: &str) -> Result<TokenSaid, Fault> {
    let entries = node.section().map_err(|words| other(node, path, words))?;
    if let Some(entry) = said::second(entries) {
        return Err(Fault {
            line: entry.line,
            path: format!("{path}.{}", entry.name),
            what: What::Duplicate,
        });
    }
    let mut token = TokenSaid::default();
    for entry in entries {
        let path = format!("{path}.{}", entry.name);
        let value = &entry.value;
        match entry.name.as_str() {
            "name" => token.name = one(value, &path)?,
            "sha256" => token.sha256 = one(value, &path)?,
            "keyspaces" => token.keyspaces = many(value, &path)?,
            "verbs" => token.verbs = many(value, &path)?,
            _ => {
                let (line, what) = (entry.line, What::Unknown);
                return Err(Fault { line, path, what });
            }
        }
    }
    Ok(token)
}

fn one(node: &Node, path: &str) -> Result<Option<String>, Fault> {
    if node.is_null() {
        return Ok(None);
    }
    let text = node.text().map_err(|words| other(node, path, words))?;
    Ok(Some(text.to_owned()))
}

fn many(node: &Node, path: &str) -> Result<Option<Vec<String>>, Fault> {
    if node.is_null() {
        return Ok(None);
    }
    let items = node.list().map_err(|words| other(node, path, words))?;
    let texts = items.iter().map(|item| {
        let text = item.text().map_err(|words| other(item, path, words))?;
        Ok(text.to_owned())
    });
    texts.collect::<Result<_, _>>().map(Some)
}

fn other(node: &Node, path: &str, words: &str) -> Fault {
    Fault {
        line: node.line,
        path: path.to_owned(),
        what: What::Other(words.to_owned()),
    }
}

/// The tokens that a text stands for; an empty one for none. The error is the end of a sentence about `access.tokens`.
pub(super) fn read(text: &str) -> Result<Vec<Token>, String> {
    let node = yaml::read(text).map_err(|fault| format!(": {}", fault.words))?;
    let said = said(&node).map_err(unreadable)?;
    if said.len() > MOST {
        return Err(format!("has {} tokens; {MOST} is the most", said.len()));
    }
    let (mut names, mut hashes) = (BTreeSet::new(), BTreeSet::new());
    let mut tokens = Vec::with_capacity(said.len());
    for (index, said) in said.iter().enumerate() {
        let token = token(said).map_err(|problem| match &said.name {
            Some(name) => format!("[{index}] ({name:?}): {problem}"),
            None => format!("[{index}]: {problem}"),
        })?;
        if !names.insert(token.name.clone()) {
            return Err(format!(
                "[{index}]: another token is called {:?}; names tell tokens apart in the log",
                token.name
            ));
        }
        if !hashes.insert(token.sha256) {
            let name = &token.name;
            return Err(format!(
                "[{index}] ({name:?}): another token has this sha256; make one with `standpipe token`"
            ));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

fn unreadable(fault: Fault) -> String {
    match fault.what {
        What::Unknown => format!(
            "{}: is not a property; a token has name, sha256, keyspaces and verbs",
            fault.path
        ),
        What::Duplicate => format!("{}: is set twice; keep one of the two", fault.path),
        What::Other(words) => format!("{}: {words}", fault.path),
    }
}

fn token(said: &TokenSaid) -> Result<Token, String> {
    let missing = |what: &str| format!("{what} is missing");
    let name = said.name.as_deref().ok_or_else(|| missing("name"))?;
    let sha256 = said.sha256.as_deref().ok_or_else(|| missing("sha256"))?;
    let verbs = said.verbs.as_deref().ok_or_else(|| missing("verbs"))?;
    Ok(Token {
        name: checked_name(name)?,
        sha256: hash(sha256)?,
        keyspaces: said.keyspaces.as_deref().map(keyspaces).transpose()?,
        verbs: checked_verbs(verbs)?,
    })
}

fn checked_name(name: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(plain) {
        Ok(name.to_owned())
    } else {
        Err("a name is 1 to 64 letters, digits, dots, dashes and underscores".to_owned())
    }
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    let wrong = || {
        "sha256 is not 64 hexadecimal digits; `standpipe token` prints a token and its hash"
            .to_owned()
    };
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        // The parser would take a sign.
        if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        *byte = u8::from_str_radix(digits, 16).ok().ok_or_else(wrong)?;
    }
    Ok(hash)
}

fn keyspaces(names: &[String]) -> Result<Vec<String>, String> {
    if names.is_empty() {
        return Err("keyspaces is empty; leave it out for all of them".to_owned());
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let wrong = names
        .iter()
        .find(|name| !(1..=64).contains(&name.len()) || !name.chars().all(plain));
    match wrong {
        None => Ok(names.to_vec()),
        Some(name) => Err(format!(
            "{name:?} is not the name of a keyspace: 1 to 64 of a-z 0-9 _ -"
        )),
    }
}

fn checked_verbs(words: &[String]) -> Result<Verbs, String> {
    let mut verbs = Verbs::default();
    for word in words {
        match word.as_str() {
            "read" => verbs.read = true,
            "write" => verbs.write = true,
            "admin" => verbs.admin = true,
            _ => {
                return Err(format!(
                    "the verb {word:?} is not known; it can be read, write, admin"
                ));
            }
        }
    }
    if verbs == Verbs::default() {
        return Err("verbs is empty; it can hold read, write and admin".to_owned());
    }
    Ok(verbs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn refused(text: &str) -> String {
        read(text).expect_err("a faulty list")
    }

    #[test]
    fn a_list_survives_its_own_text() {
        let said = format!(
            "- {{name: ci, sha256: {HASH}, keyspaces: [default, a-b], verbs: [read, write]}}\n\
             - {{name: it's, verbs: []}}\n- {{}}\n"
        );
        let once = text(&yaml::read(&said).expect("a valid list")).expect("of the right shape");
        let again = text(&yaml::read(&once).expect("a valid list")).expect("of the right shape");
        assert_eq!(again, once);
        assert!(
            once.contains("'it''s'") && once.ends_with(", {}]"),
            "{once}"
        );
        assert_eq!(read("[]"), Ok(Vec::new()));
        assert_eq!(read(""), Ok(Vec::new()));
    }

    #[test]
    fn a_token_is_read_whole() {
        let text =
            format!("[{{name: ci, sha256: {HASH}, keyspaces: [default], verbs: [read, admin]}}]");
        let tokens = read(&text).expect("a valid list");
        let verbs = Verbs {
            read: true,
            write: false,
            admin: true,
        };
        assert_eq!(tokens[0].name, "ci");
        assert_eq!(tokens[0].sha256[..2], [0x9f, 0x86]);
        assert_eq!(
            tokens[0].keyspaces.as_deref(),
            Some(["default".to_owned()].as_slice())
        );
        assert_eq!(tokens[0].verbs, verbs);
        let everywhere = read(&format!("[{{name: a, sha256: {HASH}, verbs: [write]}}]"));
        assert_eq!(everywhere.expect("a valid list")[0].keyspaces, None);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_hash_is_repeated() {
        let with = |rest: &str| refused(&format!("[{{name: ci, {rest}}}]"));
        let hash = format!("sha256: {HASH}");
        for (problem, words) in [
            (with("verbs: [read]"), "sha256 is missing"),
            (with(&hash), "verbs is missing"),
            (with(&format!("{hash}, verbs: []")), "verbs is empty"),
            (
                with(&format!("{hash}, verbs: [delete]")),
                "read, write, admin",
            ),
            (
                with(&format!("{hash}, verbs: [read], keyspaces: []")),
                "leave it out",
            ),
            (
                with(&format!("{hash}, verbs: [read], keyspaces: [A]")),
                "\"A\" is not",
            ),
            (
                with(&format!("{hash}, verb: [read]")),
                "verb: is not a property",
            ),
            (with("sha256: sp_secret, verbs: [read]"), "64 hexadecimal"),
            (
                with(&format!(
                    "sha256: +{}, verbs: [read]",
                    HASH.trim_start_matches('9')
                )),
                "64 hexadecimal",
            ),
            (
                refused(&format!("[{{{hash}, verbs: [read]}}]")),
                "[0]: name is missing",
            ),
            (
                refused(&format!("[{{name: 'a b', {hash}, verbs: [read]}}]")),
                "1 to 64",
            ),
        ] {
            assert!(problem.contains(words), "{problem}");
            assert!(
                !problem.contains("secret") && !problem.contains(HASH.trim_start_matches('9')),
                "{problem}"
            );
        }
    }

    #[test]
    fn names_and_hashes_are_told_apart() {
        let other = HASH.replace('9', "8");
        let pair = |name: &str, hash: &str| {
            format!(
                "[{{name: a, sha256: {HASH}, verbs: [read]}}, {{name: {name}, sha256: {hash}, verbs: [read]}}]"
            )
        };
        assert_eq!(read(&pair("b", &other)).map(|tokens| tokens.len()), Ok(2));
        assert!(refused(&pair("a", &other)).contains("another token is called"));
        // The case of hexadecimal digits means nothing.
        assert!(refused(&pair("b", &HASH.to_lowercase())).contains("another token has"));
    }
}
