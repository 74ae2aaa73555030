//! The trees of isolated tasks, for commands: opened as the configuration says, and taken down with its teardown.

use wheelhouse_core::agent::Input;
use wheelhouse_core::ids::{AgentName, RunId, TaskKey};
use wheelhouse_core::store::Reader;
use wheelhouse_engine::worktree::{self, Options, Teardown, Workplace};

use crate::app::App;
use crate::config::Settings;
use crate::exit;
use crate::failure::Failure;
use crate::json::task_name;
use crate::roster;
use crate::solo::{Job, Solo};

/// The project's trees.
pub(crate) fn open(app: &App, settings: &Settings, reader: &mut dyn Reader) -> Result<Workplace, Failure> {
    let options = Options {
        template: settings.isolation.clone(),
        ..Options::new(reader.store_id()?, roster::passed_env(settings, &app.env))
    };
    Workplace::open(&app.place.project, &app.place.state_dir, options).map_err(refused)
}

/// Runs `isolation.teardown` in a task's tree, if it has one. A command that fails is said; the tree goes all the same,
/// to the trash first, where a person can look at it.
pub(crate) fn tear_down(
    app: &App,
    settings: &Settings,
    workplace: &Workplace,
    run: RunId,
    key: &TaskKey,
) -> Result<(), Failure> {
    let Some(teardown) = workplace.teardown(run, key).map_err(refused)? else {
        return Ok(());
    };
    let Teardown { project, env, commands } = teardown;
    let solo = Solo::new(app, settings, app.place.state_dir.clone())?;
    let exec = AgentName::from(roster::EXEC);
    for command in commands {
        let done = solo.run(Job {
            agent: &exec,
            input: Input::Command(command.clone()),
            cwd: project.clone(),
            run,
            key: key.clone(),
            env: env.clone(),
            wall: settings.timeout,
        });
        if let Some(ended) = done.ended.filter(|ended| !ended.outcome.is_success()) {
            let why = if ended.detail.is_empty() {
                ended.outcome.to_string()
            } else {
                ended.detail
            };
            app.terminal.warn(&format!(
                "teardown of {}: `{command}` did not work: {why}",
                task_name(run, key)
            ));
        }
    }
    Ok(())
}

/// What the trees refuse.
pub(crate) fn refused(error: worktree::Error) -> Failure {
    Failure::new(exit::REFUSED, error.to_string())
}
