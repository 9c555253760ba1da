//! Files and hosts that the input of a tool call names.
//!
//! Promises: a path is named only where its letters say which file is meant: absolute or below `~`, without steps and
//! without characters that a shell or a library would expand; any other is an unknown file. A URL is read by one grammar,
//! and one that is not read is an unknown host. Does not promise to follow links: the tool runs where nobody can be asked.
//! Held by: the tests below and `fixtures/http/tools.tsv`.

use portcullis_model::{Action, Mark, Object, Operation, Part};

/// A file by this path.
pub(super) fn file(path: &str) -> Part {
    // Some clients cut blanks off, as JavaScript's `trim` does, and others do not: which file is meant is not said.
    if path.ends_with(|c: char| c.is_whitespace() || c == '\u{feff}') {
        return Part::Unknown;
    }
    let rest = match path.strip_prefix('~') {
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) => return Part::Unknown,
        None => path,
    };
    let Some(segments) = rest.strip_prefix('/') else { return Part::Unknown };
    // Where a part before a step up is a link, the letters do not say where it leads.
    if path.chars().any(char::is_control) || segments.split('/').any(|part| part == "..") {
        return Part::Unknown;
    }
    let root = if path.starts_with('~') { "~" } else { "" };
    let kept: Vec<&str> = segments.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    match kept.is_empty() && !root.is_empty() {
        // The home itself, as rules and command lines name it.
        true => Part::known(root),
        false => Part::known(format!("{root}/{}", kept.join("/"))),
    }
}

/// A file by this path, in this directory where the path does not begin elsewhere.
pub(super) fn file_in(directory: Option<&str>, path: &str) -> Part {
    match directory {
        // Backslashes are steps to some.
        Some(directory) if !path.is_empty() && !path.starts_with(['/', '~']) && !path.contains('\\') => {
            file(&format!("{directory}/{path}"))
        }
        Some(_) | None => file(path),
    }
}

/// The operations of one action on a file that may exist.
pub(super) fn on(action: Action, file: Part) -> Vec<Operation> {
    let one = |action| Operation::new(action, Object::File(file.clone()));
    match action {
        Action::Insert | Action::Update => vec![one(Action::Insert), one(Action::Update)],
        action => vec![one(action)],
    }
}

/// Reading a place with all that is below it.
pub(super) fn tree(file: Part) -> Operation {
    Operation::new(Action::Read, Object::File(file)).marked(Mark::Recursive)
}

/// Bytes of a pattern, and patterns that its braces stand for.
pub(super) const PATTERN: usize = 4_096;
const PATTERNS: usize = 64;

/// What a pattern of files reads, if it does not begin in the current directory.
pub(super) fn glob(pattern: &str) -> Option<Operation> {
    let special = |part: &str| part.contains(['*', '?', '[', '{', '\\']);
    // Braces and backslashes can make a step up that the letters do not show.
    let steps_up = |pattern: &String| pattern.split('/').any(|part| part.replace('\\', "") == "..");
    let Some(patterns) = expanded(pattern).filter(|patterns| !patterns.iter().any(steps_up)) else {
        return Some(tree(Part::Unknown));
    };
    if !pattern.starts_with(['/', '~']) {
        return patterns.iter().any(|pattern| may_begin_elsewhere(pattern)).then(|| tree(Part::Unknown));
    }
    let plain: Vec<&str> = pattern.split('/').take_while(|part| !special(part)).collect();
    let root = plain.join("/");
    Some(tree(match root.as_str() {
        "" if pattern.starts_with('/') => file("/"),
        // Whose home it is the letters do not say.
        "" => Part::Unknown,
        root => file(root),
    }))
}

/// Whether a pattern without braces may begin elsewhere than in the current directory, for some reader.
fn may_begin_elsewhere(pattern: &str) -> bool {
    match pattern.strip_prefix('[') {
        // Of a class only one whose ranges cannot have a slash in them.
        Some(rest) => {
            let among = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            let is_plain = |class: &str| !class.starts_with('-') && !class.contains("--") && class.bytes().all(among);
            !rest.split_once(']').is_some_and(|(class, _)| !class.is_empty() && is_plain(class))
        }
        None => pattern.starts_with(|c: char| matches!(c, '/' | '~' | '\\' | '\u{feff}') || c.is_whitespace()),
    }
}

