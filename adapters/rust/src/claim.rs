//! A claim: what its holder may do with it (SPEC sections 7.5 to 7.9).

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::names::{is_word, parse_offer};
use crate::text::{json_string, json_string_of};
use crate::{files, sys, Error};

/// Characters of an error's message.
const MESSAGE: usize = 8192;

/// How long [`Claim::hold`] tries: the daemon's own look at a lock lasts an instant.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How long a worker tries for what another process of its name may be at.
pub(crate) const TWIN: Duration = Duration::from_millis(100);

/// A task that is yours until it is finished, failed, given back, or gone.
///
/// Dropping a claim is none of these, on purpose: a worker that fell over must not look like one that changed its mind.
/// The claimed file stays where it is, as unfinished work that [`Root::claim`](crate::Root::claim) shows first; its
/// lock goes with the value, which the daemon logs as `abandoned` and counts as a failure. To let somebody else have
/// the task, say [`give_back`](Claim::give_back).
#[derive(Debug)]
#[must_use = "a claim that is dropped is neither handed in nor given back"]
pub struct Claim {
    path: PathBuf,
    id: String,
    attempt: u32,
    lock: Option<File>,
}

/// Whether a task is still its holder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "if the claimed file is gone, stop"]
pub enum Still {
    /// It is.
    Yours,
    /// The claimed file is gone, and nothing was changed: stop.
    Gone,
}

/// How [`Claim::hold`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "without a lock the lease wants renewing"]
pub enum Held {
    /// The lease stays fresh for as long as this claim lives.
    Fast,
    /// Another process holds it.
    ByAnother,
    /// The claimed file is gone: stop.
    Gone,
}

/// A claim that could not be ended, and why. `?` makes it the error, and drops the claim.
#[derive(Debug)]
pub struct NotHandedIn {
    /// What is still yours.
    pub claim: Claim,
    /// Why.
    pub error: Error,
}

impl From<NotHandedIn> for Error {
    fn from(not: NotHandedIn) -> Error {
        not.error
    }
}

impl fmt::Display for NotHandedIn {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(to)
    }
}

impl std::error::Error for NotHandedIn {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Claim {
    /// The claim whose claimed file is at `path`, `claimed/AGENT/OFFER`; none if it is gone.
    pub fn open(path: &Path) -> Result<Option<Claim>, Error> {
        let bad = || Error::BadName(path.display().to_string());
        let name = path.file_name().filter(|name| ends_with(path, name) && parse_offer(name).is_some());
        let name = name.ok_or_else(bad)?;
        let given = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let directory = match fs::canonicalize(given) {
            Err(error) if files::is_missing(&error) => return Ok(None),
            found => found.map_err(Error::io(path))?,
        };
        let agent = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let place = directory.parent().and_then(Path::file_name).unwrap_or_default();
        if place != "claimed" || !is_word(agent) {
            return Err(bad());
        }
        let claim = Claim::at(directory.join(name)).ok_or_else(bad)?;
        Ok((claim.check()? == Still::Yours).then_some(claim))
    }

    /// A claim by the name of its file alone.
    pub(crate) fn at(path: PathBuf) -> Option<Claim> {
        let (id, attempt) = parse_offer(path.file_name()?)?;
        Some(Claim { id: id.to_owned(), attempt, lock: None, path })
    }

    /// The claimed file, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The task's id: the idempotency key for what you do outside.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The attempt: the fencing token for what you do outside.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether [`hold`](Claim::hold) locked it.
    pub fn is_held(&self) -> bool {
        self.lock.is_some()
    }

    /// The task's bytes: JSON with `input`, `context` and more (SPEC section 6.4).
    pub fn read(&self) -> io::Result<Vec<u8>> {
        fs::read(&self.path)
    }

