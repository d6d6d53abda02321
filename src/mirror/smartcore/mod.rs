//! Following publications of a Smart Core server: one stream for each, because that is what the interface has, or asking from
//! time to time where the server cannot stream. It must not know how values are kept.

mod api;
mod publication;
mod service;

use std::convert::Infallible;
use std::error::Error as _;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::{Code, Status};

use super::backoff::Backoff;
use super::status::State;
use super::trouble::{Trouble, shown};
use super::{Common, Service, SmartCore};
use crate::keyspace::{Contact, Content, Received, Whom};
use crate::outbound::{Outbound, Url, origin};
use api::traits::Publication;
use service::{Api, Name};

/// The publications that share a connection. Servers and what stands before them seldom let one have more than 100 streams at a
/// time, and one that waits for its turn behind others that never end waits for ever.
const SHARING: usize = 64;

/// Follows the publications of one mirror.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    common: Arc<Common>,
    options: Arc<SmartCore>,
    /// A connection for each [`SHARING`] of them.
    apis: Arc<[Api]>,
    /// Rung when the server has said something about any publication.
    answered: Arc<Notify>,
}

impl Follower {
    /// To be called on the runtime for outbound calls.
    pub(super) fn new(
        outbound: &Outbound,
        common: Arc<Common>,
        options: SmartCore,
    ) -> Result<Self, Trouble> {
        let endpoint = Url::parse(&options.endpoint).map_err(|_no_url| Trouble::Malformed {
            what: "the endpoint is no URL",
        })?;
        let shares = options.publications.chunks(SHARING);
        let api = |_| Api::new(outbound, &endpoint, options.ca.clone(), common.max_bytes);
        let apis: Vec<_> = shares.map(api).collect::<Result<_, _>>()?;
        Ok(Self {
            common,
            options: Arc::new(options),
            apis: apis.into(),
            answered: Arc::default(),
        })
    }

    /// Follows them all for as long as it is polled.
    pub(super) async fn follow(self) -> Infallible {
        let mut publications = JoinSet::new();
        let shares = self.options.publications.chunks(SHARING);
        for (api, ids) in self.apis.iter().zip(shares) {
            for id in ids {
                let one = One {
                    follower: self.clone(),
                    api: api.clone(),
                    id: id.clone(),
                };
                publications.spawn(async move { one.follow().await });
            }
        }
        let listed = self.options.publications.iter();
        let listed = listed.map(String::as_str).collect();
        let rest = async {
            self.answered.notified().await;
            self.common.remove_all_but(&listed).await;
            pending().await
        };
        let ended = async {
            match publications.join_next().await {
                Some(Ok(never)) => never,
                // A panic of one is a panic of all: whoever started them is told.
                Some(Err(panicked)) => resume_unwind(panicked.into_panic()),
                None => pending().await,
            }
        };
        tokio::select! {
            never = rest => never,
            never = ended => never,
        }
    }
}

/// Follows one publication.
#[derive(Debug)]
struct One {
    follower: Follower,
    api: Api,
    id: String,
}

impl One {
    fn common(&self) -> &Common {
        &self.follower.common
    }

    fn device(&self) -> &str {
        &self.follower.options.device
    }

    async fn follow(&self) -> Infallible {
        let Common { board, feed, .. } = self.common();
        let mut backoff = self.common().backoff();
        loop {
            board.connecting(&self.id);
            let Err(trouble) = self.attempt(&mut backoff).await;
            // That it is not there is known.
            if !matches!(trouble, Trouble::NoPublication { .. }) {
                feed.lost(Whom::Key(&self.id));
            }
            let pause = backoff.pause();
            board.failed(&self.id, &trouble, feed.now_ms(), pause);
            sleep(pause).await;
        }
    }

    /// Follows one publication until that fails.
    async fn attempt(&self, backoff: &mut Backoff) -> Result<Infallible, Trouble> {
        for name in self.names() {
            match self.stream(*name, backoff).await {
                Err(Stopped::Unimplemented) => {}
                Err(Stopped::Trouble(trouble)) => return Err(trouble),
            }
        }
        for name in self.names() {
            match self.poll(*name, backoff).await {
                Err(Stopped::Unimplemented) => {}
                Err(Stopped::Trouble(trouble)) => return Err(trouble),
            }
        }
        Err(Trouble::Absent {
            what: "service for publications".to_owned(),
        })
    }

