//! What tells a number or token of a kind from one that merely looks like it.
//!
//! Promises: each check is the one that the issuer publishes (ISO/IEC 7812 and the networks' ranges, ISO 13616 with the
//! registry's lengths, the SSA's areas), so ordinary numbers seldom pass. Does not promise that a number was ever issued.
//!
//! Held by: the tests below and `fixtures/masking/detectors.tsv`.

/// Whether these digits (values, not characters) are a card number of a network known to us.
pub(super) fn is_card(digits: &[u8]) -> bool {
    let leading = |count: usize| digits.iter().take(count).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let (two, three, four) = (leading(2), leading(3), leading(4));
    let length = digits.len();
    let known = match (two, three, four) {
        (40..=49, _, _) => matches!(length, 13 | 16 | 19),
        (51..=55, _, _) | (_, _, 2221..=2720 | 9792) => length == 16,
        (34 | 37, _, _) => length == 15,
        (36 | 38 | 39, _, _) | (_, 300..=305, _) | (_, _, 3095) => matches!(length, 14 | 16..=19),
        (62, _, _) | (_, _, 3528..=3589 | 2200..=2204 | 6011) => (16..=19).contains(&length),
        (65, _, _) | (_, 644..=649, _) => (16..=19).contains(&length),
        (60 | 81 | 82, _, _) | (_, 508, _) => length == 16,
        (_, _, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763) => (13..=19).contains(&length),
        _ => false,
    };
    known && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit) * (1 + place as u32 % 2)) {
            (1, doubled @ 10..) => doubled - 9,
            (_, plain) => plain,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether these are the three parts of a US social security number that can be.
pub(super) fn is_ssn(area: &[u8], group: &[u8], serial: &[u8]) -> bool {
    area != b"000" && area != b"666" && area.first() != Some(&b'9') && group != b"00" && serial != b"0000"
}

/// Lengths by country, from the IBAN registry (SWIFT, release 99).
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// How long an account number of this country is.
pub(super) fn iban_length(country: [u8; 2]) -> Option<usize> {
    let country = country.map(|letter| letter.to_ascii_uppercase());
    IBAN_LENGTHS.iter().find(|(code, _)| **code == country).map(|(_, length)| *length)
}

/// Whether the check digits are right; the characters are letters and digits without spaces.
pub(super) fn iban_checks(characters: &[u8]) -> bool {
    let (head, tail) = characters.split_at_checked(4).unwrap_or_default();
    let rest = tail.iter().chain(head).try_fold(0_u32, |rest, character| {
        let value = char::from(*character).to_digit(36)?;
        Some((rest * if value < 10 { 10 } else { 100 } + value) % 97)
    });
    rest == Some(1)
}

/// Whether a token of letters, digits, `+ / _ -` looks drawn at random rather than written or derived.
///
/// Three conditions, chosen so that names, paths, slugs, digests and identifiers of known kinds stay readable. *Classes*:
/// lower case, upper case and digits all occur (base64, base62), or, in one unbroken run of 32 or more, digits and one
/// case with letters beyond hexadecimal (base32, base36). *Changes*: neighbours are of different classes about as often as
/// chance would have it: 0.62 of the time for base62, 0.4 for base36; words in camelCase or between dashes change class
/// once a word. *Entropy*: 24 random characters of base62 have 4.2 bits each on average, words fewer.
pub(super) fn is_random(token: &[u8]) -> bool {
    let token = token.get(..token.len().min(4096)).unwrap_or_default();
    if token.len() < 24 || token.iter().all(u8::is_ascii_hexdigit) || is_derived(token) {
        return false;
    }
    let class = |byte: &u8| match byte {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 4,
        _ => 0,
    };
    let classes = token.iter().fold(0, |all, byte| all | class(byte));
    let unbroken = token.iter().all(u8::is_ascii_alphanumeric);
    let changes = token
        .windows(2)
        .filter(|pair| matches!(pair, [a, b] if class(a) != 0 && class(b) != 0 && class(a) != class(b)))
        .count();
    let share = changes as f64 / token.len() as f64;
    match classes {
        7 => share >= 0.36 && entropy(token) >= 3.75,
        5 | 6 => unbroken && token.len() >= 32 && share >= 0.22 && entropy(token) >= 3.6,
        _ => false,
    }
}

/// Digests, public keys and identifiers that are meant to be seen.
fn is_derived(token: &[u8]) -> bool {
    let digest = [&b"sha1-"[..], b"sha256-", b"sha384-", b"sha512-", b"0x"]
        .iter()
        .find_map(|prefix| token.strip_prefix(*prefix));
    let public_key =
        [&b"AAAAB3NzaC1"[..], b"AAAAC3NzaC1", b"AAAAE2VjZHNh"].iter().any(|prefix| token.starts_with(prefix));
    let ulid = token.len() == 26
        && token.first().is_some_and(|byte| (b'0'..=b'7').contains(byte))
        && token.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() && !b"ILOU".contains(byte));
    public_key
        || ulid
        || is_uuid(token)
        || digest.is_some_and(|rest| token.starts_with(b"sha") || rest.iter().all(u8::is_ascii_hexdigit))
}

/// Whether it is written as a UUID is.
pub(super) fn is_uuid(token: &[u8]) -> bool {
    token.len() == 36
        && token.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Shannon entropy in bits for each byte.
fn entropy(token: &[u8]) -> f64 {
    let mut counts = [0_u32; 128];
    for byte in token {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = token.len() as f64;
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / length);
    shares.map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card(text: &str) -> bool {
        is_card(&text.bytes().map(|byte| byte - b'0').collect::<Vec<_>>())
    }

    #[test]
    fn cards_of_every_network_pass_and_a_wrong_digit_does_not() {
        for good in [
            "4111111111111111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "6200000000000005",
            "6759649826438453",
        ] {
            assert!(card(good), "{good}");
            let mut digits: Vec<u8> = good.bytes().map(|byte| byte - b'0').collect();
            let last = digits.last_mut().unwrap();
            *last = (*last + 1) % 10;
            assert!(!is_card(&digits), "{good} with another last digit");
        }
        assert!(!card("1111111111111117") && !card("0000000000000000") && !card("411111111111116"));
    }

    #[test]
    fn account_numbers_are_checked_by_country_and_remainder() {
        assert_eq!(iban_length(*b"GB"), Some(22));
        assert_eq!(iban_length(*b"de"), Some(22));
        assert_eq!(iban_length(*b"ZZ"), None);
        assert!(iban_checks(b"GB82WEST12345698765432") && iban_checks(b"gb82west12345698765432"));
        assert!(!iban_checks(b"GB82WEST12345698765433") && !iban_checks(b"") && !iban_checks(b"GB8-"));
    }

    proptest! {
        /// Nearly every token drawn at random is found: at the least length, 19 of 20.
        #[test]
        fn random_tokens_are_told(tokens in proptest::collection::vec("[A-Za-z0-9]{28,64}", 40)) {
            let found = tokens.iter().filter(|token| is_random(token.as_bytes())).count();
            prop_assert!(found >= 34, "{found} of 40");
        }

        #[test]
        fn words_between_dashes_are_not(words in proptest::collection::vec("[A-Z]?[a-z]{6,9}", 3..9), number in 0..3000) {
            for with in ["-", "_", "/", ""] {
                let token = format!("{}{with}{number}", words.join(with));
                prop_assert!(!is_random(token.as_bytes()), "{}", token);
            }
        }
    }
}
