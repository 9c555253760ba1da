use super::*;
use portcullis_model::Name;
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn fixtures(kind: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/config").join(kind);
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn printed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// What is printed of each file stands beside it; with `PORTCULLIS_BLESS=1` it is written anew, to be reviewed.
fn compare(file: &Path, found: &str) {
    let beside = file.with_extension("expected");
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        fs::write(&beside, found).unwrap();
    }
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(found, expected, "{}", file.display());
}

pub(crate) fn read(file: &Path) -> Result<Loaded, Vec<Problem>> {
    let name = Path::new("/etc/portcullis").join(file.file_name().unwrap());
    parse(&fs::read_to_string(file).unwrap(), &name)
}

#[test]
fn every_good_file_loads_with_the_warnings_beside_it() {
    for file in fixtures("good") {
        let loaded = read(&file).unwrap_or_else(|problems| panic!("{}\n{}", file.display(), printed(&problems)));
        compare(&file, &printed(&loaded.warnings));
    }
}

#[test]
fn every_bad_file_is_refused_with_the_problems_beside_it() {
    for file in fixtures("bad") {
        let problems = read(&file).err().unwrap_or_else(|| panic!("{} loads", file.display()));
        assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
        let found = printed(&problems);
        assert!(!found.contains("hunter2"), "a secret is shown:\n{found}");
        compare(&file, &found);
    }
}

fn good(name: &str) -> Config {
    read(&fixtures("good").into_iter().find(|file| file.ends_with(name)).unwrap()).unwrap().config
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let config = good("minimal.yaml");
    assert_eq!(config.data_dir, Path::new("/etc/portcullis/data"));
    assert_eq!(config.store, Store::RocksDb);
    assert_eq!(
        config.listen,
        Listen { postgres: Some("127.0.0.1:6442".parse().unwrap()), ssh: None, http: None, console: None }
    );
    assert_eq!(config.tls, Tls::SelfMade);
    assert_eq!(config.roles, Roles::default());
    assert_eq!(config.audit.results, Results::Full);
    assert_eq!(config.audit.max_result_bytes, 1 << 20);
    assert_eq!(config.audit.retention, Duration::from_secs(400 * 86_400));
    assert_eq!(config.audit.durability, Durability::Strict);
    assert_eq!(config.limits.statement, 1 << 20);
    assert_eq!(config.limits.approval_wait, Duration::from_secs(600));
    assert_eq!(config.limits.idle, Duration::from_secs(3600));
    let shop = Connection::Postgres(Postgres {
        address: Address::Tcp { host: "127.0.0.1".into(), port: 5432 },
        database: "shop".into(),
        databases: [].into(),
        username: "app".into(),
        password: Some(Password::Kept(SecretSource::Env("SHOP_PASSWORD".into()))),
        tls: BackendTls::VerifyFull,
        tls_ca: None,
        client_auth: ClientAuth::Password,
    });
    assert_eq!(config.connections, [(Name::canonical("shop"), shop)].into());
}

fn postgres<'c>(config: &'c Config, name: &str) -> &'c Postgres {
    let Connection::Postgres(postgres) = &config.connections[name] else { panic!("{name} is no database") };
    postgres
}

fn ssh<'c>(config: &'c Config, name: &str) -> &'c Ssh {
    let Connection::Ssh(ssh) = &config.connections[name] else { panic!("{name} is no SSH server") };
    ssh
}

