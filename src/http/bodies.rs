//! The JSON bodies of operations as the document shows them, as strictly as they are read. Nothing here is run.

use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{Number, PartialSchema, ToSchema};

use super::shapes::TTL;

/// A hundred years in seconds.
const LONGEST_TTL_S: isize = 3_155_760_000;
/// A media type with its parameters.
const MEDIA_TYPE: &str =
    "^[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+([ \\t]*;[ -~]*)?$";
/// Base64 with its padding and no bits left over.
const BASE64: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";
/// A star, or entity tags.
const ETAGS: &str = r#"^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$"#;

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident ($($other:ident)*) $schema:expr;)*) => {
        $(
            $(#[$doc])*
            pub(crate) enum $name {}

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    $schema.into()
                }
            }

            impl ToSchema for $name {
                fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
                    $(
                        schemas.push(($other::name().into_owned(), $other::schema()));
                        $other::schemas(schemas);
                    )*
                    schemas.sort_by(|one, other| one.0.cmp(&other.0));
                }
            }
        )*
    };
}

bodies! {
    /// How long to keep a value.
    TtlBody ()
        object("How long to keep a value from now on")
            .property("ttl", ttl("`500ms`, `90s`, `15m`, `2h`, `7d`, a number of seconds, or `none` for ever", []))
            .required("ttl");
    /// What to add.
    CountBody ()
        count(object("What to add, and within which bounds; every field may be left out, and so may the body"));
    /// Which refused keys are to be tried again.
    RedriveBody ()
        object("Which keys are to be tried again; the field may be left out, and so may the body")
            .property("keys", ArrayBuilder::new()
                .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
                .items(text("A key", []))
                .description(Some("These, at most `limits.batch_operations`; absent is all")));
    /// What becomes of a generation.
    ResumeBody ()
        object("What becomes of the generation that the target is ahead of")
            .property("generation", text("`skip` takes it for passed on, `resend` passes it on", [])
                .enum_values(Some(["skip", "resend"])))
            .required("generation");
    /// Many operations.
    BatchBody (PutTextOperation PutBytesOperation GetOperation DeleteOperation IncrementOperation)
        object("What is to be done")
            .property("atomic", ObjectBuilder::new()
                .schema_type(SchemaType::from_iter([Type::Boolean, Type::Null]))
                .default(Some(json!(false)))
                .description(Some(
                    "All of them or none, as one change: conditions and gets see what was there before, and no key is named \
                     twice. Otherwise each is done for itself, one after the other.",
                )))
            .property("operations", ArrayBuilder::new()
                .items(operations())
                .description(Some("At most `limits.batch_operations`")))
            .required("operations");
    /// Sets a key to a text.
    PutTextOperation ()
        put("Set a key to a text")
            .property("value", text("The value", []))
            .property("value_base64", ObjectBuilder::new().schema_type(Type::Null))
            .required("value");
    /// Sets a key to bytes.
    PutBytesOperation ()
        put("Set a key to bytes")
            .property("value_base64", text("The value in base64 (RFC 4648, section 4)", []).pattern(Some(BASE64)))
            .property("value", ObjectBuilder::new().schema_type(Type::Null))
            .required("value_base64");
    /// Reads a key.
    GetOperation () operation("get", "Read a key");
    /// Removes a key.
    DeleteOperation () conditions(operation("delete", "Remove a key; that it is absent is no failure"));
    /// Adds to a counter.
    IncrementOperation () count(operation("increment", "Add to a counter"));
}

/// An object that has no other members than those that it is given.
fn object(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some(description))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}

fn text<const N: usize>(description: &str, or: [Type; N]) -> ObjectBuilder {
    let builder = ObjectBuilder::new().description(Some(description));
    if or.is_empty() {
        builder.schema_type(Type::String)
    } else {
        builder.schema_type([Type::String].into_iter().chain(or).collect::<SchemaType>())
    }
}

/// Pattern and bounds hold for the kind of value that they are about.
fn ttl<const N: usize>(description: &str, or: [Type; N]) -> ObjectBuilder {
    let types = [Type::String, Type::Integer].into_iter().chain(or);
    ObjectBuilder::new()
        .description(Some(description))
        .schema_type(types.collect::<SchemaType>())
        .pattern(Some(TTL))
        .minimum(Some(1))
        .maximum(Some(LONGEST_TTL_S))
}

fn integer(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some(description))
        .schema_type(SchemaType::from_iter([Type::Integer, Type::Null]))
        .minimum(Some(Number::Int(isize::MIN)))
        .maximum(Some(Number::Int(isize::MAX)))
}

fn count(object: ObjectBuilder) -> ObjectBuilder {
    object
        .property("by", integer("What is added").default(Some(json!(1))))
        .property(
            "initial",
            integer("What a counter starts from that is not there").default(Some(json!(0))),
        )
        .property("min", integer("The least that may come out"))
        .property("max", integer("The most that may come out"))
        .property(
            "ttl",
            ttl(
                "How long to keep a counter that this makes; one that is there keeps what it has",
                [Type::Null],
            ),
        )
}

fn operation(name: &str, description: &str) -> ObjectBuilder {
    object(description)
        .property(
            "op",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some([name])),
        )
        .property(
            "key",
            text(
                "The key as it is, not percent-encoded; `.` and `..` are keys like any other",
                [],
            )
            .min_length(Some(1)),
        )
        .required("op")
        .required("key")
}

fn put(description: &str) -> ObjectBuilder {
    let operation = operation("put", description)
        .property(
            "content_type",
            text(
                "The media type; absent, it is `text/plain; charset=utf-8` where the value is UTF-8, else \
                 `application/octet-stream`",
                [Type::Null],
            )
            .pattern(Some(MEDIA_TYPE))
            .max_length(Some(1024)),
        )
        .property(
            "ttl",
            ttl(
                "How long to keep it; absent, as the keyspace does by default",
                [Type::Null],
            ),
        );
    conditions(operation)
}

fn conditions(operation: ObjectBuilder) -> ObjectBuilder {
    let described = |description| text(description, [Type::Null]).pattern(Some(ETAGS));
    operation
        .property(
            "if_match",
            described("Change only one of these ETags, quotes included; `*`: only what is there"),
        )
        .property(
            "if_none_match",
            described("Change none of these ETags, quotes included; `*`: create only"),
        )
}

fn operations() -> OneOfBuilder {
    let names = [
        PutTextOperation::name(),
        PutBytesOperation::name(),
        GetOperation::name(),
        DeleteOperation::name(),
        IncrementOperation::name(),
    ];
    let one_of = names.iter().fold(OneOfBuilder::new(), |one_of, name| {
        one_of.item(Ref::from_schema_name(name.as_ref()))
    });
    one_of.description(Some("Fields that belong to another `op` are refused"))
}
