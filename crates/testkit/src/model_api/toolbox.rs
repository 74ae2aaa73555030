//! From "write this file" and "run this command" to a call of whichever tool the request offers.

use serde_json::{Map, Value, json};

use super::ask::{Ask, Offered};
use super::script::Act;

/// A tool call to send.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Call {
    /// The name on the wire.
    pub(crate) name: String,
    /// The namespace on the wire (Responses only).
    pub(crate) namespace: Option<String>,
    pub(crate) input: Input,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Input {
    Object(Value),
    FreeText(String),
}

const WRITE_TOOLS: [&str; 6] = ["Write", "write_file", "write", "WriteFile", "create_file", "fs_write"];
const SHELL_TOOLS: [&str; 8] = [
    "exec_command",
    "shell_command",
    "shell",
    "Bash",
    "bash",
    "run_shell_command",
    "Shell",
    "execute",
];
const READ_TOOLS: [&str; 4] = ["Read", "read_file", "read", "ReadFile"];
const PATH_KEYS: [&str; 4] = ["file_path", "filePath", "path", "absolute_path"];
const CONTENT_KEYS: [&str; 3] = ["content", "contents", "file_text"];
const COMMAND_KEYS: [&str; 2] = ["cmd", "command"];

/// The call that does `act` with the tools of `ask`; `None` when none of them can.
pub(crate) fn call(ask: &Ask, act: &Act) -> Option<Call> {
    match act {
        Act::Tool { name, input } => Some(exactly(ask, name, input)),
        Act::Edit { path, content } => edit(ask, path, content),
        Act::Run(command) => run(ask, command),
    }
}

/// The call that reads the file of an edit. Some agents refuse to overwrite what was not read before.
pub(crate) fn read_first(ask: &Ask, act: &Act) -> Option<Call> {
    let Act::Edit { path, .. } = act else { return None };
    let tool = named(ask, &READ_TOOLS)?;
    let key = property(tool, &PATH_KEYS)?;
    Some(filled(tool, [(key, json!(absolute(ask, path)))]))
}

/// Whether a name is of a tool that reads files.
pub(crate) fn reads(name: &str) -> bool {
    READ_TOOLS.contains(&name)
}

fn exactly(ask: &Ask, name: &str, input: &Value) -> Call {
    let offered = ask.offered.iter().find(|tool| tool.name == name);
    let (namespace, wire_name) = match offered.and_then(|tool| tool.inside.clone()) {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name.to_owned()),
    };
    let free = offered.is_some_and(|tool| tool.schema.is_none());
    let input = match (free, input) {
        (true, Value::String(text)) => Input::FreeText(text.clone()),
        (true, other) => Input::FreeText(other["input"].as_str().map_or_else(|| other.to_string(), str::to_owned)),
        (false, other) => Input::Object(other.clone()),
    };
    Call {
        name: wire_name,
        namespace,
        input,
    }
}

fn edit(ask: &Ask, path: &str, content: &str) -> Option<Call> {
    let patch = ask
        .offered
        .iter()
        .find(|tool| tool.name == "apply_patch" && tool.schema.is_none());
    if let Some(tool) = patch {
        let lines: String = content.lines().map(|line| format!("+{line}\n")).collect();
        let text = format!("*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch");
        return Some(Call {
            name: tool.name.clone(),
            namespace: None,
            input: Input::FreeText(text),
        });
    }
    if let Some(tool) = named(ask, &WRITE_TOOLS) {
        let path_key = property(tool, &PATH_KEYS)?;
        let content_key = property(tool, &CONTENT_KEYS)?;
        let values = [(path_key, json!(absolute(ask, path))), (content_key, json!(content))];
        return Some(filled(tool, values));
    }
    let (path, content) = (quoted(path), quoted(content));
    run(
        ask,
        &format!("mkdir -p \"$(dirname {path})\" && printf %s {content} > {path}"),
    )
}

