//! Looking at files and writing them: aside under a dot-name, synced, then given their name.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Whether a regular file is there. Follows no link.
pub(crate) fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).map_or(false, |found| found.is_file())
}

/// Whether anything is there.
pub(crate) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether an error says that something is not there; after any other nothing is concluded.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    const ENOTDIR: i32 = 20;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ENOTDIR)
}

/// The names in a directory; none if there is no such directory.
pub(crate) fn list(path: &Path) -> io::Result<Vec<OsString>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect(),
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// So many random bytes as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> io::Result<String> {
    let mut random = vec![0; bytes];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file under its name, in place of one that is there.
pub(crate) fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    publish(path, parts, |aside| fs::rename(aside, path))
}

/// Writes a file under its name by a link, which never replaces; false: the name is taken.
pub(crate) fn create(path: &Path, parts: &[&[u8]]) -> io::Result<bool> {
    match publish(path, parts, |aside| fs::hard_link(aside, path)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        done => done.map(|()| true),
    }
}

fn publish(path: &Path, parts: &[&[u8]], commit: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("/"));
    let (aside, mut file) = open_aside(directory, path)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all());
    drop(file); // closed before it is seen
    let done = written.and_then(|()| commit(&aside));
    let _ = fs::remove_file(&aside); // after a rename there is none
    if done.is_ok() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        // what was to happen has happened
    }
    done
}

/// A new dot-file: nobody else's, since a crash may have left one, and another process may be at it.
fn open_aside(directory: &Path, path: &Path) -> io::Result<(PathBuf, File)> {
    loop {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}", random_hex(8)?));
        let aside = directory.join(name);
        match OpenOptions::new().write(true).create_new(true).open(&aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (aside, file)),
        }
    }
}
