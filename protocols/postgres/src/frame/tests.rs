use super::*;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

const LIMITS: FrameLimits = FrameLimits { statement: 64, bind: 128, row: 256 * 1024 };

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn buffer(bytes: &[u8]) -> FrameBuf {
    let mut buffer = FrameBuf::new(LIMITS);
    buffer.push(bytes);
    buffer
}

fn tags(next: &Next) -> u8 {
    match next {
        Next::Frame(frame) => frame.tag(),
        Next::Bad(_) | Next::Chunk(_) | Next::NeedMore | Next::Oversize { .. } => 0,
    }
}

#[test]
fn frames_come_out_as_they_went_in() {
    let mut buffer = buffer(&[frame(b'Q', b"SELECT 1\0"), frame(b'S', b""), vec![b'S', 0, 0]].concat());
    let Next::Frame(query) = buffer.next(Phase::ClientReady, b"") else { panic!() };
    assert_eq!((query.tag(), query.body(), query.bytes().len()), (b'Q', &b"SELECT 1\0"[..], 14));
    assert_eq!(tags(&buffer.next(Phase::ClientReady, b"")), b'S');
    assert_eq!(buffer.next(Phase::ClientReady, b""), Next::NeedMore);
    assert!(!buffer.is_between_frames());
    buffer.push(&[0, 4]);
    assert_eq!(tags(&buffer.next(Phase::ClientReady, b"")), b'S');
    assert!(buffer.is_between_frames());
}

#[test]
fn pg_p01_a_frame_is_bounded_by_its_own_length() {
    // The body holds what looks like another frame; it stays body.
    let inner = frame(b'Q', b"DROP TABLE t\0");
    let mut buffer = buffer(&frame(b'Q', &[b"SELECT 1\0".as_slice(), &inner].concat()));
    let Next::Frame(only) = buffer.next(Phase::ClientReady, b"") else { panic!() };
    assert!(only.body().ends_with(b"DROP TABLE t\0"));
    assert_eq!(buffer.next(Phase::ClientReady, b""), Next::NeedMore);
}

#[test]
fn pg_p02_impossible_lengths_end_the_stream_for_good() {
    for length in [0_i32, 3, -1, i32::MIN] {
        let mut buffer = buffer(&[&[b'Q'][..], &length.to_be_bytes(), &frame(b'S', b"")].concat());
        let bad = Next::Bad(FrameError::Length { tag: b'Q', length });
        assert_eq!(buffer.next(Phase::ClientReady, b""), bad);
        buffer.push(&frame(b'S', b""));
        assert_eq!(buffer.next(Phase::ClientReady, b""), bad, "nothing comes after a break");
    }
    let mut longest = buffer(&[&[b'd'][..], &i32::MAX.to_be_bytes()].concat());
    assert!(matches!(longest.next(Phase::ClientReady, b"d"), Next::Bad(FrameError::TooLong { limit: LONGEST, .. })));
}

#[test]
fn every_phase_knows_its_tags_and_no_other() {
    let allowed = |phase| -> String { (0..=255_u8).filter(|tag| phase_allows(phase, *tag)).map(char::from).collect() };
    fn phase_allows(phase: Phase, tag: u8) -> bool {
        !matches!(buffer(&[tag]).next(phase, b"dD"), Next::Bad(_))
    }
    assert_eq!(allowed(Phase::ClientLogin), "p");
    assert_eq!(allowed(Phase::ClientBearer), "p");
    assert_eq!(allowed(Phase::ClientReady), "BCDEFHPQSXcdf");
    assert_eq!(allowed(Phase::ClientCopyIn), "HSXcdf");
    assert_eq!(allowed(Phase::ServerLogin), "EKNRSZv");
    assert_eq!(allowed(Phase::ServerReady), "123ACDEGHIKNSTZcdnst");
}

#[test]
fn pg_p02_short_messages_stay_short() {
    let mut describe = buffer(&[&[b'D'][..], &10_001_u32.to_be_bytes()].concat());
    assert_eq!(
        describe.next(Phase::ClientReady, b"dD"),
        Next::Bad(FrameError::TooLong { tag: b'D', length: 10_001, limit: 10_000 })
    );
    let mut password = buffer(&[&[b'p'][..], &16_385_u32.to_be_bytes()].concat());
    assert!(matches!(password.next(Phase::ClientLogin, b""), Next::Bad(FrameError::TooLong { .. })));
}

#[test]
fn a_long_statement_is_dropped_and_the_next_one_is_read() {
    let mut buffer = FrameBuf::new(LIMITS);
    let long = frame(b'P', &[b'x'; 5000]);
    let (a, b) = long.split_at(100);
    buffer.push(a);
    assert_eq!(buffer.next(Phase::ClientReady, b""), Next::NeedMore);
    assert_eq!(buffer.buffered(), 0, "what is dropped is not kept");
    buffer.push(b);
    buffer.push(&frame(b'S', b""));
    assert_eq!(buffer.next(Phase::ClientReady, b""), Next::Oversize { tag: b'P', length: 5004, limit: 64 });
    assert_eq!(tags(&buffer.next(Phase::ClientReady, b"")), b'S');
}

