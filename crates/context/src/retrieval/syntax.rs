//! The syntax tree of a file, read for three things: what it defines, which names it uses, what it imports.
//!
//! One walk a file, by tables of node kinds (`tongue`); no queries, no recursion, and a limit on the work a
//! hostile file can cause.

use std::ops::ControlFlow;

use tree_sitter::{Node, ParseOptions, Parser, Tree, TreeCursor};

use super::language::Language;
use super::tongue::{self, Role, Tongue};

/// How often the parser may look up per byte of text before it is stopped, in units of a hundred operations.
const LOOKS_PER_KIB: usize = 1_024;
/// The longest name kept.
const NAME_MAX: usize = 128;
/// The longest import kept.
const IMPORT_MAX: usize = 400;

/// What kind of thing a definition is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A function outside of a type.
    Function,
    /// A function of a type.
    Method,
    /// A class, struct, enum, union or record.
    Type,
    /// An interface or trait.
    Interface,
    /// A module or namespace.
    Module,
    /// A constant, static, variable or field of a module.
    Value,
    /// A macro.
    Macro,
}

impl Kind {
    /// All of them, in the order of their codes.
    pub(crate) const ALL: [Kind; 7] = [
        Kind::Function,
        Kind::Method,
        Kind::Type,
        Kind::Interface,
        Kind::Module,
        Kind::Value,
        Kind::Macro,
    ];

    /// The word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Function => "function",
            Kind::Method => "method",
            Kind::Type => "type",
            Kind::Interface => "interface",
            Kind::Module => "module",
            Kind::Value => "value",
            Kind::Macro => "macro",
        }
    }
}

/// One definition. Lines count from 1; the last one is part of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    /// The name, without its surroundings.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its first line.
    pub start: u32,
    /// Its last line.
    pub end: u32,
}

/// What the tree of one file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outline {
    /// What it defines, in the order of the text.
    pub definitions: Vec<Definition>,
    /// The names it uses, with the first byte of each use.
    pub references: Vec<(usize, usize)>,
    /// What it imports, as written.
    pub imports: Vec<String>,
}

/// Reads the tree of a text. None when the parser gave up, so that the text is still indexed as words.
pub fn outline(language: Language, text: &str) -> Option<Outline> {
    let tongue = tongue::of(language);
    let tree = parse(tongue, text)?;
    let mut outline = Outline::default();
    let mut reader = Reading {
        tongue,
        text,
        outline: &mut outline,
        named: usize::MAX,
    };
    let mut cursor = tree.walk();
    walk(&mut cursor, |node, depth| reader.visit(node, depth));
    Some(outline)
}

fn parse(tongue: &Tongue, text: &str) -> Option<Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tongue.language).ok()?;
    let bytes = text.as_bytes();
    let mut looks = 0;
    let looks_max = (bytes.len() / 1_024 + 64) * LOOKS_PER_KIB;
    let mut watch = |_: &tree_sitter::ParseState| {
        looks += 1;
        if looks > looks_max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = ParseOptions::new().progress_callback(&mut watch);
    parser.parse_with_options(&mut |at, _| bytes.get(at..).unwrap_or_default(), None, Some(options))
}

/// Visits every node, parents first, with its depth. `visit` says whether to go into it.
fn walk<'tree>(cursor: &mut TreeCursor<'tree>, mut visit: impl FnMut(Node<'tree>, u32) -> bool) {
    let mut depth = 0;
    loop {
        if visit(cursor.node(), depth) && cursor.goto_first_child() {
            depth += 1;
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
            depth -= 1;
        }
    }
}

struct Reading<'a> {
    tongue: &'a Tongue,
    text: &'a str,
    outline: &'a mut Outline,
    /// Where the name of the last definition starts: that one is no use of the name.
    named: usize,
}

