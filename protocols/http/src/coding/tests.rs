use super::*;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use zstd_safe::{CCtx, CParameter};

const WIDE: Caps = Caps { decoded: 64 << 20, ratio: u64::MAX };

fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn bare(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Uncompressed meta-blocks (RFC 7932 §9.2), which need no encoder: a window of 16 bits, blocks of up to 64 KiB, the
/// empty last one.
fn br(text: &[u8]) -> Vec<u8> {
    let (mut bits, mut count, mut out) = (0_u64, 0, Vec::new());
    let mut put = |out: &mut Vec<u8>, value: u64, width: u32| {
        bits |= value << count;
        count += width;
        while count >= 8 {
            out.push(bits.to_le_bytes()[0]);
            bits >>= 8;
            count -= 8;
        }
        count
    };
    put(&mut out, 0, 1);
    for block in text.chunks(1 << 16) {
        // ISLAST 0, MNIBBLES 4, MLEN - 1, ISUNCOMPRESSED 1, then whole bytes.
        put(&mut out, 0, 1);
        put(&mut out, 0, 2);
        put(&mut out, block.len() as u64 - 1, 16);
        let over = put(&mut out, 1, 1);
        if over > 0 {
            put(&mut out, 0, 8 - over);
        }
        out.extend_from_slice(block);
    }
    let over = put(&mut out, 3, 2);
    put(&mut out, 0, 8 - over);
    out
}

fn zst(text: &[u8]) -> Vec<u8> {
    zst_with(text, CParameter::CompressionLevel(3))
}

fn zst_with(text: &[u8], parameter: CParameter) -> Vec<u8> {
    let mut context = CCtx::create();
    context.set_parameter(parameter).unwrap();
    let mut out = vec![0; zstd_safe::compress_bound(text.len())];
    let size = context.compress2(out.as_mut_slice(), text).unwrap();
    out.truncate(size);
    out
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ALL: [(Coding, Encode); 5] =
    [(Coding::Gzip, gz), (Coding::Deflate, zlib), (Coding::Deflate, bare), (Coding::Brotli, br), (Coding::Zstd, zst)];

fn decode(coding: Option<Coding>, caps: Caps, pieces: &[&[u8]]) -> Result<Vec<u8>, Undecodable> {
    let (mut decoder, mut out) = (Decoder::new(coding, caps), Vec::new());
    for piece in pieces {
        decoder.feed(piece, &mut out)?;
    }
    decoder.end()?;
    Ok(out)
}

fn cut<'a>(data: &'a [u8], at: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = at.iter().map(|at| at % (data.len() + 1)).collect();
    at.extend([0, data.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| &data[ends[0]..ends[1]]).collect()
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_bytes(
        text in proptest::collection::vec(prop_oneof![Just(b'a'), any::<u8>()], 0..5000),
        again in 1_usize..40,
        at in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let text = text.repeat(again);
        for (coding, encode) in ALL {
            let encoded = encode(&text);
            prop_assert!(decode(Some(coding), WIDE, &[&encoded]) == Ok(text.clone()), "{:?} whole", coding);
            prop_assert!(decode(Some(coding), WIDE, &cut(&encoded, &at)) == Ok(text.clone()), "{:?} cut", coding);
        }
        prop_assert!(decode(None, WIDE, &cut(&text, &at)) == Ok(text.clone()));
    }

    #[test]
    fn whatever_comes_is_read_alike_whole_and_cut(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz_coding(&data);
    }

    #[test]
    fn a_damaged_text_is_read_alike_whole_and_cut(at in any::<usize>(), by in 1_u8.., step in 1_u8..20) {
        for (_, encode) in ALL {
            let mut encoded = encode(b"a text that is long enough to be packed, packed, packed, packed");
            let place = at % encoded.len();
            encoded[place] ^= by;
            encoded.insert(0, step);
            fuzz_coding(&encoded);
        }
    }
}

#[test]
fn byte_by_byte_and_empty() {
    for (coding, encode) in ALL {
        for text in [b"".as_slice(), b"x", &b"abc".repeat(100_000)] {
            let encoded = encode(text);
            let bytes: Vec<&[u8]> = encoded.chunks(1).collect();
            assert!(decode(Some(coding), WIDE, &bytes) == Ok(text.to_vec()), "{coding:?} {}", text.len());
        }
        assert_eq!(decode(Some(coding), WIDE, &[]), Err(Undecodable::Truncated), "{coding:?}");
    }
}

#[test]
fn a_missing_end_is_an_error_wherever_it_is_cut_off() {
    for (coding, encode) in ALL {
        let encoded = encode(&b"one two three ".repeat(20));
        for end in 0..encoded.len() {
            assert!(decode(Some(coding), WIDE, &[&encoded[..end]]).is_err(), "{coding:?} at {end}");
        }
    }
}

#[test]
fn bytes_behind_the_end_are_an_error_together_and_apart() {
    for (coding, encode) in ALL {
        let encoded = encode(b"text");
        for more in [b"x".to_vec(), vec![0], encode(b"again")] {
            let together = [encoded.clone(), more.clone()].concat();
            assert_eq!(decode(Some(coding), WIDE, &[&together]), Err(Undecodable::Trailing), "{coding:?}");
            assert_eq!(decode(Some(coding), WIDE, &[&encoded, &more]), Err(Undecodable::Trailing), "{coding:?}");
        }
    }
}

#[test]
fn a_wrong_check_sum_is_an_error() {
    for (coding, encode, from_end) in
        [(Coding::Gzip, gz as Encode, 8), (Coding::Gzip, gz, 1), (Coding::Deflate, zlib, 1)]
    {
        let mut encoded = encode(b"text");
        let at = encoded.len() - from_end;
        encoded[at] ^= 1;
        assert_eq!(decode(Some(coding), WIDE, &[&encoded]), Err(Undecodable::Malformed), "{coding:?}");
    }
}

#[test]
fn a_bomb_stops_at_its_limit() {
    let zeros = vec![0; 8 << 20];
    for (coding, encode) in [(Coding::Gzip, gz as Encode), (Coding::Deflate, zlib), (Coding::Zstd, zst)] {
        let bomb = encode(&zeros);
        for caps in [Caps { decoded: 1 << 20, ratio: u64::MAX }, Caps { decoded: u64::MAX, ratio: 20 }] {
            let (mut decoder, mut out) = (Decoder::new(Some(coding), caps), Vec::new());
            assert_eq!(decoder.feed(&bomb, &mut out), Err(Undecodable::TooLarge), "{coding:?}");
            assert!(out.len() <= 2 << 20, "{coding:?}: {}", out.len());
            assert_eq!(decoder.feed(b"", &mut out), Err(Undecodable::TooLarge));
            assert_eq!(decoder.end(), Err(Undecodable::TooLarge));
        }
    }
}

#[test]
fn a_window_beyond_that_of_http_is_refused() {
    let encoded = zst_with(&vec![7; 40 << 20], CParameter::WindowLog(25));
    assert_eq!(decode(Some(Coding::Zstd), WIDE, &[&encoded]), Err(Undecodable::Malformed));
}

#[test]
fn a_request_is_gzip_or_nothing_and_no_bomb() {
    let most = 1 << 20;
    assert_eq!(request(None, "text".into(), most).unwrap(), "text");
    assert_eq!(request(None, "text".into(), 3), Err(Undecodable::TooLarge));
    assert_eq!(request(Some(Coding::Gzip), gz(b"text").into(), most).unwrap(), "text");
    assert_eq!(request(Some(Coding::Zstd), zst(b"text").into(), most), Err(Undecodable::Unknown));
    // Twenty times what was sent is the most, however little that is.
    assert_eq!(request(Some(Coding::Gzip), gz(&vec![b'a'; 100_000]).into(), most), Err(Undecodable::TooLarge));
}

#[test]
fn one_coding_is_named() {
    let named = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, http::HeaderValue::from_static(value));
        }
        Coding::of(&headers)
    };
    assert_eq!(named(&[]), Ok(None));
    assert_eq!(named(&["identity"]), Ok(None));
    assert_eq!(named(&["GZip"]), Ok(Some(Coding::Gzip)));
    assert_eq!(named(&["gzip, br"]), Err(Undecodable::Layered));
    assert_eq!(named(&["gzip", "gzip"]), Err(Undecodable::Layered));
    assert_eq!(named(&["compress"]), Err(Undecodable::Unknown));
    assert_eq!(named(&[""]), Err(Undecodable::Unknown));
}
