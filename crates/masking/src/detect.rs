//! Finds what looks like personal data or a key in any text.
//!
//! Each built-in detector is a scanner of its own over the bytes, with the checks of whoever issues the thing. They are not
//! patterns of one combined regular expression, though that was measured: its matches do not overlap, so one detector
//! would hide what another finds, and a stream could not be cut where no match can be. A first look at which bytes occur
//! spares short texts most scanners. Patterns of users are regular expressions, each searched by itself.
//!
//! Promises: time linear in the text for each rule; every hit of every rule is found, overlapping or not, and what hits
//! overlap is replaced whole by the strictest of their transforms; a text without hits costs no allocation. Does not
//! promise to find everything (DESIGN 1, promise 4), nor that a JSON number with a hit stays JSON.
//!
//! Held by: `tests.rs` beside this file over `fixtures/masking/detectors.tsv`, and the tests of `stream.rs`.

mod block;
mod bytes;
mod joints;
mod kinds;
mod numbers;
mod output;
mod stream;
mod terminal;
mod tokens;
mod validate;
mod values;

use crate::key::Key;
use crate::transform::{apply_within, constant};
use kinds::{COLON, DIGIT, DOT, LETTER, PLUS, SIGN, Shortest, UNDERLINE, kinds};
pub(crate) use kinds::{STOP, kind_of, kinds_of};
use memchr::memmem::Finder;
use output::Output;
use portcullis_model::{Detector, Transform};
use regex_automata::meta::Regex;
use regex_automata::{Input, util::syntax};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::ops::Range;
pub use stream::{HOLD_BACK, Redactor};
pub use terminal::{TerminalRedactor, fuzz_terminal};
pub(crate) use values::Value;

/// A user's pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern of mask rule {rule} cannot be used: {reason}")]
pub struct BadPattern {
    /// Which of the rules given.
    pub rule: usize,
    /// What is wrong.
    pub reason: String,
}

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The index of the rule that asked for it.
    pub rule: usize,
    /// Where it stands.
    pub span: Range<usize>,
}

