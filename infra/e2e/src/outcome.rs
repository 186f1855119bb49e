use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Verdict;

/// What a scenario that held came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub scenario: String,
    /// What repeats it.
    pub seed: u64,
    /// Its books; `None` where no event is stored.
    pub verdict: Option<Verdict>,
    /// Seconds from the end of the load until the books balanced.
    pub recovered_s: f64,
    /// What was done.
    pub faults: String,
    /// What was measured besides: name and value.
    pub figures: Vec<(String, String)>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: seed {}", self.scenario, self.seed)?;
        if let Some(verdict) = &self.verdict {
            write!(f, ", {verdict}, recovered in {:.1} s", self.recovered_s)?;
        }
        write!(f, "; {}", self.faults)?;
        for (name, value) in &self.figures {
            write!(f, "; {name} {value}")?;
        }
        Ok(())
    }
}
