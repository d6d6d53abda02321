//! The ways in which each kind of operation can fail, as sets of codes: what the document says and what a test compares
//! come from the same list.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::IntoResponses;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::Header;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{Ref, RefOr};

use super::code::Code;
use super::problem::MEDIA_TYPE;

/// `Name [Codes]`, or `Name: Other [Codes]` for those of another set and more. An operation's sets must share no status.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident $(: $($base:ident)*)? [$($code:ident)*])*) => {
        $(
            $(#[$doc])*
            pub(crate) enum $name {}

            impl $name {
                fn codes() -> Vec<Code> {
                    let codes: &[&[Code]] = &[$($(&$base::codes(),)*)? &[$(Code::$code,)*]];
                    codes.concat()
                }
            }

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    responses(&Self::codes())
                }
            }
        )*
    };
}

failures! {
    /// Of reading what is stored.
    ReadFailures [
        InvalidKey KeyTooLong InvalidParameter UnknownParameter KeyNotFound ConditionFailed TokenRequired
        Forbidden WrongHost
        Starting Overloaded DurabilityLost
    ]
    /// Of reading a value, which may have to be fetched.
    ValueFailures: ReadFailures [SourceFailed BreakerOpen SourceRateLimited SourceTimeout NotStored]
    /// Of reading a part of a value.
    RangeFailures [RangeNotSatisfiable]
    /// Of changing a value.
    WriteFailures [
        KeyspaceReadOnly
        InvalidKey KeyTooLong InvalidParameter UnknownParameter InvalidBody DurabilityUnavailable PartialPut
        CrossSite ConditionFailed ManagedBySource TokenRequired Forbidden WrongHost Starting Draining Overloaded
        DurabilityLost DiskFull KeyspaceFull SinkBacklog
    ]
    /// Of receiving a value.
    BodyFailures [BodyStalled ValueTooLarge EntryTooLarge]
    /// Of cachepump's lookup, beside its own plain text.
    LookupFailures [
        ConditionFailed RangeNotSatisfiable TokenRequired Forbidden WrongHost Starting Overloaded
        DurabilityLost SourceFailed BreakerOpen SourceRateLimited SourceTimeout NotStored
    ]
    /// Of a flush.
    FlushFailures [
        KeyspaceReadOnly
        InvalidParameter UnknownParameter DurabilityUnavailable CrossSite TokenRequired Forbidden WrongHost
        Starting Draining Overloaded
        DurabilityLost DiskFull SinkBacklog
    ]
    /// Of reading a value of a named keyspace, which may have to be fetched.
    KeyValueFailures: ValueFailures [KeyspaceNotFound]
    /// Of reading what is stored in a named keyspace.
    KeyReadFailures: ReadFailures [KeyspaceNotFound]
    /// Of changing a value of a named keyspace.
    KeyWriteFailures: WriteFailures [KeyspaceNotFound]
    /// Of a flush of a named keyspace.
    KeyspaceFlushFailures: FlushFailures [KeyspaceNotFound]
    /// Of reading an entry.
    EntryFailures [
        InvalidKey KeyTooLong InvalidParameter UnknownParameter KeyNotFound KeyspaceNotFound TokenRequired Forbidden
        WrongHost Starting Overloaded DurabilityLost
    ]
    /// Of listing keys.
    ListFailures [
        InvalidParameter UnknownParameter InvalidCursor KeyspaceNotFound TokenRequired Forbidden WrongHost Starting
        Overloaded DurabilityLost
    ]
    /// Of following changes.
    WatchFailures [
        InvalidKey KeyTooLong InvalidParameter UnknownParameter KeyspaceNotFound Compacted TokenRequired Forbidden
        WrongHost Starting Overloaded
    ]
    /// Of reading when a value leaves.
    TtlReadFailures: KeyReadFailures []
    /// Of changing what is there already.
    TtlWriteFailures [
        KeyspaceReadOnly
        InvalidKey KeyTooLong InvalidParameter UnknownParameter InvalidBody InvalidJson DurabilityUnavailable CrossSite
        KeyNotFound KeyspaceNotFound ConditionFailed ManagedBySource TokenRequired Forbidden WrongHost Starting Draining
        Overloaded DurabilityLost DiskFull KeyspaceFull SinkBacklog
    ]
    /// Of reading a counter.
    CounterReadFailures: KeyReadFailures [NotACounter]
    /// Of adding to a counter.
    CounterWriteFailures [
        KeyspaceReadOnly
        InvalidKey KeyTooLong InvalidParameter UnknownParameter InvalidBody InvalidJson DurabilityUnavailable CrossSite
        KeyspaceNotFound CounterOutOfRange NotACounter ManagedBySource TokenRequired Forbidden WrongHost Starting Draining
        Overloaded DurabilityLost DiskFull KeyspaceFull SinkBacklog
    ]
    /// Of receiving a few fields as JSON.
    FieldFailures [BodyStalled BodyTooLarge EntryTooLarge UnsupportedMediaType InvalidOperation]
    /// Of a batch; its operations fail in their items.
    BatchFailures [
        InvalidParameter UnknownParameter InvalidBody InvalidJson DurabilityUnavailable CrossSite KeyspaceNotFound
        BatchFailed BodyStalled BatchTooLarge AnswerTooLarge EntryTooLarge UnsupportedMediaType InvalidOperation TokenRequired Forbidden
        WrongHost Starting Draining Overloaded DurabilityLost DiskFull KeyspaceFull SinkBacklog
    ]
    /// Of listing keyspaces.
    KeyspaceListFailures [
        InvalidParameter UnknownParameter TokenRequired Forbidden WrongHost Starting Overloaded DurabilityLost
    ]
    /// Of reading a keyspace.
    KeyspaceFailures: KeyspaceListFailures [KeyspaceNotFound]
    /// Of making or changing a keyspace.
    KeyspaceSetFailures [
        KeyspaceReadOnly
        InvalidParameter UnknownParameter InvalidBody InvalidJson CrossSite KeyspaceNotFound DefinedByFile
        DurabilityFixed SinkPending TokenRequired Forbidden WrongHost Starting Draining Overloaded DurabilityLost DiskFull
    ]
    /// Of receiving a policy.
    PolicyFailures [BodyStalled BodyTooLarge UnsupportedMediaType InvalidPolicy FileOnly InvalidOperation]
    /// Of dropping keyspaces.
    KeyspacesDropFailures [
        InvalidParameter UnknownParameter CrossSite DefinedByFile SinkPending KeyspaceProtected TokenRequired Forbidden WrongHost
        Starting Draining Overloaded DurabilityLost DiskFull
    ]
    /// Of dropping one keyspace.
    KeyspaceDropFailures: KeyspacesDropFailures [KeyspaceNotFound KeyspaceReadOnly]
    /// Of listing sinks.
    SinkListFailures [InvalidParameter UnknownParameter TokenRequired Forbidden WrongHost Starting]
    /// Of reading what a sink keeps.
    SinkReadFailures [
        InvalidParameter UnknownParameter SinkNotFound TokenRequired Forbidden WrongHost Starting Overloaded
        DurabilityLost
    ]
    /// Of passing changes on.
    SinkActFailures [
        InvalidParameter UnknownParameter InvalidBody InvalidJson CrossSite SinkNotFound SinkFailed SinkAhead TokenRequired
        Forbidden WrongHost Starting
    ]
    /// Of letting refused keys wait again.
    SinkRedriveFailures [
        InvalidParameter UnknownParameter InvalidBody InvalidJson CrossSite SinkNotFound BatchTooLarge TokenRequired
        Forbidden WrongHost Starting Draining Overloaded DurabilityLost DiskFull SinkBacklog
    ]
    /// Of a snapshot.
    SnapshotFailures [
        InvalidParameter UnknownParameter CrossSite TokenRequired Forbidden WrongHost Internal Starting
        Draining DurabilityLost DiskFull
    ]
    /// Of listing sources.
    SourceListFailures [InvalidParameter UnknownParameter TokenRequired Forbidden WrongHost Starting]
    /// Of running a source.
    SourceRunFailures [
        InvalidKey InvalidParameter UnknownParameter CrossSite TokenRequired Forbidden WrongHost SourceNotFound
        AlreadyRunning InvalidOperation Starting
    ]
    /// Of the limits.
    LimitsFailures [InvalidParameter UnknownParameter TokenRequired Forbidden WrongHost Starting]
    /// Of the mirrors.
    MirrorsFailures [InvalidParameter UnknownParameter TokenRequired Forbidden WrongHost Starting]
    /// Of the figures.
    MetricsFailures [InvalidParameter UnknownParameter TokenRequired Forbidden WrongHost Internal]
    /// Of a probe.
    ProbeFailures [InvalidParameter UnknownParameter WrongHost]
    /// Of the one probe whose long form needs a token.
    ReadyFailures: ProbeFailures [TokenRequired Forbidden]
}

