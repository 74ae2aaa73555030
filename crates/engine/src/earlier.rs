//! What the next try of a task is told about those before it. An agent that goes on in its session is told what changed
//! since it last spoke, and nothing that it knows; whoever begins anew is told what was done, from facts.

use wheelhouse_context::count;
use wheelhouse_context::receipt::{Layer, Receipt};
use wheelhouse_context::settings::Limits;
use wheelhouse_core::agent::Ended;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::plan::template;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::{Answered, AttemptView, Claimed, TaskResult};
use wheelhouse_core::trail::Trail;

use crate::prepare::{World, bounded};

/// The longest account of the tries before, in bytes.
pub const HANDOVER_MAX: usize = 4_000;
/// The longest account of what they did, in bytes.
const TRAIL_MAX: usize = 2_000;
/// How much of what a failed check printed is told, in bytes. The engine stops at the first that fails.
const CHECK_MAX: usize = 2_000;
/// How many bytes of the answer so far whoever takes over is told at the most.
pub const SO_FAR_MAX: usize = 24_000;

/// What is known of the tries before.
pub(crate) struct Earlier {
    outcome: Outcome,
    result: Option<TaskResult>,
    /// The best answer so far, for somebody who takes over, as much of it as fits beside the rest.
    so_far: Option<String>,
    /// The last try was by the same agent, in the session that goes on, and it had its say.
    knows: bool,
}

/// Whether the session that the try would go on in is not there: what was killed within its first moments left none
/// behind, and what its vendor has lost stays lost. An instance's turn that begins anew is told the conversation.
pub(crate) async fn begins_anew(world: &World, claimed: &Claimed) -> Result<bool, Box<Ended>> {
    let Some(session) = &claimed.session else {
        return Ok(false);
    };
    let turn = match &claimed.spec.work {
        Work::Prompt(_) => None,
        Work::Turn(turn) => Some(turn.instance),
        Work::Exec(_) => return Ok(false),
    };
    let task = claimed.lease.task;
    let (attempts, is_older) = world
        .read(move |reader| {
            let attempts = reader.attempts(task)?;
            let instance = match turn {
                Some(id) => reader.instance(id)?,
                None => None,
            };
            // The session of an instance that has had turns is older than this one.
            Ok((attempts, instance.is_some_and(|instance| instance.turns > 0)))
        })
        .await?;
    let own: Vec<AttemptView> = attempts
        .into_iter()
        .filter(|attempt| attempt.agent == claimed.agent && attempt.outcome.is_some())
        .collect();
    let age = match (is_older, claimed.on_agent > claimed.spec.retry_max) {
        (false, _) => Age::Young,
        (true, false) => Age::Old,
        (true, true) => Age::OldAndLastTry,
    };
    Ok(is_lost(&own, session, age))
}

/// How old the session is that a try would go on in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    /// It began with this task.
    Young,
    /// It was there before: words have come of it. What crashed once may have been killed at its work.
    Old,
    /// It was there before, and another crash in it would be the end of the task: rather anew than not at all.
    OldAndLastTry,
}

/// By the tries of one agent that ended: nobody got a word out of the session, or the last one that was to go on in it
/// crashed at once.
fn is_lost(tries: &[AttemptView], session: &str, age: Age) -> bool {
    let is_in = |attempt: &&AttemptView| attempt.session.as_deref() == Some(session);
    let died = |attempt: &AttemptView| {
        let outcome = attempt.outcome.as_ref();
        attempt.usage.total() == 0 && matches!(outcome, Some(Outcome::Crashed | Outcome::Killed))
    };
    let Some((last, before)) = tries.split_last() else {
        return false;
    };
    let was_there = age == Age::OldAndLastTry || before.iter().any(|attempt| is_in(&attempt));
    let was_to_go_on = was_there && (last.session.is_none() || is_in(&last));
    let crashed = died(last) && last.outcome == Some(Outcome::Crashed);
    let mut within = tries.iter().filter(is_in).peekable();
    let is_unborn = age == Age::Young && within.peek().is_some() && within.all(died);
    is_unborn || (was_to_go_on && crashed)
}

