//! A part of a file with names of the operator's above it, read setting by setting into what the components want. What is
//! read is noted down as it holds, secrets masked, so that it can be shown. It must not know what a setting means.

use std::path::PathBuf;

use super::error::ConfigError;
use super::given::{Form, Given};
use super::layers::{Block, Document, Origin};
use super::path::SettingPath;
use super::said;
use super::secrets;
use super::yaml::{Entry, Node};
use crate::outbound::Secret;

/// What becomes of something that is understood and wrong all the same, such as an unknown name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Strictness {
    /// It refuses the file.
    Refuse,
    /// It is a warning.
    Warn,
}

/// What reading has to tell beside what it has read.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Every setting as it holds.
    pub(super) given: Vec<(SettingPath, Given)>,
    /// What deserves a warning: one sentence each.
    pub(super) warnings: Vec<String>,
}

/// How much of a setting's words may be shown.
pub(super) type Show = fn(&str) -> String;

/// A part of a file that is being read.
pub(super) struct Section<'a> {
    entries: Vec<&'a Entry>,
    path: SettingPath,
    line: u64,
    document: &'a Document,
    strictness: Strictness,
    notes: &'a mut Notes,
}

impl<'a> Section<'a> {
    /// Begins to read a part whose settings can only have these names.
    pub(super) fn open(
        block: &'a Block,
        path: SettingPath,
        known: &[&str],
        strictness: Strictness,
        notes: &'a mut Notes,
    ) -> Result<Self, ConfigError> {
        let mut section = Self {
            entries: Vec::new(),
            path,
            line: block.line,
            document: &block.document,
            strictness,
            notes,
        };
        section.fill(&block.value, known)?;
        Ok(section)
    }

    fn fill(&mut self, node: &'a Node, known: &[&str]) -> Result<(), ConfigError> {
        let entries = node
            .section()
            .map_err(|words| self.malformed(node.line, words))?;
        for entry in entries {
            let path = self.path.join(&entry.name);
            let origin = self.document.at(entry.line);
            if !known.contains(&entry.name.as_str()) {
                let nearest = said::closest(&entry.name, known.iter().copied());
                self.object(ConfigError::Unknown {
                    nearest: nearest.map(|near| self.path.join(near).to_string()),
                    origin,
                    path: path.to_string(),
                })?;
                continue;
            }
            let before = self.entries.len();
            self.entries.retain(|other| other.name != entry.name);
            if self.entries.len() < before {
                // The last one counts, where that does not refuse the file.
                let path = path.to_string();
                self.object(ConfigError::Duplicate { origin, path })?;
            }
            self.entries.push(entry);
        }
        Ok(())
    }

