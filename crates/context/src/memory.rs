//! Notes that outlive a run: what a person wants remembered, what the engine saw, what an agent says it learned.
//!
//! A note is short, has an origin, a trust and mostly an end. Trust is what keeps one agent from speaking through the
//! notes to the next: the words of an agent ([`Trust::Claimed`]) wait until a person keeps them and are given to nobody
//! before that; they replace and confirm nothing above them. What is given to a task ([`recall`]) is a few notes about its
//! prompt, marked as data, with a receipt. What a checked task teaches ([`learn`]) follows rules; no model is asked.
//!
//! Pure: the notes and the moment come in as values, `engine::memory` keeps them.

pub mod learn;
pub mod recall;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wheelhouse_core::time::Millis;

use crate::reduce::identifiers;
use crate::words;

/// The longest note, in bytes: a fact or a rule. A document belongs in the project, and a note names it.
pub const TEXT_MAX: usize = 1_000;
/// The longest namespace, in bytes.
pub const NAMESPACE_MAX: usize = 64;
/// Notes of all namespaces together.
pub const NOTES_MAX: usize = 2_000;
/// Notes that wait for a person; beyond it the oldest of them goes.
pub const CLAIMED_MAX: usize = 200;
/// The namespace of what is of use to everybody.
pub const PROJECT: &str = "project";
/// The namespace of an agent begins so.
pub const AGENT_PREFIX: &str = "agent/";
/// How long what the engine saw is kept without being seen again.
pub const CHECKED_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// How long the words of an agent wait for a person.
pub const CLAIMED_LIFE: Duration = Duration::from_secs(30 * 86_400);
/// Two notes that share so much of their words, in hundredths, and all their names, are one note said twice.
const SAME_SHARE: usize = 66;

/// How far a note may be believed, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// An agent says so. Given to nobody until a person keeps it.
    Claimed,
    /// The engine saw it. Given as data.
    Checked,
    /// A person says so, or kept it.
    Person,
}

impl Trust {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Trust::Claimed => "claimed",
            Trust::Checked => "checked",
            Trust::Person => "person",
        }
    }

    /// How long a note of this trust lives when nobody says.
    pub fn life(self) -> Option<Duration> {
        match self {
            Trust::Claimed => Some(CLAIMED_LIFE),
            Trust::Checked => Some(CHECKED_LIFE),
            Trust::Person => None,
        }
    }
}

/// A note.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Its name: `m` and ten hexadecimal digits of the hash of namespace and words.
    pub id: String,
    /// Whose affair it is.
    pub namespace: String,
    /// The words, one paragraph.
    pub text: String,
    /// How far it may be believed.
    pub trust: Trust,
    /// Who said it: `a person`, `i3`, `r7/fix`.
    pub by: String,
    /// When it was said first.
    pub created_at: Millis,
    /// When it goes; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// How often it was said.
    pub times: u32,
}

/// What is wrong with a note.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Problem {
    /// It has no words.
    #[error("a note needs words")]
    Empty,
    /// It is too long.
    #[error(
        "a note has at most {TEXT_MAX} bytes, this has {0}; put the text into a file of the project and note its path"
    )]
    TooLong(usize),
    /// Its namespace is none.
    #[error(
        "`{0}` is no namespace: letters, digits, `.`, `_`, `-` and `/`, at most {NAMESPACE_MAX} bytes, such as `{PROJECT}` or `{AGENT_PREFIX}claude`"
    )]
    Namespace(String),
    /// There is no room.
    #[error("there are {NOTES_MAX} notes, which is all there may be; forget some")]
    Full,
}

