//! A database of secrets behind a gateway that masks them: each protected value holds a token that stands nowhere else, so
//! that it can be looked for in every byte that a client gets, a tool writes or a record keeps.
//!
//! Promises: [`Canaries::find`] finds a part of eight characters of any text or number, or a whole date, raw, in either
//! letter case, reversed, in PostgreSQL's binary forms, and inside hexadecimal and base64. Does not promise more: what
//! spreads a value over several columns, one character each, is not found here.

use crate::surroundings::{BINARY, direct, server};
use jiff::ToSpan as _;
use portcullis_testkit::Postgres;
use portcullis_testkit::gateway::{Gateway, Settings};
use portcullis_testkit::wire::RawClient;
use std::collections::HashSet;

const SCHEMA: &str = include_str!("../../../../fixtures/masking/secrets.sql");
const AFTERWARDS: &str =
    "CREATE MATERIALIZED VIEW roster AS SELECT id, name, tax AS t, profile ->> 'secret' AS s FROM people; ANALYZE;";

/// Everything is allowed, so that masks alone keep what is kept.
pub(crate) const EVERYTHING: &str = r#"
bundle: everything
applies_to: { connections: ["*"], principals: { groups: [agents, officers] } }
rules:
  - id: everything
    allow: { actions: [any, unknown], objects: ["*"], marks: [dynamic, privileged, irreversible] }
"#;

/// What nobody but officers may see.
pub(crate) const MASKS: &str = r#"
bundle: secrets
applies_to: { connections: ["*"] }
mask:
  - id: numbers
    columns: [public.people.ssn, public.people.balance, public.people.born, public.people.photo, public.people.home, public.people.tags, public.visits.reason]
    with: redact
    unless: { groups: [officers] }
  - id: addresses
    columns: [public.people.email]
    with: { keep_last: 4 }
    unless: { groups: [officers] }
  - id: taxes
    columns: [public.people.tax]
    with: hash
    predicates: equality
    unless: { groups: [officers] }
  - id: dossiers
    columns: [public.people.dossier, public.staff.badge]
    with: "null"
    unless: { groups: [officers] }
  - id: profiles
    columns: [public.people.profile]
    json: ["$..secret", "$.address.street"]
    with: redact
    unless: { groups: [officers] }
  - id: clean
    functions: { clean: [public.spent] }
"#;

/// Numbers that a seed tells, the same on every machine.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// The seed of generated suites: `PROPTEST_RNG_SEED`, as of the others, else this.
pub(crate) fn seed() -> u64 {
    std::env::var("PROPTEST_RNG_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_120)
}

/// The protected values, as they may show.
#[derive(Default)]
pub(crate) struct Canaries {
    signs: HashSet<[u8; 8]>,
}

impl Canaries {
    fn text(&mut self, text: &str) {
        let reversed: Vec<u8> = text.bytes().rev().collect();
        for bytes in [text.as_bytes(), &reversed] {
            self.signs.extend(bytes.windows(8).map(|window| <[u8; 8]>::try_from(window).unwrap()));
        }
    }

    /// Twelve digits and two decimals.
    fn number(&mut self, integer: u64, cents: u64) {
        self.text(&integer.to_string());
        let group = |nth: u32| u16::try_from(integer / 10_000_u64.pow(nth) % 10_000).unwrap().to_be_bytes();
        let fraction = u16::try_from(cents * 100).unwrap().to_be_bytes();
        self.signs.insert([group(2), group(1), group(0), fraction].concat().try_into().unwrap());
        self.signs.insert(integer.to_be_bytes());
        for text in [format!("{integer}"), format!("{integer}.{cents}")] {
            self.signs.insert(text.parse::<f64>().unwrap().to_be_bytes());
        }
    }

    fn date(&mut self, text: &str, days_since_2000: i32) {
        // A value of four bytes, with its length: alone it would be found by chance.
        self.signs.insert([4_i32.to_be_bytes(), days_since_2000.to_be_bytes()].concat().try_into().unwrap());
        self.signs.insert((i64::from(days_since_2000) * 86_400_000_000).to_be_bytes());
        self.signs.insert(text.as_bytes()[..8].try_into().unwrap());
    }

    fn sees(&self, bytes: &[u8]) -> Option<usize> {
        let hit = |window: &[u8]| {
            let window = <[u8; 8]>::try_from(window).unwrap();
            self.signs.contains(&window) || self.signs.contains(&window.map(|byte| byte.to_ascii_lowercase()))
        };
        bytes.windows(8).position(hit)
    }

    /// Where a protected value shows, with what stands around it.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<String> {
        let around = |at: usize, bytes: &[u8]| {
            let shown = &bytes[at.saturating_sub(24)..(at + 40).min(bytes.len())];
            shown.escape_ascii().to_string()
        };
        if let Some(at) = self.sees(bytes) {
            return Some(around(at, bytes));
        }
        let decoded = runs(bytes, 16, u8::is_ascii_hexdigit).flat_map(|run| [unhex(run), unhex(&run[1..])]);
        let in_hex = decoded.filter(|decoded| self.sees(decoded).is_some()).map(|_| "in hexadecimal".to_owned());
        let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
        let decoded = runs(bytes, 12, is_base64).flat_map(|run| (0..4).map(|skip| unbase64(&run[skip..])));
        let in_base64 = decoded.filter(|decoded| self.sees(decoded).is_some()).map(|_| "in base64".to_owned());
        in_hex.chain(in_base64).next().map(|what| format!("{what}: {}", around(0, bytes)))
    }
}

