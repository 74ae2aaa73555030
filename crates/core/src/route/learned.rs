//! What was learned: how likely somebody is to succeed at a task, from what became of past ones.
//!
//! A ridge regression of success on the words and the shape of a task, with weights that all share (how hard such a task
//! is) and weights of each one's own (how it differs). Around it stands what keeps it from being worse than knowing
//! nothing: the weights are drawn to the length prior, not to zero (longer is harder, and harder for the small); how much
//! they are believed is what they were worth on the half of the tasks that they had not seen, and nothing where that is
//! not more than chance; each one's level follows its last tasks, because agents change; and nobody speaks below a
//! minimum of tasks. Pure arithmetic in a fixed order: the same past gives the same numbers.

use super::features::{Features, PLACES, SHAPE_NAMES, SHAPES, each, is_pair};
use super::past::Past;
use crate::analysis::{KINDS, Kind, READ_MAX};

/// The newest tasks that weights are made from.
pub const ROWS_MAX: usize = 20_000;
/// With how many tasks somebody gets weights of its own.
const OWN_MIN: usize = 20;
/// How many get weights of their own, those with most tasks first.
const OWN_MAX: usize = 24;
/// The strength of the ridge, where a task's words have length one. Nested cross-validation on GSM8K chose 3 to 10 in nine
/// of ten folds; on sets made with a seed, where 2 and 10 were tried besides, this was the best.
const RIDGE: f32 = 5.0;
/// How much a standard deviation of a shape weighs against all words together; 0.03 to 0.3 were alike.
const SHAPE_SCALE: f32 = 0.2;
/// How much a pair of words weighs against a single one.
const PAIR_SCALE: f32 = 0.5;
/// The same for the sort of work, so that ten tasks of a sort weigh as much as the ridge.
const KIND_SCALE: f32 = 0.7;
const DENSE: usize = SHAPES + KINDS.len();
const WEIGHTS: usize = PLACES + DENSE;
/// Passes over the tasks; further ones change weights in the third digit.
const PASSES: usize = 8;
/// What one doubling of the length takes from the chance of success, for each cost tier below the highest.
const LENGTH_PRIOR: f64 = 0.02;
/// Of its own tasks: how many back one counts half for somebody's level.
const LEVEL_HALF: f64 = 50.0;
/// Tasks at one half that everybody is thought to have had before the first.
const LEVEL_PRIOR: f64 = 2.0;
/// By how many standard errors what weights are worth must exceed nothing; beyond that they are believed by and by, as the
/// estimator of James and Stein (1961) shrinks.
const WORTH_MIN: f64 = 1.0;
/// What a word or shape must add to a chance, or take from it, to be named as a reason.
const REASON_MIN: f64 = 0.005;
/// How many words and shapes are named as reasons.
const REASONS_MAX: usize = 3;

/// What a past says about everybody in it.
#[derive(Clone, Debug)]
pub(super) struct Model {
    scales: Scales,
    weights: Weights,
    /// How much shared and own weights are believed, 0 to 1.
    worth: (f32, f32),
    levels: Vec<Level>,
    slopes: Vec<f64>,
}

/// How well one does all in all, the newest tasks first.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    tasks: u32,
    mean: f64,
    /// The standard error of `mean`.
    error: f64,
}

/// What is expected of one candidate at one task.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Expectation {
    /// How likely it is to succeed, 0 to 1.
    pub(super) success: f64,
    /// Its past tasks.
    pub(super) tasks: u32,
    /// How it does all in all, and the standard error of that.
    pub(super) level: (f64, f64),
    /// What this task adds to its level or takes from it, that it does not do to everybody's.
    pub(super) own: f64,
    /// What of the task did that most.
    pub(super) reasons: Vec<(String, f64)>,
}

/// A task on the scales of the model.
struct Seen {
    words: Vec<(u16, f32)>,
    dense: [f32; DENSE],
    /// Doublings of length above the usual.
    length: f64,
}

#[derive(Clone, Debug)]
struct Scales {
    rarity: Vec<f32>,
    mean: [f32; SHAPES],
    deviation: [f32; SHAPES],
}

#[derive(Clone, Debug, Default)]
struct Weights {
    shared: Vec<f32>,
    /// By number of the one; empty where it has none.
    own: Vec<Vec<f32>>,
}

struct Example {
    who: usize,
    seen: Seen,
    /// Which half it is in: the same for all tasks with the same words.
    half: bool,
    /// What is to be explained: success without level and length.
    rest: f32,
}

