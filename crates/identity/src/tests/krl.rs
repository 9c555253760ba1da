//! Key revocation lists: byte by byte, and against `ssh-keygen`, which makes them and says what they mean.

use super::logins::key;
use super::*;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use ssh_key::certificate::{Builder, Certificate};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, PrivateKey, PublicKey};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn section(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &string(body)].concat()
}

fn numbers(listed: &[u64]) -> Vec<u8> {
    listed.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The head, with a version, a date and a comment, and these sections.
fn krl(sections: &[Vec<u8>]) -> Vec<u8> {
    let head = [&b"SSHKRL\n\0"[..], &1_u32.to_be_bytes(), &numbers(&[7, 1_800_000_000, 0]), &string(b"reserved")];
    [&head.concat()[..], &string(b"what was stolen"), &sections.concat()].concat()
}

/// About certificates of this authority, or of any.
fn certificates(authority: Option<&PrivateKey>, parts: &[Vec<u8>]) -> Vec<u8> {
    let authority = authority.map_or_else(Vec::new, |key| key.public_key().to_bytes().unwrap());
    section(1, &[string(&authority), string(b"reserved"), parts.concat()].concat())
}

/// One that revokes certificates of this authority by serial number and by key id.
pub(super) fn of_certificates(authority: &PrivateKey, serials: RangeInclusive<u64>, id: &str) -> Vec<u8> {
    let range = section(0x21, &numbers(&[*serials.start(), *serials.end()]));
    krl(&[certificates(Some(authority), &[range, section(0x23, &string(id.as_bytes()))])])
}

/// A certificate of this authority for a key of its own.
fn certificate(authority: &PrivateKey, holder: &KeyData, serial: u64, id: &str) -> Certificate {
    let mut made = Builder::new_with_random_nonce(&mut rand::rng(), holder.clone(), 0, u64::MAX).unwrap();
    made.serial(serial).unwrap().key_id(id).unwrap().valid_principal("alice").unwrap();
    made.sign(authority).unwrap()
}

fn shown(certificate: &Certificate) -> SshProof {
    SshProof::of_certificate(certificate).unwrap()
}

/// Files of lists, in a folder of their own.
struct Lists(tempfile::TempDir);

impl Lists {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, bytes: &[u8]) -> Result<RevokedKeys, String> {
        fs::write(self.file("list"), bytes).unwrap();
        let mut revoked = RevokedKeys::default();
        let why = |error| match error {
            IdentityError::RevokedKeys { why, .. } => why,
            other => panic!("{other}"),
        };
        revoked.read(self.file("list")).map_err(why).map(|()| revoked)
    }

    fn judge(&self, bytes: &[u8], shown: &SshProof) -> Result<(), Why> {
        self.read(bytes).unwrap().snapshot().judge(shown)
    }
}

