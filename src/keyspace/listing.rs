//! Lists: the keys of a keyspace in byte order, page by page, and what many of them have in common counted as one. It must
//! not know how a client keeps its place.

use crate::engine::{Keyed, Page};

use super::{Refusal, Values};

/// No key has this byte, because no UTF-8 has: behind a prefix, it is behind every key that begins so.
const BEHIND: u8 = 0xFF;

/// What of a keyspace is to be listed.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// What every key begins with.
    pub prefix: &'a str,
    /// What ends a common prefix, where keys are to be grouped; never empty.
    pub delimiter: Option<&'a str>,
    /// Where to start: behind the place where an earlier page ended.
    pub from: Option<&'a [u8]>,
    /// The most keys and common prefixes together.
    pub limit: usize,
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The keys that share no prefix with others.
    pub entries: Vec<Keyed>,
    /// The common prefixes: from the keys' beginning to the first delimiter behind the prefix that was asked for.
    pub prefixes: Vec<String>,
    /// The place where this page ends; `None` where nothing is behind it.
    pub next: Option<Vec<u8>>,
}

impl Listed {
    fn len(&self) -> usize {
        self.entries.len() + self.prefixes.len()
    }
}

impl Listing<'_> {
    /// The place behind `item`, which is a key or a common prefix of such a list. A key that lies under a common prefix
    /// is behind that as soon as the prefix was shown, so the prefix is not shown again.
    pub fn behind(prefix: &str, delimiter: Option<&str>, item: &str) -> Vec<u8> {
        match common_prefix(item.as_bytes(), prefix, delimiter) {
            None => item.as_bytes().to_vec(),
            Some(common) => behind(common),
        }
    }

    fn common_prefix<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        common_prefix(key, self.prefix, self.delimiter)
    }
}

fn behind(common: &[u8]) -> Vec<u8> {
    [common, &[BEHIND]].concat()
}

/// The part of `key` up to the first delimiter behind `prefix`, the delimiter included.
fn common_prefix<'k>(key: &'k [u8], prefix: &str, delimiter: Option<&str>) -> Option<&'k [u8]> {
    let delimiter = delimiter?.as_bytes();
    let rest = key.strip_prefix(prefix.as_bytes())?;
    let at = rest
        .windows(delimiter.len())
        .position(|window| window == delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

impl Values {
    /// A page of the keys.
    ///
    /// Every key that begins with a common prefix lies in one piece of the order, so a group that was counted is passed by
    /// starting again behind it: what that costs does not depend on how many keys it has.
    pub async fn list(&self, listing: &Listing<'_>) -> Result<Listed, Refusal> {
        let mut listed = Listed::default();
        let mut place = listing.from.map(<[u8]>::to_vec);
        loop {
            // One more than is wanted, so that the last page is known to be the last one.
            let limit = listing.limit - listed.len() + 1;
            let page = self.page(listing.prefix.as_bytes(), place.as_deref(), limit);
            let Page { entries, end } = page.await?;
            for keyed in entries {
                // What lies in the group that was counted last.
                if place.as_deref().is_some_and(|place| *keyed.key <= *place) {
                    continue;
                }
                if listed.len() == listing.limit {
                    listed.next = place;
                    return Ok(listed);
                }
                match listing.common_prefix(&keyed.key) {
                    None => {
                        place = Some(keyed.key.to_vec());
                        listed.entries.push(keyed);
                    }
                    Some(common) => {
                        place = Some(behind(common));
                        let text = String::from_utf8_lossy(common).into_owned();
                        listed.prefixes.push(text);
                    }
                }
            }
            if end {
                return Ok(listed);
            }
            // Many large groups are many searches: other requests of this thread go in between.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common<'k>(key: &'k str, prefix: &str, delimiter: &str) -> Option<&'k str> {
        let common = common_prefix(key.as_bytes(), prefix, Some(delimiter))?;
        Some(std::str::from_utf8(common).unwrap())
    }

    #[test]
    fn a_common_prefix_ends_with_the_first_delimiter_behind_the_prefix() {
        assert_eq!(common("a/b/c", "", "/"), Some("a/"));
        assert_eq!(common("a/b/c", "a/", "/"), Some("a/b/"));
        assert_eq!(common("a/b/c", "a/b/", "/"), None);
        assert_eq!(common("a/", "a/", "/"), None);
        assert_eq!(common("a--b", "a-", "--"), None);
        assert_eq!(common("a//b", "a", "//"), Some("a//"));
        assert_eq!(common_prefix(b"a/b", "", None), None);
    }

    #[test]
    fn behind_a_group_is_behind_every_key_of_it_and_before_every_other() {
        let place = Listing::behind("", Some("/"), "a/b");
        for inside in ["a/", "a/b", "a/zzz", "a/\u{10FFFF}"] {
            assert!(*inside.as_bytes() < *place, "{inside:?}");
        }
        for outside in ["a0", "b", "a\u{80}"] {
            assert!(*outside.as_bytes() > *place, "{outside:?}");
        }
        assert_eq!(Listing::behind("a/", Some("/"), "a/b"), b"a/b");
    }
}
