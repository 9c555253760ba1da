//! The core under arbitrary bytes of both sides.
//!
//! Held by: `core/tests/splitting.rs`, and the fuzz target of the same name.

use super::{Core, Snapshot, Steps};
use crate::classify::Reader;
use crate::frame::{FrameBuf, FrameLimits, Next, Phase};
use portcullis_gate::Session;
use portcullis_model::Catalogue;
use portcullis_sql::{Cache, Limits};
use std::sync::Arc;

/// Feeds arbitrary bytes to a core, as its client's and as its server's in turns, cut at places that the bytes choose:
/// nothing may panic, and nothing may be sent that is not whole frames. For the fuzzer and the property tests, which
/// bring a session of a gate over an in-memory record.
pub fn fuzz_core(session: Session, data: &[u8]) {
    let reader = Reader { cache: Arc::new(Cache::new(1 << 16)), limits: Limits::default() };
    let snapshot: Snapshot = Arc::new(|| Arc::new(Catalogue::unknown()));
    let mut core = Core::new(Arc::new(session), reader, snapshot, 1, None);
    let limits = FrameLimits { statement: 4096, bind: 4096, row: 4096 };
    let (mut client, mut server) = (FrameBuf::new(limits), FrameBuf::new(limits));
    let mut steps = Steps::default();
    core.start(&mut steps);
    for (turn, piece) in data.chunks(usize::from(data.first().copied().unwrap_or(0) % 37) + 1).enumerate() {
        if turn % 2 == 0 {
            client.push(piece)
        } else {
            server.push(piece)
        }
        while steps.end.is_none() && core.wants_client() {
            match client.next(core.phase(), b"") {
                Next::Frame(frame) => core.on_client(frame, &mut steps),
                Next::Oversize { tag, length, limit } => core.on_oversize(tag, length, limit, &mut steps),
                Next::Bad(error) => core.malformed(&error.to_string(), &mut steps),
                Next::NeedMore | Next::Chunk(_) => break,
            }
            if std::mem::take(&mut steps.refresh) {
                core.on_refreshed(&mut steps);
            }
        }
        while steps.end.is_none() {
            if let Some(rows) = server.run(b'D', 1 << 12) {
                core.on_rows(rows, &mut steps);
                continue;
            }
            match server.next(Phase::ServerReady, b"dD") {
                Next::Frame(frame) => core.on_backend(frame, &mut steps),
                Next::Chunk(chunk) => core.on_backend_chunk(chunk, &mut steps),
                Next::Bad(_) | Next::Oversize { .. } => core.breach("no message", &mut steps),
                Next::NeedMore => break,
            }
        }
        steps.hold = None;
        if core.is_holding() {
            core.on_withdrawn(&mut steps);
        }
        steps.up.clear();
        steps.down.clear();
    }
}
