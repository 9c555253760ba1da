//! Refuses texts whose tokens the parser and the system could see differently.
//!
//! The parser's tokenizer is lenient: it takes literal and comment forms that a given system does not have, and the
//! systems' own client programs act on lines that are no SQL. Each rule here gives up a form that a person rarely
//! writes, so that what is read is what runs: literals of another dialect, comments that hold a semicolon or another
//! comment's border, backslashes where their meaning is not known, client commands, and a number of statements smaller
//! than the number of semicolon-separated parts.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "tokens of every dialect alike are many; those that are not are listed"
)]

use super::facts::Facts;
use crate::Dialect;
use portcullis_model::Fault;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

/// A token and where it stands.
pub(super) type Spanned = TokenWithSpan;

fn ambiguous(message: &str) -> Fault {
    Fault::Ambiguous { message: message.into() }
}

/// The tokens of a text, white space and comments included.
pub(super) fn tokens(text: &str, facts: &Facts, limit: usize) -> Result<Vec<Spanned>, Fault> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(ambiguous("the text holds a control character"));
    }
    let tokens = Tokenizer::new(facts.grammar(), text).tokenize_with_location().map_err(|error| Fault::Syntax {
        message: "a literal, a quoted name or a comment is not closed, or a character is not SQL".into(),
        position: characters_before(text, error.location),
    })?;
    if tokens.len() > limit {
        return Err(Fault::TooLarge { message: format!("the text has more than {limit} tokens").into() });
    }
    Ok(adapt(tokens, facts.dialect))
}

/// Two forms that the systems take and the parser does not: `\G` for a semicolon in MySQL's client, and a bare name as
/// the argument of a PRAGMA.
fn adapt(tokens: Vec<Spanned>, dialect: Dialect) -> Vec<Spanned> {
    let mut out: Vec<Spanned> = Vec::with_capacity(tokens.len());
    for mut spanned in tokens {
        let before = |nth: usize| out.iter().rev().nth(nth).map(|spanned| &spanned.token);
        let word = match &spanned.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.clone()),
            _ => None,
        };
        match (dialect, word) {
            (Dialect::MySql, Some(word)) if word.eq_ignore_ascii_case("g") && before(0) == Some(&Token::Backslash) => {
                out.pop();
                spanned.token = Token::SemiColon;
            }
            (Dialect::Sqlite, Some(word))
                if before(0) == Some(&Token::LParen)
                    && matches!(before(1), Some(Token::Word(_)))
                    && is_keyword(before(3), "pragma") =>
            {
                spanned.token = Token::SingleQuotedString(word);
            }
            _ => {}
        }
        out.push(spanned);
    }
    out
}

/// Whether the tokens are those that the system sees.
pub(super) fn check(text: &str, tokens: &[Spanned], facts: &Facts) -> Result<(), Fault> {
    client_commands(text, facts.dialect)?;
    // code for some versions of MySQL and MariaDB; the tokenizer takes it for code of every version
    if text.contains("/*!") || text.contains("/*M!") {
        return Err(ambiguous("the text holds a comment that some servers run: leave it out"));
    }
    for (at, spanned) in tokens.iter().enumerate() {
        token(&spanned.token, facts)?;
        if is_keyword(Some(&spanned.token), "select") && is_keyword(next_word(tokens, at), "into") {
            return Err(ambiguous("SELECT INTO without a list of columns can be read two ways"));
        }
    }
    if facts.backslash.is_none() && text.contains('\\') {
        return Err(ambiguous("what a backslash means is not known for this system; send the value as a parameter"));
    }
    lexing_settings(text, tokens, facts)
}

/// A statement that changes how later text is lexed must stand alone.
fn lexing_settings(text: &str, tokens: &[Spanned], facts: &Facts) -> Result<(), Fault> {
    let changes = |token: &Token| {
        ["sql_mode", "character_set_client", "character_set_connection", "charset"]
            .iter()
            .any(|name| matches!(token, Token::Word(word) if word.value.to_ascii_lowercase().ends_with(name)))
    };
    let alone = tokens.iter().filter(|spanned| spanned.token == Token::SemiColon).count() < 2 && !text.contains('\\');
    if facts.dialect == Dialect::MySql && !alone && tokens.iter().any(|spanned| changes(&spanned.token)) {
        return Err(ambiguous("a change of sql_mode or of the character set must be sent by itself"));
    }
    Ok(())
}

fn next_word(tokens: &[Spanned], at: usize) -> Option<&Token> {
    tokens.iter().skip(at + 1).map(|spanned| &spanned.token).find(|token| !matches!(token, Token::Whitespace(_)))
}

fn is_keyword(token: Option<&Token>, keyword: &str) -> bool {
    matches!(token, Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword))
}

