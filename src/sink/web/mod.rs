//! Whoever takes batches over HTTP as a target: a generation is posted part by part, each at least once. It must not know when
//! that happens.
//!
//! Every part has a name that is the same for every attempt, also behind a crash: whoever remembers the names of what it has
//! taken takes nothing twice. A part that is refused is halved until the row is found; such rows are set aside at the end,
//! because the parts behind them would be others without them.

mod answer;
mod body;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::ledger::{Applied, Fault, Ledger, Page, Unapplied};
use super::options::{HttpTarget, Mode, Options};
use super::parts::{Parts, fitting};
use super::row::{Generation, Refused, Row};
use crate::outbound::{Auth, Call, HeaderMap, HeaderValue, Method, Opened, Outbound, Url, origin};
use body::Part;

/// The most bytes of keys and values in one part of several rows.
const PART_BYTES: usize = 1 << 20;
/// The most rows that are refused and not set aside yet.
const MOST_REFUSED: usize = 10_000;
/// The most bytes of an answer that are read, so that its connection can be used again. Nothing looks at them.
const ANSWER_BYTES: usize = 64 << 10;

/// Posts to one address.
#[derive(Debug)]
pub(super) struct Poster {
    outbound: Outbound,
    target: HttpTarget,
    /// `None` where the endpoint is none.
    url: Option<Url>,
    mode: Mode,
    timeout: Duration,
    batch: usize,
    progress: Option<Progress>,
}

/// How far a generation has come, so that the next attempt goes on there.
#[derive(Debug)]
struct Progress {
    generation: Generation,
    /// The number of the next part.
    part: u64,
    after: Option<Box<[u8]>>,
    refused: Vec<Refused>,
    /// How many were set aside already.
    set_aside: u64,
}

impl Progress {
    fn of(generation: Generation) -> Self {
        Self {
            generation,
            part: 0,
            after: None,
            refused: Vec::new(),
            set_aside: 0,
        }
    }
}

impl Poster {
    pub(super) fn new(outbound: Outbound, target: &HttpTarget, options: &Options) -> Self {
        Self {
            outbound,
            url: target.endpoint.parse().ok(),
            target: target.clone(),
            mode: options.mode,
            timeout: options.timeout,
            batch: options.batch,
            progress: None,
        }
    }

    /// What may be shown of the address.
    pub(super) fn shown_address(&self) -> Result<String, Fault> {
        self.url().map(origin)
    }

    fn url(&self) -> Result<&Url, Fault> {
        self.url
            .as_ref()
            .ok_or_else(|| Fault::Unsuitable("endpoint is no address of http or https".to_owned()))
    }

    /// Posts what of a generation was not taken yet.
    pub(super) async fn send<L: Ledger>(
        &mut self,
        ledger: &L,
    ) -> Result<Applied, Unapplied<L::Failure>> {
        let ours = ledger.generation();
        let known = self.progress.take();
        let known = known.filter(|progress| progress.generation == ours);
        let progress = self
            .progress
            .insert(known.unwrap_or_else(|| Progress::of(ours)));
        let mut progress = std::mem::replace(progress, Progress::of(ours));
        let sent = self.go_on(ledger, &mut progress).await;
        let applied = sent.map(|()| Applied {
            keys: ledger.keys(),
            refused: progress.set_aside,
            ..Applied::default()
        });
        self.progress = Some(progress);
        applied
    }

    async fn go_on<L: Ledger>(
        &self,
        ledger: &L,
        progress: &mut Progress,
    ) -> Result<(), Unapplied<L::Failure>> {
        let headers = self.headers().await?;
        loop {
            let page = ledger.page(progress.after.as_deref(), self.batch).await;
            let Page { rows, next } = page.map_err(Unapplied::Ledger)?;
            let (some, rest) = rows.split_at(fitting(&rows, PART_BYTES));
            if let Some(last) = some.last() {
                self.post(ledger, &headers, some, progress).await?;
                progress.part += 1;
                // What was taken is not sent again by this process. The next part begins here, wherever a page ends, so that
                // it is the same one for whoever goes on and for whoever begins again.
                progress.after = Some((*last.key).into());
            }
            let is_last = rest.is_empty() && next.is_none();
            if is_last || progress.refused.len() >= MOST_REFUSED {
                set_aside(ledger, progress).await?;
            }
            if is_last {
                return Ok(());
            }
            if let Some(place) = next.filter(|_| rest.is_empty()) {
                progress.after = Some(place);
            }
        }
    }

