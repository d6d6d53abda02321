//! `standpipe token`: a new access token, its hash, and the lines to paste. The token itself is kept nowhere.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueEnum};

use super::{Exit, Failure, print};
use crate::server::Token;

/// Marks a text as one of our tokens, for people and for programs that look for leaked ones.
const PREFIX: &str = "spt_";

/// What `token` is told.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// What the log calls the token
    #[arg(long, value_name = "NAME", default_value = "new")]
    name: String,
    /// A keyspace that it is for; may be repeated [default: all]
    #[arg(long = "keyspace", value_name = "KEYSPACE")]
    keyspaces: Vec<String>,
    /// What it may do; may be repeated [default: read and write]
    #[arg(long = "verb", value_name = "VERB", value_enum)]
    verbs: Vec<Verb>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verb {
    Read,
    Write,
    Admin,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Prints a token that nobody has seen before.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret)
        .map_err(|error| Failure::new(Exit::INTERNAL, format_args!("no randomness: {error}")))?;
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    print(format_args!("{}", text(arguments, &token)))
}

/// The token on the first line, the rest as comments and lines for the configuration.
fn text(arguments: &Arguments, token: &str) -> String {
    let mut hash = String::with_capacity(64);
    for byte in Token::hash(token) {
        write!(hash, "{byte:02x}").expect("writing to a String cannot fail");
    }
    let verbs: Vec<_> = if arguments.verbs.is_empty() {
        vec!["read", "write"]
    } else {
        arguments.verbs.iter().map(|verb| verb.name()).collect()
    };
    let keyspaces = if arguments.keyspaces.is_empty() {
        String::new()
    } else {
        format!("\n      keyspaces: [{}]", arguments.keyspaces.join(", "))
    };
    format!(
        "{token}\n\n\
         # Keep the line above: it is shown this once. Requests send it as `Authorization: Bearer TOKEN`.\n\
         # The configuration holds only its hash:\n\
         access:\n  tokens:\n    - name: {}\n      sha256: {hash}{keyspaces}\n      verbs: [{}]\n",
        arguments.name,
        verbs.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_first_line() {
        let arguments = Arguments {
            name: "ci".to_owned(),
            keyspaces: vec!["a".to_owned(), "b".to_owned()],
            verbs: vec![Verb::Admin],
        };
        // The SHA-256 of `abc` (FIPS 180-2, appendix B.1).
        let text = text(&arguments, "abc");
        assert!(text.starts_with("abc\n"), "{text}");
        for line in [
            "sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "name: ci",
            "keyspaces: [a, b]",
            "verbs: [admin]",
        ] {
            assert!(
                text.lines()
                    .any(|known| known.trim_start_matches("    - ").trim() == line),
                "{line}: {text}"
            );
        }
    }
}