fn token(token: &Token, facts: &Facts) -> Result<(), Fault> {
    let has = |kind| Facts::lists(facts.strings, kind);
    let plain = |body: &str| !body.contains(['\'', '"', '\\']);
    let ok = match token {
        Token::Whitespace(space) => return blank(space, facts),
        Token::DollarQuotedString(body) => has("$$") && body.tag.is_none(),
        Token::NationalStringLiteral(body) => has("n") && plain(body),
        Token::HexStringLiteral(body) => (has("x") || has("b")) && body.bytes().all(|byte| byte.is_ascii_hexdigit()),
        Token::SingleQuotedByteStringLiteral(body) | Token::DoubleQuotedByteStringLiteral(body) => {
            has("b") && plain(body)
        }
        Token::SingleQuotedRawStringLiteral(body) | Token::DoubleQuotedRawStringLiteral(body) => {
            has("r") && plain(body)
        }
        Token::TripleSingleQuotedString(_) | Token::TripleDoubleQuotedString(_) => has("triple"),
        Token::TripleSingleQuotedByteStringLiteral(_)
        | Token::TripleDoubleQuotedByteStringLiteral(_)
        | Token::TripleSingleQuotedRawStringLiteral(_)
        | Token::TripleDoubleQuotedRawStringLiteral(_)
        | Token::QuoteDelimitedStringLiteral(_)
        | Token::NationalQuoteDelimitedStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::UnicodeStringLiteral(_)
        | Token::Backslash => false,
        // a bare dollar sign that is no parameter starts a literal in some systems
        Token::Placeholder(name) => !name.contains("$$"),
        _ => true,
    };
    if ok { Ok(()) } else { Err(ambiguous("the text holds a literal or sign of another dialect")) }
}

fn blank(space: &Whitespace, facts: &Facts) -> Result<(), Fault> {
    let (body, known) = match space {
        Whitespace::Space | Whitespace::Newline | Whitespace::Tab => return Ok(()),
        Whitespace::SingleLineComment { comment, prefix } => {
            let body = comment.strip_suffix('\r').unwrap_or(comment);
            (body, Facts::lists(facts.comments, prefix) && !body.contains('\r'))
        }
        // a hint may change settings of the statement
        Whitespace::MultiLineComment(body) => (body.as_str(), !body.starts_with('+')),
    };
    if known && !body.contains(';') && !body.contains("/*") && !body.contains("*/") {
        return Ok(());
    }
    Err(ambiguous("a comment can be read two ways: leave it out"))
}

/// Lines that the system's client program acts on by itself.
fn client_commands(text: &str, dialect: Dialect) -> Result<(), Fault> {
    let command = |line: &str| {
        let first = line.split_ascii_whitespace().next().unwrap_or_default().trim_end_matches(';');
        match dialect {
            Dialect::MySql => first.eq_ignore_ascii_case("delimiter"),
            Dialect::Sqlite => line.starts_with('.') || line == "/" || first.eq_ignore_ascii_case("go"),
            Dialect::MsSql => first.eq_ignore_ascii_case("go") || line.starts_with(':') || line.starts_with("!!"),
            Dialect::Snowflake => line.starts_with('!'),
            Dialect::Postgres | Dialect::ClickHouse | Dialect::BigQuery | Dialect::Generic => line.starts_with('\\'),
        }
    };
    let replaced = match dialect {
        Dialect::MsSql => text.contains("$("),
        Dialect::Snowflake => text.contains("&{"),
        Dialect::Postgres
        | Dialect::MySql
        | Dialect::Sqlite
        | Dialect::ClickHouse
        | Dialect::BigQuery
        | Dialect::Generic => false,
    };
    if replaced || text.split(['\n', '\r']).map(str::trim).any(command) {
        return Err(Fault::Unsupported {
            message: "the text holds a command for the client program; send SQL alone, separated by semicolons".into(),
        });
    }
    Ok(())
}

/// Whether at least as many statements were read as semicolons separate.
pub(super) fn count(tokens: &[Spanned], statements: usize) -> Result<(), Fault> {
    let mut parts = 0;
    let mut open = false;
    for spanned in tokens {
        match &spanned.token {
            Token::SemiColon => open = false,
            Token::Whitespace(_) | Token::EOF => {}
            _ if open => {}
            _ => {
                open = true;
                parts += 1;
            }
        }
    }
    if statements < parts {
        return Err(ambiguous("the text has more statements than could be read"));
    }
    Ok(())
}

/// The number of characters before a place and one more, as errors count.
fn characters_before(text: &str, place: Location) -> Option<u32> {
    byte_of(text, place).and_then(|at| text.get(..at)).and_then(|part| u32::try_from(part.chars().count() + 1).ok())
}

/// The byte that a line and column stand for.
pub(super) fn byte_of(text: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line.checked_sub(1)?).ok()?;
    let column = usize::try_from(place.column.checked_sub(1)?).ok()?;
    let start = match line {
        0 => 0,
        _ => text.match_indices('\n').nth(line - 1)?.0 + 1,
    };
    let rest = text.get(start..)?;
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).nth(column).map(|at| start + at)
}

/// Where a parser's message says that it stopped.
pub(super) fn position(text: &str, message: &str) -> Option<u32> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    characters_before(text, Location { line: line.parse().ok()?, column: column.trim().parse().ok()? })
}
