//! One run of a source: fetch, compare, keep. It must not know when it is due.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use arc_swap::ArcSwap;

use super::error::RunError;
use super::record::Held;
use super::{Mirrored, Supply};
use crate::keyspace::{Entry, Keyspaces, MediaType, Refusal, Ttl, Value, Values, Version};
use crate::source::{Fetched, Source, Validators, Value as FetchedValue};

/// What a run needs.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) keyspaces: Keyspaces,
    pub(super) mirrored: Arc<ArcSwap<Mirrored>>,
    pub(super) name: Arc<str>,
    pub(super) keyspace: Arc<str>,
    pub(super) source: Source,
    /// What it means that there is no value.
    pub(super) absent: &'static str,
    /// What the source said of the value that is kept in this version.
    pub(super) known: Option<(Version, Validators)>,
}

/// What it means that a source has no value.
pub(super) fn absence(supply: &Supply) -> &'static str {
    match supply {
        Supply::Static(_) => "nothing was said",
        Supply::Http(_) => "the answer was 404 or 410",
        Supply::File(_) => "there is no such file",
    }
}

impl Run {
    /// Fetches the value and keeps it; where it is the one that is kept, nothing is written.
    pub(super) async fn once(&mut self) -> Result<Held, RunError> {
        caught(self.attempt()).await.unwrap_or_else(|Panicked| {
            tracing::error!(
                source = &*self.name,
                "the run of a source panicked, which is a fault of Standpipe"
            );
            Err(RunError::Panicked)
        })
    }

    async fn attempt(&mut self) -> Result<Held, RunError> {
        let values = self.values()?;
        let kept = self.kept(&values).await?;
        let known = kept.and_then(|kept| self.validators(&kept));
        if let Some((version, validators)) = known {
            match self.source.fetch(None, &validators).await? {
                // Where it has left meanwhile it is asked for again, without a condition.
                Fetched::NotModified { .. } => {
                    if let Some(kept) = self.kept(&values).await?
                        && kept.version == version
                    {
                        return Ok(self.held(kept.value.len()));
                    }
                }
                Fetched::Value(value) => return self.keep(&values, value).await,
                Fetched::Absent => return Err(RunError::Absent(self.absent)),
            }
        }
        match self.source.fetch(None, &Validators::default()).await? {
            Fetched::Value(value) => self.keep(&values, value).await,
            Fetched::NotModified { .. } | Fetched::Absent => Err(RunError::Absent(self.absent)),
        }
    }

    /// Whether the value is there.
    pub(super) async fn is_kept(&self) -> Result<bool, Refusal> {
        let values = match self.keyspaces.values(&self.keyspace) {
            Ok(values) => values,
            Err(Refusal::KeyspaceNotFound { .. }) => return Ok(false),
            Err(refusal) => return Err(refusal),
        };
        match self.kept(&values).await {
            Ok(kept) => Ok(kept.is_some()),
            Err(Refusal::KeyTaken) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    fn values(&self) -> Result<Values, RunError> {
        if self.mirrored.load().contains(&*self.keyspace) {
            let keyspace = self.keyspace.to_string();
            return Err(RunError::Mirrored { keyspace });
        }
        Ok(self.keyspaces.values(&self.keyspace)?)
    }

    /// The entry that this source wrote; a failure where somebody else's is there, before anybody is called for nothing.
    async fn kept(&self, values: &Values) -> Result<Option<Entry>, Refusal> {
        let Some(entry) = values.find(self.name.as_bytes()).await? else {
            return Ok(None);
        };
        if entry.owner.as_deref() == Some(&*self.name) {
            Ok(Some(entry))
        } else {
            Err(Refusal::KeyTaken)
        }
    }

    fn validators(&self, kept: &Entry) -> Option<(Version, Validators)> {
        self.known
            .clone()
            .filter(|(version, validators)| *version == kept.version && !validators.is_empty())
    }

    async fn keep(&mut self, values: &Values, fetched: FetchedValue) -> Result<Held, RunError> {
        let media_type = MediaType::choose(fetched.media_type.as_deref(), &fetched.bytes);
        let encoding = fetched.content_encoding.as_deref();
        let kept = self.kept(values).await?.filter(|kept| {
            kept.value == fetched.bytes
                && kept.media_type.as_str() == media_type
                && kept.content_encoding.as_deref() == encoding
        });
        let version = if let Some(kept) = kept {
            kept.version
        } else {
            let value = Value {
                key: self.name.as_bytes(),
                media_type,
                content_encoding: encoding,
                // Whoever fetches a value again and again says with that how long it is good.
                ttl: Ttl::Forever,
            };
            let put = values.put_for_source(&self.name, &value, &fetched.bytes);
            put.await?.version
        };
        self.known = Some((version, fetched.validators));
        Ok(self.held(fetched.bytes.len()))
    }

    fn held(&self, len: usize) -> Held {
        Held {
            len,
            confirmed_at_ms: self.keyspaces.now_ms(),
        }
    }
}

/// Work that panicked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Panicked;

/// What became of `work`; a panic in it is one of the answers. Nothing of it is used afterwards.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(_told) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_work_and_nothing_else() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let broken = caught(async {
            tokio::task::yield_now().await;
            panic!("a test");
        });
        assert_eq!(broken.await, Err::<(), _>(Panicked));
    }
}
