//! Which words mean what. Data: one line a word, sorted, looked up by halving.
//!
//! English, because most instructions to coding agents are; what is not known says nothing, and nothing means the
//! middle. Weights were set once by reason and are not fitted to any data set.

use super::{Context, Kind};

/// What a word speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// How hard it is; negative for easy.
    Effort(i32),
    /// How much must be read.
    Reading(Context),
    /// What would be harmed.
    Stake(Group),
    /// That a mistake must not happen.
    Grave,
    /// That little can go wrong.
    Harmless,
    /// What sort of work it is, and how strongly.
    Work(Kind, i32),
}

/// What would be harmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Group {
    Security,
    Money,
    Data,
    Production,
    Concurrency,
}

impl Group {
    pub(super) fn about(self) -> &'static str {
        match self {
            Group::Security => "security",
            Group::Money => "money",
            Group::Data => "data that could be lost",
            Group::Production => "what others depend on",
            Group::Concurrency => "concurrency",
        }
    }
}

/// What a word or pair of words means.
pub(super) fn meaning(word: &str) -> Option<&'static [Meaning]> {
    let place = LEXICON.binary_search_by(|(known, _)| known.cmp(&word));
    place.ok().map(|place| LEXICON[place].1)
}

/// What is at stake where a file of that path is written.
pub(super) fn path_group(path: &str) -> Option<Group> {
    let path = path.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| path.contains(part));
    if has(&["auth", "crypto", "secret", "credential", "token", "permission"]) {
        Some(Group::Security)
    } else if has(&["payment", "billing", "invoice", "ledger"]) {
        Some(Group::Money)
    } else if has(&["migration", "schema.sql"]) {
        Some(Group::Data)
    } else if has(&[".github/workflows", ".gitlab-ci", "deploy", "terraform", "k8s"]) {
        Some(Group::Production)
    } else {
        None
    }
}

use Context::{Large, Massive};
use Group::{Concurrency, Data, Money, Production, Security};
use Kind::{Classification, Debug, Implementation, Research, Review, Social, Strategy, Testing, Writing};
use Meaning::{Effort, Grave, Harmless, Reading, Stake, Work};

