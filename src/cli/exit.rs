//! Exit codes, after `sysexits.h`, and the one line that goes with every failure. It must not know any command.

use std::fmt::{self, Display};
use std::io;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::server::ServerError;

/// What a process ends with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Exit(u8);

impl Exit {
    /// `healthcheck`: not healthy.
    pub const UNHEALTHY: Self = Self(1);
    /// The command line was wrong.
    pub const USAGE: Self = Self(64);
    /// The data was refused.
    pub const DATA: Self = Self(65);
    /// The address or the directory is in use.
    pub const IN_USE: Self = Self(69);
    /// A fault of this program.
    pub const INTERNAL: Self = Self(70);
    /// The disk or another file failed.
    pub const IO: Self = Self(74);
    /// The configuration was refused.
    pub const CONFIG: Self = Self(78);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// Why a command failed: one line for a person, one code for a program.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    /// Whether somebody has said it already, in the log.
    told: bool,
}

impl Failure {
    /// A failure of this kind. The message names the thing, the limit, the setting and the next step.
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            told: false,
        }
    }

    /// A file or a stream failed; `what` says what was being done, such as `write out.ndjson`.
    pub fn io(what: impl Display, error: &io::Error) -> Self {
        Self::new(Exit::IO, format_args!("cannot {what}: {error}"))
    }

    /// What the process ends with.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The same, said already.
    pub(super) fn told(self) -> Self {
        Self { told: true, ..self }
    }

    /// Says it where that is still to be done, and gives the code to end with.
    pub(super) fn report(&self) -> ExitCode {
        if !self.told {
            super::tell(format_args!("{self}"));
        }
        self.exit.into()
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::CONFIG, error)
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::new(Exit(error.exit_code()), error)
    }
}
