//! What the model "says": rules that choose a reply, and replies made of thought, text, acts and faults.
//!
//! A script is written in code with the builders here, or read from YAML or JSON with [`Script::parse`]. It holds no
//! state; which reply comes next is decided in [`super::choose`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fault::{Fault, UnknownFault};
use super::timeline::Vendor;

/// The text of a reply that nothing else says.
pub const DEFAULT_TEXT: &str = "Hello from the fake model.";

/// The longest script that is read, in bytes.
pub const SCRIPT_BYTES_MAX: usize = 4 << 20;

/// Rules in the order in which they are tried, and what is said when none matches.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// What happens to a request that breaks the protocol.
    pub checks: Checks,
    /// The first rule that matches a request chooses its reply.
    pub rules: Vec<Rule>,
    /// What is said when no rule matches and the prompt has no markers.
    pub otherwise: Reply,
    /// Tokens of every reply that names none of its own.
    pub usage: Option<UsageSaid>,
}

/// What happens to a request that breaks the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checks {
    /// The violation is recorded and the request answered all the same.
    #[default]
    Record,
    /// The violation is recorded and the request answered with 400, as the vendor would.
    Strict,
}

/// Which requests a rule is for, and the replies they get.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Only requests of this protocol.
    pub vendor: Option<Vendor>,
    /// Only models that match this glob (`*` and `?`).
    pub model: Option<String>,
    /// Only when the last text of the user contains this.
    pub says: Option<String>,
    /// Only the attempts with these numbers.
    pub attempt: Option<Attempts>,
    /// Who shares the place in `replies`.
    pub counted: Counted,
    /// Used in order; the last repeats.
    pub replies: Vec<Reply>,
}

/// Attempt numbers at one point of a conversation, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Attempts {
    /// This one.
    One(u32),
    /// From the first to the second, both included.
    Between(u32, u32),
}

impl Attempts {
    pub(crate) fn contains(self, attempt: u32) -> bool {
        match self {
            Attempts::One(one) => attempt == one,
            Attempts::Between(from, to) => (from..=to).contains(&attempt),
        }
    }
}

/// Who shares the place in a rule's replies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Each model and prompt goes through the replies from the start: the same in whatever order requests arrive.
    #[default]
    PerPrompt,
    /// All requests that match the rule go through the replies together.
    Together,
}

/// One reply of the model: thought, text, acts, in this order.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// Thought shown before the text.
    pub think: Option<String>,
    /// The text, whole (then it is cut into chunks of 16 characters) or in the chunks to send.
    pub text: Option<Text>,
    /// Tool calls, all in this one reply.
    pub acts: Vec<Act>,
    /// The reply after this one, once the tools' results come back.
    pub then: Option<String>,
    /// What the reply claims to have consumed.
    pub usage: Option<UsageSaid>,
    /// Wait before the first byte.
    pub delay_ms: u64,
    /// Wait between chunks of text.
    pub pace_ms: u64,
    /// Stop in mid-text until the gate of this name is released.
    pub hold: Option<String>,
    /// Send the body in pieces of this many bytes, whatever frames or characters that splits.
    pub shred: Option<usize>,
    /// What goes wrong. With a count, this reply is repeated that often and then once without the fault.
    pub fault: Option<Fault>,
}

/// Text of a reply.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// To be cut into chunks.
    Whole(String),
    /// Sent as they are.
    Chunks(Vec<String>),
}

/// A tool call, said by name or by what it is to do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    /// Exactly this tool with this input, offered or not.
    Tool {
        /// The tool's name as the request offers it.
        name: String,
        /// Its input; text for a tool that takes free text.
        input: Value,
    },
    /// Write a file, with whichever offered tool does that.
    Edit {
        /// The file; relative to the agent's working directory where the request names it.
        path: String,
        /// All it shall hold.
        content: String,
    },
    /// Run a shell command, with whichever offered tool does that.
    Run(String),
}

