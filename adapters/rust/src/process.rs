//! Running commands and hearing signals, for the program. All of the program that is unsafe is here.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::raw::{c_int, c_short, c_ulong};
use std::os::unix::io::{AsRawFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use taskdir::{Claim, Error, Still};

const SIGHUP: c_int = 1;
const SIGINT: c_int = 2;
const SIGQUIT: c_int = 3;
const SIGKILL: c_int = 9;
const SIGTERM: c_int = 15;
const POLLIN: c_short = 1;

/// Between two looks whether a claimed file is still there.
const LOOK: Duration = Duration::from_millis(100);
/// Between two renewals where there are no locks.
pub const RENEW: Duration = Duration::from_millis(333);
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// More than a pipe holds: what an ended command wrote is read, and what it left behind writes no further.
const PIPE: usize = 1 << 20;

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: c_short,
    revents: c_short,
}

extern "C" {
    fn signal(signal: c_int, handler: usize) -> usize;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn poll(fds: *mut PollFd, count: c_ulong, milliseconds: c_int) -> c_int;
}

/// Becomes true when the program is asked to end.
pub static STOP: AtomicBool = AtomicBool::new(false);
static CHILD: AtomicI32 = AtomicI32::new(0);
static MISSED: AtomicI32 = AtomicI32::new(0);

extern "C" fn stop(_: c_int) {
    STOP.store(true, Ordering::SeqCst);
}

extern "C" fn pass_on(signal: c_int) {
    match CHILD.load(Ordering::SeqCst) {
        0 => MISSED.store(signal, Ordering::SeqCst),
        child => send(child, signal),
    }
}

extern "C" fn let_be(_: c_int) {}

fn send(process: c_int, number: c_int) {
    // SAFETY: touches no memory, and is safe in a signal handler.
    unsafe { kill(process, number) };
}

fn on(number: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: the handlers above do nothing but store atomics and call kill.
    unsafe { signal(number, handler as *const () as usize) };
}

/// From now on SIGTERM and SIGINT set [`STOP`].
pub fn hear_stop() {
    on(SIGTERM, stop);
    on(SIGINT, stop);
}

/// Waits until there is something to read, or the end; false: not within this time.
pub fn is_readable(fd: RawFd, patience: Option<Duration>) -> bool {
    let milliseconds = patience.map_or(-1, |patience| c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX));
    let mut ready = PollFd { fd, events: POLLIN, revents: 0 };
    // SAFETY: one entry, which outlives the call.
    unsafe { poll(&mut ready, 1, milliseconds) > 0 }
}

/// Reads to the end, from a file that may be one that never blocks.
pub fn read_all(mut from: impl Read + AsRawFd) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        match from.read_to_end(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_readable(from.as_raw_fd(), None),
            done => return done.map(|_| bytes),
        };
    }
}

/// Runs a command in place, as a shell does, until it ends; returns its exit code. The signals that end it are its own.
/// `meanwhile` is done now and then, if there is something to do.
pub fn run_plainly(mut command: Command, meanwhile: Option<&dyn Fn()>) -> io::Result<i32> {
    on(SIGTERM, pass_on);
    on(SIGHUP, pass_on);
    on(SIGINT, let_be); // a terminal sends these two to the command itself
    on(SIGQUIT, let_be);
    let mut child = command.spawn()?;
    let number = child.id() as c_int;
    CHILD.store(number, Ordering::SeqCst);
    match MISSED.load(Ordering::SeqCst) {
        0 => {}
        missed => send(number, missed),
    }
    let status = match meanwhile {
        None => child.wait()?,
        Some(act) => loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            act();
            thread::sleep(RENEW);
        },
    };
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// How a task's command ended.
pub enum Ran {
    /// By itself, with this stdout.
    Ended(ExitStatus, Vec<u8>),
    /// The claimed file went first, and it was terminated.
    Gone,
}

/// Runs a command on a claimed task: the file is its stdin. It leads a process group, so that it can be ended as a
/// whole and Ctrl-C leaves it to finish its task.
pub fn run_task(claim: &Claim, command: &[OsString]) -> Result<Ran, Error> {
    let trouble = |error| Error::Io(claim.path().to_path_buf(), error);
    let task = match std::fs::File::open(claim.path()) {
        // a descriptor of its own: that of the lock must not be inherited
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ran::Gone),
        opened => opened.map_err(trouble)?,
    };
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .env("TASKDIR_TASK", claim.path())
        .env("TASKDIR_ID", claim.id())
        .env("TASKDIR_ATTEMPT", claim.attempt().to_string())
        .stdin(task)
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| Error::Io(command[0].clone().into(), error))?;
    collect(claim, &mut child).map_err(trouble)
}

fn collect(claim: &Claim, child: &mut Child) -> io::Result<Ran> {
    let mut output = Vec::new();
    let mut stdout = child.stdout.take();
    let (mut looked, mut renewed) = (Instant::now(), Instant::now());
    let mut pause = Duration::from_millis(1);
    loop {
        let mut quiet = true;
        match &mut stdout {
            Some(open) if is_readable(open.as_raw_fd(), Some(LOOK)) => {
                quiet = take_in(open, &mut output)? == 0;
                if quiet {
                    stdout = None;
                }
            }
            _ => {}
        }
        if quiet {
            if let Some(status) = child.try_wait()? {
                let end = output.len() + PIPE;
                while let Some(open) =
                    stdout.as_mut().filter(|open| is_readable(open.as_raw_fd(), Some(Duration::ZERO)))
                {
                    if take_in(open, &mut output)? == 0 || output.len() > end {
                        break;
                    }
                }
                return Ok(Ran::Ended(status, output));
            }
            if stdout.is_none() {
                thread::sleep(pause);
                pause = (pause * 2).min(LOOK);
            }
        }
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        let mut still = claim.check();
        if !claim.is_held() && renewed.elapsed() >= RENEW {
            renewed = looked;
            still = claim.keep();
        }
        if matches!(still, Ok(Still::Gone)) {
            terminate(child)?;
            return Ok(Ran::Gone);
        }
    }
}

fn take_in(from: &mut impl Read, output: &mut Vec<u8>) -> io::Result<usize> {
    let mut bytes = [0; 65_536];
    loop {
        match from.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => {
                output.extend_from_slice(&bytes[..*done.as_ref().unwrap_or(&0)]);
                return done;
            }
        }
    }
}

/// Asks a command and its group to end; kills them if they do not.
fn terminate(child: &mut Child) -> io::Result<()> {
    let group = -(child.id() as c_int);
    let mut start = Instant::now();
    send(group, SIGTERM);
    while child.try_wait()?.is_none() {
        if start.elapsed() >= GRACE {
            send(group, SIGKILL);
            start = Instant::now();
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
