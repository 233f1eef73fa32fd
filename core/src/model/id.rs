//! Identities as the engine prints them: 64 hexadecimal digits, kept as the 32 bytes that they
//! stand for.
//!
//! A host has an id for each image and each container, and all that is ever done with them is to
//! copy, compare and look up; as text that was the largest part of a decision. A text of any other
//! form is kept as it is: no id is lost, and no two are taken for one.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// The digits of an id.
pub const DIGITS: usize = 64;
/// What may stand before them.
const LONGEST_PREFIX: usize = "sha256:".len();

/// What has ids.
pub trait Kind {
    /// What the engine prints before the digits.
    const PREFIX: &'static str;
    /// The whole text, where the engine has printed less.
    fn complete(text: &str) -> Cow<'_, str> {
        text.into()
    }
}

/// The identity of one thing of a kind. Printed and ordered as the engine's text.
#[derive(Clone)]
pub struct Id<K> {
    text: Text,
    kind: PhantomData<K>,
}

#[derive(Clone, PartialEq, Eq)]
enum Text {
    /// What the digits stand for. Only of lower-case digits, so that they print as they were.
    Digits([u8; DIGITS / 2]),
    Other(Arc<str>),
}

impl<K: Kind> Id<K> {
    /// An id as the engine printed it.
    pub fn new(text: impl AsRef<str>) -> Self {
        let text = K::complete(text.as_ref());
        let digits = text.strip_prefix(K::PREFIX).and_then(parse_digits);
        Self {
            text: digits.map_or_else(|| Text::Other(text.into()), Text::Digits),
            kind: PhantomData,
        }
    }

    /// The text, for which `room` may be needed.
    fn print<'a>(&'a self, room: &'a mut [u8; LONGEST_PREFIX + DIGITS]) -> &'a str {
        const HEX: [u8; 16] = *b"0123456789abcdef";
        let digest = match &self.text {
            Text::Other(text) => return text,
            Text::Digits(digest) => digest,
        };
        let printed = &mut room[..K::PREFIX.len() + DIGITS];
        let (prefix, digits) = printed.split_at_mut(K::PREFIX.len());
        prefix.copy_from_slice(K::PREFIX.as_bytes());
        for (pair, byte) in digits.chunks_exact_mut(2).zip(digest) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        core::str::from_utf8(printed).unwrap_or_default()
    }

    fn with_text<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        read(self.print(&mut [0; LONGEST_PREFIX + DIGITS]))
    }
}

/// The bytes that 64 lower-case digits stand for.
fn parse_digits(digits: &str) -> Option<[u8; DIGITS / 2]> {
    let digits = digits.as_bytes();
    if digits.len() != DIGITS {
        return None;
    }
    let mut bytes = [0; DIGITS / 2];
    let mut all = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        all |= high | low;
        *byte = (high << 4) | low;
    }
    (all < 16).then_some(bytes)
}

/// What a lower-case digit stands for, and `0xff` for any other byte. A table, for no processor can
/// guess what the next digit of an id is.
static VALUES: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl<K> Eq for Id<K> {}

impl<K: Kind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Kind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.text, &other.text) {
            (Text::Digits(mine), Text::Digits(theirs)) => mine.cmp(theirs),
            _ => self.with_text(|mine| other.with_text(|theirs| mine.cmp(theirs))),
        }
    }
}

impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.text {
            Text::Digits(digest) => state.write(digest),
            Text::Other(text) => text.hash(state),
        }
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.pad(text))
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| fmt::Debug::fmt(text, f))
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Printed<K>(PhantomData<K>);
        impl<K: Kind> Visitor<'_> for Printed<K> {
            type Value = Id<K>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Id<K>, E> {
                Ok(Id::new(text))
            }
        }
        deserializer.deserialize_str(Printed(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use std::format;
    use std::string::{String, ToString};

    use crate::model::{ContainerId, ImageId};

    /// Texts of ids as engines print them, and of everything that nearly is one.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "(sha256:)?[0-9a-f]{64}",
            1 => "(sha256:)?[01]{64}",
            1 => "(sha256:|sha512:|SHA256:)?[0-9a-fA-F]{63,65}",
            1 => "(sha256:)?[a-f]{0,4}",
            1 => any::<String>(),
        ]
    }

    /// What an image's id prints as: only a bare one is completed.
    fn image_text(text: &str) -> String {
        let is_bare = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let prefix = if is_bare { "sha256:" } else { "" };
        format!("{prefix}{text}")
    }

    proptest! {
        #[test]
        fn ids_are_what_their_texts_are(a in texts(), b in texts()) {
            let hash = RandomState::new();
            let same_hash = |one: &ImageId, other: &ImageId| hash.hash_one(one) == hash.hash_one(other);
            let (text_a, text_b) = (image_text(&a), image_text(&b));
            let (image_a, image_b) = (ImageId::new(&a), ImageId::new(&b));
            prop_assert_eq!(image_a.to_string(), text_a.clone());
            prop_assert_eq!(image_a.cmp(&image_b), text_a.cmp(&text_b));
            prop_assert_eq!(image_a == image_b, text_a == text_b);
            prop_assert!(image_a != image_b || same_hash(&image_a, &image_b));
            prop_assert!(same_hash(&image_a, &ImageId::new(&text_a)));

            let (one, other) = (ContainerId::new(&a), ContainerId::new(&b));
            prop_assert_eq!(one.to_string(), a.clone());
            prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            prop_assert_eq!(one == other, a == b);

            let written = serde_json::to_string(&image_a).unwrap();
            prop_assert_eq!(&written, &serde_json::to_string(&text_a).unwrap());
            prop_assert_eq!(serde_json::from_str::<ImageId>(&written).unwrap(), image_a);
        }
    }
}
