//! The declaration of one configuration key.

use std::marker::PhantomData;

use super::value::Value;

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
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// Declares a key without a range.
    pub const fn new(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            default,
            doc,
            range: None,
            value: PhantomData,
        }
    }

    /// Bounds an ordered value: numbers, durations, sizes.
    pub const fn range(mut self, lowest: &'static str, highest: &'static str) -> Self {
        self.range = Some((lowest, highest));
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
        let Some((lowest, highest)) = self.range else {
            return value;
        };
        let (low, high) = (T::parse(lowest)?, T::parse(highest)?);
        let in_range = |value: &T| {
            let above = value.compare(&low).is_none_or(std::cmp::Ordering::is_ge);
            above && value.compare(&high).is_none_or(std::cmp::Ordering::is_le)
        };
        value.ok().filter(in_range).ok_or_else(|| {
            format!(
                "is {text:?}: write a {} from {lowest} to {highest}",
                T::kind()
            )
        })
    }
}

/// A key of any type, for what concerns all keys alike: the reference, and checking defaults.
pub trait AnyKey: Sync {
    /// See [`Key::name`].
    fn name(&self) -> &'static str;
    /// See [`Key::default`].
    fn default(&self) -> &'static str;
    /// See [`Key::doc`].
    fn doc(&self) -> &'static str;
    /// See [`Key::range`].
    fn range(&self) -> Option<(&'static str, &'static str)>;
    /// What a value looks like, such as ``duration such as `250ms` ``.
    fn kind(&self) -> String;
    /// # Errors
    /// Why the default or the range is no value of this key.
    fn check_default(&self) -> Result<(), String>;
}

impl<T: Value> AnyKey for Key<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn default(&self) -> &'static str {
        self.default
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn range(&self) -> Option<(&'static str, &'static str)> {
        self.range
    }

    fn kind(&self) -> String {
        T::kind()
    }

    fn check_default(&self) -> Result<(), String> {
        self.parse(self.default)
            .map(drop)
            .map_err(|fault| format!("{}: {fault}", self.name))
    }
}
