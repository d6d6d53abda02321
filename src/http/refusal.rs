//! What the layers below refuse, as problems.

use std::time::Duration;

use actix_web::http::header::{self, HeaderValue};

use super::code::Code;
use super::problem::{Exceeded, Problem};
use super::{answer, caches};
use crate::keyspace::{Backlog, Durability, Failure, Refusal, SourceFailure};

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::KeyTooLong { limit, actual } => {
                let (limit, actual) = (wide(limit), wide(actual));
                Self::new(Code::KeyTooLong, detail).exceeding(Exceeded {
                    limit,
                    actual,
                    setting: "limits.key_bytes",
                })
            }
            Refusal::ValueTooLarge { limit, actual } => {
                let exceeded = Exceeded {
                    limit: wide(limit),
                    actual,
                    setting: "limits.value_bytes",
                };
                Self::new(Code::ValueTooLarge, detail).exceeding(exceeded)
            }
            Refusal::DurabilityUnavailable {
                promised: Durability::Memory,
                ..
            } => Self::new(
                Code::DurabilityUnavailable,
                "this keyspace is in memory only: leave durability out",
            ),
            Refusal::DurabilityUnavailable { .. } => {
                let detail = "this keyspace is logged: a request may ask for written or synced";
                Self::new(Code::DurabilityUnavailable, detail)
            }
            Refusal::KeyspaceNotFound { .. } | Refusal::NoName { .. } => {
                Self::new(Code::KeyspaceNotFound, detail)
            }
            Refusal::Compacted => Self::new(
                Code::Compacted,
                format!(
                    "{detail}; read what is there again and go on from now: initial=true does both"
                ),
            ),
            Refusal::CounterOutOfRange { .. } | Refusal::PendingOutOfRange { .. } => {
                unchanged(Code::CounterOutOfRange, &detail)
            }
            Refusal::ManagedBySource { .. } => unchanged(Code::ManagedBySource, &detail),
            Refusal::SinkPending { .. } => unchanged(Code::SinkPending, &detail),
            Refusal::SinkNeedsLog { .. } => unchanged(Code::InvalidPolicy, &detail),
            // No request writes as a source does.
            Refusal::KeyTaken => Self::new(Code::Internal, detail),
            Refusal::KeyRepeated => unchanged(Code::InvalidOperation, &detail),
            Refusal::NotACounter => unchanged(Code::NotACounter, &detail),
            Refusal::ReadOnly { .. } => unchanged(Code::KeyspaceReadOnly, &detail)
                .with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD")),
            Refusal::DefinedByFile { .. } => Self::new(Code::DefinedByFile, detail),
            Refusal::KeyspaceProtected => Self::new(Code::KeyspaceProtected, detail),
            Refusal::DurabilityFixed { .. } => unchanged(Code::DurabilityFixed, &detail),
            Refusal::TooManyKeyspaces { limit } => Self::new(Code::InvalidOperation, detail)
                .exceeding(more_than(limit, "limits.keyspaces")),
            Refusal::ConditionFailed { current } => answer::condition_failed(current),
            Refusal::Source(failure) => failure.into(),
            Refusal::AnswerFull { limit } => Self::new(Code::AnswerTooLarge, detail)
                .exceeding(more_than(limit, "limits.batch_answer_bytes")),
            Refusal::Failed(failure) => failure.into(),
        }
    }
}

impl From<SourceFailure> for Problem {
    fn from(failure: SourceFailure) -> Self {
        let detail = failure.to_string();
        let retried_after = |problem: Self, after: Duration| {
            // Rounded up, so that whoever obeys is not early.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            problem.with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        };
        let status = caches::failed(&failure);
        let problem = Self::new(caches::code(&failure), detail);
        let problem = match failure {
            SourceFailure::Failed { .. }
            | SourceFailure::TimedOut { .. }
            | SourceFailure::NotStored => problem,
            SourceFailure::TooLarge { limit } => {
                problem.exceeding(more_than(limit, "source.max_bytes"))
            }
            SourceFailure::BreakerOpen { retry_after }
            | SourceFailure::RateLimited { retry_after } => retried_after(problem, retry_after),
        };
        problem.with_header(caches::CACHE_STATUS, status)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let detail = failure.to_string();
        match failure {
            Failure::DiskFull => unchanged(Code::DiskFull, &detail),
            Failure::TooLarge { limit, actual } => {
                let exceeded = Exceeded {
                    limit,
                    actual,
                    setting: "limits.value_bytes",
                };
                Self::new(Code::EntryTooLarge, detail).exceeding(exceeded)
            }
            Failure::EntryTooLarge { limit, actual } => {
                let exceeded = Exceeded {
                    limit,
                    actual,
                    setting: "max_bytes",
                };
                Self::new(Code::EntryTooLarge, detail).exceeding(exceeded)
            }
            Failure::KeyspaceFull { .. } => unchanged(Code::KeyspaceFull, &detail),
            Failure::SinkBacklog { limit, of } => {
                let exceeded = Exceeded {
                    limit,
                    actual: limit.saturating_add(1),
                    setting: match of {
                        Backlog::Keys => "sink.max_pending",
                        Backlog::Bytes => "max_bytes",
                    },
                };
                unchanged(Code::SinkBacklog, &detail).exceeding(exceeded)
            }
            Failure::KeyspaceDropped => Self::new(Code::KeyspaceNotFound, detail),
            Failure::Overloaded { .. } => unchanged(Code::Overloaded, &detail),
            Failure::NotDurableYet { .. } => Self::new(
                Code::Overloaded,
                format!("{detail}; a change that was asked for may still take effect"),
            ),
            Failure::Lost { .. } => {
                // What failed is named in the log: messages of the system may hold paths.
                Self::new(
                    Code::DurabilityLost,
                    "a sync failed: see the log; a change that was asked for may be lost",
                )
            }
            Failure::Closing => unchanged(Code::Draining, &detail),
            Failure::NoSnapshot { .. } => Self::new(
                Code::Internal,
                "no snapshot was made: see the log; the data is as it was",
            ),
        }
    }
}

fn unchanged(code: Code, detail: &str) -> Problem {
    Problem::new(code, format!("{detail}; nothing was changed"))
}

/// That it is more than `limit`, where nobody knows how much more.
fn more_than(limit: usize, setting: &'static str) -> Exceeded {
    Exceeded {
        limit: wide(limit),
        actual: wide(limit).saturating_add(1),
        setting,
    }
}

fn wide(bytes: usize) -> u64 {
    bytes.try_into().unwrap_or(u64::MAX)
}