/// One response for each status, naming its codes.
pub(super) fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status
            .entry(code.status().as_str().to_owned())
            .or_default()
            .push(*code);
    }
    by_status
        .into_iter()
        .map(|(status, codes)| (status, RefOr::T(response(&codes))))
        .collect()
}

fn response(codes: &[Code]) -> Response {
    let described: Vec<_> = codes
        .iter()
        .map(|code| format!("`{}`: {}", code.name(), code.title()))
        .collect();
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    if let Some(code) = codes.first() {
        content = content.example(Some(json!({
            "type": code.page(),
            "title": code.title(),
            "status": code.status().as_u16(),
            "detail": "what is particular about this occurrence",
            "code": code.name(),
        })));
    }
    let mut response = ResponseBuilder::new()
        .description(described.join("; "))
        .content(MEDIA_TYPE, content.build());
    let has = |wanted: Code| codes.contains(&wanted);
    if has(Code::ConditionFailed) {
        response = response.header(
            "ETag",
            header("The current version; absent where the key is"),
        );
    }
    if has(Code::TokenRequired) {
        response = response.header("WWW-Authenticate", header("`Bearer`, and what was wrong"));
    }
    if has(Code::RangeNotSatisfiable) {
        response = response.header(
            "Content-Range",
            header("How long the value is: `bytes */n`"),
        );
    }
    if codes.iter().any(|code| code.status().as_u16() == 503) {
        response = response.header("Retry-After", header("Seconds after which to try again"));
    }
    response.build()
}

/// A header of an answer, as the document shows it.
pub(super) fn header(description: &str) -> Header {
    let mut header = Header::new(Object::with_type(Type::String));
    header.description = Some(description.to_owned());
    header
}
