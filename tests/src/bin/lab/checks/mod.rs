//! What is tried, in the order of the table.

mod compilers;
mod databases;
mod images;
mod people;
mod refused;
mod system;
mod tools;
mod web;

use crate::check::Check;

pub(crate) use refused::{DOORS, Door, KNOCK};

/// The image of what most checks need.
const LAB: &str = "lab";

/// Every check but the doors.
pub(crate) fn all() -> impl Iterator<Item = &'static Check> {
    [
        images::CHECKS,
        system::CHECKS,
        people::CHECKS,
        tools::CHECKS,
        web::CHECKS,
        databases::CHECKS,
        compilers::CHECKS,
        refused::CHECKS,
    ]
    .into_iter()
    .flatten()
}
