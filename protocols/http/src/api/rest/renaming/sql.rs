//! SQL: under which name what it selects or returns comes back.
//!
//! Promises: a statement is known by its first word behind comments, and by a second one, since people write to each
//! other that begin with one; comments are nothing, and no word in quotes is a keyword. Of a statement with one list of
//! what comes back each item that says a protected name must be that name alone, or be called by one; behind the list it
//! may stand in conditions. One that puts several queries together, nests the only one, or that servers read in different
//! ways may not say one at all, and one that writes may not copy a protected member to another. Does not promise to know
//! names that are written with escapes or put together, nor statements in strings, nor other first words.
//! Held by: `tests.rs`.

use super::tokens::{Protected, Token, is_word};

/// First words of statements, and a word that some have further on; besides, they select or return something.
const STATEMENTS: [(&str, &str); 19] = [
    ("begin", ""),
    ("call", ""),
    ("copy", "to"),
    ("create", "as"),
    ("declare", "for"),
    ("delete", "from"),
    ("do", ""),
    ("exec", ""),
    ("execute", ""),
    ("explain", ""),
    ("insert", "into"),
    ("merge", "into"),
    ("prepare", "as"),
    ("replace", "into"),
    ("set", ""),
    ("start", ""),
    ("update", "set"),
    ("use", ""),
    ("values", "select"),
];
/// Of these the ones that write.
const WRITING: [&str; 5] = ["insert", "update", "delete", "merge", "replace"];
/// Words that mean something here.
const KEYWORDS: [&str; 18] = [
    "all",
    "as",
    "distinct",
    "except",
    "from",
    "insert",
    "intersect",
    "into",
    "output",
    "returning",
    "select",
    "set",
    "union",
    "update",
    "values",
    "where",
    "with",
    "explain",
];
/// Words that begin what people say, never three names side by side in a list of SQL.
const ARTICLES: [&str; 12] = ["the", "an", "your", "my", "our", "their", "his", "her", "its", "this", "that", "these"];
/// Words between names that compute a value of them.
const OPERATORS: [&str; 7] = ["as", "at", "like", "collate", "case", "div", "mod"];

/// Whether a text in lower case is of this language.
pub(super) fn reads_as(text: &str) -> bool {
    // Some servers take comments in comments for such, and some do not.
    [false, true].into_iter().any(|nested| begins(behind_comments(text, nested)))
}

fn begins(text: &str) -> bool {
    let mut words = text.split(|c| !is_word(c)).filter(|word| !word.is_empty());
    let Some(first) = words.next() else { return false };
    let has = |wanted: &str| words.clone().any(|word| word == wanted);
    match first {
        "select" => has("from") && !is_sentence(text),
        "with" => has("select"),
        "update" if has("set") && text.contains('=') => true,
        first => {
            STATEMENTS.iter().any(|(known, second)| *known == first && (second.is_empty() || has(second)))
                && ((has("select") && has("from")) || has("returning") || (WRITING.contains(&first) && has("output")))
        }
    }
}

/// `Select the phone you want from the list`: three names side by side are no item of a list, to no server.
fn is_sentence(text: &str) -> bool {
    let Some((_, list)) = text.split_once("select").filter(|_| !text.contains(';')) else { return false };
    let (item, _) = list.split_once(',').unwrap_or((list, ""));
    let words = item.split([' ', '\n']).filter(|word| !word.is_empty());
    let words: Vec<&str> = words.take_while(|word| *word != "from").collect();
    words.len() >= 3
        && words.first().is_some_and(|first| ARTICLES.contains(first))
        && words.iter().all(|word| word.chars().all(is_word) && !OPERATORS.contains(word))
}

