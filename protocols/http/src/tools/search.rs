//! Texts that look like code, in input that nobody described.
//!
//! Promises: a text is taken for SQL where PostgreSQL's grammar accepts it and it does more than compute constants, and
//! for a command line where its first word is a program that is known and something else of it looks like one; the cheap
//! test comes first, and the reading is the same as that of described input. Does not promise to find code that is
//! encoded, in the middle of prose, or of another language: this is advice, what runs it is judged where it arrives.
//! Held by: `fixtures/http/tools.tsv`.

/// Words that begin a statement of PostgreSQL's grammar, and of what others add to it.
const STATEMENTS: &[&str] = &[
    "abort",
    "alter",
    "analyse",
    "analyze",
    "attach",
    "begin",
    "call",
    "checkpoint",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "dbcc",
    "deallocate",
    "declare",
    "delete",
    "detach",
    "discard",
    "do",
    "drop",
    "end",
    "exec",
    "execute",
    "explain",
    "fetch",
    "grant",
    "import",
    "insert",
    "listen",
    "load",
    "lock",
    "merge",
    "move",
    "notify",
    "optimize",
    "pragma",
    "prepare",
    "purge",
    "reassign",
    "reconfigure",
    "refresh",
    "reindex",
    "release",
    "rename",
    "replace",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "select",
    "set",
    "show",
    "start",
    "table",
    "truncate",
    "undrop",
    "unlisten",
    "update",
    "upsert",
    "use",
    "vacuum",
    "values",
    "waitfor",
    "with",
];

/// How a field is taken by its name alone; of two words the later here is stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    /// Nothing that its name would tell.
    Other,
    /// The words of one command line.
    Words,
    /// A command line.
    Shell,
    /// SQL, or words to search for.
    Query,
    /// SQL and nothing else.
    Sql,
}

/// What the name of a field says: the strongest of its words.
pub(super) fn named(field: &str) -> Named {
    // Where capitals begin words: not in a name of nothing else.
    let humps = field.bytes().any(|byte| byte.is_ascii_lowercase());
    let (mut found, mut word) = (Named::Other, String::new());
    let before = std::iter::once(' ').chain(field.chars());
    let after = field.chars().skip(1).chain(std::iter::once(' '));
    for ((c, before), after) in field.chars().zip(before).zip(after) {
        // `rawSQL` is two words, and so is `SQLText`; `sql1` is one with a number behind it.
        let hump = c.is_ascii_uppercase() && (!before.is_ascii_uppercase() || after.is_ascii_lowercase());
        if !c.is_ascii_alphabetic() || (humps && hump) {
            found = found.max(of_word(&word));
            word.clear();
        }
        if c.is_ascii_alphabetic() {
            word.push(c.to_ascii_lowercase());
        }
    }
    found.max(of_word(&word))
}

fn of_word(word: &str) -> Named {
    match word {
        "sql" | "sqls" | "sqlquery" | "sqltext" | "sqlstatement" | "sqlstring" | "rawsql" | "tsql" | "plsql"
        | "pgsql" | "ddl" | "dml" | "stmt" | "stmts" | "statement" | "statements" => Named::Sql,
        "query" | "queries" => Named::Query,
        "command" | "commands" | "cmd" | "cmds" | "script" | "scripts" | "shell" | "bash" | "cmdline"
        | "commandline" | "shellcommand" | "shellscript" | "bashcommand" => Named::Shell,
        "argv" => Named::Words,
        _ => Named::Other,
    }
}

/// Whether a member of this name holds the text of a query, in an object where one is asked for.
pub(super) fn is_text_of_query(field: &str) -> bool {
    let names = ["query", "raw", "rawsql", "sql", "sqltext", "statement", "stmt", "string", "text"];
    names.iter().any(|name| field.eq_ignore_ascii_case(name))
}

/// Whether there is nothing in it that could stand between two words.
pub(super) fn is_one_word(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
}

