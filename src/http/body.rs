//! A request's body, read under a deadline: as long as it makes progress it may go on, without it the answer is 408.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use bytes::Bytes;
use futures_core::Stream as _;
use tokio::time::{Sleep, sleep};

use super::code::Code;
use super::problem::Problem;

/// The body of a request, chunk by chunk.
pub(crate) struct Body {
    payload: Payload,
    stall: Duration,
}

impl Body {
    /// A body that may make no progress for `stall` at most.
    pub(crate) fn new(payload: Payload, stall: Duration) -> Self {
        Self { payload, stall }
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let stall = self.stall;
        // Most bodies are there already: the timer is only made when there is something to wait for.
        let mut timer: Option<Pin<Box<Sleep>>> = None;
        let next = poll_fn(|context| {
            if let Poll::Ready(next) = Pin::new(&mut self.payload).poll_next(context) {
                return Poll::Ready(Some(next));
            }
            timer
                .get_or_insert_with(|| Box::pin(sleep(stall)))
                .as_mut()
                .poll(context)
                .map(|()| None)
        });
        match pin!(next).await {
            Some(next) => next.transpose().map_err(|error| broken(&error)),
            None => Err(stalled(stall)),
        }
    }
}

/// How many bytes the body announces; `None` where that shows only at its end.
pub(crate) fn announced_len(headers: &HeaderMap) -> Option<u64> {
    // The parser has refused whatever is no number.
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn stalled(stall: Duration) -> Problem {
    let detail = format!(
        "the body made no progress for {} ms (limits.body_stall); nothing was changed",
        stall.as_millis()
    );
    Problem::new(Code::BodyStalled, detail)
}

fn broken(error: &PayloadError) -> Problem {
    Problem::new(
        Code::InvalidBody,
        format!("the body cannot be read: {error}; nothing was changed"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Context;

    use actix_web::http::header::HeaderValue;
    use futures_core::Stream;

    use super::*;

    /// Gives what it has and then stands still.
    struct Script(VecDeque<Result<Bytes, PayloadError>>);

    impl Stream for Script {
        type Item = Result<Bytes, PayloadError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0
                .pop_front()
                .map_or(Poll::Pending, |next| Poll::Ready(Some(next)))
        }
    }

    fn body(script: impl IntoIterator<Item = Result<Bytes, PayloadError>>) -> Body {
        let script: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Script(script.into_iter().collect()));
        let payload = Payload::Stream { payload: script };
        Body::new(payload, Duration::from_millis(20))
    }

    #[test]
    fn a_body_may_announce_its_length() {
        let mut headers = HeaderMap::new();
        assert_eq!(announced_len(&headers), None);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("17"));
        assert_eq!(announced_len(&headers), Some(17));
    }

    #[actix_web::test]
    async fn a_body_that_stands_still_is_given_up() {
        let mut body = body([Ok(Bytes::from_static(b"ab"))]);
        assert_eq!(body.next().await.unwrap().as_deref(), Some(&b"ab"[..]));
        assert_eq!(body.next().await.unwrap_err().code(), Code::BodyStalled);
    }

    #[actix_web::test]
    async fn a_body_that_breaks_off_is_refused() {
        let mut body = body([Err(PayloadError::Incomplete(None))]);
        assert_eq!(body.next().await.unwrap_err().code(), Code::InvalidBody);
    }

    #[actix_web::test]
    async fn no_body_is_an_empty_one() {
        let mut body = Body::new(Payload::None, Duration::from_secs(1));
        assert!(body.next().await.unwrap().is_none());
    }
}