/// What a reply says about the tokens it used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSaid {
    /// Nothing at all.
    Omitted,
    /// These numbers, true or not.
    #[serde(untagged)]
    Tokens(Tokens),
}

/// Token numbers that do not overlap; each vendor's shape is made from them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Prompt tokens that no cache served.
    pub input: u64,
    /// Prompt tokens read from a cache.
    pub cache_read: u64,
    /// Prompt tokens written to a cache. Gemini has no such number.
    pub cache_write: u64,
    /// Answer tokens, reasoning excluded.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
}

impl Default for Tokens {
    fn default() -> Tokens {
        Tokens {
            input: 100,
            cache_read: 2_000,
            cache_write: 300,
            output: 7,
            reasoning: 0,
        }
    }
}

/// The script could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NotAScript {
    /// Longer than [`SCRIPT_BYTES_MAX`].
    #[error("the script has {bytes} bytes; at most {SCRIPT_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Neither YAML nor JSON of a script.
    #[error("the script does not read: {problem}")]
    Syntax {
        /// What was found where.
        problem: String,
    },
    /// A rule without replies can say nothing.
    #[error("rule {number} has no replies; give it at least one")]
    NoReplies {
        /// Place of the rule, from 1.
        number: usize,
    },
}

impl Script {
    /// A script without rules: everything is said by markers, model names and [`DEFAULT_TEXT`].
    pub fn new() -> Script {
        Script::default()
    }

    /// Reads YAML or JSON.
    pub fn parse(text: &str) -> Result<Script, NotAScript> {
        if text.len() > SCRIPT_BYTES_MAX {
            return Err(NotAScript::TooLong { bytes: text.len() });
        }
        let syntax = |problem: String| NotAScript::Syntax { problem };
        let script: Script = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| syntax(error.to_string()))?
        } else {
            serde_saphyr::from_str(text).map_err(|error| syntax(error.to_string()))?
        };
        match script.rules.iter().position(|rule| rule.replies.is_empty()) {
            Some(at) => Err(NotAScript::NoReplies { number: at + 1 }),
            None => Ok(script),
        }
    }

    /// Requests that break the protocol are answered with 400.
    #[must_use]
    pub fn strict(mut self) -> Script {
        self.checks = Checks::Strict;
        self
    }

    /// Adds a rule after those already there.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Script {
        self.rules.push(rule);
        self
    }

    /// What is said when no rule matches and the prompt has no markers.
    #[must_use]
    pub fn otherwise(mut self, reply: Reply) -> Script {
        self.otherwise = reply;
        self
    }

    /// Tokens of every reply that names none of its own.
    #[must_use]
    pub fn usage(mut self, tokens: Tokens) -> Script {
        self.usage = Some(UsageSaid::Tokens(tokens));
        self
    }
}

impl Rule {
    /// A rule for every request.
    pub fn any() -> Rule {
        Rule::default()
    }

    /// Only requests of this protocol.
    #[must_use]
    pub fn vendor(mut self, vendor: Vendor) -> Rule {
        self.vendor = Some(vendor);
        self
    }

    /// Only models that match this glob.
    #[must_use]
    pub fn model(mut self, glob: &str) -> Rule {
        self.model = Some(glob.to_owned());
        self
    }

    /// Only when the last text of the user contains this.
    #[must_use]
    pub fn says(mut self, text: &str) -> Rule {
        self.says = Some(text.to_owned());
        self
    }

    /// Only the attempts with these numbers, both included.
    #[must_use]
    pub fn attempts(mut self, from: u32, to: u32) -> Rule {
        self.attempt = Some(Attempts::Between(from, to));
        self
    }

    /// All matching requests go through the replies together.
    #[must_use]
    pub fn counted_together(mut self) -> Rule {
        self.counted = Counted::Together;
        self
    }

    /// Adds the next reply.
    #[must_use]
    pub fn reply(mut self, reply: Reply) -> Rule {
        self.replies.push(reply);
        self
    }
}

impl Reply {
    /// Only this text.
    pub fn text(text: &str) -> Reply {
        Reply {
            text: Some(Text::Whole(text.to_owned())),
            ..Reply::default()
        }
    }

