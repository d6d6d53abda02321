//! Following the changes of a keyspace.

use super::{Filter, Refusal, Values, Watch, Watching};

impl Values {
    /// Follows the changes.
    pub fn watch(&self, watching: Watching) -> Result<Watch, Refusal> {
        match &watching.filter {
            Filter::Key(wanted) | Filter::Prefix(wanted) => self.check_key(wanted)?,
        }
        Watch::begin(self.clone(), watching)
    }
}
