//! The program taskdir-agent: the library's gestures as commands (adapters/CONTRACT.md, section 1).

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod process;

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;
use std::time::Duration;

use process::Ran;
use taskdir::{
    is_queue, is_word, Claim, Claimed, Ended, Error, Held, NotHandedIn, Outcome, Root, Still, Submitted, Worker,
};

const HELP: &str = "\
usage: taskdir-agent VERB ...
  submit [ID] <MESSAGE                offers a message, prints its id        73 the name is taken
  claim AGENT [QUEUE]                 takes a task, prints its path          75 none, or unfinished work
  keep PATH                           renews the lease                       66 gone: stop
  finish PATH [OUTPUT.json | -]       gives the result (absent: null)        66 gone, 65 empty
  fail PATH [CODE] MESSAGE [--retry]  gives an error as the result           66 gone
  give-back PATH                      lets somebody else do it               66 gone
  note PATH TEXT                      a line for people; renews the lease    66 gone
  wait ID [SECONDS]                   prints the record's or reason's path   0 done, 1 not, 124 time is up
  hold PATH CMD...                    keeps the lease fresh while CMD runs   CMD's; 66 gone, 75 held
  work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]
      does tasks by CMD (absent: cat): stdin is the claimed file, stdout the output
      CMD ends with 0: done, with 75: given back, else: failed, to be tried again
Also 2 usage, 66 no root, 73 cannot write. The root is $TASKDIR, else the nearest parent directory that
holds taskdir.json.
";
const WORK: &str = "work AGENT [QUEUE] [--tasks N] [--idle SECONDS] [-- CMD...]";

/// The exit code by which CMD gives a task back.
const GIVE_BACK: i32 = 75;

/// An exit code, and the words that say why.
struct No(u8, String);

type Done = Result<u8, No>;

fn no<T>(code: u8, words: impl Into<String>) -> Result<T, No> {
    Err(No(code, words.into()))
}

fn usage<T>(text: impl Display) -> Result<T, No> {
    no(2, format!("usage: {text}"))
}

impl From<Error> for No {
    fn from(error: Error) -> No {
        let code = match error {
            Error::BadName(_) => 2,
            Error::Empty => 65,
            Error::NoRoot(_) => 66,
            _ => 73,
        };
        No(code, error.to_string())
    }
}

impl From<NotHandedIn> for No {
    fn from(not: NotHandedIn) -> No {
        No::from(not.error)
    }
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(No(code, words)) => {
            say(words);
            ExitCode::from(code)
        }
    }
}

fn run(args: &[OsString]) -> Done {
    let (verb, rest) = args.split_first().map_or(("help", args), |(verb, rest)| (verb.to_str().unwrap_or(""), rest));
    match verb {
        "submit" => submit(rest),
        "claim" => claim(rest),
        "keep" => keep(rest),
        "finish" => finish(rest),
        "fail" => fail(rest),
        "give-back" => give_back(rest),
        "note" => note(rest),
        "wait" => wait(rest),
        "hold" => hold(rest),
        "work" => work(rest),
        "help" | "-h" | "--help" => tell(HELP.trim_end()),
        _ => no(2, format!("no such verb: {} (see taskdir-agent help)", args[0].to_string_lossy())),
    }
}

// --- what the verbs share ---

/// Words for people.
fn say(words: impl Display) {
    let _ = writeln!(io::stderr(), "taskdir: {words}"); // whom else to tell?
}

/// A line of data.
fn tell(line: impl AsRef<OsStr>) -> Done {
    let line = [line.as_ref().as_bytes(), b"\n"].concat();
    let mut stdout = io::stdout();
    match stdout.write_all(&line).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(0),
        Err(error) => no(73, format!("{error}: stdout")),
    }
}

fn gone<T>(path: &Path) -> Result<T, No> {
    no(66, format!("gone, it is no longer yours, stop: {}", path.display()))
}

/// Ends well if the task was still ours.
fn yours(still: Still, path: &OsStr) -> Done {
    match still {
        Still::Yours => Ok(0),
        Still::Gone => gone(Path::new(path)),
    }
}

fn own(path: &OsStr) -> Result<Claim, No> {
    Claim::open(Path::new(path))?.map_or_else(|| gone(Path::new(path)), Ok)
}

fn word<'a>(name: &'a OsStr, what: &str) -> Result<&'a str, No> {
    let found = name.to_str().filter(|name| is_word(name));
    found.map_or_else(|| no(2, format!("not {what}: {}", name.to_string_lossy())), Ok)
}