#[test]
fn a_certificate_is_revoked_by_what_a_list_says_of_its_authority_or_of_any() {
    let (lists, authority, other, holder) = (Lists::new(), key(), key(), key());
    let data = holder.public_key().key_data();
    let list = |serials: &[u64]| section(0x20, &numbers(serials));
    let range = |first, last| section(0x21, &numbers(&[first, last]));
    let bitmap = |offset, bits: &[u8]| section(0x22, &[numbers(&[offset]), string(bits)].concat());
    let ids = |ids: &[&str]| section(0x23, &ids.iter().flat_map(|id| string(id.as_bytes())).collect::<Vec<_>>());
    let ignored = section(0x39, &[string(b"later@example.com"), vec![0], string(b"x")].concat());
    let rows: [(&str, Vec<u8>, u64, &str, bool); 16] = [
        ("listed", list(&[9, 5, 5]), 5, "a", true),
        ("not listed", list(&[9, 5]), 6, "a", false),
        ("an empty list", list(&[]), 5, "a", false),
        ("at a range's beginning", range(5, 9), 5, "a", true),
        ("at a range's end", range(5, 9), 9, "a", true),
        ("behind a range", range(5, 9), 10, "a", false),
        ("in the range of all", range(1, u64::MAX), u64::MAX, "a", true),
        ("without a number, in the range of all", range(1, u64::MAX), 0, "a", false),
        ("in a bitmap", bitmap(60, &[0, 0b1000_0001, 0]), 68, "a", true),
        ("in a bitmap, in its next word", bitmap(60, &[0, 0b1000_0001, 0]), 75, "a", true),
        ("between the bits of a bitmap", bitmap(60, &[0, 0b1000_0001, 0]), 69, "a", false),
        ("in a bitmap that OpenSSH would not read", bitmap(1, &[1; 4096]), 8 * 4095 + 1, "a", true),
        ("by its key id", ids(&["b", "a"]), 0, "a", true),
        ("by a key id with its NUL", ids(&["a\0"]), 0, "a", true),
        ("by the beginning of its key id", ids(&["a"]), 0, "ab", false),
        ("besides an extension that may be ignored", [ignored.clone(), list(&[5])].concat(), 5, "a", true),
    ];
    for (name, part, serial, id, revoked) in rows {
        let expected = if revoked { Err(Why::CertificateListed) } else { Ok(()) };
        let certificate = shown(&certificate(&authority, data, serial, id));
        let of = |authority| krl(&[certificates(authority, std::slice::from_ref(&part))]);
        assert_eq!(lists.judge(&of(Some(&authority)), &certificate), expected, "{name}");
        assert_eq!(lists.judge(&of(None), &certificate), expected, "{name}, of any");
        assert_eq!(lists.judge(&of(Some(&other)), &certificate), Ok(()), "{name}, of another");
    }
    // Several sections of one authority add to each other.
    let twice = krl(&[5, 6].map(|serial| certificates(Some(&authority), &[list(&[serial])])));
    for (serial, expected) in [(5, Err(Why::CertificateListed)), (6, Err(Why::CertificateListed)), (7, Ok(()))] {
        assert_eq!(lists.judge(&twice, &shown(&certificate(&authority, data, serial, "a"))), expected);
    }
}

#[test]
fn a_key_is_revoked_whole_or_by_either_hash_also_as_an_authoritys() {
    let (lists, authority, holder) = (Lists::new(), key(), key());
    let alone = SshProof::of_key(holder.public_key().key_data()).unwrap();
    let certified = shown(&certificate(&authority, holder.public_key().key_data(), 0, ""));
    let sent = |key: &PrivateKey| key.public_key().to_bytes().unwrap();
    let sha1 =
        |key: &PrivateKey| ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &sent(key)).as_ref().to_vec();
    let sha256 = |key: &PrivateKey| key.fingerprint(ssh_key::HashAlg::Sha256).as_bytes().to_vec();
    for (kind, of) in [(2, &sent as &dyn Fn(&PrivateKey) -> Vec<u8>), (3, &sha1), (5, &sha256)] {
        let listed = |key| krl(&[section(kind, &[string(&of(&self::key())), string(&of(key))].concat())]);
        assert_eq!(lists.judge(&listed(&holder), &alone), Err(Why::KeyRevoked), "{kind}");
        assert_eq!(lists.judge(&listed(&holder), &certified), Err(Why::KeyRevoked), "{kind}");
        assert_eq!(lists.judge(&listed(&authority), &certified), Err(Why::AuthorityRevoked), "{kind}");
        assert_eq!(lists.judge(&listed(&authority), &alone), Ok(()), "{kind}");
    }
}

