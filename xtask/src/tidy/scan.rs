//! A scanner of Rust lines: tells code from comments and literals, and product from tests.
//!
//! Called by [`super::tree`] for every `.rs` file. It knows tokens that can hide others (comments, strings,
//! characters) and braces, no more.

/// One `.rs` file, seen line by line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Scanned {
    /// Its lines.
    pub(crate) lines: Vec<Line>,
    /// Modules that it declares for tests only (`#[cfg(test)] mod x;`).
    pub(crate) test_modules: Vec<String>,
    /// Every path that a `use` brings in, groups resolved, with its line from 1.
    pub(crate) imports: Vec<(usize, String)>,
    /// The inside of every attribute, with its line from 1.
    pub(crate) attributes: Vec<(usize, String)>,
    /// All functions that have a body, nested ones too.
    pub(crate) functions: Vec<Function>,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Line {
    /// Its code; comments and the insides of literals are blanks.
    pub(crate) code: String,
    /// Its comments; everything else is blanks.
    pub(crate) comment: String,
    /// Whether it is compiled for tests only.
    pub(crate) is_test: bool,
}

/// A function and the lines it spans, both counted from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of its `fn`.
    pub(crate) first: usize,
    /// The line of its closing brace.
    pub(crate) last: usize,
}

/// Scans a file.
pub(crate) fn scan(text: &str) -> Scanned {
    let (code, comments) = split(text);
    let code = Code::new(&code);
    let words = words(&code.chars);
    let attributes = attributes(&code.chars);
    let (test_spans, test_modules) = find_tests(&code, &attributes);
    let masked: String = code.chars.iter().collect();
    let lines = masked
        .lines()
        .zip(comments.lines())
        .enumerate()
        .map(|(at, (code, comment))| Line {
            code: code.trim_end().to_owned(),
            comment: comment.trim_end().to_owned(),
            is_test: test_spans.iter().any(|(first, last)| (*first..=*last).contains(&at)),
        })
        .collect();
    let at_line = |attribute: Attribute| (code.line_of(attribute.start) + 1, attribute.inside);
    Scanned {
        lines,
        test_modules,
        imports: imports(&code, &words),
        functions: functions(&code, &words),
        attributes: attributes.into_iter().map(at_line).collect(),
    }
}

/// The code of a file, and where its lines break.
struct Code {
    chars: Vec<char>,
    breaks: Vec<usize>,
}

impl Code {
    fn new(masked: &str) -> Code {
        let chars: Vec<char> = masked.chars().collect();
        let breaks = (0..chars.len()).filter(|at| chars[*at] == '\n').collect();
        Code { chars, breaks }
    }

    /// The line, from 0, of the character at `at`.
    fn line_of(&self, at: usize) -> usize {
        self.breaks.partition_point(|line_break| *line_break < at)
    }
}

fn functions(code: &Code, words: &[(usize, String)]) -> Vec<Function> {
    let chars = &code.chars;
    let starts = words.iter().filter(|(_, word)| word == "fn").map(|(start, _)| *start);
    let function = |start: usize| {
        Some(Function {
            name: word_at(chars, skip_blanks(chars, start + 2))?,
            first: code.line_of(start) + 1,
            last: code.line_of(closing(chars, body(chars, start)?)) + 1,
        })
    };
    starts.filter_map(function).collect()
}

fn imports(code: &Code, words: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut imports = Vec::new();
    for (start, _) in words.iter().filter(|(_, word)| word == "use") {
        let tree: String = code.chars[start + 3..].iter().take_while(|c| **c != ';').collect();
        let tree = tree.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = code.line_of(*start) + 1;
        imports.extend(expand("", &tree).into_iter().map(|path| (line, path)));
    }
    imports
}

/// Whether `text` says `what` as a whole: `rand` is in `rand::random`, not in `operand`.
pub(crate) fn says(text: &str, what: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(what)
        .any(|(at, _)| !is_word(text[..at].chars().next_back()) && !is_word(text[at + what.len()..].chars().next()))
}

/// The words of a line of code, in order.
pub(crate) fn words_of(code: &str) -> Vec<String> {
    let code: Vec<char> = code.chars().collect();
    words(&code).into_iter().map(|(_, word)| word).collect()
}

/// What the characters being read belong to.
enum Within {
    Code,
    LineComment,
    BlockComment { depth: u32 },
    Text,
    RawText { hashes: usize },
}

