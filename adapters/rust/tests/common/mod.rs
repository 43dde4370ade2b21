//! A root made by hand, which goes when it is dropped.
#![allow(dead_code)]

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use taskdir::{Claim, Claimed, Root};

pub const OFFER: &str = "5-000000000001.a1.1.json";
pub const RESULT: &str = "claimed/me/5-000000000001.a1.1.result.json";

pub struct Tree {
    root: Root,
}

impl Tree {
    pub fn new() -> Tree {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("taskdir test {} {}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        for place in ["inbox", "ready/default", "claimed", "done", "failed", "rejected"] {
            fs::create_dir_all(path.join(place)).unwrap();
        }
        fs::write(path.join("taskdir.json"), r#"{"protocol": 1}"#).unwrap();
        Tree { root: Root::at(path).unwrap() }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn put(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    pub fn get(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_else(|error| format!("({error})"))
    }

    /// A claimed task of the agent "me".
    pub fn claimed(&self) -> Claim {
        self.put(&format!("ready/default/{OFFER}"), r#"{"id":"a1"}"#);
        match self.root.claim("me", "default").unwrap() {
            Claimed::Task(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    /// The path of every file in the root, taskdir.json aside.
    pub fn files(&self) -> Vec<String> {
        fn walk(path: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => walk(&entry.path(), found),
                    false => found.push(entry.path()),
                }
            }
        }
        let mut found = Vec::new();
        walk(self.root.path(), &mut found);
        let mut names: Vec<_> = found.iter().map(|path| path.strip_prefix(self.root.path()).unwrap()).collect();
        names.sort();
        names.iter().map(|name| name.to_str().unwrap().to_owned()).filter(|name| name != "taskdir.json").collect()
    }
}

impl Deref for Tree {
    type Target = Root;

    fn deref(&self) -> &Root {
        &self.root
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.root.path());
    }
}
