//! Teams: named sets of instances as plain files, started together.
//!
//! `teams/NAME.yaml` in the state directory comes first, then the four templates that this program brings along. A team
//! saved from living instances keeps their sessions, so that it goes on where it was.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wheelhouse_core::instance::{InstanceView, is_name};

use super::failure::Failure;
use super::spawn::Wish;
use super::{exit, nearest};

/// The most members of a team.
pub const MEMBERS_MAX: usize = 50;
/// The longest file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../crew/teams/", $name, ".yaml")))),*]
    };
}

const SHIPPED: &[(&str, &str)] = shipped![
    "software_engineering",
    "research_analysis",
    "security_audit",
    "data_pipeline",
];

/// A team as written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// What it is called.
    pub name: String,
    /// One line about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Who is in it.
    pub members: Vec<Member>,
}

/// One who is in a team.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// What the instance is called.
    pub name: String,
    /// The agent; the default one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model. Taken only by an agent whose vendor's it is, unless an agent is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The name of a role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// More to be told before everything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// Its first message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Where it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Whether it gets a worktree of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub worktree: bool,
    /// The session it goes on in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

impl Member {
    /// The wish for its instance, and its first message.
    pub fn wish(self) -> (Wish, Option<String>) {
        let Member {
            name,
            agent,
            model,
            role,
            system_prompt,
            prompt,
            cwd,
            worktree,
            session,
        } = self;
        let wish = Wish {
            name,
            agent,
            model,
            role,
            system_prompt,
            cwd,
            worktree,
            session,
            ..Wish::default()
        };
        (wish, prompt)
    }
}

/// The teams that can be named in a project.
#[derive(Clone, Debug)]
pub struct Teams {
    directory: PathBuf,
}

impl Teams {
    /// Those of a state directory.
    pub fn of(state_dir: &Path) -> Teams {
        Teams {
            directory: state_dir.join("teams"),
        }
    }

    /// Every name there is: the project's own first.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.directory)
            .map(|entries| {
                let stem = |entry: fs::DirEntry| Some(entry.path().file_stem()?.to_str()?.to_owned());
                entries.flatten().filter_map(stem).collect()
            })
            .unwrap_or_default();
        names.sort();
        for (name, _) in SHIPPED {
            if !names.iter().any(|other| other == name) {
                names.push((*name).to_owned());
            }
        }
        names
    }

    /// The file of a team as it is written, and where that is.
    pub fn text(&self, name: &str) -> Result<(String, String), Failure> {
        let path = self.directory.join(format!("{name}.yaml"));
        if is_name(name) && path.is_file() {
            let failed = |error: &std::io::Error| Failure::io("read the team", &path, error);
            let bytes = fs::metadata(&path).map_err(|error| failed(&error))?.len();
            if bytes > FILE_MAX {
                let said = format!("the team {} has {bytes} bytes; {FILE_MAX} are read", path.display());
                return Err(Failure::new(exit::USAGE, said));
            }
            let text = fs::read_to_string(&path).map_err(|error| failed(&error))?;
            return Ok((text, path.display().to_string()));
        }
        let short = name.strip_suffix("_team").unwrap_or(name);
        match SHIPPED.iter().find(|(shipped, _)| *shipped == short) {
            Some((shipped, text)) => Ok(((*text).to_owned(), format!("the template {shipped}"))),
            None => {
                let names = self.names();
                let near = match nearest::name(name, &names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there is {}", nearest::list(&names, 20)),
                };
                Err(Failure::new(
                    exit::NOT_FOUND,
                    format!("there is no team `{name}`; {near}"),
                ))
            }
        }
    }

    /// A team, read and checked.
    pub fn team(&self, name: &str) -> Result<Team, Failure> {
        let (text, place) = self.text(name)?;
        read(&text, &place)
    }

    /// Keeps a team; one of that name is replaced.
    pub fn save(&self, team: &Team) -> Result<PathBuf, Failure> {
        check(team, "the team")?;
        let path = self.directory.join(format!("{}.yaml", team.name));
        let failed = |error: &std::io::Error| Failure::io("save the team", &path, error);
        fs::create_dir_all(&self.directory).map_err(|error| failed(&error))?;
        // JSON is YAML, and what people edit most stands first.
        let text = serde_json::to_string_pretty(team)
            .map_err(|error| Failure::new(exit::STATE_FAILED, format!("the team cannot be written: {error}")))?;
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&beside, text + "\n").map_err(|error| failed(&error))?;
        fs::rename(&beside, &path).map_err(|error| failed(&error))?;
        Ok(path)
    }
}

