//! A target's files as a model: what the caller asks of a real target, by the rules that `judged.rs` states.

use crate::sftp::{Base, Found, Resolved, Touch, Unresolved};
use std::collections::{BTreeMap, VecDeque};

pub(crate) const HOME: &str = "/home/x";

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Directory,
    File,
    Link(String),
}

/// Canonical paths, and what stands there.
#[derive(Clone, Debug)]
pub(crate) struct Tree(pub(crate) BTreeMap<String, Node>);

impl Tree {
    pub(crate) fn sandbox() -> Self {
        let mut tree = Self(BTreeMap::new());
        for directory in ["", "sandbox", "sandbox/work", "sandbox/work/docs", "sandbox/work/app", "sandbox/work/proj"] {
            tree.put(directory, Node::Directory);
        }
        for directory in ["sandbox/out", "sandbox/victim", "sandbox/victim/data", ".ssh", ".aws"] {
            tree.put(directory, Node::Directory);
        }
        for file in ["sandbox/work/a.txt", "sandbox/work/my file", "sandbox/work/app/.env", "sandbox/work/docs/one"] {
            tree.put(file, Node::File);
        }
        for file in ["sandbox/victim/config.yml", "sandbox/victim/data/one", ".ssh/id", ".aws/credentials", ".pgpass"] {
            tree.put(file, Node::File);
        }
        for (link, target) in [("shortcut", "../victim"), ("dangling", "../victim/new"), ("loop", "loop")] {
            tree.put(&format!("sandbox/work/{link}"), Node::Link(target.to_owned()));
        }
        tree.put("sandbox/work/absolute", Node::Link(format!("{HOME}/.pgpass")));
        tree
    }

    pub(crate) fn put(&mut self, path: &str, node: Node) {
        self.0.insert(format!("{HOME}/{path}").trim_end_matches('/').to_owned(), node);
    }

    pub(crate) fn all(&self, touches: &[Touch]) -> Result<Vec<Resolved>, Unresolved> {
        let mut all = Vec::new();
        for touch in touches {
            all.push(self.resolve(touch, &all)?);
        }
        Ok(all)
    }

    fn resolve(&self, touch: &Touch, earlier: &[Resolved]) -> Result<Resolved, Unresolved> {
        let parts = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let base = match touch.base {
            Base::Home => HOME.to_owned(),
            Base::Beside(at) => earlier[at].path().rsplit_once('/').unwrap().0.to_owned(),
        };
        let mut at: Vec<String> = if touch.name.starts_with('/') { Vec::new() } else { parts(&base[1..]) };
        let mut left: VecDeque<String> = parts(&touch.name).into();
        let (mut missing, mut links) = (false, 0);
        while let Some(part) = left.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." if missing => return Err(Unresolved::Nowhere),
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(part),
            }
            if missing {
                continue;
            }
            let path = format!("/{}", at.join("/"));
            match self.0.get(&path) {
                Some(Node::Link(target)) if touch.follow || !left.is_empty() => {
                    links += 1;
                    if links > 40 {
                        return Err(Unresolved::Nowhere);
                    }
                    if target.starts_with('/') {
                        at.clear();
                    } else {
                        at.pop();
                    }
                    for part in parts(target).into_iter().rev() {
                        left.push_front(part);
                    }
                }
                Some(Node::Directory | Node::Link(_)) => {}
                Some(Node::File) => missing = !left.is_empty(),
                None => missing = !HOME.starts_with(&path),
            }
        }
        let path = format!("/{}", at.join("/"));
        let found = match self.0.get(&path) {
            None => Found::Nothing,
            Some(Node::File | Node::Link(_)) => Found::Other,
            Some(Node::Directory) => {
                let below = format!("{path}/");
                let names = self.0.keys().filter_map(|key| key.strip_prefix(&below)).map(str::to_owned);
                Found::Directory { below: touch.carries.map(|_| names.collect()) }
            }
        };
        Resolved::new(path, found)
    }
}
