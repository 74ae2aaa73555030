//! The tool calls of a turn: agents tell them in pieces, and each piece may name what the others leave out.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use wheelhouse_core::agent::{AgentEvent, ToolStatus};

use super::running::plan;
use crate::decode::jsonl::Field;
use crate::decode::{DETAIL_MAX, Denial, DeniedBy, NAMED_MAX, cut};

/// `tool_call`, `tool_call_update`, and the `toolCall` of a request for permission.
#[derive(Deserialize)]
pub(super) struct CallLine<'a> {
    #[serde(borrow, default, rename = "toolCallId")]
    id: Field<'a>,
    #[serde(borrow, default)]
    name: Field<'a>,
    #[serde(borrow, default)]
    title: Field<'a>,
    #[serde(borrow, default)]
    kind: Field<'a>,
    #[serde(borrow, default)]
    status: Field<'a>,
    #[serde(borrow, default, rename = "rawInput")]
    input: Field<'a>,
    #[serde(borrow, default)]
    locations: Field<'a>,
    #[serde(borrow, default)]
    content: Field<'a>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Field<'a>,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow, default)]
    path: Field<'a>,
}

#[derive(Deserialize)]
struct Command<'a> {
    #[serde(borrow, default)]
    command: Field<'a>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "claudeCode")]
    claude: Field<'a>,
    #[serde(borrow, default)]
    is_mcp_tool_call: Field<'a>,
}

#[derive(Deserialize)]
struct ClaudeMeta<'a> {
    #[serde(borrow, default, rename = "toolName")]
    tool: Field<'a>,
}

/// What is known of one call.
#[derive(Clone, Debug, Default)]
struct Call {
    /// The tool's own name, where one was given.
    name: Option<String>,
    title: String,
    kind: String,
    is_mcp: bool,
    command: String,
    input: String,
    paths: Vec<String>,
    told: Option<(ToolStatus, String)>,
    denied: bool,
    /// The list of to-dos that it was given, when it is that kind of tool.
    todos: Vec<String>,
}

/// The input of a tool that keeps a list of what is to be done.
#[derive(Deserialize)]
struct Todos<'a> {
    #[serde(borrow, default)]
    todos: Field<'a>,
}

impl Call {
    fn take(&mut self, line: &CallLine<'_>) {
        let text = |field: Field<'_>| {
            field
                .text()
                .filter(|text| !text.is_empty())
                .map(|text| cut(&text, DETAIL_MAX))
        };
        if let Some(name) = text(line.name) {
            self.name = Some(name);
        }
        if let Some(meta) = line.meta.read::<Meta<'_>>() {
            let claude = meta.claude.read::<ClaudeMeta<'_>>();
            if let (None, Some(tool)) = (&self.name, claude.and_then(|claude| text(claude.tool))) {
                self.name = Some(tool);
            }
            self.is_mcp |= meta.is_mcp_tool_call.truth();
        }
        // The first title is the tool's name where there is no other; later ones are about the call.
        if let Some(title) = text(line.title).filter(|_| self.title.is_empty() || self.kind != "other") {
            self.title = title;
        }
        if let Some(kind) = text(line.kind) {
            self.kind = kind;
        }
        if let Some(input) = line.input.json().filter(|input| *input != "{}") {
            self.input = cut(input, DETAIL_MAX);
            self.command = line.input.read::<Command<'_>>().map(command).unwrap_or_default();
        }
        let paths = paths(line);
        if !paths.is_empty() {
            self.paths = paths;
        }
    }

    /// A name that rules can be written for: the tool's own, else what kind of thing it does.
    fn name(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        match self.kind.as_str() {
            _ if self.is_mcp => self.title.clone(),
            "execute" => "shell".to_owned(),
            "" | "other" if self.title.is_empty() => "tool".to_owned(),
            "" | "other" => self.title.clone(),
            kind => kind.to_owned(),
        }
    }

    fn detail(&self) -> String {
        if !self.command.is_empty() {
            return self.command.clone();
        }
        if !self.paths.is_empty() {
            return cut(&self.paths.join(", "), DETAIL_MAX);
        }
        if self.title.is_empty() || self.title == self.name() {
            return self.input.clone();
        }
        self.title.clone()
    }

    fn changes_files(&self) -> bool {
        matches!(self.kind.as_str(), "edit" | "delete" | "move")
    }
}

/// The calls of one turn.
#[derive(Debug, Default)]
pub(super) struct Tools {
    calls: HashMap<String, Call>,
    /// Calls that came back well.
    pub(super) came_back: u32,
    /// Calls at all.
    pub(super) begun: u32,
    pub(super) files: Vec<String>,
    pub(super) denials: Vec<Denial>,
    known_files: HashSet<String>,
}

