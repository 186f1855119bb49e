//! The declaration of one configuration key.

use super::value::{Value, wrong};

/// One key, declared once: what it is called, what it is when nobody sets it, what it does.
#[derive(Debug, Clone, Copy)]
pub struct Key<T> {
    /// Dotted name, as in the file: `section.name`.
    pub name: &'static str,
    /// Default as one would write it; empty for an optional key that is not set.
    pub default: &'static str,
    /// Purpose, unit, and what gets worse when it is raised or lowered. One Markdown paragraph.
    pub doc: &'static str,
    /// Smallest and largest value, both allowed, as one would write them.
    pub range: Option<(&'static str, &'static str)>,
    /// Whether it is taken over while the service runs.
    pub reloads: bool,
    /// Whether the first of two values is at most the second, where there is a range.
    at_most: Option<fn(&T, &T) -> bool>,
}

impl<T> Key<T> {
    /// Declares a key without a range.
    pub const fn new(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            default,
            doc,
            range: None,
            reloads: false,
            at_most: None,
        }
    }

    /// Has it taken over while the service runs; who uses it registers with
    /// [`Reloads`](crate::service::Reloads).
    #[must_use]
    pub const fn reloads(mut self) -> Self {
        self.reloads = true;
        self
    }

    /// Bounds an ordered value: numbers, durations, sizes.
    pub const fn range(mut self, lowest: &'static str, highest: &'static str) -> Self
    where
        T: PartialOrd,
    {
        self.range = Some((lowest, highest));
        self.at_most = Some(T::le);
        self
    }
}

impl<T: Value> Key<T> {
    /// Reads a value as [`Source::get`](super::Source::get) does.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub(super) fn parse(&self, text: &str) -> Result<T, String> {
        let value = T::parse(text);
        let (Some((lowest, highest)), Some(at_most)) = (self.range, self.at_most) else {
            return value;
        };
        // Nothing is a value of optional keys alone.
        if text.is_empty() {
            return value;
        }
        let (low, high) = (T::parse(lowest)?, T::parse(highest)?);
        let in_range = |value: &T| at_most(&low, value) && at_most(value, &high);
        let like = || format!("a {} from {lowest} to {highest}", T::kind());
        let value = value.ok().filter(in_range);
        value.ok_or_else(|| wrong(text, like()))
    }
}

/// A key of whatever type, as a row of the reference.
#[derive(Debug, Clone)]
pub struct KeyRow {
    /// See [`Key::name`].
    pub name: &'static str,
    /// See [`Key::default`].
    pub default: &'static str,
    /// What a value looks like, such as ``duration such as `250ms` ``, and between which bounds.
    pub kind: String,
    /// See [`Key::doc`].
    pub doc: &'static str,
    /// See [`Key::reloads`].
    pub reloads: bool,
}

impl KeyRow {
    /// What the name begins with.
    pub fn section(&self) -> &'static str {
        section(self.name)
    }
}

impl<T: Value> From<&Key<T>> for KeyRow {
    fn from(key: &Key<T>) -> Self {
        let range = key.range.map_or_else(String::new, |(lowest, highest)| {
            format!(", `{lowest}` to `{highest}`")
        });
        Self {
            name: key.name,
            default: key.default,
            kind: T::kind() + &range,
            doc: key.doc.trim(),
            reloads: key.reloads,
        }
    }
}

/// The section of a key.
pub(super) fn section(name: &str) -> &str {
    name.split_once('.').map_or(name, |(section, _)| section)
}
