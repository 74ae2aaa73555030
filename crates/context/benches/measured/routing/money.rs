//! What orders come to in dollars, where the answers are kept: tokens counted, at the list prices of the time.

use wheelhouse_context::count::tokens;

use super::curve::{Curve, ordered};
use super::set::Prompt;
use crate::table::Table;

/// Dollars a million tokens, in and out: GPT-4 Turbo (gpt-4-1106-preview) by OpenAI's list of November 2023.
const STRONG: (f64, f64) = (10.0, 30.0);
/// Mixtral 8x7B, as the RouteLLM paper takes it (0.24 on average, in and out alike).
const WEAK: (f64, f64) = (0.24, 0.24);

/// What each model's answer to a prompt cost, in dollars: weak, strong.
fn costs(prompt: &Prompt) -> Option<(f64, f64)> {
    let (weak, strong) = prompt.answers.as_ref()?;
    let asked = tokens(&prompt.text) as f64;
    let cost = |(read, written): (f64, f64), answer: &str| (asked * read + tokens(answer) as f64 * written) / 1e6;
    Some((cost(WEAK, weak), cost(STRONG, strong)))
}

/// Dollars for the share of prompts that wins half and eight tenths of the gap, by each order; then a cascade: the weak
/// one is asked first and believed unless a sum in its own answer is wrong.
pub(super) fn rows(table: &mut Table, prompts: &[Prompt], orders: &[(&str, &[f64])]) {
    let Some(costs) = prompts.iter().map(costs).collect::<Option<Vec<_>>>() else {
        return;
    };
    let thousand = |dollars: f64| dollars / prompts.len() as f64 * 1e3;
    let weak: f64 = costs.iter().map(|(weak, _)| weak).sum();
    let strong: f64 = costs.iter().map(|(_, strong)| strong).sum();
    let shown: Vec<String> = orders
        .iter()
        .map(|(name, scores)| {
            let shares = Curve::of(prompts, scores).shares();
            let order = ordered(scores);
            let spent = shares.map(|share| {
                let sent = (share * prompts.len() as f64).round() as usize;
                let each = order.iter().enumerate();
                let each = each.map(|(rank, at)| if rank < sent { costs[*at].1 } else { costs[*at].0 });
                thousand(each.sum())
            });
            format!("{:.2} / {:.2} ({name})", spent[0], spent[1])
        })
        .collect();
    let mut shown = shown.into_iter();
    table.row(
        "the same in dollars a thousand prompts, for half / eight tenths of the gap",
        shown.next().unwrap_or_default(),
        "–",
        format!(
            "{}; {:.2} always strong, {:.2} always weak",
            shown.collect::<Vec<_>>().join(", "),
            thousand(strong),
            thousand(weak)
        ),
    );
    cascade(table, prompts, &costs);
}

fn cascade(table: &mut Table, prompts: &[Prompt], costs: &[(f64, f64)]) {
    let n = prompts.len() as f64;
    let (mut spent, mut right, mut passed_on, mut sums) = (0.0, 0.0, 0.0, 0.0);
    for (prompt, (weak, strong)) in prompts.iter().zip(costs) {
        let Some((answer, _)) = &prompt.answers else { continue };
        let (checked, wrong) = sums_in(answer);
        sums += f64::from(u8::from(checked > 0));
        spent += weak;
        if wrong > 0 {
            passed_on += 1.0;
            spent += strong;
            right += prompt.strong;
        } else {
            right += prompt.weak;
        }
    }
    if sums == 0.0 {
        return;
    }
    let of = |worth: fn(&Prompt) -> f64| prompts.iter().map(worth).sum::<f64>() / n;
    let (weak, strong) = (of(|one| one.weak), of(|one| one.strong));
    let won = (right / n - weak) / (strong - weak);
    let share = passed_on / n;
    table.row(
        "cascade, the weak one first, on to the strong one when a sum in its answer is wrong: share passed on, gap won",
        format!(
            "{:.1} %, {:.1} %; {:.2} dollars a thousand",
            share * 100.0,
            won * 100.0,
            spent / n * 1e3
        ),
        "–",
        format!("{:.1} % of the gap (chance, the same share)", share * 100.0),
    );
}

/// The sums a text writes down (`3 * 4 = 12`), and how many of them are wrong.
fn sums_in(text: &str) -> (u32, u32) {
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, ',' | '$' | ' ' | '€' | '£'))
        .collect();
    let text = text.replace('×', "*").replace('÷', "/");
    let (mut checked, mut wrong) = (0, 0);
    for (place, _) in text.match_indices('=') {
        let Some((left, right)) = text[..place].chars().next_back().and_then(|_| {
            let from = text[..place]
                .rfind(|c: char| !(c.is_ascii_digit() || ".+-*/".contains(c)))
                .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
            let left = value(&text[from..place])?;
            let after = &text[place + 1..];
            let to = after
                .find(|c: char| !(c.is_ascii_digit() || c == '.'))
                .unwrap_or(after.len());
            let right = after[..to].trim_end_matches('.').parse::<f64>().ok()?;
            // What goes on is another sum, and a share is written as one of a hundred.
            let goes_on = after[to..].starts_with(['+', '*', '/', '%']);
            (!goes_on).then_some((left, right))
        }) else {
            continue;
        };
        checked += 1;
        // To the digits that are written down.
        wrong += u32::from((left - right).abs() > 0.011 * right.abs().max(1.0));
    }
    (checked, wrong)
}

/// The value of numbers with at least one of `+-*/` between them.
fn value(sum: &str) -> Option<f64> {
    let at = |signs: [char; 2]| sum.char_indices().rev().find(|(at, c)| *at > 0 && signs.contains(c));
    if let Some((place, sign)) = at(['+', '-']).or_else(|| at(['*', '/'])) {
        let left = term(&sum[..place])?;
        let right = term(&sum[place + 1..])?;
        return match sign {
            '+' => Some(left + right),
            '-' => Some(left - right),
            '*' => Some(left * right),
            _ => (right != 0.0).then_some(left / right),
        };
    }
    None
}

fn term(sum: &str) -> Option<f64> {
    sum.parse().ok().or_else(|| value(sum))
}