impl Model {
    /// Learns from the newest tasks of a past; `tier` is the cost tier of each one in it.
    pub(super) fn of(past: &Past, tier: impl Fn(usize) -> u8) -> Model {
        let slopes: Vec<f64> = (0..past.whos())
            .map(|who| LENGTH_PRIOR * f64::from(5_u8.saturating_sub(tier(who))))
            .collect();
        let scales = Scales::of(past);
        let mut plain = vec![(0.0, 0.0); past.whos()];
        for (who, succeeded, _, _) in past.newest() {
            plain[who].0 += f64::from(u8::from(succeeded));
            plain[who].1 += 1.0;
        }
        let mut examples: Vec<Example> = Vec::new();
        for (who, succeeded, kind, features) in past.newest() {
            let Some(features) = features else { continue };
            let seen = scales.seen(features, kind);
            let level = (plain[who].0 + LEVEL_PRIOR / 2.0) / (plain[who].1 + LEVEL_PRIOR);
            let expected = level - slopes[who] * seen.length;
            #[expect(clippy::cast_possible_truncation, reason = "between -2 and 2")]
            let rest = (f64::from(u8::from(succeeded)) - expected) as f32;
            examples.push(Example {
                who,
                half: features.words.iter().fold(0_u16, |all, word| all ^ word).count_ones() % 2 == 0,
                seen,
                rest,
            });
        }
        let with_own = with_own(&examples, past.whos());
        let worth = worth(&examples, &with_own);
        let weights = match worth {
            (0.0, 0.0) => Weights::none(&with_own),
            _ => Weights::fitted(&examples, &with_own, |_| true),
        };
        let mut model = Model {
            scales,
            weights,
            worth,
            levels: Vec::new(),
            slopes,
        };
        model.levels = model.levels(past);
        model
    }

    /// Each one's level: what is left of its successes when length and words are taken out, the newest weighing most.
    fn levels(&self, past: &Past) -> Vec<Level> {
        let mut sums = vec![(0_u32, 0.0, 0.0, 0.0); past.whos()];
        for (who, succeeded, kind, features) in past.newest() {
            let (tasks, weighed, weight, squares) = &mut sums[who];
            let now = (-f64::from(*tasks) / LEVEL_HALF).exp2();
            let told = features.map(|features| {
                let seen = self.scales.seen(features, kind);
                let (shared, own) = self.told(who, &seen);
                shared + own
            });
            *weighed += now * (f64::from(u8::from(succeeded)) - told.unwrap_or(0.0));
            *weight += now;
            *squares += now * now;
            *tasks += 1;
        }
        let level = |(tasks, weighed, weight, squares): &(u32, f64, f64, f64)| {
            let mean = (weighed + LEVEL_PRIOR / 2.0) / (weight + LEVEL_PRIOR);
            let effective = if *squares > 0.0 { weight * weight / squares } else { 0.0 };
            let share = mean.clamp(0.02, 0.98);
            Level {
                tasks: *tasks,
                mean,
                error: (share * (1.0 - share) / (effective + LEVEL_PRIOR)).sqrt(),
            }
        };
        sums.iter().map(level).collect()
    }

    /// What length and words say of a task: to all alike, and to this one.
    fn told(&self, who: usize, seen: &Seen) -> (f64, f64) {
        let shared = self.worth.0 * dot(&self.weights.shared, seen);
        let own = match self.weights.own.get(who) {
            Some(weights) if !weights.is_empty() => self.worth.1 * dot(weights, seen),
            Some(_) | None => 0.0,
        };
        (f64::from(shared), f64::from(own) - self.slopes[who] * seen.length)
    }

    /// What is expected of one, when it has had tasks at all.
    pub(super) fn expected(&self, who: usize, kind: Kind, features: &Features, text: &str) -> Option<Expectation> {
        let level = self.levels.get(who).filter(|level| level.tasks > 0)?;
        let seen = self.scales.seen(features, kind);
        let (shared, own) = self.told(who, &seen);
        Some(Expectation {
            success: (level.mean + shared + own).clamp(0.02, 0.98),
            tasks: level.tasks,
            level: (level.mean, level.error),
            own,
            reasons: self.reasons(who, &seen, text),
        })
    }

