//! Skills within a budget: instructions from files that an agent is given before its task, without their front matter,
//! in the order asked for, and no more than fits. What does not fit is said, never dropped in silence.

use crate::count;
use crate::receipt::{Layer, Receipt};

/// One skill as its file has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skill {
    /// Its name or path.
    pub name: String,
    /// The text of its file; absent when it could not be read.
    pub text: Option<String>,
}

/// A skill that has room for less than this, in characters, is left out rather than cut.
const CUT_MIN: usize = 400;

/// The skills as one text of at most so many characters, and what was left out. Empty without skills.
pub fn pack(skills: &[Skill], chars_max: usize) -> (String, Option<Receipt>) {
    if skills.is_empty() {
        return (String::new(), None);
    }
    let mut text = String::new();
    let mut left = chars_max;
    let mut would = 0;
    let mut missing = Vec::new();
    for skill in skills {
        let Some(body) = skill.text.as_deref().map(body) else {
            missing.push((skill, "its file could not be read", 0));
            continue;
        };
        let tokens = count::tokens(body);
        would += tokens;
        let frame = format!("<skill name=\"{}\">\n", attribute(&skill.name));
        let framed = frame.chars().count() + "\n</skill>\n".len();
        let length = body.chars().count();
        let room = left.saturating_sub(framed);
        let shown = if length <= room {
            body
        } else if room >= CUT_MIN {
            at_paragraph(body, room)
        } else {
            missing.push((skill, "the budget for skills is used up", tokens));
            continue;
        };
        if shown.len() < body.len() {
            missing.push((
                skill,
                "cut: the budget for skills is used up",
                tokens - count::tokens(shown).min(tokens),
            ));
        }
        left -= framed + shown.chars().count();
        text.push_str(&frame);
        text.push_str(shown);
        text.push_str("\n</skill>\n");
    }
    let mut receipt = Receipt::new(Layer::Skills, "skills", would, count::tokens(&text));
    for (skill, why, tokens) in &missing {
        receipt = receipt.without(&skill.name, why, *tokens);
    }
    (text, Some(receipt))
}

/// The text without front matter and without the space around it. What looks like the end of the frame stays words:
/// skills are the user's own files, and are trusted as much as the task.
fn body(text: &str) -> &str {
    let rest = text.trim_start_matches('\u{feff}');
    let inside = rest.strip_prefix("---\n").or_else(|| rest.strip_prefix("---\r\n"));
    let after = inside.and_then(|inside| {
        let mut at = 0;
        inside.split_inclusive('\n').find_map(|line| {
            at += line.len();
            (line.trim_end() == "---").then(|| &inside[at..])
        })
    });
    after.unwrap_or(rest).trim()
}

/// The beginning of at most so many characters, up to the end of a paragraph where there is one in its second half.
fn at_paragraph(text: &str, chars_max: usize) -> &str {
    let end = text.char_indices().nth(chars_max).map_or(text.len(), |(at, _)| at);
    let cut = &text[..end];
    match cut.rfind("\n\n").or_else(|| cut.rfind('\n')) {
        Some(at) if at * 2 >= end => cut[..at].trim_end(),
        _ => cut,
    }
}

fn attribute(name: &str) -> String {
    name.chars()
        .filter(|char| !char.is_control() && !"<>\"&".contains(*char))
        .take(120)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skill(name: &str, text: &str) -> Skill {
        Skill {
            name: name.to_owned(),
            text: Some(text.to_owned()),
        }
    }

    #[test]
    fn front_matter_goes_and_the_order_stays() {
        let skills = [
            skill("a", "---\nname: a\n---\n\nDo this.\n"),
            skill("b", "---\nnever closed\n"),
            skill("c", "é"),
        ];
        let (text, receipt) = pack(&skills, 16_000);
        assert_eq!(
            text,
            "<skill name=\"a\">\nDo this.\n</skill>\n<skill name=\"b\">\n---\nnever closed\n</skill>\n<skill name=\"c\">\né\n</skill>\n"
        );
        assert!(receipt.unwrap().left_out.is_empty());
        assert_eq!(pack(&[], 10), (String::new(), None));
    }

    #[test]
    fn the_budget_holds_and_what_is_dropped_is_said() {
        let long = "A paragraph of words.\n\n".repeat(40);
        let gone = Skill {
            name: "gone".to_owned(),
            text: None,
        };
        let skills = [skill("one", &long), skill("two", &long), skill("three", &long), gone];
        let (text, receipt) = pack(&skills, 1_600);
        assert!(
            text.chars().count() <= 1_600 && text.contains("words.\n</skill>"),
            "{}",
            text.len()
        );
        let receipt = receipt.unwrap();
        let names: Vec<&str> = receipt.left_out.iter().map(|left| left.what.as_str()).collect();
        assert_eq!(names, ["three", "two", "gone"]);
    }
}
