//! Who may do what: the right that each operation needs, and whether the token of a request has it. It must not know how
//! an operation is done, nor whether what it names exists: a refusal comes before any look at the data.

use std::sync::Arc;

use actix_web::http::header::{HeaderValue, WWW_AUTHENTICATE};

use super::call::Call;
use super::code::Code;
use super::problem::Problem;
use super::query::Query;
use super::routes::Operation;
use super::token::{self, Presented, Token, Verbs};

/// The keyspace of `/v1/`.
const DEFAULT: &str = "default";

/// Who sent a request.
#[derive(Clone, Debug)]
pub(super) enum Bearer {
    /// Nobody is asked: there are no tokens, or the operation needs none.
    Anyone,
    /// The holder of this token.
    Token(Arc<Token>),
}

/// One thing that a token can be for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    Read,
    Write,
    Admin,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    fn is_in(self, verbs: Verbs) -> bool {
        match self {
            Self::Read => verbs.read,
            Self::Write => verbs.write,
            Self::Admin => verbs.admin,
        }
    }
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Right {
    /// No token.
    Free,
    /// This verb on the default keyspace.
    OnDefault(Verb),
    /// This verb on the keyspace of the path.
    OnKeyspace(Verb),
    /// The verb read or the verb write on the keyspace of the path: the operation asks for each item which.
    Batch,
    /// This verb, on whichever keyspaces: the operation asks for each that it names or shows.
    Anywhere(Verb),
    /// This verb, and a token that is for no keyspace in particular.
    OnServer(Verb),
}

/// What each operation needs. Two depend on the query: the way to the pages and the short form of a probe are free.
fn right(operation: Operation, query: Option<&str>) -> Right {
    match operation {
        Operation::Lookup | Operation::HeadLookup if query.unwrap_or_default().is_empty() => {
            Right::Free
        }
        Operation::Readyz if is_verbose(query) => Right::OnServer(Verb::Admin),
        Operation::Health
        | Operation::Livez
        | Operation::Readyz
        | Operation::DocsRedirect
        | Operation::Docs
        | Operation::ProblemPage
        | Operation::OpenApiJson
        | Operation::OpenApiYaml
        | Operation::PostmanJson
        | Operation::UiRedirect
        | Operation::Ui => Right::Free,
        Operation::GetValue | Operation::HeadValue | Operation::Lookup | Operation::HeadLookup => {
            Right::OnDefault(Verb::Read)
        }
        Operation::PutValue | Operation::DeleteValue => Right::OnDefault(Verb::Write),
        Operation::FlushByDelete | Operation::FlushByPost => Right::OnDefault(Verb::Admin),
        Operation::GetKeyspace
        | Operation::GetKey
        | Operation::HeadKey
        | Operation::ListKeys
        | Operation::Watch
        | Operation::GetEntry
        | Operation::GetTtl
        | Operation::GetCounter => Right::OnKeyspace(Verb::Read),
        Operation::DeleteKeys
        | Operation::PutKey
        | Operation::DeleteKey
        | Operation::PutTtl
        | Operation::DeleteTtl
        | Operation::AddToCounter => Right::OnKeyspace(Verb::Write),
        Operation::Batch => Right::Batch,
        Operation::PutKeyspace
        | Operation::DropKeyspace
        | Operation::FlushKeyspace
        | Operation::SyncSink
        | Operation::PendingOfSink
        | Operation::DeadOfSink
        | Operation::RedriveSink
        | Operation::ResumeSink => Right::OnKeyspace(Verb::Admin),
        Operation::ListKeyspaces => Right::Anywhere(Verb::Read),
        Operation::DropKeyspaces => Right::Anywhere(Verb::Admin),
        Operation::Metrics
        | Operation::Limits
        | Operation::Mirrors
        | Operation::Snapshot
        | Operation::ListSources
        | Operation::RunSource
        | Operation::ListSinks => Right::OnServer(Verb::Admin),
    }
}

/// Whether such a request needs a token where there are tokens.
#[cfg(test)]
pub(super) fn needs_token(operation: Operation, query: Option<&str>) -> bool {
    right(operation, query) != Right::Free
}

/// Whether a probe is asked for its long form, in any spelling: what cannot be read is refused later.
fn is_verbose(query: Option<&str>) -> bool {
    query.is_some_and(|text| {
        Query::parse(Some(text))
            .is_ok_and(|query| query.value("verbose").is_some_and(|value| value != "false"))
    })
}

