//! Media types and encodings of values: which a request names, and which a browser would run. It must not look at
//! a value.

use actix_web::http::header::{self, HeaderMap, HeaderName};

use super::code::Code;
use super::problem::Problem;
use crate::keyspace::MediaType;

/// What `curl -d` sends unless it is told otherwise.
const FORM: &str = "application/x-www-form-urlencoded";

/// The media type that the request names; `None` where it leaves it open: no header, no media type in it, or what
/// `curl -d` adds by itself.
pub(crate) fn named(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(text) = single(headers, &header::CONTENT_TYPE)? else {
        return Ok(None);
    };
    if MediaType::is_one(text) && !text.eq_ignore_ascii_case(FORM) {
        Ok(Some(text))
    } else {
        Ok(None)
    }
}

/// Whether a body may be read as JSON: by `application/json`, anything `+json`, no type at all, or exactly what `curl -d`
/// adds by itself.
pub(crate) fn may_be_json(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(text) = single(headers, &header::CONTENT_TYPE)? else {
        return Ok(true);
    };
    let essence = MediaType::essence(text).to_ascii_lowercase();
    let named =
        MediaType::is_one(text) && (essence == "application/json" || essence.ends_with("+json"));
    Ok(named || text.is_empty() || text.eq_ignore_ascii_case(FORM))
}

/// The content encoding that the request names. It is kept, never acted on.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    Ok(single(headers, &header::CONTENT_ENCODING)?.filter(|text| !text.is_empty()))
}

/// The text of a header that is there at most once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut lines = headers.get_all(name);
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Problem::new(
            Code::InvalidParameter,
            format!("the header {name} is there twice"),
        ));
    }
    let text = line.to_str().map_err(|_not_ascii| {
        Problem::new(
            Code::InvalidParameter,
            format!("the header {name} has bytes that are no visible ASCII"),
        )
    })?;
    if text.len() > MediaType::MOST_BYTES {
        let most = MediaType::MOST_BYTES;
        let detail =
            format!("the header {name} has more than {most} bytes: it is kept with the value");
        return Err(Problem::new(Code::InvalidParameter, detail));
    }
    Ok(Some(text.trim_matches([' ', '\t'])))
}

/// Whether a browser that is shown a value of this type would run what is in it: HTML, SVG, XML, scripts.
pub(crate) fn is_runnable(media_type: &MediaType) -> bool {
    let MediaType::Named(text) = media_type else {
        return false;
    };
    let essence = MediaType::essence(text);
    let is = |known: &str| essence.eq_ignore_ascii_case(known);
    let ends = |suffix: &str| {
        let start = essence.len().saturating_sub(suffix.len());
        essence
            .get(start..)
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    is("text/html")
        || ends("/xml")
        || ends("+xml")
        || ends("/xsl")
        || ends("script")
        || ends("script1.5")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn content_type(value: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
        named(&headers).unwrap().map(str::to_owned)
    }

    #[test]
    fn a_media_type_is_kept_as_it_came() {
        for value in [
            "image/png",
            "text/html; charset=utf-8",
            "Application/JSON",
            "a/b ; c=\"d\"",
            "x/y+z;q",
        ] {
            assert_eq!(content_type(value).as_deref(), Some(value));
        }
        assert_eq!(content_type(" image/png ").as_deref(), Some("image/png"));
    }

    #[test]
    fn no_media_type_and_what_curl_adds_leave_it_open() {
        assert_eq!(named(&HeaderMap::new()).unwrap(), None);
        for value in [
            "",
            "text",
            "text/",
            "/plain",
            "a b/c",
            "a/b, c/d",
            "a/b c",
            FORM,
            "Application/X-WWW-form-urlencoded",
        ] {
            assert_eq!(content_type(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_form_with_parameters_was_meant() {
        let meant = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(content_type(meant).as_deref(), Some(meant));
    }

    #[test]
    fn a_header_that_is_there_twice_or_is_too_long_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("a/b"));
        headers.append(header::CONTENT_TYPE, HeaderValue::from_static("c/d"));
        assert_eq!(named(&headers).unwrap_err().code(), Code::InvalidParameter);
        let long = HeaderValue::from_str(&"x".repeat(MediaType::MOST_BYTES + 1)).unwrap();
        headers.insert(header::CONTENT_ENCODING, long);
        assert_eq!(
            encoding(&headers).unwrap_err().code(),
            Code::InvalidParameter
        );
    }

    #[test]
    fn json_is_what_says_so_and_what_says_nothing() {
        let may = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            may_be_json(&headers).unwrap()
        };
        assert!(may_be_json(&HeaderMap::new()).unwrap());
        for value in [
            "",
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/merge-patch+json",
            FORM,
        ] {
            assert!(may(value), "{value:?}");
        }
        for value in [
            "text/plain",
            "text/json",
            "json",
            "+json",
            "application/jsonx",
            "application/json, text/plain",
            "application/x-www-form-urlencoded; charset=utf-8",
            "multipart/form-data",
        ] {
            assert!(!may(value), "{value:?}");
        }
    }

    #[test]
    fn types_that_a_browser_would_run_are_known() {
        let runnable = [
            "text/html",
            "TEXT/HTML; charset=utf-8",
            "image/svg+xml",
            "application/xml",
            "text/xml",
            "application/xhtml+xml",
            "text/javascript",
            "application/javascript",
            "application/ecmascript",
            "application/x-javascript",
            "text/xsl",
            "text/javascript1.5",
        ];
        for text in runnable {
            assert!(is_runnable(&MediaType::Named(text.into())), "{text}");
        }
        for text in [
            "application/json",
            "image/png",
            "text/css",
            "text/html2",
            "text/plain",
        ] {
            assert!(!is_runnable(&MediaType::Named(text.into())), "{text}");
        }
        assert!(!is_runnable(&MediaType::Text) && !is_runnable(&MediaType::Binary));
    }
}