/// Whole lists, and why each is none.
#[test]
fn a_list_that_is_not_understood_to_its_end_is_none() {
    let (lists, authority) = (Lists::new(), key());
    let part = |kind, body: &[u8]| krl(&[certificates(Some(&authority), &[section(kind, body)])]);
    let extension = |critical| [string(b"later@example.com"), vec![critical], string(b"x")].concat();
    let format = [&b"SSHKRL\n\0"[..], &2_u32.to_be_bytes(), &[0; 32]].concat();
    let comment = [&b"SSHKRL\n\0"[..], &1_u32.to_be_bytes(), &[0; 28], &string(b"a\0b")].concat();
    let bitmap = |offset: u64, bits: &[u8]| [numbers(&[offset]), string(bits)].concat();
    let rows = [
        ("another format", format, "format 2"),
        ("a comment of two", comment, "a text with a NUL"),
        ("a section of no kind", krl(&[section(0, b"")]), "unknown kind 0"),
        ("a section of a later kind", krl(&[section(6, b"")]), "unknown kind 6"),
        ("a signature", krl(&[section(4, b"key"), string(b"signature")]), "has a signature"),
        ("a critical extension", krl(&[section(255, &extension(1))]), "critical"),
        ("one that is critical otherwise", krl(&[section(255, &extension(0x80))]), "critical"),
        ("more behind an extension", krl(&[section(255, &[extension(0), vec![0]].concat())]), "more behind"),
        ("a hash that is too short", krl(&[section(3, &string(&[0; 19]))]), "a hash"),
        ("a hash that is too long", krl(&[section(5, &string(&[0; 33]))]), "a hash"),
        ("a SHA-1 where SHA-256 belongs", krl(&[section(5, &string(&[0; 20]))]), "a hash"),
        ("an authority that is none", krl(&[section(1, &[string(b"ssh-ed25519"), string(b"")].concat())]), "authority"),
        ("no reserved field", krl(&[section(1, &string(b""))]), "cut short"),
        ("a part of no known kind", part(0x24, b""), "unknown kind 36"),
        ("a part of another level", part(1, b""), "unknown kind 1 about"),
        ("a critical extension of certificates", part(0x39, &extension(1)), "critical"),
        ("a serial number of 0", part(0x20, &numbers(&[5, 0])), "serial numbers that are none"),
        ("half a serial number", part(0x20, &numbers(&[5])[..7]), "cut short"),
        ("a range from 0", part(0x21, &numbers(&[0, 5])), "serial numbers that are none"),
        ("a range back", part(0x21, &numbers(&[5, 4])), "serial numbers that are none"),
        ("a range of three", part(0x21, &numbers(&[4, 5, 6])), "more behind"),
        ("a bitmap with 0", part(0x22, &bitmap(0, &[1])), "serial numbers that are none"),
        ("a bitmap beyond the largest", part(0x22, &bitmap(u64::MAX, &[2])), "serial numbers that are none"),
        ("a bitmap below nothing", part(0x22, &bitmap(5, &[0x80])), "serial numbers that are none"),
        ("more behind a bitmap", part(0x22, &[bitmap(5, &[1]), vec![0]].concat()), "more behind"),
        ("a key id of two", part(0x23, &string(b"a\0b")), "a text with a NUL"),
        ("a key id that is cut", part(0x23, &string(b"ab")[..5]), "cut short"),
        ("a length of all", krl(&[vec![2, 255, 255, 255, 255]]), "cut short"),
        ("too many key ids", part(0x23, &vec![0; 4 * ((1 << 20) + 1)]), "more than 1048576"),
    ];
    for (name, bytes, expected) in rows {
        let told = lists.read(&bytes).err().unwrap_or_else(|| panic!("{name} was read"));
        assert!(told.contains(expected), "{name}: {told}");
    }
}

#[test]
fn a_list_that_is_cut_anywhere_but_between_sections_is_none() {
    let (lists, authority) = (Lists::new(), key());
    let range = section(0x21, &numbers(&[1, u64::MAX]));
    let sections = [
        certificates(Some(&authority), &[range, section(0x23, &string(b"a"))]),
        section(2, &string(&authority.public_key().to_bytes().unwrap())),
        section(3, &string(&[1; 20])),
        section(5, &[string(&[1; 32]), string(&[0; 32])].concat()),
        section(255, &[string(b"later@example.com"), vec![0], string(b"x")].concat()),
    ];
    let whole = krl(&sections);
    let between: Vec<usize> = (0..=sections.len()).map(|many| krl(&sections[..many]).len()).collect();
    for length in 1..=whole.len() {
        assert_eq!(lists.read(&whole[..length]).is_ok(), between.contains(&length), "{length}");
    }
}

