//! What the processes of agents may ask for. A person may everything; an instance what concerns its crew, as far as the
//! store lets it; a task of a run, whoever does it, may look and leave a note that waits for a person.
//!
//! Who asks is read from the environment that the engine gives to whatever it starts, the caller's own or that of the
//! processes above it: agents start MCP servers and shells with less than they have themselves. That is attribution and
//! refusal, no wall: a process that leaves its tree, or opens the files of the state directory, runs under the same user.

use std::fs;

use wheelhouse_core::caller::{INSTANCE_VARIABLE, TOKEN_PREFIX, TOKEN_VARIABLE};

use crate::app::App;
use crate::args::crew::{Policy, Team};
use crate::args::memory::Memory;
use crate::args::{Command, PricesAction};
use crate::exit;
use crate::failure::Failure;
use crate::state;

/// The variables in which a task's processes find their task.
const RUN_VARIABLE: &str = "WHEELHOUSE_RUN";
const TASK_VARIABLE: &str = "WHEELHOUSE_TASK";
/// The variable in which they find the name of their store.
const STORE_VARIABLE: &str = "WHEELHOUSE_STORE";
/// How many processes above this one are looked at.
const ABOVE_MAX: usize = 64;

/// Whose process this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    /// A person's.
    Person,
    /// An instance's, with its token; whether that holds is checked where it is used.
    Instance,
    /// A task's, by its name. An instance's turn is one too, where its agent keeps the token from what it starts.
    Task(String),
}

/// Whose process this is, by its environment.
pub(crate) fn who(app: &App) -> Who {
    let token = app.env.get(TOKEN_VARIABLE);
    if token.is_some_and(|token| token.starts_with(TOKEN_PREFIX)) {
        return Who::Instance;
    }
    match (app.env.get(RUN_VARIABLE), app.env.get(TASK_VARIABLE)) {
        (Some(run), Some(task)) => Who::Task(format!("{run}/{task}")),
        (None, Some(task)) => Who::Task(task.clone()),
        (_, None) => above(app).map_or(Who::Person, Who::Task),
    }
}

/// The task of this very state directory below whose processes this one is.
fn above(app: &App) -> Option<String> {
    let mut pid = std::os::unix::process::parent_id();
    for _ in 0..ABOVE_MAX {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let value = |name: &str| {
            let mut all = environment
                .split(|byte| *byte == 0)
                .filter_map(|pair| std::str::from_utf8(pair).ok());
            all.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        if let (Some(store), Some(run), Some(task)) = (value(STORE_VARIABLE), value(RUN_VARIABLE), value(TASK_VARIABLE))
        {
            // Elsewhere it is somebody's own project, such as one that a test made.
            let ours = state::look(&app.place).ok()??.store_id().ok()?;
            return (ours == store).then(|| format!("{run}/{task}"));
        }
        pid = parent(pid)?;
    }
    None
}

/// The process that another one is a child of. Its name may hold anything, so what follows is counted from its end.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok().filter(|parent| *parent > 1)
}

/// What a command needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Needs {
    /// To look, or to add a note that waits for a person.
    Look,
    /// To be one of a crew.
    Crew,
    /// To be a person.
    Person,
}

