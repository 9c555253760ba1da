//! Policy sets with the OPA bundles that their rules name: the files under a directory.
//!
//! Promises: a bundle's directory is named relative to the policy file; of it, `*.rego` but `*_test.rego`, `data.json` and
//! `data.yaml` are read, what starts with a dot is not. A symbolic link to a file is followed only to a file of the same
//! directory (as a mounted ConfigMap has them); any other, one to a directory included, is an error, not a gap. Count, size
//! and depth are bounded. The files come in one order, so that the same directory is the same policy.
//! Held by: the tests below and `tests/it/rego.rs`.

use portcullis_model::Problem;
use portcullis_policy::{Loaded, PolicySet, SourceFile};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Files of one bundle.
const MAX_FILES: usize = 256;

/// Bytes of one bundle.
const MAX_BYTES: u64 = 1 << 20;

/// Directories inside each other.
const MAX_DEPTH: usize = 16;

/// Everything in one directory of a bundle, whatever it is.
const MAX_ENTRIES: usize = 4096;

/// Loads the set, reading the OPA bundles that it names.
pub(crate) fn load(sources: &[SourceFile]) -> Result<Loaded, Vec<Problem>> {
    PolicySet::load_with(sources, &|file, bundle| read(Path::new(&*file.path), bundle))
}

/// The files of a bundle that this policy file names.
fn read(policy: &Path, bundle: &str) -> Result<Vec<SourceFile>, String> {
    let directory = policy.parent().unwrap_or(Path::new("")).join(bundle);
    let root = directory.canonicalize().map_err(|error| error.to_string())?;
    if !root.is_dir() {
        return Err("it is no directory".to_owned());
    }
    let mut found = Found { root, files: Vec::new(), left: MAX_BYTES };
    found.directory(&PathBuf::new(), 0)?;
    found.files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found.files)
}

struct Found {
    root: PathBuf,
    files: Vec<SourceFile>,
    left: u64,
}

impl Found {
    /// Everything in this directory, named from the root.
    fn directory(&mut self, at: &Path, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("{} lies too deep", at.display()));
        }
        let entries = fs::read_dir(self.root.join(at)).map_err(|error| told(at, &error))?;
        for (nth, entry) in entries.enumerate() {
            let entry = entry.map_err(|error| told(at, &error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { return Err(format!("a name in {} is not text", at.display())) };
            if nth >= MAX_ENTRIES {
                return Err(format!("{} has more than {MAX_ENTRIES} entries", at.display()));
            }
            if name.starts_with('.') {
                continue;
            }
            let path = at.join(name);
            let kind = entry.file_type().map_err(|error| told(&path, &error))?;
            if kind.is_symlink() {
                let target = self.root.join(&path).canonicalize().map_err(|error| told(&path, &error))?;
                if !target.starts_with(&self.root) || !target.is_file() {
                    return Err(format!("{} is a link to something else than a file of it", path.display()));
                }
            }
            if kind.is_dir() {
                self.directory(&path, depth + 1)?;
            } else if is_policy(name) {
                if !kind.is_file() && !kind.is_symlink() {
                    return Err(format!("{} is no file", path.display()));
                }
                self.file(&path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), String> {
        if self.files.len() == MAX_FILES {
            return Err(format!("it has more than {MAX_FILES} files"));
        }
        let file = fs::File::open(self.root.join(path)).map_err(|error| told(path, &error))?;
        let mut text = String::new();
        file.take(self.left + 1).read_to_string(&mut text).map_err(|error| told(path, &error))?;
        self.left = self.left.checked_sub(text.len() as u64).ok_or(format!("it has more than {MAX_BYTES} bytes"))?;
        self.files.push(SourceFile::new(path.display().to_string(), text));
        Ok(())
    }
}

fn is_policy(name: &str) -> bool {
    let module = name.ends_with(".rego") && !name.ends_with("_test.rego");
    module || name == "data.json" || name == "data.yaml"
}

fn told(path: &Path, error: &io::Error) -> String {
    if path.as_os_str().is_empty() { error.to_string() } else { format!("{}: {error}", path.display()) }
}

#[cfg(test)]
mod tests;
