//! Rows in parts: as many as go together, and halves of those that do not. It must not know why they do not.

use std::ops::Range;

use super::row::Row;

/// How many of the rows go together into `most` bytes: at least one, where there is one.
pub(super) fn fitting(rows: &[Row], most: usize) -> usize {
    let mut bytes = 0_usize;
    let fit = rows.iter().take_while(|row| {
        bytes = bytes.saturating_add(row.weight());
        bytes <= most
    });
    fit.count().max(1).min(rows.len())
}

/// Parts of a list that are still to be done, the first on top, so that the order is kept.
#[derive(Debug)]
pub(super) struct Parts(Vec<Range<usize>>);

impl Parts {
    /// All of it in one part.
    pub(super) fn whole(len: usize) -> Self {
        let whole = 0..len;
        Self(vec![whole])
    }

    /// The next part.
    pub(super) fn next(&mut self) -> Option<Range<usize>> {
        self.0.pop()
    }

    /// Puts the two halves of a part back.
    pub(super) fn halve(&mut self, part: Range<usize>) {
        let middle = part.start + part.len() / 2;
        self.0.push(middle..part.end);
        self.0.push(part.start..middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::row::Change;

    fn row(len: usize) -> Row {
        Row {
            key: vec![b'k'; len].into(),
            change: Change::Remove,
        }
    }

    #[test]
    fn rows_go_together_up_to_the_limit_and_one_always_goes() {
        let rows = [row(92), row(92), row(92)];
        assert_eq!(fitting(&rows, 300), 3);
        assert_eq!(fitting(&rows, 299), 2);
        assert_eq!(fitting(&rows, 1), 1);
        assert_eq!(fitting(&[], 1), 0);
    }

    #[test]
    fn halves_come_in_order_down_to_single_ones() {
        let (mut parts, mut single) = (Parts::whole(11), Vec::new());
        while let Some(part) = parts.next() {
            if part.len() > 1 {
                parts.halve(part);
            } else {
                single.push(part.start);
            }
        }
        assert_eq!(single, (0..11).collect::<Vec<_>>());
    }
}
