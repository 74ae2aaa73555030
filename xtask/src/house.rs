//! What the house allows, as lists: the one place to look at, and to change, when `cargo xtask tidy` complains.
//!
//! Every exception carries its reason. An exception that nothing needs any more is reported as a warning.

/// One crate of the workspace and what it may depend on inside it.
pub(crate) struct Room {
    /// The name without `wheelhouse-`.
    pub(crate) name: &'static str,
    /// What it may be built from.
    pub(crate) uses: &'static [&'static str],
    /// What its tests may use besides that.
    pub(crate) tests_use: &'static [&'static str],
}

/// The arrows between crates. A crate that is not listed has no place in the house.
pub(crate) const ROOMS: &[Room] = &[
    Room {
        name: "core",
        uses: &[],
        tests_use: &["testkit"],
    },
    Room {
        name: "context",
        uses: &["core"],
        tests_use: &["testkit"],
    },
    Room {
        name: "store",
        uses: &["core"],
        tests_use: &["testkit"],
    },
    Room {
        name: "agents",
        uses: &["core"],
        tests_use: &["testkit"],
    },
    Room {
        name: "engine",
        uses: &["core", "context"],
        // The engine knows store and agents as ports of core only; its tests may look behind them.
        tests_use: &["store", "agents", "testkit"],
    },
    Room {
        name: "server",
        uses: &["core", "context", "engine"],
        tests_use: &["store", "agents", "testkit"],
    },
    Room {
        name: "cli",
        uses: &["core", "context", "store", "agents", "engine", "server"],
        tests_use: &["testkit"],
    },
    Room {
        name: "testkit",
        uses: &["core"],
        tests_use: &["store", "agents"],
    },
    Room {
        name: "xtask",
        uses: &[],
        tests_use: &[],
    },
];

/// Crates that must not reach `core`, directly or through others: each brings a runtime, a device or chance.
pub(crate) const NEVER_IN_CORE: &[&str] = &[
    "async-std",
    "chrono",
    "fastrand",
    "getrandom",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "nix",
    "rand",
    "reqwest",
    "rusqlite",
    "rustix",
    "smol",
    "socket2",
    "tempfile",
    "tokio",
    "ureq",
];

/// What a dependency of `core` may bring all the same: from whom, what, and why it is harmless.
pub(crate) const BROUGHT_ALONG: &[(&str, &str, &str)] = &[(
    "schemars",
    "chrono",
    "the MCP SDK turns on schemas of chrono's types for the whole build; core names none of them and asks no clock",
)];

/// A thing that the product code of some crates must not say.
pub(crate) struct Ban {
    /// The path or macro, as it stands in code or in a `use`.
    pub(crate) what: &'static str,
    /// What to do instead.
    pub(crate) instead: &'static str,
}

/// What product code of `core` must not say. Its tests may.
pub(crate) const BANS_IN_CORE: &[Ban] = &[
    Ban {
        what: "std::fs",
        instead: "take the bytes as a value",
    },
    Ban {
        what: "std::env",
        instead: "take the setting as a value",
    },
    Ban {
        what: "std::net",
        instead: "go through a port",
    },
    Ban {
        what: "std::os",
        instead: "go through a port",
    },
    Ban {
        what: "std::process",
        instead: "go through a port",
    },
    Ban {
        what: "std::thread",
        instead: "return what is to be done; the engine does it",
    },
    Ban {
        what: "thread::sleep",
        instead: "return the moment to wait for",
    },
    Ban {
        what: "SystemTime::now",
        instead: "take `now` as a value",
    },
    Ban {
        what: "Instant::now",
        instead: "take `now` as a value",
    },
    Ban {
        what: "Timestamp::now",
        instead: "take `now` as a value",
    },
    Ban {
        what: "io::stdin",
        instead: "take the text as a value",
    },
    Ban {
        what: "io::stdout",
        instead: "return the text",
    },
    Ban {
        what: "io::stderr",
        instead: "return the text",
    },
    Ban {
        what: "rand",
        instead: "take the random number as a value",
    },
    Ban {
        what: "RandomState",
        instead: "use an ordered map where order can be seen",
    },
];

/// What product code of `context` must not say: it reads through a port and calls nobody.
pub(crate) const BANS_IN_CONTEXT: &[Ban] = &[
    Ban {
        what: "std::fs",
        instead: "read through the port",
    },
    Ban {
        what: "std::env",
        instead: "take the setting as a value",
    },
    Ban {
        what: "std::net",
        instead: "go through a port",
    },
    Ban {
        what: "std::process",
        instead: "go through a port",
    },
];

/// Starting a task or thread, however it is spelled.
pub(crate) const SPAWNS: &[&str] = &[
    "tokio::spawn",
    "task::spawn",
    "spawn_blocking",
    "spawn_local",
    "JoinSet::new",
    "thread::spawn",
    "thread::Builder",
];

/// A file, or all files below a folder (ending in `/`), that may do what others may not.
pub(crate) struct Exception {
    /// Where.
    pub(crate) path: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
}