#[test]
fn a_large_list_takes_memory_by_its_bytes_and_is_looked_up_at_once() {
    let (lists, authority, holder) = (Lists::new(), key(), key());
    // Two million numbers apart, and bitmaps that say as many again.
    let apart: Vec<u64> = (1..1_000_000).map(|number| number * 1000).collect();
    let bitmap = section(0x22, &[numbers(&[1 << 40]), string(&vec![0x55; 1 << 20])].concat());
    let bytes = krl(&[certificates(Some(&authority), &[section(0x20, &numbers(&apart)), bitmap])]);
    let revoked = lists.read(&bytes).unwrap().snapshot();
    for (serial, listed) in [(5000, true), (5001, false), (1 << 40, true), ((1 << 40) + 1, false), (u64::MAX, false)] {
        let one = shown(&certificate(&authority, holder.public_key().key_data(), serial, ""));
        assert_eq!(revoked.judge(&one).is_err(), listed, "{serial}");
    }
}

/// Keys and certificates of every kind, as files that `ssh-keygen` reads.
struct Zoo {
    lists: Lists,
    authorities: Vec<PrivateKey>,
    /// Each with its file.
    all: Vec<(PathBuf, SshProof)>,
    /// Lines of those that are no certificates.
    lines: Vec<String>,
}

const IDS: [&str; 6] = ["alice", "alice@laptop", "bob", "host key 7", "J\u{f6}rg", "alic"];

fn ecdsa(curve: EcdsaCurve) -> Algorithm {
    Algorithm::Ecdsa { curve }
}

/// Keys in security keys, which nothing here could make.
fn in_security_keys(of: &PrivateKey, p256: &PrivateKey) -> [KeyData; 2] {
    let ed25519 = of.public_key().to_bytes().unwrap();
    let ecdsa = p256.public_key().to_bytes().unwrap();
    let read = |kind: &str, rest: &[u8]| {
        let sent = [string(kind.as_bytes()), rest.to_vec(), string(b"ssh:example")].concat();
        PublicKey::from_bytes(&sent).unwrap().key_data().clone()
    };
    [
        read("sk-ssh-ed25519@openssh.com", &ed25519[4 + "ssh-ed25519".len()..]),
        read("sk-ecdsa-sha2-nistp256@openssh.com", &ecdsa[4 + "ecdsa-sha2-nistp256".len()..]),
    ]
}

impl Zoo {
    /// With authorities whose keys are of these kinds.
    fn new(random: &mut StdRng, authorities: [Algorithm; 3]) -> Self {
        let make = |algorithm: &Algorithm| PrivateKey::random(&mut rand::rng(), algorithm.clone()).unwrap();
        let [p256, p384, p521] = [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521];
        let kinds = [Algorithm::Ed25519, ecdsa(p256), ecdsa(p384), ecdsa(p521)];
        let authorities: Vec<PrivateKey> = authorities.iter().map(make).collect();
        let made: Vec<PrivateKey> = (0..8).map(|at| make(&kinds[at % kinds.len()])).collect();
        let mut keys: Vec<KeyData> = made.iter().map(|key| key.public_key().key_data().clone()).collect();
        keys.extend(in_security_keys(&made[0], &made[1]));
        keys.push(PublicKey::from_openssh(super::ssh::RSA).unwrap().key_data().clone());
        keys.extend(authorities.iter().map(|key| key.public_key().key_data().clone()));
        let mut zoo = Self { lists: Lists::new(), authorities, all: Vec::new(), lines: Vec::new() };
        for (at, key) in keys.iter().enumerate() {
            let line = PublicKey::new(key.clone(), "").to_openssh().unwrap();
            zoo.put(&format!("key{at}.pub"), &line, SshProof::of_key(key).unwrap());
            zoo.lines.push(line);
        }
        for (at, authority) in zoo.authorities.iter().enumerate() {
            fs::write(zoo.lists.file(&format!("ca{at}.pub")), authority.public_key().to_openssh().unwrap()).unwrap();
        }
        for at in 0..60 {
            let serial = match at % 10 {
                0 => 0,
                1 => u64::MAX - random.random_range(0..3),
                2 => random.random(),
                _ => random.random_range(1..400),
            };
            let by = random.random_range(0..zoo.authorities.len());
            let id = IDS.choose(random).unwrap();
            let made = certificate(&zoo.authorities[by], keys.choose(random).unwrap(), serial, id);
            zoo.put(&format!("{at}-cert.pub"), &made.to_openssh().unwrap(), shown(&made));
        }
        zoo
    }

