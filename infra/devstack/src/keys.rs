//! Keys of a system that asks for some: `AUTH=keys make run` keeps its own in `.data/keys`.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::{Error, Result, project};

/// In the environment, and in the file, which a shell can read as it is.
const VARIABLES: [&str; 3] = ["EVP_WRITE_KEY", "EVP_ADMIN_KEY", "EVP_OPERATOR_KEY"];
const FILE: &str = "keys";
/// For its owner alone.
const MODE: u32 = 0o600;

/// What is shown to the services; nothing where nobody asks for it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Sends events of the tenant `default`.
    pub write: Option<String>,
    /// Sees that tenant's data, and acts on its keys and dead letters.
    pub admin: Option<String>,
    /// Sees the pipeline, and acts for all tenants.
    pub operator: Option<String>,
}

// Without the keys: what holds them is logged in places.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Those in `EVP_WRITE_KEY`, `EVP_ADMIN_KEY` and `EVP_OPERATOR_KEY`.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from(|variable| std::env::var(variable).ok())
    }

    /// The same, and where one is missing that of `make run`.
    ///
    /// # Errors
    /// [`Error::Io`] when its file cannot be read.
    pub fn of_make_run() -> Result<Self> {
        let (set, kept) = (
            Self::from_environment(),
            Self::kept_in(&project::data_dir())?,
        );
        Ok(Self {
            write: set.write.or(kept.write),
            admin: set.admin.or(kept.admin),
            operator: set.operator.or(kept.operator),
        })
    }

    /// Those kept in the data of a `make run`; none where there is no file.
    pub(crate) fn kept_in(data: &Path) -> Result<Self> {
        let file = data.join(FILE);
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::io(format!("read {}", file.display()))(error)),
        }
    }

    /// Keeps them there.
    pub(crate) fn keep_in(&self, data: &Path) -> Result<()> {
        let file = data.join(FILE);
        let failed = || Error::io(format!("write {}", file.display()));
        // A file that others may read is not written into.
        drop(std::fs::remove_file(&file));
        let mut options = File::options();
        let mut kept = options
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&file)
            .map_err(failed())?;
        kept.write_all(self.render().as_bytes()).map_err(failed())
    }

    /// The variables that are set, with their values.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let keys = [&self.write, &self.admin, &self.operator];
        let pairs = VARIABLES.into_iter().zip(keys);
        pairs.filter_map(|(variable, key)| Some((variable, key.as_deref()?)))
    }

    /// Whether one for each thing is there.
    pub(crate) fn is_complete(&self) -> bool {
        self.variables().count() == VARIABLES.len()
    }

    fn from(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let [write, admin, operator] =
            VARIABLES.map(|variable| lookup(variable).filter(|key| !key.is_empty()));
        Self {
            write,
            admin,
            operator,
        }
    }

    fn parse(text: &str) -> Self {
        let value = |variable: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            let found = lines.find(|(name, _)| name.trim() == variable)?;
            Some(found.1.trim().to_owned())
        };
        Self::from(value)
    }

    fn render(&self) -> String {
        let head = "# Keys of `AUTH=keys make run`. Who has them may do what they say; a shell reads them with\n\
                    # `. .data/keys`. Delete this file, and the next run makes new ones.\n";
        let lines = self.variables();
        lines.fold(head.to_owned(), |text, (variable, key)| {
            format!("{text}{variable}={key}\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::ScratchDir;

    #[test]
    fn what_is_kept_is_found_again_and_is_its_owners_alone() {
        let scratch = ScratchDir::new().unwrap();
        assert_eq!(Keys::kept_in(scratch.path()).unwrap(), Keys::default());
        let key = |name: &str| Some(format!("evp_sec_{name}"));
        let keys = Keys {
            write: key("a"),
            admin: key("b"),
            operator: key("c"),
        };
        for _ in 0..2 {
            keys.keep_in(scratch.path()).unwrap();
        }
        assert_eq!(Keys::kept_in(scratch.path()).unwrap(), keys);
        assert!(keys.is_complete() && !Keys::default().is_complete());
        let kept = std::fs::metadata(scratch.path().join("keys")).unwrap();
        assert_eq!(kept.permissions().mode() & 0o777, 0o600);
        assert!(!format!("{keys:?}").contains("evp_sec_"));
    }
}
