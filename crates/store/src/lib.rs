//! The durable truth on SQLite: core's [store port](wheelhouse_core::store), its migrations, and the check that what is
//! stored adds up.
//!
//! One file, `wheelhouse.db`, in WAL mode at `synchronous=FULL`. Who comes in: the engine with batches of commands, the
//! command line with single ones, anybody with a reader. What never happens here: a decision. States move as
//! [`wheelhouse_core::task`] says, time comes from the [`Clock`] that is passed in, grouping of commands into batches
//! is the engine's.

mod backup;
mod chain;
mod claim;
mod clock;
mod control;
mod crew;
mod encode;
mod failure;
mod fsck;
mod history;
mod migrate;
mod money;
mod moves;
mod once;
mod question;
mod read;
mod recover;
mod rows;
mod settle;
mod shape;
mod sqlite;
mod statements;
mod submit;
mod sums;
mod view;
mod work;

pub use backup::backup;
pub use claim::CONFLICT_HOLDS_MAX;
pub use clock::{Clock, ManualClock, SystemClock};
pub use fsck::fsck;
pub use read::SqliteReader;
pub use sqlite::{BUSY_TIMEOUT, SqliteStore};
