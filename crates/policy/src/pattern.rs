//! Object patterns as rules write them: a noun and what follows it.
//!
//! | written | what it matches |
//! |---|---|
//! | `*` | every object; for an allow not `session guarded`, `shell` and `sftp`, which must be named |
//! | `table S.T` | every relation that can be read from or written to, with all its columns; `view S.T` and `materialized view S.T` narrow it |
//! | `column S.T.C` | these columns of any relation |
//! | `function S.F`, `index S.N`, `sequence S.N` … | schema and name; kinds that live in no schema (`extension N`, `language N` …) take the name alone; `trigger`, `rule`, `policy`, `constraint` take either |
//! | `schema N`, `role N`, `setting N`, `database N`, `channel N`, `model N`, `tool N`, `subsystem N` | one name; settings ignore case |
//! | `program P [SUBCOMMAND]` | the program, with any subcommand unless one is written |
//! | `file PATH` | a path from `/`, `~` or `**` |
//! | `host H:P` | host and port; `*` in the host spans its labels |
//! | `listener A:P` | address and port, written as a host's are; port 0 is one that the target chooses |
//! | `endpoint METHOD PATH` | method in upper case, path from `/` or `**` |
//! | `session KIND` | `sql`, `http`, `exec`, `guarded`, `shell`, `sftp` |
//! | `unknown` | the object that could not be determined |
//!
//! Promises: what could only be written by mistake is refused with what to write instead: a table without its schema,
//! a capital outside quotes, a `?`, in a path of an endpoint what no canonical path holds. Matching is in `matching.rs`, globs in `glob.rs`. Held by: `pattern/tests.rs`.

mod endpoint;

use crate::glob::{Glob, Quoting, Segment, Segments, Token, alternatives};
use crate::source::nearest;
use portcullis_model::{ItemKind, RelationKind, SessionKind};

/// One object pattern without braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// `*`.
    Everything,
    /// `unknown`.
    Unknown,
    /// `table`, `view`, `materialized view`; the kind is `None` for `table`, which is any.
    Relation { kind: Option<RelationKind>, name: Segments },
    /// `column`.
    Column(Segments),
    /// `function`.
    Function(Segments),
    /// A kind without a noun of its own in the model.
    Item { kind: ItemKind, name: Segments },
    /// A noun with one name.
    Single { noun: Single, name: Glob },
    /// `program`.
    Program { name: Glob, subcommand: Option<Segments> },
    /// `file`.
    File(Segments),
    /// `host`.
    Host { host: Glob, port: Glob },
    /// `listener`.
    Listener { address: Glob, port: Glob },
    /// `endpoint`.
    Endpoint { method: Glob, path: Segments },
    /// `session`.
    Session(Glob),
}

/// The nouns with one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Single {
    Channel,
    Database,
    Model,
    Role,
    Schema,
    Setting,
    Subsystem,
    Tool,
}

/// Why a pattern is refused, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Refused {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self { message, help: None }
    }
}

/// What follows a noun.
#[derive(Clone, Copy)]
enum Kind {
    Relation(Option<RelationKind>),
    Column,
    Function,
    Item(ItemKind),
    Single(Single),
    Program,
    File,
    Host,
    Listener,
    Endpoint,
    Session,
}

const NOUNS: &[(&str, Kind)] = &[
    ("table", Kind::Relation(None)),
    ("view", Kind::Relation(Some(RelationKind::View))),
    ("materialized view", Kind::Relation(Some(RelationKind::MaterializedView))),
    ("column", Kind::Column),
    ("function", Kind::Function),
    ("schema", Kind::Single(Single::Schema)),
    ("role", Kind::Single(Single::Role)),
    ("setting", Kind::Single(Single::Setting)),
    ("database", Kind::Single(Single::Database)),
    ("channel", Kind::Single(Single::Channel)),
    ("program", Kind::Program),
    ("file", Kind::File),
    ("host", Kind::Host),
    ("listener", Kind::Listener),
    ("endpoint", Kind::Endpoint),
    ("model", Kind::Single(Single::Model)),
    ("tool", Kind::Single(Single::Tool)),
    ("subsystem", Kind::Single(Single::Subsystem)),
    ("session", Kind::Session),
];

