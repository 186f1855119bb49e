//! The layers of a configuration, and how they become one flat list of values.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt;

use config::{Config, ConfigError, Environment, File, FileFormat, ValueKind};

use super::super::problem::ConfigProblem;

const PREFIX: &str = "EVP";
const SEPARATOR: &str = "__";

/// Variables of other conventions, and the keys they set. `PORT` is read with the listener.
const PLAIN: [(&str, &str); 2] = [("REDIS_URL", "redis.url"), ("MONGO_URI", "mongo.uri")];
pub(super) const PORT: &str = "PORT";

/// Where a value comes from when it is not from the environment.
pub(super) const FILE_ORIGIN: &str = "the configuration file";

/// One value as written; it may be a secret.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) text: String,
    pub(super) is_list: bool,
    pub(super) origin: String,
}

/// Not its text: which values are secrets is known only when they are read.
impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// Lays the file and the variables over each other; keys are dotted names.
///
/// # Errors
/// The file is no TOML, or the name of a variable is no key.
pub(super) fn collect(
    toml: &str,
    environment: &HashMap<String, String>,
) -> Result<BTreeMap<String, Leaf>, ConfigError> {
    let mut leaves = BTreeMap::new();
    for (name, value) in config::Source::collect(&layers(toml, environment)?)? {
        flatten(name, value, &mut leaves);
    }
    Ok(leaves)
}

fn layers(toml: &str, environment: &HashMap<String, String>) -> Result<Config, ConfigError> {
    let plain = PLAIN
        .iter()
        .filter_map(|(name, key)| Some(((*key).to_owned(), environment.get(*name)?.clone())))
        .collect();
    Config::builder()
        .add_source(File::from_str(toml, FileFormat::Toml))
        .add_source(
            Environment::default()
                .ignore_empty(true)
                .source(Some(plain)),
        )
        .add_source(
            Environment::with_prefix(PREFIX)
                .prefix_separator(SEPARATOR)
                .separator(SEPARATOR)
                .ignore_empty(true)
                .source(Some(environment.clone())),
        )
        .build()
}

fn flatten(name: String, value: config::Value, leaves: &mut BTreeMap<String, Leaf>) {
    let origin = value.origin().unwrap_or(FILE_ORIGIN).to_owned();
    let is_list = matches!(value.kind, ValueKind::Array(_));
    let text = match value.kind {
        ValueKind::Table(table) => {
            for (key, inner) in table {
                flatten(format!("{name}.{key}"), inner, leaves);
            }
            return;
        }
        ValueKind::Array(items) => {
            let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
            texts.join(",")
        }
        scalar => scalar.to_string(),
    };
    let leaf = Leaf {
        text,
        is_list,
        origin,
    };
    leaves.insert(name, leaf);
}

/// Takes the variables that are ours, and finds those that cannot be read.
pub(super) fn read_environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
    problems: &mut Vec<ConfigProblem>,
) -> HashMap<String, String> {
    let mut environment = HashMap::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else {
            continue;
        };
        let is_ours = name.to_ascii_uppercase().starts_with("EVP__")
            || name == PORT
            || PLAIN.iter().any(|(plain, _)| *plain == name);
        if !is_ours {
            continue;
        }
        match value.into_string() {
            Ok(value) => {
                environment.insert(name, value);
            }
            Err(_) => problems.push(ConfigProblem {
                key: name,
                fault: "is not UTF-8: set it again".to_owned(),
            }),
        }
    }
    environment
}
