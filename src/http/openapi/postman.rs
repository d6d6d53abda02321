//! The interface as a Postman collection (format 2.1), made from the document: a folder for each tag, every operation with
//! its examples filled in, and a test of its status. Run in order on a fresh server all of it passes. It must not know what
//! the operations do.

use serde_json::{Map, Value, json};

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";

/// How deep an example may be made up from schemas that name each other.
const DEPTH: u8 = 8;

/// The collection of `document`.
pub(super) fn collection(document: &Value) -> Value {
    let info = at(document, "info");
    let folders = members(at(document, "tags")).map(|tag| folder(document, tag));
    json!({
        "info": {
            "name": at(info, "title"),
            "description": at(info, "description"),
            "version": at(info, "version"),
            "schema": SCHEMA,
        },
        "item": folders.collect::<Vec<_>>(),
        "auth": {
            "type": "bearer",
            "bearer": [{ "key": "token", "value": "{{token}}", "type": "string" }],
        },
        "variable": [
            { "key": "baseUrl", "value": "http://127.0.0.1:8080", "type": "string" },
            { "key": "token", "value": "", "type": "string" },
        ],
    })
}

fn folder(document: &Value, tag: &Value) -> Value {
    let mut operations = Vec::new();
    for (path, methods) in at(document, "paths").as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            if members(at(operation, "tags")).any(|name| name == at(tag, "name")) {
                operations.push((turn(method, path), path, method, operation));
            }
        }
    }
    operations.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let items = operations
        .into_iter()
        .map(|(_, path, method, operation)| item(document, path, method, operation));
    json!({
        "name": at(tag, "name"),
        "description": at(tag, "description"),
        "item": items.collect::<Vec<_>>(),
    })
}

/// What is written comes before what is read, and what takes away comes last.
fn turn(method: &str, path: &str) -> u8 {
    match method {
        "put" => 0,
        "post" if path.ends_with("/flush") => 5,
        "post" => 1,
        "get" => 2,
        "head" => 3,
        // An expiry can only be taken from what is there.
        _ if path.contains("/ttl/") => 4,
        // Where several are dropped, one that is gone already is no failure.
        _ if path == "/keyspaces" => 7,
        _ => 6,
    }
}

fn item(document: &Value, path: &str, method: &str, operation: &Value) -> Value {
    let content = at(at(operation, "requestBody"), "content").as_object();
    let body = content.and_then(|content| content.iter().next());
    let media_type = body.map(|(name, _)| json!({ "key": "Content-Type", "value": name }));
    let mut request = json!({
        "method": method.to_uppercase(),
        "header": media_type.into_iter().chain(headers(operation)).collect::<Value>(),
        "url": url(path, operation),
        "description": at(operation, "description"),
    });
    if let (Some((media_type, content)), Some(request)) = (body, request.as_object_mut()) {
        let example = example(document, content);
        request.insert("body".to_owned(), body_of(media_type, &example));
    }
    json!({
        "name": at(operation, "summary"),
        "request": request,
        "event": [{
            "listen": "test",
            "script": { "type": "text/javascript", "exec": test(operation) },
        }],
        "response": [],
    })
}

/// Asserts that the status is one that the document calls a success.
fn test(operation: &Value) -> Value {
    let statuses = at(operation, "responses").as_object();
    let successes: Vec<_> = statuses
        .into_iter()
        .flatten()
        .map(|(status, _)| status.as_str())
        .filter(|status| status.starts_with(['2', '3']))
        .collect();
    let successes = successes.join(", ");
    json!([
        "pm.test(\"answers a documented success\", () => {",
        format!("  pm.expect(pm.response.code).to.be.oneOf([{successes}]);"),
        "});",
    ])
}

fn body_of(media_type: &str, example: &Value) -> Value {
    let text = match example {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            serde_json::to_string_pretty(example).unwrap_or_default()
        }
    };
    let language = if media_type.contains("json") {
        "json"
    } else {
        "text"
    };
    json!({ "mode": "raw", "raw": text, "options": { "raw": { "language": language } } })
}

fn headers(operation: &Value) -> impl Iterator<Item = Value> {
    parameters(operation, "header").map(given)
}

/// The address: what stands in the path is a variable, what stands behind the `?` is listed.
fn url(path: &str, operation: &Value) -> Value {
    let segments: Vec<_> = path
        .trim_start_matches('/')
        .split('/')
        .map(|part| part.strip_prefix('{').map_or(part.to_owned(), variable))
        .collect();
    let mut raw = format!("{{{{baseUrl}}}}/{}", segments.join("/"));
    let query: Vec<_> = parameters(operation, "query").map(given).collect();
    let sent: Vec<_> = query
        .iter()
        .filter(|parameter| parameter.get("disabled").is_none())
        .filter_map(|parameter| {
            Some((
                at(parameter, "key").as_str()?,
                at(parameter, "value").as_str()?,
            ))
        })
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !sent.is_empty() {
        raw.push('?');
        raw.push_str(&sent.join("&"));
    }
    let mut url = Map::new();
    url.insert("raw".to_owned(), Value::String(raw));
    url.insert("host".to_owned(), json!(["{{baseUrl}}"]));
    url.insert("path".to_owned(), json!(segments));
    let variables: Vec<_> = parameters(operation, "path").map(given).collect();
    for (name, list) in [("query", query), ("variable", variables)] {
        if !list.is_empty() {
            url.insert(name.to_owned(), Value::Array(list));
        }
    }
    Value::Object(url)
}

fn variable(name: &str) -> String {
    format!(":{}", name.trim_end_matches('}'))
}

