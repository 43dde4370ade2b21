//! The gestures: what each leaves in the tree, who wins, what is never touched.

mod common;

use std::fs;
use std::io;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use common::{Tree, OFFER, RESULT};
use taskdir::{Claim, Claimed, Ended, Error, Held, Root, Still, Submitted};

#[test]
fn names_outside_the_grammar_are_refused() {
    let root = Tree::new();
    for bad in ["", "-x", "Ab", "a.b", "a b", "a/b", "..", "é", "a\n", "*", "@a", &"a".repeat(65)] {
        assert!(matches!(root.submit(bad, "{}"), Err(Error::BadName(name)) if name == bad));
        assert!(matches!(root.claim(bad, "default"), Err(Error::BadName(_))));
        assert!(matches!(root.claim("me", bad), Err(Error::BadName(_))));
        assert!(matches!(root.wait(bad, None), Err(Error::BadName(_))));
        let not = root.claimed().fail(Some(bad), "m", false).unwrap_err();
        assert!(matches!(not.error, Error::BadName(_)));
        let _ = not.claim.give_back().unwrap(); // it is still ours
    }
    assert_eq!(root.files(), [""; 0]);
}

#[test]
fn a_path_is_that_of_a_claimed_task() {
    let root = Tree::new();
    let claim = root.claimed();
    let open = |path: &str| Claim::open(&root.at(path));
    let found = open("claimed/me/../me/5-000000000001.a1.1.json").unwrap().unwrap();
    assert_eq!((found.path(), found.id(), found.attempt()), (claim.path(), "a1", 1));
    assert!(open(&format!("claimed/you/{OFFER}")).unwrap().is_none());
    assert!(open("claimed/me/5-000000000002.a.1.json").unwrap().is_none());
    root.put(&format!("ready/default/{OFFER}"), "{}");
    for bad in [
        "ready/default/5-000000000001.a1.1.json",
        "claimed/me/x.json",
        "claimed/me/",
        "claimed/me/5-000000000001.a1.1.json/",
    ] {
        assert!(matches!(open(bad), Err(Error::BadName(_))), "{bad}");
    }
}

#[test]
fn submit_never_replaces() {
    let root = Tree::new();
    assert_eq!(root.submit("x", "first").unwrap(), Submitted::Whole);
    symlink("nowhere", root.at("inbox/link.json")).unwrap();
    fs::create_dir(root.at("inbox/dir.json")).unwrap();
    for name in ["x", "link", "dir"] {
        assert_eq!(root.submit(name, "second").unwrap(), Submitted::NameTaken);
    }
    assert!(matches!(root.submit("empty", ""), Err(Error::Empty)));
    assert_eq!((root.get("inbox/x.json").as_str(), root.files().len()), ("first", 2));
}

#[test]
fn of_eight_that_submit_one_name_one_wins() {
    let (root, start) = (Tree::new(), Barrier::new(8));
    let racer = |n: usize| {
        start.wait();
        root.submit("x", n.to_string()).unwrap() == Submitted::Whole
    };
    let racer = &racer;
    let won = thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|n| scope.spawn(move || racer(n))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!((won, root.files()), (1, vec!["inbox/x.json".to_owned()]));
}

#[test]
fn what_cannot_be_written_leaves_nothing() {
    let root = Tree::new();
    fs::remove_dir(root.at("inbox")).unwrap();
    assert!(matches!(root.submit("x", "{}"), Err(Error::Io(_, error)) if error.kind() == io::ErrorKind::NotFound));
    let claim = root.claimed();
    fs::create_dir(root.at(RESULT)).unwrap();
    let not = claim.finish("1").unwrap_err();
    assert!(matches!(not.error, Error::Io(..)));
    fs::remove_dir(root.at(RESULT)).unwrap();
    assert_eq!(root.files(), [format!("claimed/me/{OFFER}")]);
    assert_eq!(not.claim.finish("1").unwrap(), Still::Yours);
}

#[test]
fn minted_ids_are_words_and_differ() {
    let (one, other) = (Root::mint_id().unwrap(), Root::mint_id().unwrap());
    assert!(taskdir::is_word(&one) && taskdir::is_word(&other) && one != other);
}

