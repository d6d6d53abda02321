//! Being asked to stop: once to finish well, twice to stop at once. It must not know what is being stopped.

use tokio::sync::watch;

/// How urgently the server is asked to stop.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Urgency {
    Run,
    Drain,
    Now,
}

/// The side that asks.
#[derive(Clone, Debug)]
pub(super) struct Stopper(watch::Sender<Urgency>);

impl Stopper {
    /// Asks once more: the first time to drain, from the second on to stop at once.
    pub(super) fn ask(&self) {
        self.0.send_modify(|urgency| {
            *urgency = if *urgency == Urgency::Run {
                Urgency::Drain
            } else {
                Urgency::Now
            };
        });
    }
}

/// The side that is asked.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<Urgency>);

impl Stop {
    /// Resolves when the server has been asked to stop.
    pub(super) async fn asked(&mut self) {
        self.at_least(Urgency::Drain).await;
    }

    /// Resolves when the server has been asked to stop at once.
    pub(super) async fn asked_again(&mut self) {
        self.at_least(Urgency::Now).await;
    }

    async fn at_least(&mut self, urgency: Urgency) {
        // A closed channel means that nobody is left who could ask: as good as never.
        if self.0.wait_for(|asked| *asked >= urgency).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A pair of one that asks and one that is asked.
pub(super) fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(Urgency::Run);
    (Stopper(sender), Stop(receiver))
}
