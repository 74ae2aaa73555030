//! Lines of a document as blocks: list items, checkboxes, rows of tables, paragraphs; and the headings above them.

use crate::fence::fenced;

/// How many blocks are looked at; a document with more is data.
const BLOCKS_MAX: usize = 20_000;
/// The longest block, in bytes; the rest of its lines is not looked at.
const BLOCK_MAX: usize = 8 << 10;

/// A part of the document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Part {
    /// The line of its heading, from 1; 0 for what stands before the first.
    pub(super) line: usize,
    /// How deep, from 1.
    pub(super) level: usize,
    /// Its words.
    pub(super) title: String,
}

/// What a block looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Running text.
    Paragraph,
    /// An item of a list, or a row of a table.
    Listed,
    /// A checkbox, ticked or not.
    Box {
        /// Whether it is ticked.
        ticked: bool,
    },
}

/// Lines that belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Block {
    /// What it looks like.
    pub(super) shape: Shape,
    /// Its words, the lines joined by spaces.
    pub(super) text: String,
    /// Where in `text` each of its lines begins, and its number.
    lines: Vec<(usize, usize)>,
    /// The place of its part.
    pub(super) part: usize,
}

impl Block {
    /// The line that a byte of the text stands in.
    pub(super) fn line_at(&self, byte: usize) -> usize {
        let after = self.lines.partition_point(|(begins, _)| *begins <= byte);
        self.lines[after.max(1) - 1].1
    }

    fn push(&mut self, line: usize, text: &str) {
        if self.text.len() + text.len() < BLOCK_MAX {
            self.text.push(' ');
            self.lines.push((self.text.len(), line));
            self.text.push_str(text);
        }
    }
}

/// The parts of a document, the nameless beginning first, and its blocks. Fences, front matter and comments hold none.
pub(super) fn read(text: &str) -> (Vec<Part>, Vec<Block>) {
    let mut reading = Reading {
        parts: vec![Part {
            line: 0,
            level: 1,
            title: String::new(),
        }],
        blocks: Vec::new(),
        open: None,
    };
    let lines: Vec<&str> = text.lines().collect();
    let fenced = fenced(&lines);
    let mut in_comment = false;
    let mut in_front = text.starts_with("---\n") && text[4..].contains("\n---");
    for (place, raw) in lines.into_iter().enumerate() {
        let (number, line) = (place + 1, raw.trim());
        if in_front {
            in_front = place == 0 || line != "---";
        } else if in_comment {
            in_comment = !line.contains("-->");
        } else if fenced[place] {
            reading.close();
        } else if line.starts_with("<!--") {
            reading.close();
            in_comment = !line.contains("-->");
        } else {
            reading.line(number, raw, line);
        }
        if reading.blocks.len() >= BLOCKS_MAX {
            break;
        }
    }
    reading.close();
    (reading.parts, reading.blocks)
}

struct Reading {
    parts: Vec<Part>,
    blocks: Vec<Block>,
    open: Option<Block>,
}

impl Reading {
    fn line(&mut self, number: usize, raw: &str, line: &str) {
        if line.is_empty() {
            self.close();
        } else if let Some((level, title)) = heading(line) {
            self.close();
            self.part(number, level, title);
        } else if is_underline(line)
            && let Some(open) = self
                .open
                .take_if(|open| open.shape == Shape::Paragraph && open.lines.len() == 1)
        {
            let level = if line.starts_with('=') { 1 } else { 2 };
            self.part(open.lines[0].1, level, &open.text);
        } else if line.starts_with('|') {
            self.close();
            self.row(number, line);
        } else if let Some((shape, words)) = listed(line) {
            self.close();
            self.begin(shape, number, words);
        } else {
            let words = line.trim_start_matches(['>', ' ']);
            let goes_on = raw.starts_with([' ', '\t']);
            match &mut self.open {
                Some(open) if open.shape == Shape::Paragraph || goes_on => open.push(number, words),
                _ => {
                    self.close();
                    self.begin(Shape::Paragraph, number, words);
                }
            }
        }
    }

    fn part(&mut self, line: usize, level: usize, title: &str) {
        self.parts.push(Part {
            line,
            level,
            title: title.to_owned(),
        });
    }

    /// A row of a table, as what its cells say one after the other. The line below the head says nothing.
    fn row(&mut self, number: usize, line: &str) {
        let cells: Vec<&str> = line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        if !cells
            .iter()
            .all(|cell| cell.chars().all(|char| matches!(char, '-' | ':')))
        {
            self.begin(Shape::Listed, number, &cells.join(": "));
            self.close();
        }
    }

    fn begin(&mut self, shape: Shape, number: usize, words: &str) {
        let words = &words[..words.floor_char_boundary(BLOCK_MAX)];
        self.open = Some(Block {
            shape,
            text: words.to_owned(),
            lines: vec![(0, number)],
            part: self.parts.len() - 1,
        });
    }

    fn close(&mut self) {
        self.blocks
            .extend(self.open.take().filter(|block| !block.text.trim().is_empty()));
    }
}

pub(crate) fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let title = line.get(level..)?.strip_prefix(' ')?;
    (1..=6)
        .contains(&level)
        .then(|| (level, title.trim().trim_end_matches('#').trim()))
}

pub(crate) fn is_underline(line: &str) -> bool {
    line.len() >= 3 && (line.chars().all(|char| char == '=') || line.chars().all(|char| char == '-'))
}

/// What a line is that begins an item of a list, and its words.
pub(crate) fn listed(line: &str) -> Option<(Shape, &str)> {
    let line = line.trim_start_matches(['>', ' ']);
    let rest = match line.split_at_checked(1) {
        Some(("-" | "*" | "+" | "•", rest)) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => {
            let digits = line.bytes().take_while(u8::is_ascii_digit).count();
            let after = line.get(digits..)?;
            let rest = after.strip_prefix(['.', ')'])?;
            (digits > 0 && digits <= 4 && rest.starts_with(' ')).then(|| rest.trim_start())?
        }
    };
    for (mark, ticked) in [("[ ] ", false), ("[x] ", true), ("[X] ", true)] {
        if let Some(words) = rest.strip_prefix(mark) {
            return Some((Shape::Box { ticked }, words.trim()));
        }
    }
    Some((Shape::Listed, rest))
}