    /// Looks whether the claimed file is still there; changes nothing.
    pub fn check(&self) -> Result<Still, Error> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok(if found.is_file() { Still::Yours } else { Still::Gone }),
            Err(error) => self.or_gone(error),
        }
    }

    /// Renews the lease; never makes the claimed file again.
    pub fn keep(&self) -> Result<Still, Error> {
        match sys::touch(&self.path) {
            Ok(()) => Ok(Still::Yours),
            Err(error) => self.or_gone(error),
        }
    }

    /// Appends a line for people, which renews the lease. The text may hold any bytes.
    pub fn note(&self, text: impl AsRef<[u8]>) -> Result<Still, Error> {
        if self.check()? == Still::Gone {
            return Ok(Still::Gone);
        }
        let path = self.beside(".notes.jsonl");
        let line = format!("{{\"time\":\"{}\",\"text\":{}}}\n", utc_now(), json_string(text));
        let opened = OpenOptions::new().append(true).create(true).open(&path);
        opened.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::io(&path))?;
        Ok(Still::Yours)
    }

    /// Locks the claimed file, trying for a second: the lease stays fresh while the claim lives, and needs no keeping.
    ///
    /// An error means that there are no locks here: call [`keep`](Claim::keep) now and then instead.
    pub fn hold(&mut self) -> Result<Held, Error> {
        self.hold_within(PATIENCE)
    }

    pub(crate) fn hold_within(&mut self, patience: Duration) -> Result<Held, Error> {
        self.lock = None;
        if self.check()? == Still::Gone {
            return Ok(Held::Gone); // and what is no file, be it a FIFO, is never opened
        }
        let file = match File::open(&self.path) {
            Err(error) if files::is_missing(&error) => return Ok(Held::Gone),
            opened => opened.map_err(Error::io(&self.path))?,
        };
        let start = Instant::now();
        while !sys::try_lock(&file).map_err(Error::io(&self.path))? {
            if start.elapsed() >= patience {
                return Ok(Held::ByAnother);
            }
            thread::sleep(Duration::from_millis(10));
        }
        let number = |found: fs::Metadata| (found.dev(), found.ino());
        let locked = file.metadata().map(number).map_err(Error::io(&self.path))?;
        if fs::symlink_metadata(&self.path).map(number).ok() != Some(locked) {
            return Ok(Held::Gone); // it went, or another took its place, while we waited
        }
        self.lock = Some(file);
        Ok(Held::Fast)
    }

    /// Hands in the output, any JSON, as it is; durably. The lock goes once the result is there.
    pub fn finish(self, output: impl AsRef<[u8]>) -> Result<Still, NotHandedIn> {
        let output = output.as_ref();
        if is_blank(output) {
            return Err(NotHandedIn { claim: self, error: Error::Empty });
        }
        self.hand_in(&[b"{\"status\":\"ok\",\"output\":", output, b"}\n"])
    }

    /// Hands in an error; `retry` if another attempt may help. The message may hold any bytes and is cut to 8,192
    /// characters.
    pub fn fail(self, code: Option<&str>, message: impl AsRef<[u8]>, retry: bool) -> Result<Still, NotHandedIn> {
        let message = message.as_ref();
        let code = match code {
            Some(code) if !is_word(code) => {
                let error = Error::BadName(code.to_owned());
                return Err(NotHandedIn { claim: self, error });
            }
            Some(code) => format!("\"code\":\"{code}\","),
            None => String::new(),
        };
        if message.is_empty() {
            return Err(NotHandedIn { claim: self, error: Error::Empty });
        }
        let error = format!("{code}\"message\":{}", json_string_of(message, MESSAGE));
        let retry: &[u8] = if retry { b"},\"retry\":true}\n" } else { b"}}\n" };
        self.hand_in(&[b"{\"status\":\"error\",\"error\":{", error.as_bytes(), retry])
    }

    /// Lets somebody else do it, at once; no failure.
    pub fn give_back(self) -> Result<Still, NotHandedIn> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(Still::Yours),
            Err(error) => self.or_gone(error).map_err(|error| NotHandedIn { claim: self, error }),
        }
    }

    fn hand_in(self, parts: &[&[u8]]) -> Result<Still, NotHandedIn> {
        let path = self.beside(".result.json");
        let done = match self.check() {
            Ok(Still::Yours) => files::replace(&path, parts).map(|()| Still::Yours).map_err(Error::io(&path)),
            other => other,
        };
        done.map_err(|error| NotHandedIn { claim: self, error }) // on success it is dropped here, the lock with it
    }

    /// Whether it is there and has no result yet. In this order: the daemon takes the claimed file first.
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.has_result() && files::is_file(&self.path)
    }

    /// Whether a result lies beside it.
    pub(crate) fn has_result(&self) -> bool {
        files::is_there(&self.beside(".result.json"))
    }

    /// Whether a result of it was refused.
    pub(crate) fn is_refused(&self) -> bool {
        files::is_there(&self.beside(".refused.json"))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(self.path.file_stem().unwrap_or_default());
        name.push(suffix);
        self.path.with_file_name(name)
    }

    fn or_gone(&self, error: io::Error) -> Result<Still, Error> {
        if files::is_missing(&error) {
            return Ok(Still::Gone);
        }
        Err(Error::io(&self.path)(error))
    }
}

/// Whether a path ends in a name as it is written: `Path` overlooks a slash or `/.` at the end.
fn ends_with(path: &Path, name: &OsStr) -> bool {
    path.as_os_str().as_bytes().ends_with(name.as_bytes())
}

/// Whether there is nothing but blanks, or nothing at all.
pub(crate) fn is_blank(output: &[u8]) -> bool {
    output.iter().all(|byte| matches!(byte, b' ' | b'\t'..=b'\r'))
}

/// The time as RFC 3339 has it, in UTC, to the second.
fn utc_now() -> String {
    utc(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400); // days since 1 March of the year 0
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // months, from March
    let (date, month) = (day_of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = era * 400 + year_of_era + u64::from(month < 3);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let known = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, text) in known {
            assert_eq!(utc(seconds), text);
        }
    }
}
