//! What must never be shown: a password, a token, an address with one in it. It must not know what it is used for.

use std::path::PathBuf;
use std::{fmt, fs, io};

/// Something secret, as it was said: the text itself, or the file that holds it.
#[derive(Clone, Eq, PartialEq)]
pub enum Secret {
    /// The text.
    Given(Box<str>),
    /// A file with the text in it; a line end at its end is not part of it. It is read at every use, so that a secret which
    /// is replaced on the disk needs no restart.
    File(PathBuf),
}

impl Secret {
    /// The text. Blocks where it lies in a file.
    ///
    /// # Errors
    /// What kept the file from being read.
    pub fn reveal(&self) -> io::Result<String> {
        match self {
            Self::Given(text) => Ok(text.clone().into_string()),
            Self::File(path) => {
                let mut text = fs::read_to_string(path)?;
                text.truncate(text.trim_end_matches(['\r', '\n']).len());
                Ok(text)
            }
        }
    }
}

/// The name and the password of HTTP Basic authentication (RFC 7617). Neither is shown: a name may be a token.
#[derive(Clone, Eq, PartialEq)]
pub struct Auth {
    /// `user`
    pub user: String,
    /// `password`
    pub password: Secret,
}

/// What may be shown of an address without a user: no query, and nothing at all where an `@` may belong to a password that was
/// not encoded.
pub fn shown(endpoint: &str) -> &str {
    let plain = endpoint.split('?').next();
    plain.filter(|_| !endpoint.contains('@')).unwrap_or("***")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Secret(***)"),
            Self::File(path) => f.debug_tuple("Secret").field(path).finish(),
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::Given("hunter2".into());
        assert_eq!(format!("{secret:?}"), "Secret(***)");
        assert_eq!(secret.reveal().unwrap(), "hunter2");
        let auth = Auth {
            user: "hunter2".to_owned(),
            password: secret,
        };
        assert_eq!(format!("{auth:?}"), "Auth(***)");
    }

    #[test]
    fn of_an_address_no_query_is_shown() {
        assert_eq!(shown("http://h/a?b=hunter2"), "http://h/a");
        assert_eq!(shown("http://hunter2/:hunter2@h"), "***");
        assert_eq!(shown("http://hunter2?:hunter2@h"), "***");
    }

    #[test]
    fn a_file_is_read_at_every_use_without_its_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let secret = Secret::File(path.clone());
        assert_eq!(secret.reveal().unwrap_err().kind(), io::ErrorKind::NotFound);
        for (held, expected) in [("one\n", "one"), ("two\r\n", "two"), (" three ", " three ")] {
            fs::write(&path, held).unwrap();
            assert_eq!(secret.reveal().unwrap(), expected);
        }
    }
}