fn run(ask: &Ask, command: &str) -> Option<Call> {
    let tool = named(ask, &SHELL_TOOLS).or_else(|| {
        let like_a_shell = |tool: &&Offered| {
            let name = tool.name.to_lowercase();
            ["shell", "bash", "exec", "terminal"]
                .iter()
                .any(|word| name.contains(word))
                && property(tool, &COMMAND_KEYS).is_some()
        };
        ask.offered.iter().find(like_a_shell)
    })?;
    let key = property(tool, &COMMAND_KEYS)?;
    let takes_a_list = tool
        .schema
        .as_ref()
        .is_some_and(|schema| schema["properties"][key]["type"] == "array");
    let value = if takes_a_list {
        json!(["bash", "-lc", command])
    } else {
        json!(command)
    };
    Some(filled(tool, [(key, value)]))
}

fn named<'a>(ask: &'a Ask, names: &[&str]) -> Option<&'a Offered> {
    names.iter().find_map(|name| {
        ask.offered
            .iter()
            .find(|tool| tool.name == *name && tool.schema.is_some())
    })
}

fn property<'k>(tool: &Offered, keys: &[&'k str]) -> Option<&'k str> {
    let properties = tool.schema.as_ref()?.get("properties")?.as_object()?;
    keys.iter().copied().find(|key| properties.contains_key(*key))
}

/// The call with these values, and plain ones for whatever else the schema requires.
fn filled<const N: usize>(tool: &Offered, values: [(&str, Value); N]) -> Call {
    let mut input = Map::new();
    input.extend(values.map(|(key, value)| (key.to_owned(), value)));
    let schema = tool.schema.clone().unwrap_or_default();
    for key in schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !input.contains_key(key) {
            input.insert(key.to_owned(), instance(&schema["properties"][key]));
        }
    }
    let (namespace, name) = match tool.inside.clone() {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, tool.name.clone()),
    };
    Call {
        name,
        namespace,
        input: Input::Object(Value::Object(input)),
    }
}

/// The depth to which a schema is followed.
const SCHEMA_DEPTH_MAX: usize = 16;

/// The plainest value that a JSON schema allows, the same each time.
pub(crate) fn instance(schema: &Value) -> Value {
    instance_at(schema, schema, 0)
}

