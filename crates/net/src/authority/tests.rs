use super::*;
use std::os::unix::fs::PermissionsExt;

fn authority(directory: &Path, listen: &[&str]) -> Authority {
    let listen: Vec<SocketAddr> = listen.iter().map(|text| text.parse().unwrap()).collect();
    Authority::new(directory, &listen, &[])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[test]
fn the_first_start_makes_everything_and_later_ones_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path(), &["127.0.0.1:6442"]);
    let first = authority.open().unwrap();
    assert!(first.renewed);
    assert_eq!(first.authority, dir.path().join("ca.pem"));
    for key in ["ca.key", "gateway.key"] {
        assert_eq!(mode(&dir.path().join(key)), 0o600, "{key}");
    }
    let before = first.certificates.leaf();
    let again = authority.open().unwrap();
    assert!(!again.renewed);
    assert_eq!(again.certificates.leaf(), before);
    let files: BTreeSet<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["ca.key", "ca.pem", "gateway.key", "gateway.pem"].map(Into::into).into());
}

#[test]
fn the_leaf_follows_names_and_time_and_the_authority_stays() {
    let dir = tempfile::tempdir().unwrap();
    let made = authority(dir.path(), &["127.0.0.1:1"]).open().unwrap();
    let ca = fs::read(dir.path().join("ca.pem")).unwrap();
    let leaf = made.certificates.leaf();

    let moved = authority(dir.path(), &["192.0.2.7:1", "[2001:db8::1]:2"]);
    assert!(moved.renew(&made.certificates).unwrap());
    assert_ne!(made.certificates.leaf(), leaf, "what listeners serve is exchanged");
    let names = {
        let leaf = made.certificates.leaf();
        names_of(&X509Certificate::from_der(&leaf).unwrap().1).unwrap()
    };
    assert!(names.contains(&Name::Address("192.0.2.7".parse().unwrap())));
    assert!(names.contains(&Name::Address("2001:db8::1".parse().unwrap())));
    assert!(names.contains(&Name::Host("localhost".into())));
    assert!(!moved.renew(&made.certificates).unwrap());

    assert!(!moved.ensure(now() + Duration::days(LEAF_DAYS * 2 / 3 - 2)).unwrap());
    assert!(moved.ensure(now() + Duration::days(LEAF_DAYS * 2 / 3 + 2)).unwrap());
    assert_eq!(fs::read(dir.path().join("ca.pem")).unwrap(), ca);
}

#[test]
fn what_is_damaged_is_made_anew_and_what_is_lost_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path(), &["127.0.0.1:1"]);
    authority.open().unwrap();
    // A crash between the two files of a leaf: the key is newer than its certificate.
    fs::write(authority.leaf_key(), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(authority.open().unwrap().renewed);
    fs::write(authority.leaf(), "not PEM").unwrap();
    assert!(authority.open().unwrap().renewed);

    fs::remove_file(authority.key()).unwrap();
    let error = authority.open().unwrap_err().to_string();
    assert!(error.contains("ca.key") && error.contains("restore"), "{error}");

    // Without either, a new authority; its leaf is made with it.
    fs::remove_file(authority.certificate()).unwrap();
    assert!(authority.open().unwrap().renewed);
}

#[test]
fn extra_names_may_be_hosts_or_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let extra = ["GW.example.com".to_owned(), "198.51.100.4".to_owned()];
    let authority = Authority::new(dir.path(), &[], &extra);
    assert!(authority.names.contains(&Name::Host("gw.example.com".into())));
    assert!(authority.names.contains(&Name::Address("198.51.100.4".parse().unwrap())));
    assert!(authority.open().unwrap().renewed);
    assert!(!authority.open().unwrap().renewed);
}
