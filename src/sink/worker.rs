//! The life of one sink: when it tries, what one attempt is, how long it waits after a failure. It must not know what a target
//! is.
//!
//! One attempt passes on the generation that is closed already, where there is one, then closes what has come since and passes
//! that on. A generation is dropped only when the target has it, so a failure anywhere leaves the next attempt with the same
//! generation: that is what makes it exactly once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::backlog::Backlog;
use super::ledger::{Applied, Decision, Fault, Ledger as _, Unapplied};
use super::options::Options;
use super::outlet::Outlet;
use super::shared::{Begun, Next, Shared, Tried};
use super::status::{Passed, State, Trouble};
use crate::keyspace::Failure;
use crate::outbound::Outbound;

/// Passes on what a keyspace keeps.
pub(super) struct Worker<B> {
    pub(super) keyspace: String,
    pub(super) backlog: B,
    pub(super) outbound: Outbound,
    pub(super) shared: Arc<Shared>,
}

/// What a worker remembers from one attempt to the next.
struct Memory {
    options: Arc<Options>,
    outlet: Outlet,
    /// Whether the target was seen to be there.
    looked: bool,
    /// Attempts that failed in a row.
    failed: u32,
    /// What was last said in the log.
    said: Option<(State, String)>,
}

/// A trouble, and how long to wait at least before the next attempt.
type Setback = (Trouble, Duration);

impl<B: Backlog> Worker<B> {
    /// Passes changes on until it is stopped; then once more, and again while that fails, until it is told to give up.
    pub(super) async fn run(self) {
        let options = self.shared.options();
        let mut memory = Memory {
            outlet: Outlet::new(self.outbound.clone(), &options),
            options,
            looked: false,
            failed: 0,
            said: None,
        };
        tokio::select! {
            () = self.work(&mut memory) => memory.outlet.close().await,
            () = self.shared.given_up() => {}
        }
        self.shared.close();
        self.tell_what_remains();
    }

    async fn work(&self, memory: &mut Memory) {
        let mut due = Instant::now();
        loop {
            match self.shared.next() {
                Next::Stop(deadline) => return self.last_attempts(memory, deadline).await,
                // Until a person has decided the clock changes nothing.
                Next::Wait if self.shared.is_ahead() => {
                    self.shared.asked().await;
                    continue;
                }
                Next::Wait if Instant::now() < due => {
                    tokio::select! {
                        () = self.shared.asked() => {}
                        () = sleep_until(due) => {}
                    }
                    continue;
                }
                Next::Try | Next::Wait => {}
            }
            let began = Instant::now();
            due = match self.attempt(memory).await {
                None => began + memory.options.every,
                Some(pause) => Instant::now() + pause,
            };
        }
    }

    /// Tries until there is nothing left, or nothing that time would change.
    async fn last_attempts(&self, memory: &mut Memory, deadline: Instant) {
        while self.backlog.counts().pending > 0 {
            let Some(pause) = self.attempt(memory).await else {
                return;
            };
            let again = Instant::now() + pause.min(memory.options.backoff_min);
            if self.shared.is_ahead() || again >= deadline {
                return;
            }
            sleep_until(again).await;
        }
    }

    fn tell_what_remains(&self) {
        let (pending, keyspace) = (self.backlog.counts().pending, &self.keyspace);
        if pending == 0 {
            tracing::info!(keyspace, "everything was passed on");
        } else {
            tracing::warn!(
                keyspace,
                pending,
                "not everything was passed on; what remains is kept for the next start"
            );
        }
    }

    /// Tries once and tells how it ended: `None` is well, otherwise the pause after which to try again.
    async fn attempt(&self, memory: &mut Memory) -> Option<Duration> {
        let Begun {
            number,
            options,
            decision,
        } = self.shared.begin();
        if !Arc::ptr_eq(&options, &memory.options) {
            memory.outlet = Outlet::new(self.outbound.clone(), &options);
            (memory.options, memory.looked, memory.failed) = (options, false, 0);
        }
        let mut passed = Passed::default();
        let tried = self.pass_on(memory, decision, &mut passed).await;
        let (setback, is_told) = match tried {
            Ok(unnoticed) => (unnoticed, false),
            Err(setback) => (Some(setback), true),
        };
        let (trouble, wait) = setback.unzip();
        memory.failed = if trouble.is_some() {
            memory.failed.saturating_add(1)
        } else {
            0
        };
        self.say(memory, trouble.as_ref());
        let ended = match &trouble {
            Some(trouble) if is_told => Err(trouble.clone()),
            Some(_) | None => Ok(passed),
        };
        let tried = Tried { ended, trouble };
        let now_ms = self.backlog.now_ms();
        self.shared.end(number, now_ms, passed, tried);
        wait.map(|wait| backoff(&memory.options, memory.failed).max(wait))
    }

    /// Passes everything on that waits. With nothing to pass on nothing has failed, whatever the target is like: what is wrong
    /// with it is returned all the same.
    async fn pass_on(
        &self,
        memory: &mut Memory,
        decision: Option<Decision>,
        passed: &mut Passed,
    ) -> Result<Option<Setback>, Setback> {
        let looked = self.look(memory).await;
        let frozen = self.backlog.frozen().await.map_err(ours)?;
        if frozen.is_none() && self.backlog.counts().pending == 0 {
            return Ok(looked.err());
        }
        looked?;
        if let Some(frozen) = frozen {
            self.generation(memory, &frozen, decision, passed).await?;
        }
        if let Some(frozen) = self.backlog.freeze().await.map_err(ours)? {
            self.generation(memory, &frozen, None, passed).await?;
        }
        Ok(None)
    }

