//! What a line makes before it uses it, through the gateway before a real server: names that patterns meet, and links.
//!
//! Each refusal must leave nothing behind; the nearest ordinary lines pass. The order of commands by itself is held by
//! `lines/made/tests.rs` of `protocols/ssh`.

use crate::ssh::{Host, POLICY};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};

fn host() -> Option<Host> {
    let host = Host::with(&POLICY.replace("program {true,", "program {true,cp,mv,sort,"), "")?;
    for directory in ["d", "in", "src", "out"] {
        let made = host.work.join(directory);
        std::fs::create_dir(&made).unwrap();
        // The server may run its sessions as another login.
        std::fs::set_permissions(&made, Permissions::from_mode(0o777)).unwrap();
    }
    for (name, text) in [("a.md", "a"), ("b.log", "b"), ("src/x.txt", "x"), ("src/y.txt", "y"), ("in/doc", "doc")] {
        std::fs::write(host.work.join(name), text).unwrap();
    }
    // They lead to `in`, and from one directory higher up to another.
    symlink("../in", host.work.join("d/l")).unwrap();
    symlink("in", host.work.join("current")).unwrap();
    symlink(host.work.join("missing/secret"), host.work.join("dangling")).unwrap();
    Some(host)
}

fn refused(host: &Host, line: &str) {
    let ran = host.exec(&format!("cd {} && {line}", host.work.display()));
    assert_eq!(ran.code, Some(126), "{line}: {ran:?}");
    assert!(ran.err.contains("refused by policy") && ran.out.is_empty(), "{line}: {ran:?}");
}

#[test]
fn a_pattern_that_the_line_itself_changes_is_not_taken_from_before() {
    let Some(host) = host() else { return };
    for line in [
        "touch -- -oMakefile && sort *",
        "touch new.md; cat *.md",
        "mv a.md c.md && cat *.md",
        "rm src/x.txt && sort src/*",
        "mkdir -p src/z.txt/d && sort */*.txt",
        "mv src old && sort ol*/*.txt",
        "sort *.md | cat > new.md",
        "for f in *.md; do mv \"$f\" \"x-$f\"; sort *.md; done",
    ] {
        refused(&host, line);
    }
    for name in ["-oMakefile", "Makefile", "new.md", "old", "x-a.md"] {
        assert!(!host.work.join(name).exists(), "{name}");
    }
    for (line, out) in [
        ("touch a && ls *.md", "a.md\n"),
        ("mkdir new && cp src/*.txt new/ && ls new", "x.txt\ny.txt\n"),
        ("rm *.log && ls *.md", "a.md\n"),
        ("sort *.md > sorted.md && cat sorted.md", "a\n"),
        ("for f in src/*.txt; do mv \"$f\" out/; done && ls out", "x.txt\ny.txt\n"),
    ] {
        let ran = host.exec(&format!("cd {} && {line}", host.work.display()));
        assert_eq!((ran.text(), ran.code), (out, Some(0)), "{line}: {ran:?}");
    }
}

#[test]
fn a_name_does_not_lead_through_a_link_that_the_line_itself_made_or_moved() {
    let Some(host) = host() else { return };
    for line in [
        "mv d/l l && echo x >> l/new",
        "mv d/l l && cat l/doc",
        "mv d e && cat e/l/doc",
        "mv d e; sort -o e/l/new a.md",
        "cp -P d/l l && echo x >> l/new",
        "cp -a d e; cat e/l/doc",
        "cp -s in s && cat s/doc",
        "mv d/l l && cd l && cat doc",
        "mv d/l l; cat l/../a.md",
        "rm current && mkdir current && echo x > current/new",
        "mkdir missing && echo x > dangling",
    ] {
        refused(&host, line);
    }
    for name in ["l", "e", "s", "in/new", "missing"] {
        assert!(!host.work.join(name).exists() && !host.work.join(name).is_symlink(), "{name}");
    }
    for (line, out) in [
        ("mv a.md b.md && cat b.md", "a"),
        ("cp b.md c.md && cat c.md", "a"),
        ("cp current/doc copied && cat copied", "doc"),
        ("mv src new && cat new/x.txt", "x"),
        ("rm current && echo gone", "gone\n"),
        ("mv d/l out/", ""),
    ] {
        let ran = host.exec(&format!("cd {} && {line}", host.work.display()));
        assert_eq!((ran.text(), ran.code), (out, Some(0)), "{line}: {ran:?}");
    }
    // Alone on its line a tree is copied, and its names are judged.
    let ran = host.exec(&format!("cp -a {0}/new {0}/tree", host.work.display()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(std::fs::read_to_string(host.work.join("tree/y.txt")).unwrap(), "y");
}
