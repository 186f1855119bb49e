//! Reads keys out of the layers, and remembers everything that was wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use config::ConfigError;

use super::key::{self, Key, KeyRow};
use super::problem::{ConfigProblem, ConfigProblems};
use super::value::Value;
use layers::{FILE_ORIGIN, Leaf, PORT, read_environment};
use setting::Setting;

pub use setting::{Change, Settings};

mod layers;
mod setting;

/// All sections there are, in the order of the reference: one file serves all services.
pub const SECTIONS: &[&str] = &[
    "server",
    "redis",
    "mongo",
    "dedupe",
    "storage",
    "log",
    "runtime",
    "shutdown",
    "auth",
    "admin",
    "ingest",
    "processor",
    "canary",
    "live",
    "dead_letters",
    "mail",
    "notices",
    "aggregator",
];

/// A section is judged by the services that read a key of it, but this one, of which all read one:
/// by those that read this key.
const STORAGE: (&str, &str) = ("storage", "storage.indexes");

/// Farther apart, two names are not a typo of each other.
const TYPO_DISTANCE_MAX: usize = 3;

/// The layers below one service's configuration, and the problems found while reading them.
#[derive(Debug, Default)]
pub struct Source {
    leaves: BTreeMap<String, Leaf>,
    port: Option<String>,
    taken: BTreeSet<String>,
    keys: Vec<KeyRow>,
    settings: Vec<Setting>,
    problems: Vec<ConfigProblem>,
}

