//! What one file of a crate declares and names.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, Macro, MetaList, UseTree, Visibility};

/// A path from the root of the crate.
pub(super) type Module = Vec<String>;

/// A file as far as it matters here.
#[derive(Default)]
pub(super) struct Source {
    /// Its own module.
    pub(super) module: Module,
    /// Paths it names, each as it is written and from the root of the crate.
    pub(super) named: Vec<(String, Module)>,
    /// Names it gives to what lies elsewhere, and where.
    pub(super) given: BTreeMap<String, Module>,
    /// Modules that are there for tests alone.
    pub(super) tests: Vec<Module>,
    /// The inline modules around what is looked at.
    inline: Vec<String>,
}

impl Source {
    pub(super) fn read(name: &str, text: &str) -> Self {
        let module = name.trim_end_matches(".rs").split('/').map(str::to_owned);
        let mut source = Self {
            module: module.filter(|part| part != "lib").collect(),
            ..Self::default()
        };
        source.visit_file(&syn::parse_file(text).unwrap());
        source
    }

    fn here(&self) -> Module {
        [&self.module[..], &self.inline].concat()
    }

    /// Notes a path that begins with `crate`, `self` or `super`, and answers where it leads.
    fn note(&mut self, path: &[String]) -> Option<Module> {
        let mut from = match path.first()?.as_str() {
            "crate" => Module::new(),
            "self" | "super" => self.here(),
            _ => return None,
        };
        let up = path.iter().take_while(|part| *part == "super").count();
        from.truncate(from.len().saturating_sub(up));
        from.extend(path.iter().skip(up.max(1)).cloned());
        self.named.push((path.join("::"), from.clone()));
        Some(from)
    }

    /// One name of a `use`; `None` as `give` where it is not for others.
    fn import(&mut self, path: &[String], give: Option<&str>) {
        let Some(name) = give else {
            self.note(path);
            return;
        };
        let target = self.note(path).unwrap_or_else(|| {
            // A module that lies in this one, or another crate.
            [&self.here(), path].concat()
        });
        if self.inline.is_empty() {
            self.given.insert(name.to_owned(), target);
        }
    }

    fn tree(&mut self, tree: &UseTree, before: &[String], is_given: bool) {
        let with = |name: &dyn ToString| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident), is_given),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before, is_given);
                }
            }
            UseTree::Name(name) if name.ident == "self" => {
                self.import(
                    before,
                    before.last().map(String::as_str).filter(|_| is_given),
                );
            }
            UseTree::Name(name) => {
                let ident = name.ident.to_string();
                self.import(&with(&name.ident), is_given.then_some(&ident));
            }
            UseTree::Rename(new) => {
                let ident = new.rename.to_string();
                self.import(&with(&new.ident), is_given.then_some(&ident));
            }
            UseTree::Glob(_) => self.import(before, None),
        }
    }

    /// Tokens are not parsed; the paths in them are found by their first word.
    fn tokens(&mut self, tokens: &str) {
        let text = tokens.replace(" :: ", "::");
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for path in text.split(|c| !is_path(c)) {
            let path: Vec<_> = path.split("::").map(str::to_owned).collect();
            if path.len() > 1 {
                self.note(&path);
            }
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    };
    attributes.iter().any(is_test)
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.inline.push(module.ident.to_string());
        if is_for_tests(&module.attrs) {
            self.tests.push(self.here());
        } else {
            visit::visit_item_mod(self, module);
        }
        self.inline.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_for_tests(&item.attrs) {
            let is_given = !matches!(item.vis, Visibility::Inherited);
            self.tree(&item.tree, &[], is_given);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts = path.segments.iter().map(|part| part.ident.to_string());
        let parts: Vec<_> = parts.collect();
        if parts.len() > 1 {
            self.note(&parts);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.tokens(&called.tokens.to_string());
        visit::visit_macro(self, called);
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.tokens(&list.tokens.to_string());
        visit::visit_meta_list(self, list);
    }
}
