//! Following the changes of a keyspace.

use super::{Filter, Refusal, Values, Watch, Watching};
use crate::engine::NotKept;

impl Values {
    /// Follows the changes.
    pub fn watch(&self, watching: Watching) -> Result<Watch, Refusal> {
        match &watching.filter {
            Filter::Key(wanted) | Filter::Prefix(wanted) => self.check_key(wanted)?,
        }
        let watch = self.entries.watch(watching);
        watch.map_err(|NotKept| Refusal::Compacted)
    }
}