/// Who may start tasks and threads in product code.
pub(crate) const SPAWNS_ALLOWED: &[Exception] = &[
    Exception {
        path: "crates/engine/src/supervise.rs",
        reason: "the one place that starts tasks; it declares what their error and their cancellation mean",
    },
    Exception {
        path: "crates/agents/src/keep/keeper.rs",
        reason: "one thread owns the line to the keeper process, so a request is never cut off half-way",
    },
    Exception {
        path: "crates/cli/src/proxy/mod.rs",
        reason: "one thread reads stdin, which cannot be awaited; it ends with the process",
    },
    Exception {
        path: "crates/server/src/desk.rs",
        reason: "requests go to the store off the async threads; the answer, a panic included, comes back to its request",
    },
    Exception {
        path: "crates/server/src/listen.rs",
        reason: "a task a connection; its end is nobody's news, and the server's end is its end",
    },
    Exception {
        path: "crates/testkit/src/",
        reason: "the fake model API serves and scripted agents misbehave on threads of their own; never in the product",
    },
];

/// Who may print in product code, or take hold of the standard output and error.
pub(crate) const PRINTS_ALLOWED: &[Exception] = &[
    Exception {
        path: "crates/cli/src/terminal.rs",
        reason: "the only room that talks to people",
    },
    Exception {
        path: "crates/agents/src/keep/process.rs",
        reason: "a program of its own, `wheelhouse keep`; tells whoever starts it by hand not to",
    },
    Exception {
        path: "crates/agents/src/rehearsal/stream.rs",
        reason: "a program of its own, `wheelhouse rehearse`; its standard output is its protocol",
    },
    Exception {
        path: "crates/testkit/src/bin/",
        reason: "scripted agents speak on their standard streams",
    },
    Exception {
        path: "crates/testkit/src/script/",
        reason: "what scripted agents say on their standard streams",
    },
    Exception {
        path: "crates/testkit/src/tool_server.rs",
        reason: "what a scripted MCP server says on its standard streams",
    },
    Exception {
        path: "xtask/src/",
        reason: "chores report to people",
    },
];

/// Words that say nothing about what a module is for.
pub(crate) const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "managers", "misc", "shared", "stuff", "util", "utils",
];

/// Lines of a file (product and tests counted apart) at which to think of splitting.
pub(crate) const FILE_LINES_WARN: usize = 500;
/// Lines of a file (product and tests counted apart) that are too many.
pub(crate) const FILE_LINES_MAX: usize = 1_000;
/// Lines of a product function that are too many.
pub(crate) const FUNCTION_LINES_MAX: usize = 100;

/// Licences that a dependency may come under, as SPDX names them.
pub(crate) const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A dependency under a licence that is not welcome everywhere.
pub(crate) struct LicenceException {
    /// The crate.
    pub(crate) name: &'static str,
    /// The licence.
    pub(crate) licence: &'static str,
    /// Why it is fine here.
    pub(crate) reason: &'static str,
}

/// Single dependencies under other licences (MPL-2.0 is fine for a crate used unchanged).
pub(crate) const LICENCE_EXCEPTIONS: &[LicenceException] = &[];

/// A dependency that is there in several versions.
pub(crate) struct Duplicate {
    /// The crate.
    pub(crate) name: &'static str,
    /// The versions, up to the number that decides compatibility (`2`, `0.31`).
    pub(crate) versions: &'static [&'static str],
    /// Who needs the older ones.
    pub(crate) reason: &'static str,
}

/// Duplicates that cannot be helped for now.
pub(crate) const DUPLICATES: &[Duplicate] = &[
    Duplicate {
        name: "base64",
        versions: &["0.22", "0.23"],
        reason: "axum-tws (WebSockets without a second SHA and a third source of chance) and tiktoken-rs (the peer of the \
                 speed benchmark, for benchmarks alone) have 0.22, the others 0.23",
    },
    Duplicate {
        name: "getrandom",
        versions: &["0.2", "0.4"],
        reason: "ring 0.17 has 0.2, uuid and tempfile 0.4; both are a thin layer over one system call",
    },
    Duplicate {
        name: "syn",
        versions: &["2", "3"],
        reason: "jiff derives with 2, serde and clap with 3; used while building, not in the binary",
    },
    Duplicate {
        name: "windows-sys",
        versions: &["0.52", "0.61"],
        reason: "ring 0.17 has 0.52, the others 0.61; neither is built on Linux or macOS",
    },
];

/// Where all dependencies come from.
pub(crate) const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Public hosts of packages; any other host with such a name belongs to somebody's private network.
pub(crate) const PUBLIC_REGISTRIES: &[&str] = &[
    "crates.io",
    "docs.rs",
    "index.crates.io",
    "static.crates.io",
    "registry.npmjs.org",
    "registry.modelcontextprotocol.io",
    "pypi.org",
    "files.pythonhosted.org",
    "proxy.golang.org",
];

/// Folders whose files stand for what others wrote: recorded streams, plans of other tools, samples with mistakes.
pub(crate) const RECORDED: &[&str] = &["/fixtures/", "/snapshots/", "/corpus/"];
