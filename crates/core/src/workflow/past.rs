//! The children of a workflow by the names of their steps.

use std::collections::BTreeMap;

use super::{Child, SEPARATOR};
use crate::ids::TaskKey;

/// What stands before the number in the names of a later try's steps: `draft.try2.produce`.
const TRY: &str = "try";

/// The children that count, by step.
#[derive(Debug)]
pub struct Past<'a> {
    parent: &'a TaskKey,
    attempt: u32,
    steps: BTreeMap<&'a str, &'a Child>,
}

impl<'a> Past<'a> {
    /// Sorts the children. Those of this try count. Of earlier tries (a person wanted the task tried again) what
    /// succeeded counts too, so that paid work is not repeated: all of it when the steps are `independent`, else up to
    /// the first step that did not succeed. When everything succeeded and the workflow failed all the same, it is the
    /// work that was not good enough: then everything begins anew.
    pub fn of(parent: &'a TaskKey, attempt: u32, children: &'a [Child], independent: bool) -> Past<'a> {
        let mut steps = BTreeMap::new();
        let mut earlier: Vec<(&str, &Child)> = Vec::new();
        for child in children {
            let Some((of_attempt, step)) = step_of(parent, &child.key) else {
                continue;
            };
            if of_attempt == attempt {
                steps.insert(step, child);
            } else if of_attempt < attempt {
                // Of one step done in several tries the last one counts.
                earlier.retain(|(name, _)| *name != step);
                earlier.push((step, child));
            }
        }
        let whole = earlier.iter().all(|(_, child)| child.succeeded());
        let kept: Vec<(&str, &Child)> = match independent {
            true => earlier.into_iter().filter(|(_, child)| child.succeeded()).collect(),
            false if whole => Vec::new(),
            false => earlier.into_iter().take_while(|(_, child)| child.succeeded()).collect(),
        };
        for (step, child) in kept {
            steps.entry(step).or_insert(child);
        }
        Past { parent, attempt, steps }
    }

    /// The child that did this step.
    pub fn get(&self, step: &str) -> Option<&'a Child> {
        self.steps.get(step).copied()
    }

    /// How many children are open.
    pub fn open(&self) -> u32 {
        let open = self.steps.values().filter(|child| child.outcome.is_none());
        u32::try_from(open.count()).unwrap_or(u32::MAX)
    }

    /// What the child of a step is called.
    pub fn key(&self, step: &str) -> TaskKey {
        let (parent, attempt) = (self.parent, self.attempt);
        TaskKey(match attempt {
            0 | 1 => format!("{parent}{SEPARATOR}{step}"),
            _ => format!("{parent}{SEPARATOR}{TRY}{attempt}{SEPARATOR}{step}"),
        })
    }
}

/// The try and the step that a child's name tells.
fn step_of<'k>(parent: &TaskKey, child: &'k TaskKey) -> Option<(u32, &'k str)> {
    let rest = child.as_str().strip_prefix(parent.as_str())?.strip_prefix(SEPARATOR)?;
    let later = rest.strip_prefix(TRY).and_then(|rest| {
        let (number, step) = rest.split_once(SEPARATOR)?;
        Some((number.parse().ok()?, step))
    });
    Some(later.unwrap_or((1, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::store::TaskResult;

    fn child(key: &str, outcome: Option<Outcome>) -> Child {
        Child {
            key: TaskKey(key.to_owned()),
            agent: "a".into(),
            outcome,
            result: TaskResult::default(),
            text: String::new(),
        }
    }

    fn steps(children: &[Child], attempt: u32, independent: bool) -> Vec<String> {
        let parent = TaskKey("d".to_owned());
        let past = Past::of(&parent, attempt, children, independent);
        past.steps.values().map(|child| child.key.to_string()).collect()
    }

    #[test]
    fn a_retry_keeps_what_succeeded_before_the_first_failure() {
        let done = || Some(Outcome::Succeeded);
        let children = [
            child("d.produce", done()),
            child("d.cross-check", Some(Outcome::Crashed)),
            child("d.later", done()),
        ];
        assert_eq!(
            steps(&children, 1, false),
            ["d.cross-check", "d.later", "d.produce"],
            "of its own try everything counts"
        );
        assert_eq!(steps(&children, 2, false), ["d.produce"]);
        assert_eq!(steps(&children, 2, true), ["d.later", "d.produce"]);
        let all = [child("d.produce", done()), child("d.cross-check", done())];
        assert!(
            steps(&all, 2, false).is_empty(),
            "it was the work that was not good enough"
        );
        let again = [
            child("d.produce", Some(Outcome::Crashed)),
            child("d.try2.produce", done()),
            child("d.try2.cross-check", Some(Outcome::Empty)),
        ];
        assert_eq!(
            steps(&again, 3, false),
            ["d.try2.produce"],
            "the last try of a step counts"
        );
    }

    #[test]
    fn names_tell_try_and_step() {
        let parent = TaskKey("a.b".to_owned());
        let past = Past::of(&parent, 2, &[], false);
        assert_eq!(past.key("rung-1.2").as_str(), "a.b.try2.rung-1.2");
        assert_eq!(
            step_of(&parent, &TaskKey("a.b.try2.rung-1.2".to_owned())),
            Some((2, "rung-1.2"))
        );
        assert_eq!(step_of(&parent, &TaskKey("a.b.try".to_owned())), Some((1, "try")));
        assert_eq!(step_of(&parent, &TaskKey("a.c.x".to_owned())), None);
    }
}