fn runs<'b>(bytes: &'b [u8], shortest: usize, such: impl Fn(&u8) -> bool + 'b) -> impl Iterator<Item = &'b [u8]> {
    bytes.split(move |byte| !such(byte)).filter(move |run| run.len() >= shortest)
}

fn unhex(run: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    run.chunks_exact(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

fn unbase64(run: &[u8]) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' | b'-' => 62,
        _ => 63,
    };
    let three = |four: &[u8]| four.iter().fold(0, |all, byte| all << 6 | value(*byte)).to_be_bytes();
    run.chunks_exact(4).flat_map(|four| three(four).into_iter().skip(1)).collect()
}

/// The rows, and what in them is protected.
fn rows(canaries: &mut Canaries) -> String {
    let mut dice = Dice::new(0x5ec2e7);
    let mut token = |canaries: &mut Canaries| {
        let letter = |dice: &mut Dice| char::from(b"ghjkmnpqrstvwxz"[dice.below(15)]);
        let token: String = (0..20)
            .map(|at| if at % 2 == 0 { letter(&mut dice) } else { char::from(b'0' + dice.below(10) as u8) })
            .collect();
        canaries.text(&token);
        token
    };
    let mut sql = String::new();
    let mut dice = Dice::new(0xca2a21);
    for id in 1..=8_u64 {
        let table = if id < 7 { "people" } else { "staff" };
        let [ssn, email, tax, secret, street, dossier, tag, photo, home, badge, reason] =
            [(); 11].map(|()| token(canaries));
        let (integer, cents) = (100_000_000_000 + dice.next() % 900_000_000_000, 11 + dice.next() % 80);
        canaries.number(integer, cents);
        let days = 1_200_000 + i32::try_from(dice.next() % 1_000_000).unwrap();
        let born = jiff::civil::date(2000, 1, 1).checked_add(days.days()).unwrap().to_string();
        canaries.date(&born, days);
        let badge = if table == "staff" { (", badge", format!(", '{badge}'")) } else { ("", String::new()) };
        let city = ["Aarhus", "Bergen", "Cork"][id as usize % 3];
        sql.push_str(&format!(
            "INSERT INTO {table} (id, name, city, score, ssn, email, tax, profile, dossier, tags, balance, born, photo, home{}) \
             VALUES ({id}, 'Person {id}', '{city}', {}, '{ssn}', '{email}', '{tax}', \
             '{{\"plan\": \"free\", \"secret\": \"{secret}\", \"address\": {{\"street\": \"{street}\", \"city\": \"{city}\"}}}}', \
             '{{\"case\": \"{dossier}\"}}', ARRAY['{tag}', NULL], {integer}.{cents}, '{born}', '{photo}', ROW('{home}', 'x', '2020-01-01'){});\n\
             INSERT INTO visits VALUES ({id}, {id}, '{reason}', {id}.50);\n",
            badge.0, id * 10, badge.1,
        ));
    }
    sql
}

