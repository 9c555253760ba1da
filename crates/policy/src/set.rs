//! All bundles as one immutable set.
//!
//! Promises: loading reports every problem of every file at once, and any error refuses the whole set; bundle names are
//! unique. The digest depends on the sources alone (each bundle's name and text, in the order of the names, and the files
//! of the OPA bundles that they name), so two
//! gateways with the same files have the same one, whatever the files are called and in whichever order they are listed.
//! Loading does no I/O: the caller reads the files. Held by: `set/tests.rs`.

use crate::SourceFile;
use crate::bundle::{Bundle, Read};
use crate::bundle_test::{Expectation, PolicyTest};
use crate::mask::{Mask, warn_written_hashes};
use crate::rule::Rule;
use crate::source::{OpaBundles, list, nearest};
use portcullis_model::{Connection, Digest, Effect, Problem, RuleId, Severity};
use std::collections::HashMap;
use std::sync::Arc;

/// All bundles, compiled. Immutable, `Send` and `Sync`; share it as an `Arc`.
#[derive(Clone, Debug)]
pub struct PolicySet {
    pub(crate) bundles: Vec<Bundle>,
    infos: Vec<BundleInfo>,
    tests: Vec<PolicyTest>,
    digest: Arc<str>,
    /// Whether a condition names `now`, or a rule asks.
    of_time: bool,
    /// The databases that statements inside other commands may go to, where they are known.
    pub(crate) databases: Option<Arc<[Connection]>>,
}

/// What a set says about one of its bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleInfo {
    /// Its name.
    pub name: Arc<str>,
    /// The file it was read from, as it was named.
    pub file: Arc<str>,
    /// Its rules, in file order.
    pub rules: Vec<RuleInfo>,
    /// Its masks, in file order.
    pub masks: Vec<MaskInfo>,
}

/// What a set says about one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its bundle and id.
    pub id: RuleId,
    /// What it does; `deny` where it asks a policy of Rego, which may also say something milder.
    pub effect: Effect,
    /// The query that it asks, where it asks one.
    pub query: Option<Arc<str>>,
    /// The line it starts on, from 1.
    pub line: usize,
}

/// What a set says about one mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskInfo {
    /// Its bundle and id.
    pub id: RuleId,
    /// The line it starts on, from 1.
    pub line: usize,
}

/// A set that loaded, and what probably was not meant in it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The set.
    pub set: PolicySet,
    /// Warnings, in file order.
    pub warnings: Vec<Problem>,
}

impl PolicySet {
    /// Loads all files as one set.
    ///
    /// # Errors
    /// Every problem of every file, warnings included, where at least one is an error.
    pub fn load(files: &[SourceFile]) -> Result<Loaded, Vec<Problem>> {
        Self::load_with(files, &|_, _| Err("no OPA bundles are read here".to_owned()))
    }

    /// Loads all files as one set, reading the OPA bundles that its rules name by `opa`.
    ///
    /// # Errors
    /// As [`PolicySet::load`]; a bundle that cannot be read is a problem of the rule that names it.
    pub fn load_with(files: &[SourceFile], opa: &OpaBundles<'_>) -> Result<Loaded, Vec<Problem>> {
        let reads: Vec<Read> = files.iter().map(|file| Bundle::read(file, opa)).collect();
        let mut problems: Vec<Problem> = reads.iter().flat_map(|read| read.problems.clone()).collect();
        if files.is_empty() {
            problems.push(Problem::warning("", "no bundle is loaded: every command is refused"));
        }
        twins(files, &reads, &mut problems);
        expectations(files, &reads, &mut problems);
        warn_written_hashes(files, &reads, &mut problems);
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(problems);
        }
        let digest = digest(files, &reads);
        let tests = reads.iter().flat_map(|read| read.tests.clone()).collect();
        let bundles: Vec<Bundle> = reads.into_iter().filter_map(|read| read.bundle).collect();
        let infos = bundles.iter().map(BundleInfo::of).collect();
        let of_time = |rule: &Rule| rule.rego.is_some() || rule.condition.expression().is_some_and(|one| one.uses.now);
        let of_time = bundles.iter().flat_map(|bundle| &bundle.rules).any(of_time);
        Ok(Loaded { set: Self { bundles, infos, tests, digest, of_time, databases: None }, warnings: problems })
    }

    /// A digest of the set: SHA-256 in hexadecimal. Decisions and records carry it.
    #[must_use]
    pub const fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Its bundles, in the order of the files.
    pub fn bundles(&self) -> impl Iterator<Item = &BundleInfo> {
        self.infos.iter()
    }

    /// Whether what it decides may change with time alone.
    #[must_use]
    pub const fn depends_on_time(&self) -> bool {
        self.of_time
    }

    /// The tests of all bundles, in the order of the files.
    #[must_use]
    pub fn tests(&self) -> &[PolicyTest] {
        &self.tests
    }

    pub(crate) fn rule(&self, id: &RuleId) -> Option<&Rule> {
        let bundle = self.bundles.iter().find(|bundle| bundle.name == id.bundle)?;
        bundle.rules.iter().find(|rule| rule.id == *id)
    }
}

