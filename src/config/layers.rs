//! The layers of a configuration and how they cover each other: compiled-in defaults < the image's file < the file <
//! environment < flags. It must not know what a setting means.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{env, fmt, fs, io};

use super::error::ConfigError;
use super::said::{self, Named, Parts, Words};
use super::yaml::{self, Fault, Node};

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

/// What a text was read from.
#[derive(Clone, Debug)]
pub(super) enum Document {
    /// `config/default.yml`.
    Defaults,
    /// A file, as it was named.
    File(PathBuf),
}

impl Document {
    /// The place of a line of it.
    pub(super) fn at(&self, line: u64) -> Origin {
        match self {
            Self::Defaults => Origin::Default,
            Self::File(file) => Origin::File {
                file: file.clone(),
                line,
            },
        }
    }
}

/// The words that hold for a setting, after all layers.
#[derive(Clone)]
pub(super) struct Said {
    /// In their own spelling; a list's items with commas between them.
    pub(super) text: String,
    /// Which layer they came from.
    pub(super) origin: Origin,
}

/// A part of a file with names of the operator's in it.
#[derive(Clone)]
pub(super) struct Block {
    /// The part.
    pub(super) value: Node,
    /// The line of its name.
    pub(super) line: u64,
    /// Where it stands.
    pub(super) document: Document,
}

/// Setting by setting, what holds. It has secrets in it.
#[derive(Clone, Default)]
pub(super) struct Layers {
    pub(super) given: BTreeMap<&'static str, Said>,
    /// The keyspaces that a file names.
    pub(super) keyspaces: BTreeMap<String, Block>,
    /// The scheduled sources that a file names.
    pub(super) sources: BTreeMap<String, Block>,
    /// The file that was read, if any.
    pub(super) file: Option<PathBuf>,
}

impl Layers {
    /// Reads every layer, the lowest first.
    pub(super) fn read(flags: &Flags, around: &Surroundings) -> Result<Self, ConfigError> {
        let mut layers = Self::default();
        layers.document(DEFAULTS, &Document::Defaults)?;
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

    fn set(&mut self, path: &'static str, text: String, origin: Origin) {
        self.given.insert(path, Said { text, origin });
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
        self.document(&text, &Document::File(file.to_owned()))?;
        Ok(true)
    }

    fn document(&mut self, text: &str, document: &Document) -> Result<(), ConfigError> {
        let root = yaml::read(text).map_err(|Fault { line, words }| ConfigError::Malformed {
            origin: document.at(line),
            path: String::new(),
            words,
        })?;
        let Parts {
            settings,
            keyspaces,
            sources,
        } = Parts::of(&root, document)?;
        let block = |(name, Named { value, line })| {
            let document = document.clone();
            let block = Block {
                value,
                line,
                document,
            };
            (name, block)
        };
        // Each is one thing: what a lower file said about the same name does not shine through.
        self.keyspaces.extend(keyspaces.into_iter().map(block));
        self.sources.extend(sources.into_iter().map(block));
        for (path, Words { text, line }) in settings {
            self.set(path, text, document.at(line));
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
    if let Some((known, _)) = said::kind(path) {
        return Ok(known);
    }
    let (origin, path) = (Origin::Variable(name.to_owned()), path.to_owned());
    if said::is_named(&path) {
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
