//! `context.*` and `agents.*.context.*`: which layers shorten what agents are given, for all and for one.

use std::collections::{BTreeMap, BTreeSet};

use wheelhouse_context::receipt::Layer;
use wheelhouse_context::settings::{EarlyStop, Limits, Settings};
use wheelhouse_context::slice::{Breadth, Reader};
use wheelhouse_core::ids::AgentName;

use super::keys::Value;
use super::layer::Origin;
use super::{Merged, Problem};
use crate::nearest;

impl Merged {
    /// The limits of all agents: what is said of one wins over what is said of all.
    pub(super) fn context(&self, problems: &mut Vec<Problem>) -> Settings {
        let mut all = Limits::default();
        let mut own: BTreeMap<String, Vec<(&str, &Value, &Origin)>> = BTreeMap::new();
        let mut blind = BTreeSet::new();
        for (path, (value, origin)) in &self.values {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match path.as_slice() {
                // A model behind an API has no tools: a path is worth nothing to it.
                ["agents", name, "backend"] if matches!(value, Value::Text(word) if word == "api") => {
                    blind.insert((*name).to_owned());
                    own.entry((*name).to_owned()).or_default();
                }
                ["context", key] => apply(&mut all, "context", key, (value, origin), problems),
                ["agents", name, "context", key] => {
                    own.entry((*name).to_owned()).or_default().push((key, value, origin));
                }
                _ => {}
            }
        }
        let mut agents = BTreeMap::new();
        for (name, keys) in own {
            let mut limits = all.clone();
            limits.opens_files &= !blind.contains(&name);
            for (key, value, origin) in keys {
                apply(&mut limits, &name, key, (value, origin), problems);
            }
            agents.insert(AgentName(name), limits);
        }
        Settings { all, agents }
    }
}

fn apply(limits: &mut Limits, of: &str, key: &str, (value, origin): (&Value, &Origin), problems: &mut Vec<Problem>) {
    match (key, value) {
        ("off", Value::Names(names)) => limits.off = layers(names, origin, problems),
        ("hand_over_tokens", Value::Count(tokens)) => limits.hand_over_tokens = *tokens,
        ("summary_tokens", Value::Count(tokens)) => limits.summary_tokens = *tokens,
        ("prompt_tokens", Value::Count(tokens)) => limits.prompt_tokens = *tokens,
        ("document_tokens", Value::Count(tokens)) => limits.document_tokens = *tokens,
        ("compress_to", Value::Count(tokens)) => limits.compress_to = Some(*tokens),
        ("memory_tokens", Value::Count(tokens)) => limits.memory_tokens = *tokens,
        ("conversation_tokens", Value::Count(tokens)) => limits.conversation_tokens = *tokens,
        ("memory", Value::Names(names)) => limits.memory.clone_from(names),
        ("early_stop", Value::Text(word)) => {
            let known = EarlyStop::NAMES.iter().find(|(name, _)| name == word);
            limits.early_stop = known.map_or_else(EarlyStop::default, |(_, stop)| *stop);
        }
        ("repeats", Value::Count(times)) => limits.repeats = u32::try_from(*times).unwrap_or(u32::MAX),
        ("skills", Value::Names(paths)) => limits.skills.clone_from(paths),
        ("instructions", Value::Names(names)) => limits.instructions.clone_from(names),
        ("reads", Value::Names(words)) => {
            // What looks like a path or a pattern is one; the rest are words.
            let (paths, keywords) = words.iter().cloned().partition(|word| word.contains(['/', '*']));
            limits.reader = Some(Reader {
                name: of.to_owned(),
                keywords,
                paths,
                asked_for: Vec::new(),
                breadth: if limits.safety {
                    Breadth::Safety
                } else {
                    Breadth::Mandatory
                },
            });
        }
        ("shortcuts", Value::Text(word)) => limits.shortcuts = word == "auto",
        ("safety", Value::Text(word)) => {
            limits.safety = word == "on";
            if let Some(reader) = limits.reader.as_mut().filter(|_| limits.safety) {
                reader.breadth = Breadth::Safety;
            }
        }
        ("files", Value::Text(word)) => match word.as_str() {
            "on" => limits.opens_files = true,
            "off" => limits.opens_files = false,
            other => problems.push(Problem {
                origin: origin.clone(),
                message: format!("`context.files` of agent `{of}` is `on` or `off`, not `{other}`"),
            }),
        },
        ("answers", Value::Text(word)) => match word.as_str() {
            "file" => limits.answers_by_file = true,
            "words" => limits.answers_by_file = false,
            other => problems.push(Problem {
                origin: origin.clone(),
                message: format!("`context.answers` of agent `{of}` is `file` or `words`, not `{other}`"),
            }),
        },
        _ => {}
    }
}

