//! Rules that answer an agent's permission requests before a person is asked.
//!
//! The first rule that matches decides. What no rule matches is asked. Patterns see the whole text: `*` stands for any
//! number of characters, `?` for one; nothing in the request itself is ever a pattern.

use serde::{Deserialize, Serialize};

/// What a rule says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Let it.
    Allow,
    /// Do not let it.
    Deny,
    /// Ask a person.
    Ask,
}

/// One rule. An absent pattern matches everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The configured agent.
    #[serde(default)]
    pub agent: Option<String>,
    /// The tool, by the name its vendor gives it.
    #[serde(default)]
    pub tool: Option<String>,
    /// What exactly: a path, a command.
    #[serde(default)]
    pub detail: Option<String>,
    /// What to do.
    pub decide: Decision,
}

/// The text is not a rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{found}` is not a rule; write `TOOL`, `TOOL(DETAIL)` or `AGENT:TOOL(DETAIL)`, with `*` and `?` as wild cards"
)]
pub struct NotARule {
    /// What was given.
    pub found: String,
}

impl Rule {
    /// Reads `TOOL`, `TOOL(DETAIL)` or `AGENT:TOOL(DETAIL)`.
    pub fn parse(text: &str, decide: Decision) -> Result<Rule, NotARule> {
        let refuse = || NotARule { found: text.to_owned() };
        let (head, detail) = match text.split_once('(') {
            Some((head, rest)) => (head, Some(rest.strip_suffix(')').ok_or_else(refuse)?.to_owned())),
            None => (text, None),
        };
        let (agent, tool) = match head.split_once(':') {
            Some((agent, tool)) => (Some(agent.trim()), tool.trim()),
            None => (None, head.trim()),
        };
        if tool.is_empty() || agent.is_some_and(str::is_empty) || tool.contains(')') {
            return Err(refuse());
        }
        Ok(Rule {
            agent: agent.map(str::to_owned),
            tool: Some(tool.to_owned()),
            detail,
            decide,
        })
    }
}

/// The first matching rule's word; [`Decision::Ask`] without one.
pub fn decide(rules: &[Rule], agent: &str, tool: &str, detail: &str) -> Decision {
    ruled(rules, agent, tool, detail).unwrap_or(Decision::Ask)
}

/// The first matching rule's word, if one matches.
pub fn ruled(rules: &[Rule], agent: &str, tool: &str, detail: &str) -> Option<Decision> {
    let fits = |pattern: &Option<String>, text: &str| pattern.as_deref().is_none_or(|pattern| matches(pattern, text));
    let rule = rules
        .iter()
        .find(|rule| fits(&rule.agent, agent) && fits(&rule.tool, tool) && fits(&rule.detail, detail));
    rule.map(|rule| rule.decide)
}

/// Whether the pattern matches the whole text. Goes back to the last `*` only, so the time is at most the product of
/// the two lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(agent: &str, tool: &str, detail: &str, decide: Decision) -> Rule {
        let pattern = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Rule {
            agent: pattern(agent),
            tool: pattern(tool),
            detail: pattern(detail),
            decide,
        }
    }

    #[test]
    fn the_first_match_decides_and_nothing_matching_asks() {
        let rules = [
            rule("", "Bash", "rm *", Decision::Deny),
            rule("claude*", "Bash", "cargo *", Decision::Allow),
            rule("", "Write", "", Decision::Allow),
        ];
        assert_eq!(decide(&rules, "claude", "Bash", "rm -rf /"), Decision::Deny);
        assert_eq!(decide(&rules, "claude-review", "Bash", "cargo test"), Decision::Allow);
        assert_eq!(decide(&rules, "codex", "Bash", "cargo test"), Decision::Ask);
        assert_eq!(decide(&rules, "codex", "Write", "src/a.rs"), Decision::Allow);
        assert_eq!(decide(&[], "codex", "Write", "src/a.rs"), Decision::Ask);
    }

    #[test]
    fn rules_are_read_and_refused() {
        let read = |text| Rule::parse(text, Decision::Allow);
        assert_eq!(read("Write").unwrap(), rule("", "Write", "", Decision::Allow));
        assert_eq!(
            read("Bash(git log *)").unwrap(),
            rule("", "Bash", "git log *", Decision::Allow)
        );
        assert_eq!(
            read("codex:*(a(b):c)").unwrap(),
            rule("codex", "*", "a(b):c", Decision::Allow)
        );
        for text in ["", "(x)", "Bash(x", ":Bash", "a:", "Bash)"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_is_never_a_pattern() {
        let rules = [rule("", "", "src/lib.rs", Decision::Allow)];
        assert_eq!(decide(&rules, "a", "Write", "*"), Decision::Ask);
        assert_eq!(decide(&rules, "a", "Write", "src/lib.rs\n/etc/passwd"), Decision::Ask);
    }

    #[test]
    fn patterns_take_the_whole_text_and_little_time() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?", "é", true),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(100), &"a".repeat(50)), "too many needed");
        assert!(!matches(&format!("{}b", "*a".repeat(200)), &"a".repeat(5_000)));
    }
}
