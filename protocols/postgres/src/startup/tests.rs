use super::*;
use proptest::prelude::*;

fn message(version: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in pairs {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    body
}

fn read(pairs: &[(&str, &str)]) -> Result<Startup, Refused> {
    Startup::parse(&message(Version::V3_0.code(), pairs))
}

fn code(result: Result<Startup, Refused>) -> &'static str {
    result.expect_err("refused").code
}

#[test]
fn an_ordinary_client_gets_in() {
    // What psql 15 sends.
    let startup =
        read(&[("user", "agent-7"), ("database", "shop"), ("application_name", "psql"), ("client_encoding", "UTF8")])
            .unwrap();
    assert_eq!((startup.user.as_str(), startup.database.as_str()), ("agent-7", "shop"));
    assert_eq!(startup.setting("application_name"), Some("psql"));
    assert!(!startup.needs_negotiation());
    assert_eq!(read(&[("user", "u")]).unwrap().database, "u");
    assert_eq!(read(&[("user", "u"), ("database", "")]).unwrap().database, "u");
    assert_eq!(read(&[("user", "u"), ("database", "shop/reports")]).unwrap().database, "shop/reports");
}

#[test]
fn what_drivers_send_is_accepted() {
    for pairs in [
        // asyncpg, sqlx, JDBC, Npgsql, lib/pq
        &[("client_encoding", "'utf-8'")][..],
        &[("DateStyle", "ISO, MDY"), ("client_encoding", "UTF8"), ("TimeZone", "UTC"), ("extra_float_digits", "2")],
        &[("client_encoding", "UTF8"), ("DateStyle", "ISO"), ("TimeZone", "Europe/Berlin"), ("search_path", "app")],
        &[("client_encoding", "UTF8"), ("Timezone", "UTC")],
        &[("datestyle", "ISO, MDY"), ("client_encoding", "unicode"), ("extra_float_digits", "2")],
    ] {
        let startup = read(&[&[("user", "u")], pairs].concat()).unwrap();
        assert_eq!(startup.setting("client_encoding"), Some("UTF8"), "{pairs:?}");
        assert_eq!(startup.settings.len(), pairs.len());
    }
}

#[test]
fn pg_p08_only_settings_on_the_list_are_chosen_wherever_they_stand() {
    for setting in [
        "standard_conforming_strings",
        "backslash_quote",
        "role",
        "session_authorization",
        "session_preload_libraries",
        "escape_string_warning",
        "row_security",
        "User",
        "",
    ] {
        if !setting.is_empty() {
            assert_eq!(code(read(&[("user", "u"), (setting, "x")])), "42501", "{setting}");
        }
        assert_eq!(code(read(&[("user", "u"), ("options", &format!("-c {setting}=x"))])), "42501", "{setting}");
        assert_eq!(code(read(&[("user", "u"), ("options", &format!("--{setting}=x"))])), "42501", "{setting}");
    }
    assert_eq!(code(read(&[("user", "u"), ("options", "-c standard-conforming-strings=off")])), "42501");
    for encoding in ["SJIS", "LATIN1", "SQL_ASCII", "", "UTF16"] {
        assert_eq!(code(read(&[("user", "u"), ("client_encoding", encoding)])), "22023");
        assert_eq!(code(read(&[("user", "u"), ("options", &format!("-cclient_encoding={encoding}"))])), "22023");
    }
    assert_eq!(code(read(&[("user", "u"), ("application_name", "a\nb")])), "22023");
}

#[test]
fn pg_p08_options_are_split_as_the_server_splits_them() {
    let chosen = |options: &str| {
        read(&[("user", "u"), ("options", options)]).map(|startup| {
            startup.settings.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";")
        })
    };
    for (options, expected) in [
        ("", ""),
        (" \t\n ", ""),
        ("-c search_path=a", "search_path=a"),
        ("-csearch_path=a", "search_path=a"),
        ("--search-path=a,b", "search_path=a,b"),
        (r"-c search_path=a,\ b", "search_path=a, b"),
        (r"-c search_path=a\\b", r"search_path=a\b"),
        ("-c  statement_timeout=5s\u{b}-c lock_timeout=1s", "statement_timeout=5s;lock_timeout=1s"),
        ("-c timezone=UTC -c TimeZone=CET", "TimeZone=CET"),
        ("-c application_name=a=b", "application_name=a=b"),
    ] {
        assert_eq!(chosen(options).unwrap(), expected, "{options:?}");
    }
    for options in
        ["-c", "-c jit", "--jit", "-d 5", "-S 100", "jit=on", "-", "--", r"\-c role=x", r"-c\ role=x", "-c -c"]
    {
        assert_eq!(chosen(options).expect_err(options).code, "42501", "{options:?}");
    }
    // What stands alone is applied after what stands in options.
    let both = read(&[("user", "u"), ("TimeZone", "CET"), ("options", "-c TimeZone=UTC")]).unwrap();
    assert_eq!(both.setting("TimeZone"), Some("CET"));
}

