//! The Merkle log of RFC 6962, section 2.1: hashes, the growing tree, proofs and their verification.
//!
//! [`Frontier`] is what a writer keeps: the complete subtrees along the right edge. Everything below is in the store as
//! nodes, so a proof costs a few reads whatever the size ([`Nodes`]). Verification is the algorithms of RFC 9162,
//! sections 2.1.3.2 and 2.1.4.2, which take hostile input: any size, index and proof gives an answer, never a panic.
//! Held by: the comparison with an independent implementation and the test vectors below.

use portcullis_model::Digest;

/// The hash of a leaf.
pub(crate) fn leaf_hash(data: &[u8]) -> Digest {
    Digest::of_parts(&[&[0], data])
}

/// The hash of a node over its two children.
pub(crate) fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The root of a log without leaves.
pub(crate) fn empty_root() -> Digest {
    Digest::of(b"")
}

/// The right edge of a growing tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frontier {
    size: u64,
    /// The complete subtrees, largest first: one for each bit of `size`.
    peaks: Vec<Digest>,
}

impl Frontier {
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf and reports every node that it completes, with its level (a leaf's is 0) and index.
    pub(crate) fn push<E>(
        &mut self,
        leaf: Digest,
        mut completed: impl FnMut(u8, u64, Digest) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut hash, mut level, mut index) = (leaf, 0_u8, self.size);
        while index & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            index >>= 1;
            completed(level, index, hash)?;
        }
        self.peaks.push(hash);
        self.size += 1;
        Ok(())
    }

    pub(crate) fn root(&self) -> Digest {
        let from_right = self.peaks.iter().rev().copied();
        from_right.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }

    /// The frontier of the first `size` leaves.
    pub(crate) fn load<N: Nodes>(nodes: &N, size: u64) -> Result<Self, N::Error> {
        let mut peaks = Vec::new();
        for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
            // What lies left of this peak is the larger peaks.
            let before = (size >> level) - 1;
            peaks.push(nodes.node(level, before)?);
        }
        Ok(Self { size, peaks })
    }
}

/// Where the hashes of complete subtrees are read: level 0 are the leaves' hashes.
pub(crate) trait Nodes {
    type Error;
    fn node(&self, level: u8, index: u64) -> Result<Digest, Self::Error>;
}

/// The greatest power of two below `n`, for `n` of at least 2.
const fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// MTH over the leaves from `low` to below `high`, which are not none.
fn range<N: Nodes>(nodes: &N, low: u64, high: u64) -> Result<Digest, N::Error> {
    let n = high - low;
    if n.is_power_of_two() && low.is_multiple_of(n) {
        let level = n.trailing_zeros();
        return nodes.node(u8::try_from(level).unwrap_or(u8::MAX), low >> level);
    }
    let k = split(n);
    Ok(node_hash(&range(nodes, low, low + k)?, &range(nodes, low + k, high)?))
}

/// The root of the first `size` leaves: what the frontier must come to.
#[cfg(test)]
fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Digest, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range(nodes, 0, size) }
}

