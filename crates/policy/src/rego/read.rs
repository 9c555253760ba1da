//! Reading `rego:` of a rule, and the OPA bundle that it names.
//!
//! Promises: a query is the path of a rule that the bundle has; a module that does not parse is told at its own line and
//! column; a built-in function that this gateway does not offer is told by its name, not met when a command comes. Each
//! module passes `tokens.rs` before the evaluator sees it, and all together pass `graph.rs`. Files are taken as OPA takes
//! them: `*.rego` are modules, but those named `*_test.rego`; `data.json` and `data.yaml` are data at the path of their
//! directory. The caller reads the files (`PolicySet::load_with`), once for all rules of a policy file that name the bundle;
//! rules that ask the same of it are asked together.
//! Held by: `rego/tests.rs`, and the table of bad bundles in `set/tests.rs`.

use super::module::{Calls, calls};
use super::tokens::{READS, Refused};
use super::{Panicked, Rego, builtins, graph, on_its_own};
use crate::SourceFile;
use crate::source::{Fields, Reader, Text};
use crate::yaml::{self, Node, Value as Yaml};
use portcullis_model::Problem;
use regorus::{Engine, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Rego {
    /// Reads `bundle` and `query`, and what they name.
    pub(crate) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Arc<Self>> {
        let bundle = reader.required(fields, "bundle");
        let query = reader.required(fields, "query");
        let (bundle, query) = (bundle?, query?);
        let at = fields.path_of("query");
        if !is_query(query.text) {
            let help = Some("write it like `data.portcullis.decision`".to_owned());
            reader.error_with(query.at, &at, format!("`{}` is not the path of a rule", query.text), help);
            return None;
        }
        let path = fields.path_of("bundle");
        if !reader.rego.contains_key(bundle.text) {
            let loaded = load(reader, bundle, &path);
            reader.rego.insert(bundle.text.into(), loaded);
        }
        // What is wrong with a bundle was told where it was named first.
        let loaded = reader.rego.get_mut(bundle.text)?.as_mut()?;
        if let Some(rego) = loaded.rules.get(query.text) {
            return Some(Arc::clone(rego));
        }
        let entry: Arc<str> = query.text.into();
        // What it compiles for the first query is there for the others.
        let engine = &mut loaded.engine;
        match on_its_own(|| engine.compile_with_entrypoint(&entry).map(drop).map_err(|why| why.to_string())) {
            Ok(Ok(())) => {
                let (files, engine) = (loaded.files.clone(), loaded.engine.clone());
                let rego = Arc::new(Self { bundle: bundle.text.into(), query: entry, files, engine });
                loaded.rules.insert(query.text.into(), Arc::clone(&rego));
                Some(rego)
            }
            Ok(Err(why)) => {
                let message = if why.contains("not a valid rule path") {
                    format!("the bundle has no rule `{}`", query.text)
                } else {
                    format!("the bundle does not compile: {}", told(&why).2)
                };
                reader.error(query.at, &at, message);
                None
            }
            Err(Panicked) => {
                reader.error(query.at, &at, "the bundle does not compile: the evaluator gives up on it");
                None
            }
        }
    }
}

/// An OPA bundle that was read, and what of it is asked.
pub(crate) struct Loaded {
    engine: Engine,
    files: Vec<SourceFile>,
    rules: BTreeMap<Box<str>, Arc<Rego>>,
}

/// The bundle of this name; `None` where a problem was reported.
fn load(reader: &mut Reader<'_>, bundle: Text<'_>, path: &str) -> Option<Loaded> {
    let files = match reader.opa(bundle.text) {
        Ok(files) => files,
        Err(why) => {
            reader.error(bundle.at, path, format!("the bundle `{}` cannot be read: {why}", bundle.text));
            return None;
        }
    };
    let Ok(engine) = on_its_own(|| engine(reader, bundle, path, &files)) else {
        reader.error(
            bundle.at,
            path,
            format!("the bundle `{}` is not read: the evaluator gives up on it", bundle.text),
        );
        return None;
    };
    Some(Loaded { engine: engine?, files, rules: BTreeMap::new() })
}

fn is_query(text: &str) -> bool {
    let name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    text.len() <= 200 && text.strip_prefix("data.").is_some_and(|rest| rest.split('.').all(name) && rest.contains('.'))
}

/// The modules and data in an evaluator; `None` where a problem was reported.
fn engine(reader: &mut Reader<'_>, bundle: Text<'_>, path: &str, files: &[SourceFile]) -> Option<Engine> {
    let mut engine = Engine::new();
    if builtins::bound(&mut engine).is_none() {
        reader.error(bundle.at, path, "a built-in function that has a bound is not there");
        return None;
    }
    // What `print` prints is thrown away, not written to the gateway's own output.
    engine.set_gather_prints(true);
    let (mut good, mut some) = (true, false);
    let mut left = READS;
    for file in files {
        if file.path.ends_with(".rego") {
            some = true;
            good &= module(reader, &mut engine, path, file, &mut left);
        } else {
            good &= data(reader, &mut engine, path, file);
        }
    }
    if let Some(wrong) = good.then(|| graph::wrong(engine.get_modules())).flatten() {
        let text = files.iter().find(|file| *file.path == *wrong.file).map_or("", |file| &*file.text);
        let problem = Problem::error(path, wrong.message);
        reader.problems.push(problem.at(&wrong.file, text, wrong.line, wrong.column));
        good = false;
    }
    if !some {
        reader.error(bundle.at, path, format!("the bundle `{}` has no module", bundle.text));
    }
    (good && some).then_some(engine)
}

fn module(reader: &mut Reader<'_>, engine: &mut Engine, path: &str, file: &SourceFile, left: &mut u64) -> bool {
    let text = match calls(file, left) {
        Calls::Good(text) => text,
        Calls::Refused(Refused { line, column, message }) => {
            reader.problems.push(Problem::error(path, message).at(&file.path, &file.text, line, column));
            return false;
        }
        Calls::NotOffered { name, line, column } => {
            let message = format!("the built-in function `{name}` is not offered here");
            let help = "decide by `input` and the bundle's data alone; the policy guide says what is there";
            let problem = Problem::error(path, message).suggest(help);
            reader.problems.push(problem.at(&file.path, &file.text, line, column));
            return false;
        }
    };
    let Err(why) = engine.add_policy(file.path.to_string(), text) else { return true };
    let why = why.to_string();
    let (line, column, message) = told(&why);
    reader.problems.push(Problem::error(path, message).at(&file.path, &file.text, line, column));
    false
}

/// Line, column and words of a complaint of the evaluator.
pub(super) fn told(why: &str) -> (usize, usize, String) {
    let place = why.lines().find_map(|line| line.trim().strip_prefix("--> "));
    let mut numbers =
        place.into_iter().flat_map(|place| place.rsplit(':')).map(|part| part.trim().parse().unwrap_or(1));
    let (column, line) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(1));
    let words = why.lines().find_map(|line| line.trim().strip_prefix("error: "));
    let words = words.or_else(|| why.lines().find(|line| !line.trim().is_empty())).unwrap_or("it is refused");
    (line, column, words.trim().chars().take(300).collect())
}

