//! Checks that the engine runs itself after an agent claims success. Claimed and verified are different things.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wheelhouse_core::agent::{AgentEvent, Assignment, BoxFuture, Inbox, Input, Order, Sink};
use wheelhouse_core::ids::{AgentName, ArtifactHash};
use wheelhouse_core::store::Check;

use crate::prepare::World;

/// The agent that runs commands; every roster has it.
pub(crate) const EXEC: &str = "exec";
/// How much of a check's output is kept with the result, from its end, in bytes.
const TAIL_MAX: usize = 2_000;

/// Runs the task's checks one after the other, up to the first that fails. Each has the task's wall time for itself.
pub(crate) async fn checks(
    world: &World,
    assignment: &Assignment,
    commands: &[String],
    wall: Duration,
) -> Result<Vec<Check>, String> {
    let exec = world
        .roster
        .agent(&AgentName::from(EXEC))
        .ok_or_else(|| format!("the roster has no agent `{EXEC}` to run checks"))?;
    let mut checks = Vec::new();
    for command in commands {
        let began = Instant::now();
        let work = exec.attempt(
            Assignment {
                agent: AgentName::from(EXEC),
                input: Input::Command(command.clone()),
                stdin: None,
                tools: None,
                schema: None,
                session: None,
                ..assignment.clone()
            },
            Box::new(NoOrders),
            Arc::new(Deaf),
        );
        let ended = tokio::time::timeout(wall, work).await;
        let (exit_code, output) = match ended {
            Ok(ended) => (ended.result.exit_code, ended.outputs.concat()),
            Err(_) => (None, format!("stopped after {}s", wall.as_secs()).into_bytes()),
        };
        let text = String::from_utf8_lossy(&output);
        let check = Check {
            command: command.clone(),
            exit_code,
            log: ArtifactHash(blake3::hash(&output).to_hex().to_string()),
            tail: tail(&text),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let passed = check.passed();
        checks.push(check);
        if !passed {
            break;
        }
    }
    Ok(checks)
}

fn tail(text: &str) -> String {
    let text = text.trim_end();
    text[text.ceil_char_boundary(text.len().saturating_sub(TAIL_MAX))..].to_owned()
}

/// A check takes no orders: it is stopped by dropping it.
struct NoOrders;

impl Inbox for NoOrders {
    fn next(&mut self) -> BoxFuture<'_, Option<Order>> {
        Box::pin(async { None })
    }
}

/// A check has nothing to tell but its end.
struct Deaf;

impl Sink for Deaf {
    fn event(&self, _event: AgentEvent) {}
}