/// The kinds of session, in the words of patterns.
pub(crate) const SESSIONS: &[SessionKind] = &[
    SessionKind::Sql,
    SessionKind::Http,
    SessionKind::Exec,
    SessionKind::Guarded,
    SessionKind::Shell,
    SessionKind::Sftp,
];

/// The patterns that this text stands for: one, or one per alternative of its braces.
pub(crate) fn parse(text: &str) -> Result<Vec<Pattern>, Refused> {
    match text {
        "*" | "**" => return Ok(vec![Pattern::Everything]),
        "unknown" => return Ok(vec![Pattern::Unknown]),
        _ => {}
    }
    let (kind, noun, rest) = noun(text)?;
    if rest.is_empty() {
        let help = format!("write `{noun} {}`", kind.example());
        return Err(Refused::new(format!("`{text}` names no object"), help));
    }
    let all = alternatives(rest, kind.quoting())?;
    all.iter().map(|tokens| kind.pattern(noun, rest, tokens)).collect()
}

/// The noun that starts the text, and what follows it. The longest noun wins, so `materialized view` is not a word and
/// a name.
fn noun(text: &str) -> Result<(Kind, &'static str, &str), Refused> {
    let items = ItemKind::ALL.iter().map(|kind| (kind.noun(), Kind::Item(*kind)));
    let found = NOUNS
        .iter()
        .copied()
        .chain(items)
        .filter_map(|(noun, kind)| Some((kind, noun, behind(text, noun)?)))
        .max_by_key(|(_, noun, _)| noun.len());
    found.ok_or_else(|| {
        let word = text.split_whitespace().next().unwrap_or_default();
        let nouns = NOUNS.iter().map(|(noun, _)| *noun).chain(ItemKind::ALL.iter().map(|kind| kind.noun()));
        let help = match nearest(word, nouns) {
            Some(near) => format!("did you mean `{near}{}`?", text.trim_start_matches(word)),
            None if word.contains(['.', '*']) => format!("say what it is, as in `table {text}`"),
            None => "a pattern starts with its noun, as in `table public.*` or `program git push`".to_owned(),
        };
        Refused::new(format!("unknown object `{text}`"), help)
    })
}

/// What stands behind this noun, where the text starts with it as a word.
fn behind<'t>(text: &'t str, noun: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(noun)?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim())
}

impl Kind {
    const fn quoting(self) -> Quoting {
        match self {
            Self::Relation(_) | Self::Column | Self::Function | Self::Item(_) | Self::Single(_) => Quoting::Sql,
            Self::Program | Self::File | Self::Host | Self::Listener | Self::Endpoint | Self::Session => {
                Quoting::Backslash
            }
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Relation(_) | Self::Function => "public.*",
            Self::Item(kind) => match placement(kind) {
                Placement::Alone => "*",
                Placement::InSchema | Placement::Either => "public.*",
            },
            Self::Column => "public.customers.email",
            Self::Single(_) => "*",
            Self::Program => "git push",
            Self::File => "/etc/**",
            Self::Host => "db.internal:5432",
            Self::Listener => "localhost:8080",
            Self::Endpoint => "GET /orders/**",
            Self::Session => "sftp",
        }
    }

    fn pattern(self, noun: &str, text: &str, tokens: &[Token]) -> Result<Pattern, Refused> {
        match self {
            Self::Relation(kind) => Ok(Pattern::Relation { kind, name: qualified(noun, text, tokens, 2)? }),
            Self::Column => Ok(Pattern::Column(qualified(noun, text, tokens, 3)?)),
            Self::Function => Ok(Pattern::Function(qualified(noun, text, tokens, 2)?)),
            Self::Item(kind) => Ok(Pattern::Item { kind, name: item(kind, text, tokens)? }),
            Self::Single(noun) => single(noun, text, tokens),
            Self::Program => program(tokens),
            Self::File => file(text, tokens),
            Self::Host => place(noun, text, tokens).map(|(host, port)| Pattern::Host { host, port }),
            Self::Listener => place(noun, text, tokens).map(|(address, port)| Pattern::Listener { address, port }),
            Self::Endpoint => endpoint::read(text, tokens),
            Self::Session => session(text, tokens),
        }
    }
}

/// Whether the objects of a kind are named with a schema.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    InSchema,
    Alone,
    /// In the schema of the table that they belong to, which a DBA may leave out.
    Either,
}