/// What a scanner tells its finds to.
type Found<'f> = &'f mut dyn FnMut(Range<usize>);
/// A scanner: the text, whether more follows that is not given, and where to tell.
type Scan = fn(&[u8], bool, Found<'_>);
type Hits = SmallVec<[Hit; 4]>;

/// How much memory a compiled pattern may take.
const PATTERN_SIZE: usize = 1 << 20;
/// How long a pattern may be.
const PATTERN_LENGTH: usize = 4096;

struct Rule {
    looks: Looks,
    transform: Transform,
}

enum Looks {
    /// Runs the scanner on texts of at least this length in which these kinds of bytes all occur.
    Scan {
        scan: Scan,
        kinds: u8,
        length: usize,
        /// Whether a name makes a value what it looks for.
        named: bool,
    },
    Block,
    Pattern(Box<Regex>),
}

impl Rule {
    /// Whether it finds keys by the name that they stand under.
    fn is_named(&self) -> bool {
        matches!(self.looks, Looks::Scan { named: true, .. })
    }
}

fn looks(detector: &Detector) -> Result<Looks, String> {
    let scan = |scan: Scan, kinds, length| {
        Ok(Looks::Scan { scan, kinds, length, named: matches!(detector, Detector::AwsKey) })
    };
    match detector {
        Detector::PaymentCard => scan(numbers::cards, DIGIT, 13),
        Detector::Email => scan(tokens::email_addresses, SIGN | DOT, 6),
        Detector::UsSsn => scan(numbers::social_security_numbers, DIGIT, 11),
        Detector::Iban => scan(numbers::account_numbers, DIGIT | LETTER, 15),
        Detector::Phone => scan(numbers::phone_numbers, DIGIT | PLUS, 9),
        Detector::Ipv4 => scan(numbers::ipv4_addresses, DIGIT | DOT, 7),
        Detector::Ipv6 => scan(numbers::ipv6_addresses, DIGIT | COLON, 5),
        Detector::AwsKey => scan(tokens::aws_keys, LETTER, 20),
        Detector::GithubKey => scan(tokens::github_keys, UNDERLINE | LETTER, 33),
        Detector::Jwt => scan(tokens::web_tokens, DOT | LETTER, 20),
        Detector::HighEntropy => scan(tokens::random_tokens, DIGIT | LETTER, 24),
        Detector::PrivateKey => Ok(Looks::Block),
        Detector::Pattern(pattern) => Ok(Looks::Pattern(Box::new(compile(pattern)?))),
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_LENGTH {
        return Err(format!("it is longer than {PATTERN_LENGTH} bytes"));
    }
    let config = Regex::config().nfa_size_limit(Some(PATTERN_SIZE)).onepass_size_limit(Some(PATTERN_SIZE));
    let built = Regex::builder().configure(config).syntax(syntax::Config::new().nest_limit(100)).build(pattern);
    built.map_err(|error| match error.syntax_error() {
        Some(syntax) => syntax.to_string(),
        None => "it is too large".to_owned(),
    })
}

/// What to look for, and what to put in its place.
pub struct Detectors {
    rules: Vec<Rule>,
    /// Where any rule looks for private keys, what looks for their beginning.
    blocks: Option<Finder<'static>>,
    /// Whether any rule is a user's pattern.
    patterns: bool,
    /// Whether any rule finds keys by the name that they stand under.
    named: bool,
    shortest: Shortest,
}

impl Detectors {
    /// Compiles the rules.
    ///
    /// # Errors
    /// [`BadPattern`] where a user's pattern is no regular expression or too large a one.
    pub fn new(rules: &[(Detector, Transform)]) -> Result<Self, BadPattern> {
        let mut compiled = Vec::new();
        for (rule, (detector, transform)) in rules.iter().enumerate() {
            let looks = looks(detector).map_err(|reason| BadPattern { rule, reason })?;
            compiled.push(Rule { looks, transform: transform.clone() });
        }
        let blocks = compiled.iter().any(|rule| matches!(rule.looks, Looks::Block)).then(block::finder);
        let patterns = compiled.iter().any(|rule| matches!(rule.looks, Looks::Pattern(_)));
        let named = compiled.iter().any(Rule::is_named);
        let shortest = Shortest::new(&compiled);
        Ok(Self { rules: compiled, blocks, patterns, named, shortest })
    }

    /// Whether nothing is looked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many rules there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.rules.len()
    }

    /// Everything found, by start; hits of different rules may overlap.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Hit> {
        self.hits(text.as_bytes()).into_vec()
    }

    /// The text with every hit replaced; `None` where there is none. `hit` is told the rule of each.
    ///
    /// Where a transform says NULL the constant stands, for there is no NULL within a text. A private key is replaced by
    /// a constant whatever its transform.
    pub fn redact(&self, text: &str, key: &Key, hit: &mut dyn FnMut(usize)) -> Option<String> {
        let hits = self.hits(text.as_bytes());
        if hits.is_empty() { None } else { Some(self.redacted(text, &hits, key, hit)) }
    }

    fn redacted(&self, text: &str, hits: &[Hit], key: &Key, hit: &mut dyn FnMut(usize)) -> String {
        let mut out = Vec::with_capacity(text.len());
        self.rewrite(text.as_bytes(), hits, key, hit, &mut out);
        // Hits begin and end between characters, so this copies nothing and changes nothing.
        String::from_utf8(out).unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned())
    }

    fn hits(&self, text: &[u8]) -> Hits {
        self.hits_among(text, kinds(text))
    }

    /// Everything found in a text that has no other kinds of bytes.
    fn hits_among(&self, text: &[u8], kinds: u8) -> Hits {
        let mut hits = Hits::new();
        let mut from = 0;
        if let Some(finder) = &self.blocks {
            while let Some(begin) = block::opening(finder, bytes::part(text, from, text.len())) {
                let (start, body) = (from + begin.start, from + begin.end);
                self.scan_among(bytes::part(text, from, start), kinds, from, false, &mut hits);
                let end = block::closing(bytes::part(text, body, text.len())).map_or(text.len(), |end| body + end);
                hits.extend(self.block_rules().map(|rule| Hit { rule, span: start..end }));
                from = end;
            }
        }
        self.scan_among(bytes::part(text, from, text.len()), kinds, from, false, &mut hits);
        if hits.len() > 1 {
            hits.sort_by_key(|hit| hit.span.start);
        }
        hits
    }

    /// The rules that look for private keys.
    fn block_rules(&self) -> impl Iterator<Item = usize> {
        self.rules.iter().enumerate().filter(|(_, rule)| matches!(rule.looks, Looks::Block)).map(|(rule, _)| rule)
    }

    /// Looks through a text without private keys that stands at `offset` of another.
    fn scan(&self, text: &[u8], offset: usize, open: bool, hits: &mut Hits) {
        self.scan_among(text, kinds(text), offset, open, hits);
    }

    fn scan_among(&self, text: &[u8], kinds_here: u8, offset: usize, open: bool, hits: &mut Hits) {
        for (rule, sought) in self.rules.iter().enumerate() {
            let mut found = |span: Range<usize>| hits.push(Hit { rule, span: span.start + offset..span.end + offset });
            match &sought.looks {
                Looks::Scan { scan, kinds, length, .. } if text.len() >= *length && kinds_here & kinds == *kinds => {
                    scan(text, open, &mut found);
                }
                Looks::Pattern(regex) => {
                    let spans = regex.find_iter(Input::new(text)).map(|one| one.range());
                    spans.filter(|span| !span.is_empty()).for_each(&mut found);
                }
                Looks::Scan { .. } | Looks::Block => {}
            }
        }
    }

    /// Writes the text with what the hits overlap replaced.
    fn rewrite(&self, text: &[u8], hits: &[Hit], key: &Key, hit: &mut dyn FnMut(usize), out: &mut impl Output) {
        let mut copied = 0;
        let mut rest = hits;
        while let Some((first, more)) = rest.split_first() {
            let mut span = first.span.clone();
            let mut joined = 0;
            for next in more.iter().take_while(|next| {
                let joins = next.span.start < span.end;
                span.end = if joins { span.end.max(next.span.end) } else { span.end };
                joins
            }) {
                debug_assert!(next.span.start >= span.start);
                joined += 1;
            }
            let group = rest.get(..=joined).unwrap_or_default();
            group.iter().for_each(|one| hit(one.rule));
            out.copy(bytes::part(text, copied, span.start));
            let covered = bytes::part(text, span.start, span.end);
            out.replace(covered.len(), self.replacement(covered, group, key).as_bytes());
            copied = span.end;
            rest = more.get(joined..).unwrap_or_default();
        }
        out.copy(bytes::part(text, copied, text.len()));
    }

    fn replacement<'t>(&'t self, part: &[u8], group: &[Hit], key: &Key) -> Cow<'t, str> {
        let rules = group.iter().filter_map(|hit| self.rules.get(hit.rule));
        let block = rules.clone().any(|rule| matches!(rule.looks, Looks::Block));
        let transform = rules.map(|rule| &rule.transform).reduce(|one, other| one.stricter(other));
        let transform = transform.unwrap_or(&Transform::Redact);
        if block {
            Cow::Borrowed(constant(transform))
        } else {
            Cow::Owned(apply_within(transform, &String::from_utf8_lossy(part), key))
        }
    }
}