/// A parameter with its example. One without an example is there to be switched on.
fn given(parameter: &Value) -> Value {
    let example = at(parameter, "example");
    let mut given = Map::new();
    let value = example
        .as_str()
        .map_or_else(|| written(example), str::to_owned);
    given.insert("key".to_owned(), at(parameter, "name").clone());
    given.insert("value".to_owned(), Value::String(value));
    given.insert(
        "description".to_owned(),
        at(parameter, "description").clone(),
    );
    if example.is_null() {
        given.insert("disabled".to_owned(), Value::Bool(true));
    }
    Value::Object(given)
}

fn written(example: &Value) -> String {
    if example.is_null() {
        String::new()
    } else {
        example.to_string()
    }
}

fn parameters<'a>(operation: &'a Value, place: &'a str) -> impl Iterator<Item = &'a Value> {
    members(at(operation, "parameters")).filter(move |parameter| at(parameter, "in") == place)
}

/// A member; `null` where there is none.
fn at<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

fn members(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The example of a body, or one made up from its schema, as the page of the documentation does it.
fn example(document: &Value, content: &Value) -> Value {
    if let Some(example) = content.get("example") {
        return example.clone();
    }
    let named = at(content, "examples").as_object();
    if let Some(example) = named.and_then(|examples| examples.values().next()) {
        return at(example, "value").clone();
    }
    of_schema(document, at(content, "schema"), DEPTH)
}

fn of_schema(document: &Value, schema: &Value, depth: u8) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    if let Some(place) = schema["$ref"].as_str() {
        let place = document.pointer(place.trim_start_matches('#'));
        return place.map_or(Value::Null, |schema| of_schema(document, schema, depth - 1));
    }
    for name in ["example", "default"] {
        if let Some(example) = schema.get(name) {
            return example.clone();
        }
    }
    if let Some(example) = members(at(schema, "examples")).next() {
        return example.clone();
    }
    if let Some(properties) = at(schema, "properties").as_object() {
        let examples = properties
            .iter()
            .map(|(name, schema)| (name.clone(), of_schema(document, schema, depth - 1)));
        return Value::Object(examples.collect::<Map<_, _>>());
    }
    let choices = ["oneOf", "anyOf", "allOf"]
        .iter()
        .flat_map(|name| members(at(schema, name)));
    let mut choices = choices.filter(|choice| at(choice, "type") != "null");
    if let Some(choice) = choices.next() {
        return of_schema(document, choice, depth - 1);
    }
    if let Some(items) = schema.get("items") {
        return json!([of_schema(document, items, depth - 1)]);
    }
    Value::Null
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        json!({
            "info": { "title": "T", "description": "D", "version": "1" },
            "tags": [{ "name": "a", "description": "A" }, { "name": "b", "description": "B" }],
            "paths": { "/x/{key}": {
                "delete": { "tags": ["a"], "summary": "Remove", "responses": { "204": {}, "404": {} } },
                "put": {
                    "tags": ["a"], "summary": "Write", "description": "Writes",
                    "parameters": [
                        { "name": "key", "in": "path", "example": "k", "description": "Which" },
                        { "name": "limit", "in": "query", "example": 5 },
                        { "name": "ttl", "in": "query" },
                        { "name": "If-Match", "in": "header" },
                    ],
                    "requestBody": { "content": {
                        "application/json": { "schema": { "$ref": "#/components/schemas/S" } },
                        "text/plain": { "example": "other" },
                    } },
                    "responses": { "200": {}, "304": {}, "400": {} },
                },
            } },
            "components": { "schemas": { "S": { "properties": {
                "n": { "example": 1 },
                "list": { "items": { "anyOf": [{ "type": "null" }, { "example": "e" }] } },
                "again": { "$ref": "#/components/schemas/S" },
            } } } },
        })
    }

    #[test]
    fn every_tag_is_a_folder_and_what_takes_away_comes_last() {
        let collection = collection(&document());
        assert_eq!(collection["info"]["schema"], SCHEMA);
        let folders = collection["item"].as_array().unwrap();
        assert_eq!(
            (&folders[0]["name"], &folders[1]["name"]),
            (&json!("a"), &json!("b"))
        );
        assert_eq!(folders[1]["item"], json!([]));
        let names: Vec<_> = members(&folders[0]["item"])
            .map(|item| &item["name"])
            .collect();
        assert_eq!(names, ["Write", "Remove"]);
    }

    #[test]
    fn examples_are_filled_in_and_the_rest_is_switched_off() {
        let collection = collection(&document());
        let request = &collection["item"][0]["item"][0]["request"];
        assert_eq!(request["url"]["raw"], "{{baseUrl}}/x/:key?limit=5");
        assert_eq!(request["url"]["path"], json!(["x", ":key"]));
        assert_eq!(request["url"]["variable"][0]["value"], "k");
        assert_eq!(request["url"]["query"][0]["value"], "5");
        assert_eq!(request["url"]["query"][1]["disabled"], true);
        assert_eq!(request["header"][0]["value"], "application/json");
        assert_eq!(request["header"][1]["disabled"], true);
        let body: Value = serde_json::from_str(request["body"]["raw"].as_str().unwrap()).unwrap();
        assert_eq!((&body["n"], &body["list"]), (&json!(1), &json!(["e"])));
    }

    #[test]
    fn the_documented_successes_are_tested_and_nothing_else() {
        let collection = collection(&document());
        let script = collection["item"][0]["item"][0]["event"][0]["script"].to_string();
        assert!(script.contains("oneOf([200, 304])"), "{script}");
    }
}