/// The tries before this one; none when it is the first.
pub(crate) async fn earlier(world: &World, claimed: &Claimed) -> Result<Option<Earlier>, Box<Ended>> {
    if claimed.attempt <= 1 {
        return Ok(None);
    }
    let task = claimed.lease.task;
    let takes_over = claimed.link > 0 && claimed.on_agent == 1;
    let (attempts, result, so_far) = world
        .read(move |reader| {
            let last = reader.results(task)?.pop();
            let answered = reader.answered(task)?.filter(|_| takes_over);
            let output = answered.as_ref().and_then(|answered| answered.result.artifacts.first());
            let so_far = match output {
                Some(output) => reader.artifact(&output.hash)?,
                None => None,
            };
            Ok((
                reader.attempts(task)?,
                last.map(|Answered { result, .. }| result),
                so_far,
            ))
        })
        .await?;
    let Some((last, outcome)) = attempts
        .iter()
        .rev()
        .find_map(|attempt| Some((attempt, attempt.outcome.clone()?)))
    else {
        return Ok(None);
    };
    let told = result.as_ref().map_or("", |result| &result.summary);
    let window = claimed.spec.link(claimed.link).and_then(|link| link.window_tokens);
    let so_far = so_far
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .filter(|text| !text.trim().is_empty() && !told.contains(text.trim()))
        .map(|text| bounded(&text, so_far_max(window)));
    // Only of an outcome that follows its answer it is sure that the session has the whole task.
    let answered = matches!(
        outcome,
        Outcome::GateFailed | Outcome::Malformed | Outcome::LowConfidence | Outcome::Conflict
    );
    let goes_on = claimed.session.is_some() && claimed.session == last.session && last.agent == claimed.agent;
    Ok(Some(Earlier {
        outcome,
        result,
        so_far,
        knows: goes_on && answered,
    }))
}

impl Earlier {
    /// What the tries before did.
    pub(crate) fn trail(&self) -> Option<&Trail> {
        self.result.as_ref().map(|result| &result.trail)
    }

    /// The prompt with the account of the tries before; for one who knows the task, the account in place of it.
    /// `keep` puts the prompt into a file, for a session that no longer has its beginning, and says where.
    pub(crate) fn tell(
        &self,
        key: &str,
        mut prompt: String,
        limits: &Limits,
        keep: impl FnOnce(&str) -> Option<String>,
        receipts: &mut Vec<Receipt>,
    ) -> String {
        let mut told = String::new();
        for check in self
            .result
            .iter()
            .flat_map(|result| &result.checks)
            .filter(|check| !check.passed())
        {
            let ended = check
                .exit_code
                .map_or("stopped".to_owned(), |code| format!("exit {code}"));
            // What a command prints is as little an instruction as what an agent says.
            let tail = template::handed_on("check", "output", &bounded(&check.tail, CHECK_MAX));
            told.push_str(&format!("\nThe check `{}` failed ({ended}):\n{tail}", check.command));
        }
        // A session may have been shortened by its vendor: without a way back to the task it is told the whole again.
        let by_delta = self.knows && limits.opens_files && limits.is_on(Layer::Delta);
        if let Some(place) = by_delta.then(|| keep(&prompt)).flatten() {
            let told = format!(
                "Your last turn on this task ended as {}.{told}\n\nThe task has not changed: go on from where you are. Should \
                 you no longer have it, it is in the file {place}",
                self.outcome
            );
            let (would, sent) = (count::tokens(&prompt) + count::tokens(&told), count::tokens(&told));
            receipts.push(Receipt::new(Layer::Delta, key, would, sent).without(
                "the task",
                "the session has it; it goes on",
                would.saturating_sub(sent),
            ));
            return told;
        }
        let mut account = format!("\n\nAn earlier try of this task ended as {}.{told}", self.outcome);
        if let Some(result) = &self.result {
            if limits.is_on(Layer::Trail) && !result.trail.is_empty() {
                let lines = bounded(&result.trail.lines().join("\n"), TRAIL_MAX);
                let marked = template::handed_on("earlier-try", "trail", &lines);
                let text = format!(
                    "\nWhat was done so far, by its tool calls; files may be as it left them or as before, so look:\n{marked}"
                );
                receipts.push(
                    Receipt::new(Layer::Trail, key, 0, count::tokens(&text))
                        .noted("what the tries before did, so that it is not found out again"),
                );
                account.push_str(&text);
            }
            // Cut before it is marked: a mark that is cut off has no end.
            let room = HANDOVER_MAX.saturating_sub(account.len());
            let words = template::handed_on("earlier-try", "summary", &bounded(&result.summary, room));
            account.push_str(&format!("\nIts last words:\n{words}"));
        }
        prompt.push_str(&account);
        if let Some(text) = &self.so_far {
            let text = template::handed_on("earlier-try", "result", text);
            prompt.push_str(&format!("\nThe best answer so far:\n{text}"));
        }
        prompt
    }
}

