//! A root: finding it, submitting, claiming, waiting (SPEC sections 4, 7.1 and 7.4).

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::names::{is_queue, is_word, parse_offer};
use crate::{files, Claim, Error};

/// Between two looks of a wait, or of an idle worker.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// A taskdir.
#[derive(Clone, Debug)]
pub struct Root {
    path: PathBuf,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a message whose name was taken is not submitted"]
pub enum Submitted {
    /// It lies in `inbox/`.
    Whole,
    /// A message of that name is there already; it was left alone.
    NameTaken,
}

/// What [`Root::claim`] got.
#[derive(Debug)]
#[must_use = "a claim that is dropped is neither handed in nor given back"]
pub enum Claimed {
    /// A task.
    Task(Claim),
    /// There is nothing to claim.
    Nothing,
    /// The agent may not claim for a while (SPEC section 7.18).
    Benched,
    /// The agent holds these; they come first. Nothing was claimed.
    Unfinished(Vec<Claim>),
}

/// How [`Root::wait`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Done; the path of the record.
    Done(PathBuf),
    /// Failed or canceled, with the path of the record; or refused, with the path of the reason.
    Failed(PathBuf),
    /// The time is up.
    NotYet,
}

impl Root {
    /// The root that `$TASKDIR` names, else the nearest parent directory that holds `taskdir.json`.
    pub fn find() -> Result<Root, Error> {
        match env::var_os("TASKDIR").filter(|named| !named.is_empty()) {
            Some(named) => Root::at(named),
            None => {
                let here = env::current_dir().map_err(Error::io(Path::new(".")))?;
                let found = here.ancestors().find(|path| is_root(path)).ok_or_else(|| Error::NoRoot(here.clone()))?;
                Root::at(found)
            }
        }
    }

    /// The root at a path.
    pub fn at(path: impl AsRef<Path>) -> Result<Root, Error> {
        match fs::canonicalize(&path) {
            Ok(path) if is_root(&path) => Ok(Root { path }),
            Err(error) if !files::is_missing(&error) => Err(Error::io(path.as_ref())(error)),
            _ => Err(Error::NoRoot(path.as_ref().to_path_buf())),
        }
    }

    /// Its path, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fresh id; ids sort by age.
    pub fn mint_id() -> io::Result<String> {
        let age = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        Ok(format!("t-{age:013x}-{}", files::random_hex(6)?))
    }

    /// Puts a message into `inbox/`, durably and never in place of another.
    pub fn submit(&self, id: &str, message: impl AsRef<[u8]>) -> Result<Submitted, Error> {
        word(id)?;
        if message.as_ref().is_empty() {
            return Err(Error::Empty);
        }
        let path = self.path.join("inbox").join(format!("{id}.json"));
        let created = files::create(&path, &[message.as_ref()]).map_err(Error::io(&path))?;
        Ok(if created { Submitted::Whole } else { Submitted::NameTaken })
    }

    /// Takes the first offer of a queue for an agent; makes `claimed/AGENT/` if it is not there.
    pub fn claim(&self, agent: &str, queue: &str) -> Result<Claimed, Error> {
        word(agent)?;
        if !is_queue(queue) || queue.strip_prefix('@').map_or(false, |owner| owner != agent) {
            return Err(Error::BadName(queue.to_owned()));
        }
        let mine = self.path.join("claimed").join(agent);
        match fs::create_dir(&mine) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(&mine)(error)),
            _ => {}
        }
        let held = self.unfinished(agent)?;
        if !held.is_empty() {
            return Ok(Claimed::Unfinished(held));
        }
        if is_benched(&mine) {
            return Ok(Claimed::Benched);
        }
        let ready = self.path.join("ready").join(queue);
        let mut stuck = None;
        for name in offers(&ready)? {
            let (from, to) = (ready.join(&name), mine.join(&name));
            let Some(claim) = Claim::at(to).filter(|_| files::is_file(&from)) else { continue };
            match fs::rename(&from, claim.path()) {
                Ok(()) => return Ok(Claimed::Task(claim)),
                Err(error) if files::is_there(&from) => stuck = Some(Error::io(&from)(error)),
                Err(_) => {} // somebody was faster
            }
        }
        match stuck {
            Some(error) if !is_benched(&mine) => Err(error),
            Some(_) => Ok(Claimed::Benched),
            None => Ok(Claimed::Nothing),
        }
    }

    /// The work that an agent left unfinished: claimed files with no result beside them, in byte order.
    pub fn unfinished(&self, agent: &str) -> Result<Vec<Claim>, Error> {
        word(agent)?;
        let mine = self.path.join("claimed").join(agent);
        let claims = offers(&mine)?.into_iter().filter_map(|name| Claim::at(mine.join(name)));
        Ok(claims.filter(Claim::is_unfinished).collect())
    }

    /// Waits until a task has ended, at most so long; `None`: for ever.
    pub fn wait(&self, id: &str, patience: Option<Duration>) -> Result<Ended, Error> {
        word(id)?;
        let place = |name: &str, ending: &str| self.path.join(name).join(format!("{id}{ending}"));
        let (done, failed) = (place("done", ".json"), place("failed", ".json"));
        let (waiting, reason) = (place("inbox", ".json"), place("rejected", ".reason.json"));
        let start = Instant::now();
        loop {
            if files::is_there(&done) {
                return Ok(Ended::Done(done));
            }
            if files::is_there(&failed) {
                return Ok(Ended::Failed(failed));
            }
            if !files::is_there(&waiting) && files::is_there(&reason) {
                return Ok(Ended::Failed(reason)); // in this order: a reason is void once its message is back
            }
            if patience.map_or(false, |patience| start.elapsed() >= patience) {
                return Ok(Ended::NotYet);
            }
            thread::sleep(LOOK);
        }
    }
}

fn word(name: &str) -> Result<(), Error> {
    is_word(name).then_some(()).ok_or_else(|| Error::BadName(name.to_owned()))
}

fn is_root(path: &Path) -> bool {
    path.join("taskdir.json").is_file()
}

/// By the mode itself: asking whether one may write tells root nothing.
fn is_benched(mine: &Path) -> bool {
    fs::metadata(mine).map_or(false, |found| found.permissions().mode() & 0o222 == 0)
}

/// The names of offers in a directory, in byte order.
fn offers(directory: &Path) -> Result<Vec<std::ffi::OsString>, Error> {
    let mut names = files::list(directory).map_err(Error::io(directory))?;
    names.retain(|name| parse_offer(name).is_some());
    names.sort_unstable();
    Ok(names)
}
