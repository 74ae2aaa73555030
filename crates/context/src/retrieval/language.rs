//! What a file is, by its path: the language whose syntax is known, and whether it is a test or prose.

/// A language whose syntax trees are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// TypeScript and JavaScript without markup.
    TypeScript,
    /// Both with markup, and JavaScript, which the same grammar reads.
    Tsx,
    /// Go.
    Go,
    /// Java.
    Java,
    /// C and C++, by one grammar.
    Cpp,
    /// Ruby.
    Ruby,
}

/// What a file is good for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sort {
    /// Code whose syntax is known.
    Code(Language),
    /// Code in another language.
    OtherCode,
    /// Everything else that is text: prose, data, configuration.
    Text,
}

impl Sort {
    /// By the ending of the path.
    pub fn of(path: &str) -> Sort {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let lower = ending.to_ascii_lowercase();
        match lower.as_str() {
            "rs" => Sort::Code(Language::Rust),
            "py" | "pyi" => Sort::Code(Language::Python),
            "ts" | "mts" | "cts" => Sort::Code(Language::TypeScript),
            "tsx" | "jsx" | "js" | "mjs" | "cjs" => Sort::Code(Language::Tsx),
            "go" => Sort::Code(Language::Go),
            "java" => Sort::Code(Language::Java),
            "c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "hxx" => Sort::Code(Language::Cpp),
            "rb" | "rake" => Sort::Code(Language::Ruby),
            "kt" | "kts" | "scala" | "swift" | "cs" | "fs" | "php" | "pl" | "pm" | "lua" | "ex" | "exs" | "erl"
            | "hs" | "ml" | "mli" | "clj" | "dart" | "zig" | "nim" | "jl" | "r" | "m" | "mm" | "sh" | "bash"
            | "zsh" | "fish" | "ps1" | "sql" | "vue" | "svelte" | "pyx" | "pxd" | "proto" | "cu" | "groovy"
            | "gradle" | "asm" | "s" => Sort::OtherCode,
            _ => Sort::Text,
        }
    }

    /// Whether it is code.
    pub fn is_code(self) -> bool {
        !matches!(self, Sort::Text)
    }

    /// Whether files of the two kinds can import each other.
    pub(crate) fn imports_from(self, other: Sort) -> bool {
        let family = |sort: Sort| match sort {
            Sort::Code(Language::Tsx) => Sort::Code(Language::TypeScript),
            same => same,
        };
        family(self) == family(other)
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Sort::Text => 0,
            Sort::OtherCode => 1,
            Sort::Code(Language::Rust) => 2,
            Sort::Code(Language::Python) => 3,
            Sort::Code(Language::TypeScript) => 4,
            Sort::Code(Language::Tsx) => 5,
            Sort::Code(Language::Go) => 6,
            Sort::Code(Language::Java) => 7,
            Sort::Code(Language::Cpp) => 8,
            Sort::Code(Language::Ruby) => 9,
        }
    }

    /// The word for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Text => "text",
            Sort::OtherCode => "code",
            Sort::Code(Language::Rust) => "rust",
            Sort::Code(Language::Python) => "python",
            Sort::Code(Language::TypeScript) => "typescript",
            Sort::Code(Language::Tsx) => "javascript",
            Sort::Code(Language::Go) => "go",
            Sort::Code(Language::Java) => "java",
            Sort::Code(Language::Cpp) => "c++",
            Sort::Code(Language::Ruby) => "ruby",
        }
    }
}

/// Whether the path is that of a test, by the habits of the languages known.
pub fn is_test(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    let by_name = stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_spec")
        || stem == "conftest"
        || name.contains(".test.")
        || name.contains(".spec.")
        || (name.ends_with(".java") && (stem.ends_with("Test") || stem.ends_with("Tests")));
    by_name || parts.any(|part| matches!(part, "test" | "tests" | "__tests__" | "spec"))
}

/// The name of the file without what makes it a test: `tests/test_parser.py` is about `parser`.
pub(crate) fn owner_stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    let stem = match name.split('.').next().unwrap_or_default() {
        "__init__" | "mod" | "index" => stem(path),
        own => own,
    };
    let stem = stem.strip_prefix("test_").unwrap_or(stem);
    let stem = stem.strip_suffix("_test").unwrap_or(stem);
    stem.strip_suffix("_spec").unwrap_or(stem)
}

/// The name by which a file is known to those who import it: `a/b.py`, `a/b/__init__.py` and `a/b/mod.rs` are `b`.
pub(crate) fn stem(path: &str) -> &str {
    module(path).rsplit('/').next().unwrap_or_default()
}

/// The path without its ending, and without the file name where that only stands for its directory.
pub(crate) fn module(path: &str) -> &str {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let first = name.split('.').next().unwrap_or_default();
    match first {
        "__init__" | "mod" | "index" | "lib" | "main" if !directory.is_empty() => directory,
        _ if name.ends_with(".go") && !directory.is_empty() => directory,
        _ => {
            let kept = path.len() - name.len() + name.rfind('.').filter(|dot| *dot > 0).unwrap_or(name.len());
            &path[..kept]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_known_by_their_names() {
        for (path, expected) in [
            ("a/b.py", "a/b"),
            ("a/b/__init__.py", "a/b"),
            ("src/plan/mod.rs", "src/plan"),
            ("web/index.d.ts", "web"),
            ("pkg/http/server.go", "pkg/http"),
            (".gitignore", ".gitignore"),
            ("Makefile", "Makefile"),
            ("mod.rs", "mod"),
        ] {
            assert_eq!(module(path), expected, "{path}");
        }
    }

    #[test]
    fn tests_are_told_from_what_they_test() {
        for path in [
            "tests/a.py",
            "a/test_b.py",
            "x_test.go",
            "src/a.test.ts",
            "src/FooTest.java",
            "spec/a_spec.rb",
        ] {
            assert!(is_test(path), "{path}");
        }
        for path in [
            "src/testament.py",
            "contest.py",
            "src/attestation.rs",
            "sympy/testing/runtests.py",
        ] {
            assert!(!is_test(path), "{path}");
        }
        assert_eq!(owner_stem("tests/unit/test_parser.py"), "parser");
        assert_eq!(owner_stem("pkg/parser_test.go"), "parser");
        assert_eq!(owner_stem("src/plan/mod.rs"), "plan");
    }
}
