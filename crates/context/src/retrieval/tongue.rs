//! The grammars, and which of their nodes mean what: one table a language.

use std::sync::OnceLock;

use tree_sitter::Language as Grammar;

use super::language::Language;
use super::syntax::Kind;

/// What a node means to the reader of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Nothing; what is in it may.
    Nothing,
    /// Nothing, and neither does anything in it.
    Opaque,
    /// A name that is used, where it is not the name of a definition.
    Name,
    /// A definition, named by its field `name`.
    Definition(Kind),
    /// The same, when it has a body; a mere mention otherwise.
    WithBody(Kind),
    /// A definition of C, named inside its declarator.
    Declared(Kind),
    /// An assignment or declaration that counts only down to this depth.
    TopValue(u32),
    /// A variable that may be a function.
    Assigned,
    /// An import.
    Import,
    /// A module with a body, or the import of one in another file.
    ImportWithoutBody(Kind),
    /// An import, when it says from where.
    ImportFrom,
    /// A call that may be an import.
    ImportCall,
}

/// A grammar with its table.
pub(crate) struct Tongue {
    pub(crate) language: Grammar,
    /// By the number of a node's kind.
    roles: Vec<Role>,
}

impl Tongue {
    fn new(language: Grammar, table: &[(&str, Role)]) -> Tongue {
        let mut roles = vec![Role::Nothing; language.node_kind_count()];
        for (id, role) in roles.iter_mut().enumerate() {
            let Ok(id) = u16::try_from(id) else { continue };
            let Some(kind) = language.node_kind_for_id(id) else {
                continue;
            };
            if !language.node_kind_is_named(id) {
                continue;
            }
            let found = table.iter().find(|(name, _)| *name == kind);
            *role = match (found, kind) {
                (Some((_, role)), _) => *role,
                (None, "comment" | "line_comment" | "block_comment" | "string_content" | "string_fragment") => {
                    Role::Opaque
                }
                (None, "identifier" | "constant") => Role::Name,
                (None, other) if other.ends_with("_identifier") && !other.starts_with("scoped") => Role::Name,
                (None, _) => Role::Nothing,
            };
        }
        Tongue { language, roles }
    }

    pub(crate) fn role(&self, kind: u16) -> Role {
        self.roles.get(usize::from(kind)).copied().unwrap_or(Role::Nothing)
    }
}

/// The tongue of a language; built once.
pub(crate) fn of(language: Language) -> &'static Tongue {
    static TONGUES: [OnceLock<Tongue>; 8] = [const { OnceLock::new() }; 8];
    let (grammar, table) = match language {
        Language::Rust => (tree_sitter_rust::LANGUAGE, RUST),
        Language::Python => (tree_sitter_python::LANGUAGE, PYTHON),
        Language::TypeScript => (tree_sitter_typescript::LANGUAGE_TYPESCRIPT, TYPESCRIPT),
        Language::Tsx => (tree_sitter_typescript::LANGUAGE_TSX, TYPESCRIPT),
        Language::Go => (tree_sitter_go::LANGUAGE, GO),
        Language::Java => (tree_sitter_java::LANGUAGE, JAVA),
        Language::Cpp => (tree_sitter_cpp::LANGUAGE, CPP),
        Language::Ruby => (tree_sitter_ruby::LANGUAGE, RUBY),
    };
    TONGUES[language as usize].get_or_init(|| Tongue::new(grammar.into(), table))
}

const RUST: &[(&str, Role)] = &[
    ("function_item", Role::Definition(Kind::Function)),
    ("function_signature_item", Role::Definition(Kind::Method)),
    ("struct_item", Role::Definition(Kind::Type)),
    ("enum_item", Role::Definition(Kind::Type)),
    ("enum_variant", Role::Definition(Kind::Value)),
    ("union_item", Role::Definition(Kind::Type)),
    ("type_item", Role::Definition(Kind::Type)),
    ("trait_item", Role::Definition(Kind::Interface)),
    ("const_item", Role::Definition(Kind::Value)),
    ("static_item", Role::Definition(Kind::Value)),
    ("macro_definition", Role::Definition(Kind::Macro)),
    ("mod_item", Role::ImportWithoutBody(Kind::Module)),
    ("use_declaration", Role::Import),
];