/// The patterns without braces that one with them stands for; `None` where they do not close, are too many, or are not
/// the same to all readers.
pub(super) fn expanded(pattern: &str) -> Option<Vec<String>> {
    if pattern.len() > PATTERN || (pattern.contains('{') && !has_plain_braces(pattern)) {
        return None;
    }
    let (mut open, mut done) = (vec![pattern.to_owned()], Vec::new());
    while let Some(pattern) = open.pop() {
        match alternatives(&pattern) {
            Braces::None => done.push(pattern),
            Braces::Open => return None,
            Braces::Of(patterns) => open.extend(patterns),
        }
        if open.len() + done.len() > PATTERNS {
            return None;
        }
    }
    Some(done)
}

/// Whether every brace and comma is one to all readers: some escape them, and some look past those in a class.
fn has_plain_braces(pattern: &str) -> bool {
    let is_plain = |rest: &str| {
        let class = rest.split(']').next().unwrap_or_default().trim_start_matches(['!', '^']);
        !class.is_empty() && !class.contains(['{', '}', ','])
    };
    !pattern.contains('\\') && pattern.split('[').skip(1).all(is_plain)
}

enum Braces {
    None,
    /// They do not close, or count: what `{Z..a}` stands for is nothing in one place to some, and a letter to others.
    Open,
    /// One pattern for each alternative of the first.
    Of(Vec<String>),
}

fn alternatives(pattern: &str) -> Braces {
    let Some((before, rest)) = pattern.split_once('{') else {
        return if pattern.contains('}') { Braces::Open } else { Braces::None };
    };
    let (mut depth, mut from, mut between) = (0_usize, 0, Vec::new());
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => {
                between.push(rest.get(from..at).unwrap_or_default());
                from = at + 1;
                if byte == b'}' {
                    if matches!(between.as_slice(), [one] if one.contains("..")) {
                        return Braces::Open;
                    }
                    let behind = rest.get(from..).unwrap_or_default();
                    return Braces::Of(between.iter().map(|one| format!("{before}{one}{behind}")).collect());
                }
            }
            _ => {}
        }
    }
    Braces::Open
}

/// Reaching the host of a URL.
pub(super) fn url(text: &str) -> Operation {
    let part = host(text.trim());
    let operation = Operation::new(Action::Connect, Object::Host(part.clone())).marked(Mark::Network);
    if part == Part::Unknown { operation.marked(Mark::Dynamic) } else { operation }
}

fn host(text: &str) -> Part {
    let Ok(uri) = text.parse::<http::Uri>() else { return Part::Unknown };
    // Backslashes and `@` are where libraries part ways about which host is meant.
    if text.contains(['\\', '@']) {
        return Part::Unknown;
    }
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), Some(_)) => port,
        (None, Some("https")) => 443,
        (None, Some("http")) => 80,
        (_, _) => return Part::Unknown,
    };
    match uri.host() {
        Some(host) if !host.is_empty() => Part::known(format!("{}:{port}", host.to_ascii_lowercase())),
        _ => Part::Unknown,
    }
}

/// The lines of a patch, cut wherever some reader cuts them (at a `\r` alone, and where Python's `splitlines` does), and
/// whether every reader ends the line there.
fn lines(text: &str) -> impl Iterator<Item = (&str, bool)> {
    const ENDS: [char; 9] = ['\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}'];
    text.split('\n').flat_map(|line| {
        let mut pieces = line.strip_suffix('\r').unwrap_or(line).split(ENDS).peekable();
        std::iter::from_fn(move || {
            let piece = pieces.next()?;
            Some((piece, pieces.peek().is_none()))
        })
    })
}

/// What follows `*** ` in a line of a patch. Lines of a hunk begin with a space, `+`, `-` or `@`. Where a hunk may begin,
/// blanks before a header are passed over, so a line of context that looks like one is taken for it.
fn header(line: &str) -> Option<&str> {
    // What JavaScript and Python take for blank besides.
    let is_blank = |c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}' | '\u{feff}');
    line.trim_start_matches(is_blank).trim_end().strip_prefix("*** ")
}

/// Whether a text has a line that only a patch of `apply_patch` has.
pub(super) fn is_patch(text: &str) -> bool {
    let begins = |header: &str| {
        ["Begin Patch", "Add File:", "Update File:", "Delete File:"].iter().any(|one| header.starts_with(one))
    };
    text.contains("*** ") && lines(text).filter_map(|(line, _)| header(line)).any(begins)
}

