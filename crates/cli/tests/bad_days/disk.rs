//! A disk that is full: nothing is lost or damaged, and when there is room again, `resume` finishes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::stage::{Stage, wait_for};

/// A disk of a few megabytes, taken away at the end.
struct Disk {
    at: PathBuf,
}

impl Disk {
    /// None where this user may not mount: said, because then the test says nothing.
    fn mounted(at: PathBuf, size: &str) -> Option<Disk> {
        fs::create_dir_all(&at).unwrap();
        let options = format!("size={size},mode=700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "wheelhouse-test"])
            .arg(&at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Disk { at }),
            other => {
                eprintln!("SKIPPED: a small disk cannot be mounted here: {other:?}");
                None
            }
        }
    }

    /// Fills it to the last block but `left` bytes.
    fn fill(&self, left: usize) {
        let path = self.at.join("ballast");
        let mut block = 1 << 20;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        while block >= 4_096 {
            if std::io::Write::write_all(&mut file, &vec![7; block]).is_err() {
                block /= 2;
            }
        }
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(left as u64)).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.at.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that the test failed to end must not keep it.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

const PLAN: &str = "\
name: full
defaults: {retry: {max: 0}}
tasks:
  - {id: first, exec: 'echo first'}
  - {id: gate, exec: 'while [ ! -e full ]; do sleep 0.02; done; echo through', needs: [first]}
  - {id: big, exec: 'seq 200000', needs: [gate]}
  - {id: last, exec: 'echo last', needs: [big]}
";

#[test]
fn a_disk_that_fills_up_in_the_middle_costs_no_task_and_no_truth() {
    let stage = Stage::new();
    let Some(disk) = Disk::mounted(stage.state_dir(), "12m") else {
        return;
    };
    stage.write("plan.yaml", PLAN);
    let mut engine = stage.start(&["run", "plan.yaml"]);
    wait_for("the gate", || {
        stage.state_dir().join("wheelhouse.db").exists() && stage.task_state("gate") == "running"
    });
    disk.fill(0);
    stage.write("full", "");
    // Either it says so and ends, or it says so and waits for room. Both are honest; going on as if nothing were is not.
    wait_for("a word about the disk", || {
        engine.said().to_lowercase().contains("full") && engine.said().contains("disk")
    });
    let ended = engine.is_over();
    disk.make_room();
    let code = if ended {
        engine.done();
        stage.run(&["resume"]).code
    } else {
        engine.done().code
    };
    assert_eq!(code, Some(0), "{}", stage.run(&["status"]).stdout);
    let tasks = stage.tasks();
    assert!(tasks.iter().all(|task| task.state.is_done()), "{tasks:#?}");
    assert_eq!(stage.run(&["result", "first"]).stdout, "first\n");
    assert_eq!(stage.run(&["result", "big", "--full"]).stdout.lines().count(), 200_000);
    stage.assert_clean();
}

#[test]
fn on_a_disk_that_is_full_from_the_start_nothing_is_begun_and_that_is_said() {
    let stage = Stage::new();
    let Some(disk) = Disk::mounted(stage.state_dir(), "1m") else {
        return;
    };
    disk.fill(0);
    stage.write("plan.yaml", "tasks: [{id: one, exec: 'echo one >> effects'}]");
    let ran = stage.run(&["run", "plan.yaml"]);
    assert!(matches!(ran.code, Some(4 | 74)), "{ran:#?}");
    assert!(
        ran.stderr.to_lowercase().contains("full") || ran.stderr.contains("No space left"),
        "{ran:#?}"
    );
    assert_eq!(stage.read("effects"), "", "nothing ran that could not be recorded");
    disk.make_room();
    let ran = stage.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert_eq!(stage.read("effects"), "one\n");
    stage.assert_clean();
}
