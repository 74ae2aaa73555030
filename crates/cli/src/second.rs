//! What a question of `find` is put to besides the index, for people and agents. Static vectors of a directory are a way of
//! looking of their own; an encoder of a directory or an endpoint orders the best places anew, then a command does, where one
//! is named. Weights that cannot be used are an error; whatever else cannot be had is said, and the order that there is stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wheelhouse_agents::api::{Endpoint, Key, TEXTS_MAX};
use wheelhouse_core::day::Day;
use wheelhouse_core::money::show_usd;
use wheelhouse_core::price::{Requests, Table};
use wheelhouse_core::usage::Usage;
use wheelhouse_engine::codebase::{Embed, Files, Hit, Second, SecondStage, Stages, Weights, by_meaning};

use crate::app::App;
use crate::config::Settings;
use crate::exit;
use crate::failure::Failure;
use crate::pricelist;
use crate::probe;
use crate::show::words;
use crate::terminal::{fit, one_line};

/// What the order by an encoder of a directory counts against that of the other ways: measured with all-MiniLM-L6-v2, see
/// docs/find.md. With as much as theirs it loses.
const ENCODER_SHARE: f32 = 0.25;
/// A command that orders anew gets so many lines of each place.
const CANDIDATE_LINES: usize = 40;
/// How long it may take.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

/// What the configuration, or the command line, asks for.
pub(crate) fn stages(app: &App, settings: &Settings, rerank: Option<&str>) -> Result<Stages, Failure> {
    let find = &settings.find;
    let mut stages = Stages::default();
    let vectors = match (find.directory.is_empty(), find.url.is_empty()) {
        (true, true) => None,
        (false, _) => {
            let weights = weights(app, &find.directory)?;
            match weights.is_static() {
                true => {
                    stages.meaning = Some(Arc::new(weights));
                    None
                }
                false => Some(Vectors::Weights(weights)),
            }
        }
        (true, false) => Some(Vectors::Asked(Asked {
            name: format!("{} {}", find.url, find.model),
            key_env: find.key_env.clone(),
            endpoint: Endpoint {
                url: find.url.clone(),
                model: find.model.clone(),
                key: app.env.get(&find.key_env).and_then(|text| Key::new(text)),
            },
            prices: pricelist::table(&app.place)?,
            today: pricelist::today(),
        })),
    };
    let command = rerank.unwrap_or(&find.rerank);
    let command = Some(command.to_owned()).filter(|command| !command.trim().is_empty());
    if vectors.is_none() && command.is_none() {
        return Ok(stages);
    }
    let index = app.place.index();
    stages.second = Some(Arc::new(Stage {
        vectors,
        command,
        index: index.is_dir().then_some(index),
    }));
    Ok(stages)
}

/// The model of a directory.
fn weights(app: &App, directory: &str) -> Result<Weights, Failure> {
    Weights::open(&app.place.project.join(directory)).map_err(|why| {
        Failure::new(exit::USAGE, format!("`find.embeddings.directory`: {why}")).hint(
            "name a directory with config.json, model.safetensors and tokenizer.json of a Model2Vec model or of a BERT sentence \
             encoder, or an address that serves another model with `find.embeddings.url`; docs/find.md",
        )
    })
}

struct Stage {
    vectors: Option<Vectors>,
    command: Option<String>,
    /// Where the index is kept, and with it the vectors; nowhere when it is not kept.
    index: Option<PathBuf>,
}

impl SecondStage for Stage {
    fn order(&self, question: &str, hits: &[Hit], files: &dyn Files) -> Second {
        let mut second = Second {
            order: (0..hits.len()).collect(),
            ..Second::default()
        };
        if let Some(vectors) = &self.vectors {
            match by_meaning(
                vectors.maker(),
                vectors.share(),
                self.index.as_deref(),
                question,
                hits,
                files,
            ) {
                Ok(ordered) => {
                    let how = vectors.how(ordered.asked, ordered.known, ordered.tokens);
                    second.order = ordered.order;
                    second.how = Some(how);
                }
                Err(why) => second.notices.push(format!(
                    "the places are not ordered by meaning, but by the local ways of looking alone: {why}"
                )),
            }
        }
        if let Some(command) = &self.command {
            let placed: Vec<&Hit> = second.order.iter().filter_map(|number| hits.get(*number)).collect();
            match reordered(command, question, &placed, files) {
                Ok(order) => {
                    let mut left: Vec<Option<usize>> = second.order.iter().copied().map(Some).collect();
                    let first: Vec<usize> = order
                        .iter()
                        .filter_map(|number| left.get_mut(*number)?.take())
                        .collect();
                    second.order = first.into_iter().chain(left.into_iter().flatten()).collect();
                }
                Err(why) => second
                    .notices
                    .push(format!("the places are in the order of the first stage: {why}")),
            }
        }
        second
    }
}

