//! Reading a mirrored keyspace: what could not be stored lies over what is stored. It is looked at first, because it may be stored
//! in the meantime: then it is met twice, never not at all.

use bytes::Bytes;

use super::Mirrored;
use super::current::Freshness;
use super::overlay::Over;
use crate::engine::{Entry, Failure, Keyed, Page};
use crate::keyspace::Values;

/// A part of what lies over a keyspace.
struct Part {
    keys: Vec<(Bytes, Over)>,
    /// Whether more lies behind the last of them.
    more: bool,
}

impl Mirrored {
    /// What `key` stands for, where that is not stored.
    #[inline]
    pub(in crate::keyspace) fn over(&self, key: &[u8]) -> Option<Over> {
        if !self.is_laid_over() {
            return None;
        }
        self.over.read().of(key).cloned()
    }

    /// How current an answer with `entry` is.
    pub(in crate::keyspace) fn freshness(
        &self,
        key: &[u8],
        entry: &Entry,
        now_ms: u64,
    ) -> Freshness {
        self.current.read().of(key, entry, now_ms)
    }

    fn part(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Part {
        let over = self.over.read();
        let mut keys = over
            .range(prefix, after)
            .map(|(key, over)| (key.clone(), over.clone()));
        let part = keys.by_ref().take(most).collect();
        Part {
            keys: part,
            more: keys.next().is_some(),
        }
    }
}

impl Values {
    /// What `key` stands for, where that is not stored.
    #[inline]
    pub(in crate::keyspace) fn over(&self, key: &[u8]) -> Option<Over> {
        self.mirrored()?.over(key)
    }

    /// How current an answer with `entry` is, where that is somebody else's.
    #[inline]
    pub fn freshness(&self, key: &[u8], entry: &Entry) -> Option<Freshness> {
        let mirrored = self.mirrored()?;
        Some(mirrored.freshness(key, entry, self.engine.now_ms()))
    }

    /// Up to `limit` entries whose keys begin with `prefix`, in byte order, behind `after` where that is given.
    pub(in crate::keyspace) async fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, Failure> {
        let Some(mirrored) = self.mirrored().filter(|mirrored| mirrored.is_laid_over()) else {
            return self.entries.page(prefix, after, limit).await;
        };
        let mut after = after.map(Bytes::copy_from_slice);
        loop {
            let part = mirrored.part(prefix, after.as_deref(), limit);
            let stored = self.entries.page(prefix, after.as_deref(), limit).await?;
            let (page, next) = merged(stored, part, limit);
            if page.end || !page.entries.is_empty() {
                return Ok(page);
            }
            after = next;
        }
    }
}

/// What is stored with what lies over it, as far as both are known, and the place up to which that is.
fn merged(stored: Page, part: Part, limit: usize) -> (Page, Option<Bytes>) {
    let last_stored = stored.entries.last().map(|last| last.key.clone());
    let stored_to = last_stored.filter(|_| !stored.end);
    let over_to = part.keys.last().map(|(key, _)| key.clone());
    let over_to = over_to.filter(|_| part.more);
    let to = match (stored_to, over_to) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    let known = |key: &Bytes| to.as_ref().is_none_or(|to| key <= to);
    let mut entries = Vec::with_capacity(limit);
    let mut over = part
        .keys
        .into_iter()
        .filter(|(key, _)| known(key))
        .peekable();
    for keyed in stored.entries.into_iter().filter(|keyed| known(&keyed.key)) {
        while let Some((key, over)) = over.next_if(|(key, _)| *key < keyed.key) {
            entries.extend(over.into_entry().map(|entry| Keyed { key, entry }));
        }
        match over.next_if(|(key, _)| *key == keyed.key) {
            Some((key, over)) => {
                entries.extend(over.into_entry().map(|entry| Keyed { key, entry }));
            }
            None => entries.push(keyed),
        }
    }
    for (key, over) in over {
        entries.extend(over.into_entry().map(|entry| Keyed { key, entry }));
    }
    let end = to.is_none() && entries.len() <= limit;
    entries.truncate(limit);
    (Page { entries, end }, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{MediaType, Version};

    fn keyed(key: &str) -> Keyed {
        Keyed {
            key: Bytes::copy_from_slice(key.as_bytes()),
            entry: Entry {
                value: Bytes::new(),
                version: Version {
                    mark: 1,
                    revision: 1,
                },
                media_type: MediaType::Text,
                content_encoding: None,
                created_at_ms: 0,
                expires_at_ms: None,
                stale_at_ms: None,
                owner: None,
            },
        }
    }

    fn page(keys: &[&str], end: bool) -> Page {
        let entries = keys.iter().map(|key| keyed(key)).collect();
        Page { entries, end }
    }

    fn gone(keys: &[&str], more: bool) -> Part {
        let key = |key: &&str| (Bytes::copy_from_slice(key.as_bytes()), Over::Gone);
        Part {
            keys: keys.iter().map(key).collect(),
            more,
        }
    }

    fn keys((page, to): (Page, Option<Bytes>)) -> (Vec<String>, bool, Option<String>) {
        let text = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
        let keys = page.entries.iter().map(|keyed| text(&keyed.key)).collect();
        (keys, page.end, to.as_ref().map(text))
    }

    #[test]
    fn what_is_gone_is_left_out() {
        let merged = merged(
            page(&["a", "b", "c"], true),
            gone(&["a", "b2", "c"], false),
            9,
        );
        assert_eq!(keys(merged), (vec!["b".to_owned()], true, None));
    }

    #[test]
    fn a_page_goes_as_far_as_both_are_known() {
        let to = |to: &str| Some(to.to_owned());
        let one = merged(page(&["a", "b"], false), gone(&["a", "b", "c"], false), 2);
        assert_eq!(keys(one), (vec![], false, to("b")));
        let other = merged(page(&["a", "b", "c"], true), gone(&["a", "b"], true), 3);
        assert_eq!(keys(other), (vec![], false, to("b")));
        let both = merged(page(&["b", "d"], false), gone(&["a", "c"], true), 2);
        assert_eq!(keys(both), (vec!["b".to_owned()], false, to("c")));
    }
}
