//! The stream of a watch: asked for, read with a deadline for the next sign of life, taken apart into what it tells. It must not
//! know what becomes of that.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::lines::{Block, HEAD_BYTES, Lines};
use super::told::{Malformed, Told};
use crate::mirror::Standpipe;
use crate::mirror::trouble::{Trouble, shown};
use crate::outbound::{
    Call, HeaderMap, HeaderName, HeaderValue, Method, Opened, Outbound, StatusCode, Url,
};

/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";
/// How long the upstream may take to begin its answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// The time between two signs of life of an upstream that does not say.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How many of them may be missing.
const MISSED: u32 = 3;
/// The longest time between two that is believed.
const LONGEST_HEARTBEAT: Duration = Duration::from_mins(10);
/// No upstream is given up earlier: a network may be that slow.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);
/// What of a refusal is read.
const REFUSAL_BYTES: usize = 16 << 10;
/// The bytes that a byte of a value takes in an event at most: a control character is `\u0000`.
const SPREAD: usize = 6;

/// A watch of a keyspace upstream.
#[derive(Debug)]
pub(super) struct Stream {
    opened: Opened,
    lines: Lines,
    blocks: VecDeque<Block>,
    patience: Duration,
}

/// What was told, and the place behind it.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) told: Told,
    pub(super) id: Option<String>,
}

/// What of a problem is shown (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    code: String,
}

impl Stream {
    /// Asks for the changes behind the event `resume`, or for what is there and then its changes. Values of more than
    /// `max_bytes` are told of, but not taken.
    pub(super) async fn open(
        outbound: &Outbound,
        options: &Standpipe,
        resume: Option<&str>,
        max_bytes: usize,
    ) -> Result<Self, Trouble> {
        let call = call(options, resume).await?;
        let client = outbound.client(options.ca.as_deref())?;
        let opened = timeout(ANSWER_WAIT, client.open(call)).await;
        let mut opened = opened.map_err(|_elapsed| Trouble::Silent { after: ANSWER_WAIT })??;
        if opened.status != StatusCode::OK {
            return Err(refusal(&mut opened, options).await);
        }
        let media_type = opened.headers.get("content-type");
        if !media_type.is_some_and(|text| text.as_bytes().starts_with(EVENT_STREAM.as_bytes())) {
            let what = "an answer that is no event stream";
            return Err(Trouble::Malformed { what });
        }
        Ok(Self {
            opened,
            lines: Lines::new(max_bytes.saturating_mul(SPREAD).saturating_add(HEAD_BYTES)),
            blocks: VecDeque::new(),
            patience: HEARTBEAT * MISSED,
        })
    }

    /// What is told next.
    pub(super) async fn next(&mut self) -> Result<Heard, Trouble> {
        loop {
            if let Some(heard) = self.ready()? {
                return Ok(heard);
            }
            let after = self.patience;
            let chunk = timeout(after, self.opened.next()).await;
            let chunk = chunk.map_err(|_elapsed| Trouble::Silent { after })??;
            let Some(chunk) = chunk else {
                let said = String::new();
                return Err(Trouble::Ended { said });
            };
            let mut blocks = Vec::new();
            self.lines.push(&chunk, &mut blocks);
            self.blocks.extend(blocks);
        }
    }

    /// The same, of what has come already.
    pub(super) fn ready(&mut self) -> Result<Option<Heard>, Trouble> {
        while let Some(mut block) = self.blocks.pop_front() {
            let id = block.id.take();
            let told = Told::of(&block).map_err(|Malformed| Trouble::Malformed {
                what: "an event that is none of a watch",
            })?;
            if let Some(Told::Alive {
                heartbeat_ms: Some(ms),
                ..
            }) = told
            {
                let heartbeat = Duration::from_millis(ms).min(LONGEST_HEARTBEAT);
                self.patience = (heartbeat * MISSED).max(SHORTEST_PATIENCE);
            }
            if let Some(told) = told {
                return Ok(Some(Heard { told, id }));
            }
        }
        Ok(None)
    }
}

/// The request for the watch.
async fn call(options: &Standpipe, resume: Option<&str>) -> Result<Call, Trouble> {
    let malformed = |what| Trouble::Malformed { what };
    let mut url =
        Url::parse(&options.endpoint).map_err(|_no_url| malformed("the endpoint is no URL"))?;
    url.path_segments_mut()
        .map_err(|()| malformed("the endpoint has no path"))?
        .pop_if_empty()
        .extend(["keyspaces", &options.keyspace, "watch"]);
    url.query_pairs_mut()
        .append_pair("prefix", &options.prefix)
        .append_pair("initial", "true")
        .append_pair("values", "true");
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static(EVENT_STREAM));
    if let Some(id) = resume {
        let id =
            HeaderValue::from_str(id).map_err(|_no_text| malformed("an id that is no text"))?;
        headers.insert(HeaderName::from_static("last-event-id"), id);
    }
    if let Some(token) = options.token.clone() {
        let unreadable = |reason: String| Trouble::Token { reason };
        let token = spawn_blocking(move || token.reveal())
            .await
            .expect("reading a file does not panic")
            .map_err(|error| unreadable(error.to_string()))?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_no_text| unreadable("it is no text that a header can hold".to_owned()))?;
        bearer.set_sensitive(true);
        headers.insert("authorization", bearer);
    }
    Ok(Call {
        method: Method::GET,
        url,
        headers,
        body: bytes::Bytes::new(),
    })
}

/// What an answer says that is no stream.
async fn refusal(opened: &mut Opened, options: &Standpipe) -> Trouble {
    let status = opened.status.as_u16();
    let body = timeout(ANSWER_WAIT, opened.body(REFUSAL_BYTES)).await;
    let problem = body
        .ok()
        .and_then(Result::ok)
        .and_then(|body| serde_json::from_slice::<Problem>(&body).ok());
    let Some(Problem { code }) = problem else {
        let said = status.to_string();
        return Trouble::Refused { said };
    };
    if code == "keyspace_not_found" {
        let what = format!("keyspace {:?}", options.keyspace);
        return Trouble::Absent { what };
    }
    let said = format!("{status} {}", shown(&code));
    Trouble::Refused { said }
}
