//! The trail of a session: the files it read and changed, the commands it ran and how they ended, how its tests stand.
//!
//! Made from the tool calls that the agent's stream reports, never from what the agent says it did: no summary of a model
//! keeps this, and every one of them loses it. Kept with the result of a try; the next try and whoever takes over are
//! told it. Bounded: the newest stays, what is dropped is counted.

use serde::{Deserialize, Serialize};

use crate::agent::ToolStatus;

/// Files of each kind that are kept.
pub const FILES_MAX: usize = 40;
/// Commands that are kept.
pub const COMMANDS_MAX: usize = 20;
/// The longest path or command that is kept, in bytes; more is cut.
pub const WORDS_MAX: usize = 200;

/// What a tool call is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It looks at a file.
    Read,
    /// It changes a file.
    Change,
    /// It runs a command.
    Command,
    /// Anything else: a search, the web, a tool of an MCP server.
    Other,
}

impl Kind {
    /// The kind of a tool by its name, over the names that Claude Code, Codex and agents that speak ACP use.
    pub fn of(tool: &str) -> Kind {
        match tool {
            "Read" | "read" | "NotebookRead" | "view" | "read_file" => Kind::Read,
            "Write" | "Edit" | "MultiEdit" | "NotebookEdit" | "edit" | "delete" | "move" | "apply_patch"
            | "write_file" => Kind::Change,
            "Bash" | "shell" | "execute" | "exec_command" | "run_shell_command" => Kind::Command,
            _ => Kind::Other,
        }
    }
}

/// A command and how it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ran {
    /// The command.
    pub command: String,
    /// Whether it failed the last time.
    pub failed: bool,
    /// How often it ran.
    pub times: u32,
    /// The first line of what it said when it failed; text from outside.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

impl Ran {
    /// Whether it runs tests, by the words it begins with.
    pub fn is_test(&self) -> bool {
        const TESTS: [&str; 12] = [
            "cargo test",
            "cargo nextest",
            "pytest",
            "python -m pytest",
            "npm test",
            "npm run test",
            "pnpm test",
            "yarn test",
            "go test",
            "make test",
            "make check",
            "just test",
        ];
        // `cd x && cargo test` runs tests too.
        let parts = self.command.split(['&', ';', '|']).map(str::trim_start);
        let mut parts = parts.map(|part| part.trim_start_matches('('));
        parts.any(|part| TESTS.iter().any(|test| part.starts_with(test)))
    }
}

/// What a session did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Trail {
    /// Files it read, by last sight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<String>,
    /// Files it changed, by last change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Commands it ran, by last run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Ran>,
    /// How many files and commands were dropped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u32,
    /// How many tool calls came back.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub calls: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Trail {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Trail::default()
    }

    /// A tool call came back: the tool, what the call was about, how it ended and what it said when it failed.
    pub fn came_back(&mut self, tool: &str, about: &str, status: ToolStatus, said: &str) {
        if status == ToolStatus::Started {
            return;
        }
        self.calls = self.calls.saturating_add(1);
        let about = words(about);
        if about.is_empty() || status == ToolStatus::Denied {
            return;
        }
        match (Kind::of(tool), status) {
            (Kind::Read, ToolStatus::Succeeded) => self.dropped += put(&mut self.read, about),
            (Kind::Change, ToolStatus::Succeeded) => {
                for path in about.split(", ") {
                    self.dropped += put(&mut self.changed, path.to_owned());
                }
            }
            (Kind::Command, _) => self.ran(about, status == ToolStatus::Failed, said),
            _ => {}
        }
    }

    fn ran(&mut self, command: String, failed: bool, said: &str) {
        let before = self.commands.iter().position(|ran| ran.command == command);
        let times = before.map_or(0, |place| self.commands.remove(place).times);
        self.commands.push(Ran {
            command,
            failed,
            times: times.saturating_add(1),
            said: if failed { words(said) } else { String::new() },
        });
        if self.commands.len() > COMMANDS_MAX {
            self.commands.remove(0);
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The last run of tests.
    pub fn tests(&self) -> Option<&Ran> {
        self.commands.iter().rev().find(|ran| ran.is_test())
    }

    /// The trail of two stretches of work, one after the other.
    #[must_use]
    pub fn then(mut self, later: &Trail) -> Trail {
        let Trail {
            read,
            changed,
            commands,
            dropped,
            calls,
        } = later;
        for path in read {
            self.dropped += put(&mut self.read, path.clone());
        }
        for path in changed {
            self.dropped += put(&mut self.changed, path.clone());
        }
        for ran in commands {
            let before = self
                .commands
                .iter()
                .find(|own| own.command == ran.command)
                .map_or(0, |own| own.times);
            self.ran(ran.command.clone(), ran.failed, &ran.said);
            if let Some(own) = self.commands.last_mut() {
                own.times = before.saturating_add(ran.times);
            }
        }
        self.dropped = self.dropped.saturating_add(*dropped);
        self.calls = self.calls.saturating_add(*calls);
        self
    }

    /// The trail in lines, for whoever takes over. Empty for an empty one.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, files) in [("changed", &self.changed), ("read", &self.read)] {
            if !files.is_empty() {
                lines.push(format!("{what}: {}", files.join(", ")));
            }
        }
        for ran in &self.commands {
            let times = if ran.times > 1 {
                format!(", {} times", ran.times)
            } else {
                String::new()
            };
            let ended = match (ran.failed, ran.said.is_empty()) {
                (false, _) => "went well".to_owned(),
                (true, true) => "failed".to_owned(),
                (true, false) => format!("failed: {}", ran.said),
            };
            lines.push(format!("ran `{}`{times}: {ended}", ran.command));
        }
        if let Some(tests) = self.tests() {
            let stand = if tests.failed { "failing" } else { "passing" };
            lines.push(format!("tests: {stand} when they last ran (`{}`)", tests.command));
        }
        if self.dropped > 0 {
            lines.push(format!("and {} older files or commands", self.dropped));
        }
        lines
    }
}

