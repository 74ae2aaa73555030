//! Roles: what an agent is told before everything else, by name, as plain files.
//!
//! `roles/NAME.md` in the state directory comes first, then the ten that this program brings along. The short names of
//! old (`developer`, `reviewer`, `tester` …) stand for them.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::Failure;
use super::{exit, nearest};

/// The longest role that is read from a file, in bytes.
const ROLE_MAX: u64 = 256 << 10;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../crew/roles/", $name, ".md")))),*]
    };
}

const SHIPPED: &[(&str, &str)] = shipped![
    "general",
    "architect",
    "frontend_developer",
    "backend_developer",
    "testing_specialist",
    "documentation_writer",
    "code_reviewer",
    "debugger",
    "security_analyst",
    "data_analyst",
];

/// Names that stand for others.
const ALIASES: &[(&str, &str)] = &[
    ("developer", "backend_developer"),
    ("reviewer", "code_reviewer"),
    ("tester", "testing_specialist"),
    ("documenter", "documentation_writer"),
    ("researcher", "general"),
];

/// The roles that can be named in a project.
#[derive(Clone, Debug)]
pub struct Roles {
    directory: PathBuf,
}

impl Roles {
    /// Those of a state directory.
    pub fn of(state_dir: &Path) -> Roles {
        Roles {
            directory: state_dir.join("roles"),
        }
    }

    /// Every name there is.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.directory)
            .map(|entries| {
                let stem = |entry: fs::DirEntry| Some(entry.path().file_stem()?.to_str()?.to_owned());
                entries.flatten().filter_map(stem).collect()
            })
            .unwrap_or_default();
        names.extend(SHIPPED.iter().map(|(name, _)| (*name).to_owned()));
        names.extend(ALIASES.iter().map(|(name, _)| (*name).to_owned()));
        names.sort();
        names.dedup();
        names
    }

    /// What a role says.
    pub fn text(&self, name: &str) -> Result<String, Failure> {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let path = self.directory.join(format!("{name}.md"));
        if plain && path.is_file() {
            let failed = |error: &std::io::Error| Failure::io("read the role", &path, error);
            let bytes = fs::metadata(&path).map_err(|error| failed(&error))?.len();
            if bytes > ROLE_MAX {
                return Err(Failure::new(
                    exit::USAGE,
                    format!("the role {} has {bytes} bytes; {ROLE_MAX} are read", path.display()),
                ));
            }
            return fs::read_to_string(&path).map_err(|error| failed(&error));
        }
        let meant = ALIASES
            .iter()
            .find(|(alias, _)| *alias == name)
            .map_or(name, |(_, meant)| meant);
        match SHIPPED.iter().find(|(shipped, _)| *shipped == meant) {
            Some((_, text)) => Ok((*text).to_owned()),
            None => {
                let names = self.names();
                let near = match nearest::name(name, &names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there is {}", nearest::list(&names, 20)),
                };
                Err(
                    Failure::new(exit::NOT_FOUND, format!("there is no role `{name}`; {near}"))
                        .hint(format!("write one: {}", path.display())),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_project_comes_first_and_nothing_leads_out_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let roles = Roles::of(directory.path());
        assert!(roles.text("architect").unwrap().starts_with("You design."));
        assert_eq!(roles.text("tester").unwrap(), roles.text("testing_specialist").unwrap());
        fs::create_dir(directory.path().join("roles")).unwrap();
        fs::write(directory.path().join("roles/architect.md"), "Ours.").unwrap();
        fs::write(directory.path().join("secret.md"), "no").unwrap();
        assert_eq!(roles.text("architect").unwrap(), "Ours.");
        assert!(roles.text("../secret").is_err());
        let failure = roles.text("architekt").unwrap_err();
        assert!(
            failure.message.contains("did you mean `architect`?"),
            "{}",
            failure.message
        );
        assert_eq!(SHIPPED.len(), 10);
    }
}
