//! Why a configuration is refused, in one line that names the place, the setting and the next step. It must not know
//! how a layer is read.

use std::io;
use std::path::PathBuf;

use super::layers::Origin;

/// A configuration that is refused as a whole: nothing of it is used. Exit code 78.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file that was asked for, or one that is there, cannot be read.
    #[error("{}: cannot be read: {source}; name another file with -c or STANDPIPE_CONFIG", file.display())]
    Unreadable {
        /// The file as it was named.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is no YAML, or its shape is not that of a configuration.
    #[error("{origin}: {}{words}", spaced(path))]
    Malformed {
        /// File and line.
        origin: Origin,
        /// The keys down to it; empty at the top.
        path: String,
        /// What the parser said.
        words: String,
    },
    /// One key twice in one section.
    #[error("{origin}: {path} is set twice; keep one of the two")]
    Duplicate {
        /// File and line of the second.
        origin: Origin,
        /// Which one.
        path: String,
    },
    /// No version of this program has such a setting.
    #[error("{origin}: {path} is not a setting{}", meant(nearest.as_deref()))]
    Unknown {
        /// File and line, or the variable.
        origin: Origin,
        /// The setting as it was written.
        path: String,
        /// What was probably meant.
        nearest: Option<String>,
    },
    /// A setting of the design that this version does not have.
    #[error(
        "{origin}: {path} is not built yet: this version has nothing that it could set; take it out"
    )]
    NotBuilt {
        /// File and line, or the variable.
        origin: Origin,
        /// Which one.
        path: String,
    },
    /// A map with free names was set by a variable.
    #[error("{origin}: {path} cannot come from the environment, only from the configuration file")]
    FileOnly {
        /// The variable.
        origin: Origin,
        /// Which one.
        path: String,
    },
    /// A value that does not fit its setting.
    #[error("{origin}: {path}: {value:?} {problem}")]
    Value {
        /// Where it was said.
        origin: Origin,
        /// The setting.
        path: String,
        /// Its words.
        value: String,
        /// What is wrong with them, as the end of a sentence.
        problem: String,
    },
    /// A token that is none. Its words are not repeated: they may hold what should be secret.
    #[error("{origin}: access.tokens{problem}")]
    Tokens {
        /// Where the list was said.
        origin: Origin,
        /// Which token and what is wrong with it.
        problem: String,
    },
    /// A variable whose value is no text.
    #[error("{origin}: its value is not UTF-8 text")]
    NotText {
        /// The variable.
        origin: Origin,
    },
}

impl ConfigError {
    /// The same where the file is known anyway: with the line alone.
    pub(super) fn by_line(&self) -> String {
        let whole = self.to_string();
        let Some(origin) = self.origin() else {
            return whole;
        };
        match (origin, whole.strip_prefix(&format!("{origin}: "))) {
            (Origin::File { line, .. }, Some(rest)) => format!("line {line}: {rest}"),
            (_, Some(rest)) => rest.to_owned(),
            (_, None) => whole,
        }
    }

    fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Malformed { origin, .. }
            | Self::Duplicate { origin, .. }
            | Self::Unknown { origin, .. }
            | Self::NotBuilt { origin, .. }
            | Self::FileOnly { origin, .. }
            | Self::Value { origin, .. }
            | Self::Tokens { origin, .. }
            | Self::NotText { origin } => Some(origin),
        }
    }
}

fn spaced(path: &str) -> String {
    if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    }
}

fn meant(nearest: Option<&str>) -> String {
    let all = "`standpipe check` prints all of them";
    nearest.map_or_else(
        || format!("; {all}"),
        |nearest| format!("; did you mean {nearest}? ({all})"),
    )
}
