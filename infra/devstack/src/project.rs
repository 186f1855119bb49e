use std::env;
use std::path::{Path, PathBuf};

/// Directory of downloads and fetched binaries: `EVP_CACHE_DIR`, else `.cache` of the project.
pub(crate) fn cache_dir() -> PathBuf {
    env::var_os("EVP_CACHE_DIR").map_or_else(|| root().join(".cache"), PathBuf::from)
}

/// Directory of the data that `make run` keeps: `EVP_DATA_DIR`, else `.data` of the project.
pub(crate) fn data_dir() -> PathBuf {
    env::var_os("EVP_DATA_DIR").map_or_else(|| root().join(".data"), PathBuf::from)
}

/// The project's root, seen from the current directory (tests run inside a crate's folder) or from
/// the running binary; else the current directory.
pub(crate) fn root() -> PathBuf {
    let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let binary = env::current_exe().unwrap_or_default();
    above(&here).or_else(|| above(&binary)).unwrap_or(here)
}

fn above(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .find(|folder| folder.join("infra/devstack/Cargo.toml").is_file())
        .map(Path::to_path_buf)
}
