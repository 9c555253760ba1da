//! What a scope knows changes what a text is read as; what it does not know is never guessed.

use portcullis_model::{Digest, Source};
use portcullis_shell::{Glob, Limits, Scope, read};

fn shown(text: &str, scope: &Scope) -> String {
    read(text, scope, &Limits::default()).operations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ; ")
}

#[test]
fn without_a_directory_a_relative_path_is_any_file() {
    assert_eq!(shown("cat x", &Scope::unknown()), "execute program cat ; read file ? +dynamic");
    assert_eq!(shown("cat /x ~/y", &Scope::unknown()), "execute program cat ; read file /x ; read file ~/y");
    assert_eq!(shown("cat ~/../y", &Scope::unknown()), "execute program cat ; read file ? +dynamic");
    let home = Scope { directory: Some("~".to_owned()), ..Scope::unknown() };
    assert_eq!(
        shown("cat x; cd w; cat y", &home),
        "execute program cat ; read file ~/x ; execute program cd ; read file ~/y ; read file ~/w/y"
    );
}

/// What stands for a home that is not known is no text to cut, and hides no blank beside it.
#[test]
fn a_home_that_is_not_known_is_neither_cut_nor_kept_from_splitting() {
    let home = Scope { directory: Some("~".to_owned()), ..Scope::unknown() };
    for text in ["rm /${HOME:1}/x", "rm \"${HOME#/home/a}/x\"", "x=~/'w/a /etc/x'; rm $x"] {
        assert!(shown(text, &home).ends_with("delete file ? +dynamic"), "{text}: {}", shown(text, &home));
    }
    assert_eq!(
        shown("x=~/'w/a b'; rm \"$x\" $HOME/y", &home),
        "execute program rm ; delete file ~/w/a b ; delete file ~/y"
    );
}

/// Only what opens no file below a directory, and follows no link, says that it lists the names there.
#[test]
fn what_lists_names_is_told_from_what_opens_files() {
    let scope = Scope::at_home("agent", "/home/agent");
    let listed = |text: &str| read(text, &scope, &Limits::default()).listed;
    for text in [
        "find w -name '*.rs' -not -newer x",
        "find w -maxdepth 2 -type f -printf '%p'",
        "find w -ls | head",
        "du -sh w",
        "tree -L 2 w",
        "ls -lR w",
        "rg --files w",
        "cd w && find .",
        "sudo find w",
        "find w; cat w/x",
    ] {
        assert_eq!(listed(text), ["~/w"], "{text}");
    }
    for text in [
        "find -L w",
        "find -H w",
        "find w -follow",
        "find w -exec cat {} +",
        "find w -name x -okdir cat {} \\;",
        "find w -fprintf /tmp/x %p",
        "find w -delete",
        "find w -name \"$x\"",
        "find w -files0-from x",
        "find \"$x\"",
        "du -L w",
        "tree -l w",
        "ls -LR w",
        "ls -R \"$x\" w",
        "rg --files -L w",
        "rg x w",
        "grep -r x w",
        "cp -r w v",
        "tar cf - w",
        "ls w",
        // The same tree is opened beside it.
        "find w; grep -r x w",
        "grep -r x w; du w",
        "find w -exec ls -R {} \\; ; tar cf - w",
        "find w; find w -exec cat {} +",
    ] {
        assert!(listed(text).is_empty(), "{text}: {:?}", listed(text));
    }
}

#[test]
fn a_glob_is_asked_of_the_target_and_its_answer_read() {
    let mut scope = Scope::at_home("agent", "/home/agent");
    let reading = read("rm work/*.o", &scope, &Limits::default());
    let glob = Glob { directory: Some("/home/agent".to_owned()), pattern: "work/*.o".to_owned() };
    assert_eq!(reading.globs, std::slice::from_ref(&glob));
    assert!(reading.operations.iter().any(|operation| operation.to_string() == "delete file ? +dynamic"));
    scope.expansions.insert(glob.clone(), vec!["work/a.o".to_owned(), "work/b.o".to_owned()]);
    let reading = read("rm work/*.o", &scope, &Limits::default());
    assert!(reading.globs.is_empty());
    assert_eq!(shown("rm work/*.o", &scope), "execute program rm ; delete file ~/work/a.o ; delete file ~/work/b.o");
    // A name that looks like an option is one, and what it takes for its argument depends on the order of the names.
    scope
        .expansions
        .insert(Glob { directory: glob.directory, pattern: "*".to_owned() }, vec!["-rf".to_owned(), "a".to_owned()]);
    assert_eq!(shown("rm *", &scope), "execute program rm +dynamic ; delete file ~/a +recursive +forced");
    // Nothing matches: the pattern stands for itself.
    scope.expansions.insert(Glob { directory: None, pattern: "/tmp/\\*?".to_owned() }, Vec::new());
    assert_eq!(shown("rm /tmp/\\*?", &scope), "execute program rm ; delete file /tmp/*?");
}

