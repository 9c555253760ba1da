//! The names that a search of contents is narrowed to.
//!
//! Promises: where a pattern spells a file (`.env`, `**/id_rsa`, `.env*`, `*.{env,rs}`, `.aws/credentials`), reading
//! that file below the place that is searched is said besides the tree, of which nobody can be asked what is in it.
//! What a pattern spells is the shortest name that it stands for: of `*.rs` it is `.rs`, which is nobody's secret. What
//! others are to fill in (`*.env.example`) spells none; nor does a last part with `?`, a class or a backslash in it, nor
//! what is left out (`!*.md`). One text may be several patterns with blanks or commas between them, since some tools take them so. What is searched may be
//! one file: then nothing lies below it, and only a deny of such a name is about the call. Does not promise that a
//! search meets no other file: one without a pattern meets all, and is judged by its tree.
//! Held by: the tests below and `fixtures/http/tools.tsv`.

use super::places;
use portcullis_model::{Action, Object, Operation, Part};

/// What a search for files of these names reads, below the place that is searched.
pub(super) fn named(text: &str, root: Option<&str>) -> Vec<Operation> {
    // A longer one is an unknown place already.
    if text.len() > places::PATTERN {
        return Vec::new();
    }
    let mut read = Vec::new();
    for pattern in pieces(text).filter(|pattern| !pattern.starts_with('!')) {
        let begins = ["~/", "/"].into_iter().find(|begins| pattern.starts_with(*begins));
        if begins.is_some() {
            read.extend(places::glob(pattern));
        }
        let names = places::expanded(pattern).unwrap_or_default();
        for name in names.iter().filter_map(|one| spelled(one)) {
            // One that begins at the root is meant from there, or from where the search begins.
            let elsewhere = begins.map(|begins| places::file(&format!("{begins}{name}")));
            let below = root.map(|root| places::file_in(Some(root), &name));
            let files = elsewhere.into_iter().chain(below).filter(Part::is_known);
            read.extend(files.map(|file| Operation::new(Action::Read, Object::File(file))));
        }
    }
    read
}

/// The patterns of a text, cut at blanks and commas that stand in no braces.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let ends = move |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && (c == ',' || c.is_whitespace())
    };
    text.split(ends).filter(|piece| !piece.is_empty())
}

/// The name that a pattern without braces spells, from where it begins.
fn spelled(pattern: &str) -> Option<String> {
    let says = |part: &&str| !part.bytes().all(|byte| byte == b'*') && !matches!(*part, "." | "~");
    let mut parts: Vec<&str> = pattern.split('/').filter(says).collect();
    let mut names = vec![last(parts.pop()?)?];
    // Of the directories above it, those that are spelled.
    let above = parts.into_iter().rev().filter(|part| !is_open(part));
    names.extend(above.map(|part| part.replace('*', "")));
    names.reverse();
    Some(names.join("/"))
}

/// The shortest name that the last part of a pattern stands for.
fn last(part: &str) -> Option<String> {
    let name = part.trim_matches('*');
    // `.env.*`
    let name = if part.ends_with('*') { name.trim_end_matches('.') } else { name };
    let is_example = [".example", ".sample", ".template", ".dist"].iter().any(|ending| name.ends_with(ending));
    if is_open(part) || name.is_empty() || (part.starts_with('*') && is_example) {
        return None;
    }
    Some(name.replace('*', ""))
}

/// Whether letters of it are left open otherwise than by stars.
fn is_open(part: &str) -> bool {
    part.contains(['?', '[', ']', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, root: Option<&str>) -> Vec<String> {
        named(text, root).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pattern_is_the_file_that_it_spells() {
        for (pattern, file) in [
            (".env", ".env"),
            ("./.env", ".env"),
            ("**/.env", ".env"),
            ("*/.env", ".env"),
            ("app*/.env", "app/.env"),
            ("[ab]/.env", ".env"),
            (".env*", ".env"),
            (".env.*", ".env"),
            ("*.env", ".env"),
            ("*.env*", ".env"),
            ("*.env.*", ".env"),
            ("**.env", ".env"),
            (".env.local", ".env.local"),
            ("id_rsa", "id_rsa"),
            (".ssh/*", ".ssh"),
            ("**/.ssh/**", ".ssh"),
            (".aws/cred*", ".aws/cred"),
            ("*.rs", ".rs"),
            ("*.d.ts", ".d.ts"),
            ("*.env.local", ".env.local"),
            ("src/**/*.py", "src/.py"),
            ("Makefile", "Makefile"),
        ] {
            assert_eq!(said(pattern, Some("/srv")), [format!("read file /srv/{file}")], "{pattern}");
        }
    }

    #[test]
    fn what_spells_no_file_is_left_to_the_tree() {
        let open = ["", "*", "**", "**/*", "*.*", ".*", ".en?", ".en[v]", "\\.env", "{1..3}", "{a", ",", " "];
        for pattern in open.into_iter().chain(["*.env.example", "*.env.sample", "!*.env", "!.env"]) {
            assert!(named(pattern, Some("/srv")).is_empty(), "{pattern}");
        }
        assert!(named(&".env,".repeat(places::PATTERN), Some("/srv")).is_empty());
        // Of a place that is not told the tree says so.
        assert!(named("*.rs", None).is_empty());
        assert!(named("../.env", Some("/srv")).is_empty());
    }

    #[test]
    fn one_text_may_be_several_patterns() {
        let both = ["read file /srv/.rs", "read file /srv/.env"];
        for text in ["*.rs,.env", "*.rs .env", "*.rs, .env", "{*.rs,.env}", "!*.md *.rs .env", "*.rs\t**/.env*"] {
            let mut all = said(text, Some("/srv"));
            all.sort_by_key(|one| one.ends_with(".env"));
            assert_eq!(all, both, "{text}");
        }
        assert_eq!(said("*.{ts, tsx}", Some("/srv")).len(), 2);
        assert_eq!(said("*.rs /etc/*", None), ["read file /etc +recursive", "read file /etc"]);
    }

    #[test]
    fn one_from_the_root_is_also_one_from_where_the_search_begins() {
        let tree = "read file /srv/app +recursive";
        let all = [tree, "read file /srv/app/.env", "read file /x/srv/app/.env"];
        assert_eq!(said("/srv/app/**/.env", Some("/x")), all);
        assert_eq!(said("~/.ssh/*", None), ["read file ~/.ssh +recursive", "read file ~/.ssh"]);
    }
}
