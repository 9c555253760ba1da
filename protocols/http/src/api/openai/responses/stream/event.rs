//! Events of a streamed answer, as they are named and as they are written.
//!
//! Promises: every event that leaves has its name, the same word as its type, and the number behind that of the one before.
//! What is held for the last event, which says everything once more, is bounded.
//! Held by: `tests.rs` of the API.

use crate::api::{Part, Unfit};
use crate::sse::Event;

/// Bytes of an answer that are held to be said again at its end.
const HELD: usize = 4 << 20;

const TOO_LONG: Unfit = Unfit("the streamed answer of the model is too long");

/// The events that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Created,
    InProgress,
    Completed,
    Incomplete,
    Failed,
    ItemAdded,
    ItemDone,
    PartAdded,
    PartDone,
    TextDelta,
    TextDone,
    SourceAdded,
    RefusalDelta,
    RefusalDone,
    ThoughtDelta,
    ThoughtDone,
    SummaryAdded,
    SummaryDone,
    SummaryDelta,
    SummaryTextDone,
    CallDelta,
    CallDone,
    SearchBegan,
    Searching,
    SearchDone,
    KeepAlive,
    Error,
}

impl Name {
    const ALL: [Self; 27] = [
        Self::Created,
        Self::InProgress,
        Self::Completed,
        Self::Incomplete,
        Self::Failed,
        Self::ItemAdded,
        Self::ItemDone,
        Self::PartAdded,
        Self::PartDone,
        Self::TextDelta,
        Self::TextDone,
        Self::SourceAdded,
        Self::RefusalDelta,
        Self::RefusalDone,
        Self::ThoughtDelta,
        Self::ThoughtDone,
        Self::SummaryAdded,
        Self::SummaryDone,
        Self::SummaryDelta,
        Self::SummaryTextDone,
        Self::CallDelta,
        Self::CallDone,
        Self::SearchBegan,
        Self::Searching,
        Self::SearchDone,
        Self::KeepAlive,
        Self::Error,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Created => "response.created",
            Self::InProgress => "response.in_progress",
            Self::Completed => "response.completed",
            Self::Incomplete => "response.incomplete",
            Self::Failed => "response.failed",
            Self::ItemAdded => "response.output_item.added",
            Self::ItemDone => "response.output_item.done",
            Self::PartAdded => "response.content_part.added",
            Self::PartDone => "response.content_part.done",
            Self::TextDelta => "response.output_text.delta",
            Self::TextDone => "response.output_text.done",
            Self::SourceAdded => "response.output_text.annotation.added",
            Self::RefusalDelta => "response.refusal.delta",
            Self::RefusalDone => "response.refusal.done",
            Self::ThoughtDelta => "response.reasoning_text.delta",
            Self::ThoughtDone => "response.reasoning_text.done",
            Self::SummaryAdded => "response.reasoning_summary_part.added",
            Self::SummaryDone => "response.reasoning_summary_part.done",
            Self::SummaryDelta => "response.reasoning_summary_text.delta",
            Self::SummaryTextDone => "response.reasoning_summary_text.done",
            Self::CallDelta => "response.function_call_arguments.delta",
            Self::CallDone => "response.function_call_arguments.done",
            Self::SearchBegan => "response.web_search_call.in_progress",
            Self::Searching => "response.web_search_call.searching",
            Self::SearchDone => "response.web_search_call.completed",
            Self::KeepAlive => "keepalive",
            Self::Error => "error",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }

    /// Whether it is about what is within an item.
    pub(super) const fn is_within(self) -> bool {
        match self {
            Self::Created
            | Self::InProgress
            | Self::Completed
            | Self::Incomplete
            | Self::Failed
            | Self::ItemAdded
            | Self::ItemDone
            | Self::KeepAlive
            | Self::Error => false,
            Self::PartAdded
            | Self::PartDone
            | Self::TextDelta
            | Self::TextDone
            | Self::SourceAdded
            | Self::RefusalDelta
            | Self::RefusalDone
            | Self::ThoughtDelta
            | Self::ThoughtDone
            | Self::SummaryAdded
            | Self::SummaryDone
            | Self::SummaryDelta
            | Self::SummaryTextDone
            | Self::CallDelta
            | Self::CallDone
            | Self::SearchBegan
            | Self::Searching
            | Self::SearchDone => true,
        }
    }
}

/// What leaves.
#[derive(Debug, Default)]
pub(super) struct Out {
    number: u64,
    held: usize,
    texts: u32,
}

impl Out {
    /// One event.
    pub(super) fn event(&mut self, name: Name, members: &str, parts: &mut Vec<Part>) {
        let (word, number) = (name.word(), self.number);
        let data = format!(r#"{{"type":"{word}","sequence_number":{number},{members}}}"#);
        self.number += 1;
        parts.push(Part::Data(Event::new(Some(word), data).written()));
    }

    /// The number of the next event.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// So many bytes more are held.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Unfit> {
        self.held = self.held.saturating_add(bytes);
        if self.held > HELD { Err(TOO_LONG) } else { Ok(()) }
    }

    /// The number of the next text, to the masks.
    pub(super) const fn text(&mut self) -> u32 {
        self.texts = self.texts.wrapping_add(1);
        self.texts
    }
}