/// What stands behind blanks, semicolons, parentheses and comments.
fn behind_comments(mut text: &str, nested: bool) -> &str {
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ';' | '(' | '+' | '\u{feff}'));
        text = if let Some(comment) = text.strip_prefix("/*") {
            // What MySQL and MariaDB run, behind the number of a version.
            match comment.strip_prefix('!').or_else(|| comment.strip_prefix("m!")) {
                Some(run) => run.trim_start_matches(|c: char| c.is_ascii_digit()),
                None => behind_comment(comment, nested),
            }
        } else if text.starts_with("--") || text.starts_with('#') {
            text.split_once(['\n', '\r']).map_or("", |(_, behind)| behind)
        } else {
            return text;
        };
    }
}

fn behind_comment(comment: &str, nested: bool) -> &str {
    let (mut rest, mut open) = (comment, 1_usize);
    while open > 0 {
        let Some((before, behind)) = rest.split_once("*/") else { return "" };
        if nested {
            open += before.matches("/*").count();
        }
        open -= 1;
        rest = behind;
        if !nested {
            break;
        }
    }
    rest
}

/// Whether a text in lower case that says a protected member gives it another name.
pub(super) fn renames(protected: &Protected, text: &str) -> bool {
    [false, true].into_iter().any(|mysql| match without_comments(text, mysql) {
        Some(plain) => renames_in(&protected.tokens(&plain)),
        None => true,
    })
}

