//! A request as all four protocols mean it: who is asked, what was said last, what was done since, which tools exist.
//!
//! Each protocol turns its body into [`Entry`]s; the meaning is read from those here, once.

use serde_json::Value;

use super::timeline::Vendor;

/// One thing in a conversation, in order.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Entry {
    /// Text for the model from the system, the developer or the client.
    System(String),
    /// Texts of one message of the user.
    User(Vec<String>),
    /// Text or thought of the model.
    Said,
    /// A tool call of the model.
    Call { id: String, name: String },
    /// The result of a tool call.
    Result { id: String, text: String, failed: bool },
}

/// A tool that the request offers.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Offered {
    /// The name as a script says it; with its namespace before it where there is one.
    pub(crate) name: String,
    /// The namespace and the name inside it.
    pub(crate) inside: Option<(String, String)>,
    /// The JSON schema of its input; none when it takes free text.
    pub(crate) schema: Option<Value>,
}

/// A call made since the user's last text, and what came back.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct PastCall {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) result: Option<PastResult>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct PastResult {
    pub(crate) text: String,
    pub(crate) failed: bool,
}

/// What a body holds, before it is understood.
pub(crate) struct Body {
    pub(crate) vendor: Vendor,
    pub(crate) model: String,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) entries: Vec<Entry>,
    pub(crate) offered: Vec<Offered>,
    /// The schema the answer must follow.
    pub(crate) schema: Option<Value>,
}

/// A request, understood.
pub(crate) struct Ask {
    pub(crate) vendor: Vendor,
    pub(crate) model: String,
    pub(crate) stream: bool,
    /// Whether a stream ends with its usage (Chat leaves that to the client).
    pub(crate) include_usage: bool,
    /// The last words of the user, without what clients add to them.
    pub(crate) text: String,
    /// Calls since then, grouped by reply of the model.
    pub(crate) rounds: Vec<Vec<PastCall>>,
    pub(crate) offered: Vec<Offered>,
    pub(crate) schema: Option<Value>,
    /// The agent's working directory, where the request names it.
    pub(crate) cwd: Option<String>,
    /// Asked on the side: a title, a choice of model.
    pub(crate) side: bool,
    /// How long the conversation is.
    pub(crate) entries: usize,
    /// Beginnings of the texts of the user in all of it, the last few.
    pub(crate) told: Vec<String>,
}

/// How many of the user's texts are kept of a conversation, and how much of each, in characters.
const TOLD_MAX: usize = 8;
const TOLD_CHARS: usize = 120;

impl Ask {
    pub(crate) fn understand(body: Body) -> Ask {
        let last = body
            .entries
            .iter()
            .rposition(|entry| words(entry, body.vendor).is_some());
        let text = last
            .and_then(|at| words(&body.entries[at], body.vendor))
            .unwrap_or_default();
        let since = last.map_or(0, |at| at + 1);
        Ask {
            text,
            rounds: rounds(&body.entries[since..]),
            cwd: working_directory(&body.entries),
            side: body.offered.is_empty() && is_side_question(&body.entries),
            entries: body.entries.len(),
            told: told(&body.entries),
            vendor: body.vendor,
            model: body.model,
            stream: body.stream,
            include_usage: body.include_usage,
            offered: body.offered,
            schema: body.schema,
        }
    }

    /// Everything that came back last.
    pub(crate) fn brought(&self) -> String {
        let last = self.rounds.last().into_iter().flatten();
        let texts: Vec<&str> = last
            .filter_map(|call| call.result.as_ref())
            .map(|result| &*result.text)
            .collect();
        texts.join("\n")
    }

    /// The results that came back last.
    pub(crate) fn last_failed(&self) -> Option<&PastResult> {
        let results = self.rounds.last()?.iter().filter_map(|call| call.result.as_ref());
        results.into_iter().find(|result| result.failed)
    }
}

/// Beginnings of text blocks that clients put beside the user's words.
const CLIENT_BLOCKS: [&str; 12] = [
    "<system-reminder>",
    "<environment_context>",
    "<user_instructions>",
    "<session_context>",
    "<permissions instructions>",
    "<skills_instructions>",
    "<turn_aborted>",
    "<local-command-",
    "<command-name>",
    "<INSTRUCTIONS>",
    "# AGENTS.md instructions",
    "Caveat: The messages below",
];

/// The user's own words in an entry. Claude Code joins a prompt that was interrupted, a note about it and the next
/// prompt in one message: only what stands after the note was said last.
fn words(entry: &Entry, vendor: Vendor) -> Option<String> {
    let Entry::User(blocks) = entry else { return None };
    let after = blocks
        .iter()
        .rposition(|block| block.starts_with("[Request interrupted"))
        .map_or(0, |at| at + 1);
    let own: Vec<&str> = blocks[after..]
        .iter()
        .map(|block| block.trim())
        .filter(|block| !block.is_empty() && !CLIENT_BLOCKS.iter().any(|start| block.starts_with(start)))
        .collect();
    if own.is_empty() {
        return None;
    }
    let text = own.join("\n");
    // `opencode run` puts a prompt of several words in quotes and escapes those inside it.
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match (vendor, quoted) {
        (Vendor::Chat, Some(inside)) => Some(inside.replace("\\\"", "\"")),
        _ => Some(text),
    }
}

