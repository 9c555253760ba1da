//! One suite for every protocol: what a gateway promises (DESIGN 1) does not depend on what it speaks.
//!
//! A protocol implements [`Subject`]: how to say each kind of thing in its own words, and how to tell what came back.
//! [`conform!`](crate::conform) turns that into one test for each promise below. Each case opens surroundings of its own: a gateway
//! whose policy allows [`Say::Allowed`] and denies [`Say::Denied`], before a backend that remembers what reached it.
//! Promises: a case fails when the promise it is named for is broken, whatever else holds. Does not promise the
//! protocol's own details (states, codes, framing): those are the protocol's tests.
//! Held by: `tests/it/conform.rs`, where subjects that break one promise each must fail.

use std::future::Future;

/// How a client proves itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// As it must.
    Good,
    /// With a credential nobody issued.
    Wrong,
    /// Not at all: it goes straight to its command.
    Absent,
}

/// What a client says, in the suite's words. A mark is text that must stand in the command as sent, in a place that the
/// backend would receive verbatim, and in the answer of an allowed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// A command that policy allows and that only reads.
    Allowed(String),
    /// A command that policy denies.
    Denied(String),
    /// A well-framed message whose type the protocol does not know, with this mark in its body.
    Unknown(String),
    /// A command beyond the size limit, with this mark at its start and at its end.
    Oversized(String),
}

/// What came back for one thing said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A result; its text as the client sees it.
    Answer(String),
    /// A native refusal or error, with everything the client sees of it; the session goes on.
    Refusal(String),
    /// The session ended, with or without a last word.
    End,
}

/// A protocol, as the suite sees it.
pub trait Subject: Sized {
    /// A client's connection.
    type Client;

    /// Puts up a gateway and a remembering backend; `None` if the machine lacks something, which was said.
    fn open() -> impl Future<Output = Option<Self>>;

    /// Connects. A refused proof is `None`; one that is [`Proof::Absent`] gives a connection that skipped the login.
    fn connect(&self, proof: Proof) -> impl Future<Output = Option<Self::Client>>;

    /// Says all of it without waiting in between, and collects one [`Heard`] for each, up to an [`Heard::End`].
    fn say(&self, client: &mut Self::Client, all: &[Say]) -> impl Future<Output = Vec<Heard>>;

    /// Whether this text reached the backend.
    fn reached_backend(&self, text: &str) -> bool;

    /// The record so far, as text: commands, decisions, outcomes.
    fn record(&self) -> String;

    /// The gateway's log so far.
    fn log(&self) -> String;

    /// What may stand in no log, record or answer: credentials, keys.
    fn secrets(&self) -> Vec<String>;

    /// Makes the record's store fail from now on.
    fn break_record(&self);

    /// Ends it, checking whatever is left to check.
    fn close(self) {}
}

/// What a case found.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Violation(pub String);

/// What a case returns.
pub type Outcome = Result<(), Violation>;

fn must(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Violation(what())) }
}

async fn enter<S: Subject>(subject: &S) -> Result<S::Client, Violation> {
    subject.connect(Proof::Good).await.ok_or_else(|| Violation("a good proof was refused".to_owned()))
}

async fn one<S: Subject>(subject: &S, client: &mut S::Client, say: Say) -> Heard {
    subject.say(client, &[say]).await.into_iter().next().unwrap_or(Heard::End)
}

fn answers(heard: &Heard, mark: &str) -> bool {
    matches!(heard, Heard::Answer(text) if text.contains(mark))
}

async fn is_usable<S: Subject>(subject: &S, client: &mut S::Client, mark: &str) -> Outcome {
    let heard = one(subject, client, Say::Allowed(mark.to_owned())).await;
    must(answers(&heard, mark), || format!("the session is not usable: {heard:?}"))
}