    /// The names of the service in the order in which they are tried.
    fn names(&self) -> &'static [Name] {
        match self.follower.options.service {
            Service::Any => &[Name::Bos, Name::Traits],
            Service::Bos => &[Name::Bos],
            Service::Traits => &[Name::Traits],
        }
    }

    async fn stream(&self, name: Name, backoff: &mut Backoff) -> Result<Infallible, Stopped> {
        let mut stream = match self.api.pull(name, self.device(), &self.id).await {
            Ok(stream) => stream,
            Err(status) => return Err(self.refused(status).await),
        };
        loop {
            let message = match stream.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Err(self.ended(name).await),
                Err(status) => return Err(self.refused(status).await),
            };
            for change in message.changes {
                // One without a publication says nothing about it.
                if let Some(publication) = change.publication {
                    self.received(publication).await?;
                    backoff.reset();
                    let Common { board, feed, .. } = self.common();
                    feed.contact(Whom::Key(&self.id), Contact::Live);
                    board.up_to_date(&self.id, State::Following);
                }
            }
        }
    }

    /// Asks from time to time.
    async fn poll(&self, name: Name, backoff: &mut Backoff) -> Result<Infallible, Stopped> {
        loop {
            match self.api.get(name, self.device(), &self.id).await {
                Ok(publication) => self.received(publication).await?,
                Err(status) => return Err(self.refused(status).await),
            }
            backoff.reset();
            let Common { board, feed, .. } = self.common();
            let at_ms = feed.now_ms();
            feed.contact(Whom::Key(&self.id), Contact::Asked { at_ms });
            board.up_to_date(&self.id, State::Polling);
            sleep(self.follower.options.poll_interval).await;
        }
    }

    /// The stream ended well: as a rule because the publication was deleted, but a server that stops may do the same. What is
    /// there says which.
    async fn ended(&self, name: Name) -> Stopped {
        let ended = Trouble::Ended {
            said: String::new(),
        };
        match self.api.get(name, self.device(), &self.id).await {
            Ok(publication) => match self.received(publication).await {
                Ok(()) => ended.into(),
                Err(trouble) => trouble.into(),
            },
            // A server that cannot be asked has said all that it can.
            Err(status) if status.code() == Code::Unimplemented => {
                self.refused(Status::not_found("")).await
            }
            Err(status) => self.refused(status).await,
        }
    }

    /// What a status means. That a publication is not there is an answer like any other, and is acted on.
    async fn refused(&self, status: Status) -> Stopped {
        if status.code() == Code::Unimplemented {
            return Stopped::Unimplemented;
        }
        if status.code() != Code::NotFound {
            return self.trouble(&status).into();
        }
        self.follower.answered.notify_one();
        let gone = self.common().gone(self.id.clone());
        if let Err(trouble) = self.common().take(&[gone]).await {
            return trouble.into();
        }
        let feed = &self.common().feed;
        let at_ms = feed.now_ms();
        feed.contact(Whom::Key(&self.id), Contact::Asked { at_ms });
        let id = self.id.clone();
        Trouble::NoPublication { id }.into()
    }

    fn trouble(&self, status: &Status) -> Trouble {
        let Some(mut cause) = status.source() else {
            let said = format!("{:?}: {}", status.code(), shown(status.message()));
            return Trouble::Refused { said };
        };
        while let Some(below) = cause.source() {
            cause = below;
        }
        let endpoint = Url::parse(&self.follower.options.endpoint);
        Trouble::Unreachable {
            origin: endpoint.map_or_else(|_no_url| String::new(), |endpoint| origin(&endpoint)),
            reason: shown(&cause.to_string()),
        }
    }

    async fn received(&self, publication: Publication) -> Result<(), Trouble> {
        self.follower.answered.notify_one();
        let Common {
            board,
            feed,
            max_bytes,
            ..
        } = self.common();
        board.heard(&self.id, feed.now_ms());
        if !publication.id.is_empty() && publication.id != self.id {
            let what = "a publication of another id";
            return Err(Trouble::Malformed { what });
        }
        let facts = publication::facts(&publication);
        let (body, limit) = (publication.body, *max_bytes);
        let key = self.id.clone();
        let received = if body.len() > limit {
            Received::TooLarge { key, limit }
        } else {
            let content = Content {
                value: body,
                media_type: Some(publication.media_type),
                content_encoding: None,
            };
            Received::Put { key, content }
        };
        self.common().take(&[received]).await?;
        board.learned(&self.id, facts);
        Ok(())
    }
}

/// Why a publication is followed no longer in this way.
enum Stopped {
    /// The server does not have the operation.
    Unimplemented,
    Trouble(Trouble),
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}