/// What a patch of `apply_patch` does to files, by names from the directory it is run in; `None` where it is no such patch.
pub(super) fn patch(text: &str, directory: Option<&str>) -> Option<Vec<Operation>> {
    let mut operations = Vec::new();
    let mut updated: Option<Part> = None;
    for (line, ends) in lines(text) {
        let Some(header) = header(line) else { continue };
        // Where only some readers end the line, the name goes on for the others.
        let file = |path: &str| if ends { file_in(directory, path.trim()) } else { Part::Unknown };
        let named = |kind: &str| header.strip_prefix(kind).map(file);
        if let Some(file) = named("Add File:") {
            operations.extend(on(Action::Insert, file));
        } else if let Some(file) = named("Update File:") {
            operations.extend(on(Action::Update, file.clone()));
            updated = Some(file);
        } else if let Some(file) = named("Delete File:") {
            operations.extend(on(Action::Delete, file));
        } else if let Some(file) = named("Move to:") {
            operations.extend(on(Action::Insert, file));
            operations.extend(on(Action::Delete, updated.clone().unwrap_or(Part::Unknown)));
        } else if !matches!(header, "Begin Patch" | "End Patch" | "End of File")
            && !header.starts_with("Environment ID:")
        {
            return None;
        }
    }
    (!operations.is_empty()).then_some(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_cut_where_any_reader_cuts_it() {
        let said = |text: &str| {
            let all = patch(text, Some("/srv")).unwrap();
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let add = ["insert file /srv/x", "update file /srv/x"];
        let odd = ["\r", "\u{b}", "\u{c}", "\u{1c}", "\u{1d}", "\u{1e}", "\u{85}", "\u{2028}", "\u{2029}"];
        for ends in ["\n", "\r\n"].into_iter().chain(odd) {
            let text = format!("*** Begin Patch\n*** Add File: x\n+a{ends}*** Delete File: y\n*** End Patch");
            assert_eq!(said(&text), [add[0], add[1], "delete file /srv/y"], "{ends:?}");
            // To readers that do not end the line there, the name is another.
            let text = format!("*** Begin Patch\n*** Add File: x{ends}/../../etc/y\n+a\n*** End Patch");
            let whole = ends.ends_with('\n');
            let expected = if whole { add } else { ["insert file ?", "update file ?"] };
            assert_eq!(said(&text), expected, "{ends:?}");
        }
        for before in ["", " ", "\u{feff}", "\u{1f}", "\u{a0}\t"] {
            assert_eq!(said(&format!("{before}*** Delete File: y")), ["delete file /srv/y"], "{before:?}");
        }
        // As they stand in source: a form feed in a line of its own, a carriage return at the end of each.
        for line in ["+\u{c}", "+a\r", "+// a \u{2028} b", "+ *** a"] {
            assert_eq!(said(&format!("*** Add File: x\n{line}\n")), add, "{line:?}");
        }
    }

    #[test]
    fn a_patch_is_told_by_its_headers() {
        for text in ["*** Begin Patch\n", "x\n  *** Delete File: /a", "a\r*** Add File: b", "*** Update File: a"] {
            assert!(is_patch(text), "{text:?}");
        }
        let others = ["", "***", "*** a\n***\n", "a *** Begin Patch", "+*** Delete File: a", "*** Move to: a", "--- a"];
        for text in others {
            assert!(!is_patch(text), "{text:?}");
        }
    }

    #[test]
    fn a_file_is_named_only_where_its_letters_say_which() {
        for (path, expected) in [
            ("/etc/passwd", Some("/etc/passwd")),
            ("//etc/./passwd", Some("/etc/passwd")),
            ("~/.ssh/id", Some("~/.ssh/id")),
            ("/", Some("/")),
            ("/etc/../x", None),
            ("~root/x", None),
            ("~", None),
            ("x/y", None),
            ("", None),
            ("C:\\x", None),
            ("/a\0b", None),
            ("~/", Some("~")),
            ("~//./", Some("~")),
            ("/srv/a b", Some("/srv/a b")),
            ("/srv/.env ", None),
            ("/srv/.env\u{a0}", None),
            ("/srv/.env\u{feff}", None),
            ("/home\u{3000}", None),
        ] {
            assert_eq!(file(path).as_str(), expected, "{path:?}");
        }
    }

    #[test]
    fn a_name_below_a_directory_steps_nowhere_else() {
        for (path, expected) in [
            ("src/a.rs", Some("/srv/app/src/a.rs")),
            ("./a", Some("/srv/app/a")),
            ("a b", Some("/srv/app/a b")),
            ("/etc/x", Some("/etc/x")),
            ("~/x", Some("~/x")),
            ("~root/x", None),
            ("~", None),
            ("../x", None),
            ("a/../../x", None),
            ("..\\x", None),
            ("", None),
            ("a\u{feff}", None),
        ] {
            assert_eq!(file_in(Some("/srv/app"), path).as_str(), expected, "{path:?}");
        }
        assert_eq!(file_in(Some("/"), "a").as_str(), Some("/a"));
        assert_eq!(file_in(Some("~"), "a").as_str(), Some("~/a"));
        assert_eq!(file_in(None, "a"), Part::Unknown);
    }

    #[test]
    fn braces_are_what_they_stand_for() {
        let mut said = expanded("/a/{b,c{d,}}.{x,y}").unwrap();
        said.sort();
        assert_eq!(said, ["/a/b.x", "/a/b.y", "/a/c.x", "/a/c.y", "/a/cd.x", "/a/cd.y"]);
        assert_eq!(expanded("*.rs").unwrap(), ["*.rs"]);
        let counting = ["{1..3}", "x{Z..a}", "{a,{Z..a}}/x"];
        let escaped = ["{a\\,b}", "\\{a,b}", "{a\\{,/x}{b\\},}"];
        let in_classes = ["{a[{],/x}{b[}],}", "{a[]{],/x}{b[]}],}", "[x{a,b}", "[[:alpha:]{]{a,b}", "{a[,]b}"];
        for odd in counting.into_iter().chain(escaped).chain(in_classes) {
            assert_eq!(expanded(odd), None, "{odd}");
        }
        for odd in ["{a", "a}", "{a,{b}", &"{a,b}".repeat(7), &"x".repeat(PATTERN + 1)] {
            assert_eq!(expanded(odd), None, "{odd}");
        }
        assert_eq!(expanded("[a-z]*.{rs,ts}").unwrap().len(), 2);
        assert_eq!(expanded("a\\[b").unwrap(), ["a\\[b"]);
    }

    #[test]
    fn a_pattern_is_below_its_directory_only_where_all_it_stands_for_is() {
        for below in ["*.rs", "{src,tests}/**/*.rs", "{a,b{c,d}}/x", "[a-z]*.rs", "[id]/{a,b}.tsx", "a[/]b", "!x"] {
            assert_eq!(glob(below), None, "{below}");
        }
        for elsewhere in [
            "{src,/etc}/*",
            "{,a}/etc/*",
            "{/etc}/*",
            "{a,{b,~}}/x",
            "{ /etc,x}/*",
            " /etc/*",
            "{Z..a}/etc/*",
            "{a\\{,/etc/*}{b\\},}",
            "\\/etc/*",
            "[/]etc/*",
            "[!a]etc/*",
            "[.-0]etc/*",
            "[--0]etc/*",
            "[a",
            "[]/]etc/*",
            "{src,..}/*",
            "/src/{Z..a}../etc/*",
            "/src/{a\\{,..}{b\\},}/etc/*",
            "~{,root}/*",
        ] {
            assert_eq!(glob(elsewhere), Some(tree(Part::Unknown)), "{elsewhere}");
        }
        assert_eq!(glob("/{etc,home}/*"), Some(tree(Part::known("/"))));
        assert_eq!(glob("/srv/{a,b}/*"), Some(tree(Part::known("/srv"))));
    }

    #[test]
    fn a_host_is_named_only_where_every_library_reads_the_same() {
        for (text, expected) in [
            ("https://Example.com/a?b#c", Some("example.com:443")),
            ("http://example.com", Some("example.com:80")),
            ("http://example.com:8080/", Some("example.com:8080")),
            ("https://[::1]/x", Some("[::1]:443")),
            ("https://good@evil.com/", None),
            ("https://good\\@evil.com", None),
            ("ftp://x/", None),
            ("//x/", None),
            ("example.com", None),
            ("file:///etc/passwd", None),
            ("", None),
        ] {
            assert_eq!(host(text).as_str(), expected, "{text:?}");
        }
    }
}
