//! The worker loop.

mod common;

use std::fs;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Tree, OFFER, RESULT};
use taskdir::{Claim, Error, Held, Outcome, Worker};

fn worker(root: &Tree) -> Worker<'_> {
    Worker::new(root, "me").idle(Duration::ZERO)
}

/// Does everything; returns the ids in their order.
fn done_by(worker: &Worker<'_>, outcome: &Outcome) -> Vec<String> {
    let mut ids = Vec::new();
    let tasks = worker.run(|claim| {
        assert!(claim.is_held());
        ids.push(claim.id().to_owned());
        outcome.clone()
    });
    assert_eq!(tasks.unwrap(), ids.len() as u64);
    ids
}

#[test]
fn takes_up_what_was_left_then_claims() {
    let root = Tree::new();
    drop(root.claimed());
    root.put("ready/default/5-000000000000.first.1.json", "{}");
    root.put("ready/default/5-000000000003.last.1.json", "{}");
    assert_eq!(done_by(&worker(&root), &Outcome::Done(b"1".to_vec())), ["a1", "first", "last"]);
    assert_eq!(root.get(RESULT), "{\"status\":\"ok\",\"output\":1}\n");
}

#[test]
fn hands_in_what_its_handler_says() {
    let blank = "{\"status\":\"ok\",\"output\":null}\n";
    let failed = "{\"status\":\"error\",\"error\":{\"code\":\"bad-luck\",\"message\":\"no\"},\"retry\":true}\n";
    for (outcome, result) in [(Outcome::Done(b" \x0b\n".to_vec()), blank), (Outcome::retry("bad-luck", "no"), failed)] {
        let root = Tree::new();
        drop(root.claimed());
        assert_eq!(done_by(&worker(&root), &outcome), ["a1"]);
        assert_eq!(root.get(RESULT), result);
    }
    let root = Tree::new();
    drop(root.claimed());
    assert_eq!(done_by(&worker(&root), &Outcome::GiveBack), ["a1"]);
    assert_eq!(root.files(), [""; 0]);
}

#[test]
fn hands_in_nothing_for_a_claim_that_went() {
    for outcome in [Outcome::Done(b"1".to_vec()), Outcome::Gone, Outcome::GiveBack, Outcome::retry("x", "x")] {
        let root = Tree::new();
        drop(root.claimed());
        let done = worker(&root).run(|claim| {
            fs::remove_file(claim.path()).unwrap();
            outcome.clone()
        });
        assert_eq!((done.unwrap(), root.files()), (1, vec![]));
    }
}

#[test]
fn ends_after_so_many_tasks_or_when_told() {
    let (root, told) = (Tree::new(), AtomicBool::new(true));
    for n in 1..5 {
        root.put(&format!("ready/default/5-00000000000{n}.t{n}.1.json"), "{}");
    }
    let patient = Worker::new(&root, "me").stop(&told);
    assert_eq!(done_by(&patient, &Outcome::Done(b"1".to_vec())), [""; 0]);
    told.store(false, Ordering::Relaxed);
    assert_eq!(done_by(&patient.clone().tasks(1), &Outcome::Done(b"1".to_vec())), ["t1"]);
    let told_meanwhile = patient.run(|_| {
        told.store(true, Ordering::Relaxed);
        Outcome::Done(b"1".to_vec())
    });
    assert_eq!(told_meanwhile.unwrap(), 1);
}

#[test]
fn fails_what_was_refused_and_lets_be_what_a_twin_holds() {
    let root = Tree::new();
    let mut twin = root.claimed();
    root.put("claimed/me/5-000000000001.a1.1.refused.json", "{}");
    root.put("ready/default/5-000000000002.b.1.json", "{}");
    assert_eq!(twin.hold().unwrap(), Held::Fast);
    assert_eq!(done_by(&worker(&root), &Outcome::GiveBack), [""; 0]);
    drop(twin);
    assert_eq!(done_by(&worker(&root), &Outcome::GiveBack), ["b"]);
    let result = root.get(RESULT);
    assert!(result.contains("\"code\":\"refused\"") && result.contains("\"retry\":true"), "{result}");
}

#[test]
fn a_panic_leaves_unfinished_work_without_its_lock() {
    let root = Tree::new();
    drop(root.claimed());
    let fell = catch_unwind(AssertUnwindSafe(|| worker(&root).run(|_| panic!("on purpose"))));
    assert!(fell.is_err());
    assert_eq!(root.files(), [format!("claimed/me/{OFFER}")]);
    let mut left = Claim::open(&root.at(&format!("claimed/me/{OFFER}"))).unwrap().unwrap();
    assert_eq!(left.hold().unwrap(), Held::Fast);
}

#[test]
fn bad_names_are_refused() {
    let root = Tree::new();
    assert!(matches!(Worker::new(&root, "Me").run(|_| Outcome::GiveBack), Err(Error::BadName(_))));
    assert!(matches!(worker(&root).queue("@you").run(|_| Outcome::GiveBack), Err(Error::BadName(_))));
    assert!(matches!(worker(&root).queue("a b").run(|_| Outcome::GiveBack), Err(Error::BadName(_))));
}