    /// This text in exactly these chunks.
    pub fn chunks(chunks: &[&str]) -> Reply {
        Reply {
            text: Some(Text::Chunks(chunks.iter().map(|&chunk| chunk.to_owned()).collect())),
            ..Reply::default()
        }
    }

    /// A reply that so far only acts.
    pub fn act(act: Act) -> Reply {
        Reply::default().and(act)
    }

    /// One more tool call in the same reply.
    #[must_use]
    pub fn and(mut self, act: Act) -> Reply {
        self.acts.push(act);
        self
    }

    /// Thought before the text.
    #[must_use]
    pub fn think(mut self, thought: &str) -> Reply {
        self.think = Some(thought.to_owned());
        self
    }

    /// What is said once the tools' results come back.
    #[must_use]
    pub fn then(mut self, text: &str) -> Reply {
        self.then = Some(text.to_owned());
        self
    }

    /// What the reply claims to have consumed.
    #[must_use]
    pub fn usage(mut self, usage: UsageSaid) -> Reply {
        self.usage = Some(usage);
        self
    }

    /// Wait before the first byte.
    #[must_use]
    pub fn delay_ms(mut self, delay_ms: u64) -> Reply {
        self.delay_ms = delay_ms;
        self
    }

    /// Wait between chunks of text.
    #[must_use]
    pub fn pace_ms(mut self, pace_ms: u64) -> Reply {
        self.pace_ms = pace_ms;
        self
    }

    /// Stop in mid-text until the gate is released.
    #[must_use]
    pub fn hold(mut self, gate: &str) -> Reply {
        self.hold = Some(gate.to_owned());
        self
    }

    /// Send the body in pieces of this many bytes.
    #[must_use]
    pub fn shred(mut self, bytes: usize) -> Reply {
        self.shred = Some(bytes);
        self
    }

    /// What goes wrong, by name.
    pub fn fault(mut self, name: &str) -> Result<Reply, UnknownFault> {
        self.fault = Some(name.parse()?);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
checks: strict
usage: {input: 10, output: 3}
rules:
  - model: "claude-*"
    says: deploy
    attempt: [1, 2]
    replies:
      - {fault: 429-retry-after-2}
  - vendor: chat
    attempt: 1
    counted: together
    replies:
      - think: hm
        text: [one, two]
        acts:
          - edit: {path: a.txt, content: "x\n"}
          - run: ls
          - tool: {name: Read, input: {file_path: a}}
        then: done
        usage: omitted
        pace_ms: 5
otherwise: {text: nothing to do}
"#;

    #[test]
    fn a_script_reads_from_yaml_and_its_own_json() {
        let script = Script::parse(YAML).unwrap();
        assert_eq!(script.checks, Checks::Strict);
        assert_eq!(script.rules[0].attempt, Some(Attempts::Between(1, 2)));
        assert_eq!(script.rules[1].vendor, Some(Vendor::Chat));
        let reply = &script.rules[1].replies[0];
        assert_eq!(reply.acts.len(), 3);
        assert_eq!(reply.acts[1], Act::Run("ls".to_owned()));
        assert_eq!(reply.usage, Some(UsageSaid::Omitted));
        let Some(UsageSaid::Tokens(tokens)) = script.usage else {
            panic!("{:?}", script.usage)
        };
        assert_eq!((tokens.input, tokens.cache_read, tokens.output), (10, 2_000, 3));
        let json = serde_json::to_string(&script).unwrap();
        assert_eq!(Script::parse(&json).unwrap(), script);
    }

    #[test]
    fn unknown_keys_empty_rules_and_bad_faults_are_refused() {
        for (text, says) in [
            ("rulez: []", "rulez"),
            ("rules: [{replies: []}]", "rule 1"),
            ("rules: [{replies: [{fault: 430}]}]", "430"),
            ("{\"otherwise\":{\"txt\":1}}", "txt"),
        ] {
            let error = Script::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