const fn placement(kind: ItemKind) -> Placement {
    match kind {
        ItemKind::AccessMethod
        | ItemKind::Cast
        | ItemKind::EventTrigger
        | ItemKind::Extension
        | ItemKind::ForeignDataWrapper
        | ItemKind::Language
        | ItemKind::LargeObject
        | ItemKind::Publication
        | ItemKind::Server
        | ItemKind::Subscription
        | ItemKind::Tablespace
        | ItemKind::Transform
        | ItemKind::UserMapping => Placement::Alone,
        ItemKind::Constraint | ItemKind::Policy | ItemKind::Rule | ItemKind::Trigger => Placement::Either,
        ItemKind::Aggregate
        | ItemKind::Collation
        | ItemKind::Conversion
        | ItemKind::Domain
        | ItemKind::Index
        | ItemKind::Operator
        | ItemKind::OperatorClass
        | ItemKind::OperatorFamily
        | ItemKind::Sequence
        | ItemKind::Statistics
        | ItemKind::TextSearch
        | ItemKind::Type => Placement::InSchema,
    }
}

/// A name of this many parts.
fn qualified(noun: &str, text: &str, tokens: &[Token], wanted: usize) -> Result<Segments, Refused> {
    plain_sql(text, tokens, true)?;
    let name = Segments::split(tokens, '.')?;
    let (parts, deep) = name.shape();
    if parts == wanted || (deep && parts <= wanted.saturating_add(1)) {
        return Ok(name);
    }
    let form = if wanted == 3 { "SCHEMA.TABLE.COLUMN" } else { "SCHEMA.NAME" };
    let help = match (parts, wanted) {
        (1, 2) => format!("write `{noun} *.{text}` for any schema, or name it as in `{noun} public.{text}`"),
        (1, 3) => format!("write `{noun} *.*.{text}`"),
        (2, 3) => format!("write `{noun} *.{text}` for any schema"),
        _ => "a dot inside a name is quoted, as in `public.\"a.b\"`".to_owned(),
    };
    Err(Refused::new(format!("`{noun} {text}` is not {form}"), help))
}

fn item(kind: ItemKind, text: &str, tokens: &[Token]) -> Result<Segments, Refused> {
    let noun = kind.noun();
    match placement(kind) {
        Placement::InSchema => qualified(noun, text, tokens, 2),
        Placement::Either if !tokens.contains(&Token::Bare('.')) => {
            plain_sql(text, tokens, true)?;
            Ok(Segments::split(tokens, '.')?)
        }
        Placement::Either => qualified(noun, text, tokens, 2),
        Placement::Alone => {
            plain_sql(text, tokens, true)?;
            if tokens.contains(&Token::Bare('.')) {
                let help = "a dot inside a name is quoted, as in `\"a.b\"`";
                return Err(Refused::new(format!("`{noun} {text}` has a schema, and its kind lives in none"), help));
            }
            Ok(Segments::split(tokens, '.')?)
        }
    }
}

fn single(noun: Single, text: &str, tokens: &[Token]) -> Result<Pattern, Refused> {
    let folds = match noun {
        Single::Channel | Single::Database | Single::Role | Single::Schema => true,
        Single::Setting | Single::Model | Single::Subsystem | Single::Tool => false,
    };
    plain_sql(text, tokens, folds)?;
    let name = Segment::of(tokens)?.into_glob();
    Ok(Pattern::Single { noun, name: if noun == Single::Setting { name.folded() } else { name } })
}

/// Refuses what a canonical name never holds outside quotes: it would match nothing, silently.
fn plain_sql(text: &str, tokens: &[Token], folds: bool) -> Result<(), Refused> {
    for token in tokens {
        let Token::Bare(c) = token else { continue };
        if c.is_whitespace() {
            return Err(Refused::new(
                format!("a blank in `{text}`"),
                "quote names that hold one, as in `public.\"order items\"`",
            ));
        }
        if *c == '?' {
            let help = "an unknown name prints as `?`; a pattern takes it with `*`";
            return Err(Refused::new(format!("`?` in `{text}` is no wildcard"), help));
        }
        if *c == '(' {
            let help = "a pattern covers every overload: leave the arguments out";
            return Err(Refused::new(format!("arguments in `{text}`"), help));
        }
        if folds && c.is_ascii_uppercase() {
            let help = format!("write `{}`, or quote it if the name really has capitals", text.to_ascii_lowercase());
            return Err(Refused::new(format!("`{text}` has capitals outside quotes"), help));
        }
    }
    Ok(())
}

