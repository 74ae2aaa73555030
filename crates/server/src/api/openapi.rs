//! The OpenAPI 3.1 page of the API, made from the routes themselves.

use serde_json::{Map, Value, json};

use super::route::{Answer, Route, Shape};
use super::{BASE, routes};
use crate::face::document::{Attempt, Question, Run, Task, TaskResultDoc};
use crate::ports::AgentDoc;

/// The page, for a server at that URL.
pub(crate) fn document(url: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes() {
        let path = paths
            .entry(format!("{BASE}{}", route.path))
            .or_insert_with(|| json!({ "parameters": path_parameters(route.path) }));
        path[route.verb.name()] = operation(&route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Wheelhouse",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Run and steer a crew of coding agents. The documents are those of docs/json.md: names are \
                            added, never changed. Failures are problem documents with a stable `code`.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": url }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "`wheelhouse token` prints it." },
            },
            "schemas": schemas(),
        },
    })
}

fn schemas() -> Value {
    let bare = |schema: schemars::Schema| {
        let mut value = schema.to_value();
        if let Value::Object(members) = &mut value {
            members.remove("$schema");
        }
        value
    };
    json!({
        "Run": bare(schemars::schema_for!(Run)),
        "Task": bare(schemars::schema_for!(Task)),
        "Attempt": bare(schemars::schema_for!(Attempt)),
        "Result": bare(schemars::schema_for!(TaskResultDoc)),
        "Question": bare(schemars::schema_for!(Question)),
        "Agent": bare(schemars::schema_for!(AgentDoc)),
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "detail", "code", "hints"],
            "properties": {
                "type": { "type": "string", "format": "uri" },
                "title": { "type": "string" },
                "status": { "type": "integer" },
                "detail": { "type": "string" },
                "code": { "type": "string" },
                "hints": { "type": "array", "items": { "type": "string" } },
                "problems": { "type": "array", "items": { "type": "object" } },
            },
        },
    })
}

fn path_parameters(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect()
}

fn operation(route: &Route) -> Value {
    let parameters: Vec<Value> = route
        .query
        .iter()
        .map(|(name, kind, about)| {
            json!({ "name": name, "in": "query", "description": about, "schema": { "type": kind } })
        })
        .collect();
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.about,
        "x-scope": route.scope.name(),
        "x-commands": route.commands,
        "parameters": parameters,
        "responses": {
            route.status.to_string(): { "description": "Done.", "content": content(route.answer) },
            "default": {
                "description": "What went wrong.",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
            },
        },
    });
    if let Some(body) = route.body {
        let mut schema = body().to_value();
        if let Value::Object(members) = &mut schema {
            members.remove("$schema");
        }
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": schema } },
        });
    }
    operation
}

fn content(answer: Answer) -> Value {
    match answer {
        Answer::Stream => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        Answer::Bytes => json!({ "application/octet-stream": {} }),
        Answer::Document(members) => {
            let properties: Map<String, Value> = members
                .iter()
                .map(|(name, shape)| ((*name).to_owned(), schema(*shape)))
                .collect();
            let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
            json!({ "application/json": {
                "schema": { "type": "object", "required": required, "properties": properties },
            } })
        }
    }
}

fn schema(shape: Shape) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    match shape {
        Shape::One(name) => reference(name),
        Shape::Many(name) => json!({ "type": "array", "items": reference(name) }),
        Shape::Plain(kind) => json!({ "type": kind }),
        Shape::Any => json!({}),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_once_and_every_reference_leads_somewhere() {
        let page = document("http://127.0.0.1:1");
        let known: BTreeSet<&String> = page["components"]["schemas"].as_object().unwrap().keys().collect();
        let text = page.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap().to_owned();
            assert!(known.contains(&name), "{name}");
        }
        let described: usize = page["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|path| path.as_object().unwrap().len() - 1)
            .sum();
        assert_eq!(described, routes().len());
        let ids: BTreeSet<&str> = routes().iter().map(|route| route.id).collect();
        assert_eq!(ids.len(), routes().len());
    }
}