/// Lets the command be done, or says who may.
pub(super) fn check(app: &App, command: &Command) -> Result<(), Failure> {
    let refused = |whose: String| {
        Failure::new(
            exit::REFUSED,
            format!("this is a process of {whose}, which may look and leave notes; anything else is for people"),
        )
    };
    let needs = needs(command);
    if needs == Needs::Look {
        // Everybody may, so nobody is asked who they are.
        return Ok(());
    }
    match (who(app), needs) {
        (Who::Person, _) | (_, Needs::Look) | (Who::Instance, Needs::Crew) => Ok(()),
        (Who::Instance, Needs::Person) => {
            let name = app.env.get(INSTANCE_VARIABLE);
            let whose = name.map_or_else(|| "an instance".to_owned(), |name| format!("instance {name}"));
            let words = format!(
                "this is a process of {whose}, which may look and lead its own crew; anything else is for people"
            );
            Err(Failure::new(exit::REFUSED, words))
        }
        (Who::Task(task), Needs::Crew) if app.env.contains_key(INSTANCE_VARIABLE) => Err(refused(format!(
            "the turn {task} without its token"
        ))
        .hint("its agent keeps the token from what it starts; the MCP server `wheelhouse` that it was given has it")),
        (Who::Task(task), Needs::Crew | Needs::Person) => Err(refused(format!("the task {task}"))
            .hint("an agent that is to lead others is an instance: `wheelhouse spawn`, by a person")),
    }
}

/// What each command needs. Every one is named, so that a new one does not build until somebody has decided.
fn needs(command: &Command) -> Needs {
    match command {
        Command::Plan(_)
        | Command::Status(_)
        | Command::Watch(_)
        | Command::Find(_)
        | Command::Logs(_)
        | Command::Result(_)
        | Command::Events(_)
        | Command::Economy(_)
        | Command::Patch(_)
        | Command::Report(_)
        | Command::Compare(_)
        | Command::Diff(_)
        | Command::Output(_)
        | Command::Instances(_)
        | Command::Audit(_)
        | Command::Fsck
        | Command::Route(_)
        | Command::Config(_)
        | Command::Completions { .. }
        | Command::Man
        | Command::Docs { .. }
        | Command::Keep
        | Command::Rehearse { .. }
        // It carries messages under the token that it finds, or one that may look.
        | Command::Mcp(_)
        | Command::Memory(Memory::Add(_) | Memory::List(_) | Memory::Find(_))
        | Command::Policy(Policy::Show)
        | Command::Team(Team::List | Team::Show { .. }) => Needs::Look,
        Command::Spawn(_)
        | Command::Send(_)
        | Command::Interrupt(_)
        | Command::Terminate(_)
        | Command::Suspend(_)
        | Command::Wake(_)
        | Command::Coordinate(_)
        | Command::Stop(_)
        // To read notes takes them out of the mailbox.
        | Command::Inbox(_)
        | Command::Team(Team::Start { .. } | Team::Save { .. }) => Needs::Crew,
        Command::Doctor(args) => if args.probe.is_some() { Needs::Person } else { Needs::Look },
        Command::Blueprint(args) => if args.agent.is_some() { Needs::Person } else { Needs::Look },
        Command::Answer(args) => if args.id.is_some() { Needs::Person } else { Needs::Look },
        // A task or an instance calls through the MCP server, which knows what it may.
        Command::Tools(args) => if args.action.is_some() { Needs::Person } else { Needs::Look },
        Command::Budget(args) => if args.change.is_some() { Needs::Person } else { Needs::Look },
        Command::Prices(args) => match &args.action {
            Some(PricesAction::Update { .. }) => Needs::Person,
            Some(PricesAction::Reprice { .. }) | None => Needs::Look,
        },
        Command::Gc(args) => if args.dry_run { Needs::Look } else { Needs::Person },
        Command::Memory(Memory::Keep(_) | Memory::Forget(_))
        | Command::Policy(Policy::Set { .. } | Policy::Load { .. })
        | Command::Init
        | Command::Run(_)
        | Command::Task(_)
        | Command::Rate(_)
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Cancel(_)
        | Command::Retry(_)
        | Command::Steer(_)
        | Command::Merge(_)
        | Command::Discard(_)
        | Command::Open(_)
        | Command::Approve(_)
        | Command::Deny(_)
        | Command::Serve(_)
        | Command::Acp(_)
        // Whoever has a token of a person is one to every other face.
        | Command::Token(_)
        | Command::Ask(_)
        | Command::Install(_)
        | Command::Uninstall(_) => Needs::Person,
    }
}
