//! Word of what happens to keyspaces as a whole: one was emptied, made or dropped. For whoever has to put something there
//! again. It must not know who listens.

use std::sync::Arc;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// What is kept for listeners that are slow; one that has missed something takes it that everything has happened.
const KEPT: usize = 256;

/// The side that tells.
#[derive(Clone, Debug)]
pub(super) struct Teller(Sender<Arc<str>>);

impl Default for Teller {
    fn default() -> Self {
        Self(broadcast::channel(KEPT).0)
    }
}

impl Teller {
    pub(super) fn listen(&self) -> News {
        News(self.0.subscribe())
    }

    /// Tells of a keyspace as soon as what is returned is dropped: then it has happened, or it may have, where whoever did it
    /// is gone before the end.
    pub(super) fn tells_at_the_end(&self, keyspace: &str) -> Telling<'_> {
        Telling {
            teller: self,
            keyspace: keyspace.into(),
        }
    }
}

/// Something that is about to happen.
#[must_use]
pub(super) struct Telling<'t> {
    teller: &'t Teller,
    keyspace: Arc<str>,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let told = self.teller.0.send(Arc::clone(&self.keyspace));
        tracing::trace!(keyspace = &*self.keyspace, listened = told.is_ok(), "news");
    }
}

/// The side that listens.
#[derive(Debug)]
pub struct News(Receiver<Arc<str>>);

impl News {
    /// Resolves when something has happened to `keyspace` since the last time, however often. Nothing is lost where it is
    /// given up.
    pub async fn about(&mut self, keyspace: &str) {
        loop {
            match self.0.recv().await {
                Ok(told) if *told != *keyspace => {}
                Ok(_) | Err(RecvError::Lagged(_)) => break,
                // Nobody is left who could tell: as good as never.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
        while !matches!(
            self.0.try_recv(),
            Err(TryRecvError::Empty | TryRecvError::Closed)
        ) {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn heard(news: &mut News, keyspace: &str) -> bool {
        timeout(Duration::from_millis(20), news.about(keyspace))
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn a_listener_hears_once_of_what_has_happened_often() {
        let teller = Teller::default();
        let mut news = teller.listen();
        for keyspace in ["a", "b", "a", "a"] {
            drop(teller.tells_at_the_end(keyspace));
        }
        assert!(heard(&mut news, "a").await);
        assert!(!heard(&mut news, "a").await);
        let telling = teller.tells_at_the_end("a");
        assert!(!heard(&mut news, "a").await);
        drop(telling);
        assert!(heard(&mut news, "a").await);
    }

    #[tokio::test]
    async fn who_has_missed_something_takes_it_that_it_has_happened() {
        let teller = Teller::default();
        let mut news = teller.listen();
        for _ in 0..=KEPT {
            drop(teller.tells_at_the_end("b"));
        }
        assert!(heard(&mut news, "a").await);
        assert!(!heard(&mut news, "a").await);
        for _ in 0..KEPT {
            drop(teller.tells_at_the_end("b"));
        }
        assert!(!heard(&mut news, "a").await);
    }
}
