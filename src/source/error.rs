//! Why a source did not answer. It must not hold anything that may be secret: of an address at most scheme, host and port.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::outbound::{CallError, DatabaseError, OutboundError, StatusCode};

/// Why a source did not answer. What it shows is for the operator's eyes: whoever else asks is told
/// [`FetchError::told`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// It took too long.
    #[error("no whole answer within {} ms", after.as_millis())]
    Timeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// The value is larger than it may be.
    #[error("the value has more than {limit} bytes")]
    TooLarge {
        /// The most.
        limit: usize,
    },
    /// The call could not be made, or broke off.
    #[error("{0}")]
    Call(#[source] CallError),
    /// It answered something that is neither a value nor that there is none.
    #[error("{origin} answered {}", status.as_u16())]
    Status {
        /// Scheme, host and port.
        origin: String,
        /// Its status.
        status: StatusCode,
    },
    /// Its address cannot be called.
    #[error("the endpoint {reason}")]
    Endpoint {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The authorities that it is trusted by, or the password for it, cannot be had.
    #[error("{0}")]
    Setup(#[source] OutboundError),
    /// The password lies in a file that cannot be read.
    #[error("the password cannot be read: {0}")]
    Password(#[source] Arc<io::Error>),
    /// The file cannot be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file, or the directory below which it lies.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The address of the database cannot be used.
    #[error("{0}")]
    Address(#[source] Arc<DatabaseError>),
    /// The database did not answer the query. Its own words may quote what is secret, so they are left out.
    #[error("{what}{}", in_brackets(code.as_deref()))]
    Database {
        /// What went wrong.
        what: &'static str,
        /// The database's code for it, of `SQLSTATE` as a rule.
        code: Option<String>,
    },
    /// The key is compared with something that no key can be taken for.
    #[error(
        "the key is compared with the type {type_name}: let the query cast it from text, as in $1::text"
    )]
    Parameter {
        /// The type, as the database calls it.
        type_name: String,
    },
    /// The column is of a type that has no usual text.
    #[error("the column is of the type {type_name}: let the query cast it to text")]
    Column {
        /// The type, as the database calls it.
        type_name: String,
    },
}

fn in_brackets(code: Option<&str>) -> String {
    code.map_or_else(String::new, |code| format!(" ({code})"))
}

impl FetchError {
    pub(super) fn unreadable(path: impl Into<PathBuf>, reason: &(impl ToString + ?Sized)) -> Self {
        Self::Unreadable {
            path: path.into(),
            reason: reason.to_string(),
        }
    }

    /// The same in words for anybody: without addresses and paths.
    pub fn told(&self) -> String {
        match self {
            Self::Timeout { .. } | Self::TooLarge { .. } => self.to_string(),
            Self::Call(CallError::Redirect { .. }) => {
                "the source redirects to where it is not followed".to_owned()
            }
            Self::Call(CallError::Broken { .. }) => "the source's answer broke off".to_owned(),
            Self::Call(_) => "the source cannot be reached".to_owned(),
            Self::Address(error) if error.is_reach() => "the source cannot be reached".to_owned(),
            Self::Status { status, .. } => format!("the source answered {}", status.as_u16()),
            Self::Endpoint { .. } | Self::Setup(_) | Self::Password(_) | Self::Address(_) => {
                "the source is not set up well".to_owned()
            }
            Self::Unreadable { .. } => "the source's file cannot be read".to_owned(),
            Self::Database { .. } | Self::Column { .. } | Self::Parameter { .. } => {
                "the source's database did not answer the query".to_owned()
            }
        }
    }

    /// Whether it says something about this one value, and nothing bad about how its source fares.
    pub fn is_of_value(&self) -> bool {
        match self {
            Self::TooLarge { .. } => true,
            Self::Database { code, .. } => {
                // A data exception: the key is no number where the query wants one, say.
                code.as_deref().is_some_and(|code| code.starts_with("22"))
            }
            Self::Timeout { .. }
            | Self::Call(_)
            | Self::Status { .. }
            | Self::Endpoint { .. }
            | Self::Setup(_)
            | Self::Password(_)
            | Self::Unreadable { .. }
            | Self::Address(_)
            | Self::Column { .. }
            | Self::Parameter { .. } => false,
        }
    }

    /// The kind of failure in a word, for figures.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too_large",
            Self::Call(CallError::Redirect { .. }) => "redirect",
            Self::Call(CallError::Broken { .. }) => "broken_off",
            Self::Call(_) => "unreachable",
            Self::Address(error) if error.is_reach() => "unreachable",
            Self::Status { .. } => "status",
            Self::Endpoint { .. } | Self::Setup(_) | Self::Password(_) | Self::Address(_) => {
                "setup"
            }
            Self::Unreadable { .. } => "unreadable",
            Self::Database { .. } | Self::Column { .. } | Self::Parameter { .. } => "database",
        }
    }
}

impl From<CallError> for FetchError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Timeout { after } => Self::Timeout { after },
            CallError::TooLarge { limit } => Self::TooLarge { limit },
            CallError::Refused(_)
            | CallError::Unreachable { .. }
            | CallError::Broken { .. }
            | CallError::Redirect { .. } => Self::Call(error),
        }
    }
}

impl From<OutboundError> for FetchError {
    fn from(error: OutboundError) -> Self {
        Self::Setup(error)
    }
}

impl From<DatabaseError> for FetchError {
    fn from(error: DatabaseError) -> Self {
        Self::Address(Arc::new(error))
    }
}
