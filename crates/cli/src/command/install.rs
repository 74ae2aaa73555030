//! `install` and `uninstall`: what would change is shown, then asked, then done; afterwards each agent is asked for the
//! servers it knows.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use similar::TextDiff;

use crate::app::App;
use crate::args;
use crate::exit;
use crate::failure::{Failure, Outcome};
use crate::install::client::{CODEX_LISTS, Client, InstallScope, NAME, Places, Reach, TOKEN_VARIABLE};
use crate::install::edit::{Edit, What};
use crate::install::record::{Kept, Record, hash_of};
use crate::place::write_atomic;
use crate::probe;
use crate::terminal::{one_line, plain};

/// How long an agent has to list its servers: some start each of them first.
const LIST_DEADLINE: Duration = Duration::from_secs(40);
/// The largest file that is edited.
const FILE_MAX: u64 = 32 << 20;

/// One file that changes.
struct Change {
    client: Client,
    path: PathBuf,
    before: Option<String>,
    /// None: the file goes.
    after: Option<String>,
    /// What the file is without ours, for undoing later.
    pristine: Option<String>,
}

/// Everything that is to be done.
#[derive(Default)]
struct Wanted {
    changes: Vec<Change>,
    /// Files that are as they should be already, or that somebody else has in common.
    settled: Vec<(Client, PathBuf)>,
    notices: Vec<String>,
}

/// Puts Wheelhouse into agents.
pub(crate) fn install(app: &App, args: &args::Install) -> Outcome {
    let reach = match &args.http {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => Reach::Http(url.clone()),
        Some(url) => {
            return Err(Failure::usage(format!(
                "`{url}` is no address that begins with http:// or https://"
            )));
        }
        None => Reach::Stdio(own_name(app)),
    };
    let home = home(app)?;
    let mut places = places(app, &args.into, &home);
    let clients = clients(app, &args.into, &places)?;
    places.codex_lists = clients.contains(&Client::Codex) && codex_lists(app);
    let mut record = record(app, &places)?;
    let wanted = putting_in(&clients, &places, &reach, &record)?;
    let done = carry_out(app, &args.into, &wanted)?;
    if done {
        for change in &wanted.changes {
            let after = change.after.as_deref().unwrap_or_default();
            let before = change.pristine.as_deref().map(str::as_bytes);
            let remembered = record.remember(&change.path, before, after.as_bytes(), change.client.name());
            remembered.map_err(|error| Failure::io("remember the state of", &change.path, &error))?;
            write(&change.path, after)?;
        }
        for (client, path) in &wanted.settled {
            let shared = record.share(path, client.name());
            shared.map_err(|error| Failure::io("remember the state of", path, &error))?;
        }
    }
    let seen = if done { look(app, &clients, &places) } else { Vec::new() };
    report(app, &wanted, done, &seen, "installed")?;
    if done && args.http.is_some() {
        app.terminal.say(&format!(
            "the agents read the token from {TOKEN_VARIABLE}: export {TOKEN_VARIABLE}=$(wheelhouse token --scope operate)"
        ));
    }
    Ok(exit::OK)
}

/// Takes Wheelhouse out of agents.
pub(crate) fn uninstall(app: &App, args: &args::Uninstall) -> Outcome {
    let home = home(app)?;
    let places = places(app, &args.into, &home);
    let clients = match args.into.all {
        true => Client::ALL.to_vec(),
        false => args.into.agents.clone(),
    };
    let mut record = record(app, &places)?;
    let wanted = taking_out(app, &clients, &places, &record)?;
    let done = carry_out(app, &args.into, &wanted)?;
    if done {
        for change in &wanted.changes {
            match &change.after {
                Some(text) => write(&change.path, text)?,
                None => remove(&change.path, &places)?,
            }
        }
        let touched = wanted.changes.iter().map(|change| (change.client, &change.path));
        for (client, path) in touched.chain(wanted.settled.iter().map(|(client, path)| (*client, path))) {
            let forgotten = record.forget(path, client.name());
            forgotten.map_err(|error| Failure::io("forget the state of", path, &error))?;
        }
    }
    report(app, &wanted, done, &[], "taken out")?;
    Ok(exit::OK)
}

