//! What is wrong with a configuration, all of it at once.

use std::fmt;

/// Exit code for a configuration that cannot be used: `EX_USAGE` of sysexits(3).
pub const EXIT_CODE: u8 = 64;

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {fault}")]
pub struct ConfigProblem {
    /// The key it is about, or the file that could not be read.
    pub key: String,
    /// What is wrong and what to do, as the rest of a sentence that begins with the key.
    pub fault: String,
}

/// Everything that is wrong with a configuration; displayed one problem per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems(pub(super) Vec<ConfigProblem>);

impl ConfigProblems {
    /// The problems, in the order in which the keys were read; never empty.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.0
    }
}

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
