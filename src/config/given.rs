//! How a setting holds, as it may be shown to anybody: the words, secrets masked, and where they came from. It must not know
//! what they mean.

use super::layers::Origin;
use super::{secrets, yaml};

/// What kind of YAML the words of a setting are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// A text.
    Scalar,
    /// Texts with commas between them.
    List,
    /// YAML in flow style already.
    Flow,
}

/// How a setting holds after all layers, as it may be shown to anybody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Given {
    /// In its own spelling, `***` for what is secret; a list's items with commas between them.
    pub text: String,
    /// Which layer it came from.
    pub origin: Origin,
    form: Form,
    /// What a secret is told from another one by; it tells nothing about it.
    mark: Option<u64>,
}

impl Given {
    /// Of the words `whole` only `shown` may be seen.
    pub(super) fn new(form: Form, shown: String, whole: &str, origin: Origin) -> Self {
        let mark = (shown != whole).then(|| secrets::mark(whole));
        Self {
            text: shown,
            origin,
            form,
            mark,
        }
    }

    /// The value as YAML that could be given back, on one line.
    pub fn yaml(&self) -> String {
        match self.form {
            Form::Scalar => yaml::scalar(&self.text),
            Form::Flow => self.text.clone(),
            Form::List => {
                let items = self.text.split(',').filter(|item| !item.is_empty());
                let items: Vec<String> = items.map(yaml::scalar).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }

    /// Words that differ where the setting does, also where a secret does. No secret is in them.
    pub fn words(&self) -> String {
        match self.mark {
            None => self.text.clone(),
            Some(mark) => format!("{} ({mark:016x})", self.text),
        }
    }
}
