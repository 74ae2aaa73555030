//! Scripted agents: a real program that does what bad agents do, step by step as its arguments say.
//!
//! The program is the binary `scripted-agent` ([`main`]); tests find it with [`program`]. Steps run in the order
//! given:
//!
//! | step | what it does |
//! |---|---|
//! | `say TEXT`, `complain TEXT` | a line on stdout, on stderr |
//! | `flood N`, `flood-errors N` | N bytes of lines on stdout, on stderr |
//! | `garbage N` | N bytes that are no text |
//! | `echo` | stdin back on stdout, byte for byte, once it has ended |
//! | `digest` | the length of stdin and a hash of it |
//! | `env` | the environment, sorted |
//! | `mark FILE` | its process number into a file |
//! | `await FILE` | waits until the file is there |
//! | `ignore-term` | from now on TERM, INT and HUP have no effect, on what later steps start neither |
//! | `background FILE` | a child that keeps the streams open and hangs |
//! | `daemon FILE` | a double-forked child that hangs and ignores TERM |
//! | `hidden-daemon FILE` | the same in a session of its own and without an environment |
//! | `fork-bomb N DIRECTORY` | N processes below it, each marked in the directory |
//! | `sleep MS`, `hang` | waits, for ever |
//! | `signal N` | ends itself by a signal |
//! | `exit N` | ends; without it the program ends with 0 after its last step |

mod find;
mod steps;

pub use find::{acp_agent, keeper, mcp_server, program};
pub use steps::main;
