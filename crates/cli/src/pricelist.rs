//! The prices this project works with: those that came with the program, and on top of them those that were read by
//! `wheelhouse prices update` into `prices.json` of the state directory.

use std::io;

use wheelhouse_core::day::Day;
use wheelhouse_core::price::Table;

use crate::exit;
use crate::failure::Failure;
use crate::moment::now;
use crate::place::Place;

/// Today.
pub(crate) fn today() -> Day {
    Day::of(now())
}

/// Reads a day that somebody typed.
pub(crate) fn day(text: &str) -> Result<Day, Failure> {
    text.parse()
        .map_err(|error: wheelhouse_core::day::NotADay| Failure::usage(error.to_string()))
}

/// What was read on top; none when nothing was.
pub(crate) fn imported(place: &Place) -> Result<Option<Table>, Failure> {
    let path = place.prices();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read the prices in", &path, &error)),
    };
    Table::parse(&text).map(Some).map_err(|error| {
        Failure::new(exit::STATE_FAILED, format!("{}: {error}", path.display())).hint(
            "read the table again with `wheelhouse prices update FILE`, or remove the file: then the shipped prices count",
        )
    })
}

/// Both together.
pub(crate) fn table(place: &Place) -> Result<Table, Failure> {
    Ok(match imported(place)? {
        Some(imported) => Table::shipped().with(&imported),
        None => Table::shipped().clone(),
    })
}
