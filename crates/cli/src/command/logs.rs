//! `logs`: the raw output of a try as it was written, also while it is being written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wheelhouse_core::store::{Reader, TaskView};

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::json::task_name;
use crate::show::words;
use crate::state;
use crate::terminal::plain;

/// How much is copied at a time.
const CHUNK: usize = 64 << 10;
/// How often a log that is followed is looked at.
const POLL: Duration = Duration::from_millis(200);

/// Prints the log.
pub(crate) fn logs(app: &App, args: &args::Logs) -> Outcome {
    let mut reader = state::expect(&app.place)?;
    let mut task = state::task(reader.as_mut(), &args.task)?;
    let name = task_name(task.run, &task.key);
    if app.terminal.json {
        return Err(
            Failure::usage("logs are raw output and have no JSON form").hint(format!(
                "`wheelhouse result {name} --full --json` has the output of a try that ended"
            )),
        );
    }
    if task.attempt == 0 && (task.state.is_done() || !args.follow) {
        return Err(never_tried(&task));
    }
    let mut attempt = args.attempt.unwrap_or(task.attempt);
    let mut position = 0;
    loop {
        let path = app.place.log(task.run, &task.key, attempt);
        position = copy(app, &path, position)?;
        if !args.follow || is_over(&task, attempt) {
            return finish(app, reader.as_mut(), &task, attempt, &path, position);
        }
        std::thread::sleep(POLL);
        let Some(fresh) = reader.task(task.id)? else {
            return Ok(exit::OK);
        };
        let next = args.attempt.unwrap_or(fresh.attempt);
        if next != attempt {
            // The last of the old try first, then the new one from its beginning.
            copy(app, &path, position)?;
            if attempt > 0 {
                app.terminal.say(&format!("try {next} of {name}"));
            }
            (attempt, position) = (next, 0);
        }
        task = fresh;
    }
}

fn never_tried(task: &TaskView) -> Failure {
    let name = task_name(task.run, &task.key);
    let how = words::task_state(task).text;
    if task.state.is_done() {
        Failure::new(exit::NOT_FOUND, format!("{name} was never tried: {how}"))
    } else {
        Failure::new(exit::NOT_FOUND, format!("{name} was not tried yet: it is {how}")).hint(format!(
            "`wheelhouse status {name}` says what it waits on; `-f` waits for it"
        ))
    }
}

fn is_over(task: &TaskView, attempt: u32) -> bool {
    task.state.is_done() || attempt < task.attempt
}

/// The end of the log, and a word when there never was one.
fn finish(app: &App, reader: &mut dyn Reader, task: &TaskView, attempt: u32, path: &Path, position: u64) -> Outcome {
    let position = copy(app, path, position)?;
    if position > 0 || path.exists() {
        return Ok(exit::OK);
    }
    if attempt == 0 {
        return Err(never_tried(task));
    }
    let name = task_name(task.run, &task.key);
    let tries = reader.attempts(task.id)?.len();
    let exist: Vec<String> = existing(path);
    if tries > 0 && u32::try_from(tries).is_ok_and(|tries| attempt > tries) {
        return Err(Failure::new(
            exit::NOT_FOUND,
            format!("{name} had {}; there is no try {attempt}", words::tries(tries as u64)),
        ));
    }
    let failure = Failure::new(exit::NOT_FOUND, format!("try {attempt} of {name} left no log"));
    Err(if exist.is_empty() {
        failure.hint(format!(
            "`wheelhouse result {name} --full` prints the output that was kept"
        ))
    } else {
        failure.hint(format!("there is {}", exist.join(", ")))
    })
}

/// The logs of other tries of the task.
fn existing(path: &Path) -> Vec<String> {
    let prefix = path.file_stem().map(PathBuf::from);
    let prefix = prefix
        .as_deref()
        .and_then(Path::file_stem)
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let Some(entries) = path.parent().and_then(|dir| std::fs::read_dir(dir).ok()) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('.')))
        .collect();
    names.sort();
    names
}

/// Copies what the file has from `position` on to stdout; the new position comes back.
fn copy(app: &App, path: &Path, position: u64) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| Failure::io("read the log", path, &error);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(position),
        Err(error) => return Err(failed(error)),
    };
    let mut position = position;
    let mut chunk = vec![0; CHUNK];
    loop {
        file.seek(SeekFrom::Start(position)).map_err(failed)?;
        let read = file.read(&mut chunk).map_err(failed)?;
        let bytes = &chunk[..read];
        let used = if app.terminal.out.tty {
            whole_letters(bytes)
        } else {
            read
        };
        if used == 0 {
            return Ok(position);
        }
        position += used as u64;
        if app.terminal.out.tty {
            app.terminal.print(&plain(&String::from_utf8_lossy(&bytes[..used])))?;
        } else {
            app.terminal.print_bytes(&bytes[..used])?;
        }
    }
}

/// How many of the bytes end with a whole letter; the rest of a cut one comes with the next look.
fn whole_letters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_is_cut_waits_for_its_rest() {
        assert_eq!(whole_letters("aé".as_bytes()), 3);
        assert_eq!(whole_letters(&"aé".as_bytes()[..2]), 1);
        assert_eq!(whole_letters(b"a\xffb"), 3);
        assert_eq!(whole_letters(b""), 0);
    }
}
