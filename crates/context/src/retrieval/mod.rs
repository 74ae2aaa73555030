//! Retrieval: which places of a tree a question is about.
//!
//! A file is taken apart into an [`anatomy::Anatomy`]; anatomies become a [`segment::Segment`]; segments and a [`catalogue::Catalogue`]
//! become an [`index::Index`], which a [`query::Query`] is put to: [`search::search`] for places, [`packet::packet`]
//! for what an agent is given before its first turn. Whoever stands outside walks the tree, keeps the bytes and decides
//! when to look again (`engine::codebase`); nothing here touches a file.

pub mod anatomy;
mod bytes;
pub mod catalogue;
mod chunk;
mod imports;
pub mod index;
pub mod language;
pub mod legs;
pub mod meaning;
pub mod packet;
pub mod query;
pub mod search;
pub mod segment;
pub mod syntax;
mod terms;
mod tongue;
mod vector;

pub use bytes::Corrupt;

/// How alike two texts are spelt, from -1 to 1: the vectors of letter groups that the index uses, without an index.
pub fn likeness(one: &str, other: &str) -> f32 {
    let direction = |text: &str| {
        let mut sum = vector::Sum::new();
        terms::identifiers(text, |_, identifier| {
            terms::terms_of(identifier, |_, part| sum.add(part, 1.0))
        });
        sum.direction()
    };
    vector::likeness(&direction(one), &direction(other))
}