/// The words between unquoted blanks.
fn words(tokens: &[Token]) -> Vec<Vec<Token>> {
    let blank = |token: &Token| matches!(token, Token::Bare(c) if c.is_whitespace());
    tokens.split(blank).filter(|word| !word.is_empty()).map(<[_]>::to_vec).collect()
}

fn program(tokens: &[Token]) -> Result<Pattern, Refused> {
    let words = words(tokens);
    let Some((name, subcommand)) = words.split_first() else {
        return Err(Refused::from("a program without a name".to_owned()));
    };
    let subcommand =
        if subcommand.is_empty() { None } else { Some(Segments::split(&subcommand.join(&Token::Bare(' ')), ' ')?) };
    Ok(Pattern::Program { name: Segment::of(name)?.into_glob(), subcommand })
}

/// Whether the tokens start a canonical path: at the root, at home, or anywhere by `**`.
fn rooted(tokens: &[Token], home: bool) -> bool {
    match tokens {
        [Token::Bare('/'), ..] | [Token::Star, Token::Star] | [Token::Star, Token::Star, Token::Bare('/'), ..] => true,
        [Token::Bare('~')] | [Token::Bare('~'), Token::Bare('/'), ..] => home,
        _ => false,
    }
}

/// A path's segments. What a canonical path never holds is refused, since it would match nothing: a step up or in
/// place, and at a file a final slash.
fn path(noun: &str, text: &str, tokens: &[Token], home: bool) -> Result<Segments, Refused> {
    if !rooted(tokens, home) {
        let from = if home { "`/`, `~/` or `**/`" } else { "`/` or `**/`" };
        return Err(Refused::new(format!("`{noun} {text}` is not a whole path"), format!("start it with {from}")));
    }
    let step = |part: &[Token]| matches!(part, [Token::Bare('.')] | [Token::Bare('.'), Token::Bare('.')]);
    if tokens.split(|token| *token == Token::Bare('/')).any(step) {
        let help = "write the path without `.` and `..`, as it is once resolved";
        return Err(Refused::new(format!("`{noun} {text}` is not a resolved path"), help));
    }
    if tokens.len() > 1 && tokens.last() == Some(&Token::Bare('/')) && noun == "file" {
        let help = format!("write `{noun} {text}**` for all that lies in it");
        return Err(Refused::new(format!("`{noun} {text}` ends in a slash"), help));
    }
    Ok(Segments::split_path(tokens)?)
}

fn file(text: &str, tokens: &[Token]) -> Result<Pattern, Refused> {
    path("file", text, tokens, true).map(Pattern::File)
}

/// A host or an address, and a port.
fn place(noun: &str, text: &str, tokens: &[Token]) -> Result<(Glob, Glob), Refused> {
    let cut = tokens.iter().rposition(|token| *token == Token::Bare(':'));
    let bracket = tokens.iter().rposition(|token| *token == Token::Bare(']'));
    let split = cut.filter(|cut| bracket.is_none_or(|bracket| *cut > bracket)).and_then(|cut| {
        let (host, port) = tokens.split_at_checked(cut)?;
        Some((host, port.get(1..)?))
    });
    let Some((host, port)) = split.filter(|(host, port)| !host.is_empty() && !port.is_empty()) else {
        if *tokens == [Token::Star, Token::Star] {
            return Ok((Glob::any(), Glob::any()));
        }
        return Err(Refused::new(
            format!("`{noun} {text}` names no port"),
            format!("write `{noun} {text}:*` for any port"),
        ));
    };
    let host = Segment::of(host)?.into_glob().folded();
    Ok((host, Segment::of(port)?.into_glob()))
}

fn session(text: &str, tokens: &[Token]) -> Result<Pattern, Refused> {
    let kind = Segment::of(tokens)?.into_glob();
    if SESSIONS.iter().any(|known| kind.matches(known.word())) {
        return Ok(Pattern::Session(kind));
    }
    let help = nearest(text, SESSIONS.iter().map(|kind| kind.word())).map_or_else(
        || "the kinds are `sql`, `http`, `exec`, `guarded`, `shell` and `sftp`".to_owned(),
        |near| format!("did you mean `session {near}`?"),
    );
    Err(Refused::new(format!("`session {text}` is no kind of session"), help))
}

#[cfg(test)]
mod tests;