    /// Posts rows; where they are refused, each half of them, down to the row.
    async fn post<L: Ledger>(
        &self,
        ledger: &L,
        headers: &HeaderMap,
        rows: &[Row],
        progress: &mut Progress,
    ) -> Result<(), Unapplied<L::Failure>> {
        let mut refused = Vec::new();
        let mut parts = Parts::whole(rows.len());
        while let Some(range) = parts.next() {
            let part = Part {
                identity: ledger.identity(),
                keyspace: ledger.keyspace(),
                generation: ledger.generation(),
                number: progress.part,
                mode: self.mode,
                rows: rows.get(range.clone()).unwrap_or_default(),
            };
            match self.ask(headers.clone(), &part).await {
                Ok(()) => {}
                Err(Fault::Refused(reason)) => {
                    if let [one] = part.rows {
                        let reason: Arc<str> = reason.into();
                        let key = one.key.clone();
                        refused.push(Refused { key, reason });
                    } else {
                        parts.halve(range);
                    }
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        progress.refused.append(&mut refused);
        Ok(())
    }

    async fn ask(&self, mut headers: HeaderMap, part: &Part<'_>) -> Result<(), Fault> {
        headers.insert("idempotency-key", text(&part.name()));
        let (url, origin) = (self.url()?.clone(), self.shown_address()?);
        let call = Call {
            method: Method::POST,
            url,
            headers,
            body: part.to_json().into(),
        };
        let failed = |text: String| Fault::Failed(text);
        let client = self.outbound.client(self.target.ca.as_deref());
        let client = client.map_err(|error| failed(error.to_string()))?;
        let asked = async {
            let mut opened = client
                .open(call)
                .await
                .map_err(|error| failed(error.to_string()))?;
            let told = (opened.status, opened.headers.clone());
            drain(&mut opened).await;
            Ok(told)
        };
        let (status, headers) = timeout(self.timeout, asked)
            .await
            .unwrap_or_else(|_elapsed| {
                let ms = self.timeout.as_millis();
                Err(failed(format!(
                    "{origin}: no answer within {ms} ms (timeout)"
                )))
            })?;
        answer::judge(status, &headers, &origin)
    }

    /// Those of the operator, with what makes them ours.
    async fn headers(&self) -> Result<HeaderMap, Fault> {
        let mut headers = self.target.headers.clone();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let Some(Auth { user, password }) = self.target.auth.clone() else {
            return Ok(headers);
        };
        let password = spawn_blocking(move || password.reveal()).await;
        let password = password
            .expect("the thread ends with what it read")
            .map_err(|error| Fault::Failed(format!("the password cannot be read: {error}")))?;
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let mut value = text(&format!("Basic {pair}"));
        value.set_sensitive(true);
        headers.insert("authorization", value);
        Ok(headers)
    }
}

async fn set_aside<L: Ledger>(
    ledger: &L,
    progress: &mut Progress,
) -> Result<(), Unapplied<L::Failure>> {
    if progress.refused.is_empty() {
        return Ok(());
    }
    ledger.set_aside(&progress.refused).await?;
    let count = u64::try_from(progress.refused.len()).unwrap_or(u64::MAX);
    progress.set_aside = progress.set_aside.saturating_add(count);
    progress.refused.clear();
    Ok(())
}

/// Reads what nobody looks at.
async fn drain(opened: &mut Opened) {
    if let Err(error) = opened.body(ANSWER_BYTES).await {
        // The status was told, and that is the answer.
        tracing::debug!(%error, "the rest of an answer was not read");
    }
}

fn text(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("letters, digits and signs that a header may hold")
}