    /// The words and shapes that say most about this one in particular.
    fn reasons(&self, who: usize, seen: &Seen, text: &str) -> Vec<(String, f64)> {
        enum What<'t> {
            Dense(usize),
            Words(Option<&'t str>, &'t str),
        }
        let own = self.weights.own.get(who).filter(|weights| !weights.is_empty());
        let worth = f64::from(self.worth.1);
        let mut reasons: Vec<(What<'_>, f64)> = Vec::new();
        let mut say = |what, told: f64| {
            if told.abs() >= REASON_MIN {
                reasons.push((what, told));
            }
        };
        for at in 0..DENSE {
            let learned = own.map_or(0.0, |own| worth * f64::from(own[PLACES + at] * seen.dense[at]));
            // The first shape is the length, of which something is thought before anything is learned.
            let before = if at == 0 { -self.slopes[who] * seen.length } else { 0.0 };
            say(What::Dense(at), learned + before);
        }
        if let Some(own) = own.filter(|_| worth > 0.0) {
            let read = &text[..text.floor_char_boundary(READ_MAX)];
            let mut left = seen.words.clone();
            each(read, |place, before, word| {
                if let Ok(at) = left.binary_search_by_key(&place, |(place, _)| *place) {
                    let (_, value) = left.remove(at);
                    say(
                        What::Words(before, word),
                        worth * f64::from(own[usize::from(place)] * value),
                    );
                }
                !left.is_empty()
            });
        }
        reasons.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
        reasons.truncate(REASONS_MAX);
        let named = |what| match what {
            What::Dense(at) => match SHAPE_NAMES.get(at) {
                Some(shape) => (*shape).to_owned(),
                None => format!("that it is {}", KINDS[at - SHAPES]),
            },
            What::Words(None, word) => format!("`{word}`"),
            What::Words(Some(before), word) => format!("`{before} {word}`"),
        };
        reasons.into_iter().map(|(what, told)| (named(what), told)).collect()
    }
}

impl Scales {
    /// Words that are in many tasks say little; shapes are told in standard deviations.
    fn of(past: &Past) -> Scales {
        let mut tasks = 0.0_f32;
        let mut within = vec![0.0_f32; PLACES];
        let (mut sums, mut squares) = ([0.0_f64; SHAPES], [0.0_f64; SHAPES]);
        for features in past.newest().filter_map(|(.., features)| features) {
            tasks += 1.0;
            for place in &features.words {
                within[usize::from(*place)] += 1.0;
            }
            for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(features.shape) {
                *sum += f64::from(value);
                *square += f64::from(value) * f64::from(value);
            }
        }
        for tasks_with in &mut within {
            *tasks_with = ((1.0 + tasks) / (1.0 + *tasks_with)).ln() + 1.0;
        }
        let (mut mean, mut deviation) = ([0.0; SHAPES], [0.0; SHAPES]);
        let count = f64::from(tasks.max(1.0));
        for at in 0..SHAPES {
            let middle = sums[at] / count;
            let spread = (squares[at] / count - middle * middle).max(0.0).sqrt();
            #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
            let (middle, spread) = (middle as f32, spread as f32);
            mean[at] = middle;
            deviation[at] = spread;
        }
        Scales {
            rarity: within,
            mean,
            deviation,
        }
    }

    fn seen(&self, features: &Features, kind: Kind) -> Seen {
        let weigh = |place: &u16| {
            let times = if is_pair(*place) { PAIR_SCALE } else { 1.0 };
            (*place, self.rarity[usize::from(*place)] * times)
        };
        let mut words: Vec<(u16, f32)> = features.words.iter().map(weigh).collect();
        let length: f32 = words.iter().map(|(_, value)| value * value).sum();
        for (_, value) in &mut words {
            *value /= length.sqrt();
        }
        let mut dense = [0.0; DENSE];
        for (at, value) in features.shape.iter().enumerate() {
            // A shape that was always the same says nothing, also where it is another for once.
            if self.deviation[at] > 0.0 {
                let told = (f32::from(*value) - self.mean[at]) / self.deviation[at];
                dense[at] = told.clamp(-3.0, 3.0) * SHAPE_SCALE;
            }
        }
        dense[SHAPES + kind as usize] = KIND_SCALE;
        Seen {
            words,
            dense,
            length: f64::from(f32::from(features.shape[0]) - self.mean[0]) / 16.0,
        }
    }
}

impl Weights {
    fn none(with_own: &[bool]) -> Weights {
        Weights {
            shared: vec![0.0; WEIGHTS],
            own: vec![Vec::new(); with_own.len()],
        }
    }