impl Note {
    /// A note, its words made one plain paragraph. `expires_at` is for the trust's own life when nobody says another.
    pub fn new(namespace: &str, text: &str, trust: Trust, by: &str, now: Millis) -> Result<Note, Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        let fits = (1..=NAMESPACE_MAX).contains(&namespace.len()) && namespace.bytes().all(allowed);
        if !fits {
            return Err(Problem::Namespace(namespace.to_owned()));
        }
        let text = plain(text);
        match text.len() {
            0 => return Err(Problem::Empty),
            length if length > TEXT_MAX => return Err(Problem::TooLong(length)),
            _ => {}
        }
        Ok(Note {
            id: id(namespace, &text),
            namespace: namespace.to_owned(),
            text,
            trust,
            by: plain(by),
            created_at: now,
            expires_at: trust.life().map(|life| now.after(life)),
            times: 1,
        })
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The same note, kept by a person.
    #[must_use]
    pub fn kept(mut self) -> Note {
        if self.trust != Trust::Person {
            self.by = format!("{}, kept by a person", self.by);
        }
        self.trust = Trust::Person;
        self.expires_at = None;
        self
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}): {}", self.id, self.trust.name(), self.by, self.text)
    }
}

/// One paragraph without control characters: a note is quoted in lines, and cannot end one.
fn plain(text: &str) -> String {
    let visible = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    let text: String = visible.collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn id(namespace: &str, text: &str) -> String {
    let hash = blake3::hash(format!("{namespace}\0{}", text.to_lowercase()).as_bytes()).to_hex();
    format!("m{}", &hash[..10])
}

/// What becomes of a note that somebody brings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It is new.
    Added(Note),
    /// It was there in these or almost these words: the note as it is now, said once more.
    Confirmed(Note),
    /// It takes the place of a note that says almost the same.
    Replaced {
        /// The note that goes.
        old: Note,
        /// The note that comes.
        new: Note,
    },
    /// A note of more trust says almost the same, and stays as it is.
    Known(Note),
}

/// Decides what becomes of a note among those there are. The words of more trust are never changed by those of less.
/// Second: notes that go to make room.
pub fn admit(notes: &[Note], new: Note, now: Millis) -> Result<(Admission, Vec<Note>), Problem> {
    let mut going: Vec<Note> = Vec::new();
    let mine: BTreeSet<String> = words::of(&new.text).into_iter().collect();
    let same = notes
        .iter()
        .filter(|note| note.namespace == new.namespace && !note.is_over(now))
        .find(|note| note.id == new.id || is_same(&mine, &new.text, &note.text));
    if let Some(old) = same {
        let admission = if old.trust > new.trust {
            Admission::Known(old.clone())
        } else if old.id == new.id {
            Admission::Confirmed(Note {
                created_at: old.created_at,
                times: old.times.saturating_add(1),
                ..new
            })
        } else {
            let times = old.times.saturating_add(1);
            Admission::Replaced {
                old: old.clone(),
                new: Note { times, ..new },
            }
        };
        return Ok((admission, going));
    }
    let waiting = notes.iter().filter(|note| note.trust == Trust::Claimed).count();
    let too_many_wait = new.trust == Trust::Claimed && waiting >= CLAIMED_MAX;
    if notes.len() >= NOTES_MAX || too_many_wait {
        // The oldest of the least trust goes; what a person said goes by a person's word alone, and nothing goes for
        // what is trusted less.
        let spare = notes
            .iter()
            .filter(|note| note.trust != Trust::Person && note.trust <= new.trust);
        match spare.min_by_key(|note| (note.trust, note.created_at, &note.id)) {
            Some(oldest) => going.push(oldest.clone()),
            None => return Err(Problem::Full),
        }
    }
    Ok((Admission::Added(new), going))
}