#[test]
fn every_key_of_ssh_is_read() {
    let config = good("complete.yaml");
    assert_eq!(config.listen.ssh, Some("0.0.0.0:6422".parse().unwrap()));
    let build = ssh(&config, "build-box");
    assert_eq!((build.address.to_string().as_str(), &*build.username), ("10.0.0.5:22", "deploy"));
    assert_eq!(build.logins, ["root".into(), "CORP\\backup".into()].into());
    assert_eq!(build.login, SshLogin::PrivateKey(SecretSource::File("/etc/portcullis/keys/deploy".into())));
    assert_eq!((build.host_keys.len(), build.host_authorities.len()), (1, 0));
    let jump = ssh(&config, "jump");
    assert_eq!(jump.address.to_string(), "[::1]:2222");
    assert_eq!(jump.login, SshLogin::Password(SecretSource::Env("JUMP".into())));
    assert_eq!((jump.host_keys.len(), jump.host_authorities.len()), (2, 1));
    assert_eq!(ssh(&config, "farm").login, SshLogin::OwnCertificate);
    let keys: Vec<_> = config.ssh.keys.iter().map(|key| (&*key.user, key.groups.len())).collect();
    assert_eq!(keys, [("agent-7", 1), ("agent-7", 2)]);
    assert_eq!(config.ssh.users.len(), 2);
    assert_eq!(config.ssh.users["alice"].len(), 2);
    let revoked = ["/etc/portcullis/keys/revoked.krl", "/etc/portcullis/keys/revoked.pub"];
    assert_eq!(config.ssh.revoked_keys, revoked.map(std::path::PathBuf::from));
}

fn http<'c>(config: &'c Config, name: &str) -> &'c Http {
    let Connection::Http(http) = &config.connections[name] else { panic!("{name} is no HTTP service") };
    http
}

#[test]
fn every_key_of_http_is_read() {
    let config = good("http.yaml");
    assert_eq!(config.listen.http, Some("127.0.0.1:6480".parse().unwrap()));
    assert_eq!(config.listen.over_tls().count(), 1);
    let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
    let claude = http(&config, "claude");
    let upstream = Upstream { tls: true, address: tcp("api.anthropic.com", 443), prefix: "".into() };
    assert_eq!((&claude.upstream, claude.api, claude.timeout), (&upstream, Api::Anthropic, Duration::from_secs(600)));
    let key = ("x-api-key".into(), Header::Secret(SecretSource::Env("ANTHROPIC_API_KEY".into())));
    let version = ("anthropic-version".into(), Header::Plain("2023-06-01".into()));
    assert_eq!(claude.headers, [key, version].into());
    let fields = [("query".into(), ToolField::Sql), ("note".into(), ToolField::None)].into();
    assert_eq!(claude.tools, [("mcp__shop__run_sql".into(), fields), ("notes".into(), [].into())].into());
    let gpt = http(&config, "gpt");
    assert_eq!((gpt.upstream.address.clone(), &*gpt.upstream.prefix), (tcp("models.internal", 8443), "/openai/v1"));
    assert_eq!(gpt.headers["authorization"], Header::Bearer(SecretSource::File("/etc/portcullis/keys/gpt".into())));
    assert_eq!(
        (gpt.timeout.as_secs(), gpt.tls_ca.as_deref()),
        (120, Some(Path::new("/etc/portcullis/keys/models-ca.pem")))
    );
    let crm = http(&config, "crm");
    assert_eq!(crm.hosts, ["crm.internal".into(), "customers.example.com".into()].into());
    let media = |kind: &str, subtype: Option<&str>| MediaRange { kind: kind.into(), subtype: subtype.map(Into::into) };
    assert_eq!(crm.opaque, [media("image", None), media("application", Some("pdf"))].into());
    let tools = http(&config, "shop-tools");
    assert_eq!((tools.upstream.tls, tools.upstream.address.clone()), (false, tcp("127.0.0.1", 9000)));
    assert_eq!(tools.tools["run"]["command"], ToolField::Shell);
    assert_eq!(http(&config, "v6").upstream.address, tcp("::1", 80));
}

