//! `/ui/`: the page for people. Its files lie beside this one and are in the binary; what they do they do with the same
//! interface as everybody else. It must not know any of that.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher as _;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use bytes::Bytes;

use super::call::Call;
use super::pages;
use super::problem::Problem;

/// Only our own files, no inline script or style, requests to this server alone, and no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the page.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
    etag: HeaderValue,
}

macro_rules! assets {
    ($($name:literal $file:literal $media_type:ident;)*) => {
        static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| vec![
            $(Asset::new($name, $media_type, include_str!($file)),)*
        ]);
    };
}

assets! {
    "" "index.html" HTML;
    "app.js" "app.js" SCRIPT;
    "api.js" "api.js" SCRIPT;
    "chart.js" "chart.js" SCRIPT;
    "dom.js" "dom.js" SCRIPT;
    "editor.js" "editor.js" SCRIPT;
    "entry.js" "entry.js" SCRIPT;
    "figures.js" "figures.js" SCRIPT;
    "flow.js" "flow.js" SCRIPT;
    "flows.js" "flows.js" SCRIPT;
    "format.js" "format.js" SCRIPT;
    "keys.js" "keys.js" SCRIPT;
    "keyspaces.js" "keyspaces.js" SCRIPT;
    "mirrors.js" "mirrors.js" SCRIPT;
    "samples.js" "samples.js" SCRIPT;
    "sinks.js" "sinks.js" SCRIPT;
    "sources.js" "sources.js" SCRIPT;
    "theme.js" "theme.js" SCRIPT;
    "watch.js" "watch.js" SCRIPT;
    "base.css" "base.css" CSS;
    "views.css" "views.css" CSS;
    "icon.svg" "icon.svg" SVG;
}

impl Asset {
    fn new(name: &'static str, media_type: &'static str, text: &'static str) -> Self {
        // The same in every run of a build, and another one when the bytes are others: that is all an ETag has to be.
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        let etag = HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish()));
        Self {
            name,
            media_type,
            text,
            etag: etag.expect("hexadecimal digits are a header's value"),
        }
    }
}

/// `GET /ui`
pub(super) fn redirect(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    Ok(pages::redirect("/ui/"))
}

/// `GET /ui/...`
pub(super) fn page(call: &Call) -> Result<HttpResponse, Problem> {
    let name = call.path().strip_prefix("/ui/").unwrap_or_default();
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| pages::nowhere(call))?;
    // Every load asks whether its files are still current: a page must never run with another release's script.
    let mut response = pages::page(
        HeaderValue::from_static(asset.media_type),
        POLICY,
        "no-cache",
    );
    response.insert_header((header::ETAG, asset.etag.clone()));
    if has_it(call.headers(), &asset.etag) {
        return Ok(response
            .status(actix_web::http::StatusCode::NOT_MODIFIED)
            .finish());
    }
    Ok(response.body(Bytes::from_static(asset.text.as_bytes())))
}

/// Whether the reader has the file with this `ETag` already (RFC 9110 section 13.1.2; the comparison is the weak one).
fn has_it(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/").as_bytes() == etag.as_bytes())
}
