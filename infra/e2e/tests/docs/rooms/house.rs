//! The modules of a crate, and which of them name which.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Module, Source};

/// The modules of a crate.
pub(super) struct House {
    /// Between modules that lie in the same one: from, to, and the first place that says so.
    pub(super) arrows: BTreeMap<(Module, Module), String>,
}

impl House {
    /// Reads all files: the name of each below `src`, and its text.
    pub(super) fn build(files: &[(String, String)]) -> Self {
        let sources = files
            .iter()
            .map(|(name, text)| (name, Source::read(name, text)));
        let mut sources: BTreeMap<_, _> = sources.collect();
        let tests: Vec<_> = sources
            .values()
            .flat_map(|source| source.tests.clone())
            .collect();
        sources.retain(|_, source| !tests.iter().any(|test| source.module.starts_with(test)));
        let modules = sources.values().map(|source| (&source.module, source));
        let modules: BTreeMap<_, _> = modules.collect();
        let mut arrows = BTreeMap::new();
        for (file, source) in &sources {
            for (written, path) in &source.named {
                for to in reached(&modules, path) {
                    if let Some(arrow) = lifted(&source.module, &to) {
                        arrows
                            .entry(arrow)
                            .or_insert_with(|| format!("{file}: {written}"));
                    }
                }
            }
        }
        Self { arrows }
    }

    /// The circles, each as the arrows it is made of.
    pub(super) fn circles(&self) -> Vec<String> {
        let mut reached = BTreeMap::<&Module, BTreeSet<&Module>>::new();
        for (from, to) in self.arrows.keys() {
            reached.entry(from).or_default().insert(to);
        }
        loop {
            let mut further = reached.clone();
            for known in further.values_mut() {
                let next = known.iter().filter_map(|module| reached.get(*module));
                let next: Vec<_> = next.flatten().copied().collect();
                known.extend(next);
            }
            if further == reached {
                break;
            }
            reached = further;
        }
        let leads =
            |from: &Module, to: &Module| reached.get(from).is_some_and(|all| all.contains(to));
        let mut circles = BTreeMap::<Vec<&Module>, Vec<String>>::new();
        for ((from, to), place) in &self.arrows {
            if leads(to, from) {
                let circle = reached.keys().copied();
                let circle = circle
                    .filter(|one| leads(one, from) && leads(from, one))
                    .collect();
                let arrow = format!("{} -> {} ({place})", from.join("::"), to.join("::"));
                circles.entry(circle).or_default().push(arrow);
            }
        }
        circles
            .into_values()
            .map(|arrows| arrows.join(", "))
            .collect()
    }
}

/// The modules that a path from the root leads to: the one it names, and through what is given on
/// the one where the thing lies.
fn reached(modules: &BTreeMap<&Module, &Source>, path: &Module) -> Vec<Module> {
    let mut found = Vec::new();
    let mut path = path.clone();
    // A name that is given on by more modules than this would be a circle itself.
    for _ in 0..8 {
        let inside = (0..=path.len())
            .rev()
            .find(|length| modules.contains_key(&path[..*length].to_vec()));
        let Some(inside) = inside else { break };
        let (module, rest) = path.split_at(inside);
        found.push(module.to_vec());
        let source = modules.get(&module.to_vec());
        let Some(target) = rest.first().and_then(|name| source?.given.get(name)) else {
            break;
        };
        path = [target, &rest[1..]].concat();
    }
    found
}

/// The arrow as one between two modules of the same one; none where one lies in the other.
fn lifted(from: &Module, to: &Module) -> Option<(Module, Module)> {
    let shared = from
        .iter()
        .zip(to)
        .take_while(|(one, other)| one == other)
        .count();
    let is_beside = from.len() > shared && to.len() > shared;
    is_beside.then(|| (from[..=shared].to_vec(), to[..=shared].to_vec()))
}