#[test]
fn public_keys_are_read_from_their_files_and_each_may_be_given_once() {
    // Named by digits: a path that happens to hold `pwd` is not shown.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let name = now.as_nanos().to_string();
    let dir = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir().unwrap();
    let file = dir.path().join("portcullis.yaml");
    let keys: Vec<String> = good("complete.yaml").ssh.keys.iter().map(|key| key.key.to_openssh().unwrap()).collect();
    let text = "listen: { ssh: 127.0.0.1:0 }\nidentity:\n  ssh_certificate_authorities: [ca.pub]\n  ssh_keys: [{ user: a, file: a.pub }]\nconnections:\n  b: { protocol: ssh, address: 127.0.0.1, username: a, certificate: own, host_key: KEY }\npolicies: [p/*.yaml]\n";
    fs::write(&file, text.replace("KEY", &keys[0])).unwrap();
    let told = || printed(&load(&file).unwrap_err());
    let missing = told();
    assert!(missing.contains(&format!("there is no file {}", dir.path().join("ca.pub").display())), "{missing}");
    fs::write(dir.path().join("ca.pub"), format!("# ours\n\n{}\n", keys[0])).unwrap();
    fs::write(dir.path().join("a.pub"), &keys[1]).unwrap();
    let config = load(&file).unwrap().config;
    assert_eq!((config.ssh.authorities.len(), config.ssh.keys.len()), (1, 1));
    assert_eq!(config.ssh.authorities[0].to_openssh().unwrap(), keys[0]);
    let cases = [
        (format!("{}\n{}\n", keys[1], keys[0]), "line 2 of"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n".to_owned(), "this is a private key"),
        ("# nothing\n".to_owned(), "there is no key in"),
        ("x".repeat((256 << 10) + 1), "larger than 256 KiB"),
    ];
    for (contents, expected) in cases {
        fs::write(dir.path().join("a.pub"), contents).unwrap();
        let problems = told();
        assert!(problems.contains(expected) && !problems.contains("hunter2"), "{problems}");
    }
    fs::write(dir.path().join("a.pub"), &keys[0]).unwrap();
    assert!(told().contains("this key is given already at identity.ssh_certificate_authorities[0], line 3 of"));
    // What is revoked is in files that need only be there: what they say changes.
    fs::write(dir.path().join("a.pub"), &keys[1]).unwrap();
    let text = fs::read_to_string(&file).unwrap().replace("  ssh_keys", "  ssh_revoked_keys: [revoked]\n  ssh_keys");
    fs::write(&file, text).unwrap();
    let missing = told();
    assert!(missing.contains(&format!("there is no file {}", dir.path().join("revoked").display())), "{missing}");
    fs::write(dir.path().join("revoked"), "hello").unwrap();
    assert_eq!(load(&file).unwrap().config.ssh.revoked_keys, [dir.path().join("revoked")]);
}

#[test]
fn every_key_is_read() {
    let config = good("complete.yaml");
    assert_eq!(config.data_dir, Path::new("/var/lib/portcullis"));
    assert_eq!(config.listen.console, Some("[::1]:6444".parse().unwrap()));
    let files = Tls::Files { certificate: "/etc/portcullis/gw.pem".into(), key: "/etc/portcullis/keys/gw.key".into() };
    assert_eq!(config.tls, files);
    assert_eq!(config.roles.auditor, ["audit".into(), "compliance".into()].into());
    let shop = postgres(&config, "shop");
    assert_eq!(shop.address, Address::Tcp { host: "db.internal.example.com".into(), port: 6432 });
    assert_eq!(shop.databases, ["orders".into(), "reporting".into()].into());
    let ways = ["shop", "local-socket", "v6"].map(|name| postgres(&config, name).client_auth);
    assert_eq!(ways, [ClientAuth::Scram, ClientAuth::OAuth, ClientAuth::Password]);
    assert_eq!(config.oauth(), Some((&"https://idp.example.com/realms/main".into(), "openid email".into())));
    assert_eq!(shop.password, Some(Password::Kept(SecretSource::File("/etc/portcullis/keys/shop-password".into()))));
    assert_eq!(
        (shop.tls, shop.tls_ca.as_deref()),
        (BackendTls::VerifyCa, Some(Path::new("/etc/portcullis/keys/db-ca.pem")))
    );
    let socket = postgres(&config, "local-socket");
    assert_eq!(socket.address, Address::Unix { directory: "/var/run/postgresql".into(), port: 5432 });
    assert_eq!((socket.tls, &socket.password), (BackendTls::Disable, &None));
    let other = postgres(&config, "other_socket");
    assert_eq!(other.address, Address::Unix { directory: "/etc/portcullis/run".into(), port: 5433 });
    let v6 = postgres(&config, "v6");
    assert_eq!((v6.address.to_string(), v6.address.is_local()), ("[::1]:5432".to_owned(), true));
    assert_eq!(config.audit.max_result_bytes, 64 << 10);
    let [hook, slack, command, mail @ ..] = config.notifications.as_slice() else {
        panic!("{:?}", config.notifications)
    };
    let expected = NotifierWay::Webhook {
        url: "https://hooks.example.com/portcullis".into(),
        secret: SecretSource::File("/etc/portcullis/keys/hook".into()),
        tls_ca: Some("/etc/portcullis/keys/hooks.pem".into()),
    };
    assert_eq!((&hook.way, hook.connections.len(), hook.rules.len()), (&expected, 0, 0));
    assert_eq!(slack.way, NotifierWay::Slack { url: SecretSource::Env("SLACK_HOOK".into()), tls_ca: None });
    assert_eq!(slack.connections, [Name::canonical("shop")].into());
    assert_eq!(slack.rules, ["shop-agents/schema-change".into()].into());
    let words = ["/usr/local/bin/page", "--group", "dba"].map(Arc::from).to_vec();
    assert_eq!(command.way, NotifierWay::Command { words });
    let mail = mail.iter().map(|notifier| match &notifier.way {
        NotifierWay::Email(email) => email.clone(),
        other => panic!("{other:?}"),
    });
    let [over_tls, starttls, near] = mail.collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((&*over_tls.host, over_tls.port, over_tls.security), ("mail.example.com", 465, MailSecurity::Tls));
    assert_eq!(over_tls.to, ["dba@example.com".into(), "oncall@[192.0.2.7]".into()].into());
    assert_eq!((over_tls.tls_ca, over_tls.login), (Some("/etc/portcullis/keys/mail.pem".into()), None));
    assert_eq!((starttls.port, starttls.security, &*starttls.from), (2525, MailSecurity::StartTls, "gate@shop"));
    assert_eq!(starttls.login, Some(("gate".into(), SecretSource::Env("SMTP".into()))));
    assert_eq!((near.port, near.security), (25, MailSecurity::Loopback));
    assert_eq!((config.audit.results, config.audit.durability), (Results::Sample, Durability::Batched));
    assert_eq!(config.limits.idle, Duration::from_secs(5400));
    assert_eq!((config.limits.sessions, config.limits.unauthenticated_per_address), (200, 4));
    assert_eq!(config.limits.sessions_per_principal, 150);
    assert_eq!((config.limits.statement, config.limits.handshake), (256 << 10, Duration::from_secs(5)));
}

#[test]
fn loading_looks_for_the_files_and_relative_paths_are_relative_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("portcullis.yaml");
    let text = "tls: { certificate: gw.pem, key: gw.key }\nlisten: { postgres: 127.0.0.1:0 }\nconnections:\n  shop: { protocol: postgres, address: 127.0.0.1, database: s, username: a, password: { file: pw } }\n  env: { protocol: postgres, address: 127.0.0.1, database: s, username: a, password: { env: PORTCULLIS_NO_SUCH_VARIABLE } }\npolicies: [p/*.yaml]\n";
    fs::write(&file, text).unwrap();
    let problems = printed(&load(&file).unwrap_err());
    for missing in ["gw.pem", "gw.key", "pw"] {
        assert!(problems.contains(&format!("there is no file {}", dir.path().join(missing).display())), "{problems}");
    }
    for name in ["gw.pem", "gw.key", "pw"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let loaded = load(&file).unwrap();
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].message.contains("PORTCULLIS_NO_SUCH_VARIABLE is not set"));
    assert_eq!(loaded.config.data_dir, dir.path().join("data"));
    assert!(load(&dir.path().join("none.yaml")).is_err());
    assert!(load(dir.path()).is_err());
    fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(load(&file).is_err());
    fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(printed(&load(&file).unwrap_err()).contains("1 MiB"));
}