fn home(app: &App) -> Result<PathBuf, Failure> {
    let home = app.env.get("HOME").filter(|home| !home.is_empty());
    home.map(PathBuf::from)
        .ok_or_else(|| Failure::usage("HOME is not set: nobody knows where your agents keep their settings"))
}

fn places<'a>(app: &'a App, into: &args::Into, home: &'a Path) -> Places<'a> {
    Places {
        scope: into.scope,
        home,
        project: &app.place.project,
        env: &app.env,
        // What is there is taken out, whichever version put it in.
        codex_lists: true,
    }
}

/// Whether the Codex that is there is one that was seen to list our tools when told to.
fn codex_lists(app: &App) -> bool {
    let Some(program) = app.program(Client::Codex.program()) else {
        return false;
    };
    let said = match probe::versions(app, &[program]).pop() {
        Some(probe::Answer::Said(line)) => line,
        _ => return false,
    };
    let number = |word: &str| {
        let mut parts = word.split('.').map(str::parse::<u32>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    said.split_whitespace()
        .find_map(number)
        .is_some_and(|found| found >= CODEX_LISTS)
}

/// How agents are to start this program: by its name where `PATH` leads to it, so that an update is followed.
fn own_name(app: &App) -> String {
    let same = |found: PathBuf| found.canonicalize().ok() == app.exe.canonicalize().ok();
    match app.program(NAME).is_some_and(same) {
        true => NAME.to_owned(),
        false => app.exe.display().to_string(),
    }
}

fn clients(app: &App, into: &args::Into, places: &Places<'_>) -> Result<Vec<Client>, Failure> {
    if !into.all {
        let mut clients = into.agents.clone();
        clients.sort_unstable();
        clients.dedup();
        return Ok(clients);
    }
    let user = Places {
        scope: InstallScope::User,
        ..*places
    };
    let used = |client: &Client| app.program(client.program()).is_some() || client.directory(&user).is_dir();
    let found: Vec<Client> = Client::ALL.into_iter().filter(used).collect();
    if found.is_empty() {
        let names = Client::ALL.map(Client::name).join(", ");
        return Err(Failure::new(
            exit::NOT_FOUND,
            format!("none of the agents is on this machine: {names}"),
        )
        .hint("name one to install into it all the same: wheelhouse install claude"));
    }
    Ok(found)
}

fn record(app: &App, places: &Places<'_>) -> Result<Record, Failure> {
    let directory = match places.scope {
        InstallScope::Project => {
            app.place.create()?;
            app.place.state_dir.join("installed")
        }
        InstallScope::User => {
            let state = app
                .env
                .get("XDG_STATE_HOME")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from);
            state
                .unwrap_or_else(|| places.home.join(".local/state"))
                .join("wheelhouse/installed")
        }
    };
    Record::open(&directory).map_err(|error| Failure::io("read the record of what is installed in", &directory, &error))
}

/// Reads a file that may not be there.
fn read(path: &Path) -> Result<Option<String>, String> {
    match fs::metadata(path) {
        Ok(meta) if meta.len() > FILE_MAX => return Err(format!("it has {} bytes, more than is edited", meta.len())),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    fs::read_to_string(path).map(Some).map_err(|error| error.to_string())
}

fn all_or_none(problems: &[String]) -> Result<(), Failure> {
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(exit::REFUSED, problems.join("\n")).hint("nothing was changed")),
    }
}

fn putting_in(clients: &[Client], places: &Places<'_>, reach: &Reach, record: &Record) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let mut problems = Vec::new();
    let mut pending: BTreeMap<PathBuf, String> = BTreeMap::new();
    for client in clients {
        for edit in client.edits(places, reach) {
            let path = edit.path.clone();
            let current = match pending.get(&path) {
                Some(text) => Ok(Some(text.clone())),
                None => read(&path),
            };
            match current.and_then(|current| put_in(&edit, current, record)) {
                Ok(Put::Change {
                    before,
                    after,
                    pristine,
                }) => {
                    pending.insert(path.clone(), after.clone());
                    wanted.changes.push(Change {
                        client: *client,
                        path,
                        before,
                        after: Some(after),
                        pristine,
                    });
                }
                Ok(Put::Settled) => wanted.settled.push((*client, path)),
                Ok(Put::Theirs) => wanted.notices.push(format!(
                    "{} is there and not from `wheelhouse install`: it is left as it is",
                    path.display()
                )),
                Err(why) => problems.push(format!("{} cannot be edited: {why}", path.display())),
            }
        }
    }
    all_or_none(&problems)?;
    Ok(wanted)
}

