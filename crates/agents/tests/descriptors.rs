//! No descriptor is left open, whatever becomes of an agent. Alone in its process: it counts the descriptors of all.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wheelhouse_agents::keep::{Command, Keeper, Report, Stdin};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn command(argv: &[&str], stdin: Stdin) -> Command {
    Command {
        argv: argv.iter().map(OsString::from).collect(),
        env: BTreeMap::new(),
        cwd: PathBuf::from("/"),
        stdin,
        grace: Duration::from_millis(100),
    }
}

#[tokio::test]
async fn two_hundred_agents_leave_no_descriptor_behind() {
    let keeper = Keeper::start(PathBuf::from(env!("CARGO_BIN_EXE_keep-for-tests"))).unwrap();
    // The first one brings what stays: the runtime's own descriptors.
    drop(keeper.spawn(command(&["true"], Stdin::Null)).await.unwrap());
    let before = open_descriptors();
    for n in 0..200 {
        let kept = match n % 4 {
            0 => keeper.spawn(command(&["true"], Stdin::Null)).await,
            1 => keeper.spawn(command(&["cat"], Stdin::Bytes(b"words".to_vec()))).await,
            2 => keeper.spawn(command(&["cat"], Stdin::Piped)).await,
            _ => keeper.spawn(command(&["no-such-program"], Stdin::Piped)).await,
        };
        match kept {
            // Some are seen to their end, others dropped while they run.
            Ok(mut kept) if n % 8 < 4 => {
                drop(kept.stdin.take());
                while !matches!(kept.control.next().await, Report::Gone { .. } | Report::Lost) {}
            }
            Ok(_) => {}
            Err(_) => assert_eq!(n % 4, 3),
        }
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while open_descriptors() != before {
        assert!(
            Instant::now() < deadline,
            "{before} before, {} after",
            open_descriptors()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
