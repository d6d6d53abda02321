//! Sessions that clients may resume. A resumed session shows no certificate again, so where clients have to show one
//! there are none, and a change of the files ends all that there were.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// The most sessions that are kept; the oldest go first.
const MOST: usize = 1024;

/// Sessions of the certificates of the moment.
#[derive(Debug)]
pub(super) struct Sessions(ArcSwapOption<ServerSessionMemoryCache>);

impl Sessions {
    pub(super) fn new(resumable: bool) -> Self {
        Self(ArcSwapOption::from(fresh(resumable)))
    }

    pub(super) fn replace(&self, resumable: bool) {
        self.0.store(fresh(resumable));
    }
}

fn fresh(resumable: bool) -> Option<Arc<ServerSessionMemoryCache>> {
    resumable.then(|| ServerSessionMemoryCache::new(MOST))
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let cache = self.0.load();
        cache.as_ref().is_some_and(|cache| cache.put(key, value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.load().as_ref().and_then(|cache| cache.get(key))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.load().as_ref().and_then(|cache| cache.take(key))
    }

    fn can_cache(&self) -> bool {
        self.0.load().is_some()
    }
}