enum Put {
    Change {
        before: Option<String>,
        after: String,
        pristine: Option<String>,
    },
    Settled,
    Theirs,
}

fn put_in(edit: &Edit, current: Option<String>, record: &Record) -> Result<Put, String> {
    let kept = record.get(&edit.path);
    let ours = |text: &str| kept.is_some_and(|kept| kept.after == hash_of(text.as_bytes()));
    let after = edit.put_in(current.as_deref())?;
    let Some(text) = current else {
        return Ok(Put::Change {
            before: None,
            after,
            pristine: None,
        });
    };
    if after == text {
        return Ok(Put::Settled);
    }
    if matches!(edit.what, What::File(_)) && !ours(&text) {
        return Ok(Put::Theirs);
    }
    let pristine = match kept.filter(|_| ours(&text)) {
        Some(kept) => original(record, kept)?,
        None => edit.take_out(&text)?,
    };
    Ok(Put::Change {
        before: Some(text),
        after,
        pristine,
    })
}

/// What a file was before.
fn original(record: &Record, kept: &Kept) -> Result<Option<String>, String> {
    let Some(hash) = &kept.before else { return Ok(None) };
    let bytes = record
        .before(hash)
        .map_err(|error| format!("its copy cannot be read: {error}"))?;
    String::from_utf8(bytes).map(Some).map_err(|error| error.to_string())
}

fn taking_out(app: &App, clients: &[Client], places: &Places<'_>, record: &Record) -> Result<Wanted, Failure> {
    let mut wanted = Wanted::default();
    let mut problems = Vec::new();
    // What is taken out does not depend on how we were reached.
    let reach = Reach::Stdio(own_name(app));
    for client in clients {
        for edit in client.edits(places, &reach) {
            let path = edit.path.clone();
            let kept = record.get(&path);
            let others = kept.is_some_and(|kept| {
                let stay = |name: &String| !clients.iter().any(|client| client.name() == name);
                kept.clients.iter().any(stay)
            });
            if others || wanted.changes.iter().any(|change| change.path == path) {
                wanted.settled.push((*client, path));
                continue;
            }
            let after = |text: &str| match kept.filter(|kept| kept.after == hash_of(text.as_bytes())) {
                Some(kept) => original(record, kept),
                None => edit.take_out(text),
            };
            match read(&path) {
                Ok(None) => wanted.settled.push((*client, path)),
                Ok(Some(text)) => match after(&text) {
                    Ok(Some(same)) if same == text => {
                        if kept.is_some() && matches!(edit.what, What::File(_)) {
                            wanted
                                .notices
                                .push(format!("{} was changed since: it is left as it is", path.display()));
                        }
                        wanted.settled.push((*client, path));
                    }
                    Ok(after) => wanted.changes.push(Change {
                        client: *client,
                        path,
                        before: Some(text),
                        after,
                        pristine: None,
                    }),
                    Err(why) => problems.push(format!("{} cannot be edited: {why}", path.display())),
                },
                Err(why) => problems.push(format!("{} cannot be read: {why}", path.display())),
            }
        }
    }
    all_or_none(&problems)?;
    Ok(wanted)
}

/// Shows what would change and asks. Whether it is to be done.
fn carry_out(app: &App, into: &args::Into, wanted: &Wanted) -> Result<bool, Failure> {
    for notice in &wanted.notices {
        app.terminal.warn(notice);
    }
    if wanted.changes.is_empty() {
        return Ok(!into.dry_run);
    }
    if !app.terminal.json {
        let text: Vec<String> = wanted.changes.iter().map(|change| diff(app, change)).collect();
        app.terminal.print(&text.concat())?;
    }
    if into.dry_run || into.yes {
        return Ok(into.yes);
    }
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::usage("nobody is here to ask whether these changes are to be written")
                .hint("`--yes` writes them, `--dry-run` only shows them"),
        );
    }
    app.terminal.warn("Write these changes? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::new(exit::IO, format!("cannot read the answer: {error}")))?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        _ => Err(Failure::new(exit::REFUSED, "not confirmed; nothing was changed")),
    }
}