#[test]
fn wait_tells_what_became_of_it() {
    let root = Tree::new();
    let look = || root.wait("x", Some(Duration::ZERO)).unwrap();
    assert_eq!(look(), Ended::NotYet);
    root.put("rejected/x.reason.json", "{}");
    root.put("inbox/x.json", "{}");
    assert_eq!(look(), Ended::NotYet); // its repair is not judged yet
    fs::remove_file(root.at("inbox/x.json")).unwrap();
    assert_eq!(look(), Ended::Failed(root.at("rejected/x.reason.json")));
    root.put("failed/x.json", "{}");
    assert_eq!(look(), Ended::Failed(root.at("failed/x.json")));
    root.put("done/x.json", "{}");
    assert_eq!(root.wait("x", None).unwrap(), Ended::Done(root.at("done/x.json")));
}

#[test]
fn claim_takes_the_first_name_in_byte_order() {
    let root = Tree::new();
    assert!(matches!(root.claim("me", "default").unwrap(), Claimed::Nothing));
    assert!(matches!(root.claim("me", "absent").unwrap(), Claimed::Nothing));
    assert!(matches!(root.claim("me", "@you"), Err(Error::BadName(_))));
    for name in ["5-000000000011.b.1.json", "5-000000000002.a.12.json", "0-000000000099.c.1.json", "README", ".x"] {
        root.put(&format!("ready/default/{name}"), "{}");
    }
    fs::create_dir(root.at("ready/default/0-000000000001.d.1.json")).unwrap();
    for (agent, name, id, attempt) in
        [("me", "0-000000000099.c.1.json", "c", 1), ("you", "5-000000000002.a.12.json", "a", 12)]
    {
        let Claimed::Task(claim) = root.claim(agent, "default").unwrap() else { panic!("{agent}") };
        assert_eq!(claim.path(), root.at(&format!("claimed/{agent}/{name}")));
        assert_eq!((claim.id(), claim.attempt(), claim.is_held()), (id, attempt, false));
    }
}

#[test]
fn unfinished_work_comes_first() {
    let root = Tree::new();
    drop(root.claimed());
    root.put("ready/default/5-000000000002.b.1.json", "{}");
    root.put("claimed/me/5-000000000003.c.1.json", "{}");
    let Claimed::Unfinished(held) = root.claim("me", "default").unwrap() else { panic!() };
    assert_eq!(held.iter().map(Claim::id).collect::<Vec<_>>(), ["a1", "c"]);
    for claim in held {
        let _ = claim.finish("1").unwrap(); // now they wait for their verdict only
    }
    assert!(matches!(root.claim("me", "default").unwrap(), Claimed::Task(claim) if claim.id() == "b"));
}

#[test]
fn a_benched_agent_claims_nothing() {
    let root = Tree::new();
    root.put(&format!("ready/default/{OFFER}"), "{}");
    let mine = root.at("claimed/me");
    fs::create_dir(&mine).unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o555)).unwrap();
    assert!(matches!(root.claim("me", "default").unwrap(), Claimed::Benched));
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(root.claim("me", "default").unwrap(), Claimed::Task(_)));
}

#[test]
fn eight_agents_win_each_offer_once() {
    let (root, start, won) = (Tree::new(), Barrier::new(8), Mutex::new(Vec::new()));
    for n in 0..100 {
        root.put(&format!("ready/default/5-{n:012}.t{n}.1.json"), "{}");
    }
    thread::scope(|scope| {
        for agent in 0..8 {
            let (root, start, won) = (&root, &start, &won);
            scope.spawn(move || {
                start.wait();
                while let Claimed::Task(claim) = root.claim(&format!("agent{agent}"), "default").unwrap() {
                    won.lock().unwrap().push(claim.id().to_owned());
                    assert_eq!(claim.finish("1").unwrap(), Still::Yours);
                }
            });
        }
    });
    let mut won = won.into_inner().unwrap();
    assert_eq!(won.len(), 100);
    won.sort();
    won.dedup();
    assert_eq!(won.len(), 100);
}

