//! A database that is damaged, cut short, or of another version: said clearly with what to do, never made worse.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::stage::{Ran, Stage};

/// A project in which a run of some size is over and everything is in the database's one file.
fn worked() -> Stage {
    let stage = Stage::new();
    let mut plan = "name: many\ntasks:\n".to_owned();
    for n in 0..300 {
        plan.push_str(&format!(
            "  - {{id: task-{n}, exec: 'true', needs: [{}]}}\n",
            if n < 299 { "gate" } else { "" }
        ));
    }
    plan.push_str("  - {id: gate, exec: 'false', retry: {max: 0}}\n");
    stage.write("plan.yaml", plan);
    assert_eq!(stage.run(&["run", "plan.yaml"]).code, Some(1));
    stage.assert_clean();
    stage.write_log_back();
    stage
}

fn database(stage: &Stage) -> PathBuf {
    stage.state_dir().join("wheelhouse.db")
}

/// Every command that reads or changes the state, and what it came to.
fn every_command(stage: &Stage) -> Vec<(Vec<&'static str>, Ran)> {
    [
        vec!["run", "plan.yaml"],
        vec!["resume"],
        vec!["status"],
        vec!["status", "r1"],
        vec!["fsck"],
        vec!["events"],
        vec!["retry", "r1"],
        vec!["serve", "--until-idle"],
        vec!["gc"],
    ]
    .into_iter()
    .map(|words| {
        let ran = stage.run(&words);
        (words, ran)
    })
    .collect()
}

/// No command dies of it; each says a sentence, and what fails of it fails as a failure of the state.
fn assert_told(stage: &Stage) {
    for (words, ran) in every_command(stage) {
        let code = ran.code.unwrap_or_else(|| panic!("{words:?} was killed: {ran:#?}"));
        assert!(!ran.stderr.contains("panicked"), "{words:?}: {ran:#?}");
        if ![0, 1, 6].contains(&code) {
            assert_eq!(code, 4, "{words:?}: {ran:#?}");
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(
                said.contains("wheelhouse "),
                "{words:?} names the next command: {ran:#?}"
            );
        }
    }
}

#[test]
fn bytes_overwritten_in_the_middle_are_found_and_said() {
    let stage = worked();
    let length = fs::metadata(database(&stage)).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(database(&stage)).unwrap();
    // From the second page on: the header still says that this is a database.
    file.seek(SeekFrom::Start(4_096)).unwrap();
    file.write_all(&vec![0xAB; usize::try_from(length).unwrap() - 4_096])
        .unwrap();
    drop(file);
    let before = fs::read(database(&stage)).unwrap();
    let ran = stage.run(&["fsck"]);
    assert_eq!(ran.code, Some(4), "{ran:#?}");
    assert!(
        ran.stderr.contains("backup") || ran.stdout.contains("backup"),
        "{ran:#?}"
    );
    let ran = stage.run(&["status"]);
    assert_eq!(ran.code, Some(4), "{ran:#?}");
    assert!(ran.stderr.contains("fsck"), "{ran:#?}");
    assert_told(&stage);
    assert!(
        fs::read(database(&stage)).unwrap() == before,
        "nothing of it was changed"
    );
}

#[test]
fn one_bad_page_is_found_and_what_is_good_is_left_as_it_is() {
    let stage = worked();
    let length = fs::metadata(database(&stage)).unwrap().len();
    let page = length / 4_096 / 2;
    let mut file = OpenOptions::new().write(true).open(database(&stage)).unwrap();
    file.seek(SeekFrom::Start(page * 4_096)).unwrap();
    file.write_all(&[0xAB; 4_096]).unwrap();
    drop(file);
    let ran = stage.run(&["fsck"]);
    assert_eq!(ran.code, Some(4), "{ran:#?}");
    assert_told(&stage);
    let mut bad = [0; 4_096];
    let mut file = fs::File::open(database(&stage)).unwrap();
    file.seek(SeekFrom::Start(page * 4_096)).unwrap();
    file.read_exact(&mut bad).unwrap();
    assert!(bad == [0xAB; 4_096], "the damage was not hidden");
    assert_eq!(stage.run(&["fsck"]).code, Some(4));
}

#[test]
fn a_file_cut_short_is_found_and_not_cut_further() {
    for keep in [0.5, 0.99, 0.001] {
        let stage = worked();
        let length = fs::metadata(database(&stage)).unwrap().len();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a file"
        )]
        let kept = (length as f64 * keep) as u64;
        OpenOptions::new()
            .write(true)
            .open(database(&stage))
            .unwrap()
            .set_len(kept)
            .unwrap();
        let before = fs::read(database(&stage)).unwrap();
        let ran = stage.run(&["fsck"]);
        assert_eq!(ran.code, Some(4), "{keep}: {ran:#?}");
        assert_told(&stage);
        let after = fs::read(database(&stage)).unwrap();
        assert!(after.len() >= before.len(), "{keep}: it was cut further");
        assert_eq!(stage.run(&["fsck"]).code, Some(4), "{keep}");
    }
}

#[test]
fn an_empty_file_in_its_place_is_a_new_store() {
    let stage = Stage::new();
    stage.write(".wheelhouse/wheelhouse.db", "");
    stage.write("plan.yaml", "tasks: [{id: one, exec: 'echo one'}]");
    let ran = stage.run(&["run", "plan.yaml"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    stage.assert_clean();
}

#[test]
fn a_store_of_a_newer_version_is_refused_by_every_command_and_left_alone() {
    let stage = worked();
    let mut file = OpenOptions::new().write(true).open(database(&stage)).unwrap();
    // `user_version` is the big-endian number at byte 60 of the header.
    file.seek(SeekFrom::Start(60)).unwrap();
    file.write_all(&77_u32.to_be_bytes()).unwrap();
    drop(file);
    let before = fs::read(database(&stage)).unwrap();
    for (words, ran) in every_command(&stage) {
        assert_eq!(ran.code, Some(4), "{words:?}: {ran:#?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("77") && said.contains("newer"), "{words:?}: {ran:#?}");
    }
    assert!(
        fs::read(database(&stage)).unwrap() == before,
        "nothing of it was changed"
    );
}

#[test]
fn a_state_directory_that_cannot_be_written_is_said() {
    let stage = Stage::new();
    stage.write("plan.yaml", "tasks: [{id: one, exec: 'echo one'}]");
    stage.write(".wheelhouse", "a file where the directory should be");
    let ran = stage.run(&["run", "plan.yaml"]);
    assert!(matches!(ran.code, Some(4 | 74)), "{ran:#?}");
    assert!(ran.stderr.contains(".wheelhouse"), "{ran:#?}");
    assert_eq!(stage.read(".wheelhouse"), "a file where the directory should be");
}