    /// Sees once, and again after a failure, that there is something to pass changes on to.
    async fn look(&self, memory: &mut Memory) -> Result<(), Setback> {
        if memory.looked && memory.failed == 0 {
            return Ok(());
        }
        match memory.outlet.address().await {
            Ok(address) => self.shared.set_address(address),
            Err(fault) => return Err(theirs(fault)),
        }
        memory.outlet.look().await.map_err(theirs)?;
        memory.looked = true;
        Ok(())
    }

    async fn generation(
        &self,
        memory: &mut Memory,
        frozen: &B::Frozen,
        decision: Option<Decision>,
        passed: &mut Passed,
    ) -> Result<(), Setback> {
        let applied = memory.outlet.pass_on(frozen, decision).await;
        let applied = applied.map_err(trouble)?;
        self.tell(frozen, applied);
        passed.add(Passed {
            passed_on: applied.keys,
            set_aside: applied.refused,
            skipped: applied.skipped,
        });
        self.backlog.drop_frozen(frozen).await.map_err(ours)
    }

    /// Says in the log what was out of the ordinary.
    fn tell(&self, frozen: &B::Frozen, applied: Applied) {
        let (keyspace, generation) = (&self.keyspace, frozen.generation().number);
        if applied.before {
            tracing::info!(
                keyspace,
                generation,
                "the target had this generation already"
            );
        }
        if applied.after_a_gap {
            tracing::warn!(
                keyspace,
                generation,
                "the target lacks generations that were passed on before this one: it is a restored backup itself, or \
                 another one than the last time"
            );
        }
        if applied.refused > 0 {
            tracing::warn!(
                keyspace,
                generation,
                keys = applied.refused,
                "the target refuses keys for good; they were set aside, /sinks/{{ks}}/dead shows them"
            );
        }
        if applied.skipped > 0 {
            tracing::warn!(
                keyspace,
                generation,
                keys = applied.skipped,
                "a generation was skipped, as was asked"
            );
        }
    }

    /// Says a trouble once, and its end.
    fn say(&self, memory: &mut Memory, trouble: Option<&Trouble>) {
        let keyspace = &self.keyspace;
        let said = trouble.map(|trouble| (trouble.state, trouble.text.clone()));
        if said == memory.said {
            return;
        }
        match trouble {
            None => tracing::info!(keyspace, "changes are passed on again"),
            Some(trouble) if trouble.state == State::Ahead => tracing::error!(
                keyspace,
                "sink_ahead: {trouble}; nothing is passed on until POST /sinks/{{ks}}/resume says whether this generation \
                 is skipped or sent"
            ),
            Some(trouble) => tracing::warn!(
                keyspace,
                state = trouble.state.name(),
                "changes are not passed on: {trouble}; it is tried again"
            ),
        }
        memory.said = said;
    }
}

/// Twice as long after every failure, up to the longest, and a random part less, so that many do not come at once.
fn backoff(options: &Options, failed: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failed.saturating_sub(1).min(30));
    let pause = options
        .backoff_min
        .saturating_mul(doubled)
        .min(options.backoff_max);
    let mut random = [0; 1];
    // Without chance the pause is the whole one.
    let less = getrandom::fill(&mut random).map_or(0, |()| u32::from(random[0]));
    pause.saturating_sub(pause / 512 * less)
}

/// What our own store failed to do.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it stands where errors are turned into others"
)]
fn ours(failure: Failure) -> Setback {
    let trouble = Trouble {
        state: State::Retrying,
        text: failure.to_string(),
        ahead: None,
    };
    (trouble, Duration::ZERO)
}

fn theirs(fault: Fault) -> Setback {
    let (state, text, wait) = match fault {
        Fault::Refused(text) | Fault::Failed(text) => (State::Retrying, text, Duration::ZERO),
        Fault::Later(text, wait) => (State::Retrying, text, wait),
        Fault::Unsuitable(text) => (State::Unsuitable, text, Duration::ZERO),
    };
    let trouble = Trouble {
        state,
        text,
        ahead: None,
    };
    (trouble, wait)
}

fn trouble(unapplied: Unapplied<Failure>) -> Setback {
    match unapplied {
        Unapplied::Fault(fault) => theirs(fault),
        Unapplied::Ledger(failure) => ours(failure),
        Unapplied::Ahead(ahead) => {
            let trouble = Trouble {
                state: State::Ahead,
                text: ahead.to_string(),
                ahead: Some(ahead),
            };
            (trouble, Duration::ZERO)
        }
        Unapplied::NoRoom { limit } => {
            let text = format!(
                "the target refuses more keys for good than may be set aside: max_dead is {limit}"
            );
            let trouble = Trouble {
                state: State::DeadFull,
                text,
                ahead: None,
            };
            (trouble, Duration::ZERO)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::HeaderMap;
    use crate::sink::options::{HttpTarget, Target};

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let ms = Duration::from_millis;
        let options = Options::for_tests(Target::Http(HttpTarget {
            endpoint: String::new(),
            headers: HeaderMap::new(),
            auth: None,
            ca: None,
        }));
        for (failed, longest) in [
            (1, 1_000),
            (2, 2_000),
            (6, 32_000),
            (7, 60_000),
            (99, 60_000),
        ] {
            let pauses: Vec<_> = (0..50).map(|_| backoff(&options, failed)).collect();
            for pause in &pauses {
                assert!(
                    (ms(longest) / 2..=ms(longest)).contains(pause),
                    "{failed}: {pause:?}"
                );
            }
            assert!(pauses.iter().any(|pause| pause != &pauses[0]));
        }
    }
}