#[test]
fn results_hold_the_bytes_as_they_are() {
    let root = Tree::new();
    let claim = root.claimed();
    let not = claim.finish(" \n\t\x0b\x0c\r").unwrap_err();
    assert!(matches!(not.error, Error::Empty));
    let not = not.claim.fail(None, "", true).unwrap_err();
    assert!(matches!(not.error, Error::Empty));
    let path = not.claim.path().to_owned();
    let _ = not.claim.finish("{\"n\": 1.50}\n").unwrap();
    assert_eq!(root.get(RESULT), "{\"status\":\"ok\",\"output\":{\"n\": 1.50}\n}\n");
    let again = || Claim::open(&path).unwrap().unwrap();
    let _ = again().fail(None, "no \"luck\"", false).unwrap();
    assert_eq!(root.get(RESULT), "{\"status\":\"error\",\"error\":{\"message\":\"no \\\"luck\\\"\"}}\n");
    let _ = again().fail(Some("bad-luck"), b"no\xff", true).unwrap();
    let wanted = "{\"status\":\"error\",\"error\":{\"code\":\"bad-luck\",\"message\":\"no\u{fffd}\"},\"retry\":true}\n";
    assert_eq!(root.get(RESULT), wanted);
    let _ = again().fail(None, "ü".repeat(9000), false).unwrap();
    assert_eq!(root.get(RESULT).matches('ü').count(), 8192);
}

#[test]
fn notes_are_lines_and_keep_renews() {
    let root = Tree::new();
    let claim = root.claimed();
    assert_eq!((claim.note("one\ntwo").unwrap(), claim.note("").unwrap()), (Still::Yours, Still::Yours));
    let notes = root.get("claimed/me/5-000000000001.a1.1.notes.jsonl");
    let lines: Vec<_> = notes.lines().map(|line| &line[..9]).collect();
    assert_eq!(lines, ["{\"time\":\""; 2]);
    assert!(notes.contains("Z\",\"text\":\"one\\u000atwo\"}\n"));
    let old = Command::new("touch").args(["-t", "200001010000"]).arg(claim.path()).status().unwrap();
    assert!(old.success());
    let renewed = |claim: &Claim| fs::metadata(claim.path()).unwrap().modified().unwrap();
    let before = renewed(&claim);
    assert_eq!(claim.keep().unwrap(), Still::Yours);
    assert!(renewed(&claim) > before);
}

#[test]
fn nothing_is_done_to_a_claim_that_is_gone() {
    let root = Tree::new();
    let claims: [Claim; 3] = std::array::from_fn(|_| {
        let claim = root.claimed();
        fs::remove_file(claim.path()).unwrap();
        claim
    });
    let [mut one, two, three] = claims;
    assert_eq!(
        (one.check().unwrap(), one.keep().unwrap(), one.note("x").unwrap()),
        (Still::Gone, Still::Gone, Still::Gone)
    );
    assert_eq!(one.hold().unwrap(), Held::Gone);
    assert_eq!(one.finish("1").unwrap(), Still::Gone);
    assert_eq!(two.fail(None, "x", true).unwrap(), Still::Gone);
    assert_eq!(three.give_back().unwrap(), Still::Gone);
    assert_eq!(root.files(), [""; 0]);
}

/// Asks another process whether a claimed file is locked.
fn is_locked(root: &Tree, path: &Path) -> bool {
    let mut program = Command::new(env!("CARGO_BIN_EXE_taskdir-agent"));
    let done = program.env("TASKDIR", root.path()).arg("hold").arg(path).arg("true").output().unwrap();
    match done.status.code() {
        Some(0) => false,
        Some(75) => true,
        _ => panic!("{done:?}"),
    }
}

#[test]
fn a_hold_is_seen_by_other_processes_and_goes_with_the_claim() {
    let root = Tree::new();
    let mut claim = root.claimed();
    let path = claim.path().to_owned();
    assert!(!is_locked(&root, &path));
    assert_eq!(claim.hold().unwrap(), Held::Fast);
    assert!(claim.is_held() && is_locked(&root, &path));
    let mut twin = Claim::open(&path).unwrap().unwrap();
    assert_eq!(twin.hold().unwrap(), Held::ByAnother);
    drop(claim); // hands in nothing and gives nothing back
    assert!(!is_locked(&root, &path));
    assert_eq!(root.files(), [format!("claimed/me/{OFFER}")]);
    assert_eq!(twin.hold().unwrap(), Held::Fast);
    let _ = twin.finish("1").unwrap();
    assert!(!is_locked(&root, &path));
}

#[test]
fn a_root_has_a_marker() {
    let root = Tree::new();
    assert!(matches!(Root::at(root.at("claimed")), Err(Error::NoRoot(_))));
    assert!(matches!(Root::at(root.at("nowhere")), Err(Error::NoRoot(_))));
    assert_eq!(Root::at(root.at("claimed/..")).unwrap().path(), root.path());
}
