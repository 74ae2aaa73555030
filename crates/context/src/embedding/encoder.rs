//! A BERT sentence encoder: the forward pass of Devlin et al. 2019 (arXiv 1810.04805), and one vector of all tokens' by mean
//! or by the first, as sentence-transformers pools.
//!
//! Its whole state is the weights; a text is one pass, without padding. Nothing is trained, nothing is cached.

use serde_json::{Map, Value};

use super::matrix::{View, multiply};
use super::tensors::Tensors;
use super::wordpiece::WordPiece;
use super::{CONFIG, TOKENS_MAX, Unusable, object_if_there};
use crate::port::Files;

const SENTENCES: &str = "sentence_bert_config.json";
const POOLING: &str = "1_Pooling/config.json";
const MODULES: &str = "modules.json";

/// An encoder.
pub(super) struct Encoder {
    width: usize,
    heads: usize,
    epsilon: f32,
    tokens_max: usize,
    pooling: Pooling,
    /// Vectors of tokens, and of places with that of the first segment added: there is no second.
    tokens: Vec<f32>,
    places: Vec<f32>,
    first_norm: Norm,
    layers: Vec<Layer>,
    begins: u32,
    ends: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Pooling {
    Mean,
    First,
}

struct Layer {
    /// Query, key and value as one.
    asked: Linear,
    answered: Linear,
    answered_norm: Norm,
    wide: Linear,
    narrow: Linear,
    narrow_norm: Norm,
}

struct Linear {
    inputs: usize,
    outputs: usize,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Encoder {
    pub(super) fn load(
        config: &Map<String, Value>,
        tensors: &Tensors<'_>,
        words: &WordPiece,
        files: &dyn Files,
    ) -> Result<Encoder, Unusable> {
        plain(config)?;
        let pooling = pooling(files)?;
        let width = size(config, "hidden_size")?;
        let heads = size(config, "num_attention_heads")?;
        if width % heads != 0 {
            return Err(Unusable::Broken {
                file: CONFIG,
                why: format!("a `hidden_size` of {width} cannot be shared by {heads} heads"),
            });
        }
        let base = if tensors.has("bert.embeddings.word_embeddings.weight") {
            "bert."
        } else {
            ""
        };
        let from = Source { tensors, base };
        let wide = size(config, "intermediate_size")?;
        let count = size(config, "num_hidden_layers")?;
        let positions = size(config, "max_position_embeddings")?;
        let mut places = from.matrix("embeddings.position_embeddings", positions, width)?;
        let segments = from.matrix(
            "embeddings.token_type_embeddings",
            size(config, "type_vocab_size")?,
            width,
        )?;
        for place in places.chunks_mut(width) {
            add(place, &segments[..width]);
        }
        let limit = object_if_there(SENTENCES, files)?.and_then(|said| said.get("max_seq_length")?.as_u64());
        let special = |name: &'static str| {
            words.id(name).ok_or_else(|| Unusable::Broken {
                file: words.file(),
                why: format!("its vocabulary has no `{name}`"),
            })
        };
        let tokens = from.matrix("embeddings.word_embeddings", size(config, "vocab_size")?, width)?;
        if tokens.len() < words.size() * width {
            return Err(Unusable::Broken {
                file: words.file(),
                why: format!(
                    "it has {} tokens, the weights only {}",
                    words.size(),
                    tokens.len() / width
                ),
            });
        }
        Ok(Encoder {
            width,
            heads,
            epsilon: config.get("layer_norm_eps").and_then(Value::as_f64).unwrap_or(1e-12) as f32,
            tokens_max: positions
                .min(TOKENS_MAX)
                .min(limit.map_or(usize::MAX, |limit| limit as usize))
                .max(3),
            pooling,
            tokens,
            places,
            first_norm: from.norm("embeddings.LayerNorm", width)?,
            layers: (0..count)
                .map(|number| from.layer(number, width, wide))
                .collect::<Result<_, _>>()?,
            begins: special("[CLS]")?,
            ends: special("[SEP]")?,
        })
    }

    pub(super) fn dimensions(&self) -> usize {
        self.width
    }

    /// How many tokens of a text it reads, without the two that mark its ends.
    pub(super) fn tokens_max(&self) -> usize {
        self.tokens_max - 2
    }

