//! When entries leave: what a ttl comes to, and changes of it that leave the value alone. It must not know how a ttl is
//! written.

use super::role::Changing;
use super::values::{Acknowledged, Change, Refusal, Ttl, Values};
use crate::engine::{Entry, Lifetime, Touched, Writer};

impl Values {
    /// Lets `key` leave after `ttl`; `None` where the key is absent. An expiry that changes makes a new version. The value is to
    /// be kept that long, so it is fresh all the while, whatever was said of that before.
    pub async fn set_ttl(
        &self,
        key: &[u8],
        ttl: Ttl,
        change: &Change,
    ) -> Result<Option<(Entry, Acknowledged)>, Refusal> {
        self.check_key(key)?;
        let (until, acknowledged) = self.acknowledge(change.durability)?;
        let _held = self.before(Changing::Key(key)).await?;
        let lifetime = Lifetime::until(self.expiry(ttl));
        let touched = self
            .entries
            .touch(key, lifetime, &change.when, Writer::Client, until)
            .await?;
        match touched {
            Touched::Set(entry) => Ok(Some((entry, acknowledged))),
            Touched::Absent => Ok(None),
            Touched::Refused(current) => Err(Refusal::ConditionFailed { current }),
            Touched::Foreign(holder) => Err(holder.into()),
        }
    }
}
