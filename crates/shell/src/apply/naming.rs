//! Roles of arguments that may name a file though they look like text: `@FILE` and its kin, formats that are kept in
//! files, `file://` of cloud clients.
//!
//! Promises: what such an argument may read or write, by its program's own grammar, is an operation on that file;
//! an argument that is not known far enough to tell is one on an unknown file, or `unknown`. Does not promise to know
//! every client's way of naming files: of those without a row of their own any argument is `unknown` anyway.
//! Held by: `fixtures/shell/programs.tsv`.

use crate::caps::HOME;
use crate::expand::{Field, Sure};
use crate::facts::Role;
use crate::state::State;
use crate::walk::Walker;
use portcullis_model::{Action, Marks};

/// What stands in front of a file's name where a cloud client takes an argument from a file.
const SCHEMES: [&str; 2] = ["file://", "fileb://"];

/// Forms of output of `kubectl` that name no file.
const FORMS: [&str; 12] = [
    "json",
    "yaml",
    "kyaml",
    "wide",
    "name",
    "jsonpath",
    "jsonpath-as-json",
    "go-template",
    "template",
    "custom-columns",
    "plaintext",
    "plaintext-openapiv2",
];

impl Walker<'_> {
    pub(super) fn naming_role(&mut self, role: Role, field: &Field, state: &State) {
        match role {
            Role::Data => self.at_file(field, state),
            Role::UrlEncoded => self.url_encoded(field, state),
            Role::Form => self.form(field, state),
            Role::Cookie => self.cookie(field, state),
            Role::WriteOut if is_plain_write_out(field) => {}
            Role::CurlUpload => self.upload(field, state),
            Role::KubeOutput if is_plain_output(field) => {}
            Role::ParamFile => self.cloud_word(field, state),
            _ => self.unread(),
        }
    }

    /// `@FILE`, as all of it: what follows a semicolon is the name, too.
    fn at_file(&mut self, field: &Field, state: &State) {
        match field.text.strip_prefix('@') {
            Some("-") if field.sure == Sure::Literal => {}
            Some(file) => self.reads_named(file, field.sure, state),
            None if field.named().is_none() && field.text.is_empty() => {
                self.file(Action::Read, field, Marks::NONE, state);
            }
            None => {}
        }
    }

    /// `name=content`, or without an equals sign `name@FILE`, where the name may be any or none.
    fn url_encoded(&mut self, field: &Field, state: &State) {
        if field.text.contains('=') {
            return;
        }
        match field.text.split_once('@') {
            Some((_, "-")) if field.sure == Sure::Literal => {}
            Some((_, file)) => self.reads_named(file, field.sure, state),
            None if field.named().is_none() => self.file(Action::Read, &Field::unknown(), Marks::NONE, state),
            None => {}
        }
    }

    /// `name=content`, `name=@FILE;type=…`, `name=<FILE`. Several files, quotes, and headers from a file are not read.
    fn form(&mut self, field: &Field, state: &State) {
        let Some((_, content)) = field.text.split_once('=') else {
            if field.named().is_none() {
                self.file(Action::Read, &Field::unknown(), Marks::NONE, state);
            }
            return;
        };
        if content.contains(';') && content.to_ascii_lowercase().contains("headers") {
            self.unread();
        }
        match content.strip_prefix(['@', '<']) {
            Some(file) if file.contains([',', '"', '\\']) => self.unread(),
            Some(file) => {
                let name = file.split(';').next().unwrap_or(file).trim();
                if name != "-" || field.sure != Sure::Literal {
                    self.reads_named(name, field.sure, state);
                }
            }
            None if field.named().is_some() => {}
            None if content.is_empty() => self.file(Action::Read, &Field::unknown(), Marks::NONE, state),
            None => self.unread(),
        }
    }

    /// Without an equals sign, or behind an `@`, it is a file of cookies.
    fn cookie(&mut self, field: &Field, state: &State) {
        match field.text.strip_prefix('@') {
            Some(file) => self.reads_named(file, field.sure, state),
            None if field.text.contains('=') => self.secrets.extend(field.known().map(str::to_owned)),
            None => self.file(Action::Read, field, Marks::NONE, state),
        }
    }

    /// `curl -T`: brackets and braces are a pattern of its own, of several names.
    fn upload(&mut self, field: &Field, state: &State) {
        if field.text.contains(['{', '[']) {
            self.unread();
        }
        self.file(Action::Read, field, Marks::NONE, state);
    }

    fn reads_named(&mut self, name: &str, sure: Sure, state: &State) {
        self.file(Action::Read, &Field { text: name.to_owned(), sure }, Marks::NONE, state);
    }

    /// An argument of a cloud client: `file://PATH` (AWS, Oracle) or `@PATH` (Azure), as a word or behind `--x=`.
    pub(super) fn cloud_word(&mut self, field: &Field, state: &State) {
        let text = field.text.as_str();
        let value = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => value,
            Some(_) | None => text,
        };
        if field.named().is_none() {
            let scheme = SCHEMES.iter().any(|scheme| value.starts_with(scheme) || scheme.starts_with(value));
            if field.sure == Sure::Splits || value.starts_with('@') || scheme {
                self.file(Action::Read, &Field::unknown(), Marks::NONE, state);
            }
            return;
        }
        let named = SCHEMES.iter().find_map(|scheme| value.strip_prefix(scheme)).or_else(|| value.strip_prefix('@'));
        match named {
            // Variables are expanded there.
            Some(path) if path.contains('$') => self.unread(),
            Some(path) => match path.strip_prefix('~') {
                Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                    self.reads_named(&format!("{HOME}{rest}"), field.sure, state);
                }
                Some(_) => self.file(Action::Read, &Field::unknown(), Marks::NONE, state),
                None => self.reads_named(path, field.sure, state),
            },
            None if SCHEMES.iter().any(|scheme| text.contains(scheme)) || text.starts_with("--flags-file") => {
                self.unread();
            }
            None => {}
        }
    }
}

/// Whether `curl -o` puts a part of the URL into the name: `#1` is what its first pattern met.
pub(super) fn is_numbered(field: &Field) -> bool {
    field.text.as_bytes().windows(2).any(|pair| matches!(pair, [b'#', b'0'..=b'9']))
}

/// Whether `curl -w` only says: it can be a file's name, or name files that are written.
fn is_plain_write_out(field: &Field) -> bool {
    field.known().is_some_and(|text| !text.starts_with('@') && !text.to_ascii_lowercase().contains("%output{"))
}

/// Whether a form of output is one of those that stand in the argument itself. What stands behind an equals sign need
/// not be known.
fn is_plain_output(field: &Field) -> bool {
    // `-o=yaml` is `-o yaml`.
    let text = field.text.strip_prefix('=').unwrap_or(&field.text);
    match text.split_once('=') {
        Some((form, _)) => FORMS.contains(&form),
        None => field.known().is_some() && FORMS.contains(&text),
    }
}
