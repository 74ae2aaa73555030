//! One message of JSON-RPC, as far as the proxy must understand it.

use serde_json::Value;

/// Names that clients of other servers use for what ours calls otherwise.
const RENAMED: [(&str, &str); 1] = [("parent_id", "parent_instance_id")];
/// Tools that mean what they say.
const NOT_RENAMED: [&str; 2] = ["broadcast_to_children", "get_children"];

/// A message from the client.
#[derive(Debug)]
pub(crate) struct Message {
    /// Absent in notifications.
    pub(crate) id: Option<Value>,
    /// Absent in answers.
    pub(crate) method: Option<String>,
    /// The protocol version it carries itself: the stateless protocol.
    pub(crate) version: Option<String>,
    /// The tool, prompt or resource it names.
    pub(crate) name: Option<String>,
    value: Value,
}

impl Message {
    /// Reads a line.
    pub(crate) fn parse(line: &str) -> Result<Message, String> {
        let mut value: Value = serde_json::from_str(line).map_err(|error| format!("the line is no JSON: {error}"))?;
        if !value.is_object() {
            return Err("a message is one JSON object a line".to_owned());
        }
        rename(&mut value);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let params = &value["params"];
        Ok(Message {
            id: value.get("id").filter(|id| !id.is_null()).cloned(),
            method: text(&value["method"]),
            version: text(&params["_meta"]["io.modelcontextprotocol/protocolVersion"]),
            name: text(&params["name"]).or_else(|| text(&params["uri"])),
            value,
        })
    }

    /// The whole message.
    pub(crate) fn text(&self) -> String {
        self.value.to_string()
    }

    /// The request that it gives up.
    pub(crate) fn cancels(&self) -> Option<String> {
        (self.method.as_deref() == Some("notifications/cancelled"))
            .then(|| self.value["params"]["requestId"].to_string())
    }
}

fn rename(value: &mut Value) {
    if value["method"] != "tools/call" || NOT_RENAMED.iter().any(|tool| value["params"]["name"] == *tool) {
        return;
    }
    if let Some(Value::Object(arguments)) = value.pointer_mut("/params/arguments") {
        for (theirs, ours) in RENAMED {
            if let Some(given) = arguments.remove(theirs) {
                arguments.entry(ours).or_insert(given);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parameters_are_made_ours() {
        let call = |tool: &str| {
            let line = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"parent_id":"i1"}}}}}}"#
            );
            Message::parse(&line).unwrap().value["params"]["arguments"].to_string()
        };
        assert_eq!(call("spawn"), r#"{"parent_instance_id":"i1"}"#);
        assert_eq!(call("get_children"), r#"{"parent_id":"i1"}"#);
        assert!(Message::parse("{").is_err() && Message::parse("[1]").is_err());
    }
}