/// Every team in a line each; one that cannot be read with what is wrong with it.
pub fn list(teams: &Teams) -> Vec<Value> {
    let line = |name: String| match teams.team(&name) {
        Ok(team) => {
            let members: Vec<&str> = team.members.iter().map(|member| member.name.as_str()).collect();
            json!({ "name": name, "about": team.about, "members": members })
        }
        Err(failure) => json!({ "name": name, "problem": failure.message }),
    };
    teams.names().into_iter().map(line).collect()
}

/// Reads a team file.
pub fn read(text: &str, place: &str) -> Result<Team, Failure> {
    let team: Team = serde_saphyr::from_str(text)
        .map_err(|error| Failure::new(exit::USAGE, format!("{place} is no team: {error}")))?;
    check(&team, place)?;
    Ok(team)
}

fn check(team: &Team, place: &str) -> Result<(), Failure> {
    let mut problems = Vec::new();
    if !is_name(&team.name) {
        problems.push(format!("`{}` is no name for a team", team.name));
    }
    if team.members.is_empty() || team.members.len() > MEMBERS_MAX {
        problems.push(format!(
            "it has {} members; 1 to {MEMBERS_MAX} can be",
            team.members.len()
        ));
    }
    for (at, member) in team.members.iter().enumerate() {
        if !is_name(&member.name) {
            problems.push(format!(
                "member {}: `{}` is no name for an instance",
                at + 1,
                member.name
            ));
        }
        if team.members[..at].iter().any(|other| other.name == member.name) {
            problems.push(format!("member {}: another is called `{}`", at + 1, member.name));
        }
    }
    match problems.as_slice() {
        [] => Ok(()),
        problems => Err(Failure::new(
            exit::USAGE,
            format!("{place} is no team: {}", problems.join("; ")),
        )),
    }
}

/// A team of living instances, with their sessions.
pub fn of_instances(name: &str, views: &[InstanceView]) -> Team {
    let members = views.iter().map(|view| Member {
        name: view.spec.name.clone(),
        agent: Some(view.spec.agent.to_string()),
        model: view.spec.model.clone(),
        // The system prompt holds the role's words already.
        role: None,
        system_prompt: view.spec.system_prompt.clone(),
        prompt: None,
        cwd: view.spec.cwd.clone(),
        worktree: view.spec.isolation == wheelhouse_core::spec::Isolation::Worktree,
        session: view.session.clone(),
    });
    Team {
        name: name.to_owned(),
        about: String::new(),
        members: members.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_teams_and_their_roles_are_there() {
        let teams = Teams::of(Path::new("/nowhere"));
        let roles = super::super::role::Roles::of(Path::new("/nowhere"));
        assert_eq!(teams.names().len(), 4);
        for name in teams.names() {
            let team = teams.team(&name).unwrap();
            assert_eq!(team.name, name);
            for member in team.members {
                roles.text(&member.role.unwrap()).unwrap();
            }
        }
        assert!(teams.team("software_engineering_team").is_ok());
    }

    #[test]
    fn a_saved_team_is_read_again_and_problems_come_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let teams = Teams::of(directory.path());
        let mut team = teams.team("security_audit").unwrap();
        team.name = "ours".to_owned();
        team.members[0].session = Some("s".to_owned());
        teams.save(&team).unwrap();
        assert_eq!(teams.team("ours").unwrap(), team);
        assert_eq!(teams.names()[0], "ours");
        team.members[1].name = team.members[0].name.clone();
        team.members[2].name = "i7".to_owned();
        let failure = teams.save(&team).unwrap_err().message;
        assert!(
            failure.contains("another is called") && failure.contains("`i7` is no name"),
            "{failure}"
        );
        assert!(read("name: x\nmember: []", "here").is_err());
        assert!(teams.team("../ours").is_err());
    }
}