/// Puts a path at the end of a list, wherever it stood before. Says how many fell off the beginning.
fn put(list: &mut Vec<String>, path: String) -> u32 {
    list.retain(|other| *other != path);
    list.push(path);
    if list.len() > FILES_MAX {
        list.remove(0);
        return 1;
    }
    0
}

/// One line within its limit.
fn words(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let plain: String = line
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    let cut = &plain[..plain.floor_char_boundary(WORDS_MAX)];
    if cut.len() < plain.len() {
        format!("{cut}…")
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail() -> Trail {
        let mut trail = Trail::default();
        let mut call = |tool: &str, about: &str, failed: bool, said: &str| {
            let status = if failed {
                ToolStatus::Failed
            } else {
                ToolStatus::Succeeded
            };
            trail.came_back(tool, about, ToolStatus::Started, "");
            trail.came_back(tool, about, status, said);
        };
        call("Read", "src/a.rs", false, "");
        call("Edit", "src/a.rs", false, "");
        call("Bash", "cd x && cargo test -q", true, "Exit code 101\nerror: nope");
        call("Bash", "cd x && cargo test -q", true, "Exit code 101\nerror: nope");
        call("Bash", "ls", false, "");
        call("edit", "b, c", false, "");
        call("Grep", "TODO", false, "");
        trail
    }

    #[test]
    fn it_keeps_what_was_done_and_how_the_tests_stand() {
        let trail = trail();
        assert_eq!(
            trail.lines(),
            [
                "changed: src/a.rs, b, c",
                "read: src/a.rs",
                "ran `cd x && cargo test -q`, 2 times: failed: Exit code 101",
                "ran `ls`: went well",
                "tests: failing when they last ran (`cd x && cargo test -q`)",
            ]
        );
        assert_eq!(trail.calls, 7);
        assert!(Trail::default().is_empty() && Trail::default().lines().is_empty());
    }

    #[test]
    fn a_denied_call_did_nothing_and_a_failed_read_read_nothing() {
        let mut trail = Trail::default();
        trail.came_back("Bash", "rm -rf x", ToolStatus::Denied, "no");
        trail.came_back("Read", "gone", ToolStatus::Failed, "no such file");
        assert_eq!((trail.commands.len(), trail.read.len(), trail.calls), (0, 0, 2));
    }

    #[test]
    fn it_is_bounded_and_the_newest_stays() {
        let mut trail = Trail::default();
        for n in 0..100 {
            trail.came_back("Read", &format!("f{n}"), ToolStatus::Succeeded, "");
            trail.came_back(
                "Bash",
                &format!("echo {n} {}", "x".repeat(900)),
                ToolStatus::Succeeded,
                "",
            );
        }
        assert_eq!((trail.read.len(), trail.commands.len()), (FILES_MAX, COMMANDS_MAX));
        assert_eq!(trail.read.last().unwrap(), "f99");
        assert_eq!(trail.dropped, 60 + 80);
        assert!(
            trail
                .commands
                .iter()
                .all(|ran| ran.command.len() <= WORDS_MAX + '…'.len_utf8())
        );
    }

    #[test]
    fn two_stretches_are_one_trail() {
        let mut later = Trail::default();
        later.came_back("Bash", "cd x && cargo test -q", ToolStatus::Succeeded, "");
        let both = trail().then(&later);
        assert_eq!(both.commands.last().unwrap().times, 3);
        assert!(!both.tests().unwrap().failed);
        assert_eq!((both.calls, both.changed.len()), (8, 3));
    }
}
