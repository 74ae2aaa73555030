//! A long prompt made shorter where it is sent once: which tries those are, and what the others are told on the receipt.
//! Sentences are chosen by `context::compress`.

use wheelhouse_context::compress::{Prompt, compress};
use wheelhouse_context::count;
use wheelhouse_context::receipt::{Layer, Receipt};
use wheelhouse_core::agent::{Capabilities, Ended};
use wheelhouse_core::outcome::Outcome;
use wheelhouse_core::spec::Work;
use wheelhouse_core::store::Claimed;

use crate::attempt::failed;
use crate::prepare::World;
use crate::{given, supervise};

/// Shortens what a task says and what was filled into it, when its agent's settings ask for that. What stands around it
/// (role, instruction files, skills, notes, excerpts, the form of the answer) is not its business.
pub(crate) async fn shorten(
    world: &World,
    claimed: &Claimed,
    prompt: &mut String,
    receipts: &mut Vec<Receipt>,
) -> Result<(), Box<Ended>> {
    let limits = world.settings.context.of(&claimed.agent);
    let Some(tokens_max) = limits.compress_to.filter(|_| limits.is_on(Layer::Compression)) else {
        return Ok(());
    };
    let subject = claimed.spec.key.to_string();
    if let Some(why) = again(world, claimed) {
        let tokens = count::tokens(prompt);
        if tokens > tokens_max {
            receipts.push(Receipt::new(Layer::Compression, &subject, tokens, tokens).noted(&why));
        }
        return Ok(());
    }
    let own = match &claimed.spec.work {
        Work::Prompt(own) if own != prompt => Some(own.clone()),
        _ => None,
    };
    let (text, run) = (prompt.clone(), claimed.run);
    let state_dir = limits.opens_files.then(|| world.settings.state_dir.clone());
    let shorter = supervise::blocking(move || {
        let asked = Prompt {
            subject: &subject,
            text: &text,
            own: own.as_deref(),
            tokens_max,
        };
        let keep = || {
            let (path, _) = given::kept(&state_dir?, run, &text).ok()?;
            Some(path.display().to_string())
        };
        compress(asked, keep)
    });
    if let Some((shorter, receipt)) = shorter.await.map_err(|panic| failed(Outcome::Crashed, panic))? {
        *prompt = shorter;
        receipts.push(receipt);
    }
    Ok(())
}

/// Why a cache may hold this prompt, or the beginning of it, when it is sent again; nothing when it is sent once.
fn again(world: &World, claimed: &Claimed) -> Option<String> {
    if matches!(claimed.spec.work, Work::Turn(_)) {
        return Some("not compressed: a turn of an instance, whose conversation goes on".to_owned());
    }
    if let Some(parent) = &claimed.spec.flow.parent {
        return Some(format!(
            "not compressed: a step of `{parent}`, whose steps share what they are told"
        ));
    }
    let Capabilities {
        resume,
        steer,
        children,
        mcp_servers,
        own_tools,
        interrupt: _,
        permission: _,
        usage: _,
        structured_output: _,
    } = world.roster.agent(&claimed.agent)?.capabilities();
    let calls_often = resume || steer || children || mcp_servers || own_tools;
    calls_often.then(|| {
        format!(
            "not compressed: `{}` sends its prompt with each of its calls; a model of an API sends it once",
            claimed.agent
        )
    })
}
