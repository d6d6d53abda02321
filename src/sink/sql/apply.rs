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

use std::sync::Arc;

use super::session::{Does, Session};
use crate::sink::ahead::{Note, Verdict, judge};
use crate::sink::ledger::{Applied, Choice, Decision, Fault, Ledger, Page, Unapplied};
use crate::sink::parts::{Parts, fitting};
use crate::sink::row::{Change, Refused, Row};

/// The most bytes of keys and values in one statement of several rows.
const STATEMENT_BYTES: usize = 1 << 20;

/// Applies a generation. After any failure but [`Unapplied::Ahead`] the session has to be dropped: nobody knows where it stands.
pub(in crate::sink) async fn apply<L: Ledger>(
    session: &mut Session,
    ledger: &L,
    decision: Option<Decision>,
) -> Result<Applied, Unapplied<L::Failure>> {
    session.begin().await?;
    let ours = ledger.generation();
    let note = session.note(ledger.identity()).await?;
    let verdict = judge(ours, ledger.keys(), note, |mark| ledger.knows(mark));
    let (after_a_gap, skips) = match verdict {
        Verdict::Apply { after_a_gap } => (after_a_gap, false),
        Verdict::Applied if cfg!(feature = "bug-sum-sent-again") => (false, false),
        Verdict::Applied => {
            session.roll_back().await?;
            return Ok(Applied {
                before: true,
                ..Applied::default()
            });
        }
        Verdict::Ahead(ahead) => {
            let Some(decision) = decision.filter(|decision| decision.about == ahead) else {
                session.roll_back().await?;
                return Err(Unapplied::Ahead(ahead));
            };
            (false, decision.choice == Choice::Skip)
        }
    };
    let refused = if skips {
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
    let (keys, skipped) = if skips { (0, keys) } else { (keys, 0) };
    Ok(Applied {
        keys,
        refused,
        skipped,
        before: false,
        after_a_gap,
    })
}

/// Applies every row, and returns how many were refused for good and are set aside.
async fn rows<L: Ledger>(session: &mut Session, ledger: &L) -> Result<u64, Unapplied<L::Failure>> {
    let mut count = 0_u64;
    let mut after: Option<Box<[u8]>> = None;
    loop {
        let page = ledger.page(after.as_deref(), session.batch()).await;
        let Page { rows, next } = page.map_err(Unapplied::Ledger)?;
        let mut refused = Vec::new();
        for (does, mut rows) in sorted(session, rows, &mut refused) {
            while !rows.is_empty() {
                let rest = rows.split_off(fitting(&rows, STATEMENT_BYTES));
                halve(session, does, &rows, &mut refused).await?;
                rows = rest;
            }
        }
        if !refused.is_empty() {
            ledger.set_aside(&refused).await?;
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
        if let Err(reason) = shape.check(&row) {
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

/// Runs a statement for the rows; where one of them is refused, for each half of them, down to that row.
async fn halve(
    session: &mut Session,
    does: Does,
    rows: &[Row],
    refused: &mut Vec<Refused>,
) -> Result<(), Fault> {
    let mut parts = Parts::whole(rows.len());
    while let Some(part) = parts.next() {
        let some = rows.get(part.clone()).unwrap_or_default();
        session.mark().await?;
        match session.run(does, some).await {
            Ok(()) => session.unmark().await?,
            Err(Fault::Refused(reason)) => {
                session.go_back().await?;
                if let [one] = some {
                    single(session, does, one, &reason, refused).await?;
                } else {
                    parts.halve(part);
                }
            }
            Err(fault) => return Err(fault),
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