impl SourceFile {
    /// These files with this one in the place of that whose bundle has the same name; behind them where none has it.
    #[must_use]
    pub fn in_place(mut files: Vec<Self>, file: Self) -> Vec<Self> {
        let name = |file: &Self| Bundle::read(file, &|_, _| Err(String::new())).name.map(|(name, _)| name);
        let wanted = name(&file);
        match files.iter_mut().find(|other| wanted.is_some() && name(other) == wanted) {
            Some(other) => *other = file,
            None => files.push(file),
        }
        files
    }
}

impl BundleInfo {
    fn of(bundle: &Bundle) -> Self {
        let rules = bundle.rules.iter().map(|rule| RuleInfo {
            id: rule.id.clone(),
            effect: rule.effect,
            query: rule.rego.as_ref().map(|rego| rego.query.clone()),
            line: rule.line,
        });
        let masks = bundle.masks.iter().map(|mask: &Arc<Mask>| MaskInfo { id: mask.id.clone(), line: mask.line });
        Self { name: bundle.name.clone(), file: bundle.file.clone(), rules: rules.collect(), masks: masks.collect() }
    }
}

/// Two bundles of one name.
fn twins(files: &[SourceFile], reads: &[Read], problems: &mut Vec<Problem>) {
    let mut first: HashMap<&str, &SourceFile> = HashMap::new();
    for (file, read) in files.iter().zip(reads) {
        let Some((name, at)) = &read.name else { continue };
        match first.get(&**name) {
            Some(other) => {
                let message = format!("a second bundle `{name}`; the first is in {}", other.path);
                problems.push(Problem::error("bundle", message).at(&file.path, &file.text, at.line, at.column));
            }
            None => {
                first.insert(name, file);
            }
        }
    }
}

/// Tests that expect a rule which does not exist or does something else. Only asked where every file was read: a rule
/// that could not be read would make its tests look wrong.
fn expectations(files: &[SourceFile], reads: &[Read], problems: &mut Vec<Problem>) {
    if reads.iter().any(|read| read.bundle.is_none()) {
        return;
    }
    let rules = || reads.iter().filter_map(|read| read.bundle.as_ref()).flat_map(|bundle| &bundle.rules);
    for (file, test) in files.iter().zip(reads).flat_map(|(file, read)| read.tests.iter().map(move |test| (file, test)))
    {
        let (expected, id) = match &test.expect {
            Expectation::Allow | Expectation::DenyByDefault => continue,
            Expectation::Deny(id) => (Effect::Deny, id),
            Expectation::Hold(id) => (Effect::Hold, id),
        };
        let problem = match rules().find(|rule| rule.id == *id) {
            Some(rule) if rule.effect == expected || rule.rego.is_some() => continue,
            Some(rule) => {
                Problem::error("expect", format!("rule `{id}` is `{}`, not `{}`", rule.effect.word(), expected.word()))
            }
            None => {
                let ids: Vec<_> = rules()
                    .filter(|rule| rule.id.bundle == id.bundle && (rule.effect == expected || rule.rego.is_some()))
                    .map(|rule| &*rule.id.rule)
                    .collect();
                let help = match nearest(&id.rule, ids.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if ids.is_empty() => format!("bundle `{}` has no {} rule", id.bundle, expected.word()),
                    None => format!("the {} rules of bundle `{}` are {}", expected.word(), id.bundle, list(&ids)),
                };
                Problem::error("expect", format!("there is no rule `{id}`")).suggest(help)
            }
        };
        problems.push(problem.at(&file.path, &file.text, test.expect_at.line, test.expect_at.column));
    }
}

fn digest(files: &[SourceFile], reads: &[Read]) -> Arc<str> {
    let named = files.iter().zip(reads);
    let mut sources: Vec<_> =
        named.filter_map(|(file, read)| Some((read.bundle.as_ref()?.name.to_string(), &*file.text))).collect();
    for rule in reads.iter().filter_map(|read| read.bundle.as_ref()).flat_map(|bundle| &bundle.rules) {
        let files = rule.rego.iter().flat_map(|rego| &rego.files);
        sources.extend(files.map(|file| (format!("{}/{}", rule.id, file.path), &*file.text)));
    }
    sources.sort_unstable();
    let mut parts: Vec<Vec<u8>> = vec![b"portcullis policy set v1".to_vec()];
    for (name, text) in sources {
        for part in [&*name, text] {
            parts.push((part.len() as u64).to_be_bytes().to_vec());
            parts.push(part.as_bytes().to_vec());
        }
    }
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    Digest::of_parts(&parts).to_string().into()
}

#[cfg(test)]
mod tests;
