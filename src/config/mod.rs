//! What was said about this process, and what it means.
//!
//! Two steps, two kinds of type. [`layers`] collects words: file by file, variable by variable, each setting with the
//! place where it was said, the higher layer covering the lower one. [`options`], [`keyspaces`] and [`movement`] read the
//! words and give every component its own checked `Options`; what may be shown of the words is noted down on the way.
//! Nobody but `main`, `cli` and `server` may import this module: a component that could see the configuration would soon
//! depend on all of it.

mod error;
mod given;
mod keyspaces;
mod layers;
mod movement;
mod options;
mod path;
mod reader;
mod said;
mod secrets;
mod section;
#[cfg(test)]
mod tests;
mod tokens;
mod value;
mod yaml;

use std::path::PathBuf;

pub use error::ConfigError;
pub use given::Given;
pub use layers::{DEFAULTS, Flags, Origin, Surroundings};
pub use path::SettingPath;
pub use reader::Reader;

use crate::{logging, server};
use layers::Layers;
use options::Checked;
use section::Notes;

/// A configuration that was read, checked, and means something.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the server, its storage and its limits.
    pub server: server::Options,
    /// For the log of messages.
    pub logging: logging::Options,
    /// What was said in a way that we understand but advise against: one sentence each.
    pub warnings: Vec<String>,
    /// The configuration file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// How every setting holds and where that was said, in the order in which it is shown.
    effective: Vec<(SettingPath, Given)>,
}

impl Config {
    /// Reads all layers and checks every value.
    pub fn load(flags: &Flags, around: &Surroundings) -> Result<Self, ConfigError> {
        let layers = Layers::read(flags, around)?;
        let Checked {
            server,
            logging,
            notes,
        } = options::check(&layers)?;
        let Notes { given, warnings } = notes;
        Ok(Self {
            server,
            logging,
            warnings,
            file: layers.file,
            effective: given,
        })
    }

    /// How every setting holds and where that was said: those of the default file in its order, then the keyspaces, then the
    /// sources, each by name. The settings of a section stand together.
    pub fn effective(&self) -> impl Iterator<Item = (&SettingPath, &Given)> {
        self.effective.iter().map(|(path, given)| (path, given))
    }
}

/// A name as YAML that reads as that name again.
pub fn yaml_name(name: &str) -> String {
    yaml::scalar(name)
}