    pub(super) fn vector(&self, tokens: &[u32]) -> Vec<f32> {
        let (width, mut state) = (self.width, Vec::with_capacity((tokens.len() + 2) * self.width));
        let all = [self.begins]
            .into_iter()
            .chain(tokens.iter().copied())
            .chain([self.ends]);
        for (token, place) in all.zip(self.places.chunks(width)) {
            let from = token as usize * width;
            state.extend_from_slice(&self.tokens[from..from + width]);
            let own = state.len() - width;
            add(&mut state[own..], place);
        }
        self.first_norm.apply(&mut state, self.epsilon);
        for layer in &self.layers {
            layer.apply(&mut state, self);
        }
        match self.pooling {
            Pooling::First => state[..width].to_vec(),
            Pooling::Mean => {
                let mut mean = vec![0.0; width];
                state.chunks(width).for_each(|row| add(&mut mean, row));
                let count = state.len() as f32 / width as f32;
                mean.iter_mut().for_each(|number| *number /= count);
                mean
            }
        }
    }
}

impl Layer {
    fn apply(&self, state: &mut Vec<f32>, of: &Encoder) {
        let mut heard = self
            .answered
            .apply(&attention(&self.asked.apply(state), of.width, of.heads));
        add(&mut heard, state);
        self.answered_norm.apply(&mut heard, of.epsilon);
        let mut wide = self.wide.apply(&heard);
        wide.iter_mut().for_each(|number| *number = gelu(*number));
        let mut narrow = self.narrow.apply(&wide);
        add(&mut narrow, &heard);
        self.narrow_norm.apply(&mut narrow, of.epsilon);
        *state = narrow;
    }
}

/// What each token takes over from all: `asked` has its query, key and value side by side.
fn attention(asked: &[f32], width: usize, heads: usize) -> Vec<f32> {
    let (row, part) = (3 * width, width / heads);
    let count = asked.len() / row;
    let mut heard = vec![0.0; count * width];
    let mut shares = vec![0.0; count * count];
    for head in 0..heads {
        let view = |which: usize| View {
            numbers: &asked[which * width + head * part..],
            rows: count,
            columns: part,
            down: row,
            right: 1,
        };
        multiply(
            1.0 / (part as f32).sqrt(),
            view(0),
            view(1).turned(),
            &mut shares,
            count,
        );
        shares.chunks_mut(count).for_each(softmax);
        multiply(
            1.0,
            View::rows(&shares, count, count),
            view(2),
            &mut heard[head * part..],
            width,
        );
    }
    heard
}

impl Linear {
    fn apply(&self, state: &[f32]) -> Vec<f32> {
        let rows = state.len() / self.inputs;
        let mut to = vec![0.0; rows * self.outputs];
        let weight = View::rows(&self.weight, self.outputs, self.inputs).turned();
        multiply(1.0, View::rows(state, rows, self.inputs), weight, &mut to, self.outputs);
        to.chunks_mut(self.outputs).for_each(|row| add(row, &self.bias));
        to
    }
}

impl Norm {
    /// Each row to mean 0 and variance 1, then scaled and moved.
    fn apply(&self, state: &mut [f32], epsilon: f32) {
        let width = self.weight.len();
        for row in state.chunks_mut(width) {
            let mean = row.iter().sum::<f32>() / width as f32;
            let variance = row.iter().map(|number| (number - mean).powi(2)).sum::<f32>() / width as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            for ((number, weight), bias) in row.iter_mut().zip(&self.weight).zip(&self.bias) {
                *number = (*number - mean) * scale * weight + bias;
            }
        }
    }
}

fn add(to: &mut [f32], more: &[f32]) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
}

fn softmax(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|number| *number = (*number - most).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|number| *number /= sum);
}

/// The Gaussian error linear unit (Hendrycks and Gimpel 2016), its error function by Abramowitz and Stegun 7.1.26, which is
/// right to 1.5e-7.
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152 + t * 1.061_405_4))));
    let erf = (1.0 - series * (-z * z).exp()).copysign(x);
    0.5 * x * (1.0 + erf)
}

