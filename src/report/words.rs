//! Sizes, counts and names as people read them, and texts from outside made harmless. Pure.

use unicode_width::UnicodeWidthChar;

use crate::image::Reference;

/// Digits of a digest that are shown to people, as many as of an image id.
const DIGEST_DIGITS: usize = 12;

const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];

/// A size in bytes as people read it, in powers of ten as `docker images` prints them: `999 B`, `1.2 kB`, `120 MB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut unit_bytes = 1000_u128;
    let mut shown = String::new();
    for unit in UNITS {
        let tenths = (u128::from(bytes) * 10 + unit_bytes / 2) / unit_bytes;
        let whole = (u128::from(bytes) + unit_bytes / 2) / unit_bytes;
        shown = if tenths < 100 {
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        } else {
            format!("{whole} {unit}")
        };
        if whole < 1000 {
            break;
        }
        unit_bytes *= 1000;
    }
    shown
}

/// A number of things: `1 image`, `2 images`.
pub(crate) fn count(number: impl std::fmt::Display, thing: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A name for people; a digest is shortened, JSON has the whole of it.
pub(crate) fn name(reference: Option<&Reference>) -> String {
    let Some(reference) = reference else {
        return "<none>".to_owned();
    };
    let whole = reference.to_string();
    match whole.split_once(':') {
        Some(_) if reference.is_digest() => {
            let start = whole.rfind(':').map_or(0, |colon| colon + 1);
            let short = whole.get(..start + DIGEST_DIGITS).unwrap_or(&whole);
            format!("{short}..")
        }
        _ => whole,
    }
}

/// The text in one line and with nothing in it that a terminal would act on: names of containers and words of `ready`
/// commands come from outside.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(clean).collect();
    words.join(" ")
}

/// Control characters, and those that turn the direction of writing, become the replacement character.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(clean_char).collect()
}

pub(super) fn clean_char(c: char) -> char {
    let acts = c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if acts { '\u{fffd}' } else { c }
}

/// Columns that a text takes on a terminal; most characters take one, some none, some two.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

pub(super) fn columns_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1249, "1.2 kB"),
            (1250, "1.3 kB"),
            (9949, "9.9 kB"),
            (9950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (119_600_000, "120 MB"),
            (1_210_000_000, "1.2 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), shown, "{bytes}");
        }
    }

    #[test]
    fn names() {
        let digest = format!("registry.example:5000/app@sha256:{}", "ab".repeat(32));
        for (reference, shown) in [
            (
                Some("registry.example:5000/app:v1"),
                "registry.example:5000/app:v1",
            ),
            (
                Some(digest.as_str()),
                "registry.example:5000/app@sha256:abababababab..",
            ),
            (None, "<none>"),
        ] {
            let reference = reference.map(|text| Reference::parse(text).unwrap());
            assert_eq!(name(reference.as_ref()), shown);
        }
    }
}
