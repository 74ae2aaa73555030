//! What a turn of an instance is given beyond what every task is: its words, its token, its MCP servers.

use std::collections::BTreeMap;

use wheelhouse_context::conversation;
use wheelhouse_context::receipt::{Layer, Receipt};
use wheelhouse_core::agent::{Capabilities, Ended, Input, McpServer};
use wheelhouse_core::caller::{INSTANCE_VARIABLE, MCP_NAME, TOKEN_VARIABLE};
use wheelhouse_core::crew::MessageFilter;
use wheelhouse_core::day::Day;
use wheelhouse_core::ids::MessageId;
use wheelhouse_core::message::{self, EARLIER_MAX, Earlier, MessageState, MessageView, Party, Trust};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::{Turn, Work};
use wheelhouse_core::store::{Claimed, Failure, Reader};
use wheelhouse_core::supervise::Watch;

use crate::attempt::failed;
use crate::prepare::{World, bounded};
use crate::supervise;
use crate::verify::EXEC;

/// Messages of a mailbox that are read at once.
const MESSAGES_PAGE: u32 = 500;

/// The words of its message, with the answers of those it comes after; before them what was said so far, when its session
/// does not know it.
pub(crate) async fn input(
    world: &World,
    claimed: &Claimed,
    turn: Turn,
    receipts: &mut Vec<Receipt>,
) -> Result<Input, Box<Ended>> {
    if claimed.agent.as_str() == EXEC {
        return command(world, turn).await;
    }
    let limits = world.settings.context.of(&claimed.agent);
    let agent = world.roster.agent(&claimed.agent);
    let resumes = claimed.session.is_some() && agent.is_some_and(|agent| agent.capabilities().resume);
    let tells = !resumes && limits.is_on(Layer::Compaction);
    let words_tokens = limits.conversation_tokens;
    let read = world
        .read(move |reader| {
            let Some(message) = reader.message(turn.message)? else {
                return Ok(None);
            };
            let words = heard(reader, &message)?;
            let before = match tells {
                true => before(reader, turn, &message)?,
                false => Vec::new(),
            };
            Ok(Some((words, before, message.sent_at)))
        })
        .await?;
    let Some((words, before, now)) = read else {
        return Err(failed(Outcome::Crashed, format!("{} is gone", turn.message)));
    };
    let rates = claimed.spec.model.as_deref().and_then(|model| {
        let price = world.settings.money.prices.find(model, Day::of(claimed.at)).price()?;
        Some(price.rates)
    });
    let subject = turn.instance.to_string();
    let limits = conversation::Limits { words_tokens, rates };
    let (mut text, receipt) = conversation::account(&subject, &before, now, &limits);
    receipts.extend(receipt);
    text.push_str(&words);
    Ok(Input::Prompt(text))
}

/// What a turn is told: its message, and the answers of those it comes after.
fn heard(reader: &mut dyn Reader, message: &MessageView) -> Result<String, Failure> {
    let mut earlier = Vec::with_capacity(message.after.len());
    for id in &message.after {
        if let Some(before) = reader.message(*id)? {
            earlier.push(answer(reader, &before)?);
        }
    }
    Ok(message::words(message, &earlier))
}

/// The turns of the instance that are over and came before this message.
fn before(reader: &mut dyn Reader, turn: Turn, message: &MessageView) -> Result<Vec<conversation::Turn>, Failure> {
    let mut turns = Vec::new();
    let mut after = MessageId(0);
    loop {
        let filter = MessageFilter {
            with: None,
            to: Some(Party::Instance(turn.instance)),
            unread: false,
            after,
        };
        let page = reader.messages(filter, MESSAGES_PAGE)?;
        let Some(last) = page.last() else { return Ok(turns) };
        after = last.id;
        for earlier in page {
            if earlier.id >= message.id {
                return Ok(turns);
            }
            let MessageState::Done { task, .. } = earlier.state else {
                continue;
            };
            let Some(answer) = answer_text(reader, &earlier)? else {
                continue;
            };
            turns.push(conversation::Turn {
                asked: heard(reader, &earlier)?,
                answer,
                handle: format!("`wheelhouse output {}`", earlier.id),
                trail: reader.result(task)?.map(|result| result.trail).unwrap_or_default(),
                at: earlier.sent_at,
            });
        }
    }
}

/// An instance that is a shell: what a person sends it is its command. Nobody else's words are, or an agent that must
/// ask for leave would have a way around it.
async fn command(world: &World, turn: Turn) -> Result<Input, Box<Ended>> {
    match world.read(move |reader| reader.message(turn.message)).await? {
        Some(message) if message.trust == Trust::Person => Ok(Input::Command(message.text)),
        Some(message) => Err(failed(
            Outcome::Refused,
            format!(
                "{} is of {}; `{EXEC}` takes commands from people alone",
                message.id, message.from
            ),
        )),
        None => Err(failed(Outcome::Crashed, format!("{} is gone", turn.message))),
    }
}

