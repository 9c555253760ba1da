//! What is known of tools: the rows of `data/tools.yaml`, and what a configuration says of others.
//!
//! Promises: a row is data and the walk only follows it; what a configuration says of a field stands before what a row
//! says, for the tool's whole name and, of `mcp__SERVER__TOOL`, for `TOOL`, as a row of a known server's tool does. A field
//! that neither names has no role and is searched. Where the rows cannot be read, nothing is known of any tool. Does not
//! promise that a tool is what its name says: whoever offers it chose the name.
//! Held by: the ledger test below and `fixtures/http/tools.tsv`.

use crate::json::{Node, Value};
use portcullis_model::{Mark, Marks};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("../../data/tools.yaml");

/// What a configuration says of one field of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolField {
    /// It holds SQL.
    Sql,
    /// It holds a command line.
    Shell,
    /// It is text that nothing runs.
    None,
}

/// What a configuration says of tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolTable(BTreeMap<String, BTreeMap<String, ToolField>>);

impl ToolTable {
    /// From tool to field to what the field holds. The field `*` stands for every field that is not named.
    #[must_use]
    pub const fn new(tools: BTreeMap<String, BTreeMap<String, ToolField>>) -> Self {
        Self(tools)
    }

    fn of(&self, tool: &str) -> Option<&BTreeMap<String, ToolField>> {
        self.0.get(tool).or_else(|| self.0.get(bare(tool)?))
    }
}

/// `TOOL` of `mcp__SERVER__TOOL`, as clients of models call the tools of servers.
fn bare(tool: &str) -> Option<&str> {
    tool.strip_prefix("mcp__").and_then(|rest| rest.split_once("__")).map(|(_, name)| name)
}

/// What a field is to its tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Text,
    Shell,
    Argv,
    Lines,
    Sql,
    Read,
    Reads,
    Write,
    Tree,
    Glob,
    Among,
    Delete,
    Url,
    Patch,
    Code,
    Directory,
    Variables,
    Dynamic,
    Forced,
    Privileged,
}

impl Role {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "text" => Self::Text,
            "shell" => Self::Shell,
            "argv" => Self::Argv,
            "lines" => Self::Lines,
            "sql" => Self::Sql,
            "read" => Self::Read,
            "reads" => Self::Reads,
            "write" => Self::Write,
            "tree" => Self::Tree,
            "glob" => Self::Glob,
            "among" => Self::Among,
            "delete" => Self::Delete,
            "url" => Self::Url,
            "patch" => Self::Patch,
            "code" => Self::Code,
            "directory" => Self::Directory,
            "variables" => Self::Variables,
            "dynamic" => Self::Dynamic,
            "forced" => Self::Forced,
            "privileged" => Self::Privileged,
            _ => return None,
        })
    }

    /// Whether such a field says what its tool does, and not how.
    const fn acts(self) -> bool {
        match self {
            Self::Text | Self::Directory | Self::Variables | Self::Dynamic | Self::Forced | Self::Privileged => false,
            Self::Shell
            | Self::Argv
            | Self::Lines
            | Self::Sql
            | Self::Read
            | Self::Reads
            | Self::Write
            | Self::Tree
            | Self::Glob
            | Self::Among
            | Self::Delete
            | Self::Url
            | Self::Patch
            | Self::Code => true,
        }
    }
}

/// A field of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) role: Role,
    /// Where no field of its role is filled, a place that is not told.
    wanted: bool,
    /// The words that say as much as nothing does.
    usual: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    fields: Vec<Field>,
    mode: Option<String>,
    modes: BTreeMap<String, Vec<Field>>,
    marks: Marks,
    /// A server of tools has it, so its name may stand behind that of a server.
    served: bool,
    common: Common,
}

/// Whether others have quite other tools by the names of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Common {
    #[default]
    No,
    /// Servers have: of a call by the name alone the row is sure.
    Served,
    Always,
}

/// A tool, as it is known for one call.
pub(super) struct Tool<'t> {
    configured: Option<&'t BTreeMap<String, ToolField>>,
    row: Option<&'static Row>,
    mode: &'static [Field],
    /// It may be another than the row is about: the row says what its fields do, and nothing of a call that fills none.
    common: bool,
    /// The row has modes, and the call none of them.
    pub(super) astray: bool,
}