fn instance_at(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > SCHEMA_DEPTH_MAX {
        return Value::Null;
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return root
            .pointer(target)
            .map_or(Value::Null, |found| instance_at(found, root, depth + 1));
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[key].as_array().and_then(|choices| choices.first()) {
            return instance_at(first, root, depth + 1);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().cloned().unwrap_or_default(),
        other => other.clone(),
    };
    // Gemini writes types in capitals.
    match kind.as_str().unwrap_or("object").to_lowercase().as_str() {
        "string" => json!("scripted by the fake model"),
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "number" => schema.get("minimum").cloned().unwrap_or(json!(0.5)),
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0).min(100);
            (0..least)
                .map(|_| instance_at(&schema["items"], root, depth + 1))
                .collect()
        }
        _ => {
            let empty = Map::new();
            let properties = schema["properties"].as_object().unwrap_or(&empty);
            let required = schema["required"].as_array();
            let wanted = |key: &String| required.is_none_or(|keys| keys.iter().any(|name| name.as_str() == Some(key)));
            let made = properties.iter().filter(|(key, _)| wanted(key));
            made.map(|(key, schema)| (key.clone(), instance_at(schema, root, depth + 1)))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

fn absolute(ask: &Ask, path: &str) -> String {
    match &ask.cwd {
        Some(cwd) if !path.starts_with('/') => format!("{}/{path}", cwd.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::ask::{Body, Entry};
    use super::super::timeline::Vendor;
    use super::*;

    fn tool(name: &str, schema: Value) -> Offered {
        Offered {
            name: name.to_owned(),
            inside: None,
            schema: Some(schema),
        }
    }

    fn object(keys: &[&str]) -> Value {
        let properties: Map<String, Value> = keys
            .iter()
            .map(|key| ((*key).to_owned(), json!({"type": "string"})))
            .collect();
        json!({"type": "object", "properties": properties, "required": keys})
    }

    fn ask(offered: Vec<Offered>) -> Ask {
        Ask::understand(Body {
            vendor: Vendor::Anthropic,
            model: String::new(),
            stream: true,
            include_usage: true,
            entries: vec![Entry::System("Working directory: /w".to_owned())],
            offered,
            schema: None,
        })
    }

    fn edit_act() -> Act {
        Act::Edit {
            path: "a.txt".to_owned(),
            content: "it's\n".to_owned(),
        }
    }

    #[test]
    fn an_edit_takes_the_tool_that_is_there() {
        for (offered, name, input) in [
            (
                tool("Write", object(&["file_path", "content"])),
                "Write",
                json!({"file_path": "/w/a.txt", "content": "it's\n"}),
            ),
            (
                tool("write", object(&["content", "filePath"])),
                "write",
                json!({"filePath": "/w/a.txt", "content": "it's\n"}),
            ),
            (
                tool("bash", object(&["command", "description"])),
                "bash",
                json!({"command": r#"mkdir -p "$(dirname 'a.txt')" && printf %s 'it'\''s
' > 'a.txt'"#, "description": "scripted by the fake model"}),
            ),
        ] {
            let call = call(&ask(vec![offered]), &edit_act()).unwrap();
            assert_eq!((call.name.as_str(), call.input), (name, Input::Object(input)));
        }
        let patch = Offered {
            name: "apply_patch".to_owned(),
            inside: None,
            schema: None,
        };
        let call = call(&ask(vec![patch]), &edit_act()).unwrap();
        assert_eq!(
            call.input,
            Input::FreeText("*** Begin Patch\n*** Add File: a.txt\n+it's\n*** End Patch".to_owned())
        );
        assert_eq!(super::call(&ask(Vec::new()), &edit_act()), None);
    }

    #[test]
    fn a_command_is_text_or_a_list_as_the_schema_says() {
        let list = json!({"type": "object", "properties": {"command": {"type": "array"}}});
        let run = Act::Run("ls".to_owned());
        let input = |offered| call(&ask(vec![offered]), &run).unwrap().input;
        assert_eq!(
            input(tool("shell", list)),
            Input::Object(json!({"command": ["bash", "-lc", "ls"]}))
        );
        assert_eq!(
            input(tool("exec_command", object(&["cmd"]))),
            Input::Object(json!({"cmd": "ls"}))
        );
        assert_eq!(
            input(tool("developer__shell", object(&["command"]))),
            Input::Object(json!({"command": "ls"}))
        );
        let task = tool("task", object(&["command"]));
        assert_eq!(call(&ask(vec![task]), &run), None, "a tool that delegates is no shell");
    }

    #[test]
    fn a_named_tool_is_called_as_it_is_offered() {
        let inner = Offered {
            name: "mcp__log__echo".to_owned(),
            inside: Some(("mcp__log".to_owned(), "echo".to_owned())),
            schema: Some(object(&["text"])),
        };
        let act = Act::Tool {
            name: "mcp__log__echo".to_owned(),
            input: json!({"text": "x"}),
        };
        let found = call(&ask(vec![inner]), &act).unwrap();
        assert_eq!(
            (found.name.as_str(), found.namespace.as_deref()),
            ("echo", Some("mcp__log"))
        );
        let unknown = call(&ask(Vec::new()), &act).unwrap();
        assert_eq!((unknown.name.as_str(), unknown.namespace), ("mcp__log__echo", None));
    }

    #[test]
    fn an_instance_follows_its_schema() {
        let schema = json!({"type": "OBJECT", "properties": {
            "why": {"type": "STRING"},
            "score": {"type": "INTEGER"},
            "next": {"enum": ["user", "model"]},
            "rows": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/row"}},
            "extra": {"type": "string"},
        }, "required": ["why", "score", "next", "rows"], "$defs": {"row": {"type": "boolean"}}});
        assert_eq!(
            instance(&schema),
            json!({"why": "scripted by the fake model", "score": 1, "next": "user", "rows": [true]})
        );
    }
}
