//! The way to a setting: the names from the top of a file down to it. It must not know what stands there.

use std::fmt;

/// The names from the top of a file down to a setting. Shown with dots between them; a name that could be taken for more
/// than one, or for another, is quoted.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct SettingPath(Vec<String>);

impl SettingPath {
    /// That of a setting with a fixed name, such as `server.tls.cert`.
    pub(super) fn of(dotted: &str) -> Self {
        Self(dotted.split('.').map(str::to_owned).collect())
    }

    /// One step further.
    pub(super) fn join(&self, name: &str) -> Self {
        let mut names = self.0.clone();
        names.push(name.to_owned());
        Self(names)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for SettingPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if !name.is_empty() && name.chars().all(plain) {
                f.write_str(name)?;
            } else {
                write!(f, "{name:?}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_so_that_no_two_look_alike() {
        let path = SettingPath::of("sources").join("a.b").join("rule");
        assert_eq!(path.to_string(), "sources.\"a.b\".rule");
        let other = SettingPath::of("sources.a.b.rule");
        assert_eq!(other.to_string(), "sources.a.b.rule");
        assert_eq!(SettingPath::of("a").join("").to_string(), "a.\"\"");
        assert_eq!(
            SettingPath::of("a").join("x \"y\"\n").to_string(),
            "a.\"x \\\"y\\\"\\n\""
        );
    }
}
