//! What a task was allowed to change, against what it really changed. Pure.
//!
//! Globs are relative to the project: `*` and `?` stay within a path segment, `**` crosses them, `[ab]` and `{a,b}`
//! are read, a `/` at the end means everything below. In `protect`, three words stand for sets of files that tell
//! whether work is right, and so are tempting to bend: `tests`, `ci`, and `checks` (the files that the task's own
//! `verify` commands name). A file that is really called so is written `./tests`.

use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use super::error::Error;
use super::finish::{Change, FileChange};

/// What `tests` stands for.
const TESTS: [&str; 11] = [
    "**/test/**",
    "**/tests/**",
    "**/__tests__/**",
    "**/spec/**",
    "**/test_*.*",
    "**/*_test.*",
    "**/*_spec.*",
    "**/*.test.*",
    "**/*.spec.*",
    "**/*.snap",
    "**/conftest.py",
];
/// What `ci` stands for.
const CI: [&str; 9] = [
    ".github/**",
    ".gitlab-ci.yml",
    ".gitlab/**",
    ".circleci/**",
    ".buildkite/**",
    "azure-pipelines.yml",
    "Jenkinsfile",
    ".pre-commit-config.yaml",
    ".git-hooks/**",
];

/// What a task may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules<'a> {
    /// The declared write set; empty means that nothing was declared and everything may be changed.
    pub files: &'a [String],
    /// What must not be changed, declared or not.
    pub protect: &'a [String],
    /// The task's checks, for `checks`.
    pub verify: &'a [String],
}

/// Which rule was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The file is outside the declared write set.
    Undeclared,
    /// The file is protected, by this entry.
    Protected(String),
}

/// A file that should not have been changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The file.
    pub path: String,
    /// What was done to it.
    pub change: Change,
    /// Which rule that breaks.
    pub rule: Rule,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.change {
            Change::Added => "was added",
            Change::Modified => "was changed",
            Change::Deleted => "was deleted",
        };
        match &self.rule {
            Rule::Undeclared => write!(f, "`{}` {what}, which is outside the declared `files`", self.path),
            Rule::Protected(by) => write!(f, "`{}` {what}, which is protected by `{by}`", self.path),
        }
    }
}

/// Every file that breaks a rule, by path; a protected one is reported as that.
pub fn violations(changed: &[FileChange], rules: Rules<'_>) -> Result<Vec<Violation>, Error> {
    let declared = rules
        .files
        .iter()
        .map(|glob| matcher(glob))
        .collect::<Result<Vec<_>, _>>()?;
    let mut protected: Vec<(&str, Vec<Test>)> = Vec::with_capacity(rules.protect.len());
    for entry in rules.protect {
        protected.push((entry, tests(entry, rules.verify)?));
    }
    let mut found = Vec::new();
    for FileChange { path, change, .. } in changed {
        let by = protected
            .iter()
            .find(|(_, tests)| tests.iter().any(|test| test.is_match(path)));
        let rule = match by {
            Some((by, _)) => Rule::Protected((*by).to_owned()),
            None if !declared.is_empty() && !declared.iter().any(|glob| glob.is_match(path)) => Rule::Undeclared,
            None => continue,
        };
        found.push(Violation {
            path: path.clone(),
            change: *change,
            rule,
        });
    }
    Ok(found)
}

enum Test {
    Glob(GlobMatcher),
    File(String),
}

impl Test {
    fn is_match(&self, path: &str) -> bool {
        match self {
            Test::Glob(glob) => glob.is_match(path),
            Test::File(file) => file == path,
        }
    }
}

fn tests(entry: &str, verify: &[String]) -> Result<Vec<Test>, Error> {
    let all = |globs: &[&str]| globs.iter().map(|glob| matcher(glob).map(Test::Glob)).collect();
    match entry {
        "tests" => all(&TESTS),
        "ci" => all(&CI),
        "checks" => Ok(verify
            .iter()
            .flat_map(|command| words(command))
            .map(Test::File)
            .collect()),
        glob => matcher(glob).map(|glob| vec![Test::Glob(glob)]),
    }
}