/// Promise 1: no byte of a command passes before its sender has proved who it is.
///
/// # Errors
/// [`Violation`] when the promise is broken; so for every case here.
pub async fn nothing_passes_before_entry<S: Subject>(subject: &S) -> Outcome {
    for (proof, mark) in [(Proof::Absent, "conform_absent"), (Proof::Wrong, "conform_wrong")] {
        if let Some(mut client) = subject.connect(proof).await {
            let heard = subject.say(&mut client, &[Say::Allowed(mark.to_owned())]).await;
            must(!heard.iter().any(|heard| answers(heard, mark)), || format!("{proof:?} was answered: {heard:?}"))?;
        }
        must(!subject.reached_backend(mark), || format!("{proof:?}: the command reached the backend"))?;
    }
    is_usable(subject, &mut enter(subject).await?, "conform_after").await
}

/// An allowed command is answered, and in the record with its outcome.
///
/// # Errors
/// [`Violation`].
pub async fn an_allowed_command_is_answered_and_recorded<S: Subject>(subject: &S) -> Outcome {
    let mut client = enter(subject).await?;
    is_usable(subject, &mut client, "conform_allowed").await?;
    must(subject.reached_backend("conform_allowed"), || "the answer came from nowhere".to_owned())?;
    must(subject.record().contains("conform_allowed"), || "the command is not in the record".to_owned())
}

/// Promises 1 and 6: no byte of a denied command reaches the backend, the client is told why, and its session goes on.
///
/// # Errors
/// [`Violation`].
pub async fn a_denied_command_leaves_the_session_usable<S: Subject>(subject: &S) -> Outcome {
    let mut client = enter(subject).await?;
    for round in 0..3 {
        let mark = format!("conform_denied_{round}");
        let heard = one(subject, &mut client, Say::Denied(mark.clone())).await;
        let Heard::Refusal(said) = &heard else { return Err(Violation(format!("not a refusal: {heard:?}"))) };
        must(!said.trim().is_empty(), || "the refusal says nothing".to_owned())?;
        must(!subject.reached_backend(&mark), || "the denied command reached the backend".to_owned())?;
        must(subject.record().contains(&mark), || "the denied command is not in the record".to_owned())?;
        is_usable(subject, &mut client, &format!("conform_after_{round}")).await?;
    }
    Ok(())
}

/// Commands sent without waiting are answered in the order they were sent, and a refusal among them stays in its place.
///
/// # Errors
/// [`Violation`].
pub async fn pipelined_commands_keep_their_order<S: Subject>(subject: &S) -> Outcome {
    let mut client = enter(subject).await?;
    let say: Vec<Say> = (0..30)
        .map(|n| {
            if n % 5 == 2 {
                Say::Denied(format!("pipe_{n:02}_denied"))
            } else {
                Say::Allowed(format!("pipe_{n:02}_end"))
            }
        })
        .collect();
    let heard = subject.say(&mut client, &say).await;
    must(heard.len() == say.len(), || format!("{} of {} were answered", heard.len(), say.len()))?;
    for (said, heard) in say.iter().zip(&heard) {
        let right = match said {
            Say::Allowed(mark) => answers(heard, mark),
            Say::Denied(_) => matches!(heard, Heard::Refusal(_)),
            Say::Unknown(_) | Say::Oversized(_) => false,
        };
        must(right, || format!("{said:?} got {heard:?}"))?;
    }
    must(!subject.reached_backend("_denied"), || "a denied command reached the backend".to_owned())
}

/// Promise 2: a message the gateway does not know is refused, not passed on; other sessions do not notice.
///
/// # Errors
/// [`Violation`].
pub async fn an_unknown_message_is_not_passed_on<S: Subject>(subject: &S) -> Outcome {
    stays_out(subject, Say::Unknown("conform_unknown".to_owned()), "conform_unknown").await
}

