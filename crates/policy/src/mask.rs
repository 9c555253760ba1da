//! The `mask` part of a bundle: checked in shape, then refused.
//!
//! Promises: a bundle with a mask does not load, so nobody believes a value masked that is not. Unknown keys, detectors
//! and transforms are reported all the same, so that what a bundle says today still reads when masks are applied.
//! Does not promise: anything about values. Held by: the table of bad bundles in `set/tests.rs`.

use crate::pattern;
use crate::scope::Who;
use crate::source::{Fields, Reader};
use crate::yaml::{Node, Value};

const KEYS: &[&str] = &["id", "columns", "detect", "json", "functions", "with", "unless", "predicates"];

/// What a mask may look for in any text.
const DETECTORS: &[&str] = &["payment_card", "email", "us_ssn", "iban", "aws_key", "private_key", "jwt"];

/// The transforms that take no argument.
const PLAIN: &[&str] = &["redact", "null", "hash"];

/// The transforms that take one.
const WITH_ARGUMENT: &[&str] = &["keep_last", "keep_first", "fixed"];

/// Checks the list under `mask`, and refuses it.
pub(crate) fn check(reader: &mut Reader<'_>, node: &Node, path: &str) {
    for (nth, item) in reader.items(node, path).iter().enumerate() {
        let path = format!("{path}[{nth}]");
        if let Some(fields) = reader.fields(item, &path, KEYS) {
            check_one(reader, &fields);
        }
        let help = Some("keep masks in a file that is not loaded, and do not rely on them".to_owned());
        reader.error_with(item.at, &path, "`mask` is not supported yet by this version", help);
    }
}

fn check_one(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    if let Some(id) = reader.required(fields, "id") {
        reader.identifier(id, &fields.path_of("id"));
    }
    if ["columns", "detect", "json", "functions"].iter().all(|key| fields.get(key).is_none()) {
        reader.error(fields.at, &fields.path, "a mask names `columns`, `detect`, `json` or `functions`");
    }
    if let Some(entry) = fields.get("columns") {
        columns(reader, &entry.value, &fields.path_of("columns"));
    }
    if let Some(entry) = fields.get("detect") {
        let path = fields.path_of("detect");
        for text in reader.texts(&entry.value, &path) {
            reader.word(text, &path, DETECTORS);
        }
    }
    if let Some(entry) = fields.get("json") {
        let path = fields.path_of("json");
        for text in reader.texts(&entry.value, &path) {
            if !text.text.starts_with('$') {
                let help = Some(format!("write `$.{}`", text.text.trim_start_matches('.')));
                reader.error_with(text.at, &path, format!("`{}` is not a JSON path", text.text), help);
            }
        }
    }
    if let Some(entry) = fields.get("functions") {
        functions(reader, &entry.value, &fields.path_of("functions"));
    }
    transform(reader, fields);
    if let Some(entry) = fields.get("unless") {
        Who::read(reader, &entry.value, &fields.path_of("unless"));
    }
    if let Some(entry) = fields.get("predicates") {
        let path = fields.path_of("predicates");
        if let Some(text) = reader.text(&entry.value, &path) {
            reader.word(text, &path, &["deny", "equality", "allow"]);
        }
    }
}

fn columns(reader: &mut Reader<'_>, node: &Node, path: &str) {
    named(reader, node, path, "column");
}

fn functions(reader: &mut Reader<'_>, node: &Node, path: &str) {
    let Some(fields) = reader.fields(node, path, &["clean"]) else { return };
    match fields.get("clean") {
        Some(entry) => named(reader, &entry.value, &fields.path_of("clean"), "function"),
        None => reader.error(node.at, path, "`clean` is missing"),
    }
}

/// A list of patterns whose noun is understood.
fn named(reader: &mut Reader<'_>, node: &Node, path: &str, noun: &str) {
    for (nth, text) in reader.texts(node, path).into_iter().enumerate() {
        if let Err(refused) = pattern::parse(&format!("{noun} {}", text.text)) {
            reader.error_with(text.at, &format!("{path}[{nth}]"), refused.message, refused.help);
        }
    }
}

fn transform(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let path = fields.path_of("with");
    let Some(entry) = fields.get("with") else {
        if fields.get("functions").is_none() {
            reader.error(fields.at, &fields.path, "`with` is missing: say what to put in the value's place");
        }
        return;
    };
    match &entry.value.value {
        Value::Scalar { text, plain: true } if text == "null" => {}
        Value::Scalar { .. } => {
            if let Some(text) = reader.text(&entry.value, &path) {
                reader.word(text, &path, PLAIN);
            }
        }
        Value::Map(_) => argument(reader, &entry.value, &path),
        Value::List(_) => reader.error(entry.value.at, &path, "expected one transform, found a list"),
    }
}

fn argument(reader: &mut Reader<'_>, node: &Node, path: &str) {
    let Some(fields) = reader.fields(node, path, WITH_ARGUMENT) else { return };
    let given: Vec<_> = WITH_ARGUMENT.iter().filter_map(|key| fields.get(key)).collect();
    let [entry] = given.as_slice() else {
        reader.error(node.at, path, "expected exactly one of `keep_last`, `keep_first` and `fixed`");
        return;
    };
    let path = fields.path_of(&entry.key);
    let Some(text) = reader.text(&entry.value, &path) else { return };
    if entry.key != "fixed" && !text.text.parse::<u8>().is_ok_and(|count| (1..=64).contains(&count)) {
        reader.error(text.at, &path, format!("`{}` is not a number from 1 to 64", text.text));
    }
}