/// Words of a command that could be files, as paths relative to the project.
fn words(command: &str) -> Vec<String> {
    let between = |letter: char| letter.is_whitespace() || "'\"`;|&()<>=$,".contains(letter);
    let words = command.split(between).map(|word| word.trim_start_matches("./"));
    words
        .filter(|word| !word.is_empty() && !word.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

pub(super) fn matcher(glob: &str) -> Result<GlobMatcher, Error> {
    let mut text = glob.trim_start_matches("./").to_owned();
    if text.ends_with('/') {
        text.push_str("**");
    }
    let built = GlobBuilder::new(&text)
        .literal_separator(true)
        .backslash_escape(true)
        .build();
    let built = built.map_err(|error| Error::Glob {
        glob: glob.to_owned(),
        why: error.kind().to_string(),
    })?;
    Ok(built.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(paths: &[&str]) -> Vec<FileChange> {
        let file = |path: &&str| FileChange {
            path: (*path).to_owned(),
            change: Change::Modified,
            insertions: None,
            deletions: None,
        };
        paths.iter().map(file).collect()
    }

    fn broken(paths: &[&str], rules: Rules<'_>) -> Vec<String> {
        violations(&changed(paths), rules)
            .unwrap()
            .into_iter()
            .map(|one| one.path)
            .collect()
    }

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn outside_the_declared_files() {
        let files = texts(&["src/*.rs", "docs/", "a b/**"]);
        let rules = Rules {
            files: &files,
            ..Rules::default()
        };
        let paths = [
            "src/lib.rs",
            "src/deep/x.rs",
            "docs/a/b.md",
            "a b/é.txt",
            "../outside",
            "docs",
        ];
        assert_eq!(broken(&paths, rules), ["src/deep/x.rs", "../outside", "docs"]);
        assert!(
            broken(&paths, Rules::default()).is_empty(),
            "nothing declared, nothing broken"
        );
    }

    #[test]
    fn protected_though_declared() {
        let files = texts(&["**"]);
        let protect = texts(&["tests", "ci", "checks", "./tests", "secrets/*.pem"]);
        let verify = texts(&["sh ./ci/check.sh --fast && python3 tools/lint.py", "cargo test"]);
        let rules = Rules {
            files: &files,
            protect: &protect,
            verify: &verify,
        };
        let guarded = [
            "tests/a.rs",
            "deep/tests/a.rs",
            "src/app.test.ts",
            "pkg/x_test.go",
            "test_a.py",
            ".github/workflows/ci.yml",
            "ci/check.sh",
            "tools/lint.py",
            "tests",
            "secrets/a.pem",
        ];
        assert_eq!(broken(&guarded, rules), guarded);
        let free = [
            "src/lib.rs",
            "src/contest.rs",
            "ci/other.sh",
            "secrets/deep/a.pem",
            "latest/x.rs",
            "src/testing.rs",
        ];
        assert!(broken(&free, rules).is_empty(), "{:?}", broken(&free, rules));
    }

    #[test]
    fn a_violation_says_what_and_why() {
        let protect = texts(&["tests"]);
        let rules = Rules {
            protect: &protect,
            ..Rules::default()
        };
        let mut files = changed(&["tests/a.rs"]);
        files[0].change = Change::Deleted;
        let found = violations(&files, rules).unwrap();
        assert_eq!(
            found[0].to_string(),
            "`tests/a.rs` was deleted, which is protected by `tests`"
        );
    }

    #[test]
    fn a_glob_that_is_none_is_said() {
        let files = texts(&["src/[a"]);
        let rules = Rules {
            files: &files,
            ..Rules::default()
        };
        assert!(matches!(violations(&changed(&["x"]), rules), Err(Error::Glob { glob, .. }) if glob == "src/[a"));
    }
}