/// The database, the gateway before it, and what must not be seen.
pub(crate) struct Vault {
    pub(crate) server: &'static Postgres,
    pub(crate) database: String,
    pub(crate) gateway: Gateway,
    pub(crate) canaries: Canaries,
}

impl Vault {
    /// Opens one, or says why the test is skipped. `plaintext` for clients without TLS.
    pub(crate) fn open(plaintext: bool) -> Option<Self> {
        Self::with(plaintext, &[("everything", EVERYTHING), ("secrets", MASKS)], "")
    }

    pub(crate) fn with(plaintext: bool, policies: &[(&str, &str)], extra: &str) -> Option<Self> {
        if direct() {
            println!("skipped: there is no gateway");
            return None;
        }
        let server = server()?;
        let mut canaries = Canaries::default();
        let rows = rows(&mut canaries);
        let database = server.create_database("vault", &format!("{SCHEMA}\n{rows}\n{AFTERWARDS}")).unwrap();
        server.run_sql("postgres", &format!("ALTER DATABASE {database} SET statement_timeout = '10s'")).unwrap();
        let settings = Settings::new(BINARY).postgres("vault", server, &database).extra(extra);
        let settings = policies.iter().fold(settings, |settings, (name, yaml)| settings.policy(name, yaml));
        let settings = if plaintext { settings.plaintext() } else { settings };
        Some(Self { server, database, gateway: settings.start().unwrap(), canaries })
    }

    /// A libpq string for one who is masked (`agents`) or exempt (`officers`).
    pub(crate) fn dsn(&self, group: &str) -> String {
        let token = self.gateway.token(group, &[group]).unwrap();
        self.gateway.dsn("vault", group, &token).unwrap()
    }

    /// The same over a raw connection.
    pub(crate) async fn login(&self, group: &str) -> RawClient {
        let token = self.gateway.token(group, &[group]).unwrap();
        RawClient::login(&self.gateway.address("postgres").unwrap(), group, "vault", &token).await.unwrap()
    }

    pub(crate) async fn login_directly(&self) -> RawClient {
        RawClient::login(&self.server.address(), "postgres", &self.database, self.server.password()).await.unwrap()
    }

    /// What the server itself says.
    pub(crate) fn ask_server(&self, sql: &str) -> String {
        self.server.run_sql(&self.database, sql).unwrap().trim_end().to_owned()
    }

    /// Panics where a protected value shows.
    pub(crate) fn assert_clean(&self, what: &str, bytes: impl AsRef<[u8]>) {
        if let Some(found) = self.canaries.find(bytes.as_ref()) {
            panic!("{what} shows {found}");
        }
    }

    pub(crate) fn close(self, listed: &[&str]) {
        self.gateway.stop(listed).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let Some(vault) = Vault::open(false) else { return };
    for sql in [
        "ssn",
        "upper(email)",
        "reverse(tax)",
        "substr(ssn, 4, 8)",
        "encode(photo, 'hex')",
        "photo",
        "encode('a' || photo, 'base64')",
        "balance",
        "balance::bigint",
        "born",
        "born::timestamp",
        "home",
        "tags",
        "profile",
        "dossier",
        "md5(name) || search",
        "to_jsonb(p)",
    ] {
        let said = vault.ask_server(&format!("SELECT {sql} FROM people p"));
        assert!(vault.canaries.find(said.as_bytes()).is_some(), "{sql}: {said}");
    }
    for sql in
        ["SELECT reason FROM visits", "SELECT badge FROM staff", "SELECT * FROM directory", "SELECT s FROM roster"]
    {
        assert!(vault.canaries.find(vault.ask_server(sql).as_bytes()).is_some(), "{sql}");
    }
    for sql in ["int8send(balance::bigint)", "float8send(balance)", "numeric_send(balance)", "record_send(ROW(born))"] {
        let said = vault.ask_server(&format!("SELECT {sql} FROM people WHERE balance % 1 < 0.5"));
        assert!(vault.canaries.find(said.as_bytes()).is_some(), "{sql}: {said}");
    }
    let clean = vault.ask_server(
        "SELECT id, name, city, score, md5(name) FROM people; SELECT * FROM orders; SELECT fee FROM visits",
    );
    vault.assert_clean("what is not protected", clean);
    vault.close(&[]);
}