const LEXICON: &[(&str, &[Meaning])] = &[
    ("across", &[Effort(1)]),
    ("add", &[Work(Implementation, 2)]),
    ("algorithm", &[Effort(2), Work(Implementation, 1)]),
    ("algorithms", &[Effort(2), Work(Implementation, 1)]),
    ("all files", &[Effort(1), Reading(Large)]),
    ("analyse", &[Effort(1), Work(Research, 2)]),
    ("analysis", &[Effort(1), Work(Research, 1)]),
    ("analyze", &[Effort(1), Work(Research, 2)]),
    ("announcement", &[Work(Writing, 2)]),
    ("architecture", &[Effort(2), Work(Strategy, 1)]),
    ("article", &[Work(Writing, 2)]),
    ("assess", &[Effort(1), Work(Review, 2)]),
    ("asynchronous", &[Effort(1)]),
    ("atomic", &[Effort(1), Stake(Concurrency)]),
    ("audit", &[Effort(2), Work(Review, 3)]),
    ("auth", &[Stake(Security)]),
    ("authentication", &[Stake(Security)]),
    ("authorisation", &[Stake(Security)]),
    ("authorization", &[Stake(Security)]),
    ("backup", &[Stake(Data)]),
    ("billing", &[Stake(Money)]),
    ("blog", &[Work(Writing, 2)]),
    ("broken", &[Work(Debug, 2)]),
    ("bug", &[Work(Debug, 2)]),
    ("bugs", &[Work(Debug, 2)]),
    ("build", &[Work(Implementation, 1)]),
    ("bump", &[Effort(-2), Work(Implementation, 1)]),
    ("categories", &[Work(Classification, 2)]),
    ("categorise", &[Effort(-1), Work(Classification, 3)]),
    ("categorize", &[Effort(-1), Work(Classification, 3)]),
    ("certificate", &[Stake(Security)]),
    ("changelog", &[Harmless, Work(Writing, 1)]),
    ("check", &[Work(Review, 1)]),
    ("choose", &[Work(Strategy, 2)]),
    ("classify", &[Effort(-1), Work(Classification, 3)]),
    ("codebase", &[Effort(1), Reading(Large)]),
    ("comment", &[Effort(-1), Harmless]),
    ("comments", &[Effort(-1), Harmless]),
    ("compare", &[Effort(1), Work(Research, 1), Work(Strategy, 1)]),
    ("comparison", &[Effort(1), Work(Research, 1)]),
    ("competing", &[Effort(2), Work(Strategy, 2)]),
    ("complex", &[Effort(2)]),
    ("concurrency", &[Effort(2), Stake(Concurrency)]),
    ("concurrent", &[Effort(2), Stake(Concurrency)]),
    ("conflicting", &[Effort(1), Work(Strategy, 1)]),
    ("crash", &[Work(Debug, 2)]),
    ("crashes", &[Work(Debug, 2)]),
    ("create", &[Work(Implementation, 1)]),
    ("credential", &[Stake(Security)]),
    ("credentials", &[Stake(Security)]),
    ("critical", &[Grave]),
    ("cross reference", &[Effort(2), Work(Research, 2)]),
    ("cryptography", &[Effort(2), Stake(Security)]),
    ("csrf", &[Stake(Security)]),
    ("database", &[Stake(Data)]),
    ("deadlock", &[Effort(2), Stake(Concurrency), Work(Debug, 2)]),
    ("debug", &[Effort(1), Work(Debug, 3)]),
    ("decide", &[Effort(1), Work(Strategy, 2)]),
    ("decision", &[Work(Strategy, 1)]),
    ("delete", &[Stake(Data)]),
    ("deploy", &[Stake(Production)]),
    ("deployment", &[Stake(Production)]),
    ("design", &[Effort(2), Work(Strategy, 2)]),
    ("detect", &[Work(Classification, 1)]),
    ("diagnose", &[Effort(1), Work(Debug, 3)]),
    ("distributed", &[Effort(2)]),
    ("docs", &[Harmless, Work(Writing, 2)]),
    ("docstring", &[Effort(-1), Harmless, Work(Writing, 1)]),
    ("docstrings", &[Effort(-1), Harmless, Work(Writing, 1)]),
    ("document", &[Work(Writing, 1)]),
    ("documentation", &[Harmless, Work(Writing, 2)]),
    ("documents", &[Work(Research, 1)]),
    ("draft", &[Work(Writing, 2)]),
    ("drop table", &[Grave]),
    ("edge cases", &[Effort(1)]),
    ("email", &[Work(Writing, 1)]),
    ("encrypt", &[Stake(Security)]),
    ("encryption", &[Effort(1), Stake(Security)]),
    ("end to", &[Effort(1)]),
    ("entire", &[Effort(2), Reading(Large)]),
    ("entire codebase", &[Effort(1), Reading(Massive)]),
    ("entire repository", &[Effort(1), Reading(Massive)]),
    ("essay", &[Work(Writing, 2)]),
    ("evaluate", &[Effort(1), Work(Review, 2)]),
    ("evaluation", &[Work(Review, 1)]),
    ("every file", &[Effort(1), Reading(Large)]),
    ("explain", &[Work(Writing, 1)]),
    ("extract", &[Effort(-1), Work(Classification, 2)]),
    ("fail", &[Work(Debug, 1)]),
    ("failing", &[Work(Debug, 2)]),
    ("fails", &[Work(Debug, 2)]),
    ("feature", &[Work(Implementation, 1)]),
    ("find", &[Work(Research, 1)]),
    ("fix", &[Work(Debug, 2)]),
    ("flaky", &[Effort(1), Work(Debug, 2)]),
    ("format", &[Effort(-2), Harmless]),
    ("formatting", &[Effort(-2), Harmless]),
    ("framework", &[Effort(1)]),
    ("from scratch", &[Effort(2)]),
    ("function", &[Effort(-1), Work(Implementation, 1)]),
    ("gather", &[Work(Research, 2)]),
    ("generate", &[Work(Implementation, 1)]),
    ("hang", &[Work(Debug, 2)]),
    ("hashtag", &[Work(Social, 3)]),
    ("identify", &[Work(Research, 1)]),
    ("implement", &[Effort(1), Work(Implementation, 3)]),
    ("implementation", &[Work(Implementation, 1)]),
    ("import", &[Work(Implementation, 1)]),
    ("inspect", &[Work(Review, 2)]),
    ("integrate", &[Effort(2), Work(Implementation, 1)]),
    ("integration", &[Effort(1)]),
    ("investigate", &[Effort(1), Work(Debug, 2), Work(Research, 1)]),
    ("judge", &[Work(Review, 2)]),
    ("judgment", &[Effort(2), Work(Strategy, 2)]),
    ("just", &[Effort(-1)]),
    ("label", &[Effort(-1), Work(Classification, 2)]),
    ("lint", &[Effort(-2), Harmless]),
    ("linting", &[Effort(-2), Harmless]),
    ("list", &[Effort(-1)]),
    ("literature", &[Effort(1), Work(Research, 2)]),
    ("log", &[Effort(-1)]),
    ("logging", &[Effort(-2)]),
    ("login", &[Stake(Security)]),
    ("long sources", &[Reading(Large), Work(Research, 2)]),
    ("market", &[Work(Research, 1)]),
    ("meme", &[Work(Social, 3)]),
    ("memory leak", &[Effort(2), Work(Debug, 4)]),
    ("microservice", &[Effort(1)]),
    ("microservices", &[Effort(2)]),
    ("migrate", &[Effort(2), Stake(Data), Work(Implementation, 2)]),
    ("migration", &[Effort(2), Stake(Data), Work(Implementation, 1)]),
    ("minor", &[Effort(-1)]),
    ("module", &[Effort(1)]),
    ("modules", &[Effort(2)]),
    ("monorepo", &[Effort(1), Reading(Massive)]),
    ("multimodal", &[Effort(1), Work(Research, 2)]),
    ("multiple", &[Effort(1)]),
    ("oauth", &[Effort(1), Stake(Security)]),
    ("oauth2", &[Effort(1), Stake(Security)]),
    ("one line", &[Effort(-2)]),
    ("optimise", &[Effort(2), Work(Implementation, 1)]),
    ("optimize", &[Effort(2), Work(Implementation, 1)]),
    ("outage", &[Grave]),
    ("parser", &[Effort(1)]),
    ("password", &[Stake(Security)]),
    ("passwords", &[Stake(Security)]),
    ("payment", &[Stake(Money)]),
    ("payments", &[Stake(Money)]),
    ("performance", &[Effort(1)]),
    ("permission", &[Stake(Security)]),
    ("permissions", &[Stake(Security)]),
    ("plan", &[Effort(1), Work(Strategy, 2)]),
    ("priorities", &[Effort(1), Work(Strategy, 2)]),
    ("prod", &[Stake(Production)]),
    ("production database", &[Grave]),
    ("proof", &[Effort(2)]),
    ("protocol", &[Effort(2)]),
    ("prove", &[Effort(2)]),
    ("quick", &[Effort(-1)]),
    ("race condition", &[Effort(2), Stake(Concurrency), Work(Debug, 4)]),
    ("readme", &[Harmless, Work(Writing, 1)]),
    ("real time", &[Work(Social, 1)]),
    ("recommend", &[Effort(1), Work(Strategy, 2)]),
    ("recommendation", &[Effort(1), Work(Strategy, 2)]),
    ("redesign", &[Effort(3), Work(Strategy, 1)]),
    ("refactor", &[Effort(2), Work(Implementation, 2)]),
    ("refactoring", &[Effort(2), Work(Implementation, 2)]),
    ("regression", &[Work(Debug, 1)]),
    ("release", &[Stake(Production)]),
    ("rename", &[Effort(-2), Work(Implementation, 1)]),
    ("reorganise", &[Effort(2)]),
    ("replace", &[Work(Implementation, 1)]),
    ("report", &[Work(Writing, 1)]),
    ("repository", &[Reading(Large)]),
    ("research", &[Effort(1), Work(Research, 3)]),
    ("review", &[Work(Review, 3)]),
    ("rewrite", &[Effort(2), Work(Implementation, 1)]),
    ("root cause", &[Effort(1), Work(Debug, 3)]),
    ("rubric", &[Work(Review, 2)]),
    ("scalable", &[Effort(1)]),
    ("score", &[Work(Review, 2)]),
    ("secret", &[Stake(Security)]),
    ("secrets", &[Stake(Security)]),
    ("secure", &[Stake(Security)]),
    ("security", &[Stake(Security)]),
    ("simple", &[Effort(-2)]),
    ("single", &[Effort(-1)]),
    ("small", &[Effort(-1)]),
    ("social media", &[Work(Social, 3)]),
    ("sort", &[Work(Classification, 1)]),
    ("specification", &[Effort(1)]),
    ("spelling", &[Effort(-2), Harmless]),
    ("sql injection", &[Stake(Security)]),
    ("strategy", &[Effort(2), Work(Strategy, 3)]),
    ("summarise", &[Work(Writing, 2)]),
    ("summarize", &[Work(Writing, 2)]),
    ("summary", &[Work(Writing, 1)]),
    ("survey", &[Effort(1), Work(Research, 2)]),
    ("synchronisation", &[Effort(1), Stake(Concurrency)]),
    ("synchronization", &[Effort(1), Stake(Concurrency)]),
    ("synthesis", &[Effort(1), Work(Strategy, 1)]),
    ("synthesise", &[Effort(2), Work(Strategy, 2)]),
    ("synthesize", &[Effort(2), Work(Strategy, 2)]),
    ("system", &[Effort(2)]),
    ("systems", &[Effort(2)]),
    ("test", &[Work(Testing, 1)]),
    ("tests", &[Work(Testing, 2)]),
    ("threads", &[Effort(1), Stake(Concurrency)]),
    ("tradeoff", &[Effort(2), Work(Strategy, 2)]),
    ("tradeoffs", &[Effort(2), Work(Strategy, 2)]),
    ("transaction", &[Effort(1), Stake(Data)]),
    ("translate", &[Work(Writing, 2)]),
    ("trends", &[Work(Social, 2)]),
    ("triage", &[Effort(-1), Work(Classification, 2)]),
    ("trivial", &[Effort(-3)]),
    ("tweet", &[Work(Social, 3)]),
    ("tweets", &[Work(Social, 3)]),
    ("twitter", &[Work(Social, 3)]),
    ("typo", &[Effort(-3), Harmless]),
    ("typos", &[Effort(-2), Harmless]),
    ("unit tests", &[Work(Testing, 2)]),
    ("update", &[Work(Implementation, 1)]),
    ("validate", &[Work(Review, 2)]),
    ("verify", &[Work(Review, 2)]),
    ("vulnerabilities", &[Stake(Security), Work(Review, 1)]),
    ("vulnerability", &[Stake(Security), Work(Review, 1)]),
    ("whitespace", &[Effort(-2), Harmless]),
    ("whole", &[Effort(1), Reading(Large)]),
    ("whole codebase", &[Effort(1), Reading(Massive)]),
    ("whole repository", &[Effort(1), Reading(Massive)]),
    ("why", &[Work(Debug, 1)]),
    ("workflow", &[Effort(1)]),
    ("write", &[Work(Implementation, 1), Work(Writing, 1)]),
    ("xss", &[Stake(Security)]),
    ("yes no", &[Effort(-2), Work(Classification, 3)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_sorted_and_each_stands_once() {
        for pair in LEXICON.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
    }

    #[test]
    fn paths_speak_too() {
        assert_eq!(path_group("src/auth/**"), Some(Group::Security));
        assert_eq!(path_group("db/Migrations/0007.sql"), Some(Group::Data));
        assert_eq!(path_group(".github/workflows/ci.yml"), Some(Group::Production));
        assert_eq!(path_group("src/lib.rs"), None);
    }
}