/// Whether the text begins as SQL does.
pub(super) fn begins_as_sql(text: &str) -> bool {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '(' | ';' | '\u{feff}'));
        let behind = if let Some(comment) = rest.strip_prefix("--").or_else(|| rest.strip_prefix('#')) {
            comment.split_once(['\n', '\r']).map(|(_, behind)| behind)
        } else if rest.starts_with("/*") {
            behind_comment(rest)
        } else {
            break;
        };
        let Some(behind) = behind else { return false };
        rest = behind;
    }
    let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    word.len() <= 12 && STATEMENTS.contains(&word.to_ascii_lowercase().as_str())
}

/// What follows a comment in stars, in which others may stand; `None` where it does not end.
fn behind_comment(text: &str) -> Option<&str> {
    let (mut depth, mut rest) = (0_usize, text);
    loop {
        let at = rest.find(['/', '*'])?;
        rest = rest.get(at..)?;
        if let Some(inner) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, inner);
        } else if let Some(behind) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, behind);
            if depth == 0 {
                return Some(rest);
            }
        } else {
            rest = rest.get(1..)?;
        }
    }
}

/// Whether it holds a comment that MySQL and MariaDB run.
pub(super) fn has_comment_that_runs(text: &str) -> bool {
    text.contains("/*!") || text.contains("/*M!")
}

/// Whether the text has the shape of a command line.
pub(super) fn looks_like_shell(text: &str) -> bool {
    let mut words = text.split_whitespace().skip_while(|word| is_assignment(word)).peekable();
    let Some(first) = words.next() else { return false };
    let program = first.rsplit('/').next().unwrap_or(first);
    let program = program.trim_end_matches([';', '&', '|']);
    if !portcullis_shell::knows(program) {
        return false;
    }
    first.contains('/')
        || text.contains(['|', ';', '&', '>', '<', '`'])
        || text.contains("$(")
        || words.any(|word| word.contains('/') || (word.len() > 1 && word.starts_with('-')))
}

/// Whether a shell that is given these words in one line would run or touch more than they say as words: an operator by
/// itself or before what could be run, a further path inside a word, a pattern of absolute paths.
pub(super) fn shows_more(words: &[&str]) -> bool {
    // The end of what `find` executes.
    let words = match words {
        [before @ .., ";"] => before,
        words => words,
    };
    let is_operator = |byte: u8| matches!(byte, b';' | b'&' | b'|' | b'<' | b'>');
    let alone = |word: &&str| {
        word.bytes().any(is_operator) && word.bytes().all(|byte| is_operator(byte) || byte.is_ascii_digit())
    };
    let pattern = |word: &&str| {
        is_absolute(word) && (word.contains(['*', '?', '[']) || (word.contains('{') && word.contains(',')))
    };
    words.iter().any(alone)
        || words.iter().any(pattern)
        || words.iter().any(|word| word.split_whitespace().skip(1).any(is_absolute))
        || runs_behind_operator(&words.join(" ").replace("$(", "`"))
}

/// Whether what follows an operator could be run or written to.
fn runs_behind_operator(line: &str) -> bool {
    line.split([';', '&', '|', '<', '>', '`', '\n', '\r']).skip(1).any(|behind| {
        let begins = |word: &&str| {
            is_assignment(word) || matches!(*word, "!" | "(" | "{" | "do" | "else" | "if" | "then" | "until" | "while")
        };
        let word = behind.split_whitespace().find(|word| !begins(word)).unwrap_or_default();
        let word = word.trim_start_matches(['(', '{', '!', '\'', '"', '\\']);
        let word = word.trim_end_matches([')', '}', '\'', '"']);
        let program = word.rsplit('/').next().unwrap_or(word);
        is_absolute(word) || word.starts_with("./") || word.starts_with("../") || portcullis_shell::knows(program)
    })
}