fn layers(names: &[String], origin: &Origin, problems: &mut Vec<Problem>) -> BTreeSet<Layer> {
    let known: Vec<String> = Layer::ALL.iter().map(|layer| layer.name().to_owned()).collect();
    let mut off = BTreeSet::new();
    for name in names {
        match Layer::ALL.iter().find(|layer| layer.name() == name) {
            Some(layer) => match layer.switched_elsewhere() {
                None => {
                    off.insert(*layer);
                }
                Some(why) => problems.push(Problem {
                    origin: origin.clone(),
                    message: format!("the layer `{name}` is not switched by `context.off`: {why}"),
                }),
            },
            None => {
                let near = nearest::name(name, &known).map(|near| format!("; did you mean `{near}`?"));
                problems.push(Problem {
                    origin: origin.clone(),
                    message: format!(
                        "there is no layer `{name}`{}",
                        near.unwrap_or_else(|| format!("; there is {}", nearest::list(&known, usize::MAX)))
                    ),
                });
            }
        }
    }
    off
}

#[cfg(test)]
mod tests {
    use super::super::{layer, merge};
    use super::*;

    #[test]
    fn one_agent_wins_over_all_and_wrong_layers_are_named() {
        let read = |text: &str| {
            let mut problems = Vec::new();
            let leaves = layer::file("wheelhouse.toml".as_ref(), text, &mut problems);
            let merged = merge(leaves, &mut problems);
            let settings = merged.context(&mut problems);
            (settings, problems)
        };
        let (settings, problems) = read(
            "context.off = [\"encoding\"]\ncontext.hand_over_tokens = 900\n[agents.a.context]\noff = []\nreads = [\"sql\", \"db/**\"]\n",
        );
        assert_eq!(problems, []);
        assert!(!settings.all.is_on(Layer::Encoding) && settings.all.reader.is_none());
        let a = settings.of(&AgentName("a".to_owned()));
        assert!(a.is_on(Layer::Encoding) && a.hand_over_tokens == 900);
        let reader = a.reader.as_ref().unwrap();
        assert_eq!((reader.keywords.len(), reader.paths.len()), (1, 1));
        let (_, problems) = read("context.off = [\"encodin\"]\n");
        assert_eq!(
            problems[0].message,
            "there is no layer `encodin`; did you mean `encoding`?"
        );
    }

    #[test]
    fn a_model_behind_an_api_is_given_texts_and_no_paths() {
        let opens = |text: &str, agent: &str| {
            let mut problems = Vec::new();
            let leaves = layer::file("wheelhouse.toml".as_ref(), text, &mut problems);
            let merged = merge(leaves, &mut problems);
            let settings = merged.context(&mut problems);
            assert_eq!(problems, []);
            settings.of(&AgentName(agent.to_owned())).opens_files
        };
        let bare = "[agents.m]\nbackend = \"api\"\napi = \"gemini\"\n";
        assert!(!opens(bare, "m"));
        assert!(opens(bare, "claude"));
        assert!(opens(&format!("{bare}context.files = \"on\"\n"), "m"));
    }
}
