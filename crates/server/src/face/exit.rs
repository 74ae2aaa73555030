//! The exit codes of `wheelhouse`: every one there is, documented here and in `docs/exit-codes.md`.
//!
//! They are part of the interface: a number never changes its meaning. Scripts may rely on them.

/// What the program says with its exit code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The number the system sees.
    pub code: u8,
    /// Its stable name, as written in `--json` errors.
    pub name: &'static str,
    /// One line for the reference.
    pub meaning: &'static str,
}

/// Everything asked for was done.
pub const OK: Exit = Exit {
    code: 0,
    name: "ok",
    meaning: "Everything asked for was done. For `run` and `resume`: every task succeeded.",
};

/// The run is over and not all of it succeeded.
pub const TASKS_FAILED: Exit = Exit {
    code: 1,
    name: "tasks_failed",
    meaning: "The run is over, and some of its tasks failed, were skipped or were cancelled. For `doctor`: something \
              needs attention before work can be done.",
};

/// The command line, a plan or the configuration is wrong.
pub const USAGE: Exit = Exit {
    code: 2,
    name: "usage",
    meaning: "The command line, a plan, an answer or the configuration has problems. Nothing was changed.",
};

/// Nothing can go on without a person.
pub const HELD: Exit = Exit {
    code: 3,
    name: "held",
    meaning: "Nothing can go on until a person answers, approves, or resumes. `wheelhouse status` says what.",
};

/// The store or the engine failed.
pub const STATE_FAILED: Exit = Exit {
    code: 4,
    name: "state_failed",
    meaning: "The stored state or the engine failed: the disk is full, the database is damaged or too new, or `fsck` \
              found faults.",
};

/// What was named does not exist.
pub const NOT_FOUND: Exit = Exit {
    code: 5,
    name: "not_found",
    meaning: "The run, task, question, file or artifact that was named does not exist.",
};

/// It exists, and its state does not allow what was asked.
pub const REFUSED: Exit = Exit {
    code: 6,
    name: "refused",
    meaning: "What was named exists, and the state it is in does not allow what was asked. Nothing was changed.",
};

/// A file or stream other than the store could not be read or written.
pub const IO: Exit = Exit {
    code: 74,
    name: "io",
    meaning: "A file or the output could not be read or written.",
};

/// Somebody else has it just now.
pub const BUSY: Exit = Exit {
    code: 75,
    name: "busy",
    meaning: "Another engine works on this state directory, or the store stayed busy for too long. Trying again later \
              can succeed.",
};

/// A person or the system asked the program to stop.
pub const INTERRUPTED: Exit = Exit {
    code: 130,
    name: "interrupted",
    meaning: "Interrupted (Ctrl-C or SIGTERM) before the end. What was running was returned; `wheelhouse resume` goes \
              on.",
};

/// All of them, for the reference page and its test.
pub const ALL: [Exit; 10] = [
    OK,
    TASKS_FAILED,
    USAGE,
    HELD,
    STATE_FAILED,
    NOT_FOUND,
    REFUSED,
    IO,
    BUSY,
    INTERRUPTED,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are a promise: changing this test is breaking it.
    #[test]
    fn numbers_and_names_are_as_promised() {
        let list: Vec<(u8, &str)> = ALL.iter().map(|exit| (exit.code, exit.name)).collect();
        assert_eq!(
            list,
            [
                (0, "ok"),
                (1, "tasks_failed"),
                (2, "usage"),
                (3, "held"),
                (4, "state_failed"),
                (5, "not_found"),
                (6, "refused"),
                (74, "io"),
                (75, "busy"),
                (130, "interrupted"),
            ]
        );
    }
}
