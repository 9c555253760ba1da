//! Random statements ([`masking_grammar`](crate::masking_grammar)) by someone who is masked: no byte of any answer holds
//! a protected value, in text or binary, whole or in pieces, in rows, COPY data, errors or notices. The same statements by
//! someone who is exempt are answered as PostgreSQL answers them directly, byte for byte.
//!
//! Seeded by `PROPTEST_RNG_SEED`; `PORTCULLIS_CASES` says how many. A failure prints statement and seed.

use crate::masking_grammar::Grammar;
use crate::masking_secrets::{Vault, seed};
use crate::surroundings::cases;
use bytes::Bytes;
use portcullis_testkit::wire::frontend::{bind, describe, execute, parse, query, sync};
use portcullis_testkit::wire::{Frame, RawClient, frame};
use std::fmt;

/// How a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Simple,
    Text,
    Binary,
}

/// Statements that belong together, in a transaction that is rolled back.
struct Shape {
    seed: u64,
    statements: Vec<String>,
    /// What is described before it is executed: a portal (`P`), a statement (`S`), nothing.
    described: Option<u8>,
    /// Rows at a time; 0 is all.
    rows: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}, described {:?}, {} rows at a time: {}",
            self.seed,
            self.described,
            self.rows,
            self.statements.join("; ")
        )
    }
}

impl Shape {
    fn new(seed: u64) -> Self {
        let mut grammar = Grammar::new(seed);
        let select = grammar.select();
        let column = grammar.dice().pick(&[
            "ssn",
            "*",
            "upper(email)",
            "people",
            "profile",
            "balance, born",
            "to_jsonb(people)",
            "name, home",
        ]);
        let table = grammar.dice().pick(&[
            "people",
            "staff",
            "visits",
            "roster",
            "people (ssn, id, born)",
            "visits_late (reason)",
        ]);
        let copied = grammar.dice().pick(&[
            "",
            " (FORMAT csv)",
            " (FORMAT csv, HEADER, QUOTE '''', FORCE_QUOTE *)",
            " (FORMAT binary)",
            " (FORMAT text, DELIMITER '|', NULL 'n')",
        ]);
        let statements = match grammar.dice().below(20) {
            0..=2 => vec![format!("COPY ({select}) TO STDOUT{copied}")],
            3 => vec![format!("COPY {table} TO STDOUT{copied}")],
            4 => vec![
                format!("DECLARE c CURSOR FOR {select}"),
                "FETCH 2 FROM c".to_owned(),
                "FETCH ALL FROM c".to_owned(),
            ],
            5 => vec![
                format!("DECLARE c BINARY SCROLL CURSOR FOR {select}"),
                "FETCH LAST FROM c".to_owned(),
                "FETCH BACKWARD ALL FROM c".to_owned(),
            ],
            6 => vec![format!("PREPARE p AS {select}"), "EXECUTE p".to_owned(), "DEALLOCATE p".to_owned()],
            7 => vec![format!("UPDATE people SET score = score + 1 WHERE id = 2 RETURNING {column}")],
            8 => vec![format!(
                "DELETE FROM people USING orders WHERE people.id = orders.person_id AND orders.id = 3 RETURNING {}",
                column.replace('*', "people.*")
            )],
            9 => vec![format!("EXPLAIN (COSTS off) {select}")],
            10 => vec![format!("SELECT shout(1), whisper(2), spent(3), (SELECT z.* FROM ({select}) AS z LIMIT 1)")],
            _ => vec![select],
        };
        let described = [Some(b'P'), Some(b'S'), None][grammar.dice().below(3)];
        let rows = [0, 0, 2][grammar.dice().below(3)];
        Self { seed, statements, described, rows }
    }

    /// The frames, and how many ReadyForQuery answer them.
    fn frames(&self, form: Form) -> (Vec<u8>, usize) {
        let mut frames = vec![query("BEGIN")];
        for sql in &self.statements {
            if form == Form::Simple {
                frames.push(query(sql));
                continue;
            }
            frames.push(parse("", sql));
            frames.extend((self.described == Some(b'S')).then(|| describe(b'S', "")));
            frames.push(if form == Form::Binary { bind_for_binary() } else { bind("", "", &[]) });
            frames.extend((self.described == Some(b'P')).then(|| describe(b'P', "")));
            frames.push(execute("", self.rows));
            frames.extend((self.rows > 0).then(|| execute("", 0)));
            frames.push(sync());
        }
        frames.push(query("ROLLBACK"));
        (frames.concat(), self.statements.len() + 2)
    }
}

/// Bind without parameters whose results come in binary.
fn bind_for_binary() -> Bytes {
    frame(b'B', &[0, 0, 0, 0, 0, 0, 0, 1, 0, 1])
}

/// Everything that came, or as much as came before the connection ended.
async fn answer(client: &mut RawClient, shape: &Shape, form: Form) -> (Vec<Frame>, bool) {
    let (bytes, mut ready) = shape.frames(form);
    let mut heard = Vec::new();
    if client.send(&bytes).await.is_err() {
        return (heard, false);
    }
    while ready > 0 {
        match client.read_or_end().await.unwrap_or_else(|error| panic!("{error}: {shape}")) {
            Some(frame) => {
                ready -= usize::from(frame.tag == b'Z');
                heard.push(frame);
            }
            None => return (heard, false),
        }
    }
    (heard, true)
}

