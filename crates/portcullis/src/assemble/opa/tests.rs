//! Which files of a directory are a bundle.

use super::read;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn names(directory: &Path) -> Result<Vec<String>, String> {
    let files = read(&directory.join("policy.yaml"), "opa/")?;
    Ok(files.iter().map(|file| file.path.to_string()).collect())
}

fn world() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("opa/lib")).unwrap();
    fs::write(directory.path().join("opa/main.rego"), "package a\n").unwrap();
    directory
}

#[test]
fn modules_and_data_are_read_and_tests_manifests_and_hidden_files_are_not() {
    let world = world();
    let opa = world.path().join("opa");
    for name in
        ["lib/b.rego", "lib/data.json", "data.yaml", "a_test.rego", ".manifest", ".git.rego", "notes.txt", "other.json"]
    {
        fs::write(opa.join(name), "x").unwrap();
    }
    assert_eq!(names(world.path()).unwrap(), ["data.yaml", "lib/b.rego", "lib/data.json", "main.rego"]);
}

#[test]
fn a_link_inside_is_followed_and_any_other_refuses_the_bundle() {
    let world = world();
    let opa = world.path().join("opa");
    fs::create_dir(opa.join("..data")).unwrap();
    fs::write(opa.join("..data/mounted.rego"), "package b\n").unwrap();
    symlink("..data/mounted.rego", opa.join("mounted.rego")).unwrap();
    assert_eq!(names(world.path()).unwrap(), ["main.rego", "mounted.rego"]);
    fs::write(world.path().join("secret.rego"), "package c\n").unwrap();
    for target in ["../secret.rego", "/etc/passwd", "nowhere", "lib", "."] {
        let link = opa.join("linked.rego");
        symlink(target, &link).unwrap();
        let refused = names(world.path()).unwrap_err();
        assert!(refused.contains("linked.rego"), "{target}: {refused}");
        fs::remove_file(link).unwrap();
    }
    symlink("..", opa.join("up")).unwrap();
    assert!(names(world.path()).unwrap_err().contains("up"), "a link to a directory is not walked");
}

#[test]
fn count_size_and_depth_are_bounded() {
    let many = world();
    for nth in 0..256 {
        fs::write(many.path().join(format!("opa/m{nth}.rego")), "x").unwrap();
    }
    assert!(names(many.path()).unwrap_err().contains("more than 256 files"));
    let large = world();
    fs::write(large.path().join("opa/large.rego"), vec![b'x'; 1 << 20]).unwrap();
    assert!(names(large.path()).unwrap_err().contains("bytes"));
    let deep = world();
    fs::create_dir_all(deep.path().join("opa").join("d/".repeat(20))).unwrap();
    assert!(names(deep.path()).unwrap_err().contains("too deep"));
    assert!(read(Path::new("/nowhere/policy.yaml"), "opa").is_err());
}