/// The text twice: code alone and comments alone, all else blanked, line breaks kept.
fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\n');
    let mut code = String::with_capacity(text.len());
    let mut comments = String::with_capacity(text.len());
    let mut within = Within::Code;
    let mut i = 0;
    while i < chars.len() {
        // How many characters this step takes, and where they go.
        let mut taken = 1;
        let mut is_code = false;
        let mut is_comment = false;
        within = match within {
            Within::Code if at(i) == '/' && at(i + 1) == '/' => {
                is_comment = true;
                Within::LineComment
            }
            Within::Code if at(i) == '/' && at(i + 1) == '*' => {
                taken = 2;
                Within::BlockComment { depth: 1 }
            }
            Within::Code if at(i) == '"' => {
                is_code = true;
                Within::Text
            }
            Within::Code => {
                is_code = true;
                if let Some(hashes) = raw_text_opens(&chars, i) {
                    taken = hashes + 2;
                    Within::RawText { hashes }
                } else {
                    taken = character_literal(&chars, i).unwrap_or(1);
                    is_code = taken == 1;
                    Within::Code
                }
            }
            Within::LineComment if at(i) == '\n' => Within::Code,
            Within::LineComment => {
                is_comment = true;
                Within::LineComment
            }
            Within::BlockComment { depth } if at(i) == '/' && at(i + 1) == '*' => {
                taken = 2;
                Within::BlockComment { depth: depth + 1 }
            }
            Within::BlockComment { depth } if at(i) == '*' && at(i + 1) == '/' => {
                taken = 2;
                if depth == 1 {
                    Within::Code
                } else {
                    Within::BlockComment { depth: depth - 1 }
                }
            }
            Within::BlockComment { depth } => {
                is_comment = true;
                Within::BlockComment { depth }
            }
            Within::Text if at(i) == '\\' => {
                taken = 2;
                Within::Text
            }
            Within::Text if at(i) == '"' => {
                is_code = true;
                Within::Code
            }
            Within::Text => Within::Text,
            Within::RawText { hashes } if at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#') => {
                taken = hashes + 1;
                is_code = true;
                Within::Code
            }
            Within::RawText { hashes } => Within::RawText { hashes },
        };
        for c in chars.iter().skip(i).take(taken) {
            let blank = if *c == '\n' { '\n' } else { ' ' };
            code.push(if is_code { *c } else { blank });
            comments.push(if is_comment { *c } else { blank });
        }
        i += taken;
    }
    (code, comments)
}

/// The number of hashes when a raw string begins with the `r` at `i`.
fn raw_text_opens(chars: &[char], i: usize) -> Option<usize> {
    if chars[i] != 'r' {
        return None;
    }
    let before = |n: usize| {
        i.checked_sub(n)
            .and_then(|at| chars.get(at))
            .copied()
            .filter(|c| is_word(*c))
    };
    let starts_word = match before(1) {
        None => true,
        Some('b' | 'c') => before(2).is_none(),
        Some(_) => false,
    };
    let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
    (starts_word && chars.get(i + 1 + hashes) == Some(&'"')).then_some(hashes)
}

/// The length of the character literal that begins at `i`; a lifetime is none.
fn character_literal(chars: &[char], i: usize) -> Option<usize> {
    if chars[i] != '\'' {
        return None;
    }
    match (chars.get(i + 1)?, chars.get(i + 2)?) {
        ('\\', _) => chars[i + 3..].iter().position(|c| *c == '\'').map(|at| at + 4),
        (_, '\'') => Some(3),
        _ => None,
    }
}

/// The spans of lines (from 0) that are compiled for tests only, and the modules declared for tests only.
fn find_tests(code: &Code, attributes: &[Attribute]) -> (Vec<(usize, usize)>, Vec<String>) {
    let mut spans = Vec::new();
    let mut modules = Vec::new();
    let chars = &code.chars;
    for Attribute { start, end, .. } in attributes.iter().filter(|attribute| is_for_tests(&attribute.inside)) {
        if chars.get(start + 1) == Some(&'!') {
            spans.push((0, code.breaks.len()));
            continue;
        }
        match body(chars, *end) {
            Some(open) => spans.push((code.line_of(*start), code.line_of(closing(chars, open)))),
            None => modules.extend(declared_module(chars, *end)),
        }
    }
    (spans, modules)
}

fn is_for_tests(attribute: &str) -> bool {
    attribute == "cfg(test)"
        || attribute.starts_with("cfg(all(test")
        || attribute == "test"
        || attribute.ends_with("::test")
        || attribute.starts_with("tokio::test(")
}

/// The name in `mod name;` after `from`, whatever stands before `mod` in that item.
fn declared_module(code: &[char], from: usize) -> Option<String> {
    let item: String = code[from..].iter().take_while(|c| **c != ';').collect();
    let name = item.split_whitespace().skip_while(|word| *word != "mod").nth(1)?;
    Some(name.to_owned())
}

/// An attribute, from its `#` to its `]`.
struct Attribute {
    start: usize,
    end: usize,
    /// What it says, without blanks.
    inside: String,
}