/// What came, as it would come from another connection: without settings, and of errors what PostgreSQL says itself. What
/// comes after an error in a failed transaction is not compared: the gateway knows names that failed to be defined first.
/// Nor is where a text breaks the grammar, since the gateway reads with a newer one than the server may have.
fn comparable(heard: &[Frame]) -> Vec<Bytes> {
    let shown = |frame: &Frame| match frame.tag {
        b'E' | b'N' => {
            let fields: &[u8] = if frame.field(b'C').as_deref() == Some("42601") { b"SC" } else { b"SCMPHW" };
            let said: Vec<String> = fields.iter().map(|field| frame.field(*field).unwrap_or_default()).collect();
            Bytes::from(said.join("\n"))
        }
        _ => frame.to_bytes(),
    };
    let end = heard.iter().position(|frame| frame.tag == b'E').map_or(heard.len(), |at| at + 1);
    heard[..end].iter().filter(|frame| frame.tag != b'S').map(shown).collect()
}

fn state(heard: &[Frame]) -> Option<String> {
    heard.iter().find(|frame| frame.tag == b'E').and_then(|frame| frame.field(b'C'))
}

/// What became of the shapes.
#[derive(Debug, Default)]
struct Counts {
    shapes: usize,
    /// Answered with rows in some form, to the one who is masked.
    answered: usize,
    /// Refused by a mask.
    refused: usize,
    /// Failed in PostgreSQL.
    failed: usize,
    /// Whose session was ended rather than tell.
    ended: usize,
    /// Compared with PostgreSQL's own answer.
    compared: usize,
    /// Whose own rows hold something protected.
    telling: usize,
    canaries: usize,
}

struct Trial {
    vault: Vault,
    masked: RawClient,
    exempt: RawClient,
    direct: RawClient,
    counts: Counts,
}

impl Trial {
    async fn open() -> Option<Self> {
        let vault = Vault::open(true)?;
        let (masked, exempt) = (vault.login("agents").await, vault.login("officers").await);
        let direct = vault.login_directly().await;
        Some(Self { vault, masked, exempt, direct, counts: Counts::default() })
    }

    async fn run(&mut self, shape: &Shape) -> Result<(), String> {
        self.counts.shapes += 1;
        let mut outcome = None;
        for form in [Form::Simple, Form::Text, Form::Binary] {
            let (heard, whole) = answer(&mut self.masked, shape, form).await;
            if !whole {
                self.counts.ended += 1;
                self.masked = self.vault.login("agents").await;
            }
            let bytes: Vec<u8> = heard.iter().flat_map(|frame| frame.to_bytes()).collect();
            if let Some(found) = self.vault.canaries.find(&bytes) {
                self.counts.canaries += 1;
                return Err(format!("{form:?} tells {found}\n{shape}"));
            }
            if heard.iter().any(|frame| matches!(frame.tag, b'D' | b'd')) {
                outcome = Some(None);
            } else if let (Some(state), None) = (state(&heard), &outcome) {
                outcome = Some(Some(state));
            }
            self.compare(shape, form).await?;
        }
        match outcome {
            Some(None) => self.counts.answered += 1,
            Some(Some(state)) if state == "42501" => self.counts.refused += 1,
            Some(Some(_)) => self.counts.failed += 1,
            None => {}
        }
        Ok(())
    }

    /// The one who is exempt reads what PostgreSQL says.
    async fn compare(&mut self, shape: &Shape, form: Form) -> Result<(), String> {
        let (direct, _) = answer(&mut self.direct, shape, form).await;
        let (through, _) = answer(&mut self.exempt, shape, form).await;
        if form == Form::Simple
            && self.vault.canaries.find(&direct.iter().flat_map(|frame| frame.to_bytes()).collect::<Vec<_>>()).is_some()
        {
            self.counts.telling += 1;
        }
        // What ran too long did not end at the same place.
        if [&direct, &through].iter().any(|heard| state(heard).as_deref() == Some("57014")) {
            return Ok(());
        }
        self.counts.compared += 1;
        let (through, direct) = (comparable(&through), comparable(&direct));
        if through == direct {
            return Ok(());
        }
        let at = through
            .iter()
            .zip(&direct)
            .position(|(one, other)| one != other)
            .unwrap_or(through.len().min(direct.len()));
        Err(format!("{form:?}: exempt reads {:?}, directly it is {:?}\n{shape}", through.get(at), direct.get(at)))
    }
}

async fn shapes(first: u64, many: usize) -> Option<(Counts, Vec<String>)> {
    let mut trial = Trial::open().await?;
    let mut wrong = Vec::new();
    for number in 0..many as u64 {
        if let Err(what) = trial.run(&Shape::new(first.wrapping_add(number))).await {
            println!("{what}\n");
            wrong.push(what);
            if wrong.len() >= 20 {
                break;
            }
        }
    }
    trial.vault.close(&["COPY", "masked"]);
    Some((trial.counts, wrong))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_shape_tells_a_protected_value() {
    let Some((counts, wrong)) = shapes(seed(), cases(150)).await else { return };
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{} of {} shapes: {}", wrong.len(), counts.shapes, wrong.join("\n\n"));
    assert!(counts.answered * 3 >= counts.shapes, "masks that refuse everything keep everything: {counts:?}");
    assert!(counts.telling * 5 >= counts.shapes, "the statements ask for too little: {counts:?}");
}
