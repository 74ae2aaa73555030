//! The table of agents: which recordings they play, and what is to be seen of each.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wheelhouse_agents::claude::{self, Claude};
use wheelhouse_agents::codex::{self, Codex, Mode};
use wheelhouse_core::agent::{Agent, Assignment};
use wheelhouse_core::usage::{Cost, UsageSource};

use crate::rig::{Try, assignment, keeper};

/// An agent, and what its recordings show.
pub(crate) struct Cast {
    /// The backend over this program.
    pub(crate) start: fn(&Path, Replayed<'_>) -> Box<dyn Agent>,
    /// A turn without anything to it.
    pub(crate) turn: Turn,
    /// A turn that asks for leave and gets it.
    pub(crate) asks: Asks,
    /// A turn that is interrupted in the middle of its text.
    pub(crate) cut: Cut,
    /// The misbehaviour towards an interrupt that there is.
    pub(crate) deaf: &'static [&'static str],
    /// Exit code after a stop, where the program ends by itself.
    pub(crate) stopped: Option<i32>,
    /// A turn that says only words between which there is garbage, and what is said of that.
    pub(crate) littered: (Recording, &'static str),
    /// A turn in the middle of which the program can fall silent or die, after so many lines.
    pub(crate) stalls: (Recording, usize),
    pub(crate) dies: (Recording, usize),
    /// How to get the program.
    pub(crate) install: &'static str,
}

/// Which lines are played.
#[derive(Clone, Copy)]
pub(crate) enum Recording {
    /// All.
    Whole(&'static str),
    /// Those before the first turn and those after so many.
    After(&'static str, usize),
}

/// A turn that ends well.
pub(crate) struct Turn {
    pub(crate) recording: Recording,
    pub(crate) text: &'static str,
    /// Input, cache read, cache write, output.
    pub(crate) counts: [u64; 4],
    pub(crate) cost: Cost,
    pub(crate) session: &'static str,
    /// Whether the session is known before the program says it.
    pub(crate) names_its_session: bool,
    /// What is in the log.
    pub(crate) logged: &'static [&'static str],
    /// What is in the command line.
    pub(crate) argv: &'static str,
}

/// A turn with a permission.
pub(crate) struct Asks {
    pub(crate) recording: Recording,
    pub(crate) tool: &'static str,
    pub(crate) detail: &'static str,
    pub(crate) files: &'static [&'static str],
    /// How the program hears a refusal with the words `not here`.
    pub(crate) refusal: &'static str,
}

/// A turn that is interrupted.
pub(crate) struct Cut {
    pub(crate) recording: Recording,
    pub(crate) text: &'static str,
    pub(crate) session: Option<&'static str>,
    /// Input, where it is known better than as an estimate of ours.
    pub(crate) input: Option<u64>,
    pub(crate) source: UsageSource,
}

pub(crate) const CLAUDE: Cast = Cast {
    start: claude,
    turn: Turn {
        recording: Recording::Whole("claude_partial_thinking"),
        text: "Thought done.",
        counts: [50, 0, 0, 30],
        cost: Cost::Actual(800_000),
        session: "dae456d2-cf6c-4848-9f4e-65c6f5c1feb2",
        names_its_session: true,
        logged: &[r#""subtype":"init""#, r#""type":"result""#],
        argv: "--session-id ",
    },
    asks: Asks {
        recording: Recording::Whole("claude_permission_host"),
        tool: "Write",
        detail: "/workspace/hello.txt",
        files: &["/workspace/hello.txt"],
        refusal: r#""message":"not here""#,
    },
    cut: Cut {
        recording: Recording::Whole("claude_interrupt"),
        text: "one two three fo",
        session: Some("7156da83-23b3-4565-8621-f4dc0aa93cb7"),
        input: Some(286),
        source: UsageSource::Estimated,
    },
    deaf: &["deaf", "stubborn"],
    stopped: Some(0),
    littered: (
        Recording::Whole("claude_simple"),
        "15 lines of Claude Code were not understood",
    ),
    stalls: (Recording::Whole("claude_partial_thinking"), 6),
    dies: (Recording::Whole("claude_partial_thinking"), 10),
    install: "npm install -g @anthropic-ai/claude-code",
};

pub(crate) const CODEX: Cast = Cast {
    start: |program, replayed| codex(program, replayed, Mode::AppServer),
    turn: Turn {
        recording: Recording::Whole("codex_appserver_turns"),
        text: "Hello from the fake model.",
        counts: [100, 2_000, 300, 7],
        cost: Cost::Unknown,
        session: "01a1f8b8-1e87-7630-98f6-ea434055a4cb",
        names_its_session: false,
        logged: &["turn/completed"],
        argv: "app-server -c features.plugins=false -c projects=",
    },
    asks: Asks {
        recording: Recording::Whole("codex_appserver_approvals"),
        tool: "edit",
        detail: "/workspace/hello.txt",
        files: &["/workspace/hello.txt"],
        refusal: "decline",
    },
    cut: Cut {
        recording: Recording::After("codex_appserver_turns", 1),
        text: "one two ",
        session: None,
        input: None,
        source: UsageSource::Estimated,
    },
    deaf: &["deaf", "stubborn"],
    stopped: Some(0),
    littered: (Recording::Whole("codex_appserver_turns"), "were not understood"),
    stalls: (Recording::After("codex_appserver_turns", 1), 12),
    dies: (Recording::Whole("codex_appserver_turns"), 12),
    install: "npm install -g @openai/codex",
};

pub(crate) const CODEX_EXEC: Cast = Cast {
    start: |program, replayed| codex(program, replayed, Mode::Exec),
    turn: Turn {
        recording: Recording::Whole("codex_exec_simple"),
        session: "01a1f8b7-ec08-7232-a737-22002e100157",
        logged: &["turn.completed"],
        argv: "exec --json --skip-git-repo-check ",
        ..CODEX.turn
    },
    littered: (Recording::Whole("codex_exec_simple"), "were not understood"),
    stalls: (Recording::Whole("codex_exec_edit"), 3),
    dies: (Recording::Whole("codex_exec_edit"), 3),
    ..CODEX
};

/// What the program is told to play, and where.
pub(crate) struct Replayed<'a> {
    pub(crate) recording: &'a Path,
    pub(crate) fault: &'a str,
    pub(crate) directory: &'a Path,
}

impl Replayed<'_> {
    fn env(&self) -> [(String, String); 3] {
        [
            ("REPLAY", self.recording.display().to_string()),
            ("REPLAY_FAULT", self.fault.to_owned()),
            ("REPLAY_ARGV", self.directory.join("argv").display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }
}

fn claude(program: &Path, replayed: Replayed<'_>) -> Box<dyn Agent> {
    let mut config = claude::Config::new(program);
    config.env.extend(replayed.env());
    config.state_dir = Some(replayed.directory.join("state"));
    Box::new(Claude::new(keeper(), config))
}

fn codex(program: &Path, replayed: Replayed<'_>, mode: Mode) -> Box<dyn Agent> {
    let mut config = codex::Config::new(program);
    config.mode = mode;
    config.env.extend(replayed.env());
    config.state_dir = Some(replayed.directory.join("state"));
    Box::new(Codex::new(keeper(), config))
}

/// A backend over a recording, in a directory of its own.
pub(crate) struct Stage {
    pub(crate) agent: Box<dyn Agent>,
    pub(crate) directory: TempDir,
}

impl Stage {
    pub(crate) fn new(cast: &Cast, recording: Recording, fault: &str) -> Stage {
        Stage::in_directory(cast, recording, fault, tempfile::tempdir().expect("a directory"))
    }

    /// Where another one worked before.
    pub(crate) fn in_directory(cast: &Cast, recording: Recording, fault: &str, directory: TempDir) -> Stage {
        let replayed = Replayed {
            recording: &recording.path(directory.path()),
            fault,
            directory: directory.path(),
        };
        let agent = (cast.start)(Path::new(env!("CARGO_BIN_EXE_replay-agent")), replayed);
        Stage { agent, directory }
    }

    pub(crate) fn assignment(&self) -> Assignment {
        let mut assignment = assignment(self.directory.path(), "do it");
        assignment.log = Some(self.directory.path().join("log"));
        assignment
    }

    pub(crate) fn begin(&self) -> Try {
        Try::begin(&*self.agent, self.assignment())
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).expect("a file")
    }
}

impl Recording {
    /// The file of it; of a part one is made.
    fn path(self, directory: &Path) -> PathBuf {
        let (Recording::Whole(name) | Recording::After(name, _)) = self;
        let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/transcripts/{name}.jsonl"));
        let Recording::After(_, turns) = self else {
            return whole;
        };
        let all = std::fs::read_to_string(whole).expect("a recording");
        let mut kept = String::new();
        let mut seen = 0;
        for line in all.lines() {
            if line.contains(r#""method": "turn/start""#) {
                seen += 1;
            }
            if seen == 0 || seen > turns {
                kept += line;
                kept += "\n";
            }
        }
        let part = directory.join("recording.jsonl");
        std::fs::write(&part, kept).expect("written");
        part
    }
}
