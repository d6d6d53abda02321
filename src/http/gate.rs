//! What the operator says about who may come in, replaceable while requests run. A request that nobody restricts costs
//! one load of a byte. It must not know what a right is needed for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;

use super::token::Token;

/// Who may come in, as the configuration says it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Every token; none means that everything is open.
    pub tokens: Vec<Token>,
    /// The origins (RFC 6454) whose pages may use this server, each as a browser writes it; none turns CORS off.
    pub allow_origins: Vec<String>,
}

/// What holds at this moment.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Which parts of the rules hold anything, and whether requests are logged.
    flags: AtomicU8,
    rules: ArcSwap<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    tokens: Arc<[Arc<Token>]>,
    origins: Vec<String>,
}

const TOKENS: u8 = 1;
const ORIGINS: u8 = 2;
const LOG: u8 = 4;

impl Gate {
    /// Replaces what held before.
    pub(super) fn set(&self, access: Access) {
        let rules = Rules {
            tokens: access.tokens.into_iter().map(Arc::new).collect(),
            origins: access.allow_origins,
        };
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        let flags =
            flag(!rules.tokens.is_empty(), TOKENS) | flag(!rules.origins.is_empty(), ORIGINS);
        self.rules.store(Arc::new(rules));
        // After the rules: whoever sees a flag sees what it announces. Who still sees the flags of before is judged as
        // before, or by rules that hold nothing and let everybody in, as they will from now on.
        self.raise(TOKENS | ORIGINS, flags);
    }

    /// Whether each request is a line in the log from now on.
    pub(super) fn set_log(&self, log: bool) {
        self.raise(LOG, if log { LOG } else { 0 });
    }

    /// Changes those of the flags that are in `mask`.
    fn raise(&self, mask: u8, flags: u8) {
        // Only one at a time changes them, so the two steps are seen as a change from one state to another that differs
        // in what was lowered first.
        self.flags.fetch_and(!mask | flags, Ordering::AcqRel);
        self.flags.fetch_or(flags, Ordering::AcqRel);
    }

    /// Whether each request is a line in the log.
    #[inline]
    pub(super) fn logs(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & LOG != 0
    }

    /// The tokens; `None` where there are none.
    #[inline]
    pub(super) fn tokens(&self) -> Option<Arc<[Arc<Token>]>> {
        if self.flags.load(Ordering::Acquire) & TOKENS == 0 {
            return None;
        }
        let tokens = Arc::clone(&self.rules.load().tokens);
        Some(tokens).filter(|tokens| !tokens.is_empty())
    }

    /// Whether pages of any other origin may use this server.
    #[inline]
    pub(super) fn has_origins(&self) -> bool {
        self.flags.load(Ordering::Acquire) & ORIGINS != 0
    }

    /// Whether pages of this origin may, which is written as a browser writes it.
    pub(super) fn allows(&self, origin: &str) -> bool {
        let rules = self.rules.load();
        rules.origins.iter().any(|known| known == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Verbs;

    fn access(tokens: usize, origins: &[&str]) -> Access {
        let token = Token {
            name: "a".to_owned(),
            sha256: [0; 32],
            keyspaces: None,
            verbs: Verbs::default(),
        };
        Access {
            tokens: vec![token; tokens],
            allow_origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
        }
    }

    #[test]
    fn everything_is_open_until_it_is_told_otherwise_and_again_afterwards() {
        let gate = Gate::default();
        assert!(gate.tokens().is_none() && !gate.has_origins());
        gate.set(access(2, &["http://a"]));
        assert_eq!(gate.tokens().unwrap().len(), 2);
        assert!(gate.has_origins() && gate.allows("http://a") && !gate.allows("http://b"));
        gate.set(access(0, &["http://b"]));
        assert!(gate.tokens().is_none());
        assert!(gate.allows("http://b") && !gate.allows("http://a"));
        gate.set(access(1, &[]));
        assert_eq!(gate.tokens().unwrap().len(), 1);
        assert!(!gate.has_origins() && !gate.allows("http://b"));
        assert!(!gate.logs());
        gate.set_log(true);
        assert!(gate.logs() && gate.tokens().is_some());
        gate.set(access(0, &[]));
        assert!(gate.logs() && gate.tokens().is_none());
        gate.set_log(false);
        assert!(!gate.logs());
    }
}