fn data(reader: &mut Reader<'_>, engine: &mut Engine, path: &str, file: &SourceFile) -> bool {
    let read = if file.path.ends_with(".json") {
        serde_json::from_str(&file.text).map_err(|error| (error.line(), error.column(), error.to_string()))
    } else {
        let mut problems = Vec::new();
        let root = yaml::parse(file, &mut problems);
        let failed = !problems.is_empty();
        reader.problems.append(&mut problems);
        if failed {
            return false;
        }
        Ok(root.as_ref().map_or(Json::Null, json))
    };
    let read = read.and_then(
        |value: Json| {
            if value.is_object() { Ok(value) } else { Err((1, 1, "data is a mapping".to_owned())) }
        },
    );
    let added = read.and_then(|value| {
        engine.add_data(Value::from(placed(&file.path, value))).map_err(|error| (1, 1, error.to_string()))
    });
    let Err((line, column, message)) = added else { return true };
    let problem = Problem::error(path, message);
    reader.problems.push(problem.at(&file.path, &file.text, line.max(1), column.max(1)));
    false
}

/// Data stands at the path of its directory.
fn placed(path: &str, value: Json) -> Json {
    let directories = path.rsplit('/').skip(1).filter(|part| !part.is_empty() && *part != ".");
    directories.fold(value, |value, part| serde_json::json!({ part: value }))
}

/// What is written without quotes and looks like a number, `true`, `false` or `null` is that.
fn json(node: &Node) -> Json {
    match &node.value {
        Yaml::Scalar { text, plain: true } => match text.as_str() {
            "" | "~" | "null" => Json::Null,
            "true" => Json::Bool(true),
            "false" => Json::Bool(false),
            other => serde_json::from_str::<serde_json::Number>(other)
                .map_or_else(|_| Json::String(text.clone()), Json::Number),
        },
        Yaml::Scalar { text, plain: false } => Json::String(text.clone()),
        Yaml::List(items) => Json::Array(items.iter().map(json).collect()),
        Yaml::Map(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect())
        }
    }
}