#[test]
fn variables_of_the_session_are_known_and_a_session_keeps_what_it_defines() {
    let mut scope = Scope::at_home("agent", "/home/agent");
    scope.variables.insert("LC_X".to_owned(), "../victim".to_owned());
    assert_eq!(shown("rm work/$LC_X", &scope), "execute program rm ; delete file ~/victim");
    assert_eq!(shown("echo $((n + 1))", &scope), "execute program echo");
    scope.session = true;
    assert_eq!(shown("echo $((n + 1))", &scope), "execute program echo");
    scope.variables.insert("n".to_owned(), "a[$(rm x)]".to_owned());
    assert!(shown("echo $((n + 1))", &scope).contains("dynamic"));
    assert!(shown("tidy() { rm -rf a; }", &scope).contains("delete file ~/a +recursive +forced"));
}

/// What a text leaves, shown as `name=value`, `name?` where the value is not known, with `!` where programs look at it.
fn left(text: &str) -> String {
    let scope = Scope { session: true, ..Scope::at_home("agent", "/home/agent") };
    let shown = |left: &portcullis_shell::Left| {
        let value = left.value.as_ref().map_or_else(|| "?".to_owned(), |value| format!("={value}"));
        let exported = if left.exported { "export " } else { "" };
        format!("{exported}{}{value}{}", left.name, if left.configures { "!" } else { "" })
    };
    read(text, &scope, &Limits::default()).leaves.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_a_line_leaves_behind_is_listed() {
    for (text, expected) in [
        ("x=rm; y=-rf", "x=rm y=-rf"),
        ("x=1 ls", ""),
        ("x=$(date)", "x?"),
        ("false && x=1", "x?"),
        ("export LANG=C", "export LANG=C"),
        ("export foo=1", "export foo=1!"),
        ("PATH=/bin:$HOME", "PATH=/bin:/home/agent!"),
        ("PATH=$PATH:/x", "PATH?!"),
        ("for i in a b; do ls; done", "i=b"),
        ("read a b", "a? b?"),
        ("read", "REPLY?"),
        ("printf -v v x", "v?"),
        ("((n = 3))", "n?"),
        ("unset q", "q?"),
        (": ${d:=e}", "d?"),
        ("(s=1)", "s?"),
        ("readonly r=1", "r=1"),
        ("eval z=1", "z=1"),
        ("f() { g=1; }; f", "g?"),
        ("ls", ""),
        ("x=1; if", ""),
    ] {
        assert_eq!(left(text), expected, "{text}");
    }
    let secret = read("p=hunter2", &Scope::unknown(), &Limits::default());
    assert!(!format!("{:?}", secret.leaves).contains("hunter2"));
}

#[test]
fn a_reading_becomes_a_command_without_its_secrets() {
    let text = "PGPASSWORD=hunter2 psql -c 'select 1'";
    let reading = read(text, &Scope::unknown(), &Limits::default());
    let command = reading.command(text, Digest::of(text.as_bytes()));
    assert_eq!(command.source, Source::Shell);
    assert!(!command.text.as_str().contains("hunter2"), "{}", command.text.as_str());
    assert!(command.can_write());
    let faulty = read("echo 'x", &Scope::unknown(), &Limits::default());
    assert!(faulty.command("echo 'x", Digest::of(b"")).fault.is_some());
}

#[test]
fn code_from_the_channel_is_told() {
    for (text, expected) in [
        ("bash -s", true),
        ("cat | sh", false),
        ("python3", true),
        ("bash < x", false),
        ("sort", false),
        (". /dev/stdin", true),
        ("make -f -", true),
    ] {
        let reading = read(text, &Scope::at_home("a", "/home/a"), &Limits::default());
        assert_eq!(reading.reads_stdin_as_code, expected, "{text}");
    }
}

#[test]
fn a_path_that_steps_up_is_named_as_written_too() {
    let scope = Scope::at_home("agent", "/home/agent");
    let reading = read("rm w/link/../x ../y; cd w && rm ../z ./a", &scope, &Limits::default());
    assert_eq!(reading.climbs, ["~/w/link/../x", "~/../y", "~/w/../z"]);
    assert!(reading.operations.iter().any(|operation| operation.to_string() == "delete file ~/w/x"));
}

fn with_names(text: &str, names: &[(&str, &[&str])]) -> String {
    let mut scope = Scope::at_home("agent", "/home/agent");
    for (directory, names) in names {
        let glob = Glob { directory: Some((*directory).to_owned()), pattern: "*".to_owned() };
        scope.expansions.insert(glob, names.iter().map(|name| (*name).to_owned()).collect());
    }
    shown(text, &scope)
}

fn at_home(text: &str, names: &[&str]) -> String {
    with_names(text, &[("/home/agent", names)])
}

/// A shell sorts by its locale, which the target may have from anywhere.
#[test]
fn the_order_of_what_a_pattern_meets_decides_nothing() {
    let unsure = |got: &str| got.contains("unknown") || got.contains("dynamic");
    for text in [
        "*",
        "sed *",
        "awk *",
        "grep *",
        "uniq *",
        "cp *",
        "cp x *",
        "mv *",
        "ln *",
        "sort -o *",
        "sed -e *",
        "tar *",
        "git *",
        "env *",
        "nice *",
        "command *",
        "sh *",
        "sh -c 'rm \"$1\"' _ *",
        ". *",
        "eval *",
        "watch rm *",
        "cd *; rm x",
        "pushd *; rm x",
        "set -- *; rm \"$1\"",
        "f() { rm \"$1\"; }; f *",
        "export *",
        "read *",
        "[ -v * ]",
        "for x in *; do :; done; rm \"$x\"",
        "x=; for f in *; do rm \"w/$x\"; x=$f; done",
    ] {
        let got = at_home(text, &["F", "e rm x"]);
        assert!(unsure(&got), "{text}: {got}");
        let one = at_home(text, &["-x", "a"]);
        assert!(unsure(&one), "{text}: {one}");
    }
    for text in [
        "cat *",
        "wc -l *",
        "head -n 3 *",
        "ls -l *",
        "rm *",
        "rm -f -- *",
        "cp * d/",
        "mv * d",
        "grep foo *",
        "grep -e foo *",
        "sed -n 1p *",
        "awk '{print $1}' *",
        "chmod 644 *",
        "tar -czf o.tgz *",
        "gzip *",
        "zip o.zip *",
        "diff *",
        "echo *",
        "printf '%s\\n' *",
        "[ -e * ]",
        "find * -type f",
        "command cat *",
        "nice cat *",
        "for f in *; do cat \"$f\"; done",
        "for f in *; do mv \"$f\" \"$f.old\"; done",
    ] {
        let got = at_home(text, &["a.c", "b.c"]);
        assert!(!unsure(&got), "{text}: {got}");
    }
    assert_eq!(
        at_home("cp * d", &["a", "b"]),
        "execute program cp ; read file ~/a ; read file ~/b ; insert file ~/d/a ; update file ~/d/a ; \
         insert file ~/d/b ; update file ~/d/b"
    );
    for text in ["ls *", "rm *", "sort *", "tail *", "find * -name x"] {
        let got = at_home(text, &["--", "-x", "a"]);
        assert!(unsure(&got), "{text}: {got}");
    }
    assert!(unsure(&at_home("tail *", &["+5", "a"])));
}

/// Where the directory is one of two, what a pattern met in both is not there at once.
#[test]
fn what_a_pattern_meets_in_either_directory_stands_alone() {
    let names: [(&str, &[&str]); 2] = [("/home/agent", &["a"]), ("/home/agent/w", &["b"])];
    let got = with_names("cd w; sed *", &names);
    assert!(got.contains("dynamic") || got.contains("unknown"), "{got}");
    let got = with_names("cd w; cp * d", &names);
    assert!(got.contains("insert file ~/d ;") && got.contains("insert file ~/w/d/b"), "{got}");
    let got = with_names("cd w; cat *", &names);
    assert!(!got.contains("dynamic") && got.contains("read file ~/a ;") && got.ends_with("read file ~/w/b"), "{got}");
}