impl<'t> Tool<'t> {
    /// The tool of this name, called with a text in the field that `text` is asked for; `None` where nothing can be known
    /// of tools.
    pub(super) fn of<'i>(table: &'t ToolTable, name: &str, text: impl Fn(&str) -> Option<&'i str>) -> Option<Self> {
        static ROWS: LazyLock<Option<BTreeMap<String, Row>>> = LazyLock::new(|| load(SOURCE).ok());
        Some(Self::among(ROWS.as_ref()?, table, name, text))
    }

    fn among<'i>(
        rows: &'static BTreeMap<String, Row>,
        table: &'t ToolTable,
        name: &str,
        text: impl Fn(&str) -> Option<&'i str>,
    ) -> Self {
        let own = rows.get(name);
        let row = own.or_else(|| rows.get(bare(name)?).filter(|row| row.served));
        let common = match row.map(|row| row.common).unwrap_or_default() {
            Common::No => false,
            Common::Served => own.is_none(),
            Common::Always => true,
        };
        let by = row.and_then(|row| row.mode.as_deref());
        let mode = row.and_then(|row| row.modes.get(text(by?)?)).map(Vec::as_slice);
        let astray = by.is_some() && mode.is_none();
        Self { configured: table.of(name), row, mode: mode.unwrap_or_default(), common, astray }
    }

    /// What the field is to it; `None` for a field that nobody described.
    pub(super) fn role(&self, field: &str) -> Option<Role> {
        let configured = self.configured.and_then(|fields| fields.get(field).or_else(|| fields.get("*")));
        if let Some(configured) = configured {
            return Some(match configured {
                ToolField::Sql => Role::Sql,
                ToolField::Shell => Role::Shell,
                ToolField::None => Role::Text,
            });
        }
        if self.row.is_some_and(|row| row.mode.as_deref() == Some(field)) {
            return Some(Role::Text);
        }
        self.fields().find(|known| known.name == field).map(|known| known.role)
    }

    /// Whether the field says nothing.
    pub(super) fn is_nothing(&self, field: &str, node: &Node) -> bool {
        let is_usual = |text: &String| {
            self.fields().find(|known| known.name == field).is_some_and(|known| known.usual.contains(text))
        };
        match &node.value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty() || is_usual(text),
            Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
        }
    }

    /// Whether a call of these members that did nothing by the fields of its row may be a call all the same, to a client that
    /// has another name for one of them: there is a text in a field that nobody described.
    pub(super) fn may_do_more(&self, members: &[(String, Node)]) -> bool {
        let (mut text, mut code) = (false, false);
        for (field, node) in members {
            match self.role(field) {
                None => node.strings(&mut |said| text |= !said.trim().is_empty()),
                // It does something, of which there is no operation.
                Some(Role::Code) => node.strings(&mut |said| code |= !said.trim().is_empty()),
                Some(_) => {}
            }
        }
        text && !code && !self.common && self.fields().any(|field| field.role.acts())
    }

    /// Whether it may be another tool than its row's: the call fills no field that says what that one does.
    pub(super) fn is_another(&self, members: &[(String, Node)]) -> bool {
        let acts = |field: &str| self.role(field).is_some_and(Role::acts);
        self.common && !members.iter().any(|(field, node)| acts(field) && !self.is_nothing(field, node))
    }

    /// The fields without which a place is not told.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &'static Field> {
        self.fields().filter(move |field| field.wanted && !self.common)
    }

    /// The fields of its row.
    pub(super) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.mode.iter().chain(self.row.into_iter().flat_map(|row| &row.fields))
    }

    /// The marks of every call of it.
    pub(super) fn marks(&self) -> Marks {
        self.row.map_or(Marks::NONE, |row| row.marks)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    tools: String,
    source: String,
    fields: String,
    mode: Option<String>,
    modes: Option<BTreeMap<String, String>>,
    marks: Option<String>,
    served: Option<bool>,
    common: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRows {
    rows: Vec<RawRow>,
}

fn load(source: &str) -> Result<BTreeMap<String, Row>, String> {
    let raw: RawRows = marked_yaml::from_yaml(0, source).map_err(|error| error.to_string())?;
    let mut rows = BTreeMap::new();
    for raw in raw.rows {
        let whole = raw.mode.is_some() == raw.modes.is_some() && (raw.common.is_none() || raw.served == Some(true));
        if raw.source.len() < 4 || !whole {
            return Err(format!("{}: a source, a mode with modes, and common only what is served", raw.tools));
        }
        let common = match raw.common.as_deref() {
            None => Common::No,
            Some("served") => Common::Served,
            Some("always") => Common::Always,
            Some(other) => return Err(format!("{}: common `{other}`", raw.tools)),
        };
        let mark = |word: &str| {
            Mark::ALL.iter().copied().find(|mark| mark.word() == word).ok_or_else(|| format!("no mark `{word}`"))
        };
        let modes = raw.modes.unwrap_or_default().into_iter();
        let row = Row {
            fields: fields(&raw.fields)?,
            mode: raw.mode,
            modes: modes.map(|(mode, of)| Ok((mode, fields(&of)?))).collect::<Result<_, String>>()?,
            marks: raw.marks.unwrap_or_default().split_whitespace().map(mark).collect::<Result<_, _>>()?,
            served: raw.served.unwrap_or(false),
            common,
        };
        for name in raw.tools.split_whitespace() {
            if rows.insert(name.to_owned(), row.clone()).is_some() {
                return Err(format!("{name} has two rows"));
            }
        }
    }
    Ok(rows)
}

fn fields(text: &str) -> Result<Vec<Field>, String> {
    let field = |word: &str| {
        let (name, role) = word.split_once('=').ok_or_else(|| format!("`{word}` is no field"))?;
        let (name, wanted) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        let (role, usual) = role.split_once('!').unwrap_or((role, ""));
        let usual = usual.split('|').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
        let role = Role::of(role).ok_or_else(|| format!("no role `{role}`"))?;
        Ok(Field { name: name.to_owned(), role, wanted, usual })
    };
    text.split_whitespace().map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ledger: every row parses, none stands twice, each says where its facts come from.
    #[test]
    fn every_row_parses_and_names_no_field_twice() {
        let rows = load(SOURCE).unwrap_or_else(|error| panic!("{error}"));
        assert!(rows.len() > 50, "{} tools", rows.len());
        for (name, row) in &rows {
            let modes: Vec<&[Field]> =
                if row.modes.is_empty() { vec![&[]] } else { row.modes.values().map(Vec::as_slice).collect() };
            for mode in modes {
                let mut names: Vec<&str> = row.fields.iter().chain(mode).map(|field| field.name.as_str()).collect();
                names.extend(row.mode.as_deref());
                let all = names.len();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), all, "{name} has a field twice");
            }
        }
    }

    /// What cannot be read is not taken for an empty table, in which no tool would do anything.
    #[test]
    fn rows_that_cannot_be_read_are_an_error() {
        let row = r#"{tools: "a", source: "test", fields: "x=ROLE"}"#;
        for role in ["magic", "shell y", "text z?=nothing"] {
            assert!(load(&format!("rows:\n- {}", row.replace("ROLE", role))).is_err(), "{role}");
        }
        assert!(load("rows").is_err());
        assert!(load(&format!("rows:\n- {}", row.replace("ROLE", "text!usual|other"))).is_ok());
        let common = row.replace("ROLE", "text").replace('}', ", common: always}");
        assert!(load(&format!("rows:\n- {common}")).is_err());
        assert!(load(&format!("rows:\n- {}", common.replace('}', ", served: true}"))).is_ok());
        assert!(load(&format!("rows:\n- {}", common.replace("always}", "yes, served: true}"))).is_err());
    }

    #[test]
    fn a_configuration_stands_before_the_rows() {
        let fields = |of: &[(&str, ToolField)]| of.iter().map(|(name, field)| ((*name).to_owned(), *field)).collect();
        let table = ToolTable::new(BTreeMap::from([
            ("run".to_owned(), fields(&[("q", ToolField::Sql)])),
            ("mcp__a__run".to_owned(), fields(&[("*", ToolField::None)])),
            ("Bash".to_owned(), fields(&[("description", ToolField::Shell)])),
        ]));
        let role = |tool: &str, field: &str| Tool::of(&table, tool, |_| None).unwrap().role(field);
        assert_eq!(role("run", "q"), Some(Role::Sql));
        assert_eq!(role("mcp__b__run", "q"), Some(Role::Sql));
        assert_eq!(role("mcp__a__run", "q"), Some(Role::Text));
        assert_eq!(role("mcp__b__run", "r"), None);
        assert_eq!(role("Bash", "description"), Some(Role::Shell));
        assert_eq!(role("Bash", "command"), Some(Role::Shell));
        assert_eq!(role("bash", "path"), None);
    }
}