#[test]
fn policy_patterns_match_files_and_an_empty_one_is_a_problem() {
    let outer = tempfile::tempdir().unwrap();
    // A directory whose name is itself a pattern must be taken literally.
    let dir = outer.path().join("odd[1]*");
    fs::create_dir_all(dir.join("policies/sub.yaml")).unwrap();
    let file = dir.join("portcullis.yaml");
    let text = "listen: { postgres: 127.0.0.1:0 }\nconnections: { s: { protocol: postgres, address: 127.0.0.1, database: s, username: a, password: { env: PATH } } }\npolicies: [policies/*.yaml, ./policies/b*.yaml, none/*.yaml]\n";
    fs::write(&file, text).unwrap();
    for name in ["b.yaml", "a.yaml", "c.txt"] {
        fs::write(dir.join("policies").join(name), "x").unwrap();
    }
    let config = load(&file).unwrap().config;
    let problems = config.policy_files().unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].location.as_ref().map(|at| at.line), Some(3));
    assert!(problems[0].to_string().contains("`none/*.yaml` matches no file"));
    fs::create_dir(dir.join("none")).unwrap();
    fs::write(dir.join("none/d.yaml"), "x").unwrap();
    let found = config.policy_files().unwrap();
    let expected: Vec<_> = ["none/d.yaml", "policies/a.yaml", "policies/b.yaml"].map(|name| dir.join(name)).into();
    assert_eq!(found, expected);
}

