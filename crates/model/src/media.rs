//! Which media types the gateway reads, and as what.
//!
//! Promises: one list for the reader of answers and for the configuration, so that no connection can name as `opaque` what
//! masks would bind. Does not promise that a body is what its type says. Held by: the tests below, and
//! `fixtures/config/bad/http-connections.yaml`.

/// What a body of a media type is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// One JSON document (RFC 8259, RFC 6839 §3.1).
    Json,
    /// A document a line (NDJSON, JSON lines), or after each record separator (RFC 7464).
    JsonLines,
    /// Server-sent events.
    Events,
    /// `application/x-www-form-urlencoded`: text, and names with values.
    Form,
    /// Text that detectors can look through.
    Text,
}

impl MediaKind {
    /// What `type/subtype`, in lower case and without parameters, is read as; `None` for what only its type describes.
    #[must_use]
    pub fn of(essence: &str) -> Option<Self> {
        const KNOWN: [(&str, MediaKind); 16] = [
            ("application/json", MediaKind::Json),
            ("text/json", MediaKind::Json),
            ("application/x-ndjson", MediaKind::JsonLines),
            ("application/ndjson", MediaKind::JsonLines),
            ("application/jsonl", MediaKind::JsonLines),
            ("application/x-jsonl", MediaKind::JsonLines),
            ("application/jsonlines", MediaKind::JsonLines),
            ("application/x-jsonlines", MediaKind::JsonLines),
            ("application/json-seq", MediaKind::JsonLines),
            ("application/stream+json", MediaKind::JsonLines),
            ("text/event-stream", MediaKind::Events),
            ("application/x-www-form-urlencoded", MediaKind::Form),
            ("application/javascript", MediaKind::Text),
            ("application/xml", MediaKind::Text),
            ("application/yaml", MediaKind::Text),
            ("application/sql", MediaKind::Text),
        ];
        if let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == essence) {
            return Some(*kind);
        }
        if essence.ends_with("+json") {
            return Some(Self::Json);
        }
        (essence.starts_with("text/") || essence.ends_with("+xml")).then_some(Self::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_known_by_its_type() {
        for (essence, kind) in [
            ("application/json", Some(MediaKind::Json)),
            ("application/problem+json", Some(MediaKind::Json)),
            ("application/stream+json", Some(MediaKind::JsonLines)),
            ("application/x-ndjson", Some(MediaKind::JsonLines)),
            ("text/event-stream", Some(MediaKind::Events)),
            ("application/x-www-form-urlencoded", Some(MediaKind::Form)),
            ("text/csv", Some(MediaKind::Text)),
            ("image/svg+xml", Some(MediaKind::Text)),
            ("application/yaml", Some(MediaKind::Text)),
            ("image/png", None),
            ("application/octet-stream", None),
            ("application/pdf", None),
        ] {
            assert_eq!(MediaKind::of(essence), kind, "{essence}");
        }
    }
}
