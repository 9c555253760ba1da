//! The conformance suite against subjects of memory: an honest gateway passes every case, and each way of breaking a
//! promise fails the case that is named for it. A suite that nothing fails proves nothing.

use portcullis_testkit::conform::{self, Heard, Outcome, Proof, Say, Subject};
use std::cell::{Cell, RefCell};

/// How a subject breaks a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    AnswersStrangers,
    ForwardsDenied,
    EndsAfterDenial,
    ForgetsTheRecord,
    Reorders,
    ForwardsUnknown,
    AnswersOversized,
    IgnoresABrokenRecord,
    LogsSecrets,
}

thread_local! {
    static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

#[derive(Default)]
struct Pretend {
    backend: RefCell<String>,
    record: RefCell<String>,
    broken: Cell<bool>,
}

struct Client {
    proof: Proof,
    ended: bool,
}

impl Pretend {
    fn fault(&self, fault: Fault) -> bool {
        FAULT.get() == fault
    }

    fn reply(&self, client: &mut Client, say: &Say) -> Heard {
        if client.ended || (client.proof != Proof::Good && !self.fault(Fault::AnswersStrangers)) {
            return Heard::End;
        }
        if self.broken.get() && !self.fault(Fault::IgnoresABrokenRecord) {
            client.ended = true;
            return Heard::End;
        }
        let (Say::Allowed(mark) | Say::Denied(mark) | Say::Unknown(mark) | Say::Oversized(mark)) = say;
        if !self.fault(Fault::ForgetsTheRecord) {
            self.record.borrow_mut().push_str(mark);
        }
        let forward = match say {
            Say::Allowed(_) => true,
            Say::Denied(_) => self.fault(Fault::ForwardsDenied),
            Say::Unknown(_) => self.fault(Fault::ForwardsUnknown),
            Say::Oversized(_) => false,
        };
        if forward {
            self.backend.borrow_mut().push_str(mark);
        }
        match say {
            Say::Allowed(mark) => Heard::Answer(mark.clone()),
            Say::Denied(_) => {
                client.ended = self.fault(Fault::EndsAfterDenial);
                Heard::Refusal("no".to_owned())
            }
            Say::Unknown(_) => {
                client.ended = true;
                Heard::End
            }
            Say::Oversized(mark) if self.fault(Fault::AnswersOversized) => Heard::Answer(mark.clone()),
            Say::Oversized(_) => Heard::Refusal("too long".to_owned()),
        }
    }
}

impl Subject for Pretend {
    type Client = Client;

    async fn open() -> Option<Self> {
        Some(Self::default())
    }

    async fn connect(&self, proof: Proof) -> Option<Client> {
        (proof != Proof::Wrong || self.fault(Fault::AnswersStrangers)).then_some(Client { proof, ended: false })
    }

    async fn say(&self, client: &mut Client, all: &[Say]) -> Vec<Heard> {
        let mut heard: Vec<_> = all.iter().map(|say| self.reply(client, say)).collect();
        if self.fault(Fault::Reorders) {
            heard.reverse();
        }
        heard
    }

    fn reached_backend(&self, text: &str) -> bool {
        self.backend.borrow().contains(text)
    }

    fn record(&self) -> String {
        self.record.borrow().clone()
    }

    fn log(&self) -> String {
        if self.fault(Fault::LogsSecrets) { "login with hunter2".to_owned() } else { "login".to_owned() }
    }

    fn secrets(&self) -> Vec<String> {
        vec!["hunter2".to_owned()]
    }

    fn break_record(&self) {
        self.broken.set(true);
    }
}

mod honest {
    portcullis_testkit::conform!(super::Pretend);
}

async fn with(fault: Fault, case: impl AsyncFnOnce(&Pretend) -> Outcome) -> Outcome {
    FAULT.set(fault);
    let outcome = conform::run::<Pretend>(case).await;
    FAULT.set(Fault::None);
    outcome
}

#[tokio::test]
async fn every_fault_is_found_by_its_case() {
    use Fault as F;
    let found = [
        (F::AnswersStrangers, with(F::AnswersStrangers, conform::nothing_passes_before_entry).await),
        (F::ForwardsDenied, with(F::ForwardsDenied, conform::a_denied_command_leaves_the_session_usable).await),
        (F::EndsAfterDenial, with(F::EndsAfterDenial, conform::a_denied_command_leaves_the_session_usable).await),
        (F::ForgetsTheRecord, with(F::ForgetsTheRecord, conform::an_allowed_command_is_answered_and_recorded).await),
        (F::Reorders, with(F::Reorders, conform::pipelined_commands_keep_their_order).await),
        (F::ForwardsUnknown, with(F::ForwardsUnknown, conform::an_unknown_message_is_not_passed_on).await),
        (F::AnswersOversized, with(F::AnswersOversized, conform::an_oversized_command_is_not_passed_on).await),
        (F::IgnoresABrokenRecord, with(F::IgnoresABrokenRecord, conform::a_failing_record_stops_everything).await),
        (F::LogsSecrets, with(F::LogsSecrets, conform::no_secret_is_seen).await),
    ];
    for (fault, outcome) in found {
        assert!(outcome.is_err(), "{fault:?} passed");
    }
}
