//! What was said about this process, and what it means.
//!
//! Two steps, two kinds of type. [`layers`] collects words: file by file, variable by variable, each setting with the
//! place where it was said, the higher layer covering the lower one. [`options`] reads the words and gives every
//! component its own checked `Options`. Nobody but `main`, `cli` and `server` may import this module: a component that
//! could see the configuration would soon depend on all of it.

mod error;
mod keyspaces;
mod layers;
mod options;
mod reader;
mod said;
#[cfg(test)]
mod tests;
mod tokens;
mod value;
mod yaml;

use std::path::PathBuf;

pub use error::ConfigError;
pub use layers::{DEFAULTS, Flags, Given, Origin, Surroundings};
pub use reader::Reader;

use crate::{logging, server};
use layers::Layers;
use options::Checked;

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
    /// Every setting's words and where they came from, in the order of the default file.
    effective: Vec<(String, Given)>,
}

impl Config {
    /// Reads all layers and checks every value.
    pub fn load(flags: &Flags, around: &Surroundings) -> Result<Self, ConfigError> {
        let layers = Layers::read(flags, around)?;
        let Checked {
            server,
            logging,
            warnings,
            defaults,
        } = options::check(&layers)?;
        let mut effective: Vec<_> = layers.given.into_iter().chain(defaults).collect();
        effective.sort_by(|(one, _), (other, _)| said::rank(one).cmp(&said::rank(other)));
        Ok(Self {
            server,
            logging,
            warnings,
            file: layers.file,
            effective,
        })
    }

    /// Every setting's words and where they came from, in the order of the default file.
    pub fn effective(&self) -> impl Iterator<Item = (&str, &Given)> {
        self.effective
            .iter()
            .map(|(path, given)| (path.as_str(), given))
    }
}