fn diff(app: &App, change: &Change) -> String {
    let path = one_line(&change.path.display().to_string());
    let (before, after) = (change.before.as_deref(), change.after.as_deref());
    let name = |there: bool| if there { path.clone() } else { "/dev/null".to_owned() };
    let paint = app.terminal.out.paint;
    let text = TextDiff::from_lines(before.unwrap_or_default(), after.unwrap_or_default())
        .unified_diff()
        .header(&name(before.is_some()), &name(after.is_some()))
        .to_string();
    let painted = text.lines().map(|line| {
        let line = plain(line);
        match line.as_bytes().first() {
            Some(b'+') => paint.good(&line),
            Some(b'-') => paint.bad(&line),
            _ => line,
        }
    });
    painted.map(|line| format!("{line}\n")).collect()
}

/// Writes a file, through a link to where it really is, with the rights it has.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |error: std::io::Error| Failure::io("write", path, &error);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mode = fs::metadata(&real).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
    write_atomic(&real, text.as_bytes(), mode).map_err(failed)
}

/// Removes a file and the directories that are empty then, up to the home or the project.
fn remove(path: &Path, places: &Places<'_>) -> Result<(), Failure> {
    fs::remove_file(path).map_err(|error| Failure::io("remove", path, &error))?;
    let above = path.ancestors().skip(1);
    for directory in above.take_while(|above| *above != places.home && *above != places.project) {
        if fs::remove_dir(directory).is_err() {
            break;
        }
    }
    Ok(())
}

/// What an agent says about its servers.
struct Seen {
    client: Client,
    /// Whether it lists us; none when it cannot be asked.
    lists: Option<bool>,
    said: String,
}

fn look(app: &App, clients: &[Client], places: &Places<'_>) -> Vec<Seen> {
    let seen = |client: &Client| {
        let Some(program) = app.program(client.program()) else {
            return Seen {
                client: *client,
                lists: None,
                said: format!("`{}` is not in PATH, so it was not asked", client.program()),
            };
        };
        match probe::output(&program, &["mcp", "list"], places.env, places.project, LIST_DEADLINE) {
            Ok(text) => {
                let text = without_escapes(&text);
                let line = text.lines().find(|line| line.contains(NAME));
                Seen {
                    client: *client,
                    lists: Some(line.is_some()),
                    said: line.map_or_else(|| "it does not list wheelhouse".to_owned(), one_line),
                }
            }
            Err(why) => Seen {
                client: *client,
                lists: None,
                said: why,
            },
        }
    };
    clients.iter().map(seen).collect()
}

/// The text without the sequences that colour it.
fn without_escapes(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            let _ = chars.by_ref().find(|c| c.is_ascii_alphabetic());
        } else {
            kept.push(c);
        }
    }
    kept
}

fn report(app: &App, wanted: &Wanted, done: bool, seen: &[Seen], what: &str) -> Result<(), Failure> {
    if app.terminal.json {
        let action = |change: &Change| match (&change.before, &change.after) {
            (None, _) => "made",
            (_, None) => "removed",
            _ => "changed",
        };
        let changes: Vec<_> = wanted
            .changes
            .iter()
            .map(|change| json!({"agent": change.client.name(), "path": change.path, "action": action(change)}))
            .collect();
        let seen: Vec<_> = seen
            .iter()
            .map(|seen| json!({"agent": seen.client.name(), "lists": seen.lists, "said": seen.said}))
            .collect();
        return app
            .terminal
            .print_json(&json!({"written": done, "changes": changes, "notices": wanted.notices, "seen": seen}));
    }
    if wanted.changes.is_empty() {
        app.terminal.say("everything is as it should be; nothing to change");
    } else if done {
        app.terminal.say(&format!("{what}: {} files", wanted.changes.len()));
    } else {
        app.terminal.say("nothing was written");
    }
    for Seen { client, lists, said } in seen {
        let mark = match lists {
            Some(true) => "knows it",
            Some(false) => "does not know it",
            None => "could not be asked",
        };
        app.terminal.say(&format!("{}: {mark}: {said}", client.name()));
    }
    Ok(())
}
