//! Parameters and answers that several operations share, as the document shows them. Nothing here is run.
//!
//! Only what a request needs carries an example: Swagger UI fills examples in, and an `If-Match` that nobody chose would
//! make every "Try it out" fail.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::openapi::content::{Content, ContentBuilder};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::failures::header;
use super::listing::MOST_ITEMS;

/// Bytes of any kind.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Bytes(
    #[expect(dead_code, reason = "it only stands for bytes in the document")] Vec<u8>,
);

fn parameter(name: &str, place: ParameterIn, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
}

/// Times that are neither nothing nor more than a hundred years, whatever the unit.
pub(super) const TTL: &str =
    "^(none|[1-9][0-9]{0,8}(ms|s)?|[1-9][0-9]{0,6}m|[1-9][0-9]{0,4}h|[1-9][0-9]{0,3}d)$";

/// The names that a keyspace may have.
pub(super) const KEYSPACE: &str = "^[a-z0-9_-]{1,64}$";

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident [$($parameter:expr;)*])*) => {
        $(
            $(#[$doc])*
            pub(crate) enum $name {}

            impl IntoParams for $name {
                fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                    vec![$($parameter.build(),)*]
                }
            }
        )*
    };
}

parameters! {
    /// Which value.
    Key [
        parameter("key", ParameterIn::Path, "1 to 1,024 bytes of UTF-8, percent-encoded; a / may stand as it is")
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build()))
            .example(Some(json!("greeting")));
    ]
    /// Which keyspace.
    Keyspace [
        parameter("ks", ParameterIn::Path, "The name of a keyspace: 1 to 64 of `a-z 0-9 _ -`")
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some(KEYSPACE)).build()))
            .example(Some(json!("default")));
    ]
    /// Which counter.
    CounterKey [
        parameter("key", ParameterIn::Path, "1 to 1,024 bytes of UTF-8, percent-encoded; a / may stand as it is")
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build()))
            .example(Some(json!("visits")));
    ]
    /// Which keyspace, where it is made or dropped.
    Demo [
        parameter("ks", ParameterIn::Path, "The name of a keyspace: 1 to 64 of `a-z 0-9 _ -`")
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some(KEYSPACE)).build()))
            .example(Some(json!("demo")));
    ]
    /// Which source.
    SourceName [
        parameter("name", ParameterIn::Path, "The name of a source, percent-encoded; a / may stand as it is")
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build()))
            .example(Some(json!("motd")));
    ]
    /// Which keyspaces.
    Names [
        parameter("name", ParameterIn::Query, "The names of the keyspaces; the parameter may be there several times")
            .required(Required::True)
            .schema(Some(
                ArrayBuilder::new()
                    .items(ObjectBuilder::new().schema_type(Type::String).build())
                    .min_items(Some(1))
                    .build(),
            ))
            .example(Some(json!(["old", "older"])));
    ]
    /// Which keys are to go.
    PrefixParameters [
        parameter("prefix", ParameterIn::Query, "What the keys begin with; not empty")
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build()))
            .example(Some(json!("session/")));
        parameter("dry_run", ParameterIn::Query, "Only count them")
            .schema(Some(ObjectBuilder::new().schema_type(Type::Boolean).build()));
    ]
    /// Which value, for the lookup.
    LookupKey [
        parameter("key", ParameterIn::Query, "The key; other parameters are ignored")
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build()))
            .example(Some(json!("greeting")));
    ]
    /// What must hold for a read.
    ReadConditions [
        parameter("If-None-Match", ParameterIn::Header, "304 if the value has one of these ETags");
        parameter("If-Match", ParameterIn::Header, "412 unless the value has one of these ETags");
    ]
    /// What a reader accepts where values come from a source.
    Acceptance [
        parameter("Cache-Control", ParameterIn::Header, "Where the keyspace has a source: `no-cache` asks it in any case, `only-if-cached` never");
    ]
    /// Which part of a value.
    PartHeaders [
        parameter("Range", ParameterIn::Header, "One range of bytes, for example `bytes=0-99`");
        parameter("If-Range", ParameterIn::Header, "The whole value unless it has this ETag");
    ]
    /// What must hold for a change; decided in one step with it.
    WriteConditions [
        parameter("If-Match", ParameterIn::Header, "Change only one of these ETags; `*`: only what is there");
        parameter("If-None-Match", ParameterIn::Header, "`*`: create only, never replace");
    ]
    /// What must hold for a change of what is there already; decided in one step with it.
    ExistingConditions [
        parameter("If-Match", ParameterIn::Header, "Change only one of these ETags");
        parameter("If-None-Match", ParameterIn::Header, "Change only where the value has none of these ETags");
    ]
    /// How durable the answer is.
    HowDurable [
        parameter("durability", ParameterIn::Query, "`written` answers before the disk has it, `synced` after")
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["written", "synced"])).build(),
            ));
    ]
    /// How long to keep a value and how durable the answer is.
    Tuning [
        parameter("ttl", ParameterIn::Query, "How long to keep it: `500ms`, `90s`, `15m`, `2h`, `7d`, seconds, or `none`")
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::String).pattern(Some(TTL)).build(),
            ));
        parameter("durability", ParameterIn::Query, "`written` answers before the disk has it, `synced` after")
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["written", "synced"])).build(),
            ));
    ]
    /// Which keys, and how many of them.
    ListParameters [
        parameter("prefix", ParameterIn::Query, "Only keys that begin so");
        parameter("delimiter", ParameterIn::Query, "Group the keys that are equal up to the first one of these behind the prefix");
        parameter("after", ParameterIn::Query, "Only what is behind this key or common prefix");
        parameter("limit", ParameterIn::Query, "The most keys and common prefixes together; 100 where it is absent")
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(MOST_ITEMS)).build(),
            ));
        parameter("cursor", ParameterIn::Query, "Where the page before ended, as it was given; `prefix`, `delimiter` and `after` are then absent or as they were");
    ]
    /// What is followed, from where, and for how long.
    WatchParameters [
        parameter("key", ParameterIn::Query, "Only this key; not together with `prefix`");
        parameter("prefix", ParameterIn::Query, "Only keys that begin so");
        parameter("since", ParameterIn::Query, "Go on behind the event with this id; 410 where that is not kept any more");
        parameter("initial", ParameterIn::Query, "Begin with what is there")
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["true", "false"])).build()));
        parameter("values", ParameterIn::Query, "Tell the values with each `put`")
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["true", "false"])).build()));
        parameter("limit", ParameterIn::Query, "End after so many events, `synced` aside")
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).build()))
            .example(Some(json!(5)));
        parameter("timeout", ParameterIn::Query, "End after this time: `500ms`, `90s`, `15m`, `2h`, or a number of seconds")
            .example(Some(json!("5s")));
        parameter("Last-Event-ID", ParameterIn::Header, "Go on behind the event with this id, or with `reset` where that is not kept any more; wins over `since`");
    ]
    /// Which keyspace's sink.
    SinkKeyspace [
        parameter("ks", ParameterIn::Path, "The name of a keyspace that has a sink")
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).pattern(Some(KEYSPACE)).build()))
            .example(Some(json!("views")));
    ]
    /// Which keys that wait.
    PendingParameters [
        parameter("prefix", ParameterIn::Query, "Only keys that begin so");
        parameter("after", ParameterIn::Query, "Only keys behind this one");
        parameter("limit", ParameterIn::Query, "The most keys; all where it is absent")
            .schema(Some(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).build()));
    ]
    /// Which refused keys.
    DeadParameters [
        parameter("after", ParameterIn::Query, "Only keys behind this one");
        parameter("limit", ParameterIn::Query, "The most keys; 100 where it is absent")
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(MOST_ITEMS)).build(),
            ));
    ]
    /// Whether to list each check.
    Verbose [
        parameter("verbose", ParameterIn::Query, "List each check")
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["true", "false", ""])).build()));
    ]
}

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident [$($status:literal $response:expr;)*])*) => {
        $(
            $(#[$doc])*
            pub(crate) enum $name {}

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    BTreeMap::from([$(($status.to_owned(), RefOr::T($response.build())),)*])
                }
            }
        )*
    };
}

