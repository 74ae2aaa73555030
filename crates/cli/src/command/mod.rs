//! The commands: one module each, every one a function from the surroundings and its arguments to an exit code.

pub(crate) mod access;
mod acp;
pub(crate) mod add;
mod answer;
pub(crate) mod ask;
mod blueprint;
mod budget;
mod change;
mod compare;
mod config;
pub(crate) mod crew;
mod docs;
mod doctor;
mod doctor_probe;
mod economy;
mod events;
mod find;
mod fsck;
mod gc;
mod init;
mod install;
mod logs;
mod memory;
mod patch;
mod plan;
pub(crate) mod plan_cost;
pub(crate) mod prices;
pub(crate) mod report;
pub(crate) mod reprice;
mod result;
mod resume;
pub(crate) mod route;
pub(crate) mod run;
mod serve;
mod status;
mod token;
mod tools;
pub(crate) mod tree;
mod watch;

use wheelhouse_server::ports::TreeVerb;

use crate::app::App;
use crate::args::{Command, Task};
use crate::failure::Outcome;

/// Does what was asked, for whoever may ask for it.
pub(crate) fn dispatch(app: &App, command: &Command) -> Outcome {
    access::check(app, command)?;
    match command {
        Command::Init => init::init(app),
        Command::Doctor(args) => doctor::doctor(app, args),
        Command::Run(args) => run::run(app, args),
        Command::Plan(args) => plan::plan(app, args),
        Command::Task(Task::Add(args)) => add::add(app, args),
        Command::Status(args) => status::status(app, args),
        Command::Watch(args) => watch::watch(app, args),
        Command::Find(args) => find::find(app, args),
        Command::Tools(args) => tools::tools(app, args),
        Command::Blueprint(args) => blueprint::blueprint(app, args),
        Command::Logs(args) => logs::logs(app, args),
        Command::Result(args) => result::result(app, args),
        Command::Economy(args) => economy::economy(app, args),
        Command::Memory(args) => memory::memory(app, args),
        Command::Patch(args) => patch::patch(app, args),
        Command::Report(args) => report::report(app, args),
        Command::Compare(args) => compare::compare(app, args),
        Command::Rate(args) => change::rate(app, args),
        Command::Events(args) => events::events(app, args),
        Command::Pause(args) => change::pause(app, &args.what),
        Command::Resume(args) => resume::resume(app, args),
        Command::Cancel(args) => change::cancel(app, &args.what),
        Command::Retry(args) => change::retry(app, &args.what),
        Command::Steer(args) => change::steer(app, args),
        Command::Diff(args) => tree::tree(app, TreeVerb::Diff, &args.what),
        Command::Merge(args) => tree::tree(app, TreeVerb::Merge, &args.what),
        Command::Discard(args) => tree::tree(app, TreeVerb::Discard, &args.what),
        Command::Open(args) => tree::tree(app, TreeVerb::Open, &args.what),
        Command::Spawn(args) => crew::spawn::spawn(app, args),
        Command::Send(args) => crew::talk::send(app, args),
        Command::Output(args) => crew::talk::output(app, args),
        Command::Inbox(args) => crew::talk::inbox(app, args),
        Command::Interrupt(args) => crew::control::interrupt(app, args),
        Command::Terminate(args) => crew::control::terminate(app, args),
        Command::Suspend(args) => crew::control::suspend(app, args),
        Command::Wake(args) => crew::control::wake(app, args),
        Command::Stop(args) => crew::control::stop(app, args),
        Command::Instances(args) => crew::show::instances(app, args),
        Command::Audit(args) => crew::show::audit(app, args),
        Command::Coordinate(args) => crew::coordinate::coordinate(app, args),
        Command::Policy(args) => crew::policy::policy(app, args),
        Command::Team(args) => crew::team::team(app, args),
        Command::Answer(args) => answer::answer(app, args),
        Command::Approve(args) => answer::decide(app, &args.id, "approve"),
        Command::Deny(args) => answer::decide(app, &args.id, "deny"),
        Command::Serve(args) => serve::serve(app, args),
        Command::Mcp(args) => crate::proxy::run(app, args),
        Command::Acp(args) => acp::acp(app, args),
        Command::Token(args) => token::token(app, args),
        Command::Gc(args) => gc::gc(app, args),
        Command::Fsck => fsck::fsck(app),
        Command::Ask(args) => ask::ask(app, args),
        Command::Route(args) => route::route(app, args),
        Command::Budget(args) => budget::budget(app, args),
        Command::Prices(args) => prices::prices(app, args),
        Command::Install(args) => install::install(app, args),
        Command::Uninstall(args) => install::uninstall(app, args),
        Command::Config(args) => config::config(app, args),
        Command::Completions { shell } => docs::completions(app, *shell),
        Command::Man => docs::man(app),
        Command::Docs { page } => docs::docs(app, *page),
        // The two programs of their own were taken out by `main` before anything was set up.
        Command::Keep | Command::Rehearse { .. } => Ok(crate::exit::OK),
    }
}