impl Tools {
    /// Takes a piece of a call and tells what is new.
    pub(super) fn take(&mut self, line: &CallLine<'_>, events: &mut Vec<AgentEvent>) {
        let id = line.id.string().unwrap_or_default();
        if !self.calls.contains_key(&id) {
            self.begun = self.begun.saturating_add(1);
        }
        // Beyond the limit a call is told piece by piece and not remembered.
        let mut call = self.calls.remove(&id).unwrap_or_default();
        call.take(line);
        // Such a list is a plan, also where the agent says it in no other way.
        let todos = line.input.read::<Todos<'_>>().map(|input| plan(input.todos));
        if let Some(todos) = todos.filter(|todos| !todos.is_empty() && *todos != call.todos) {
            events.push(AgentEvent::Plan(todos.clone()));
            call.todos = todos;
        }
        let status = match line.status.text().unwrap_or_default().as_ref() {
            "completed" => Some(ToolStatus::Succeeded),
            "failed" if call.denied => Some(ToolStatus::Denied),
            "failed" => Some(ToolStatus::Failed),
            "pending" | "in_progress" => Some(ToolStatus::Started),
            _ => None,
        };
        self.tell(&id, &mut call, status, events);
        if self.calls.len() < NAMED_MAX {
            self.calls.insert(id, call);
        }
    }

    /// Describes the call that a request is about: its id, the tool, what exactly.
    pub(super) fn describe(&mut self, line: &CallLine<'_>) -> (String, String, String) {
        let id = line.id.string().unwrap_or_default();
        let mut call = self.calls.get(&id).cloned().unwrap_or_default();
        call.take(line);
        let described = (id.clone(), call.name(), call.detail());
        if self.calls.len() < NAMED_MAX {
            if !self.calls.contains_key(&id) {
                self.begun = self.begun.saturating_add(1);
            }
            self.calls.insert(id, call);
        }
        described
    }

    /// A call was not allowed: told at once, because some agents say nothing more of it, and what comes back of it is no
    /// failure of its own.
    pub(super) fn deny(&mut self, id: &str, tool: &str, detail: &str, events: &mut Vec<AgentEvent>) {
        if let Some(call) = self.calls.get_mut(id) {
            call.denied = true;
            self.denied_now(id, events);
        }
        if self.denials.len() < NAMED_MAX {
            self.denials.push(Denial {
                tool: tool.to_owned(),
                detail: detail.to_owned(),
                by: DeniedBy::Host,
            });
        }
    }

    fn denied_now(&mut self, id: &str, events: &mut Vec<AgentEvent>) {
        if let Some(mut call) = self.calls.remove(id) {
            self.tell(id, &mut call, Some(ToolStatus::Denied), events);
            self.calls.insert(id.to_owned(), call);
        }
    }

    fn tell(&mut self, id: &str, call: &mut Call, status: Option<ToolStatus>, events: &mut Vec<AgentEvent>) {
        let Some(status) = status.or_else(|| call.told.as_ref().map(|told| told.0)) else {
            events.push(AgentEvent::Alive);
            return;
        };
        let now = (status, call.detail());
        let is_over = matches!(&call.told, Some((told, _)) if *told != ToolStatus::Started);
        if is_over || call.told.as_ref() == Some(&now) {
            events.push(AgentEvent::Alive);
            return;
        }
        if status == ToolStatus::Succeeded {
            self.came_back = self.came_back.saturating_add(1);
            if call.changes_files() {
                for path in &call.paths {
                    if self.files.len() < NAMED_MAX && self.known_files.insert(path.clone()) {
                        self.files.push(path.clone());
                    }
                }
            }
        }
        events.push(AgentEvent::Tool {
            id: id.to_owned(),
            name: call.name(),
            status,
            detail: now.1.clone(),
        });
        call.told = Some(now);
    }
}

/// The paths of a call: where it works, and what it would change.
fn paths(line: &CallLine<'_>) -> Vec<String> {
    let places = line.locations.items().into_iter().chain(line.content.items());
    let mut paths: Vec<String> = Vec::new();
    for path in places
        .take(NAMED_MAX)
        .filter_map(|place| place.read::<Place<'_>>()?.path.string())
    {
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// A command as text, also where it is a list of words.
fn command(input: Command<'_>) -> String {
    let words = input
        .command
        .text()
        .map(std::borrow::Cow::into_owned)
        .unwrap_or_else(|| {
            let words: Vec<String> = input.command.items().into_iter().filter_map(Field::string).collect();
            words.join(" ")
        });
    cut(&words, DETAIL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_what_is_to_be_done_is_a_plan_and_told_once() {
        let mut tools = Tools::default();
        let mut events = Vec::new();
        for (status, first) in [
            ("pending", ""),
            ("in_progress", "in_progress"),
            ("completed", "in_progress"),
            ("completed", "completed"),
        ] {
            let input = match first {
                "" => "{}".to_owned(),
                first => format!(
                    r#"{{"todos":[{{"content":"Write it","status":"{first}"}},{{"content":"Check it","status":"pending"}}]}}"#
                ),
            };
            let line = format!(
                r#"{{"toolCallId":"c1","title":"todowrite","kind":"other","status":"{status}","rawInput":{input}}}"#
            );
            tools.take(&serde_json::from_str(&line).unwrap(), &mut events);
        }
        let plans: Vec<&Vec<String>> = events
            .iter()
            .filter_map(|event| match event {
                AgentEvent::Plan(entries) => Some(entries),
                _ => None,
            })
            .collect();
        assert_eq!(
            plans,
            [
                &["[in_progress] Write it", "[pending] Check it"],
                &["[completed] Write it", "[pending] Check it"]
            ]
        );
    }
}