/// Refuses what would be computed otherwise than here.
fn plain(config: &Map<String, Value>) -> Result<(), Unusable> {
    for (key, wanted, exists) in [
        ("hidden_act", "gelu", "`gelu`"),
        ("position_embedding_type", "absolute", "`absolute`"),
    ] {
        let found = config.get(key).and_then(Value::as_str).unwrap_or(wanted);
        if found != wanted {
            return Err(Unusable::Unknown {
                file: CONFIG,
                found: format!("`\"{key}\": \"{found}\"`"),
                exists,
            });
        }
    }
    Ok(())
}

/// How one vector is made of all: as the files say, else by the mean.
fn pooling(files: &dyn Files) -> Result<Pooling, Unusable> {
    if let Ok(bytes) = files.read(MODULES) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let modules: Vec<Map<String, Value>> = serde_json::from_str(&text).map_err(|error| Unusable::Broken {
            file: MODULES,
            why: format!("it is no list of modules: {error}"),
        })?;
        let kind = |module: &Map<String, Value>| module.get("type").and_then(Value::as_str).map(str::to_owned);
        for kind in modules.iter().filter_map(kind) {
            let last = kind.rsplit('.').next().unwrap_or_default();
            if !matches!(last, "Transformer" | "Pooling" | "Normalize") {
                return Err(Unusable::Unknown {
                    file: MODULES,
                    found: format!("the module `{kind}`"),
                    exists: "Transformer, Pooling and Normalize",
                });
            }
        }
    }
    let Some(said) = object_if_there(POOLING, files)? else {
        return Ok(Pooling::Mean);
    };
    let on: Vec<&str> = said
        .iter()
        .filter(|(key, value)| key.starts_with("pooling_mode_") && value.as_bool() == Some(true))
        .map(|(key, _)| key.as_str())
        .collect();
    match on.as_slice() {
        ["pooling_mode_mean_tokens"] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token"] => Ok(Pooling::First),
        other => Err(Unusable::Unknown {
            file: POOLING,
            found: format!(
                "the pooling {}",
                if other.is_empty() {
                    "none".to_owned()
                } else {
                    other.join(" and ")
                }
            ),
            exists: "`pooling_mode_mean_tokens` or `pooling_mode_cls_token`, alone",
        }),
    }
}

fn size(config: &Map<String, Value>, key: &str) -> Result<usize, Unusable> {
    let number = config
        .get(key)
        .and_then(Value::as_u64)
        .filter(|number| (1..=1 << 20).contains(number));
    number.map(|number| number as usize).ok_or_else(|| Unusable::Broken {
        file: CONFIG,
        why: format!("`{key}` is no number from 1 to 1048576"),
    })
}

/// The tensors by the names that they have below `base`.
struct Source<'a> {
    tensors: &'a Tensors<'a>,
    base: &'static str,
}

impl Source<'_> {
    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, Unusable> {
        self.tensors
            .shaped(&format!("{}{name}.weight", self.base), &[rows, columns])
    }

    fn bias(&self, name: &str, columns: usize) -> Result<Vec<f32>, Unusable> {
        self.tensors.shaped(&format!("{}{name}.bias", self.base), &[columns])
    }

    fn norm(&self, name: &str, columns: usize) -> Result<Norm, Unusable> {
        Ok(Norm {
            weight: self
                .tensors
                .shaped(&format!("{}{name}.weight", self.base), &[columns])?,
            bias: self.bias(name, columns)?,
        })
    }

    /// One linear map of several that take the same, side by side.
    fn linear(&self, names: &[String], inputs: usize, each: usize) -> Result<Linear, Unusable> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            weight.extend(self.matrix(name, each, inputs)?);
            bias.extend(self.bias(name, each)?);
        }
        Ok(Linear {
            inputs,
            outputs: each * names.len(),
            weight,
            bias,
        })
    }

    fn layer(&self, number: usize, width: usize, wide: usize) -> Result<Layer, Unusable> {
        let name = |rest: &str| format!("encoder.layer.{number}.{rest}");
        let asked = ["query", "key", "value"].map(|one| name(&format!("attention.self.{one}")));
        Ok(Layer {
            asked: self.linear(&asked, width, width)?,
            answered: self.linear(&[name("attention.output.dense")], width, width)?,
            answered_norm: self.norm(&name("attention.output.LayerNorm"), width)?,
            wide: self.linear(&[name("intermediate.dense")], width, wide)?,
            narrow: self.linear(&[name("output.dense")], wide, width)?,
            narrow_norm: self.norm(&name("output.LayerNorm"), width)?,
        })
    }
}
