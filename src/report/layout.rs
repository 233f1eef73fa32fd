//! Pieces of text for a terminal of 80 columns: sizes, cleaned lines, wrapped paragraphs. Pure.

use crate::image::Reference;

/// Columns that a line may take. Only a word that is longer by itself goes beyond.
pub(crate) const WIDTH: usize = 80;

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
    let acts =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| if acts(c) { '\u{fffd}' } else { c })
        .collect()
}

/// A paragraph that begins with `lead`, goes on behind it, and continues on lines indented by `indent` columns. No line
/// is wider than [`WIDTH`], but for a single long word. Ends with a newline.
pub(crate) fn paragraph(lead: &str, indent: usize, text: &str) -> String {
    let mut out = String::new();
    let mut line = format!("{lead:<indent$}");
    let mut is_empty = true;
    for word in one_line(text).split(' ') {
        let gap = usize::from(!is_empty);
        if !is_empty && columns(&line) + gap + columns(word) > WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

fn columns(text: &str) -> usize {
    text.chars().count()
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

    #[test]
    fn nothing_that_a_terminal_acts_on() {
        assert_eq!(
            one_line("not\nready\t\u{1b}[31m \u{202e}now"),
            "not ready \u{fffd}[31m \u{fffd}now"
        );
    }

    #[test]
    fn paragraphs_wrap_behind_their_lead() {
        let text = "word ".repeat(30);
        let wrapped = paragraph("  note", 13, &text);
        let lines: Vec<&str> = wrapped.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() <= WIDTH), "{wrapped}");
        assert!(lines[0].starts_with("  note       word word"), "{wrapped}");
        assert!(lines[1].starts_with("             word"), "{wrapped}");
        assert_eq!(wrapped.matches("word").count(), 30);
    }

    #[test]
    fn a_line_may_be_full_and_no_fuller() {
        let fits = format!("{} {}", "x".repeat(40), "y".repeat(WIDTH - 41));
        assert_eq!(paragraph("", 0, &fits), format!("{fits}\n"));
        assert_eq!(paragraph("", 0, &format!("{fits}y")).lines().count(), 2);
    }

    #[test]
    fn a_long_word_is_never_broken_and_leaves_no_empty_line() {
        let word = "x".repeat(100);
        assert_eq!(paragraph("  a", 4, &word), format!("  a {word}\n"));
        assert_eq!(
            paragraph("  a", 4, &format!("b {word}")),
            format!("  a b\n    {word}\n")
        );
    }

    #[test]
    fn no_text_is_a_lead_alone() {
        assert_eq!(paragraph("  a", 6, ""), "  a\n");
    }
}