/// What the user said in a conversation, an interrupted prompt too; blocks that clients put there are left out.
fn told(entries: &[Entry]) -> Vec<String> {
    let blocks = entries.iter().filter_map(|entry| match entry {
        Entry::User(blocks) => Some(blocks),
        Entry::System(_) | Entry::Said | Entry::Call { .. } | Entry::Result { .. } => None,
    });
    let own = |block: &&String| !CLIENT_BLOCKS.iter().any(|start| block.trim_start().starts_with(start));
    let mut told: Vec<String> = blocks
        .flatten()
        .filter(own)
        .map(|block| block.chars().take(TOLD_CHARS).collect())
        .collect();
    told.split_off(told.len().saturating_sub(TOLD_MAX))
}

/// Calls between two results belong to one reply of the model.
fn rounds(entries: &[Entry]) -> Vec<Vec<PastCall>> {
    let mut rounds: Vec<Vec<PastCall>> = Vec::new();
    let mut open = false;
    for entry in entries {
        match entry {
            Entry::Call { id, name } => {
                if !open {
                    rounds.push(Vec::new());
                }
                open = true;
                if let Some(round) = rounds.last_mut() {
                    round.push(PastCall {
                        id: id.clone(),
                        name: name.clone(),
                        result: None,
                    });
                }
            }
            Entry::Result { id, text, failed } => {
                open = false;
                let call = rounds.iter_mut().rev().flatten().find(|call| call.id == *id);
                if let Some(call) = call {
                    call.result = Some(PastResult {
                        text: text.clone(),
                        failed: *failed,
                    });
                }
            }
            Entry::System(_) | Entry::User(_) | Entry::Said => {}
        }
    }
    rounds
}

/// How the agents name the directory they work in.
const DIRECTORY_SIGNS: [&str; 5] = [
    "<cwd>",
    "Primary working directory: ",
    "Working directory: ",
    "**Workspace Directories:**\n  - ",
    "working in the directory: ",
];

fn working_directory(entries: &[Entry]) -> Option<String> {
    let texts = entries.iter().rev().flat_map(|entry| match entry {
        Entry::System(text) => vec![text],
        Entry::User(blocks) => blocks.iter().collect(),
        Entry::Said | Entry::Call { .. } | Entry::Result { .. } => Vec::new(),
    });
    let named = |text: &String| {
        DIRECTORY_SIGNS.into_iter().find_map(|sign| {
            let after = &text[text.find(sign)? + sign.len()..];
            let path = after.split(['\n', '<']).next()?.trim();
            path.starts_with('/').then(|| path.to_owned())
        })
    };
    texts.into_iter().find_map(named)
}

/// Titles and routing are asked without tools and under instructions of their own.
fn is_side_question(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| {
        let Entry::System(text) = entry else { return false };
        let head: String = text.trim_start().chars().take(400).collect::<String>().to_lowercase();
        let title = head.contains("title")
            && ["generat", "write a", "output only"]
                .iter()
                .any(|word| head.contains(word));
        title || head.contains("task routing ai")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(blocks: &[&str]) -> Entry {
        Entry::User(blocks.iter().map(|&block| block.to_owned()).collect())
    }

    fn ask(vendor: Vendor, entries: Vec<Entry>) -> Ask {
        Ask::understand(Body {
            vendor,
            model: "m".to_owned(),
            stream: true,
            include_usage: true,
            entries,
            offered: Vec::new(),
            schema: None,
        })
    }

    #[test]
    fn the_users_words_are_found_among_what_clients_add() {
        for (blocks, text) in [
            (vec!["<system-reminder>\nx\n</system-reminder>", "do it"], "do it"),
            (vec!["<session_context>..", "do", "it"], "do\nit"),
            (vec!["old [[run:x]]", "[Request interrupted by user]", "new"], "new"),
        ] {
            assert_eq!(ask(Vendor::Anthropic, vec![user(&blocks)]).text, text);
        }
        assert_eq!(
            ask(Vendor::Chat, vec![user(&[r#""say \"hi\" now""#])]).text,
            r#"say "hi" now"#
        );
    }

    #[test]
    fn rounds_are_counted_from_the_users_last_words() {
        let call = |id: &str| Entry::Call {
            id: id.to_owned(),
            name: "Bash".to_owned(),
        };
        let result = |id: &str, failed| Entry::Result {
            id: id.to_owned(),
            text: "out".to_owned(),
            failed,
        };
        let reminder = user(&["<system-reminder>\nx\n</system-reminder>"]);
        let ask = ask(
            Vendor::Anthropic,
            vec![
                user(&["one"]),
                call("a"),
                result("a", false),
                user(&["two"]),
                Entry::Said,
                call("b"),
                call("c"),
                result("b", false),
                result("c", true),
                reminder,
                call("d"),
            ],
        );
        assert_eq!(ask.text, "two");
        assert_eq!(ask.rounds.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!(ask.rounds[0][1].result.as_ref().unwrap().failed);
        assert!(ask.last_failed().is_none(), "the last round has no result yet");
    }

    #[test]
    fn the_working_directory_is_read_as_each_agent_says_it() {
        for text in [
            "<environment_context>\n  <cwd>/w/x</cwd>\n",
            "# Environment\n - Primary working directory: /w/x\n - Is",
            "<env>\n  Working directory: /w/x\n  Workspace",
            "- **Workspace Directories:**\n  - /w/x\n- **Dir",
        ] {
            let ask = ask(Vendor::Gemini, vec![Entry::System(text.to_owned()), user(&["go"])]);
            assert_eq!(ask.cwd.as_deref(), Some("/w/x"), "{text}");
        }
    }

    #[test]
    fn side_questions_are_known_by_their_instructions() {
        let side = |system: &str| ask(Vendor::Chat, vec![Entry::System(system.to_owned()), user(&["x"])]).side;
        assert!(side("You are a title generator. You output ONLY a thread title."));
        assert!(side("\nYou are a specialized Task Routing AI."));
        assert!(!side("You are a coding agent."));
    }
}
