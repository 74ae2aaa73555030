//! Conditional phases: under which facts a task is not needed.
//!
//! `skip_if: score >= 8` compares one fact that another task left with a value. A fact that is not there decides
//! nothing: the task is done. Read with plans, weighed by the engine when the task's turn has come.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Child;
use crate::ids::TaskKey;
use crate::verdict::{self, Stance};

/// The kind of report that says that a task is done though it is not needed.
pub const AUDIT_KIND: &str = "skip-audit";

/// Whether a task that is not needed is done all the same, to see what skipping costs: in `percent` of 100 cases. `lot`
/// is a number of the task that is the same every time.
pub fn is_audited(percent: Option<u8>, lot: u64) -> bool {
    lot % 100 < u64::from(percent.unwrap_or(0))
}

/// What a task leaves besides its words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The score it gave, 1 to 10: `SCORE: 8`, or the mean of `SCORES: …`.
    Score,
    /// How sure it says it is, 0 to 100.
    Confidence,
    /// What it judged: approve, revise, reject or undecided.
    Verdict,
    /// The exit code of its command.
    Exit,
    /// How many findings it made.
    Findings,
}

/// Every fact, for messages.
pub const FACTS: [Fact; 5] = [Fact::Score, Fact::Confidence, Fact::Verdict, Fact::Exit, Fact::Findings];

impl Fact {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Fact::Score => "score",
            Fact::Confidence => "confidence",
            Fact::Verdict => "verdict",
            Fact::Exit => "exit",
            Fact::Findings => "findings",
        }
    }

    fn named(name: &str) -> Option<Fact> {
        FACTS.into_iter().find(|fact| fact.name() == name)
    }
}

/// How a fact is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Operator {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `<`
    Less,
    /// `==`
    Is,
    /// `!=`
    IsNot,
}

/// As written; the longer ones first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("==", Operator::Is),
    ("!=", Operator::IsNot),
    (">", Operator::More),
    ("<", Operator::Less),
    ("=", Operator::Is),
];

/// One comparison.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Condition {
    /// Whose fact; the only task that is needed when none is named.
    pub task: Option<TaskKey>,
    /// Which fact.
    pub fact: Fact,
    /// How it is compared.
    pub operator: Operator,
    /// With what; a stance as its number.
    pub value: i64,
}

impl Condition {
    /// Reads `score >= 8`, `review.confidence > 80`, `tasks.tests.exit == 0`, `review.verdict == approve`; or says what
    /// is wrong with it.
    pub fn parse(text: &str) -> Result<Condition, String> {
        let found = OPERATORS
            .iter()
            .filter_map(|(sign, operator)| Some((text.find(sign)?, *sign, *operator)))
            .min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())));
        let Some((at, sign, operator)) = found else {
            return Err(format!("`{text}` compares nothing"));
        };
        let (name, value) = (text[..at].trim(), text[at + sign.len()..].trim());
        let name = name.strip_prefix("tasks.").unwrap_or(name);
        let (task, word) = match name.rsplit_once('.') {
            Some((task, word)) => (Some(TaskKey(task.to_owned())), word),
            None => (None, name),
        };
        let fact = Fact::named(word).ok_or_else(|| format!("`{word}` is not a fact that a task leaves"))?;
        let value = match fact {
            Fact::Verdict => {
                if !matches!(operator, Operator::Is | Operator::IsNot) {
                    return Err(format!("a verdict is compared by `==` or `!=`, not by `{sign}`"));
                }
                let stance = [Stance::Approve, Stance::Revise, Stance::Reject, Stance::Undecided];
                let stance = stance.into_iter().find(|stance| stance.name() == value);
                stance_number(stance.ok_or_else(|| format!("`{value}` is not a verdict"))?)
            }
            Fact::Score | Fact::Confidence | Fact::Exit | Fact::Findings => {
                value.parse().map_err(|_| format!("`{value}` is not a whole number"))?
            }
        };
        Ok(Condition {
            task,
            fact,
            operator,
            value,
        })
    }

    /// Whether it holds for these facts, and the value it found; none when the fact is not there.
    pub fn holds(&self, facts: &Facts) -> Option<bool> {
        let found = facts.get(self.fact)?;
        Some(match self.operator {
            Operator::AtLeast => found >= self.value,
            Operator::AtMost => found <= self.value,
            Operator::More => found > self.value,
            Operator::Less => found < self.value,
            Operator::Is => found == self.value,
            Operator::IsNot => found != self.value,
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(task) = &self.task {
            write!(f, "{task}.")?;
        }
        let sign = OPERATORS.iter().find(|(_, operator)| *operator == self.operator);
        let sign = sign.map_or("", |(sign, _)| sign);
        write!(f, "{} {sign} {}", self.fact.name(), shown(self.fact, self.value))
    }
}

/// What a task left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    score: Option<i64>,
    confidence: Option<i64>,
    verdict: Option<i64>,
    exit: Option<i64>,
    findings: Option<i64>,
}