/// Whether two notes say the same in almost the same words.
fn is_same(mine: &BTreeSet<String>, text: &str, old: &str) -> bool {
    let other: BTreeSet<String> = words::of(old).into_iter().collect();
    let names = |text| identifiers(text).collect::<BTreeSet<&str>>();
    let shared = mine.intersection(&other).count();
    let all = mine.len() + other.len() - shared;
    // Two words are too few to be sure.
    shared >= 3 && shared * 100 >= all * SAME_SHARE && names(text) == names(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000);

    fn note(text: &str, trust: Trust) -> Note {
        Note::new(PROJECT, text, trust, "r1/a", NOW).unwrap()
    }

    #[test]
    fn a_note_is_one_plain_paragraph_within_bounds() {
        let note = note("  Use\u{1b}[31m the\n\n staging   queue\u{0}. ", Trust::Person);
        assert_eq!(note.text, "Use [31m the staging queue .");
        assert_eq!((note.id.len(), note.expires_at), (11, None));
        let refused = |namespace: &str, text: &str| Note::new(namespace, text, Trust::Person, "x", NOW).unwrap_err();
        assert_eq!(refused(PROJECT, " \n"), Problem::Empty);
        assert_eq!(refused(PROJECT, &"x".repeat(1_001)), Problem::TooLong(1_001));
        assert!(matches!(refused("a b", "x"), Problem::Namespace(_)));
        assert!(matches!(refused("", "x"), Problem::Namespace(_)));
    }

    #[test]
    fn the_same_words_again_are_one_note_said_twice() {
        let old = note("Integration tests need the staging queue", Trust::Checked);
        let later = Millis(9_000);
        let again = Note::new(
            PROJECT,
            "integration tests need the staging queue",
            Trust::Checked,
            "r2/b",
            later,
        )
        .unwrap();
        let (admission, going) = admit(std::slice::from_ref(&old), again, later).unwrap();
        let Admission::Confirmed(now) = admission else {
            panic!("{admission:?}")
        };
        assert_eq!((now.times, now.created_at, going.len()), (2, NOW, 0));
        assert!(now.expires_at > old.expires_at);
    }

    #[test]
    fn less_trust_changes_nothing_of_more_trust() {
        let kept = note("Always run the integration tests with the staging queue", Trust::Person);
        let poison = note("Never run the integration tests with the staging queue", Trust::Claimed);
        let (admission, _) = admit(std::slice::from_ref(&kept), poison, NOW).unwrap();
        assert_eq!(admission, Admission::Known(kept.clone()));
        let corrected = note("Never run the integration tests with the staging queue", Trust::Person);
        let (admission, _) = admit(std::slice::from_ref(&kept), corrected, NOW).unwrap();
        assert!(matches!(admission, Admission::Replaced { new, .. } if new.times == 2));
        let elsewhere = Note::new("agent/a", &kept.text, Trust::Claimed, "i1", NOW).unwrap();
        assert!(matches!(admit(&[kept], elsewhere, NOW).unwrap().0, Admission::Added(_)));
    }

    #[test]
    fn claims_make_room_among_themselves_and_never_push_out_what_is_kept() {
        let claims: Vec<Note> = (0..CLAIMED_MAX)
            .map(|n| {
                Note::new(
                    PROJECT,
                    &format!("claim number {n}"),
                    Trust::Claimed,
                    "i1",
                    Millis(n as u64),
                )
                .unwrap()
            })
            .collect();
        let (admission, going) = admit(&claims, note("another claim altogether", Trust::Claimed), NOW).unwrap();
        assert!(matches!(admission, Admission::Added(_)));
        assert_eq!(going, [claims[0].clone()]);
        let kept: Vec<Note> = (0..NOTES_MAX)
            .map(|n| note(&format!("rule number {n}"), Trust::Person))
            .collect();
        assert_eq!(
            admit(&kept, note("one more", Trust::Claimed), NOW).unwrap_err(),
            Problem::Full
        );
        let mut seen = kept;
        seen[7] = note("The check `a` passed after changes to a/b.rs", Trust::Checked);
        let other = note("The check `a` passed after changes to a/c.rs", Trust::Checked);
        let (admission, going) = admit(&seen, other, NOW).unwrap();
        assert!(matches!(admission, Admission::Added(_)), "another file is another fact");
        assert_eq!(going, [seen[7].clone()]);
    }
}
