//! The document of the interface: gathered from the annotations beside the handlers. A test keeps the files in `openapi/`
//! equal to it. It must not know what the operations do.

#![expect(unused_qualifications, reason = "the derive of OpenApi writes them")]

mod postman;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

use super::code::Code;
use super::{
    batch, counters, entries, keyspace_values, listing, lookup, mirrors, operations, probes,
    sources, ttl, values, watch,
};
use super::{keyspaces, prefixes, sinks};

/// The document as JSON, rendered once.
pub(crate) fn json() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| serde_json::to_string_pretty(&document()).expect(WRITABLE) + "\n")
}

/// The document as YAML, rendered once.
pub(crate) fn yaml() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| yaml_serde::to_string(&document()).expect(WRITABLE))
}

/// The same as a Postman collection, rendered once.
pub(crate) fn postman() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        serde_json::to_string_pretty(&postman::collection(&document())).expect(WRITABLE) + "\n"
    })
}

const WRITABLE: &str = "the document holds only text, numbers and lists";

/// The document, with what the builder cannot say of a body: the order in which Swagger UI should offer its media types
/// (text first, a file last), and that no body at all is a value of 0 bytes, the policy by default, one more.
fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).expect(WRITABLE);
    for operation in [
        "~1v1~1{key}/put",
        "~1keyspaces~1{ks}/put",
        "~1keyspaces~1{ks}~1keys~1{key}/put",
        "~1keyspaces~1{ks}~1counters~1{key}/post",
        "~1sinks~1{ks}~1redrive/post",
    ] {
        let body = document
            .pointer_mut(&format!("/paths/{operation}/requestBody"))
            .and_then(Value::as_object_mut);
        let body = body.expect("a test reads this of the document");
        body.insert("required".to_owned(), Value::Bool(false));
        if let Some(content) = body.get_mut("content").and_then(Value::as_object_mut) {
            let order = ["text/plain", "application/json", "application/octet-stream"];
            let ordered = order
                .iter()
                .filter_map(|name| content.remove_entry(*name))
                .collect();
            *content = ordered;
        }
    }
    document
}

/// Every operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Standpipe",
        description = "A durable key-value service over plain HTTP. What is acknowledged survives a crash.\n\nEvery error is \
            `application/problem+json` (RFC 9457); its `type` is the page that explains its `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "values", description = "Read, write and remove values"),
        (name = "keys", description = "Read, write and remove values in any keyspace"),
        (name = "counters", description = "Numbers that many clients add to at once"),
        (name = "batch", description = "Many operations in one request"),
        (name = "keyspaces", description = "Named sets of keys, each with a policy"),
        (name = "sources", description = "What is fetched by the clock"),
        (name = "sinks", description = "Changes that are passed on to a database or a server"),
        (name = "operation", description = "Figures, limits, snapshots"),
        (name = "probes", description = "Alive, ready, and why not"),
    ),
    paths(
        values::get, values::head, values::put, values::delete,
        keyspace_values::get, keyspace_values::head, keyspace_values::put, keyspace_values::delete,
        listing::list, prefixes::delete, entries::get, watch::watch, keyspace_values::flush,
        keyspaces::list, keyspaces::drop_all, keyspaces::get, keyspaces::put, keyspaces::drop_one,
        ttl::get, ttl::put, ttl::delete,
        counters::get, counters::add, batch::batch,
        lookup::root, lookup::head_root,
        sinks::list, sinks::sync, sinks::pending, sinks::dead, sinks::redrive, sinks::resume,
        operations::flush_by_delete, operations::flush_by_post,
        sources::list, sources::run,
        operations::snapshot, operations::limits, mirrors::list, operations::metrics,
        probes::health, probes::livez, probes::readyz,
    ),
    components(schemas(Problem)),
    modifiers(&Bearer),
    security((), ("bearer" = [])),
)]
struct Document;

/// The way to present a token. It is optional: a server without tokens asks nobody.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some(
            "A token of this server's configuration (`access.tokens`); `standpipe token` makes one. Only needed where the \
             server has tokens."
                .to_owned(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// An error, as every failed operation answers it.
pub(crate) enum Problem {}

impl ToSchema for Problem {}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let text = |description: &str| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some(description))
        };
        let number = |description: &str| {
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .description(Some(description))
        };
        let codes = Code::ALL.iter().map(|code| code.name());
        ObjectBuilder::new()
            .description(Some("An error (RFC 9457)"))
            .property(
                "type",
                text("The page that explains the code, from this server's root"),
            )
            .property("title", text("A few words, the same for every occurrence"))
            .property("status", number("The HTTP status"))
            .property("detail", text("What is particular about this occurrence"))
            .property(
                "code",
                text("The stable name to match on").enum_values(Some(codes)),
            )
            .property("limit", number("The limit that was exceeded"))
            .property("actual", number("What it was, or was at least"))
            .property("setting", text("The setting that raises the limit"))
            .property(
                "operation",
                number("The operation of an atomic batch that failed, counted from 0"),
            )
            .property("cause", text("The code that it failed with"))
            .required("type")
            .required("title")
            .required("status")
            .required("detail")
            .required("code")
            .into()
    }
}
