//! Pages that a comment or another page points to are there, down to the heading.

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository;

/// What is fetched, built or kept between runs.
const NOT_OURS: [&str; 7] = [
    ".git",
    ".cache",
    ".data",
    "corpus",
    "dist",
    "node_modules",
    "target",
];
/// Where a pointer may start, besides the folder it is in.
const ROOTS: [&str; 2] = ["", "docs"];

/// All files of the repository that are text.
fn texts(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_file() {
            found.extend(fs::read_to_string(&path).ok().map(|text| (path, text)));
        } else if !NOT_OURS.iter().any(|not| name == *not) {
            texts(&path, found);
        }
    }
}

/// `page.md` and `page.md#heading` in a text, and `#heading` of a link in a page.
fn pointers(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-./#".contains(letter);
    let words = text.split(move |letter| !is_part(letter));
    let pages = words.filter(|word| !word.contains("//"));
    let pages = pages.map(|word| word.trim_end_matches('.'));
    let pages = pages.filter(|word| word.ends_with(".md") || word.contains(".md#"));
    // Of a name that is put together.
    let pages = pages.filter(|word| *word != ".md");
    let links = text.split("](").skip(1);
    let headings = links.filter_map(|link| link.split(')').next());
    pages.chain(headings.filter(|link| link.starts_with('#')))
}

/// Whether a heading of the page has this name in a link.
fn has_heading(page: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let mut names = headings.map(|line| {
        let name = line.trim_start_matches('#').trim().to_lowercase();
        let is_kept = |letter: &char| letter.is_alphanumeric() || "-_ ".contains(*letter);
        name.chars()
            .filter(is_kept)
            .collect::<String>()
            .replace(' ', "-")
    });
    names.any(|name| name == wanted)
}

fn is_there(file: &Path, pointer: &str) -> bool {
    let (page, heading) = pointer.split_once('#').unwrap_or((pointer, ""));
    let folder = file.parent().unwrap();
    let places = ROOTS.map(|root| repository(root).join(page));
    let mut places = places.into_iter().chain([folder.join(page)]);
    let found = if page.is_empty() {
        Some(file.to_owned())
    } else {
        places.find(|place| place.is_file())
    };
    found.is_some_and(|page| heading.is_empty() || has_heading(&page, heading))
}

#[test]
fn every_page_that_is_pointed_to_is_there() {
    let mut files = Vec::new();
    texts(&repository(""), &mut files);
    let mut seen = 0;
    let mut missing = Vec::new();
    for (file, text) in &files {
        for pointer in pointers(text) {
            seen += 1;
            // What this file says of pointers points nowhere.
            if !is_there(file, pointer) && !file.ends_with("tests/docs/pointers.rs") {
                missing.push(format!("{}: {pointer}", file.display()));
            }
        }
    }
    assert!(seen > 100, "{seen}");
    assert_eq!(missing, Vec::<String>::new());
}