/// Lets a request for `operation` pass, and keeps who sent it.
#[inline]
pub(super) fn admit(call: &mut Call, operation: Operation) -> Result<(), Problem> {
    if let Some(tokens) = call.service().gate.tokens() {
        return judge(call, operation, &tokens);
    }
    Ok(())
}

#[cold]
fn judge(call: &mut Call, operation: Operation, tokens: &[Arc<Token>]) -> Result<(), Problem> {
    let right = right(operation, call.query_text());
    if right == Right::Free {
        return Ok(());
    }
    let token = match token::presented(tokens, call.headers()) {
        Presented::Known(token) => token,
        Presented::None => return Err(unauthorized(false)),
        Presented::Unknown => return Err(unauthorized(true)),
    };
    // Kept for a refusal too: the log names who was refused.
    call.bearer = Bearer::Token(Arc::clone(&token));
    match right {
        Right::Free => Ok(()),
        Right::OnDefault(verb) => call.bearer.check(verb, DEFAULT),
        Right::OnKeyspace(verb) => check_path(call, verb),
        Right::Batch if token.verbs.read => check_path(call, Verb::Read),
        Right::Batch => check_path(call, Verb::Write),
        Right::Anywhere(verb) => check_verb(&token, verb),
        Right::OnServer(verb) => call.bearer.check_server(verb),
    }
}

/// A name that no keyspace can have is 404 for whoever may see them all, and 403 for the rest.
fn check_path(call: &Call, verb: Verb) -> Result<(), Problem> {
    match call.keyspace_of_path() {
        Ok(name) => call.bearer.check(verb, &name),
        Err(_unreadable) => call.bearer.check_server(verb),
    }
}

impl Bearer {
    /// Whether the sender may do this in a keyspace, whether or not there is one of that name.
    pub(super) fn check(&self, verb: Verb, keyspace: &str) -> Result<(), Problem> {
        let Self::Token(token) = self else {
            return Ok(());
        };
        check_verb(token, verb)?;
        if token.is_for(keyspace) {
            return Ok(());
        }
        let name = &token.name;
        Err(forbidden(format!(
            "the token {name:?} is not for the keyspace {keyspace:?}"
        )))
    }

    /// Whether the sender may do this to what belongs to no keyspace.
    pub(super) fn check_server(&self, verb: Verb) -> Result<(), Problem> {
        let Self::Token(token) = self else {
            return Ok(());
        };
        check_verb(token, verb)?;
        if token.keyspaces.is_none() {
            return Ok(());
        }
        let name = &token.name;
        Err(forbidden(format!(
            "the token {name:?} is for some keyspaces only; what belongs to none needs a token for all of them"
        )))
    }
}

fn check_verb(token: &Token, verb: Verb) -> Result<(), Problem> {
    if verb.is_in(token.verbs) {
        return Ok(());
    }
    let (name, verb) = (&token.name, verb.name());
    Err(forbidden(format!(
        "the token {name:?} lacks the verb {verb}"
    )))
}

fn forbidden(detail: String) -> Problem {
    Problem::new(Code::Forbidden, detail)
}

/// 401 with the challenge of RFC 6750, section 3: an error is named only where something was presented.
fn unauthorized(presented: bool) -> Problem {
    let (detail, challenge) = if presented {
        (
            "what Authorization holds is no token of this server: send Authorization: Bearer TOKEN",
            r#"Bearer realm="standpipe", error="invalid_token""#,
        )
    } else {
        (
            "this operation needs a token: send Authorization: Bearer TOKEN",
            r#"Bearer realm="standpipe""#,
        )
    };
    Problem::new(Code::TokenRequired, detail)
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_short_probes_are_free() {
        for (operation, query) in [
            (Operation::Lookup, None),
            (Operation::Lookup, Some("")),
            (Operation::Readyz, None),
            (Operation::Readyz, Some("verbose=false")),
            (Operation::Health, Some("verbose")),
            (Operation::Docs, Some("x=1")),
        ] {
            assert_eq!(
                right(operation, query),
                Right::Free,
                "{operation:?} {query:?}"
            );
        }
    }

    #[test]
    fn what_tells_something_is_not_free() {
        for query in ["key=a", "x", "key", "&"] {
            assert_eq!(
                right(Operation::HeadLookup, Some(query)),
                Right::OnDefault(Verb::Read),
                "{query}"
            );
        }
        for query in [
            "verbose",
            "verbose=",
            "verbose=true",
            "verbose=1",
            "%76erbose",
        ] {
            assert_eq!(
                right(Operation::Readyz, Some(query)),
                Right::OnServer(Verb::Admin),
                "{query}"
            );
        }
    }
}
