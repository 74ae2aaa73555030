//! The live region: a few lines at the end of stderr that are drawn over and over while something is under way.
//!
//! Lines that are to stay are printed above it. Without a terminal nothing is ever redrawn. Whoever holds a region
//! clears it by dropping it, so that no way out leaves half a picture.

use crate::terminal::{Surface, draw_err};

/// The lines that are redrawn.
#[derive(Debug)]
pub(crate) struct Region {
    /// Whether anything is drawn at all.
    enabled: bool,
    /// How many lines are on the screen now.
    drawn: usize,
}

impl Region {
    /// A region on that surface; without a terminal, or when `quiet`, it stays empty.
    pub(crate) fn new(surface: Surface, quiet: bool) -> Region {
        Region {
            enabled: surface.tty && !quiet,
            drawn: 0,
        }
    }

    /// Whether drawing makes sense.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Replaces what is drawn. The lines must fit the width.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        if !self.enabled {
            return;
        }
        let mut text = self.erasing();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = lines.len();
        draw_err(&text);
    }

    /// Prints a line that stays, above what is drawn next.
    pub(crate) fn print(&mut self, line: &str) {
        let text = format!("{}{line}\n", self.erasing());
        self.drawn = 0;
        draw_err(&text);
    }

    /// Takes away what is drawn.
    pub(crate) fn clear(&mut self) {
        if self.drawn > 0 {
            let text = self.erasing();
            self.drawn = 0;
            draw_err(&text);
        }
    }

    fn erasing(&self) -> String {
        match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        self.clear();
    }
}
