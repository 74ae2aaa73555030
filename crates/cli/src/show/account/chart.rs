//! Plots as inline SVG, without a script: columns by day, bars by name, one bar in parts. Colours are the page's variables,
//! so that they follow its light and dark.

use std::fmt::Write;

/// A column: a day, what is known, and whether something of it is not.
pub(super) struct Column {
    /// Below it, and what a pointer is told.
    pub(super) name: String,
    /// How high.
    pub(super) value: u64,
    /// The value in words.
    pub(super) said: String,
    /// Something of it is unknown, so that it is at least so high.
    pub(super) is_least: bool,
}

/// A part of a bar.
pub(super) struct Part {
    /// What it is.
    pub(super) name: String,
    /// How long.
    pub(super) value: u64,
    /// In words.
    pub(super) said: String,
    /// Which colour, from 1.
    pub(super) color: usize,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
const BASE: f64 = 150.0;
/// The least height of something that is there.
const LEAST: f64 = 2.0;

/// Characters that mean something in HTML, made harmless.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && c != '\n' => {}
            c => safe.push(c),
        }
    }
    safe
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a plot has fewer pixels than a double has digits"
)]
fn share(value: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { value as f64 / of as f64 }
}

/// Columns over time. Hatched on top: at least so much.
pub(super) fn columns(title: &str, columns: &[Column]) -> String {
    let most = columns.iter().map(|column| column.value).max().unwrap_or(0);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a plot has fewer pixels than a double has digits"
    )]
    let step = WIDTH / columns.len().max(1) as f64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\"><title>{}</title>\
         <line class=\"axis\" x1=\"0\" y1=\"{BASE}\" x2=\"{WIDTH}\" y2=\"{BASE}\"/>",
        escape(title),
        escape(title)
    );
    // About a dozen names fit below.
    let every = columns.len().div_ceil(12).max(1);
    for (place, column) in columns.iter().enumerate() {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a plot has fewer pixels than a double has digits"
        )]
        let x = place as f64 * step;
        let (left, width) = (x + step * 0.12, step * 0.76);
        let height = match column.value {
            0 => 0.0,
            value => (share(value, most) * (BASE - 16.0)).max(LEAST),
        };
        let _ = write!(
            svg,
            "<g><title>{}: {}</title><rect class=\"hit\" x=\"{x:.1}\" y=\"0\" width=\"{step:.1}\" height=\"{BASE}\"/>\
             <rect class=\"c1\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>",
            escape(&column.name),
            escape(&column.said),
            BASE - height
        );
        if column.is_least {
            let top = BASE - height - 12.0;
            let _ = write!(
                svg,
                "<rect class=\"unknown\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"12\"/>"
            );
        }
        svg.push_str("</g>");
        if place % every == 0 {
            let middle = x + step / 2.0;
            let _ = write!(
                svg,
                "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                BASE + 16.0,
                escape(column.name.get(5..).unwrap_or(&column.name))
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

/// A bar beside each name, as long as its value.
pub(super) fn bars(parts: &[Part]) -> String {
    let most = parts.iter().map(|part| part.value).max().unwrap_or(0);
    let mut html = String::from("<div class=\"bars\">");
    for part in parts {
        let width = share(part.value, most) * 100.0;
        let _ = write!(
            html,
            "<span class=\"name\">{}</span><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
             <rect class=\"c{}\" width=\"{width:.2}\" height=\"10\"/></svg><span class=\"said\">{}</span>",
            escape(&part.name),
            part.color,
            escape(&part.said)
        );
    }
    html.push_str("</div>");
    html
}

/// One bar, divided; with a legend.
pub(super) fn divided(parts: &[Part]) -> String {
    let sum: u64 = parts.iter().map(|part| part.value).sum();
    let mut bar =
        String::from("<svg class=\"divided\" viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
    let mut legend = String::from("<p class=\"legend\">");
    let mut x = 0.0;
    for part in parts.iter().filter(|part| part.value > 0) {
        let width = share(part.value, sum) * 100.0;
        let _ = write!(
            bar,
            "<rect class=\"c{}\" x=\"{x:.2}\" width=\"{width:.2}\" height=\"6\"><title>{}: {}</title></rect>",
            part.color,
            escape(&part.name),
            escape(&part.said)
        );
        let _ = write!(
            legend,
            "<span><i class=\"b{}\"></i>{} <b>{}</b></span> ",
            part.color,
            escape(&part.name),
            escape(&part.said)
        );
        x += width;
    }
    format!("{bar}</svg>{legend}</p>")
}