answers! {
    /// A value.
    WholeValue ["200" value("The value, with the media type that it was put with")
        .header("Expires", header("When the value is over, where it is some time"))
        .header("Age", header("Where somebody else's word counts for the value (a source of the file or of the keyspace, or whom the keyspace follows): for how many seconds it has not been known that it is the newest one"))
        .header("Cache-Status", header("Where the keyspace has a source or follows somebody else: how the answer came about, and whether it is stale (RFC 9211)"));]
    /// A part of a value.
    PartOfValue ["206" value("The part that `Range` asked for")
        .header("Content-Range", header("Which part of how many bytes"));]
    /// The reader has the value already.
    NotModified ["304" ResponseBuilder::new().description("The value still has an ETag of `If-None-Match`")
        .header("ETag", header("The version of the value"));]
    /// A value was written.
    Written [
        "201" with_version("Created: there was no value before");
        "202" with_version("Accepted: handed to the operating system, as `durability=written` asked; not yet on disk");
        "204" with_version("Replaced");
    ]
    /// A value was removed.
    Removed [
        "202" ResponseBuilder::new().description("Accepted, as `durability=written` asked; not yet on disk");
        "204" ResponseBuilder::new().description("The key is absent now");
    ]
    /// An expiry was removed.
    TtlRemoved [
        "202" with_version("Accepted, as `durability=written` asked; not yet on disk");
        "204" with_version("The value stays");
    ]
    /// What the root answers beside values: the way to the pages, and cachepump's words in plain text.
    LookupAnswers [
        "302" ResponseBuilder::new().description("Without a query: to the documentation")
            .header("Location", header("`/docs/`"));
        "400" plain("The key is missing or cannot be read", "Parametor 'key' is not found");
        "404" plain("There is no such key", "key is not found");
    ]
}

fn value(description: &str) -> ResponseBuilder {
    // Any media type may come back: the schema says nothing about the bytes.
    let content = ContentBuilder::new()
        .example(Some(json!("Hello, world!")))
        .build();
    with_version(description).content("*/*", content)
}

fn with_version(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .header("ETag", header("The version of the value: strong, opaque"))
}

fn plain(description: &str, example: &str) -> ResponseBuilder {
    let schema = ObjectBuilder::new().schema_type(Type::String).build();
    let mut content = Content::new(Some(schema));
    content.example = Some(json!(example));
    ResponseBuilder::new()
        .description(description)
        .content("text/plain", content)
}