fn attributes(code: &[char]) -> Vec<Attribute> {
    let mut found = Vec::new();
    for start in (0..code.len()).filter(|at| code[*at] == '#') {
        let open = if code.get(start + 1) == Some(&'!') {
            start + 2
        } else {
            start + 1
        };
        if code.get(open) != Some(&'[') {
            continue;
        }
        let end = closing(code, open);
        let inside = code[open + 1..end].iter().filter(|c| !c.is_whitespace()).collect();
        found.push(Attribute { start, end, inside });
    }
    found
}

/// Where the body of the item at `from` opens; none when it ends in `;` before.
fn body(code: &[char], from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in code.iter().enumerate().skip(from) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth <= 0 => return Some(at),
            ';' if depth <= 0 => return None,
            _ => {}
        }
    }
    None
}

/// Where the bracket at `open` closes; the end of the file when it never does.
fn closing(code: &[char], open: usize) -> usize {
    let mut depth = 0_u32;
    for (at, c) in code.iter().enumerate().skip(open) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// A `use` tree as full paths: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        return vec![format!("{prefix}{tree}")];
    };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let prefix = format!("{prefix}{head}");
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match parts.last_mut() {
            Some(part) if c != ',' || depth > 0 => part.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts
        .iter()
        .filter(|part| !part.trim().is_empty())
        .flat_map(|part| expand(&prefix, part))
        .collect()
}

/// All words with the place of their first character.
fn words(code: &[char]) -> Vec<(usize, String)> {
    (0..code.len())
        .filter(|i| is_word(code[*i]) && (*i == 0 || !is_word(code[*i - 1])))
        .filter_map(|i| word_at(code, i).map(|word| (i, word)))
        .collect()
}

fn word_at(code: &[char], from: usize) -> Option<String> {
    let word: String = code.get(from..)?.iter().take_while(|c| is_word(**c)).collect();
    (!word.is_empty()).then_some(word)
}

fn skip_blanks(code: &[char], from: usize) -> usize {
    from + code[from..].iter().take_while(|c| c.is_whitespace()).count()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        scan(text).lines.into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a(); // todo!()"), ["a();"]);
        assert_eq!(code("a(/* b( /* c */ d */);"), [format!("a({});", " ".repeat(18))]);
        assert_eq!(code(r#"a("b\"c{"); d"#), [r#"a("     "); d"#]);
        assert_eq!(code("a(r#\"b\"{\"#); d"), ["a(r#\"   \"#); d"]);
        assert_eq!(code("a(br\"\\\"); d"), ["a(br\" \"); d"]);
        assert_eq!(code("r#type(b)"), ["r#type(b)"]);
    }

    #[test]
    fn characters_are_not_lifetimes() {
        assert_eq!(
            code("f::<'a>('{', '\\'', '\\u{7b}', 'x)"),
            ["f::<'a>(   ,     ,         , 'x)"]
        );
    }

    #[test]
    fn comments_are_kept_apart() {
        let scanned = scan("a(); // why\n/* and\nmore */ b();");
        let comments: Vec<&str> = scanned.lines.iter().map(|line| line.comment.trim()).collect();
        assert_eq!(comments, ["// why", "and", "more"]);
    }

    #[test]
    fn test_code_is_known() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n#[tokio::test]\nasync fn d() {\n}\n";
        let flags: Vec<bool> = scan(text).lines.iter().map(|line| line.is_test).collect();
        assert_eq!(flags, [false, true, true, true, true, false, true, true, true]);
        assert_eq!(
            scan("#[cfg(test)]\npub(crate) mod rigs;\nmod real;\n").test_modules,
            ["rigs"]
        );
        assert!(scan("//! x\n#![cfg(test)]\nfn a() {}\n").lines[2].is_test);
    }

    #[test]
    fn functions_span_their_bodies() {
        let text = "trait T { fn none(&self); }\nfn one(a: [u8; 3]) -> fn(u8) {\n  if x { y } else { z }\n}\n";
        let expected = Function {
            name: "one".to_owned(),
            first: 2,
            last: 4,
        };
        assert_eq!(scan(text).functions, [expected]);
    }

    #[test]
    fn groups_of_imports_are_resolved() {
        let paths: Vec<String> = scan("use std::{\n  fs,\n  io::{self, Read},\n};\nuse a::b as c;\n")
            .imports
            .into_iter()
            .map(|(line, path)| format!("{line} {path}"))
            .collect();
        assert_eq!(
            paths,
            ["1 std::fs", "1 std::io::self", "1 std::io::Read", "5 a::b as c"]
        );
    }

    #[test]
    fn only_whole_words_count() {
        assert!(says("let x = rand::random();", "rand"));
        assert!(!says("operand(strand)", "rand"));
        assert!(says("std::thread::spawn(f)", "thread::spawn"));
        assert!(!says("my_thread::spawner", "thread::spawn"));
    }
}
