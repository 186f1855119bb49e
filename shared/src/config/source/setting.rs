//! What a configuration was made of: to tell what has changed in another one, and to judge what changes
//! together with what stays.

use std::collections::BTreeSet;

use super::Source;
use super::layers::Leaf;

/// What one key was made of. Shown without its text, which may be a secret.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) reloads: bool,
    /// `None` where nobody has set it.
    pub(super) leaf: Option<Leaf>,
}

/// What all keys were made of, in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub(super) list: Vec<Setting>,
    pub(super) port: Option<String>,
}

/// What comes of a changed configuration while a service runs.
#[derive(Debug)]
pub struct Change {
    /// Of keys that reload what was found, of all others what was there.
    pub settings: Settings,
    /// The keys whose change is in it.
    pub taken: BTreeSet<&'static str>,
    /// Those whose change needs a restart.
    pub left: BTreeSet<&'static str>,
}

impl Setting {
    fn text(&self) -> &str {
        self.leaf.as_ref().map_or(self.default, |leaf| &leaf.text)
    }
}

impl Settings {
    /// What is in force once the keys of `found` that reload are taken over.
    pub fn taking_over(&self, found: &Self) -> Change {
        let (mut taken, mut left) = (BTreeSet::new(), BTreeSet::new());
        let mut settings = self.clone();
        for (known, new) in settings.list.iter_mut().zip(&found.list) {
            if known.text() == new.text() {
                continue;
            }
            if new.reloads {
                taken.insert(new.name);
                known.clone_from(new);
            } else {
                left.insert(new.name);
            }
        }
        Change {
            settings,
            taken,
            left,
        }
    }
}

/// To be read again as it was read once, whatever files and environment are by now.
impl From<&Settings> for Source {
    fn from(settings: &Settings) -> Self {
        let leaf = |one: &Setting| Some((one.name.to_owned(), one.leaf.clone()?));
        Self {
            leaves: settings.list.iter().filter_map(leaf).collect(),
            port: settings.port.clone(),
            ..Self::default()
        }
    }
}