/// The answer of a message that is over, bounded; what is said of one that has none.
fn answer(reader: &mut dyn Reader, message: &MessageView) -> Result<Earlier, Failure> {
    let instance = match message.to.instance() {
        Some(id) => reader.instance(id)?,
        None => None,
    };
    let from = match instance {
        Some(instance) => format!("{} ({})", instance.id, instance.spec.name),
        None => message.to.to_string(),
    };
    let text = match answer_text(reader, message)? {
        Some(text) => bounded(&text, EARLIER_MAX),
        None => format!("no answer: the message is {}", message.state.name()),
    };
    Ok(Earlier { from, text })
}

/// The whole answer to a message, when its turn is done: the output of its task, or what is said of its failure.
pub fn answer_text(reader: &mut dyn Reader, message: &MessageView) -> Result<Option<String>, Failure> {
    let Some(task) = message.state.task().filter(|_| message.state.is_over()) else {
        return Ok(None);
    };
    let Some(result) = reader.result(task)? else {
        return Ok(None);
    };
    let bytes = match result.artifacts.iter().find(|artifact| artifact.name == "output") {
        Some(output) => reader.artifact(&output.hash)?,
        None => None,
    };
    Ok(Some(match bytes {
        Some(bytes) if !bytes.is_empty() => String::from_utf8_lossy(&bytes).into_owned(),
        Some(_) | None => result.summary,
    }))
}

/// The watch over a turn, by the policy as it is now; no plan's task has one.
pub(crate) async fn watch(world: &World, claimed: &Claimed, can: Capabilities) -> Result<Option<Watch>, Box<Ended>> {
    if !matches!(claimed.spec.work, Work::Turn(_)) {
        return Ok(None);
    }
    let policy = world.read(|reader| reader.crew_policy()).await?;
    Ok(Some(Watch::new(&policy, can)))
}

/// Who it is, and how it proves that.
pub(crate) fn environment(world: &World, turn: Turn) -> [(String, String); 3] {
    let state_dir = world.settings.state_dir.display().to_string();
    [
        (INSTANCE_VARIABLE.to_owned(), turn.instance.to_string()),
        (
            TOKEN_VARIABLE.to_owned(),
            world.key.token(&world.store_id, turn.instance),
        ),
        ("WHEELHOUSE_STATE_DIR".to_owned(), state_dir),
    ]
}

/// Its own MCP servers, and Wheelhouse itself when it may lead a crew and its agent can be given that.
pub(crate) async fn mcp_servers(world: &World, claimed: &Claimed) -> Result<BTreeMap<String, McpServer>, Box<Ended>> {
    let Work::Turn(turn) = claimed.spec.work else {
        return Ok(BTreeMap::new());
    };
    let (instance, policy) = world
        .read(move |reader| Ok((reader.instance(turn.instance)?, reader.crew_policy()?)))
        .await?;
    let Some(instance) = instance else {
        return Err(failed(Outcome::Crashed, format!("{} is gone", turn.instance)));
    };
    let agent = world.roster.agent(&claimed.agent);
    let takes_servers = agent.is_some_and(|agent| agent.capabilities().mcp_servers);
    let mut servers = instance.spec.mcp_servers;
    if !takes_servers {
        return match servers.keys().next() {
            None => Ok(servers),
            Some(name) => Err(failed(
                Outcome::Unavailable,
                format!(
                    "the agent `{}` takes no MCP servers, and {} was spawned with `{name}`; spawn it on another agent",
                    claimed.agent, turn.instance
                ),
            )),
        };
    }
    // One at the deepest level has nobody to lead: it is spared the tools.
    let leads = instance.rights.spawn && policy.orchestration && instance.depth < policy.depth_max;
    if let Some(ours) = world.instance_mcp.clone().filter(|_| leads) {
        let told = supervise::blocking(move || ours()).await.and_then(|told| told);
        let ours = told.map_err(|why| {
            failed(
                Outcome::Unavailable,
                format!("it cannot be given Wheelhouse as an MCP server: {why}"),
            )
        })?;
        servers.insert(MCP_NAME.to_owned(), ours);
    }
    Ok(servers)
}

/// Whether leave is asked for one of our own tools, by the names that vendors give to tools of MCP servers. What an
/// instance may do with them is bounded by its rights and the policy, so nobody is asked each time.
pub(crate) fn is_ours(tool: &str) -> bool {
    let named = tool
        .strip_prefix("mcp__wheelhouse__")
        .or_else(|| tool.strip_prefix("wheelhouse."));
    named.is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_tools_are_known_by_the_names_that_vendors_give_them() {
        for (tool, ours) in [
            ("mcp__wheelhouse__spawn", true),
            ("wheelhouse.find_tools", true),
            ("mcp__wheelhouse__", false),
            ("wheelhouse.spawn; rm -rf .", false),
            ("mcp__other__wheelhouse.spawn", false),
            ("Bash", false),
        ] {
            assert_eq!(is_ours(tool), ours, "{tool}");
        }
    }
}