impl Facts {
    /// Reads them from what a task produced. What counts is what it said last.
    pub fn of(child: &Child) -> Facts {
        let judged = verdict::read(&child.text);
        let block = child.result.verdict.as_deref().unwrap_or_default();
        let number = |one: Option<u8>| one.map(i64::from);
        let stated = |read: fn(&str) -> Option<u8>| read(block).or_else(|| read(&child.text));
        let findings = judged.as_ref().map(|judged| judged.findings.len());
        let stance = judged
            .as_ref()
            .or(None)
            .map(|judged| judged.stance)
            .or_else(|| verdict::read(&format!("--- VERDICT ---\n{block}\n---")).map(|judged| judged.stance));
        Facts {
            score: number(stated(verdict::score)),
            confidence: number(stated(verdict::confidence)),
            verdict: stance.map(stance_number),
            exit: child.result.exit_code.map(i64::from),
            findings: findings.and_then(|count| i64::try_from(count).ok()),
        }
    }

    fn get(&self, fact: Fact) -> Option<i64> {
        match fact {
            Fact::Score => self.score,
            Fact::Confidence => self.confidence,
            Fact::Verdict => self.verdict,
            Fact::Exit => self.exit,
            Fact::Findings => self.findings,
        }
    }
}

/// Why a task is not needed, when all its conditions hold; `facts` gives those of a task.
pub fn not_needed(conditions: &[Condition], facts: impl Fn(&TaskKey) -> Option<Facts>) -> Option<(TaskKey, String)> {
    let mut why = Vec::new();
    let mut cause = None;
    for condition in conditions {
        let task = condition.task.as_ref()?;
        let facts = facts(task)?;
        if !condition.holds(&facts)? {
            return None;
        }
        let found = shown(condition.fact, facts.get(condition.fact)?);
        why.push(format!("{condition} holds: it is {found}"));
        cause = Some(task.clone());
    }
    Some((cause?, why.join("; ")))
}

fn shown(fact: Fact, value: i64) -> String {
    let stance = [Stance::Approve, Stance::Revise, Stance::Reject, Stance::Undecided];
    match fact {
        Fact::Verdict => stance
            .into_iter()
            .find(|stance| stance_number(*stance) == value)
            .map_or_else(|| value.to_string(), |stance| stance.name().to_owned()),
        Fact::Score | Fact::Confidence | Fact::Exit | Fact::Findings => value.to_string(),
    }
}

/// The number that stands for a stance in a [`Condition`].
fn stance_number(stance: Stance) -> i64 {
    match stance {
        Stance::Approve => 1,
        Stance::Revise => 2,
        Stance::Reject => 3,
        Stance::Undecided => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::store::TaskResult;

    fn left(text: &str, exit_code: Option<i32>) -> Facts {
        Facts::of(&Child {
            key: "review".into(),
            agent: "a".into(),
            outcome: Some(Outcome::Succeeded),
            result: TaskResult {
                exit_code,
                verdict: verdict::last_block(text),
                ..TaskResult::default()
            },
            text: text.to_owned(),
        })
    }

    fn holds(condition: &str, facts: Facts) -> Option<bool> {
        Condition::parse(condition).unwrap().holds(&facts)
    }

    #[test]
    fn the_line_of_the_seed_is_read_and_weighed() {
        let facts = left("SCORES: accuracy 9, completeness 8, clarity 9", None);
        assert_eq!(holds("score >= 8", facts), Some(true));
        assert_eq!(holds("score>8", facts), Some(false));
        assert_eq!(
            holds("score >= 8", left("no number at all", None)),
            None,
            "nothing decides nothing"
        );
    }

    #[test]
    fn every_fact_is_compared() {
        let text = "FINDING: P1 a.rs:3 - wrong - it\n--- VERDICT ---\nSTATUS: warn\nCONFIDENCE: 85\nSCORE: 7\n---";
        let facts = left(text, Some(2));
        for (condition, expected) in [
            ("confidence > 80", true),
            ("review.confidence <= 80", false),
            ("verdict == revise", true),
            ("tasks.review.verdict != approve", true),
            ("exit == 2", true),
            ("exit = 0", false),
            ("findings < 2", true),
        ] {
            assert_eq!(holds(condition, facts), Some(expected), "{condition}");
        }
        let named = Condition::parse("tasks.a.b.score >= 8").unwrap();
        assert_eq!(named.task, Some("a.b".into()));
        assert_eq!(named.to_string(), "a.b.score >= 8");
        assert_eq!(
            Condition::parse("verdict==approve").unwrap().to_string(),
            "verdict == approve"
        );
    }

    #[test]
    fn what_compares_nothing_is_refused_with_the_reason() {
        for (text, why) in [
            ("score", "compares nothing"),
            ("speed > 3", "`speed` is not a fact"),
            ("score >= high", "`high` is not a whole number"),
            ("verdict > approve", "a verdict is compared by"),
            ("verdict == good", "`good` is not a verdict"),
        ] {
            let found = Condition::parse(text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }

    #[test]
    fn all_of_several_must_hold() {
        let conditions = ["review.score >= 8", "tests.exit == 0"].map(|text| Condition::parse(text).unwrap());
        let facts = |task: &TaskKey| match task.as_str() {
            "review" => Some(left("SCORE: 9", None)),
            "tests" => Some(left("", Some(0))),
            _ => None,
        };
        let (cause, why) = not_needed(&conditions, facts).unwrap();
        assert_eq!(cause.as_str(), "tests");
        assert_eq!(why, "review.score >= 8 holds: it is 9; tests.exit == 0 holds: it is 0");
        assert_eq!(not_needed(&conditions[..1], |_| None), None);
        assert_eq!(not_needed(&[], facts), None);
    }
}
