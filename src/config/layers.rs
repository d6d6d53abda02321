//! The layers of a configuration and how they cover each other: compiled-in defaults < the image's file < the file <
//! environment < flags. It must not know what a setting means.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

use super::error::ConfigError;
use super::said::{self, Parts, SETTINGS, Said, Words};
use super::yaml::{self, Fault, What};

/// Every setting with its default and a sentence, in the shape of a configuration file.
pub const DEFAULTS: &str = include_str!("../../config/default.yml");

/// The file that is read when none was asked for; it may be absent.
const USUAL_FILE: &str = "./config.yml";

/// The variable that names the file.
const FILE_VARIABLE: &str = "STANDPIPE_CONFIG";

/// What the flags said.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `-c`: the configuration file.
    pub config: Option<PathBuf>,
    /// `-e`: `server.endpoint`.
    pub endpoint: Option<String>,
    /// `-l`: `logging.level`, where another word than the known ones is INFO and a warning.
    pub level: Option<String>,
    /// `--data`: `storage.path`.
    pub data: Option<String>,
}

/// What a process finds around it.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// All variables, ours or not.
    pub environment: Vec<(OsString, OsString)>,
    /// The image's own defaults, below any file that is mounted into it; it may be absent.
    pub image_file: PathBuf,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            environment: env::vars_os().collect(),
            image_file: PathBuf::from("/etc/standpipe/defaults.yml"),
        }
    }
}

/// Where a value was said.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// In `config/default.yml`, which is compiled in.
    Default,
    /// In a file.
    File {
        /// As it was named.
        file: PathBuf,
        /// From 1; 0 where it is not known.
        line: u64,
    },
    /// In a variable of this name.
    Variable(String),
    /// In this flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: 0 } => write!(f, "{}", file.display()),
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// The words that hold for a setting, after all layers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Given {
    /// In their own spelling; a list's items with commas between them.
    pub text: String,
    /// Which layer they came from.
    pub origin: Origin,
}

/// Setting by setting, what holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    pub(super) given: BTreeMap<String, Given>,
    /// The keyspaces that a file names, and where.
    pub(super) keyspaces: BTreeMap<String, Origin>,
    /// The file that was read, if any.
    pub(super) file: Option<PathBuf>,
}

impl Layers {
    /// Reads every layer, the lowest first.
    pub(super) fn read(flags: &Flags, around: &Surroundings) -> Result<Self, ConfigError> {
        let mut layers = Self::default();
        layers.document(DEFAULTS, &|_| Origin::Default)?;
        layers.file(&around.image_file, Presence::Optional)?;
        let (file, presence) = asked_for(flags, around);
        if layers.file(&file, presence)? {
            layers.file = Some(file);
        }
        layers.environment(&around.environment)?;
        layers.flags(flags);
        Ok(layers)
    }

    /// The files that are read, where they are there, the lowest first.
    pub(super) fn files(flags: &Flags, around: &Surroundings) -> [PathBuf; 2] {
        let (file, _) = asked_for(flags, around);
        [around.image_file.clone(), file]
    }

    fn set(&mut self, path: impl Into<String>, text: String, origin: Origin) {
        self.given.insert(path.into(), Given { text, origin });
    }

