//! What people see: pages, screens and lines made from the store's views. Pure: views in, text out.

pub(crate) mod account;
pub(crate) mod doc;
pub(crate) mod drawing;
pub(crate) mod line;
pub(crate) mod report;
pub(crate) mod status;
pub(crate) mod task;
pub(crate) mod words;