fn is_absolute(word: &str) -> bool {
    word.len() > 1 && word.starts_with('/') || word.starts_with("~/")
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_field_says_what_it_holds() {
        for (field, expected) in [
            ("sql", Named::Sql),
            ("SQL", Named::Sql),
            ("rawSql", Named::Sql),
            ("sql_text", Named::Sql),
            ("sqlquery", Named::Sql),
            ("mysql_host", Named::Other),
            ("rawSQL", Named::Sql),
            ("SQLText", Named::Sql),
            ("sql1", Named::Sql),
            ("query2", Named::Query),
            ("sqlstatement", Named::Sql),
            ("sqlite", Named::Other),
            ("statement", Named::Sql),
            ("query", Named::Query),
            ("search_query", Named::Query),
            ("cmd", Named::Shell),
            ("cmds", Named::Shell),
            ("commandline", Named::Shell),
            ("argv", Named::Words),
            ("command_argv", Named::Shell),
            ("setupScripts", Named::Shell),
            ("shell-command", Named::Shell),
            ("startScript", Named::Shell),
            ("description", Named::Other),
            ("recommand", Named::Other),
            ("RAW_SQL", Named::Sql),
            ("cmd query sql", Named::Sql),
            ("", Named::Other),
        ] {
            assert_eq!(named(field), expected, "{field}");
        }
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(STATEMENTS.is_sorted() && STATEMENTS.iter().all(|word| word.len() <= 12));
    }

    #[test]
    fn words_are_a_line_only_where_a_shell_would_do_more_with_them() {
        for words in [
            &["x", ";", "rm", "-rf", "/srv"][..],
            &["x", "&&", "frobnicate"],
            &["x", ">", "y"],
            &["x; rm -rf /srv"],
            &["x;rm", "-rf", "/srv"],
            &["$(reboot)"],
            &["`/srv/x.sh`"],
            &["x\nrm -rf /srv"],
            &["x; X=1 then ./y"],
            &["-f", "/srv/x /etc/shadow"],
            &["/etc/shado?"],
            &["/etc/{shadow,passwd}"],
            &["x>/etc/passwd"],
        ] {
            assert!(shows_more(words), "{words:?}");
        }
        for words in [
            &["-rf", "/srv"][..],
            &["commit", "-m", "it's done; remove the rest (of it) & others"],
            &["commit", "-m", "take --json as well"],
            &["-E", "a|b", "/srv/x"],
            &["-e", "s/a/b/;s/c/d/", "x"],
            &["-c", "print(1)"],
            &["{print $1}", "/srv/x"],
            &["/srv", "-name", "*.rs", "-exec", "grep", "x", "{}", ";"],
            &["https://a.example/?x=1&y=2", "-o", "out"],
            &["either / or"],
        ] {
            assert!(!shows_more(words), "{words:?}");
        }
    }

    #[test]
    fn prose_is_not_taken_for_code() {
        for (text, sql, shell) in [
            ("DROP TABLE x", true, false),
            (" -- note\n/* a */ (select 1)", true, false),
            ("/* never", false, false),
            ("/*/**/*/DROP TABLE x", true, false),
            ("/* a /* b */ c */ delete from x", true, false),
            ("/* a */ b */ drop", false, false),
            ("--x\rDROP TABLE x", true, false),
            ("-- drop table x", false, false),
            ("# x\nDROP TABLE x", true, false),
            ("ANALYSE; DROP TABLE x", true, false),
            ("EXEC('drop')", true, false),
            ("rm -rf /srv", false, true),
            ("PGPASSWORD=x psql -c 'x'", false, true),
            ("/bin/rm x", false, true),
            ("cat x | sh", false, true),
            ("hello world", false, false),
            ("rm", false, false),
            ("", false, false),
        ] {
            assert_eq!((begins_as_sql(text), looks_like_shell(text)), (sql, shell), "{text}");
        }
    }
}