impl Source {
    /// Reads the file, if there is one, and the environment of the process.
    ///
    /// # Errors
    /// The file cannot be read or is no TOML, or a variable is not UTF-8: nothing else can be
    /// judged then.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigProblems> {
        let mut problems = Vec::new();
        let text = file
            .map_or(Ok(String::new()), std::fs::read_to_string)
            .unwrap_or_else(|error| {
                problems.push(file_problem(file, format!("cannot be read: {error}")));
                String::new()
            });
        let environment = read_environment(std::env::vars_os(), &mut problems);
        if !problems.is_empty() {
            return Err(ConfigProblems(problems));
        }
        Self::build(file, &text, &environment)
    }

    /// As [`load`](Self::load), from the text of a file and given variables.
    ///
    /// # Errors
    /// The text is no TOML.
    pub fn from_text(toml: &str, environment: &[(&str, &str)]) -> Result<Self, ConfigProblems> {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self::build(None, toml, &environment)
    }

    /// Reads one key. What is wrong with it is remembered, and its default returned instead, so
    /// that the caller goes on and the rest is judged too.
    pub fn get<T: Value>(&mut self, key: &Key<T>) -> T {
        let file_value = if T::SECRET {
            self.secret_file(key.name)
        } else {
            None
        };
        self.taken.insert(key.name.to_owned());
        self.keys.push(key.into());
        let by_file = file_value.clone().map(|text| Leaf {
            text,
            is_list: false,
            origin: file_key(key.name),
        });
        self.settings.push(Setting {
            name: key.name,
            default: key.default,
            reloads: key.reloads,
            leaf: self.leaves.get(key.name).cloned().or(by_file),
        });
        let parsed = match (self.leaves.get(key.name), file_value) {
            (Some(_), Some(_)) => Err(format!("is set twice: remove it or {}", file_key(key.name))),
            (Some(leaf), None) if leaf.is_list && !T::LIST => {
                Err("is a list: write a single value".to_owned())
            }
            (Some(leaf), None) => key
                .parse(&leaf.text)
                .map_err(|fault| format!("{fault} (set in {})", leaf.origin)),
            (None, Some(text)) => key.parse(&text),
            (None, None) => return default(key),
        };
        parsed.unwrap_or_else(|fault| {
            self.problem(key.name, fault);
            default(key)
        })
    }

    /// Adds a problem of the caller's own, such as two keys that contradict each other: `fault` is
    /// the rest of a sentence that begins with the key, and ends with what to do.
    pub fn problem(&mut self, key: &str, fault: impl Into<String>) {
        self.problems.push(ConfigProblem {
            key: key.to_owned(),
            fault: fault.into(),
        });
    }

    /// The keys that were read, in the order in which they were.
    pub fn keys(&self) -> &[KeyRow] {
        &self.keys
    }

    /// What the keys that were read were made of.
    pub fn settings(&self) -> Settings {
        Settings {
            list: self.settings.clone(),
            port: self.port.clone(),
        }
    }

    /// Returns the value built from what was read, if nothing was wrong with any of it.
    ///
    /// # Errors
    /// All problems, including keys that nobody has read, unless they lie in one of the
    /// [`SECTIONS`] that others judge.
    pub fn finish<T>(mut self, value: T) -> Result<T, ConfigProblems> {
        let unknown: Vec<ConfigProblem> = self
            .leaves
            .keys()
            .filter(|name| self.is_unknown(name))
            .map(|n| self.unknown(n))
            .collect();
        self.problems.extend(unknown);
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(ConfigProblems(self.problems))
        }
    }

    /// Returns the port that `PORT` asks for, unless the listener `key` was set by its own name.
    pub(super) fn plain_port(&mut self, key: &str) -> Option<u16> {
        let text = self.port.clone()?;
        if self
            .leaves
            .get(key)
            .is_some_and(|leaf| leaf.origin != FILE_ORIGIN)
        {
            return None;
        }
        let port = u16::parse(&text).map_err(|fault| self.problem(PORT, fault));
        port.ok()
    }

    fn build(
        file: Option<&Path>,
        toml: &str,
        environment: &HashMap<String, String>,
    ) -> Result<Self, ConfigProblems> {
        let leaves = layers::collect(toml, environment)
            .map_err(|error| ConfigProblems(vec![layer_problem(file, &error)]))?;
        Ok(Self {
            leaves,
            port: environment
                .get(PORT)
                .filter(|port| !port.is_empty())
                .cloned(),
            ..Self::default()
        })
    }

    fn secret_file(&mut self, name: &str) -> Option<String> {
        let file_key = file_key(name);
        self.taken.insert(file_key.clone());
        let path = self.leaves.get(&file_key)?.text.clone();
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => {
                self.problem(&file_key, format!("names {path:?}, which is empty"));
                None
            }
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                self.problem(
                    &file_key,
                    format!("names {path:?}, which cannot be read: {error}"),
                );
                None
            }
        }
    }

    fn is_unknown(&self, name: &str) -> bool {
        let section = key::section(name);
        let is_own = if section == STORAGE.0 {
            self.taken.contains(STORAGE.1)
        } else {
            let mut sections = self.taken.iter().map(|key| key::section(key));
            sections.any(|read| read == section)
        };
        !self.taken.contains(name) && (is_own || !SECTIONS.contains(&section))
    }

    fn unknown(&self, name: &str) -> ConfigProblem {
        let closest = self
            .taken
            .iter()
            .map(|known| (strsim::damerau_levenshtein(name, known), known))
            .filter(|(distance, _)| *distance <= TYPO_DISTANCE_MAX)
            .min();
        let advice = closest.map_or_else(
            || "remove it; docs/CONFIGURATION.md lists all keys".to_owned(),
            |(_, known)| format!("did you mean {known}?"),
        );
        let origin = self
            .leaves
            .get(name)
            .map_or(FILE_ORIGIN, |leaf| leaf.origin.as_str());
        ConfigProblem {
            key: name.to_owned(),
            fault: format!("is unknown (set in {origin}): {advice}"),
        }
    }
}

fn layer_problem(file: Option<&Path>, error: &ConfigError) -> ConfigProblem {
    let detail = error.to_string();
    file_problem(file, format!("is no valid TOML: {}", detail.trim_end()))
}

fn file_problem(file: Option<&Path>, fault: String) -> ConfigProblem {
    let key = file.map_or_else(|| FILE_ORIGIN.to_owned(), |path| path.display().to_string());
    ConfigProblem { key, fault }
}

fn file_key(name: &str) -> String {
    format!("{name}_file")
}

#[expect(
    clippy::expect_used,
    reason = "each service reads all its defaults in a test"
)]
fn default<T: Value>(key: &Key<T>) -> T {
    key.parse(key.default)
        .expect("invariant: the default of a key is a value of it")
}

#[cfg(test)]
mod tests;