/// Where vectors come from.
enum Vectors {
    Weights(Weights),
    Asked(Asked),
}

impl Vectors {
    fn maker(&self) -> &dyn Embed {
        match self {
            Vectors::Weights(weights) => weights,
            Vectors::Asked(asked) => asked,
        }
    }

    /// What the order by them counts against that of the other ways.
    fn share(&self) -> f32 {
        match self {
            Vectors::Weights(_) => ENCODER_SHARE,
            Vectors::Asked(_) => 1.0,
        }
    }

    /// How it was done.
    fn how(&self, asked: usize, known: usize, tokens: Option<u64>) -> String {
        match self {
            Vectors::Asked(endpoint) => endpoint.how(asked, known, tokens),
            Vectors::Weights(weights) => {
                let model = one_line(weights.called());
                format!("ordered by meaning with {model} on this machine: {asked} texts read, {known} known")
            }
        }
    }
}

/// An endpoint for vectors.
struct Asked {
    name: String,
    key_env: String,
    endpoint: Endpoint,
    prices: Table,
    today: Day,
}

impl Asked {
    /// How it was done, with what it cost: an unknown price is said, not counted as nothing.
    fn how(&self, asked: usize, known: usize, tokens: Option<u64>) -> String {
        let model = one_line(&self.endpoint.model);
        if asked == 0 {
            return format!("ordered by meaning with {model}, all {known} texts known");
        }
        let cost = tokens.and_then(|input| {
            let usage = Usage {
                input,
                ..Usage::default()
            };
            self.prices
                .cost_nano(&self.endpoint.model, self.today, &usage, Requests::One)
        });
        let tokens = tokens.map_or("an unknown number of tokens".to_owned(), |tokens| {
            format!("{} tokens", words::thousands(tokens))
        });
        let cost = cost.map_or("cost unknown".to_owned(), show_usd);
        format!("ordered by meaning with {model}: {asked} texts asked for, {known} known, {tokens}, {cost}")
    }
}

impl Embed for Asked {
    fn name(&self) -> &str {
        &self.name
    }

    fn embed(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Option<u64>), String> {
        if !self.key_env.is_empty() && self.endpoint.key.is_none() {
            return Err(format!(
                "there is no key in the environment variable {} (`find.embeddings.key_env`)",
                self.key_env
            ));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("nobody can be asked: {error}"))?;
        runtime.block_on(async {
            let (mut vectors, mut tokens) = (Vec::with_capacity(texts.len()), Some(0));
            for some in texts.chunks(TEXTS_MAX) {
                let embedded = self.endpoint.embed(some).await?;
                vectors.extend(embedded.vectors);
                tokens = tokens.zip(embedded.tokens).map(|(sum, more)| sum + more);
            }
            Ok((vectors, tokens))
        })
    }
}

/// Has a command order the places anew: JSON on its stdin, a list of their numbers on its stdout, the best first.
fn reordered(command: &str, question: &str, hits: &[&Hit], files: &dyn Files) -> Result<Vec<usize>, String> {
    let candidates: Vec<Value> = hits
        .iter()
        .enumerate()
        .map(|(number, hit)| {
            let bytes = files.read(&hit.path).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let own = text.lines().skip(hit.start.saturating_sub(1) as usize);
            let count = ((hit.end + 1 - hit.start) as usize).min(CANDIDATE_LINES);
            let lines: Vec<&str> = own.take(count).collect();
            json!({"number": number, "path": hit.path, "start": hit.start, "end": hit.end, "text": lines.join("\n")})
        })
        .collect();
    let document = json!({"query": question, "candidates": candidates}).to_string();
    let answer =
        probe::filtered(command, document.as_bytes(), COMMAND_DEADLINE).map_err(|why| format!("`{command}`: {why}"))?;
    serde_json::from_str(answer.trim()).map_err(|_| {
        let said = fit(&one_line(&answer), 60);
        format!("`{command}` answered `{said}`, not a list of numbers such as [2, 0, 1]")
    })
}