impl<'a> Reading<'a> {
    fn visit(&mut self, node: Node<'_>, depth: u32) -> bool {
        match self.tongue.role(node.kind_id()) {
            Role::Nothing => true,
            Role::Opaque => false,
            Role::Name => {
                let range = node.byte_range();
                if range.start != self.named && range.len() >= 2 && range.len() <= NAME_MAX {
                    self.outline.references.push((range.start, range.end));
                }
                true
            }
            Role::Definition(kind) => {
                self.define(node, node, kind);
                true
            }
            Role::WithBody(kind) => {
                if node.child_by_field_name("body").is_some() {
                    self.define(node, node, kind);
                }
                true
            }
            Role::Declared(kind) => {
                if let Some(declarator) = node.child_by_field_name("declarator")
                    && let Some(name) = innermost(declarator)
                {
                    self.named(node, name, kind);
                }
                true
            }
            Role::TopValue(depth_max) => {
                if depth <= depth_max {
                    self.value(node);
                }
                true
            }
            Role::Assigned => {
                let function = node.child_by_field_name("value").is_some_and(|value| {
                    matches!(
                        value.kind(),
                        "arrow_function" | "function_expression" | "class" | "generator_function"
                    )
                });
                match (function, depth <= 4) {
                    (true, _) => self.define(node, node, Kind::Function),
                    (false, true) => self.define(node, node, Kind::Value),
                    (false, false) => {}
                }
                true
            }
            Role::Import => {
                self.import(node);
                false
            }
            Role::ImportWithoutBody(kind) => {
                match node.child_by_field_name("body") {
                    Some(_) => self.define(node, node, kind),
                    None => self.import(node),
                }
                true
            }
            Role::ImportFrom => {
                let imports = node.child_by_field_name("source").is_some();
                if imports {
                    self.import(node);
                }
                !imports
            }
            Role::ImportCall => {
                let asks = node
                    .child_by_field_name("method")
                    .or_else(|| node.child_by_field_name("function"))
                    .is_some_and(|method| matches!(self.at(method), "require" | "require_relative"));
                if asks {
                    self.import(node);
                }
                !asks
            }
        }
    }

