//! A page as blocks: written once, read as Markdown in a file and as text on a terminal.
//!
//! Reports, `status TASK` and `doctor` are pages. Text from agents and commands goes in as [`Block::Quote`], which
//! makes it plain and keeps it apart from our own words.

use crate::terminal::{Paint, columns, fit, one_line, pad, plain, wrap};

/// A page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// From top to bottom.
    pub(crate) blocks: Vec<Block>,
}

/// A piece of a page.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    /// The heading of the page (1) or of a section (2, 3).
    Heading(u8, String),
    /// Our words.
    Text(String),
    /// Points, each a line or more.
    List(Vec<String>),
    /// Rows under heads.
    Table(Table),
    /// Lines that keep their form: a graph, a time line.
    Lines(Vec<String>),
    /// Somebody else's words.
    Quote(String),
}

/// Rows under heads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// The heads; on a terminal a table of empty heads has no head line.
    pub(crate) heads: Vec<&'static str>,
    /// The rows; each has as many cells as there are heads.
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    /// One line.
    pub(crate) text: String,
    /// How it stands out.
    pub(crate) tone: Tone,
}

/// How a cell stands out where there is colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Tone {
    /// Not at all.
    #[default]
    Even,
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// Needs a person.
    Warm,
    /// Under way.
    Live,
    /// Matters least.
    Dim,
    /// Matters most.
    Strong,
}

impl Tone {
    /// The text in this tone.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        match self {
            Tone::Even => text.to_owned(),
            Tone::Good => paint.good(text),
            Tone::Bad => paint.bad(text),
            Tone::Warm => paint.warm(text),
            Tone::Live => paint.live(text),
            Tone::Dim => paint.dim(text),
            Tone::Strong => paint.strong(text),
        }
    }
}

impl Cell {
    /// A cell with a tone.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Cell {
        Cell {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::toned(text, Tone::Even)
    }
}

impl Page {
    /// Adds a block.
    pub(crate) fn push(&mut self, block: Block) {
        self.blocks.push(block);
    }

    /// Adds a heading.
    pub(crate) fn heading(&mut self, level: u8, text: impl Into<String>) {
        self.push(Block::Heading(level, text.into()));
    }

    /// Adds text.
    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.push(Block::Text(text.into()));
    }

    /// The page as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let blocks: Vec<String> = self.blocks.iter().map(Block::markdown).collect();
        format!("{}\n", blocks.join("\n\n"))
    }

    /// The page as text of at most so many columns.
    pub(crate) fn text_of(&self, width: usize, paint: Paint) -> String {
        let mut text = String::new();
        for (place, block) in self.blocks.iter().enumerate() {
            let follows_heading = place > 0 && matches!(self.blocks[place - 1], Block::Heading(..));
            if place > 0 && !follows_heading {
                text.push('\n');
            }
            text.push_str(&block.text_of(width, paint));
        }
        text
    }
}

impl Block {
    fn markdown(&self) -> String {
        match self {
            Block::Heading(level, text) => format!("{} {}", "#".repeat(usize::from(*level)), one_line(text)),
            Block::Text(text) => text.clone(),
            Block::List(points) => {
                let point = |point: &String| format!("- {}", point.replace('\n', "\n  "));
                points.iter().map(point).collect::<Vec<_>>().join("\n")
            }
            Block::Table(table) => table.markdown(),
            Block::Lines(lines) => format!("```text\n{}\n```", lines.join("\n")),
            Block::Quote(text) => quote_markdown(text),
        }
    }

