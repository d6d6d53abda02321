//! What a sink's worker and those who ask for something share. One attempt serves everybody who asked before it began. It must
//! not know what an attempt is.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::ahead::Ahead;
use super::ledger::{Choice, Decision};
use super::options::Options;
use super::status::{Done, Passed, Place, State, Trouble};

/// How an attempt ended.
pub(super) type Ended = Result<Passed, Trouble>;

/// What is shared.
#[derive(Debug)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    asked: Notify,
    /// When whatever is still going on is given up, once the end was asked for.
    stop: watch::Sender<Option<Instant>>,
    /// The number of the newest attempt that has ended, and how.
    ended: watch::Sender<Last>,
}

#[derive(Debug)]
struct Inner {
    options: Arc<Options>,
    /// The number of the newest attempt that has begun.
    begun: u64,
    /// The number of the newest attempt that somebody waits for.
    wanted: u64,
    decision: Option<Decision>,
    state: State,
    address: Option<String>,
    ahead: Option<Ahead>,
    done: Done,
}

/// What a worker is to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Nothing was asked for: the clock decides.
    Wait,
    /// An attempt, now.
    Try,
    /// The last attempts until then, and the end.
    Stop(Instant),
}

/// The newest attempt that has ended.
#[derive(Debug)]
struct Last {
    number: u64,
    ended: Ended,
}

/// How an attempt went.
pub(super) struct Tried {
    /// What is told to who asked for it.
    pub(super) ended: Ended,
    /// What is wrong, where something is.
    pub(super) trouble: Option<Trouble>,
}

/// What an attempt begins with.
pub(super) struct Begun {
    pub(super) number: u64,
    pub(super) options: Arc<Options>,
    pub(super) decision: Option<Decision>,
}

impl Shared {
    pub(super) fn new(options: Arc<Options>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                options,
                begun: 0,
                wanted: 0,
                decision: None,
                state: State::Idle,
                address: None,
                ahead: None,
                done: Done::default(),
            }),
            asked: Notify::new(),
            stop: watch::Sender::new(None),
            ended: watch::Sender::new(Last {
                number: 0,
                ended: Ok(Passed::default()),
            }),
        }
    }

    pub(super) fn options(&self) -> Arc<Options> {
        Arc::clone(&self.inner.lock().options)
    }

    /// Replaces the options; an attempt with them is made at once.
    pub(super) fn set_options(&self, options: Arc<Options>) {
        {
            let mut inner = self.inner.lock();
            inner.address = None;
            inner.options = options;
            inner.wanted = inner.begun + 1;
        }
        self.asked.notify_one();
    }

    /// Asks for an attempt that begins from now on, and waits for its end.
    pub(super) async fn attempt(&self, choice: Option<Choice>) -> Ended {
        let mut ended = self.ended.subscribe();
        let wanted = {
            let mut inner = self.inner.lock();
            inner.wanted = inner.begun + 1;
            if let (Some(choice), Some(about)) = (choice, inner.ahead) {
                inner.decision = Some(Decision { choice, about });
            }
            inner.wanted
        };
        self.asked.notify_one();
        match ended.wait_for(|last| last.number >= wanted).await {
            Ok(last) => last.ended.clone(),
            Err(_no_sender) => Err(over()),
        }
    }

    /// Asks for the end, with last attempts before it until `deadline`.
    pub(super) fn stop(&self, deadline: Instant) {
        self.stop.send_replace(Some(deadline));
        self.asked.notify_one();
    }

    /// Until when last attempts are made, once the end was asked for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        *self.stop.borrow()
    }

    /// Waits until something is asked for.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Waits until whatever goes on is to be given up.
    pub(super) async fn given_up(&self) {
        let mut stop = self.stop.subscribe();
        let deadline = match stop.wait_for(Option::is_some).await {
            Ok(deadline) => *deadline,
            Err(_no_sender) => None,
        };
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// No attempt is made any more: whoever waits for one is told.
    pub(super) fn close(&self) {
        self.tell(u64::MAX, Err(over()));
    }

    pub(super) fn next(&self) -> Next {
        if let Some(deadline) = self.deadline() {
            return Next::Stop(deadline);
        }
        let inner = self.inner.lock();
        if inner.wanted > inner.begun {
            Next::Try
        } else {
            Next::Wait
        }
    }

    pub(super) fn is_ahead(&self) -> bool {
        self.inner.lock().ahead.is_some()
    }

    pub(super) fn begin(&self) -> Begun {
        let mut inner = self.inner.lock();
        inner.begun += 1;
        inner.state = State::Sending;
        Begun {
            number: inner.begun,
            options: Arc::clone(&inner.options),
            decision: inner.decision.take(),
        }
    }

    pub(super) fn set_address(&self, address: String) {
        self.inner.lock().address = Some(address);
    }

    /// Tells how an attempt ended. What was passed on before a failure is counted as well, and a target that is not there is
    /// told also where nothing had to be passed on.
    pub(super) fn end(&self, number: u64, now_ms: u64, passed: Passed, tried: Tried) {
        {
            let mut inner = self.inner.lock();
            inner.done.passed.add(passed);
            inner.done.successes += u64::from(tried.ended.is_ok() && passed != Passed::default());
            match &tried.trouble {
                None => {
                    inner.state = State::Idle;
                    inner.ahead = None;
                    inner.done.last_success_ms = Some(now_ms);
                }
                Some(trouble) => {
                    inner.state = trouble.state;
                    inner.ahead = trouble.ahead;
                    inner.done.failures += 1;
                    inner.done.last_failure = Some((now_ms, trouble.clone()));
                }
            }
        }
        self.tell(number, tried.ended);
    }

    fn tell(&self, number: u64, ended: Ended) {
        self.ended
            .send_modify(|last| *last = Last { number, ended });
    }

    /// What is shown.
    pub(super) fn shown(&self) -> (Place, State, Done) {
        let inner = self.inner.lock();
        let place = Place::of(&inner.options, inner.address.clone());
        (place, inner.state, inner.done.clone())
    }
}

/// What is told to who asks a sink that has ended.
fn over() -> Trouble {
    Trouble {
        state: State::Idle,
        text: "the sink was taken out of the configuration, or the server is stopping".to_owned(),
        ahead: None,
    }
}