/// Fuzzing entry: any bytes, the first of which say how to cut the rest; must not panic, hits must lie in the text, and a
/// stream must come out alike however it is cut.
pub fn fuzz_detect(bytes: &[u8]) {
    let rules: Vec<_> =
        Detector::NAMED.iter().map(|(_, detector)| (detector.clone(), Transform::KeepLast(4))).collect();
    let Ok(detectors) = Detectors::new(&rules) else { return };
    let (cut, bytes) = bytes.split_first().map_or((1, bytes), |(cut, rest)| (usize::from(*cut) + 1, rest));
    let text = String::from_utf8_lossy(bytes);
    for hit in detectors.find(&text) {
        assert!(text.get(hit.span.clone()).is_some_and(|part| !part.is_empty()), "a hit cuts a character: {hit:?}");
    }
    let key = Key::new([2; 32]);
    let whole = detectors.redact(&text, &key, &mut |_| {});
    let detectors = std::sync::Arc::new(detectors);
    let mut stream = detectors.stream();
    let mut out = Vec::new();
    for piece in text.as_bytes().chunks(cut) {
        stream.push(piece, &key, &mut out);
    }
    stream.finish(&key, &mut out);
    if text.len() < HOLD_BACK {
        assert_eq!(
            out,
            whole.as_deref().unwrap_or(&text).as_bytes(),
            "a stream cut every {cut} bytes comes out otherwise"
        );
    }
}

#[cfg(test)]
mod tests;