#[test]
fn a_wish_for_the_gateway_is_taken_and_never_forwarded() {
    for (value, auth) in
        [("password", ClientAuth::Password), ("scram", ClientAuth::Scram), ("oauth", ClientAuth::OAuth)]
    {
        for pairs in [
            [("options", format!("-c portcullis.auth={value}"))],
            [("options", format!("-c TimeZone=UTC --Portcullis.Auth={value}"))],
            [("portcullis.auth", value.to_owned())],
        ] {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let startup = read(&[&[("user", "u")], &pairs[..]].concat()).unwrap();
            assert_eq!(startup.auth, Some(auth), "{pairs:?}");
            assert!(startup.settings.iter().all(|(name, _)| *name == "TimeZone"));
        }
    }
    assert_eq!(read(&[("user", "u")]).unwrap().auth, None);
    let both = read(&[("user", "u"), ("portcullis.auth", "scram"), ("options", "-c portcullis.auth=oauth")]).unwrap();
    assert_eq!(both.auth, Some(ClientAuth::Scram), "what stands alone is applied last");
    for value in ["", "SCRAM", "scram ", "scram-sha-256", "md5", "scram,oauth"] {
        let refused = read(&[("user", "u"), ("portcullis.auth", value)]).expect_err(value);
        assert_eq!(refused.code, "22023");
        assert!(refused.hint.unwrap().contains("portcullis.auth=scram"), "{value}");
    }
    assert_eq!(code(read(&[("user", "u"), ("options", "-c portcullis.auth")])), "42501");
    assert_eq!(code(read(&[("user", "u"), ("options", "-c portcullis.auths=scram")])), "42501");
}

#[test]
fn a_reason_is_the_gateways_and_no_setting_of_the_server() {
    for (pairs, expected) in [
        (&[][..], None),
        (&[("portcullis.reason", "because")][..], Some("because")),
        (&[("Portcullis.Reason", "because")][..], Some("because")),
        (&[("options", r"-c portcullis.reason=ticket\ 42")][..], Some("ticket 42")),
        (&[("options", "--portcullis.reason=a=b -c jit=on")][..], Some("a=b")),
        (&[("portcullis.reason", "alone"), ("options", "-c portcullis.reason=x")][..], Some("alone")),
    ] {
        let startup = read(&[&[("user", "u")], pairs].concat()).unwrap();
        assert_eq!(startup.reason.as_deref(), expected, "{pairs:?}");
        assert!(startup.setting("portcullis.reason").is_none());
    }
    assert_eq!(code(read(&[("user", "u"), ("portcullis.reason", "a\nb")])), "22023");
    assert_eq!(code(read(&[("user", "u"), ("portcullis.other", "x")])), "42501");
}

#[test]
fn pg_p07_what_decides_who_and_where_stands_once() {
    for twice in ["user", "database", "options"] {
        assert_eq!(code(read(&[("user", "u"), (twice, ""), (twice, "")])), "08P01", "{twice}");
    }
    assert_eq!(code(read(&[])), "28000");
    assert_eq!(code(read(&[("user", "")])), "28000");
    assert_eq!(code(read(&[("user", "a\rb")])), "08P01");
    assert_eq!(code(read(&[("user", "u"), ("database", &"d".repeat(128))])), "08P01");
}

#[test]
fn pg_p09_replication_is_refused_in_every_spelling() {
    for value in ["true", "database", "on", "1", "false", ""] {
        assert_eq!(code(read(&[("user", "u"), ("replication", value)])), "0A000");
    }
    assert_eq!(code(read(&[("user", "u"), ("options", "-c replication=database")])), "42501");
}

#[test]
fn pg_p07_the_layout_is_exact() {
    let good = message(Version::V3_0.code(), &[("user", "u")]);
    assert!(Startup::parse(&good).is_ok());
    for cut in 0..good.len() {
        assert!(Startup::parse(&good[..cut]).is_err(), "cut at {cut}");
    }
    assert_eq!(code(Startup::parse(&[good.as_slice(), b"\0"].concat())), "08P01");
    assert_eq!(code(Startup::parse(&[good.as_slice(), b"x\0y\0\0"].concat())), "08P01");
    assert_eq!(code(Startup::parse(&[&good[..4], b"user\0\xff\0\0"].concat())), "22021");
}

#[test]
fn pg_p10_versions_are_negotiated_down_and_never_up() {
    for (asked, spoken, told) in [(0, 0, false), (1, 0, true), (2, 2, false), (3, 2, true), (9999, 2, true)] {
        let asked = Version { major: 3, minor: asked };
        let startup = Startup::parse(&message(asked.code(), &[("user", "u")])).unwrap();
        assert_eq!((startup.version.minor, startup.needs_negotiation()), (spoken, told), "{asked}");
    }
    for major in [0, 1, 2, 4, 0xffff] {
        let body = message(Version { major, minor: 0 }.code(), &[("user", "u")]);
        assert_eq!(code(Startup::parse(&body)), "0A000");
    }
    let options = read(&[("user", "u"), ("_pq_.grease", "1")]).unwrap();
    assert!(options.needs_negotiation());
    assert_eq!(options.unknown_options, ["_pq_.grease"]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_startup(&data);
        fuzz_startup(&[&[0, 3, 0, 0][..], b"user\0u\0options\0", &data, b"\0\0"].concat());
    }
}
