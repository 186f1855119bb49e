//! Pages that a comment or another page points to are there, down to the heading, and so is whatever a page
//! links to.

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

/// What the links of a page lead to, but for other sites: those in a line, and `[name]: target`.
fn links(text: &str) -> Vec<String> {
    let mut code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        code ^= is_fence;
        !code && !is_fence && !line.starts_with("    ")
    });
    // Every second part of a line lies between two backticks.
    let shown = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let text = lines.map(shown).collect::<Vec<_>>().join("\n");
    let in_line = text.split("](").skip(1);
    let in_line = in_line.filter_map(|rest| rest.split([')', ' ']).next());
    let named = text.lines().filter(|line| line.starts_with('['));
    let named = named.filter_map(|line| Some(line.split_once("]: ")?.1.trim()));
    let targets = in_line.chain(named);
    let ours = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    ours.map(ToOwned::to_owned).collect()
}

/// Whether a browser that shows `page` finds what `link` names: nothing is looked for elsewhere.
fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (target, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = match target {
        "" => page.to_owned(),
        target => page.parent().unwrap().join(target),
    };
    target.exists() && (heading.is_empty() || has_heading(&target, heading))
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

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut files = Vec::new();
    texts(&repository(""), &mut files);
    let pages = files
        .iter()
        .filter(|(file, _)| file.extension() == Some("md".as_ref()));
    let all = pages.flat_map(|(page, text)| links(text).into_iter().map(move |link| (page, link)));
    let all: Vec<_> = all.collect();
    assert!(all.len() > 200, "{}", all.len());
    let lost = all
        .iter()
        .filter(|(page, link)| !leads_somewhere(page, link));
    let lost = lost.map(|(page, link)| format!("{}: {link}", page.display()));
    assert_eq!(lost.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_link_is_told_from_what_shows_one() {
    let page =
        "[a](b.md#c) `[d](e)` [f](https://g) [h](#i)\n\n    [j](k)\n```\n[l](m)\n```\n[n]: o.md\n";
    assert_eq!(links(page), ["b.md#c", "#i", "o.md"]);
    let page = repository("docs/OPERATIONS.md");
    let leads = |link| leads_somewhere(&page, link);
    assert!(leads("runbooks") && leads("../LICENSE-MIT") && leads("FRAME.md#versions"));
    assert!(!leads("docs/FRAME.md") && !leads("FRAME.md#version") && !leads("#nothing"));
}