/// Promises 2 and 8: a command beyond the size limit is refused unread; other sessions do not notice.
///
/// # Errors
/// [`Violation`].
pub async fn an_oversized_command_is_not_passed_on<S: Subject>(subject: &S) -> Outcome {
    stays_out(subject, Say::Oversized("conform_oversized".to_owned()), "conform_oversized").await
}

async fn stays_out<S: Subject>(subject: &S, say: Say, mark: &str) -> Outcome {
    let mut bystander = enter(subject).await?;
    let mut client = enter(subject).await?;
    let heard = one(subject, &mut client, say).await;
    must(!matches!(heard, Heard::Answer(_)), || format!("it was answered: {heard:?}"))?;
    must(!subject.reached_backend(mark), || "it reached the backend".to_owned())?;
    if matches!(heard, Heard::Refusal(_)) {
        is_usable(subject, &mut client, "conform_same").await?;
    }
    is_usable(subject, &mut bystander, "conform_bystander").await
}

/// Promises 2 and 5: with the record's store failing nothing is answered, neither in open sessions nor in new ones.
///
/// # Errors
/// [`Violation`].
pub async fn a_failing_record_stops_everything<S: Subject>(subject: &S) -> Outcome {
    let mut open = enter(subject).await?;
    is_usable(subject, &mut open, "conform_before").await?;
    subject.break_record();
    // The first command may be the one that finds out; what it read must not be released.
    for round in 0..3 {
        let mark = format!("conform_unrecorded_{round}");
        let heard = one(subject, &mut open, Say::Allowed(mark.clone())).await;
        must(!matches!(heard, Heard::Answer(_)), || format!("answered without a record: {heard:?}"))?;
    }
    let Some(mut late) = subject.connect(Proof::Good).await else { return Ok(()) };
    let heard = one(subject, &mut late, Say::Allowed("conform_late".to_owned())).await;
    must(!matches!(heard, Heard::Answer(_)), || format!("a new session was answered without a record: {heard:?}"))
}

/// Promise 7: no secret stands in the log, the record or an answer, whatever went wrong.
///
/// # Errors
/// [`Violation`].
pub async fn no_secret_is_seen<S: Subject>(subject: &S) -> Outcome {
    let mut seen = String::new();
    for proof in [Proof::Wrong, Proof::Good, Proof::Absent] {
        let Some(mut client) = subject.connect(proof).await else { continue };
        for say in [
            Say::Allowed("conform_a".to_owned()),
            Say::Denied("conform_d".to_owned()),
            Say::Unknown("conform_u".to_owned()),
        ] {
            seen.push_str(&format!("{:?}", subject.say(&mut client, &[say]).await));
        }
    }
    let places = [("the log", subject.log()), ("the record", subject.record()), ("an answer", seen)];
    for (number, secret) in subject.secrets().iter().enumerate() {
        for (place, text) in &places {
            must(!text.contains(secret.as_str()), || format!("secret {number} stands in {place}"))?;
        }
    }
    Ok(())
}

/// Runs one case over surroundings of its own.
///
/// # Errors
/// The case's [`Violation`].
pub async fn run<S: Subject>(case: impl AsyncFnOnce(&S) -> Outcome) -> Outcome {
    let Some(subject) = S::open().await else { return Ok(()) };
    case(&subject).await?;
    subject.close();
    Ok(())
}

/// The suite as tests of the module it stands in: `portcullis_testkit::conform!(MySubject);`
#[macro_export]
macro_rules! conform {
    ($subject:ty) => {
        $crate::conform!(@cases $subject =>
            nothing_passes_before_entry, an_allowed_command_is_answered_and_recorded,
            a_denied_command_leaves_the_session_usable, pipelined_commands_keep_their_order,
            an_unknown_message_is_not_passed_on, an_oversized_command_is_not_passed_on,
            a_failing_record_stops_everything, no_secret_is_seen,
        );
    };
    (@cases $subject:ty => $($case:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            $crate::conform::run::<$subject>($crate::conform::$case).await.unwrap();
        })*
    };
}