    /// The ridge regression over the examples that are wanted, by dual coordinate ascent (Shalev-Shwartz and Zhang 2013),
    /// in an order that is fixed and mixes old and new.
    fn fitted(examples: &[Example], with_own: &[bool], wanted: impl Fn(&Example) -> bool) -> Weights {
        let mut weights = Weights::none(with_own);
        for (own, has) in weights.own.iter_mut().zip(with_own) {
            *own = if *has { vec![0.0; WEIGHTS] } else { Vec::new() };
        }
        let count = examples.len();
        let step = mixing(count);
        let mut duals = vec![0.0_f32; count];
        for _ in 0..PASSES {
            for turn in 0..count {
                let at = turn * step % count;
                let example = &examples[at];
                if !wanted(example) {
                    continue;
                }
                let own = &mut weights.own[example.who];
                let seen = &example.seen;
                let (mut told, mut times) = (dot(&weights.shared, seen), 1.0);
                if !own.is_empty() {
                    told += dot(own, seen);
                    times = 2.0;
                }
                let square = seen.square() * times;
                let change = (example.rest - told - duals[at]) / (1.0 + square / RIDGE);
                duals[at] += change;
                add(&mut weights.shared, seen, change / RIDGE);
                if !own.is_empty() {
                    add(own, seen, change / RIDGE);
                }
            }
        }
        weights
    }
}

impl Seen {
    fn square(&self) -> f32 {
        let words = self.words.iter().map(|(_, value)| value * value);
        words.chain(self.dense.map(|value| value * value)).sum()
    }
}

fn dot(weights: &[f32], seen: &Seen) -> f32 {
    let words = seen
        .words
        .iter()
        .map(|(place, value)| weights[usize::from(*place)] * value);
    let dense = weights[PLACES..].iter().zip(&seen.dense);
    words.sum::<f32>() + dense.map(|(weight, value)| weight * value).sum::<f32>()
}

fn add(weights: &mut [f32], seen: &Seen, times: f32) {
    for (place, value) in &seen.words {
        weights[usize::from(*place)] += times * value;
    }
    for (weight, value) in weights[PLACES..].iter_mut().zip(&seen.dense) {
        *weight += times * value;
    }
}

/// Who has enough tasks for weights of its own; those with most, where there are too many.
fn with_own(examples: &[Example], whos: usize) -> Vec<bool> {
    let mut tasks = vec![0_usize; whos];
    for example in examples {
        tasks[example.who] += 1;
    }
    let mut most = tasks.clone();
    most.sort_unstable_by(|one, other| other.cmp(one));
    let least = most.get(OWN_MAX).map_or(OWN_MIN, |next| OWN_MIN.max(next + 1));
    tasks.into_iter().map(|tasks| tasks >= least).collect()
}

/// How much weights are to be believed: what they told of the half they were not made from, shared ones first.
fn worth(examples: &[Example], with_own: &[bool]) -> (f32, f32) {
    let [first, second] = [false, true].map(|half| Weights::fitted(examples, with_own, |example| example.half != half));
    let told = |example: &Example| {
        let weights = if example.half { &second } else { &first };
        let own = weights.own[example.who].as_slice();
        let own = if own.is_empty() { 0.0 } else { dot(own, &example.seen) };
        (dot(&weights.shared, &example.seen), own)
    };
    let told: Vec<(f32, f32, f32)> = examples
        .iter()
        .map(|example| {
            let (shared, own) = told(example);
            (shared, own, example.rest)
        })
        .collect();
    let shared = believed(told.iter().map(|(shared, _, rest)| (*shared, *rest)));
    let own = believed(told.iter().map(|(with, own, rest)| (*own, rest - shared * with)));
    (shared, own)
}

/// The share of what was told that was so, less as it is less certain; nothing where chance would do as well.
fn believed(pairs: impl Iterator<Item = (f32, f32)>) -> f32 {
    let (mut both, mut told, mut rest) = (0.0_f64, 0.0_f64, 0.0_f64);
    let mut count = 0.0_f64;
    for (one, other) in pairs {
        let (one, other) = (f64::from(one), f64::from(other));
        both += one * other;
        told += one * one;
        rest += other * other;
        count += 1.0;
    }
    if both <= 0.0 || told <= 0.0 || rest <= 0.0 {
        return 0.0;
    }
    // The square of the standard errors that `both` lies above nothing.
    let above = both * both * count / (told * rest);
    let certain = (1.0 - WORTH_MIN * WORTH_MIN / above).max(0.0);
    #[expect(clippy::cast_possible_truncation, reason = "0 to 1")]
    let believed = ((both / told).min(1.0) * certain) as f32;
    believed
}

/// A step that visits every place of a list once and neighbours far apart: near the golden section, without a common divisor.
fn mixing(count: usize) -> usize {
    let divides = |mut one: usize, mut other: usize| {
        while other != 0 {
            (one, other) = (other, one % other);
        }
        one > 1
    };
    let mut step = (count * 618 / 1000).max(1);
    while count > 1 && divides(step, count) {
        step += 1;
    }
    step
}
