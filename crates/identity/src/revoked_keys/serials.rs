//! Serial numbers of certificates, as a list of revoked keys gives them.
//!
//! Promises: whatever ranges and bitmaps are put in, and however often, they take no more than some multiple of the bytes
//! that they were given as: a range is kept as its two ends, a bitmap as those of its words in which a bit is set; nothing
//! is counted out. Looking one up is two searches by halves. 0 is never in: it is the serial number of certificates whose
//! authority gives none. Held by: the tests below.

/// A set of serial numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Serials {
    /// First and last; in order and apart from each other once [`Self::settle`] was called.
    ranges: Vec<(u64, u64)>,
    /// 64 numbers each: the number of the word and its bits, likewise.
    words: Vec<(u64, u64)>,
}

impl Serials {
    /// All from `first` to `last`, both included; false, and nothing is put in, where that is no range or holds 0.
    pub(super) fn put_range(&mut self, first: u64, last: u64) -> bool {
        let good = first != 0 && first <= last;
        if good {
            self.ranges.push((first, last));
        }
        good
    }

    /// Those that the bits of this number say, counted from `offset`; false, and nothing is put in, where they go beyond
    /// the largest or hold 0.
    pub(super) fn put_bitmap(&mut self, offset: u64, number: &[u8]) -> bool {
        let bytes = || number.iter().rev().zip(0_u64..).filter(|(byte, _)| **byte != 0);
        let ends = |of: Option<(&u8, u64)>, bit: fn(u8) -> u32| {
            of.and_then(|(byte, at)| at.checked_mul(8)?.checked_add(u64::from(bit(*byte)))?.checked_add(offset))
        };
        if bytes().next().is_none() {
            return true;
        }
        let first = ends(bytes().next(), u8::trailing_zeros);
        let last = ends(bytes().last(), |byte| 7 - byte.leading_zeros());
        if last.is_none() || first.is_none_or(|first| first == 0) {
            return false;
        }
        for (byte, at) in bytes() {
            // The largest was seen to fit, so none of these wraps: where the upper half has a bit, its word exists.
            let from = offset.wrapping_add(at.wrapping_mul(8));
            let bits = u128::from(*byte) << (from % 64);
            let (lower, upper) = (bits as u64, (bits >> 64) as u64);
            for (word, bits) in [(from / 64, lower), (from / 64 + 1, upper)] {
                match self.words.last_mut() {
                    _ if bits == 0 => {}
                    Some((last, old)) if *last == word => *old |= bits,
                    Some(_) | None => self.words.push((word, bits)),
                }
            }
        }
        true
    }

    /// Puts them in order; to be called before any is looked for.
    pub(super) fn settle(&mut self) {
        self.ranges.sort_unstable();
        // `one` is dropped where it is joined to the one before it.
        self.ranges.dedup_by(|one, before| {
            let joined = before.1.checked_add(1).is_none_or(|next| one.0 <= next);
            if joined {
                before.1 = before.1.max(one.1);
            }
            joined
        });
        self.words.sort_unstable();
        self.words.dedup_by(|one, before| {
            let joined = one.0 == before.0;
            if joined {
                before.1 |= one.1;
            }
            joined
        });
        self.ranges.shrink_to_fit();
        self.words.shrink_to_fit();
    }

    pub(super) fn contain(&self, serial: u64) -> bool {
        if serial == 0 {
            return false;
        }
        let behind = self.ranges.partition_point(|(first, _)| *first <= serial);
        let ranged = behind.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, last)| serial <= *last);
        let word = self.words.binary_search_by_key(&(serial / 64), |(word, _)| *word).ok();
        ranged || word.and_then(|at| self.words.get(at)).is_some_and(|(_, bits)| bits >> (serial % 64) & 1 == 1)
    }

    /// How many numbers are kept for them.
    pub(super) fn kept(&self) -> usize {
        self.ranges.len() + self.words.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(ranges: &[(u64, u64)], bitmaps: &[(u64, &[u8])]) -> Serials {
        let mut serials = Serials::default();
        assert!(ranges.iter().all(|(first, last)| serials.put_range(*first, *last)));
        assert!(bitmaps.iter().all(|(offset, number)| serials.put_bitmap(*offset, number)));
        serials.settle();
        serials
    }

    #[test]
    fn a_range_is_both_ends_and_what_is_between_and_is_never_counted_out() {
        let serials = of(&[(5, 9), (1, u64::MAX), (7, 7)], &[]);
        assert_eq!(serials.kept(), 1);
        assert!([1, 5, 10, u64::MAX].iter().all(|serial| serials.contain(*serial)) && !serials.contain(0));
        let serials = of(&[(10, 20), (30, 40), (21, 22), (15, 18)], &[]);
        assert_eq!(serials.kept(), 2);
        let inside = |serial: &u64| serials.contain(*serial);
        assert!([10, 20, 21, 22, 30, 40].iter().all(inside) && ![9, 23, 29, 41, u64::MAX].iter().any(inside));
    }

    #[test]
    fn a_bitmap_counts_from_its_offset_by_its_lowest_bit() {
        let serials = of(&[], &[(62, &[0b1000_0000, 0b0000_0101])]);
        let found: Vec<u64> = (0..200).filter(|serial| serials.contain(*serial)).collect();
        assert_eq!(found, [62, 64, 77]);
        let last = of(&[], &[(u64::MAX - 7, &[0, 0b1000_0001])]);
        assert!(last.contain(u64::MAX) && last.contain(u64::MAX - 7) && !last.contain(u64::MAX - 1));
        assert!(!last.contain(0));
    }

    #[test]
    fn what_is_no_range_holds_0_or_goes_beyond_the_largest_is_refused_whole() {
        let mut serials = Serials::default();
        for (first, last) in [(0, 0), (0, u64::MAX), (2, 1)] {
            assert!(!serials.put_range(first, last), "{first} {last}");
        }
        for (offset, number) in
            [(0, &[1][..]), (0, &[1, 1]), (u64::MAX, &[2]), (u64::MAX - 7, &[1, 0]), (1, &[1; 4096])]
        {
            let fits = offset == 1;
            assert_eq!(serials.put_bitmap(offset, number), fits, "{offset} {number:?}");
        }
        assert!(serials.put_bitmap(u64::MAX, &[]) && serials.put_bitmap(u64::MAX, &[0; 64]));
        serials.settle();
        assert!(!serials.contain(0) && !serials.contain(u64::MAX));
        assert_eq!(serials.kept(), 4096 / 8);
    }

    proptest! {
        /// Against what is counted out, with many that overlap.
        #[test]
        fn they_are_those_that_counting_finds(
            ranges in prop::collection::vec((1_u64..400, 0_u64..40), 0..12),
            bitmaps in prop::collection::vec((1_u64..400, prop::collection::vec(any::<u8>(), 0..20)), 0..6),
        ) {
            let mut serials = Serials::default();
            let mut counted = std::collections::BTreeSet::new();
            for (first, more) in ranges {
                prop_assert!(serials.put_range(first, first + more));
                counted.extend(first..=first + more);
            }
            for (offset, number) in bitmaps {
                prop_assert!(serials.put_bitmap(offset, &number));
                let bits = number.len() * 8;
                let set = |bit: &usize| number[number.len() - 1 - bit / 8] >> (bit % 8) & 1 == 1;
                counted.extend((0..bits).filter(set).map(|bit| offset + bit as u64));
            }
            serials.settle();
            for serial in 0..800 {
                prop_assert_eq!(serials.contain(serial), counted.contains(&serial), "{}", serial);
            }
        }
    }
}