fn agent_and_queue<'a>(agent: &'a OsStr, queue: &'a OsStr) -> Result<(&'a str, &'a str), No> {
    let agent = word(agent, "an agent")?;
    match queue.to_str().filter(|queue| is_queue(queue)) {
        Some(queue) if queue.strip_prefix('@').map_or(true, |owner| owner == agent) => Ok((agent, queue)),
        _ => no(2, format!("not a queue for {agent}: {}", queue.to_string_lossy())),
    }
}

fn number(text: &OsStr, what: &str) -> Result<u64, No> {
    let found =
        text.to_str().filter(|text| (1..10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = found.and_then(|text| text.parse().ok());
    number.map_or_else(|| no(2, format!("not a number of {what}: {}", text.to_string_lossy())), Ok)
}

// --- the verbs ---

fn submit(args: &[OsString]) -> Done {
    let id = match args {
        [] => Root::mint_id().map_err(|error| No(73, error.to_string()))?,
        [id] => word(id, "an id")?.to_owned(),
        _ => return usage("submit [ID] <MESSAGE"),
    };
    let root = Root::find()?;
    let message = process::read_all(io::stdin()).map_err(|error| No(73, format!("{error}: stdin")))?;
    match root.submit(&id, message)? {
        Submitted::Whole => tell(id),
        Submitted::NameTaken => no(73, format!("inbox/{id}.json is there already")),
    }
}

fn claim(args: &[OsString]) -> Done {
    let (agent, queue) = match args {
        [agent] => (agent.as_os_str(), OsStr::new("default")),
        [agent, queue] => (agent.as_os_str(), queue.as_os_str()),
        _ => return usage("claim AGENT [QUEUE]"),
    };
    let (agent, queue) = agent_and_queue(agent, queue)?;
    match Root::find()?.claim(agent, queue)? {
        Claimed::Task(claim) => tell(claim.path()),
        Claimed::Nothing => no(75, format!("nothing to claim in ready/{queue}")),
        Claimed::Benched => no(75, format!("benched: {agent} may not claim for a while")),
        Claimed::Unfinished(claims) => {
            for claim in claims {
                say(format!("unfinished, resume or delete it: {}", claim.path().display()));
            }
            Ok(75)
        }
    }
}

fn keep(args: &[OsString]) -> Done {
    let [path] = args else { return usage("keep PATH") };
    yours(own(path)?.keep()?, path)
}

fn finish(args: &[OsString]) -> Done {
    let (path, output) = match args {
        [path] => (path, b"null".to_vec()),
        [path, from] => {
            let read = match from.to_str() {
                Some("-") => process::read_all(io::stdin()),
                _ => File::open(from).and_then(process::read_all),
            };
            (path, read.map_err(|error| No(66, format!("{error}: {}", from.to_string_lossy())))?)
        }
        _ => return usage("finish PATH [OUTPUT.json | -]"),
    };
    yours(own(path)?.finish(output)?, path)
}

fn fail(args: &[OsString]) -> Done {
    let (args, retry) = match args.split_last() {
        Some((last, rest)) if last == "--retry" && rest.len() > 1 => (rest, true),
        _ => (args, false),
    };
    let (path, code, message) = match args {
        [path, message] => (path, None, message),
        [path, code, message] => (path, Some(word(code, "a code")?), message),
        _ => return usage("fail PATH [CODE] MESSAGE [--retry]"),
    };
    if message.is_empty() || message == "--retry" {
        return usage("fail PATH [CODE] MESSAGE [--retry]");
    }
    yours(own(path)?.fail(code, message.as_bytes(), retry)?, path)
}

fn give_back(args: &[OsString]) -> Done {
    let [path] = args else { return usage("give-back PATH") };
    yours(own(path)?.give_back()?, path)
}

fn note(args: &[OsString]) -> Done {
    let [path, text] = args else { return usage("note PATH TEXT") };
    yours(own(path)?.note(text.as_bytes())?, path)
}

fn wait(args: &[OsString]) -> Done {
    let (id, seconds) = match args {
        [id] => (word(id, "an id")?, None),
        [id, seconds] => (word(id, "an id")?, Some(number(seconds, "seconds")?)),
        _ => return usage("wait ID [SECONDS]"),
    };
    match Root::find()?.wait(id, seconds.map(Duration::from_secs))? {
        Ended::Done(path) => tell(path),
        Ended::Failed(path) => tell(path).map(|_| 1),
        Ended::NotYet => no(124, format!("the time is up: {id}")),
    }
}

fn hold(args: &[OsString]) -> Done {
    let [path, command, rest @ ..] = args else { return usage("hold PATH CMD...") };
    let mut claim = own(path)?;
    match claim.hold() {
        Ok(Held::Fast) => {}
        Ok(Held::ByAnother) => return no(75, format!("another process holds {}", claim.path().display())),
        Ok(Held::Gone) => return gone(claim.path()),
        Err(error) => say(format!("{error}, renewing the lease instead")),
    }
    let renew = || {
        let _ = claim.keep();
    };
    let meanwhile: Option<&dyn Fn()> = if claim.is_held() { None } else { Some(&renew) };
    let mut command = Command::new(command);
    command.args(rest);
    match process::run_plainly(command, meanwhile) {
        Ok(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(error) => no(code_of(&error), format!("cannot run {}: {error}", args[1].to_string_lossy())),
    }
}

/// The exit code that a shell gives for a command that it cannot run.
fn code_of(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    }
}

fn work(args: &[OsString]) -> Done {
    let (options, command) = match args.iter().position(|arg| arg == "--") {
        Some(at) if at + 1 < args.len() => (&args[..at], &args[at + 1..]),
        Some(_) => return usage(WORK),
        None => (args, &[][..]),
    };
    let Some((agent, mut options)) = options.split_first() else { return usage(WORK) };
    let mut queue = OsStr::new("default");
    if let Some((first, rest)) = options.split_first() {
        if !first.as_bytes().starts_with(b"-") {
            (queue, options) = (first, rest);
        }
    }
    let (agent, queue) = agent_and_queue(agent, queue)?;
    let (mut tasks, mut idle) = (None, None);
    for option in options.chunks(2) {
        match option {
            [name, value] if name == "--tasks" => tasks = Some(number(value, "tasks")?),
            [name, value] if name == "--idle" => idle = Some(Duration::from_secs(number(value, "seconds")?)),
            _ => return usage(WORK),
        }
    }
    if tasks == Some(0) {
        return usage(WORK);
    }
    let root = Root::find()?;
    process::hear_stop();
    let mut worker = Worker::new(&root, agent).queue(queue).stop(&process::STOP);
    if let Some(tasks) = tasks {
        worker = worker.tasks(tasks);
    }
    if let Some(idle) = idle {
        worker = worker.idle(idle);
    }
    let trouble = RefCell::new(None); // no fault of the task: it is given back, and the worker ends
    worker.run(|claim| {
        let outcome = if command.is_empty() { echo_task(claim) } else { do_task(claim, command) };
        outcome.unwrap_or_else(|error| {
            process::STOP.store(true, Ordering::SeqCst);
            trouble.replace(Some(error));
            Outcome::GiveBack
        })
    })?;
    trouble.take().map_or(Ok(0), |error| Err(No::from(error)))
}

/// The claimed file is the output.
fn echo_task(claim: &Claim) -> Result<Outcome, Error> {
    match claim.read() {
        Ok(task) => Ok(Outcome::Done(task)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::Gone),
        Err(error) => Err(Error::Io(claim.path().to_path_buf(), error)),
    }
}

/// Does a task by a command.
fn do_task(claim: &Claim, command: &[OsString]) -> Result<Outcome, Error> {
    let (status, output) = match process::run_task(claim, command) {
        Ok(Ran::Ended(status, output)) => (status, output),
        Ok(Ran::Gone) => {
            say(format!("gone, it is no longer yours, stopped: {}", claim.path().display()));
            return Ok(Outcome::Gone);
        }
        Err(Error::Io(path, error)) if path == Path::new(&command[0]) && !is_short(&error) => {
            say(format!("cannot run {}: {error}", path.display()));
            return Ok(Outcome::retry(
                &format!("exit-{}", code_of(&error)),
                format!("cannot run the command: {error}"),
            ));
        }
        Err(error) => return Err(error),
    };
    Ok(match (status.code(), status.signal()) {
        (Some(0), _) => Outcome::Done(output),
        (Some(GIVE_BACK), _) => Outcome::GiveBack,
        (Some(code), _) => Outcome::retry(&format!("exit-{code}"), format!("the command ended with exit code {code}")),
        (None, signal) => {
            let signal = signal.unwrap_or(0);
            Outcome::retry(&format!("signal-{signal}"), format!("the command ended with signal {signal}"))
        }
    })
}

/// Whether a process could not be started for want of something that is none of the command's.
fn is_short(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory)
}
