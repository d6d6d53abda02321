//! One generation in one transaction. It must not know which database that is.
//!
//! 1. Begin, and take the note of the last generation, which nobody else can change until this transaction has ended. A
//!    transaction of ours whose end is not known yet holds it: it is waited for.
//! 2. Decide by the note ([`super::super::ahead`]).
//! 3. Apply the changes page by page. Rows that are refused for good are found by halving, with a mark to go back to, and
//!    are set aside, durably, while this transaction is still open: from then on they are nothing that it has to do.
//! 4. Note the generation and commit.
//!
//! A crash or a lost connection before the commit leaves nothing here; what was set aside stays so, and the rest is applied
//! by the next attempt. After it the note says that nothing is left to do.

use std::ops::Range;
use std::sync::Arc;

use super::session::{Does, Session};
use crate::sink::ahead::{Note, Verdict, judge};
use crate::sink::ledger::{Applied, Choice, Fault, Ledger, Unapplied, check_room};
use crate::sink::row::{Change, Refused, Row};

/// The most bytes of keys and values in one statement of several rows.
const STATEMENT_BYTES: usize = 1 << 20;

/// Applies a generation. After any failure but [`Unapplied::Ahead`] the session has to be dropped: nobody knows where it stands.
pub(in crate::sink) async fn apply<L: Ledger>(
    session: &mut Session,
    ledger: &L,
    choice: Option<Choice>,
) -> Result<Applied, Unapplied<L::Failure>> {
    session.begin().await?;
    let ours = ledger.generation();
    let note = session.note(ledger.identity()).await?;
    let verdict = judge(ours, ledger.keys(), note, |mark| ledger.knows(mark));
    let nothing = Applied {
        keys: 0,
        refused: 0,
        before: false,
        after_a_gap: false,
    };
    let (after_a_gap, skipped) = match (verdict, choice) {
        (Verdict::Applied, _) => {
            session.roll_back().await?;
            return Ok(Applied {
                before: true,
                ..nothing
            });
        }
        (Verdict::Ahead(ahead), None) => {
            session.roll_back().await?;
            return Err(Unapplied::Ahead(ahead));
        }
        (Verdict::Ahead(_), Some(Choice::Skip)) => (false, true),
        (Verdict::Ahead(_), Some(Choice::Resend)) => (false, false),
        (Verdict::Apply { after_a_gap }, _) => (after_a_gap, false),
    };
    let refused = if skipped {
        0
    } else {
        rows(session, ledger).await?
    };
    let keys = ledger.keys();
    let note = Note {
        generation: ours,
        keys,
    };
    session
        .set_note(ledger.identity(), ledger.keyspace(), note)
        .await?;
    session.commit().await?;
    Ok(Applied {
        keys: if skipped { 0 } else { keys },
        refused,
        after_a_gap,
        ..nothing
    })
}

/// Applies every row, and returns how many were refused for good and are set aside.
async fn rows<L: Ledger>(session: &mut Session, ledger: &L) -> Result<u64, Unapplied<L::Failure>> {
    let mut count = 0_u64;
    let mut after: Option<Box<[u8]>> = None;
    loop {
        let page = ledger.page(after.as_deref(), session.batch()).await;
        let (rows, next) = page.map_err(Unapplied::Ledger)?;
        let mut refused = Vec::new();
        for (does, mut rows) in sorted(session, rows, &mut refused) {
            while !rows.is_empty() {
                let rest = rows.split_off(statement_len(&rows));
                halve(session, does, &rows, ledger.room(), &mut refused).await?;
                rows = rest;
            }
        }
        check_room(ledger.room(), &refused)?;
        if !refused.is_empty() {
            let set_aside = ledger.set_aside(&refused).await;
            set_aside.map_err(Unapplied::Ledger)?;
            count = count.saturating_add(refused.len().try_into().unwrap_or(u64::MAX));
        }
        match next {
            None => return Ok(count),
            Some(place) => after = Some(place),
        }
    }
}

/// The rows by what becomes of them, without those of which it can be told that they would not stay what they are.
fn sorted(session: &Session, rows: Vec<Row>, refused: &mut Vec<Refused>) -> [(Does, Vec<Row>); 3] {
    let shape = session.shape();
    let (mut add, mut put, mut remove) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let key = shape.key.check(&row.key);
        let told = key
            .map_err(|why| format!("key: {why}"))
            .and_then(|()| match &row.change {
                Change::Put(value) => shape
                    .value
                    .check(&value.bytes)
                    .map_err(|why| format!("value: {why}")),
                Change::Add(_) | Change::Remove => Ok(()),
            });
        if let Err(reason) = told {
            refused.push(Refused {
                key: row.key,
                reason: reason.into(),
            });
            continue;
        }
        match row.change {
            Change::Add(_) => add.push(row),
            Change::Put(_) => put.push(row),
            Change::Remove => remove.push(row),
        }
    }
    [(Does::Add, add), (Does::Put, put), (Does::Remove, remove)]
}

/// How many of the rows go into one statement: at least one.
fn statement_len(rows: &[Row]) -> usize {
    let mut bytes = 0_usize;
    let fit = rows.iter().take_while(|row| {
        bytes = bytes.saturating_add(row.weight());
        bytes <= STATEMENT_BYTES
    });
    fit.count().max(1).min(rows.len())
}

/// Runs a statement for the rows; where one of them is refused, for each half of them, down to that row.
async fn halve<F>(
    session: &mut Session,
    does: Does,
    rows: &[Row],
    room: u64,
    refused: &mut Vec<Refused>,
) -> Result<(), Unapplied<F>> {
    // The first part lies on top, so that the order of the keys is kept.
    let mut parts: Vec<Range<usize>> = vec![0..rows.len()];
    while let Some(part) = parts.pop() {
        let some = rows.get(part.clone()).unwrap_or_default();
        session.mark().await?;
        match session.run(does, some).await {
            Ok(()) => session.unmark().await?,
            Err(Fault::Refused(reason)) => {
                session.go_back().await?;
                if let [one] = some {
                    single(session, does, one, &reason, refused).await?;
                    check_room(room, refused)?;
                } else {
                    let middle = part.start + part.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
            }
            Err(fault) => return Err(fault.into()),
        }
    }
    Ok(())
}

/// A row that was refused alone: a sum may still be added to a row that is there.
async fn single(
    session: &mut Session,
    does: Does,
    row: &Row,
    reason: &str,
    refused: &mut Vec<Refused>,
) -> Result<(), Fault> {
    let mut reason: Arc<str> = reason.into();
    if does == Does::Add {
        session.mark().await?;
        match session.add_to_existing(row).await {
            Ok(true) => return session.unmark().await,
            Ok(false) => session.unmark().await?,
            Err(Fault::Refused(why)) => {
                session.go_back().await?;
                reason = why.into();
            }
            Err(fault) => return Err(fault),
        }
    }
    refused.push(Refused {
        key: row.key.clone(),
        reason,
    });
    Ok(())
}
