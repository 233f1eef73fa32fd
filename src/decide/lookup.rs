//! Look-ups that a decision makes for every image or container on the host: by what is unique, and by place.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::world::{Container, World};

/// Something for each key. The standard hasher withstands keys that somebody chose to collide. These keys nobody can
/// choose: ids are digests, names are the policy's. Hashing them was the largest part of a decision.
pub(crate) type Table<K, V> = HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Multiplies and rotates, eight bytes at a time.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(ODD);
    }

    fn finish(&self) -> u64 {
        // The table takes its index from the low bits, and a product has its best ones on top.
        self.0.rotate_left(32)
    }
}

/// The containers by the image that they use.
pub(crate) struct Users<'a> {
    containers: &'a [Container],
    /// The first container of each image, by its place.
    first: Vec<Option<usize>>,
    /// The next one of the same image, for each container.
    next: Vec<Option<usize>>,
}

impl<'a> Users<'a> {
    /// `images` has the place of each container's image, for as far as that is on the disk.
    pub(crate) fn new(world: &'a World, images: &[Option<usize>]) -> Self {
        let mut first = vec![None; world.images.len()];
        let mut next = vec![None; world.containers.len()];
        for (container, place) in images.iter().enumerate().rev() {
            if let Some(place) = *place {
                next[container] = first[place].replace(container);
            }
        }
        Self {
            containers: &world.containers,
            first,
            next,
        }
    }

    /// The containers, in any state, that use the image at a place.
    pub(crate) fn of(&self, place: usize) -> impl Iterator<Item = &'a Container> {
        let first = self.first.get(place).copied().flatten();
        let all = std::iter::successors(first, |at| self.next[*at]);
        all.map(|at| &self.containers[at])
    }
}
