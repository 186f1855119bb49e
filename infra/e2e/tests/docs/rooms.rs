//! The modules of a crate have no circle between them: neither its rooms, which are its top-level
//! modules, nor the modules inside of one. A module and what lies in it are one thing here.

mod house;
mod source;

use std::path::Path;

use self::house::House;
use crate::repository;

/// The crates that hold it.
const CRATES: [&str; 4] = ["aggregator", "ingest", "processor", "shared"];

/// The sources of a crate: the name of each file below its `src`, and its text.
fn sources(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        if path.is_dir() {
            sources(root, &path, found);
        } else if name.ends_with(".rs") && name != "main.rs" && !name.starts_with("bin/") {
            found.push((name.to_owned(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn no_circle_is_between_the_rooms_of_a_crate() {
    let mut circles = Vec::new();
    for name in CRATES {
        let root = repository(name).join("src");
        let mut files = Vec::new();
        sources(&root, &root, &mut files);
        let house = House::build(&files);
        assert!(house.arrows.len() > 20, "{name}: {:?}", house.arrows);
        circles.extend(
            house
                .circles()
                .into_iter()
                .map(|circle| format!("{name}: {circle}")),
        );
    }
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
}

/// A house with a circle of three rooms, which is closed by every way there is to name a module,
/// and one between two modules of the room `c`.
const MADE_UP: &[(&str, &str)] = &[
    (
        "lib.rs",
        "pub mod a; pub mod b; pub mod c; mod d; pub use b::inner::{Thing, Other as Renamed};",
    ),
    (
        "a.rs",
        "use crate::{d, Renamed}; #[cfg(test)] mod tests { use crate::c::deep::Leaf; }",
    ),
    ("b.rs", "pub mod inner;"),
    (
        "b/inner.rs",
        "pub struct Thing; pub struct Other; fn f() { super::super::c::go(); }",
    ),
    (
        "c.rs",
        "mod deep; mod side; pub use deep::Leaf; pub fn go() { println!(\"{}\", crate::a::X); }",
    ),
    (
        "c/deep.rs",
        "pub struct Leaf; mod inline { use super::super::side; }",
    ),
    ("c/side.rs", "use super::Leaf;"),
    ("d.rs", "#[cfg(test)] mod tests;"),
    ("d/tests.rs", "use crate::a;"),
];

#[test]
fn a_circle_is_told_with_the_files_that_make_it() {
    let files: Vec<_> = MADE_UP
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let circles = House::build(&files).circles();
    let expected = [
        "a -> b (a.rs: crate::Renamed), b -> c (b/inner.rs: super::super::c::go), \
         c -> a (c.rs: crate::a::X)",
        "c::deep -> c::side (c/deep.rs: super::super::side), \
         c::side -> c::deep (c/side.rs: super::Leaf)",
    ];
    assert_eq!(circles, expected);
    let opened = files
        .iter()
        .filter(|(name, _)| name != "c.rs" && name != "c/side.rs");
    let opened: Vec<_> = opened.cloned().collect();
    assert_eq!(House::build(&opened).circles(), Vec::<String>::new());
}