    fn at(&self, node: Node<'_>) -> &'a str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    fn define(&mut self, whole: Node<'_>, named: Node<'_>, kind: Kind) {
        if let Some(name) = named.child_by_field_name("name") {
            self.named(whole, last_part(name), kind);
        }
    }

    fn named(&mut self, whole: Node<'_>, name: Node<'_>, kind: Kind) {
        let text = self.at(name);
        if text.is_empty() || text.len() > NAME_MAX || text.contains(char::is_whitespace) {
            return;
        }
        self.named = name.start_byte();
        let outer = match whole.parent() {
            // Decorators and `export` belong to what they stand before.
            Some(parent) if matches!(parent.kind(), "decorated_definition" | "export_statement") => parent,
            _ => whole,
        };
        // Some nodes end with the line break, which is the start of the next line.
        let last = match whole.end_position() {
            end if end.column == 0 => end.row.saturating_sub(1),
            end => end.row,
        };
        let line = |row: usize| u32::try_from(row + 1).unwrap_or(u32::MAX);
        self.outline.definitions.push(Definition {
            name: text.to_owned(),
            kind,
            start: line(outer.start_position().row),
            end: line(last.max(whole.start_position().row)),
        });
    }

    /// `NAME = …` at the top of a module.
    fn value(&mut self, node: Node<'_>) {
        if let Some(left) = node
            .child_by_field_name("left")
            .or_else(|| node.child_by_field_name("name"))
            && left.child_count() == 0
        {
            self.named(node, left, Kind::Value);
        }
    }

    fn import(&mut self, node: Node<'_>) {
        let text = self.at(node);
        let end = text.floor_char_boundary(IMPORT_MAX);
        self.outline.imports.push(text[..end].trim().to_owned());
    }
}

/// The name inside the declarators of C: `*(*f)(int)` declares `f`.
fn innermost(declarator: Node<'_>) -> Option<Node<'_>> {
    let mut node = declarator;
    // Declarators nest as deep as somebody types; a name that deep is nobody's.
    for _ in 0..16 {
        match node.kind() {
            "identifier" | "field_identifier" | "type_identifier" | "destructor_name" | "operator_name" => {
                return Some(node);
            }
            "qualified_identifier" => node = node.child_by_field_name("name")?,
            _ => {
                node = node
                    .child_by_field_name("declarator")
                    .or_else(|| node.named_child(0).filter(|child| child.kind().ends_with("declarator")))?;
            }
        }
    }
    None
}

/// The last part of a name with a path: `Net::HTTP` is `HTTP`.
fn last_part(name: Node<'_>) -> Node<'_> {
    name.child_by_field_name("name").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(language: Language, text: &str) -> (Vec<String>, Vec<&str>, Vec<String>) {
        let outline = outline(language, text).unwrap();
        let definitions = outline.definitions.iter();
        let definitions = definitions
            .map(|one| format!("{} {} {}-{}", one.kind.name(), one.name, one.start, one.end))
            .collect();
        let mut references: Vec<&str> = outline.references.iter().map(|(from, to)| &text[*from..*to]).collect();
        references.sort_unstable();
        references.dedup();
        (definitions, references, outline.imports)
    }

    #[test]
    fn rust_is_read() {
        let text = "use crate::plan::{Task, Run};\nmod part;\npub const MAX: u8 = 1;\n/// Doc.\npub struct Store { of: Task }\n\
                    impl Store {\n    pub fn open(path: &Path) -> Store {\n        connect(path)\n    }\n}\ntrait Port {}\n\
                    macro_rules! say { () => {} }\n";
        let (definitions, references, imports) = shown(Language::Rust, text);
        assert_eq!(
            definitions,
            [
                "value MAX 3-3",
                "type Store 5-5",
                "function open 7-9",
                "interface Port 11-11",
                "macro say 12-12"
            ]
        );
        assert!(references.contains(&"connect") && references.contains(&"Task") && !references.contains(&"open"));
        assert_eq!(imports, ["use crate::plan::{Task, Run};", "mod part;"]);
    }

    #[test]
    fn python_is_read() {
        let text = "import os.path\nfrom .core import Basic as B\nLIMIT = 3\n@decorated\ndef area(shape):\n    local = 1\n    return measure(shape)\n\
                    class Shape(B):\n    def side(self):\n        pass\n";
        let (definitions, references, imports) = shown(Language::Python, text);
        assert_eq!(
            definitions,
            [
                "value LIMIT 3-3",
                "function area 4-7",
                "type Shape 8-10",
                "function side 9-10"
            ]
        );
        assert!(references.contains(&"measure"));
        assert_eq!(imports, ["import os.path", "from .core import Basic as B"]);
    }

    #[test]
    fn typescript_and_javascript_are_read() {
        let text = "import { a } from './lib/a';\nexport function go(x: number) { return call(x); }\nexport class Box<T> { open() {} }\n\
                    interface Shape { area(): number }\nconst twice = (x) => x * 2;\ntype Id = string;\nexport * from '../b';\n";
        let (definitions, references, imports) = shown(Language::TypeScript, text);
        assert_eq!(
            definitions,
            [
                "function go 2-2",
                "type Box 3-3",
                "method open 3-3",
                "interface Shape 4-4",
                "function twice 5-5",
                "type Id 6-6"
            ]
        );
        assert!(references.contains(&"call"));
        assert_eq!(imports, ["import { a } from './lib/a';", "export * from '../b';"]);
        let (definitions, _, _) = shown(Language::Tsx, "const View = () => <div>{x}</div>;\nfunction f() {}\n");
        assert_eq!(definitions, ["function View 1-1", "function f 2-2"]);
    }

    #[test]
    fn go_java_cpp_and_ruby_are_read() {
        let (definitions, _, imports) = shown(
            Language::Go,
            "package a\nimport (\n\t\"fmt\"\n\tx \"example.org/m/pkg\"\n)\ntype Store struct{}\nfunc (s *Store) Open() error { return fmt.Err() }\nfunc New() {}\n",
        );
        assert_eq!(definitions, ["type Store 6-6", "method Open 7-7", "function New 8-8"]);
        assert_eq!(imports, ["\"fmt\"", "x \"example.org/m/pkg\""]);
        let (definitions, _, imports) = shown(
            Language::Java,
            "package a;\nimport org.b.Thing;\npublic class Box {\n  Box() {}\n  int open(Thing t) { return t.go(); }\n}\ninterface Shape {}\n",
        );
        assert_eq!(
            definitions,
            [
                "type Box 3-6",
                "method Box 4-4",
                "method open 5-5",
                "interface Shape 7-7"
            ]
        );
        assert_eq!(imports, ["import org.b.Thing;"]);
        let (definitions, _, imports) = shown(
            Language::Cpp,
            "#include \"lib/box.h\"\nstruct Box { int x; };\nstatic int *area(struct Box *b) { return side(b); }\nvoid ns::Box::open() {}\n\
             class Lid { void shut(); };\n#define LIMIT 3\n",
        );
        assert_eq!(
            definitions,
            [
                "type Box 2-2",
                "function area 3-3",
                "function open 4-4",
                "type Lid 5-5",
                "macro LIMIT 6-6"
            ]
        );
        assert_eq!(imports, ["#include \"lib/box.h\""]);
        let (definitions, references, imports) = shown(
            Language::Ruby,
            "require_relative 'lib/box'\nmodule Net\n  class HTTP\n    def get(path)\n      fetch path\n    end\n  end\nend\n",
        );
        assert_eq!(definitions, ["module Net 2-8", "type HTTP 3-7", "method get 4-6"]);
        assert!(references.contains(&"fetch"));
        assert_eq!(imports, ["require_relative 'lib/box'"]);
    }

    #[test]
    fn broken_text_is_read_as_far_as_it_goes() {
        let outline = outline(Language::Rust, "fn a() {}\nfn b( { {{{ \n\u{fffd}\u{0}").unwrap();
        assert_eq!(outline.definitions[0].name, "a");
        let deep = "(".repeat(200_000);
        let _ = super::outline(Language::Python, &deep);
    }
}
