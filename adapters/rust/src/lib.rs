//! The gestures of an agent on a taskdir: submit, claim, keep, finish, fail, give back, note, wait, hold; and a worker.
//!
//! A taskdir is a directory as a task queue; its protocol is SPEC.md. Where a file lies says what is true, and only a
//! link, a rename or an unlink changes that, so no daemon is needed for any gesture. The daemon judges afterwards.
//!
//! - **Names and raw bytes.** A claimed file's name says id and attempt; an output goes into the result as it is. There
//!   is no JSON parser here. A text becomes a JSON string by [`json_string`].
//! - **A lost race is a value**: [`Claimed::Nothing`], [`Submitted::NameTaken`], [`Still::Gone`], [`Held::ByAnother`].
//!   [`Error`] is for what nobody planned.
//! - **A claim ends by value.** [`Claim::finish`], [`Claim::fail`] and [`Claim::give_back`] consume it. Dropping one
//!   hands in nothing and gives nothing back: see [`Claim`].
//!
//! Unix only. The standard library is the only dependency.

#![warn(missing_docs)]
#![deny(unsafe_code)]

mod claim;
mod files;
mod names;
mod root;
#[allow(unsafe_code)]
mod sys;
mod text;
mod work;

pub use claim::{Claim, Held, NotHandedIn, Still};
pub use names::{is_queue, is_word};
pub use root::{Claimed, Ended, Root, Submitted};
pub use text::json_string;
pub use work::{Outcome, Worker};

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong that is no lost race.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There is no `taskdir.json` here or above, or where `$TASKDIR` leads.
    NoRoot(PathBuf),
    /// No id, agent, queue, code or claimed file (SPEC section 5).
    BadName(String),
    /// A message or an output of no bytes, or of blanks alone.
    Empty,
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
        move |error| Error::Io(path.to_path_buf(), error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoRoot(path) => {
                let path = path.display();
                write!(to, "no taskdir.json: set TASKDIR, or run `taskdir init`: {path}")
            }
            Error::BadName(name) => write!(to, "not a name that the protocol allows here: {name}"),
            Error::Empty => write!(to, "empty"),
            Error::Io(path, error) => write!(to, "{error}: {}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(_, error) => Some(error),
            _ => None,
        }
    }
}
