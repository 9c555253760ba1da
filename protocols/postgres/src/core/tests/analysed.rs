//! Prepared statements whose names come to mean something else: what the server still has is what is judged.

use super::rig::{Rig, making, says};

/// A session that has a temporary relation, in which `s` (by Parse) and `q` (by SQL) read `items`.
async fn prepared() -> Rig {
    let house = making().await;
    let mut rig = Rig::new(&house).await;
    rig.house = Some(house);
    rig.quiet();
    makes(&mut rig, "a", r#"["a"]"#);
    told(&mut rig, &[says::parse("s", "SELECT id FROM items"), says::sync()].concat());
    told(&mut rig, &says::query("PREPARE q AS SELECT id FROM items"));
    rig
}

fn told(rig: &mut Rig, bytes: &[u8]) -> String {
    rig.told();
    rig.client(bytes);
    rig.quiet();
    rig.outline()
}

/// Makes a temporary relation; the server says that there are these.
fn makes(rig: &mut Rig, name: &str, all: &'static str) {
    rig.server.temporary = Some(all);
    let got = told(rig, &says::query(&format!("CREATE TEMP TABLE {name} (id int)")));
    assert!(!got.contains('E'), "{got}");
}

fn by_bind() -> Vec<u8> {
    [says::bind("", "s"), says::execute(""), says::sync()].concat()
}

fn ran(rig: &Rig, text: &str) -> usize {
    rig.server.ran.iter().filter(|ran| *ran == text).count()
}

#[tokio::test]
async fn what_a_temporary_relation_comes_to_hide_is_refused_until_it_is_prepared_again() {
    let mut rig = prepared().await;
    assert!(!told(&mut rig, &by_bind()).contains('E'));
    assert!(!told(&mut rig, &says::query("EXECUTE q")).contains('E'));
    let before = (ran(&rig, "SELECT id FROM items"), ran(&rig, "EXECUTE q"));
    makes(&mut rig, "items", r#"["a", "items"]"#);
    for text in ["EXECUTE q", "EXPLAIN EXECUTE q", "CREATE TABLE n AS EXECUTE q", "SELECT 1; EXECUTE s"] {
        assert!(told(&mut rig, &says::query(text)).contains("E0A000"), "{text}");
    }
    assert!(told(&mut rig, &by_bind()).contains("E0A000"));
    let portal = [says::run("EXECUTE q"), says::sync()].concat();
    assert!(told(&mut rig, &portal).contains("E0A000"));
    assert_eq!((ran(&rig, "SELECT id FROM items"), ran(&rig, "EXECUTE q")), before);
    // Prepared again, it is what it reads as.
    told(&mut rig, &says::query("DEALLOCATE q"));
    told(&mut rig, &says::query("PREPARE q AS SELECT id FROM items"));
    assert!(!told(&mut rig, &says::query("EXECUTE q")).contains('E'));
    told(&mut rig, &[says::close("s"), says::parse("s", "SELECT id FROM items"), says::sync()].concat());
    assert!(!told(&mut rig, &by_bind()).contains('E'));
}

#[tokio::test]
async fn a_describe_makes_the_server_look_and_is_kept() {
    let mut rig = prepared().await;
    makes(&mut rig, "items", r#"["a", "items"]"#);
    let describe = [says::describe_statement("s"), says::sync()].concat();
    assert!(!told(&mut rig, &describe).contains('E'), "nothing refuses it");
    // Which of the two the server has depends on what became of the temporary one since: nothing of it is told apart.
    rig.server.temporary = Some(r#"["a"]"#);
    assert!(!told(&mut rig, &says::query("DISCARD TEMP")).contains('E'));
    assert!(told(&mut rig, &by_bind()).contains("E0A000"));
}

#[tokio::test]
async fn what_other_relations_and_settings_do_changes_nothing() {
    let mut rig = prepared().await;
    for _ in 0..3 {
        makes(&mut rig, "others", r#"["a", "others"]"#);
        assert!(!told(&mut rig, &says::query("SET search_path = public")).contains('E'));
        for _ in 0..2 {
            assert!(!told(&mut rig, &by_bind()).contains('E'));
            assert!(!told(&mut rig, &says::query("EXECUTE q")).contains('E'));
            assert!(!told(&mut rig, &[says::describe_statement("s"), by_bind()].concat()).contains('E'));
        }
    }
}