    fn put(&mut self, name: &str, line: &str, shown: SshProof) {
        let file = self.lists.file(name);
        fs::write(&file, format!("{line}\n")).unwrap();
        self.all.push((file, shown));
    }

    /// Lines of a specification about certificates of one authority, or of any.
    fn serials_and_ids(random: &mut StdRng) -> String {
        let mut lines = Vec::new();
        for _ in 0..random.random_range(0..3) {
            let first = random.random_range(1..400);
            lines.push(match random.random_range(0..4) {
                0 => format!("serial: {first}-{}", first + random.random_range(1..60)),
                1 => format!("serial: {first}-{}", u64::MAX - random.random_range(0..2)),
                _ => format!("serial: {first}"),
            });
        }
        // Dense, so that it becomes a bitmap.
        let first = random.random_range(1..400);
        for _ in 0..*[0, 0, 30, 120].choose(random).unwrap() {
            lines.push(format!("serial: {}", first + random.random_range(0_u64..150)));
        }
        for _ in 0..random.random_range(0..2) {
            lines.push(format!("id: {}", IDS.choose(random).unwrap()));
        }
        lines.join("\n")
    }

    /// Lines about keys and certificates themselves.
    fn keys(&self, random: &mut StdRng) -> String {
        let mut lines = Vec::new();
        for _ in 0..random.random_range(0..4) {
            let line = self.lines.choose(random).unwrap();
            lines.push(match random.random_range(0..4) {
                0 => format!("key: {line}"),
                1 => format!("sha1: {line}"),
                2 => format!("sha256: {line}"),
                _ => {
                    let key = PublicKey::from_openssh(line).unwrap();
                    format!("hash: {}", key.fingerprint(ssh_key::HashAlg::Sha256))
                }
            });
        }
        lines.join("\n")
    }