#[test]
fn pg_p02_a_declared_length_takes_no_memory() {
    let mut buffer = FrameBuf::new(FrameLimits { row: LONGEST, ..LIMITS });
    buffer.push(&[&[b'D'][..], &(LONGEST as u32).to_be_bytes(), b"few"].concat());
    assert_eq!(buffer.next(Phase::ServerReady, b""), Next::NeedMore);
    assert!(buffer.buffer.capacity() < 1024);
}

#[test]
fn long_data_comes_in_chunks_that_join_to_the_frame() {
    let long = frame(b'd', &vec![7; STREAM_ABOVE * 3]);
    let mut buffer = FrameBuf::new(LIMITS);
    let mut joined = Vec::new();
    for piece in long.chunks(1000) {
        buffer.push(piece);
        while let Next::Chunk(chunk) = buffer.next(Phase::ClientReady, b"d") {
            assert_eq!(chunk.first, joined.is_empty());
            assert_eq!(chunk.body().len(), chunk.bytes.len() - if chunk.first { HEADER } else { 0 });
            joined.extend_from_slice(&chunk.bytes);
            assert_eq!(chunk.last, joined.len() == long.len());
        }
        assert!(buffer.buffered() < HEADER);
    }
    assert_eq!(joined, long);
    assert!(buffer.is_between_frames());
    // Not called streamable, it is a whole frame or too long.
    buffer.push(&long);
    assert_eq!(tags(&buffer.next(Phase::ClientReady, b"")), b'd');
    buffer.push(&frame(b'd', &vec![7; LIMITS.row]));
    assert!(matches!(buffer.next(Phase::ClientReady, b""), Next::Bad(FrameError::TooLong { .. })));
}

#[test]
fn a_run_takes_whole_neighbours_of_one_kind() {
    let rows = [frame(b'D', b"\0\0"), frame(b'D', b"\0\x01\xff\xff\xff\xff"), frame(b'D', b"")].concat();
    let mut buffer = buffer(&[rows.as_slice(), &frame(b'C', b"x\0"), &frame(b'D', b"")].concat());
    assert_eq!(buffer.run(b'C', 1000), None);
    let run = buffer.run(b'D', 1000).unwrap();
    assert_eq!((run.frames, run.bytes.as_ref()), (3, rows.as_slice()));
    assert_eq!(buffer.run(b'D', 1000), None);
    assert_eq!(tags(&buffer.next(Phase::ServerReady, b"")), b'C');
    let first = buffer.run(b'D', 1).unwrap();
    assert_eq!(first.frames, 1, "at least one, however small the portion");
    let mut cut = self::buffer(&rows[..rows.len() - 1]);
    assert_eq!(cut.run(b'D', 1000).unwrap().frames, 2);
    assert_eq!(cut.run(b'D', 1000), None);
}

#[test]
fn pg_p03_only_one_whole_frame_is_a_frame() {
    assert!(Frame::whole(frame(b'S', b"").into()).is_ok());
    for wrong in [&b""[..], b"S\0\0\0", b"S\0\0\0\x05", b"S\0\0\0\x04x", b"S\0\0\0\x03"] {
        assert!(Frame::whole(Bytes::copy_from_slice(wrong)).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn reading_takes_memory_only_while_there_is_something() {
    let (mut near, mut far) = tokio::io::duplex(1 << 20);
    let mut buffer = FrameBuf::new(FrameLimits::default());
    far.write_all(&frame(b'S', b"")).await.unwrap();
    assert_eq!(buffer.fill(&mut near).await.unwrap(), 5);
    assert!(matches!(buffer.next(Phase::ClientReady, b""), Next::Frame(_)));
    assert_eq!(buffer.next(Phase::ClientReady, b""), Next::NeedMore);
    assert_eq!(buffer.buffer.capacity(), 0);

    // Under load it reads in large portions, and lets go afterwards.
    let many = frame(b'S', b"").repeat(100_000);
    far.write_all(&many).await.unwrap();
    drop(far);
    let (mut frames, mut reads) = (0, 0);
    while buffer.fill(&mut near).await.unwrap() > 0 {
        reads += 1;
        while let Next::Frame(_) = buffer.next(Phase::ClientReady, b"") {
            frames += 1;
        }
    }
    assert_eq!(frames, 100_000);
    assert!(reads < 40, "{reads} reads");
    assert!(buffer.is_between_frames());
    buffer.idle();
    assert_eq!(buffer.buffer.capacity(), 0);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_splits_change_nothing(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz_frame(&data);
    }

    #[test]
    fn well_formed_streams_survive_every_split(
        frames in proptest::collection::vec((proptest::sample::select(&b"BCDEFHPQSXcdf"[..]), proptest::collection::vec(any::<u8>(), 0..300)), 0..20),
        seed in any::<u8>(),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|(tag, body)| frame(*tag, body)).collect();
        fuzz_frame(&[&[seed][..], &stream].concat());
        let limits = FrameLimits { statement: 1000, bind: 1000, row: 1000 };
        let read = drain(limits, Phase::ClientReady, stream.chunks(usize::from(seed) + 1));
        let expected: Vec<Next> = frames
            .iter()
            .map(|(tag, body)| Next::Frame(Frame::whole(frame(*tag, body).into()).unwrap()))
            .collect();
        prop_assert_eq!(read, expected);
    }
}