/// How many bytes of an answer so far are handed over: an eighth of the window, at four bytes a token, so that the task
/// itself and the answer to come have their room.
fn so_far_max(window_tokens: Option<u64>) -> usize {
    let bytes = window_tokens.unwrap_or(u64::MAX) / 2;
    usize::try_from(bytes).unwrap_or(usize::MAX).min(SO_FAR_MAX)
}

#[cfg(test)]
mod tests {
    use wheelhouse_core::ids::AgentName;
    use wheelhouse_core::time::Millis;
    use wheelhouse_core::usage::Usage;

    use super::*;

    fn tried(session: Option<&str>, outcome: Outcome, input: u64) -> AttemptView {
        AttemptView {
            number: 1,
            begun: 1,
            agent: AgentName::from("a"),
            session: session.map(str::to_owned),
            started_at: Millis(0),
            ended_at: Some(Millis(1)),
            outcome: Some(outcome),
            usage: Usage {
                input,
                ..Usage::default()
            },
            cost: None,
        }
    }

    #[test]
    fn a_session_is_lost_when_nothing_came_of_it_or_it_cannot_be_gone_on_with() {
        let killed = |input| tried(Some("s"), Outcome::Killed, input);
        let crashed = |session, input| tried(session, Outcome::Crashed, input);
        assert!(
            is_lost(&[crashed(None, 0)], "s", Age::OldAndLastTry),
            "an instance's session is gone"
        );
        assert!(
            !is_lost(&[crashed(Some("s"), 0)], "s", Age::Old),
            "it was opened, and killed at work"
        );
        assert!(!is_lost(&[], "s", Age::OldAndLastTry));
        let is_lost = |tries: &[AttemptView], session: &str| is_lost(tries, session, Age::Young);
        assert!(!is_lost(&[], "s"));
        assert!(is_lost(&[killed(0)], "s"), "it was killed before it began");
        assert!(!is_lost(&[killed(100)], "s"), "its vendor may have kept it");
        assert!(is_lost(&[killed(100), crashed(Some("s"), 0)], "s"));
        assert!(is_lost(&[killed(100), crashed(None, 0)], "s"));
        assert!(!is_lost(&[killed(100), crashed(Some("s"), 100)], "s"), "it did go on");
        assert!(!is_lost(&[killed(100), killed(0)], "s"), "what was killed says nothing");
        assert!(!is_lost(&[killed(100), crashed(Some("other"), 0)], "s"));
        let limited = tried(Some("s"), Outcome::Overloaded, 0);
        assert!(!is_lost(&[limited], "s"), "whoever waits goes on where it was");
    }
}
