//! From the body of a batch to typed operations. What is wrong whatever the keyspace holds is refused here, before anything
//! runs. It must not know how operations are done.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::http::code::Code;
use crate::http::conditions;
use crate::http::counters;
use crate::http::json::{Bound, List, Object, Text};
use crate::http::limits::BatchLimits;
use crate::http::parameters;
use crate::http::problem::Problem;
use crate::keyspace::{Action, Conditions, MediaType, Operation, Ttl, Versions};

/// A batch as it was sent.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Whether all is to be done, or nothing.
    pub(super) atomic: bool,
    /// What is to be done, in this order.
    pub(super) operations: Vec<Operation<'a>>,
}

impl<'a> Request<'a> {
    /// Reads the body of a batch.
    pub(super) fn read(text: &'a Text<'_>, limits: &BatchLimits) -> Result<Self, Problem> {
        let bound = Bound {
            limit: limits.operations,
            setting: "limits.batch_operations",
            code: Code::BatchTooLarge,
        };
        let document = text.document_with_list(Code::InvalidOperation, bound)?;
        let mut body = document.object(&["atomic", "operations"])?;
        let atomic = match body.take("atomic") {
            Some(atomic) => atomic.boolean()?,
            None => false,
        };
        let operations = operations(body.require("operations")?.list()?)?;
        if atomic {
            refuse_repeated(&operations)?;
        }
        Ok(Self { atomic, operations })
    }
}

fn operations(list: List<'_>) -> Result<Vec<Operation<'_>>, Problem> {
    let mut operations = Vec::with_capacity(list.len());
    for object in list.objects() {
        operations.push(operation(object?)?);
    }
    Ok(operations)
}

/// The operations by name.
#[derive(Clone, Copy, Debug)]
enum Op {
    Put,
    Get,
    Delete,
    Increment,
}

impl Op {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            "put" => Ok(Self::Put),
            "get" => Ok(Self::Get),
            "delete" => Ok(Self::Delete),
            "increment" => Ok(Self::Increment),
            _ => Err("is not known: give put, get, delete or increment".to_owned()),
        }
    }

    /// The fields that it knows beside its own name and the key.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Put => &[
                "value",
                "value_base64",
                "content_type",
                "ttl",
                "if_match",
                "if_none_match",
            ],
            Self::Get => &[],
            Self::Delete => &["if_match", "if_none_match"],
            Self::Increment => &counters::FIELDS,
        }
    }
}

fn operation(mut object: Object<'_>) -> Result<Operation<'_>, Problem> {
    let op = object.require("op")?.text(|name| Op::named(&name))?;
    let known = [&["op", "key"], op.fields()].concat();
    object.allow(&known)?;
    let key = object.require("key")?.text(|key| {
        if key.is_empty() {
            Err("is empty".to_owned())
        } else {
            Ok(key)
        }
    })?;
    let action = match op {
        Op::Put => put(&mut object)?,
        Op::Get => Action::Get,
        Op::Delete => Action::Delete {
            when: when(&mut object)?,
        },
        Op::Increment => Action::Increment(counters::count(&mut object)?),
    };
    Ok(Operation { key, action })
}

fn put<'a>(object: &mut Object<'a>) -> Result<Action<'a>, Problem> {
    let value = value(object)?;
    let media_type = match object.take("content_type") {
        Some(named) => named.text(|name| {
            if MediaType::may_be_kept(&name) {
                Ok(name)
            } else {
                Err("is no media type such as text/plain, of at most 1024 letters".to_owned())
            }
        })?,
        None => Cow::Borrowed(MediaType::of_bytes(&value)),
    };
    let ttl = match object.take("ttl") {
        Some(ttl) => ttl.text_or_number(|text| parameters::ttl_of(&text))?,
        None => Ttl::Unspecified,
    };
    Ok(Action::Put {
        value,
        media_type,
        ttl,
        when: when(object)?,
    })
}

fn value<'a>(object: &mut Object<'a>) -> Result<Cow<'a, [u8]>, Problem> {
    if object.has("value") && object.has("value_base64") {
        return Err(object.refuse("value", "and value_base64 are both there: give one of them"));
    }
    if let Some(encoded) = object.take("value_base64") {
        return encoded.text(|text| {
            BASE64_STANDARD
                .decode(text.as_bytes())
                .map(Cow::Owned)
                .map_err(|error| format!("is not base64 (RFC 4648, section 4): {error}"))
        });
    }
    if !object.has("value") {
        return Err(object.refuse("value", "is missing: give it, or value_base64"));
    }
    object.require("value")?.text(|text| {
        Ok(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    })
}

fn when(object: &mut Object<'_>) -> Result<Conditions, Problem> {
    const UNREADABLE: &str =
        "is neither * nor a list of ETags, quotes included, such as \"0000000000000001-1\"";
    let mut when = Conditions::default();
    // A list without a tag, which a header may have, can only be a mistake of who wrote the body.
    let names_something = |text: &str| !text.trim_matches([' ', '\t', ',']).is_empty();
    let read = |text: &str, meaning: fn(&str) -> Option<Versions>| {
        let versions = Some(text)
            .filter(|text| names_something(text))
            .and_then(meaning);
        versions.ok_or_else(|| UNREADABLE.to_owned())
    };
    if let Some(field) = object.take("if_match") {
        when.if_match = Some(field.text(|text| read(&text, conditions::if_match))?);
    }
    if let Some(field) = object.take("if_none_match") {
        when.if_none_match = Some(field.text(|text| read(&text, conditions::if_none_match))?);
    }
    Ok(when)
}

/// In an atomic batch every operation sees what was there before all of them, so one key has room for one.
fn refuse_repeated(operations: &[Operation<'_>]) -> Result<(), Problem> {
    let mut places = HashMap::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        if let Some(earlier) = places.insert(operation.key.as_ref(), index) {
            let detail = format!(
                "operations[{index}].key is the key of operations[{earlier}] too, and an atomic batch names each key once; \
                 nothing was changed"
            );
            return Err(Problem::new(Code::InvalidOperation, detail));
        }
    }
    Ok(())
}
