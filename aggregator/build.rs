//! Embeds what `make dashboard` built, if anything: the aggregator builds without Node.

use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};

const DIST: &str = "dashboard/dist";

fn main() -> io::Result<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let dist = root.join(DIST);
    // A path that is not there counts as changed each time: its folder is watched until it is.
    let watched = if dist.is_dir() { DIST } else { "dashboard" };
    println!("cargo::rerun-if-changed={watched}");
    println!("cargo::rerun-if-changed=build.rs");

    let mut files = Vec::new();
    if dist.is_dir() {
        collect(&dist, &mut files)?;
    }
    files.sort();
    let mut code = "static ASSETS: &[Asset] = &[\n".to_owned();
    for file in files.iter().filter(|file| !is_packed(file)) {
        write_asset(&mut code, &dist, file).map_err(io::Error::other)?;
    }
    code.push_str("];\n");
    fs::write(PathBuf::from(variable("OUT_DIR")?).join("assets.rs"), code)
}

fn variable(name: &str) -> io::Result<String> {
    std::env::var(name).map_err(io::Error::other)
}

/// All files but those for tools, which are in folders with a dot.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && !is_hidden {
            collect(&path, files)?;
        } else if path.is_file() && !is_hidden {
            files.push(path);
        }
    }
    Ok(())
}

fn is_packed(file: &Path) -> bool {
    file.extension()
        .is_some_and(|extension| extension == "br" || extension == "gz")
}

fn write_asset(
    code: &mut String,
    dist: &Path,
    file: &Path,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let name = file
        .strip_prefix(dist)?
        .to_str()
        .ok_or("a file name is not UTF-8")?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read(file)?);
    let tag = hasher.finish();
    let packed = |suffix: &str| {
        let path = format!("{}.{suffix}", file.display());
        if Path::new(&path).is_file() {
            format!("Some(include_bytes!({path:?}))")
        } else {
            "None".to_owned()
        }
    };
    writeln!(
        code,
        "Asset {{ path: {:?}, etag: {:?}, plain: include_bytes!({:?}), brotli: {}, gzip: {} }},",
        format!("/{name}"),
        format!("\"{tag:016x}\""),
        file.display().to_string(),
        packed("br"),
        packed("gz"),
    )?;
    Ok(())
}