    /// Whether there was such a file.
    fn file(&mut self, file: &Path, presence: Presence) -> Result<bool, ConfigError> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && presence == Presence::Optional =>
            {
                return Ok(false);
            }
            Err(source) => {
                return Err(ConfigError::Unreadable {
                    file: file.to_owned(),
                    source,
                });
            }
        };
        self.document(&text, &|line| Origin::File {
            file: file.to_owned(),
            line,
        })?;
        Ok(true)
    }

    fn document(&mut self, text: &str, origin: &dyn Fn(u64) -> Origin) -> Result<(), ConfigError> {
        let said: Said = yaml::read(text).map_err(|fault| refused(fault, origin))?;
        let Parts {
            settings,
            keyspaces,
            unbuilt,
        } = said.into_parts();
        if let Some((line, path)) = unbuilt.into_iter().next() {
            return Err(ConfigError::NotBuilt {
                origin: origin(line),
                path,
            });
        }
        for (name, line) in keyspaces {
            // A policy is one thing: what a lower file said about the keyspace does not shine through.
            for property in said::PROPERTIES {
                self.given.remove(&said::property(&name, property));
            }
            self.keyspaces.insert(name, origin(line));
        }
        for (path, Words { text, line }) in settings {
            self.set(path, text, origin(line));
        }
        Ok(())
    }

    fn environment(&mut self, variables: &[(OsString, OsString)]) -> Result<(), ConfigError> {
        for (name, value) in variables {
            if let Some((name, path)) = setting_of(name) {
                let path = known(&name, &path)?;
                let origin = Origin::Variable(name);
                match value.to_str() {
                    Some(text) => self.set(path, text.to_owned(), origin),
                    None => return Err(ConfigError::NotText { origin }),
                }
            }
        }
        Ok(())
    }

    fn flags(&mut self, flags: &Flags) {
        let said = [
            ("server.endpoint", "-e", &flags.endpoint),
            ("logging.level", "-l", &flags.level),
            ("storage.path", "--data", &flags.data),
        ];
        for (path, flag, text) in said {
            if let Some(text) = text {
                self.set(path, text.clone(), Origin::Flag(flag));
            }
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Presence {
    Required,
    Optional,
}

/// The file that was asked for by a flag, else by the variable (an empty one asks for nothing), else the usual one.
fn asked_for(flags: &Flags, around: &Surroundings) -> (PathBuf, Presence) {
    let by_variable = || {
        let found = around
            .environment
            .iter()
            .find(|(name, value)| name == FILE_VARIABLE && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    };
    flags.config.clone().or_else(by_variable).map_or_else(
        || (PathBuf::from(USUAL_FILE), Presence::Optional),
        |file| (file, Presence::Required),
    )
}

/// The name of a variable and the path that it sets, if it is a setting at all: `STANDPIPE_` and then two or more words
/// with `__` between them. Others are not ours: Kubernetes makes `STANDPIPE_PORT=tcp://...` out of a service's name.
fn setting_of(variable: &OsStr) -> Option<(String, String)> {
    let name = variable.to_string_lossy().into_owned();
    let words = name
        .strip_prefix("STANDPIPE_")
        .filter(|words| words.contains("__") && !words.starts_with('_'))?;
    let path = words.to_ascii_lowercase().replace("__", ".");
    Some((name, path))
}

fn known(name: &str, path: &str) -> Result<&'static str, ConfigError> {
    if let Some(known) = SETTINGS.iter().find(|known| **known == path) {
        return Ok(known);
    }
    let (origin, path) = (Origin::Variable(name.to_owned()), path.to_owned());
    if path.starts_with("keyspaces.") || path.starts_with("sources.") {
        return Err(ConfigError::FileOnly { origin, path });
    }
    if said::is_later(&path) {
        return Err(ConfigError::NotBuilt { origin, path });
    }
    let nearest = said::nearest(&path).filter(|near| near.contains('.'));
    let nearest =
        nearest.map(|near| format!("STANDPIPE_{}", near.to_ascii_uppercase().replace('.', "__")));
    Err(ConfigError::Unknown {
        origin,
        path,
        nearest,
    })
}

fn refused(fault: Fault, origin: &dyn Fn(u64) -> Origin) -> ConfigError {
    let Fault { line, path, what } = fault;
    let origin = origin(line);
    match what {
        What::Unknown => {
            let nearest = said::nearest(&path);
            ConfigError::Unknown {
                origin,
                path,
                nearest,
            }
        }
        What::Duplicate => ConfigError::Duplicate { origin, path },
        What::Other(words) => ConfigError::Malformed {
            origin,
            path,
            words,
        },
    }
}
