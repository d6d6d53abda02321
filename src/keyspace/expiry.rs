//! When entries leave: what a ttl comes to, and changes of it that leave the value alone. It must not know how a ttl is
//! written.

use super::role::Changing;
use super::values::{Acknowledged, Change, Refusal, Ttl, Values};
use crate::engine::{Entry, Touched};

impl Values {
    /// Lets `key` leave after `ttl`; `None` where the key is absent. An expiry that changes makes a new version.
    pub async fn set_ttl(
        &self,
        key: &[u8],
        ttl: Ttl,
        change: &Change,
    ) -> Result<Option<(Entry, Acknowledged)>, Refusal> {
        self.check_key(key)?;
        let (until, acknowledged) = self.acknowledge(change.durability)?;
        self.before(Changing::Key(key)).await?;
        let touched = self
            .entries
            .touch(key, self.expiry(ttl), &change.when, until)
            .await?;
        match touched {
            Touched::Set(entry) => Ok(Some((entry, acknowledged))),
            Touched::Absent => Ok(None),
            Touched::Refused(current) => Err(Refusal::ConditionFailed { current }),
        }
    }
}
