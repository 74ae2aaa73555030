//! What every command has at hand: the streams, the environment, where it was started, which project that is.
//!
//! Built once by `main` from the process's surroundings; from here on nothing asks the environment again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use wheelhouse_core::ids::AgentName;

use crate::args::Global;
use crate::config::{self, Merged, Settings, Sources};
use crate::exit;
use crate::failure::Failure;
use crate::place::Place;
use crate::roster;
use crate::terminal::Terminal;

/// The surroundings of one command.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// Where output goes.
    pub(crate) terminal: Terminal,
    /// The environment; variables that are not text are left out.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it was started, or what `-C` said.
    pub(crate) here: PathBuf,
    /// The project.
    pub(crate) place: Place,
    /// This program.
    pub(crate) exe: PathBuf,
    set: Vec<String>,
}

impl App {
    /// Looks around.
    pub(crate) fn new(global: &Global) -> Result<App, Failure> {
        let env = environment();
        let terminal = Terminal::new(global, &env);
        let cwd = std::env::current_dir()
            .map_err(|error| Failure::new(exit::IO, format!("the current directory is not usable: {error}")))?;
        let here = match &global.project {
            None => cwd,
            Some(dir) => {
                let dir = cwd.join(dir);
                if !dir.is_dir() {
                    return Err(Failure::new(
                        exit::NOT_FOUND,
                        format!("there is no directory {}", dir.display()),
                    ));
                }
                dir.canonicalize().unwrap_or(dir)
            }
        };
        let exe = std::env::current_exe()
            .map_err(|error| Failure::new(exit::STATE_FAILED, format!("cannot find this program: {error}")))?;
        Ok(App {
            place: Place::find(&here, global.state_dir.as_deref()),
            terminal,
            env,
            here,
            exe,
            set: global.set.clone(),
        })
    }

    /// The configuration, value by value.
    pub(crate) fn merged(&self, more: &[String]) -> Result<Merged, Failure> {
        let set: Vec<String> = self.set.iter().chain(more).cloned().collect();
        config::load(&Sources {
            project: &self.place.project,
            env: &self.env,
            set: &set,
        })
    }

    /// The configuration as the program uses it; `max_parallel` stands for `parallel_max`.
    pub(crate) fn settings(&self, max_parallel: Option<u32>) -> Result<Settings, Failure> {
        let more: Vec<String> = max_parallel
            .map(|number| format!("parallel_max={number}"))
            .into_iter()
            .collect();
        let merged = self.merged(&more)?;
        let settings = merged
            .settings(&roster::backend_names())
            .map_err(|problems| config::report(&problems))?;
        let names = roster::agent_names(&settings);
        let default = AgentName(settings.default_agent.clone());
        if settings.default_agent != roster::AUTO && !names.contains(&default) {
            let exist: Vec<String> = names.iter().map(AgentName::to_string).collect();
            let near = crate::nearest::name(&settings.default_agent, &exist)
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("there is {}", crate::nearest::list(&exist, 8)));
            return Err(config::report(&[config::Problem {
                origin: merged.origin(&["default_agent"]),
                message: format!(
                    "`default_agent`: there is no agent `{}`; {near}",
                    settings.default_agent
                ),
            }]));
        }
        Ok(settings)
    }

    /// Who does what names no agent.
    pub(crate) fn default_agent(&self, settings: &Settings) -> AgentName {
        if settings.default_agent == roster::AUTO {
            roster::auto(|program| self.program(program).is_some())
        } else {
            AgentName(settings.default_agent.clone())
        }
    }

    /// The `--set`s of this command, for another process that is to work with the same configuration.
    pub(crate) fn set_arguments(&self) -> Vec<String> {
        self.set.iter().map(|text| format!("--set={text}")).collect()
    }

    /// Where a program of that name is, by `PATH`.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.env.get("PATH")?;
        std::env::split_paths(path)
            .map(|dir| dir.join(name))
            .find(|file| is_program(file))
    }
}

/// The variables of this process, those left out that are not text.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
