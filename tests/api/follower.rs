//! A client that follows a watch, and reads server-sent events as the standard says.

use serde_json::Value;

use crate::harness::{Answer, Client, Server};

/// A watch that has begun.
pub(crate) struct Follower {
    client: Client,
    pub(crate) answer: Answer,
    text: String,
    /// As an event source keeps it.
    pub(crate) last_id: String,
    /// Milliseconds that the server asked for.
    pub(crate) retry: Option<String>,
    /// What was said beside the events.
    pub(crate) comments: Vec<String>,
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) name: String,
    /// Its own id, where it has one.
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Event {
    /// The key, or for a flush the prefix.
    pub(crate) fn key(&self) -> &str {
        let key = self.data.get("key").or_else(|| self.data.get("prefix"));
        key.and_then(Value::as_str).unwrap_or_default()
    }
}

impl Follower {
    /// Begins a watch: `target` is what stands behind `/keyspaces/`.
    pub(crate) fn new(server: &Server, target: &str) -> Self {
        Self::with(server, target, &[])
    }

    pub(crate) fn with(server: &Server, target: &str, headers: &[(&str, &str)]) -> Self {
        let mut client = server.connect();
        client.write_request("GET", &format!("/keyspaces/{target}"), headers, b"");
        let answer = client.read_answer("HEAD");
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut follower = Self {
            client,
            answer,
            text: String::new(),
            last_id: String::new(),
            retry: None,
            comments: Vec::new(),
        };
        // The first block has no data: from here on nothing is missed.
        assert!(follower.block().unwrap().data.is_null());
        follower
    }

    /// The next block, an event or a sign of life; `None` at the end of the stream.
    pub(crate) fn block(&mut self) -> Option<Event> {
        let end = loop {
            if let Some(end) = self.text.find("\n\n") {
                break end;
            }
            let Some(chunk) = self.client.read_chunk() else {
                assert_eq!(self.text, "", "the stream ended in the middle of an event");
                return None;
            };
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        };
        let block: String = self.text.drain(..end + 2).collect();
        let mut event = Event {
            name: "message".to_owned(),
            id: None,
            data: Value::Null,
        };
        for line in block.trim_end().lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("id", id) => {
                    id.clone_into(&mut self.last_id);
                    event.id = Some(id.to_owned());
                }
                ("event", name) => name.clone_into(&mut event.name),
                ("data", data) => {
                    assert!(event.data.is_null(), "data on two lines: {block:?}");
                    event.data = serde_json::from_str(data).unwrap();
                    assert!(event.data.is_object());
                }
                ("retry", retry) => self.retry = Some(retry.to_owned()),
                (":", "") => {}
                ("", comment) => self.comments.push(comment.to_owned()),
                _ => panic!("{line:?} in {block:?}"),
            }
        }
        Some(event)
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) fn event(&mut self) -> Option<Event> {
        loop {
            let event = self.block()?;
            if !event.data.is_null() {
                return Some(event);
            }
        }
    }

    /// The next event, which there must be.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Event {
        self.event().unwrap()
    }

    /// The next `count` events as names and keys.
    #[track_caller]
    pub(crate) fn take(&mut self, count: usize) -> Vec<(String, String)> {
        let named = |event: Event| (event.name.clone(), event.key().to_owned());
        (0..count).map(|_| named(self.next())).collect()
    }

    /// Everything until the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.event()).collect()
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Names and keys as [`Follower::take`] gives them.
pub(crate) fn told(events: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, key): &(&str, &str)| ((*name).to_owned(), (*key).to_owned());
    events.iter().map(owned).collect()
}