/// PATH(index, size): that the leaf is in the log of this size. `index` is below `size`.
pub(crate) fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Digest>, N::Error> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            path.push(range(nodes, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// PROOF(old, size): that the log of `old` leaves is a prefix of the one of `size`. `old` is at most `size`.
pub(crate) fn consistency<N: Nodes>(nodes: &N, old: u64, size: u64) -> Result<Vec<Digest>, N::Error> {
    let mut path = Vec::new();
    if old == 0 || old == size {
        return Ok(path);
    }
    let (mut low, mut high) = (0, size);
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            path.push(range(nodes, low, middle)?);
            low = middle;
        }
    }
    if low > 0 {
        path.push(range(nodes, low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// RFC 9162, 2.1.3.2: whether the leaf with this hash is the `index`th of the log of this size and root.
pub(crate) fn is_included(leaf: Digest, index: u64, size: u64, path: &[Digest], expected: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for step in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *expected
}

/// RFC 9162, 2.1.4.2: whether the log of the old size and root is a prefix of the new one.
pub(crate) fn is_consistent(old: (u64, &Digest), new: (u64, &Digest), path: &[Digest]) -> bool {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return path.is_empty() && *old_root == empty_root();
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut steps = path.iter();
    let first = if old_size.is_power_of_two() { Some(old_root) } else { steps.next() };
    let Some(first) = first else { return false };
    let (mut from_old, mut from_new) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            from_old = node_hash(step, &from_old);
            from_new = node_hash(step, &from_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, step);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && from_old == *old_root && from_new == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::convert::Infallible;

    #[derive(Default)]
    struct Stored(HashMap<(u8, u64), Digest>);

    impl Nodes for Stored {
        type Error = Infallible;
        fn node(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
            Ok(self.0[&(level, index)])
        }
    }

    fn grown(leaves: &[Vec<u8>]) -> (Frontier, Stored) {
        let (mut frontier, mut stored) = (Frontier::default(), Stored::default());
        for (at, leaf) in leaves.iter().enumerate() {
            stored.0.insert((0, at as u64), leaf_hash(leaf));
            let mut keep = |level, index, hash| {
                assert_eq!(stored.0.insert((level, index), hash), None, "a node is completed once");
                Ok::<_, Infallible>(())
            };
            frontier.push(leaf_hash(leaf), &mut keep).unwrap();
        }
        (frontier, stored)
    }

    fn numbered(size: u64) -> Vec<Vec<u8>> {
        (0..size).map(|at| at.to_be_bytes().to_vec()).collect()
    }

    /// The leaves and roots of the reference implementation of Certificate Transparency.
    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let leaves =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let leaves: Vec<_> = leaves.iter().map(|leaf| hex::decode(leaf).unwrap()).collect();
        for (at, expected) in roots.iter().enumerate() {
            assert_eq!(grown(&leaves[..=at]).0.root().to_string(), *expected);
        }
        assert_eq!(Frontier::default().root(), empty_root());
    }

    #[test]
    fn every_proof_of_small_logs_verifies_and_fits_nothing_else() {
        for size in 1..=20 {
            let (frontier, stored) = grown(&numbered(size));
            let root_here = frontier.root();
            assert_eq!(root(&stored, size), Ok(root_here));
            assert_eq!(Frontier::load(&stored, size).unwrap().root(), root_here);
            for index in 0..size {
                let path = inclusion(&stored, index, size).unwrap();
                for other in 0..=size {
                    let leaf = leaf_hash(&other.to_be_bytes());
                    assert_eq!(is_included(leaf, index, size, &path, &root_here), other == index);
                    assert_eq!(
                        is_included(leaf_hash(&index.to_be_bytes()), other, size, &path, &root_here),
                        other == index
                    );
                }
                assert!(!is_included(
                    leaf_hash(&index.to_be_bytes()),
                    index,
                    size,
                    &[&path[..], &[root_here]].concat(),
                    &root_here
                ));
            }
            for old in 0..=size {
                let old_root = root(&stored, old).unwrap();
                let path = consistency(&stored, old, size).unwrap();
                assert!(is_consistent((old, &old_root), (size, &root_here), &path), "{old} in {size}");
                if old > 0 {
                    assert!(!is_consistent((old, &Digest::of(b"x")), (size, &root_here), &path));
                    assert!(!is_consistent((old, &old_root), (size, &Digest::of(b"x")), &path));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_another_implementation(size in 1_u64..300, at in any::<prop::sample::Index>()) {
            let leaves = numbered(size);
            let (frontier, stored) = grown(&leaves);
            let mut theirs = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
            leaves.iter().for_each(|leaf| theirs.push(leaf.clone()));
            let their_root = theirs.root();
            let their_root: &[u8] = their_root.as_bytes();
            let our_root = frontier.root();
            prop_assert_eq!(&our_root.as_bytes()[..], their_root);
            let index = at.index(leaves.len());
            let path: Vec<u8> = inclusion(&stored, index as u64, size).unwrap().iter().flat_map(|hash| *hash.as_bytes()).collect();
            let inclusion_proof = theirs.prove_inclusion(index);
            prop_assert_eq!(path.as_slice(), inclusion_proof.as_bytes());
            let old = index as u64 + 1;
            let path: Vec<u8> = consistency(&stored, old, size).unwrap().iter().flat_map(|hash| *hash.as_bytes()).collect();
            let consistency_proof = theirs.prove_consistency((size - old) as usize);
            prop_assert_eq!(path.as_slice(), consistency_proof.as_bytes());
        }

        #[test]
        fn hostile_proofs_get_an_answer(
            index in any::<u64>(), size in any::<u64>(), old in any::<u64>(),
            path in prop::collection::vec(any::<[u8; 32]>().prop_map(Digest::from_bytes), 0..80),
        ) {
            let (leaf, root) = (Digest::of(b"leaf"), Digest::of(b"root"));
            prop_assert!(!is_included(leaf, index, size, &path, &root));
            prop_assert!(!is_consistent((old, &leaf), (size, &root), &path));
        }
    }
}