    /// A part within this one, if it is there. Nothing behind its name is as if it were not.
    pub(super) fn section(
        &mut self,
        name: &str,
        known: &[&str],
    ) -> Result<Option<Section<'_>>, ConfigError> {
        match self.entry(name) {
            Some(entry) => self.part(entry, known).map(Some),
            None => Ok(None),
        }
    }

    /// A part within this one that has to be there.
    pub(super) fn needed_section(
        &mut self,
        name: &str,
        known: &[&str],
    ) -> Result<Section<'_>, ConfigError> {
        match self.entry(name) {
            Some(entry) => self.part(entry, known),
            None => Err(self.missing(name)),
        }
    }

    /// The one part that is there of some of which there has to be one, and which one that is. Each comes with what it can
    /// say.
    pub(super) fn one_of<'n>(
        &mut self,
        parts: &[(&'n str, &[&str])],
    ) -> Result<(&'n str, Section<'_>), ConfigError> {
        let there = parts
            .iter()
            .filter_map(|(name, known)| Some((*name, *known, self.entry(name)?)));
        let there: Vec<_> = there.collect();
        match *there.as_slice() {
            [(name, known, entry)] => Ok((name, self.part(entry, known)?)),
            [(one, ..), (other, ..), ..] => Err(self.both(one, other)),
            [] => {
                let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
                let names = names.join(", ");
                Err(self.whole(format!("one of these belongs here: {names}")))
            }
        }
    }

    fn part(&mut self, entry: &'a Entry, known: &[&str]) -> Result<Section<'_>, ConfigError> {
        let mut section = Section {
            entries: Vec::new(),
            path: self.path.join(&entry.name),
            line: entry.line,
            document: self.document,
            strictness: self.strictness,
            notes: &mut *self.notes,
        };
        section.fill(&entry.value, known)?;
        Ok(section)
    }

    /// What stands behind a name, unless it is nothing.
    fn entry(&self, name: &str) -> Option<&'a Entry> {
        let named = |entry: &&&Entry| entry.name == name && !entry.value.is_null();
        self.entries.iter().find(named).copied()
    }

    /// Whether something was said about a name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entry(name).is_some()
    }

    /// The value behind a name, whatever its shape.
    pub(super) fn value(&self, name: &str) -> Option<&'a Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The text behind a name.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, ConfigError> {
        let Some(node) = self.value(name) else {
            return Ok(None);
        };
        let text = node.text().map_err(|words| ConfigError::Malformed {
            origin: self.document.at(node.line),
            path: self.path.join(name).to_string(),
            words: words.to_owned(),
        })?;
        Ok(Some(text))
    }

    /// Whether there is more behind a name than an empty text.
    pub(super) fn filled(&self, name: &str) -> Result<bool, ConfigError> {
        Ok(self.text(name)?.is_some_and(|text| !text.is_empty()))
    }

    /// Reads a setting that need not be there; an empty text is as if it were not.
    pub(super) fn given<T>(
        &mut self,
        name: &str,
        show: Show,
        meaning: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        match self.text(name)? {
            None | Some("") => Ok(None),
            Some(text) => self.mean(name, text, show, meaning).map(Some),
        }
    }

    /// Reads a setting that has to be there.
    pub(super) fn needed<T>(
        &mut self,
        name: &str,
        show: Show,
        meaning: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        match self.given(name, show, meaning)? {
            Some(meant) => Ok(meant),
            None => Err(self.missing(name)),
        }
    }

    /// Reads a setting that is `usual` where nothing else was said. Where nothing refuses the file, an empty text says nothing.
    pub(super) fn or<T>(
        &mut self,
        name: &str,
        usual: &str,
        meaning: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        let nothing = |text: &&str| text.is_empty() && self.strictness == Strictness::Warn;
        let said = self.text(name)?.filter(|text| !nothing(text));
        let text = said.unwrap_or(usual);
        self.mean(name, text, secrets::open, meaning)
    }

    fn mean<T>(
        &mut self,
        name: &str,
        text: &str,
        show: Show,
        meaning: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        match meaning(text) {
            Ok(meant) => {
                self.note(name, Form::Scalar, show(text), text);
                Ok(meant)
            }
            Err(problem) => Err(self.wrong(name, &show(text), problem)),
        }
    }

    /// Notes down how a setting holds: what may be seen of it, and what it really is.
    pub(super) fn note(&mut self, name: &str, form: Form, shown: String, whole: &str) {
        let given = Given::new(form, shown, whole, self.origin(name));
        self.notes.given.push((self.path.join(name), given));
    }

    /// Reads a file's name, where there is one.
    pub(super) fn file(&mut self, name: &str) -> Result<Option<PathBuf>, ConfigError> {
        self.given(name, secrets::open, |text| Ok(PathBuf::from(text)))
    }

    /// Reads a secret, which is given by itself or in a file whose name is `file`.
    pub(super) fn secret(
        &mut self,
        name: &str,
        file: &str,
        show: Show,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> Result<Option<Secret>, ConfigError> {
        let given = self.given(name, show, |text| {
            check(text).map(|()| Secret::Given(text.into()))
        })?;
        let in_file = self.file(file)?.map(Secret::File);
        if given.is_some() && in_file.is_some() {
            return Err(self.both(name, file));
        }
        Ok(given.or(in_file))
    }

    /// Where a setting was said, or that it was not.
    pub(super) fn origin(&self, name: &str) -> Origin {
        self.value(name)
            .map_or(Origin::Default, |node| self.document.at(node.line))
    }

    /// Says that something is wrong: as an error where that refuses the file, else as a warning.
    pub(super) fn object(&mut self, error: ConfigError) -> Result<(), ConfigError> {
        match self.strictness {
            Strictness::Refuse => Err(error),
            Strictness::Warn => {
                self.warn(&error);
                Ok(())
            }
        }
    }

    /// Says what is understood but advised against.
    pub(super) fn warn(&mut self, what: &ConfigError) {
        self.notes.warnings.push(what.to_string());
    }

    /// What is wrong with the words of a setting.
    pub(super) fn wrong(&self, name: &str, shown: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            origin: self.origin(name),
            path: self.path.join(name).to_string(),
            value: shown.to_owned(),
            problem: problem.into(),
        }
    }

    /// What is wrong with a setting, whatever its words.
    pub(super) fn ill(&self, name: &str, words: impl Into<String>) -> ConfigError {
        let line = self.entry(name).map_or(self.line, |entry| entry.line);
        ConfigError::Malformed {
            origin: self.document.at(line),
            path: self.path.join(name).to_string(),
            words: words.into(),
        }
    }

    /// What is wrong with the part as a whole.
    pub(super) fn whole(&self, words: impl Into<String>) -> ConfigError {
        self.malformed(self.line, words)
    }

    fn malformed(&self, line: u64, words: impl Into<String>) -> ConfigError {
        ConfigError::Malformed {
            origin: self.document.at(line),
            path: self.path.to_string(),
            words: words.into(),
        }
    }

    fn missing(&self, name: &str) -> ConfigError {
        self.whole(format!("{name} is missing"))
    }

    /// That two settings were said of which there can be one.
    pub(super) fn both(&self, one: &str, other: &str) -> ConfigError {
        self.ill(other, format!("{one} is set as well; keep one of the two"))
    }
}
