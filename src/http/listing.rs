//! `GET /keyspaces/{ks}/keys`: the keys of a keyspace in byte order, page by page. It must not know how they are found.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use super::code::Code;
use super::cursor::Cursor;
use super::failures::ListFailures;
use super::probes::json;
use super::problem::Problem;
use super::query::Query;
use super::shapes::{Keyspace, ListParameters};
use super::shown;
use crate::keyspace::{Keyed, Listing};

/// The most items of a page.
pub(super) const MOST_ITEMS: usize = 1_000;
/// The items of a page that nobody asked for more or less of.
const USUAL_ITEMS: usize = 100;

/// The parameters of a list.
const PARAMETERS: &[&str] = &["prefix", "delimiter", "after", "limit", "cursor"];

/// A page of keys.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListAnswer {
    /// The keys, in byte order.
    items: Vec<ListedKey>,
    /// With a `delimiter`: what keys have in common up to the first one behind `prefix`, in byte order. Each stands for
    /// all keys that begin so.
    prefixes: Vec<String>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    cursor: Option<String>,
}

/// A key and the facts about its value.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListedKey {
    #[schema(example = "greeting")]
    key: String,
    /// Bytes of the value.
    #[schema(example = 13)]
    size: usize,
    /// The version of the value, as its `ETag` header has it.
    #[schema(example = "\"68b4ae0c0f7d2a91-5\"")]
    etag: String,
    #[schema(example = "text/plain; charset=utf-8")]
    content_type: String,
    /// When the value leaves; null where it stays.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
}

impl From<Keyed> for ListedKey {
    fn from(Keyed { key, entry }: Keyed) -> Self {
        Self {
            key: String::from_utf8_lossy(&key).into_owned(),
            size: entry.value.len(),
            etag: shown::version(entry.version),
            content_type: entry.media_type.as_str().to_owned(),
            expires_at: entry.expires_at_ms.map(shown::time),
        }
    }
}

/// List keys
///
/// In byte order, page by page: each key that stays is listed exactly once, whatever else changes meanwhile. With a
/// `delimiter` keys that share a prefix up to it are listed as that prefix, which counts as one.
#[utoipa::path(
    get,
    path = "/keyspaces/{ks}/keys",
    operation_id = "list_keys",
    tag = "keys",
    params(Keyspace, ListParameters),
    responses(
        (status = 200, description = "A page of keys", body = ListAnswer, headers(
            ("Link" = String, description = "The next page, as `rel=\"next\"`; absent on the last one")
        )),
        ListFailures
    )
)]
pub(super) async fn list(call: &Call) -> Result<HttpResponse, Problem> {
    let query = call.query(PARAMETERS)?;
    let limit = limit(&query)?;
    let mut asked = Asked::parse(&query)?;
    let values = call.values_of_path()?;
    let listed = values
        .list(&asked.listing(limit.unwrap_or(USUAL_ITEMS)))
        .await?;
    let cursor = listed.next.map(|place| asked.cursor(place));
    let link = cursor.as_deref().map(|cursor| link(cursor, limit));
    let mut response = json(
        StatusCode::OK,
        &ListAnswer {
            items: listed.entries.into_iter().map(ListedKey::from).collect(),
            prefixes: listed.prefixes,
            cursor,
        },
    );
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

fn link(cursor: &str, limit: Option<usize>) -> HeaderValue {
    let limit = limit.map_or_else(String::new, |limit| format!("&limit={limit}"));
    // Relative to this address, so that it holds behind a proxy that serves us under another path.
    HeaderValue::from_str(&format!("<?cursor={cursor}{limit}>; rel=\"next\""))
        .expect("a cursor is letters, digits, - and _")
}

/// The parameter `limit` of a page.
pub(super) fn limit(query: &Query<'_>) -> Result<Option<usize>, Problem> {
    let Some(text) = query.value("limit") else {
        return Ok(None);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(limit) if digits && (1..=MOST_ITEMS).contains(&limit) => Ok(Some(limit)),
        _ => Err(Problem::new(
            Code::InvalidParameter,
            format!("limit={text:?} is not a number from 1 to {MOST_ITEMS}"),
        )),
    }
}

/// What a list was asked for, by its parameters or by a cursor.
struct Asked(Cursor);

impl Asked {
    fn parse(query: &Query<'_>) -> Result<Self, Problem> {
        let value = |name| query.value(name).map(str::to_owned);
        let Some(text) = query.value("cursor") else {
            let (prefix, delimiter) = (value("prefix"), value("delimiter"));
            return Ok(Self(Cursor {
                prefix: prefix.unwrap_or_default(),
                delimiter: delimiter.unwrap_or_default(),
                after: value("after"),
                place: Vec::new(),
            }));
        };
        let refused = |detail: String| Problem::new(Code::InvalidCursor, detail);
        let cursor = Cursor::decoded(text)
            .ok_or_else(|| refused("the cursor is none that this server made".to_owned()))?;
        let kept = [
            ("prefix", Some(cursor.prefix.as_str())),
            ("delimiter", Some(cursor.delimiter.as_str())),
            ("after", cursor.after.as_deref()),
        ];
        for (name, kept) in kept {
            if query.value(name).is_some_and(|given| Some(given) != kept) {
                let detail = format!(
                    "the cursor goes on with a list of another {name}: leave {name} out, or start without the cursor"
                );
                return Err(refused(detail));
            }
        }
        Ok(Self(cursor))
    }

    fn listing(&mut self, limit: usize) -> Listing<'_> {
        let Cursor {
            prefix,
            delimiter,
            after,
            place,
        } = &mut self.0;
        let delimiter = Some(delimiter.as_str()).filter(|delimiter| !delimiter.is_empty());
        if place.is_empty()
            && let Some(after) = after
        {
            *place = Listing::behind(prefix, delimiter, after);
        }
        Listing {
            prefix,
            delimiter,
            from: Some(place.as_slice()).filter(|place| !place.is_empty()),
            limit,
        }
    }

    fn cursor(self, place: Vec<u8>) -> String {
        Cursor { place, ..self.0 }.encoded()
    }
}