    fn text_of(&self, width: usize, paint: Paint) -> String {
        let mut lines = match self {
            Block::Heading(_, text) => vec![paint.strong(&one_line(text))],
            Block::Text(text) => wrap(&unmark(text), width),
            Block::List(points) => points
                .iter()
                .flat_map(|point| {
                    let mut lines = wrap(&unmark(point), width.saturating_sub(2));
                    for (place, line) in lines.iter_mut().enumerate() {
                        *line = format!("{}{line}", if place == 0 { "- " } else { "  " });
                    }
                    lines
                })
                .collect(),
            Block::Table(table) => table.text_of(width, paint),
            Block::Lines(lines) => lines.iter().map(|line| fit(line, width)).collect(),
            Block::Quote(text) => wrap(&plain(text).replace('\t', "    "), width.saturating_sub(4))
                .into_iter()
                .map(|line| format!("  {} {line}", paint.dim("│")).trim_end().to_owned())
                .collect(),
        };
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Somebody else's words as a quotation in Markdown. They are fenced, not merely indented, so that nothing in them is
/// taken for a heading, a link or HTML; the fence is longer than any in the text.
fn quote_markdown(text: &str) -> String {
    let text = plain(text);
    let longest = text
        .lines()
        .map(|line| line.trim_start().chars().take_while(|c| *c == '`').count())
        .max()
        .unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}", text.trim_end())
}

/// Our own text without the marks that make it bold in Markdown.
fn unmark(text: &str) -> String {
    text.replace("**", "")
}

impl Table {
    /// A table with these heads.
    pub(crate) fn new(heads: &[&'static str]) -> Table {
        Table {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    fn markdown(&self) -> String {
        let escape = |cell: &Cell| one_line(&cell.text).replace('\\', "\\\\").replace('|', "\\|");
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let mut lines = vec![
            line(self.heads.iter().map(|head| (*head).to_owned()).collect()),
            format!("|{}", "---|".repeat(self.heads.len())),
        ];
        lines.extend(self.rows.iter().map(|row| line(row.iter().map(escape).collect())));
        lines.join("\n")
    }

    /// Columns as wide as their widest cell, two spaces apart. What does not fit is taken from the last column that
    /// has more than its share; a column keeps at least [`CELL_MIN`].
    pub(crate) fn text_of(&self, width: usize, paint: Paint) -> Vec<String> {
        let texts: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| one_line(&cell.text)).collect())
            .collect();
        let mut widths: Vec<usize> = self.heads.iter().map(|head| head.len()).collect();
        for row in &texts {
            for (place, text) in row.iter().enumerate() {
                widths[place] = widths[place].max(columns(text));
            }
        }
        squeeze(&mut widths, width);
        let mut lines = Vec::new();
        let row_line = |cells: Vec<(String, Tone)>| {
            let cells: Vec<String> = cells
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(place, ((text, tone), width))| {
                    let text = fit(text, *width);
                    let filled = if place + 1 == widths.len() {
                        text.clone()
                    } else {
                        pad(&text, *width)
                    };
                    filled.replacen(&text, &tone.paint(paint, &text), 1)
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        if self.heads.iter().any(|head| !head.is_empty()) {
            lines.push(row_line(
                self.heads.iter().map(|head| ((*head).to_owned(), Tone::Dim)).collect(),
            ));
        }
        for (row, texts) in self.rows.iter().zip(texts) {
            let tones = row.iter().map(|cell| cell.tone);
            lines.push(row_line(texts.into_iter().zip(tones).collect()));
        }
        lines
    }
}

impl Table {
    /// Like [`Table::text_of`], but nothing is cut: the last column is broken into lines instead.
    pub(crate) fn text_wrapped(&self, width: usize, paint: Paint) -> Vec<String> {
        let Some(last) = self.heads.len().checked_sub(1) else {
            return Vec::new();
        };
        let first_widths: Vec<usize> = (0..last)
            .map(|place| self.rows.iter().map(|row| columns(&row[place].text)).max().unwrap_or(0))
            .collect();
        let indent: usize = first_widths.iter().map(|width| width + 2).sum();
        let mut lines = Vec::new();
        for row in &self.rows {
            let mut head = String::new();
            for (cell, width) in row.iter().zip(&first_widths) {
                let text = one_line(&cell.text);
                head.push_str(&cell.tone.paint(paint, &text));
                head.push_str(&" ".repeat(width.saturating_sub(columns(&text)) + 2));
            }
            let room = width.saturating_sub(indent).max(CELL_MIN);
            for (place, line) in wrap(&one_line(&row[last].text), room).into_iter().enumerate() {
                let head = if place == 0 { head.clone() } else { " ".repeat(indent) };
                let line = row[last].tone.paint(paint, &line);
                lines.push(format!("{head}{line}").trim_end().to_owned());
            }
        }
        lines
    }
}

/// The narrowest a column gets.
const CELL_MIN: usize = 8;

fn squeeze(widths: &mut [usize], width: usize) {
    let gaps = 2 * widths.len().saturating_sub(1);
    loop {
        let total: usize = widths.iter().sum::<usize>() + gaps;
        if total <= width {
            return;
        }
        let widest = widths.iter().copied().max().unwrap_or(0);
        if widest <= CELL_MIN {
            return;
        }
        if let Some(column) = widths.iter_mut().rev().find(|column| **column == widest) {
            *column -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::default();
        page.heading(1, "review (r7)");
        page.text("Two of **three** tasks succeeded.");
        let mut table = Table::new(&["task", "came to"]);
        table.row(["draft".into(), Cell::toned("succeeded | fine", Tone::Good)]);
        table.row([
            "a-task-with-a-long-name".into(),
            "crashed while doing a great many things".into(),
        ]);
        page.push(Block::Table(table));
        page.push(Block::List(vec![
            "one point that is longer than a line".into(),
            "two".into(),
        ]));
        page.push(Block::Quote("# not a heading\n```\n\x1b[2Jcode".into()));
        page
    }

    #[test]
    fn as_markdown() {
        insta::assert_snapshot!(page().markdown());
    }

    #[test]
    fn as_text_it_keeps_to_the_width() {
        let text = page().text_of(40, Paint(false));
        assert!(text.lines().all(|line| columns(line) <= 40), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let colored = page().text_of(60, Paint(true));
        assert!(colored.contains("\x1b[32msucceeded | fine\x1b[0m"), "{colored}");
        let mut bare = String::new();
        let mut rest = colored.as_str();
        while let Some(at) = rest.find('\x1b') {
            bare.push_str(&rest[..at]);
            rest = &rest[at + rest[at..].find('m').unwrap() + 1..];
        }
        bare.push_str(rest);
        assert_eq!(bare, page().text_of(60, Paint(false)));
    }
}
