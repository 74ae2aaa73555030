//! What a change costs to write: the patches of real fixes as a unified diff, as the envelope of `apply_patch`, and as
//! search and replace. Each form is applied to the lines that the diff shows, and has to come to the same.

use std::collections::BTreeMap;
use std::path::Path;

use wheelhouse_context::count;
use wheelhouse_context::patch::answer;

use crate::source::{records, stop};
use crate::table::{Table, percent};

/// One file of a unified diff.
#[derive(Default)]
struct File {
    path: String,
    /// The lines of each hunk, with their signs.
    hunks: Vec<Vec<String>>,
}

pub(crate) fn measure(table: &mut Table, data: &Path) {
    let path = data.join("localisation/instances.jsonl");
    if !path.exists() {
        println!("patch formats: passed over, {} is not there", path.display());
        return;
    }
    let (mut sums, mut patches, mut other, mut alike) = ([0_u64; 4], 0_u32, 0_u32, 0_u32);
    for (line, row) in records(&path) {
        let Some(diff) = row["gold_patch"].as_str().filter(|diff| !diff.trim().is_empty()) else {
            continue;
        };
        let Some(files) = parsed(diff) else {
            other += 1;
            continue;
        };
        let forms = [envelope(&files), blocks(&files, usize::MAX), blocks(&files, 1)];
        if let Err(why) = same(&files, &forms[0]) {
            stop(&path, Some(line), why);
        }
        // A text that is to be replaced must stand there once.
        alike += u32::from(same(&files, &forms[1]).is_err());
        patches += 1;
        sums[0] += count::tokens(diff);
        for (sum, form) in sums[1..].iter_mut().zip(&forms) {
            *sum += count::tokens(form);
        }
    }
    if patches == 0 {
        println!("patch formats: passed over, {} has no `gold_patch`", path.display());
        return;
    }
    let [unified, envelope, blocks, short] = sums.map(|sum| sum as f64);
    let mean = |sum: f64| format!("{:.0} ({})", sum / f64::from(patches), percent(sum / unified - 1.0));
    table.row(
        format!("tokens of a fix, mean of {patches}: envelope / search and replace with the same context / with one line of it (which may stand there twice)"),
        [envelope, blocks, short].map(mean).join(" / "),
        "–",
        format!("{:.0} (unified diff)", unified / f64::from(patches)),
    );
    if alike > 0 {
        table.note(&format!(
            "patch formats: {alike} of them have hunks that are alike, so search and replace would need more of what is around"
        ));
    }
    if other > 0 {
        table.note(&format!(
            "patch formats: {other} patches add, delete or rename files or are no text, and do not count"
        ));
    }
}

/// The files of a diff that changes text in files that are there and stay there; none where it does something else.
fn parsed(diff: &str) -> Option<Vec<File>> {
    let mut files: Vec<File> = Vec::new();
    let (mut old, mut new) = (0, 0);
    for line in diff.lines() {
        if old == 0 && new == 0 {
            let other = ["new file", "deleted file", "rename ", "copy ", "Binary", "GIT binary"];
            if other.iter().any(|words| line.starts_with(words)) {
                return None;
            } else if let Some(path) = line.strip_prefix("+++ ") {
                let path = path.trim().strip_prefix("b/").unwrap_or(path.trim()).to_owned();
                files.push(File {
                    path,
                    ..File::default()
                });
            } else if let Some(rest) = line.strip_prefix("@@ -") {
                let (numbers, _) = rest.split_once(" @@")?;
                let (before, after) = numbers.split_once(" +")?;
                let length = |range: &str| range.split_once(',').map_or(Some(1), |(_, length)| length.parse().ok());
                (old, new) = (length(before)?, length(after)?);
                files.last_mut()?.hunks.push(Vec::new());
            }
            continue;
        }
        if line.starts_with('\\') {
            continue;
        }
        let line = if line.is_empty() { " " } else { line };
        old -= i64::from(!line.starts_with('+'));
        new -= i64::from(!line.starts_with('-'));
        files.last_mut()?.hunks.last_mut()?.push(line.to_owned());
    }
    (!files.is_empty()).then_some(files)
}

fn envelope(files: &[File]) -> String {
    let mut text = String::from("*** Begin Patch\n");
    for file in files {
        text.push_str(&format!("*** Update File: {}\n", file.path));
        for lines in &file.hunks {
            text.push_str(&format!("@@\n{}\n", lines.join("\n")));
        }
    }
    text + "*** End Patch\n"
}

/// Search and replace, with at most so many unchanged lines before and after what changes.
fn blocks(files: &[File], context: usize) -> String {
    let mut text = String::new();
    for file in files {
        for lines in &file.hunks {
            let changed = |line: &String| !line.starts_with(' ');
            let first = lines.iter().position(changed).unwrap_or(0).saturating_sub(context);
            let last = lines
                .iter()
                .rposition(changed)
                .unwrap_or(0)
                .saturating_add(context)
                .min(lines.len() - 1);
            let side = |without: char| -> String {
                let lines = lines[first..=last].iter().filter(|line| !line.starts_with(without));
                lines.map(|line| format!("{}\n", &line[1..])).collect()
            };
            text.push_str(&format!(
                "{}\n<<<<<<< SEARCH\n{}=======\n{}>>>>>>> REPLACE\n",
                file.path,
                side('+'),
                side('-')
            ));
        }
    }
    text
}

/// Whether the form makes the new lines of the old ones. Hunks are kept apart by lines that stand nowhere else.
fn same(files: &[File], form: &str) -> Result<(), String> {
    let side = |file: &File, without: char| -> String {
        let hunk = |(at, lines): (usize, &Vec<String>)| {
            let kept = lines.iter().filter(|line| !line.starts_with(without));
            let lines: String = kept.map(|line| format!("{}\n", &line[1..])).collect();
            format!("<{} hunk {at}>\n{lines}", file.path)
        };
        file.hunks.iter().enumerate().map(hunk).collect::<String>() + "<end>\n"
    };
    let before: BTreeMap<String, Vec<u8>> = files
        .iter()
        .map(|file| (file.path.clone(), side(file, '+').into_bytes()))
        .collect();
    let edited = answer::apply(&before, form).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        format!("a patch in another form does not fit: {}", problems.join("; "))
    })?;
    for file in files {
        if edited.changes.get(&file.path).and_then(Option::as_deref) != Some(side(file, '-').as_str()) {
            return Err(format!("a patch in another form makes something else of {}", file.path));
        }
    }
    Ok(())
}