fn renames_in(tokens: &[Token<'_>]) -> bool {
    let first = tokens.iter().find(|token| token.is_name()).copied();
    let writes = first.is_some_and(|first| first.is(&WRITING));
    if tokens.iter().any(|token| token.is(&["with", "union", "intersect", "except"])) {
        return true;
    }
    let begins: &[&str] = if writes { &["select", "returning", "output"] } else { &["select", "returning"] };
    let mut lists = tokens.iter().enumerate().filter(|(_, token)| token.is(begins));
    let Some((at, list)) = lists.next() else { return !writes || copies(tokens) };
    let (before, rest) = tokens.split_at_checked(at).unwrap_or((&[], tokens));
    if lists.next().is_some() || (writes && copies(before)) {
        return true;
    }
    if list.is(&["select"]) {
        let named = before.iter().any(|token| token.is_name());
        let explains = first.is_some_and(|first| first.is(&["explain"]));
        // `values ((select ssn …))`, `create view v(x) as select ssn …`; what comes of `explain` has no values.
        let nested = named && !explains && before.contains(&Token::Mark('('));
        lists_another(rest, &["from"], writes) || (nested && !writes)
    } else {
        lists_another(rest, &["from", "where", "values", "into"], false)
    }
}

/// Whether a list gives a protected member another name, or says one where it may not. Its first word is its own.
fn lists_another(tokens: &[Token<'_>], ends: &[&str], none: bool) -> bool {
    let (mut depth, mut item, mut listed) = (0_usize, Vec::new(), true);
    // Protected names in parentheses, so that `f(ssn) as x` is seen among what is selected from.
    let mut inside = Vec::new();
    let mut closed = false;
    for token in tokens.iter().skip(1) {
        let over = token.is(ends) || *token == Token::Mark(';');
        if listed && depth == 0 && (over || *token == Token::Mark(',')) {
            if !keeps_names(&item, none) {
                return true;
            }
            item.clear();
            listed = !over;
        } else if listed && !token.is(&["distinct", "all"]) {
            item.push(*token);
        }
        if closed && token.is(&["as"]) {
            return true;
        }
        closed = false;
        match token {
            Token::Mark('(') => {
                depth += 1;
                inside.push(false);
            }
            Token::Mark(')') => {
                depth = depth.saturating_sub(1);
                closed = inside.pop().unwrap_or_default();
                inside.last_mut().into_iter().for_each(|outer| *outer |= closed);
            }
            Token::Protected => inside.last_mut().into_iter().for_each(|outer| *outer = true),
            Token::Word(_) | Token::Mark(_) => {}
        }
    }
    listed && !keeps_names(&item, none)
}

/// Whether an item of a list says no protected name, is names with points between them, or is called by a protected name
/// itself (`your phone`, `id as phone`). `none`: only the first.
fn keeps_names(item: &[Token<'_>], none: bool) -> bool {
    if !item.contains(&Token::Protected) {
        return true;
    }
    let mut even = item.iter().step_by(2);
    let mut odd = item.iter().skip(1).step_by(2);
    let is_path =
        item.len() % 2 == 1 && even.all(|token| token.is_name()) && odd.all(|token| *token == Token::Mark('.'));
    let is_called = match item {
        [before @ .., Token::Word("as"), Token::Protected] => !before.contains(&Token::Protected),
        [article, Token::Protected] => article.is(&ARTICLES) || article.is(&["a"]),
        _ => false,
    };
    !none && (is_path || is_called)
}

/// Whether a statement that writes sets a member to what is taken from a protected one of another name.
fn copies(tokens: &[Token<'_>]) -> bool {
    let (mut depth, mut sets, mut own, mut right) = (0_usize, false, false, false);
    for token in tokens {
        match token {
            Token::Word("set" | "update") => (sets, own, right) = (true, false, false),
            Token::Word("where" | "returning" | "output" | "from" | "select" | "values") => sets = false,
            Token::Mark('=') => right = true,
            Token::Mark(',') if depth == 0 => (own, right) = (false, false),
            Token::Mark('(') => depth += 1,
            Token::Mark(')') => depth = depth.saturating_sub(1),
            Token::Protected if sets && right && !own => return true,
            Token::Protected => own |= !right,
            Token::Word(_) | Token::Mark(_) => {}
        }
    }
    false
}

/// A statement without comments, in which quotes are gone and words that stood in them are no keywords. `None` where servers
/// differ about where those end. To MySQL, `#` begins a comment, and `--` only before a blank.
fn without_comments(text: &str, mysql: bool) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '`', '[', '-', '/', '#', '$']) {
        let (before, from) = rest.split_at_checked(at)?;
        plain.push_str(before);
        let mark = from.chars().next()?;
        let behind = from.get(mark.len_utf8()..)?;
        let opened = mark == '[' && behind.starts_with(|c: char| c == '_' || c.is_alphabetic());
        rest = if let Some(comment) = from.strip_prefix("/*") {
            let (comment, behind) = comment.split_once("*/").unwrap_or((comment, ""));
            if comment.contains("/*") || comment.starts_with('!') || comment.starts_with("m!") {
                return None;
            }
            plain.push(' ');
            behind
        } else if (mark == '#' && mysql) || from.strip_prefix("--").is_some_and(|line| !mysql || is_behind_blank(line))
        {
            behind_line(from)?
        } else if mark == '$' && is_dollar_quote(behind) {
            return None;
        } else if opened || matches!(mark, '\'' | '"' | '`') {
            let (inside, behind) = behind.split_once(if opened { ']' } else { mark }).unwrap_or((behind, ""));
            // Where the backslash escapes, the quote does not end there.
            if inside.ends_with('\\') {
                return None;
            }
            push_quoted(&mut plain, inside);
            behind
        } else {
            plain.push(mark);
            behind
        };
    }
    plain.push_str(rest);
    Some(plain)
}

fn is_behind_blank(line: &str) -> bool {
    line.is_empty() || line.starts_with(|c: char| c.is_whitespace() || c.is_control())
}

/// What stands behind a comment that its line ends; `None` where that ends earlier to some servers.
fn behind_line(text: &str) -> Option<&str> {
    let (line, behind) = text.split_once('\n').unwrap_or((text, ""));
    (!line.trim_end_matches('\r').contains('\r')).then_some(behind)
}

fn is_dollar_quote(behind: &str) -> bool {
    behind.trim_start_matches(is_word).starts_with('$')
}

fn push_quoted(plain: &mut String, inside: &str) {
    plain.push(' ');
    for part in inside.split_inclusive(|c| !is_word(c)) {
        let word = part.trim_end_matches(|c| !is_word(c));
        plain.push_str(if KEYWORDS.contains(&word) { "_" } else { word });
        let marks = part.chars().skip(word.chars().count());
        plain.extend(marks.map(|c| if matches!(c, '(' | ')' | ',' | ';' | '=') { ' ' } else { c }));
    }
    plain.push(' ');
}