    /// A list as `ssh-keygen` makes it: first for one authority, then more, for another and for any.
    fn made(&self, random: &mut StdRng) -> Option<Vec<u8>> {
        let (file, spec) = (self.lists.file("made"), self.lists.file("spec"));
        let _old = fs::remove_file(&file);
        for (step, authority) in ["ca0.pub", "ca1.pub", "none"].iter().enumerate() {
            fs::write(&spec, format!("{}\n{}\n", Self::serials_and_ids(random), self.keys(random))).unwrap();
            let mut command = Command::new("ssh-keygen");
            command.current_dir(self.lists.0.path()).args(["-q", "-k", "-f"]).arg(&file).args(["-s", authority]);
            command.args((step > 0).then_some("-u")).args(["-z", "9"]).arg(&spec);
            // A file of its own: a key whole, a certificate by its serial number or key id.
            command.args(random.random_bool(0.3).then(|| &self.all.choose(random).unwrap().0));
            let Ok(output) = command.output() else {
                println!("skipped: ssh-keygen does not run here");
                return None;
            };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Some(fs::read(file).unwrap())
    }

    /// Which of all are revoked, says `ssh-keygen`; `None` where it does not read the list.
    fn asked(&self, list: &Path) -> Option<Vec<bool>> {
        let files = self.all.iter().map(|(file, _)| file);
        let output = Command::new("ssh-keygen").args(["-Q", "-f"]).arg(list).args(files).output().unwrap();
        let (told, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        if told.is_empty() {
            assert!(!err.is_empty());
            return None;
        }
        assert_eq!(told.lines().count(), self.all.len(), "{told}{err}");
        let revoked = |line: &str| match line.rsplit_once(": ").unwrap().1 {
            "REVOKED" => true,
            "ok" => false,
            _ => panic!("{line}"),
        };
        Some(told.lines().map(revoked).collect())
    }

    /// Which are revoked here.
    fn judged(&self, bytes: &[u8]) -> Result<Vec<bool>, String> {
        let revoked = self.lists.read(bytes)?.snapshot();
        Ok(self.all.iter().map(|(_, shown)| revoked.judge(shown).is_err()).collect())
    }
}

fn rounds(usual: usize) -> usize {
    std::env::var("PORTCULLIS_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

#[test]
fn what_ssh_keygen_revokes_is_revoked_and_nothing_else() {
    let mut random = StdRng::seed_from_u64(20_261_121);
    let zoo = Zoo::new(&mut random, [Algorithm::Ed25519, ecdsa(EcdsaCurve::NistP256), Algorithm::Ed25519]);
    let (mut listed, mut bitmaps) = (0, 0);
    for round in 0..rounds(40) {
        let Some(bytes) = zoo.made(&mut random) else { return };
        let judged = zoo.judged(&bytes).unwrap();
        let asked = zoo.asked(&zoo.lists.file("made")).unwrap();
        for ((file, _), (judged, asked)) in zoo.all.iter().zip(judged.iter().zip(&asked)) {
            assert_eq!(judged, asked, "{} in round {round}", file.display());
        }
        listed += asked.iter().filter(|revoked| **revoked).count();
        bitmaps += usize::from(bytes.contains(&0x22));
    }
    assert!(listed > 0 && bitmaps > 0, "nothing was revoked: {listed}, {bitmaps}");
}

/// Lists with a few bytes changed, cut or doubled: read here only if `ssh-keygen` reads them, and then as it does.
#[test]
fn a_damaged_list_is_refused_where_ssh_keygen_refuses_it() {
    let mut random = StdRng::seed_from_u64(20_261_122);
    // Of one kind: OpenSSH alone sees where the point of an ECDSA authority is none; nobody has such a key.
    let zoo = Zoo::new(&mut random, [const { Algorithm::Ed25519 }; 3]);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..rounds(40) / 4 {
        let Some(good) = zoo.made(&mut random) else { return };
        for _ in 0..12 {
            let mut bytes = good.clone();
            let at = random.random_range(8..bytes.len());
            match random.random_range(0..4) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << random.random_range(0..8),
                2 => bytes.insert(at, random.random()),
                _ => bytes[at] = *[0, 1, 2, 3, 5, 0x20, 0x21, 0x22, 0x23, 255].choose(&mut random).unwrap(),
            }
            let file = zoo.lists.file("damaged");
            fs::write(&file, &bytes).unwrap();
            let (judged, asked) = (zoo.judged(&bytes), zoo.asked(&file));
            assert_eq!(judged.as_ref().ok(), asked.as_ref(), "round {round}: {judged:?} of {}", bytes.escape_ascii());
            if asked.is_some() { taken += 1 } else { refused += 1 }
        }
    }
    assert!(refused > 10 && taken > 10, "{refused} refused, {taken} taken");
}

proptest! {
    #[test]
    fn any_bytes_are_a_list_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_krl(&bytes);
    }

    /// Sections of known kinds with short bodies, which random bytes seldom are.
    #[test]
    fn any_sections_are_a_list_or_none(
        sections in prop::collection::vec((
            prop::sample::select(vec![1_u8, 2, 3, 5, 0x20, 0x21, 0x22, 0x23, 0x39, 255]),
            prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 1, 4, 8, 255]), 0..24),
        ), 0..6),
    ) {
        let bytes: Vec<u8> = sections.iter().flat_map(|(kind, body)| section(*kind, body)).collect();
        fuzz_krl(&bytes);
    }
}