const PYTHON: &[(&str, Role)] = &[
    ("function_definition", Role::Definition(Kind::Function)),
    ("class_definition", Role::Definition(Kind::Type)),
    // module > expression_statement > assignment
    ("assignment", Role::TopValue(2)),
    ("import_statement", Role::Import),
    ("import_from_statement", Role::Import),
    ("future_import_statement", Role::Opaque),
];

const TYPESCRIPT: &[(&str, Role)] = &[
    ("function_declaration", Role::Definition(Kind::Function)),
    ("generator_function_declaration", Role::Definition(Kind::Function)),
    ("function_signature", Role::Definition(Kind::Function)),
    ("class_declaration", Role::Definition(Kind::Type)),
    ("abstract_class_declaration", Role::Definition(Kind::Type)),
    ("interface_declaration", Role::Definition(Kind::Interface)),
    ("type_alias_declaration", Role::Definition(Kind::Type)),
    ("enum_declaration", Role::Definition(Kind::Type)),
    ("method_definition", Role::Definition(Kind::Method)),
    ("abstract_method_signature", Role::Definition(Kind::Method)),
    ("variable_declarator", Role::Assigned),
    ("import_statement", Role::Import),
    ("export_statement", Role::ImportFrom),
    ("call_expression", Role::ImportCall),
];

const GO: &[(&str, Role)] = &[
    ("function_declaration", Role::Definition(Kind::Function)),
    ("method_declaration", Role::Definition(Kind::Method)),
    ("type_spec", Role::Definition(Kind::Type)),
    ("type_alias", Role::Definition(Kind::Type)),
    ("const_spec", Role::Definition(Kind::Value)),
    // source_file > var_declaration > var_spec
    ("var_spec", Role::TopValue(3)),
    ("import_spec", Role::Import),
];

const JAVA: &[(&str, Role)] = &[
    ("class_declaration", Role::Definition(Kind::Type)),
    ("record_declaration", Role::Definition(Kind::Type)),
    ("enum_declaration", Role::Definition(Kind::Type)),
    ("interface_declaration", Role::Definition(Kind::Interface)),
    ("annotation_type_declaration", Role::Definition(Kind::Interface)),
    ("method_declaration", Role::Definition(Kind::Method)),
    ("constructor_declaration", Role::Definition(Kind::Method)),
    ("enum_constant", Role::Definition(Kind::Value)),
    ("import_declaration", Role::Import),
];

const CPP: &[(&str, Role)] = &[
    ("function_definition", Role::Declared(Kind::Function)),
    ("struct_specifier", Role::WithBody(Kind::Type)),
    ("class_specifier", Role::WithBody(Kind::Type)),
    ("union_specifier", Role::WithBody(Kind::Type)),
    ("enum_specifier", Role::WithBody(Kind::Type)),
    ("enumerator", Role::Definition(Kind::Value)),
    ("namespace_definition", Role::Definition(Kind::Module)),
    ("concept_definition", Role::Definition(Kind::Interface)),
    ("alias_declaration", Role::Definition(Kind::Type)),
    ("type_definition", Role::Declared(Kind::Type)),
    ("preproc_def", Role::Definition(Kind::Macro)),
    ("preproc_function_def", Role::Definition(Kind::Macro)),
    ("preproc_include", Role::Import),
];

const RUBY: &[(&str, Role)] = &[
    ("method", Role::Definition(Kind::Method)),
    ("singleton_method", Role::Definition(Kind::Method)),
    ("class", Role::Definition(Kind::Type)),
    ("module", Role::Definition(Kind::Module)),
    ("call", Role::ImportCall),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that a grammar no longer has would silently go unread.
    #[test]
    fn every_node_of_the_tables_is_in_its_grammar() {
        for (language, table) in [
            (Language::Rust, RUST),
            (Language::Python, PYTHON),
            (Language::TypeScript, TYPESCRIPT),
            (Language::Tsx, TYPESCRIPT),
            (Language::Go, GO),
            (Language::Java, JAVA),
            (Language::Cpp, CPP),
            (Language::Ruby, RUBY),
        ] {
            let tongue = of(language);
            for (kind, _) in table {
                assert_ne!(tongue.language.id_for_node_kind(kind, true), 0, "{language:?}: {kind}");
            }
        }
    }
}