/// What a help quotes is cut and escaped like the rest of a problem.
#[test]
fn help_neither_steers_a_terminal_nor_shows_a_password() {
    let text = "listen: { postgres: 127.0.0.1:6442 }\nconnections: { a: { protocol: postgres } }\npolicies: ";
    for (value, hidden) in [("\"\\e[2J\"", "\u{1b}"), ("\"password: hunter2\"", "hunter2")] {
        let problems = parse(&format!("{text}{value}\n"), Path::new("x.yaml")).unwrap_err();
        assert!(!problems.is_empty());
        for problem in problems {
            let help = problem.suggestion.as_deref().unwrap_or_default();
            assert!(!help.contains(hidden) && !problem.to_string().contains(hidden), "{problem}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "[-?:{}\\[\\],&*!|>'\"%@`#~ \\n\\ta-z0-9]{0,200}|\\PC{0,200}") {
        fuzz_document(text.as_bytes());
    }

    /// A change at any place of a good file is read or refused, and never shows what stands for a secret.
    #[test]
    fn a_damaged_file_never_shows_a_secret(at in 0_usize..260, with in "[:{}\\[\\],'\"# \\n\\t-]{0,3}", cut in 0_usize..4) {
        let text = "listen: { postgres: 127.0.0.1:6442 }\nconnections:\n  shop:\n    protocol: postgres\n    address: 127.0.0.1:5432\n    database: shop\n    username: app\n    password: hunter2\n  b: { protocol: postgres, password: hunter2, address: x }\npolicies: [policies/*.yaml]\n";
        let at = at.min(text.len());
        let secrets: Vec<_> = text.match_indices("hunter2").map(|(start, _)| start).collect();
        // Changes inside the secret or its key make another secret or another key.
        prop_assume!(!secrets.iter().any(|start| at + cut > start - 11 && at < start + 8));
        let changed = format!("{}{with}{}", &text[..at], &text[(at + cut).min(text.len())..]);
        let problems = parse(&changed, Path::new("x.yaml")).err();
        prop_assume!(problems.is_some());
        prop_assert!(!printed(&problems.unwrap_or_default()).contains("hunter2"));
    }
}
