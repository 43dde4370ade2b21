//! The worker loop: takes up what was left unfinished, else claims, and does one task after the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::claim::{is_blank, PATIENCE, TWIN};
use crate::root::LOOK;
use crate::{is_queue, is_word, Claim, Claimed, Error, Held, Root};

/// What a handler made of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done; the output, any JSON. A blank one is `null`.
    Done(Vec<u8>),
    /// It failed.
    Failed {
        /// A word (else the worker ends with [`Error::BadName`]), or nothing.
        code: Option<String>,
        /// What went wrong; any bytes, but not none ([`Error::Empty`]).
        message: Vec<u8>,
        /// Whether another attempt may help.
        retry: bool,
    },
    /// Somebody else may do it.
    GiveBack,
    /// The claimed file is gone: nothing is handed in.
    Gone,
}

impl Outcome {
    /// A failure that another attempt may mend.
    pub fn retry(code: &str, message: impl Into<Vec<u8>>) -> Outcome {
        Outcome::Failed { code: Some(code.to_owned()), message: message.into(), retry: true }
    }
}

/// An agent at work on a queue. Without an end of its own it works for ever.
#[derive(Clone, Debug)]
pub struct Worker<'a> {
    root: &'a Root,
    agent: String,
    queue: String,
    tasks: Option<u64>,
    idle: Option<Duration>,
    stop: Option<&'a AtomicBool>,
}

/// What there is to do.
enum Next {
    Task(Claim),
    Nothing,
    Again,
}

impl<'a> Worker<'a> {
    /// A worker on the queue `default`.
    pub fn new(root: &'a Root, agent: &str) -> Worker<'a> {
        let (agent, queue) = (agent.to_owned(), "default".to_owned());
        Worker { root, agent, queue, tasks: None, idle: None, stop: None }
    }

    /// Works on another queue.
    pub fn queue(mut self, queue: &str) -> Worker<'a> {
        self.queue = queue.to_owned();
        self
    }

    /// Ends after so many tasks.
    pub fn tasks(mut self, tasks: u64) -> Worker<'a> {
        self.tasks = Some(tasks);
        self
    }

    /// Ends once there was nothing to do for so long.
    pub fn idle(mut self, idle: Duration) -> Worker<'a> {
        self.idle = Some(idle);
        self
    }

    /// Ends before the next task once this is true; set it in a signal handler or another thread.
    pub fn stop(mut self, stop: &'a AtomicBool) -> Worker<'a> {
        self.stop = Some(stop);
        self
    }

    /// Does tasks by `handler`, one at a time; returns how many.
    ///
    /// A result that something the handler started has handed in stands, and the outcome counts for nothing then.
    /// The claim is locked while the handler runs; where [`Claim::is_held`] says no, there are no locks: call
    /// [`Claim::keep`] now and then. A panic goes through and leaves the claim as dropping it does. Unfinished work
    /// whose result the daemon refused is failed with the code `refused`; what another process of this name holds is let
    /// be.
    pub fn run(&self, mut handler: impl FnMut(&Claim) -> Outcome) -> Result<u64, Error> {
        for (name, good) in [(&self.agent, is_word(&self.agent)), (&self.queue, is_queue(&self.queue))] {
            good.then_some(()).ok_or_else(|| Error::BadName(name.clone()))?;
        }
        let (mut tasks, mut since) = (0, Instant::now());
        while !self.stop.map_or(false, |stop| stop.load(Ordering::Relaxed))
            && self.tasks.map_or(true, |end| tasks < end)
        {
            match self.next()? {
                Next::Task(claim) => {
                    let outcome = handler(&claim);
                    hand_in(claim, outcome)?;
                    tasks += 1;
                    since = Instant::now();
                }
                Next::Again => {}
                Next::Nothing => {
                    let left = self.idle.map_or(LOOK, |idle| idle.saturating_sub(since.elapsed()));
                    if left.is_zero() {
                        break;
                    }
                    thread::sleep(left.min(LOOK));
                }
            }
        }
        Ok(tasks)
    }

    fn next(&self) -> Result<Next, Error> {
        let mut others = false;
        for mut claim in self.root.unfinished(&self.agent)? {
            let held = claim.hold_within(TWIN);
            others |= matches!(held, Ok(Held::ByAnother));
            if matches!(held, Ok(Held::ByAnother | Held::Gone)) || !claim.is_unfinished() {
                continue; // another process of this name is at it
            }
            if !claim.is_refused() {
                return Ok(Next::Task(claim));
            }
            fail_refused(claim)?;
            return Ok(Next::Again);
        }
        if others {
            return Ok(Next::Nothing);
        }
        let Claimed::Task(mut claim) = self.root.claim(&self.agent, &self.queue)? else { return Ok(Next::Nothing) };
        let held = claim.hold_within(PATIENCE);
        if matches!(held, Ok(Held::ByAnother | Held::Gone)) || !claim.is_unfinished() {
            return Ok(Next::Nothing); // it was quick to take it up
        }
        Ok(Next::Task(claim))
    }
}

/// Nobody here will mend it.
fn fail_refused(claim: Claim) -> Result<(), Error> {
    let _ = claim.fail(Some("refused"), "the daemon refused the result, the log says why", true)?;
    Ok(())
}

fn hand_in(claim: Claim, outcome: Outcome) -> Result<(), Error> {
    if claim.has_result() {
        return Ok(()); // what the handler started has handed it in: that stands
    }
    if claim.is_refused() {
        return fail_refused(claim);
    }
    let _ = match outcome {
        Outcome::Done(output) if is_blank(&output) => claim.finish("null")?,
        Outcome::Done(output) => claim.finish(output)?,
        Outcome::Failed { code, message, retry } => claim.fail(code.as_deref(), message, retry)?,
        Outcome::GiveBack => claim.give_back()?,
        Outcome::Gone => return Ok(()),
    };
    Ok(())
}
