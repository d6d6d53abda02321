//! Pages and documents, all of them in the binary: Swagger UI, the page of each error code, the interface's document.

use std::sync::{Arc, OnceLock};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use utoipa_swagger_ui::{Config, SwaggerFile};

use super::call::Call;
use super::code::Code;
use super::problem::Problem;
use super::{key, openapi};

/// Swagger UI needs its own scripts, inline styles and images; nothing from elsewhere, and no frame around it.
const DOCS_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";
/// Text, with the looks of `/ui/`.
const PROBLEM_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Caches keep a page for ten minutes without asking.
const FOR_A_WHILE: &str = "max-age=600";

/// The answer that carries a page or a part of one: its type is what we say, and it runs only what its policy allows.
pub(super) fn page(
    media_type: HeaderValue,
    policy: &'static str,
    caching: &'static str,
) -> HttpResponseBuilder {
    let fixed = HeaderValue::from_static;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header((header::CACHE_CONTROL, fixed(caching)))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")))
        .insert_header((header::CONTENT_SECURITY_POLICY, fixed(policy)));
    response
}

/// `GET /docs`
pub(super) fn docs_redirect(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    Ok(redirect("/docs/"))
}

/// A redirect to another page of ours.
pub(super) fn redirect(to: &'static str) -> HttpResponse {
    HttpResponse::build(StatusCode::FOUND)
        .insert_header((header::LOCATION, HeaderValue::from_static(to)))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .finish()
}

/// `GET /docs/...`
pub(super) fn docs(call: &Call) -> Result<HttpResponse, Problem> {
    let name = call.path().strip_prefix("/docs/").unwrap_or_default();
    let file = swagger_file(name).ok_or_else(|| nowhere(call))?;
    let media_type = HeaderValue::from_str(&file.content_type).map_err(|_never| nowhere(call))?;
    Ok(page(media_type, DOCS_POLICY, FOR_A_WHILE).body(Bytes::from(file.bytes.into_owned())))
}

fn swagger_file(name: &str) -> Option<SwaggerFile<'static>> {
    static CONFIG: OnceLock<Arc<Config<'static>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let config = Config::new(["/openapi.json"]);
        Arc::new(
            config
                .try_it_out_enabled(true)
                .display_request_duration(true)
                .use_base_layout(),
        )
    });
    utoipa_swagger_ui::serve(name, Arc::clone(config))
        .ok()
        .flatten()
}

/// `GET /problems/{code}`
pub(super) fn problem(call: &Call) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    let name = key::from_path(call.raw_path(), 2).and_then(Result::ok);
    let code = name
        .and_then(|name| Code::named(&name))
        .ok_or_else(|| nowhere(call))?;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    Ok(page(html, PROBLEM_POLICY, FOR_A_WHILE).body(problem_page(code)))
}

/// The page of a code. Everything in it is our own text, which holds no markup.
fn problem_page(code: Code) -> String {
    let (name, title, explanation) = (code.name(), code.title(), code.explanation());
    let status = code.status();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>{title} · Standpipe</title>
  <link rel="icon" href="/ui/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/ui/base.css">
</head>
<body>
  <header class="top"><a class="brand" href="/ui/"><img src="/ui/icon.svg" alt="" width="26" height="26"><span>Standpipe</span></a></header>
  <main class="prose">
    <p><span class="badge bad">{status}</span> <code>{name}</code></p>
    <h1>{title}</h1>
    <p>{explanation}</p>
    <p><a href="/docs/">All operations</a></p>
  </main>
</body>
</html>
"#
    )
}

/// `GET /openapi.json`
pub(super) fn openapi_json(call: &Call) -> Result<HttpResponse, Problem> {
    document(call, "application/json", openapi::json())
}

/// `GET /openapi.yaml`
pub(super) fn openapi_yaml(call: &Call) -> Result<HttpResponse, Problem> {
    document(call, "application/yaml", openapi::yaml())
}

/// `GET /postman.json`
pub(super) fn postman_json(call: &Call) -> Result<HttpResponse, Problem> {
    document(call, "application/json", openapi::postman())
}

fn document(
    call: &Call,
    media_type: &'static str,
    text: &'static str,
) -> Result<HttpResponse, Problem> {
    call.query(&[])?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static(media_type)))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .insert_header((
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .body(Bytes::from_static(text.as_bytes())))
}

/// That nothing is served under the path of this request.
pub(super) fn nowhere(call: &Call) -> Problem {
    Problem::new(
        Code::RouteNotFound,
        format!("nothing is served under {:?}", call.raw_path()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_swagger_ui_are_in_the_binary() {
        for (name, part) in [
            ("", "swagger-ui"),
            ("swagger-initializer.js", "/openapi.json"),
            ("swagger-ui.css", "{"),
        ] {
            let file = swagger_file(name).unwrap_or_else(|| panic!("{name:?} is missing"));
            assert!(
                String::from_utf8_lossy(&file.bytes).contains(part),
                "{name:?}"
            );
        }
        assert!(swagger_file("no-such-file").is_none());
    }

    #[test]
    fn every_code_has_a_page_that_needs_no_escaping() {
        for code in Code::ALL {
            for text in [code.title(), code.explanation()] {
                assert!(!text.contains(['<', '>', '&']), "{code:?}");
            }
            assert!(problem_page(*code).contains(code.explanation()));
        }
    }
}
