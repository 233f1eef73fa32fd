//! Text from outside (the engine, commands, names of containers) as it may be printed: nothing that
//! a terminal acts on (`harmless`), in one line (`one_line`), and no more of it than a person
//! reads (`clean`); and how wide it is there. Pure.

use std::fmt::{self, Display, Write};

use unicode_width::UnicodeWidthChar;

/// The most characters of one text from outside that are printed.
pub const MAX_CHARS: usize = 400;

/// The text in one line of at most [`MAX_CHARS`] characters. Blanks are runs of one; a character
/// that is not printed as itself becomes the replacement character. What is cut ends in an
/// ellipsis, and is never held in memory.
pub fn clean(text: impl Display) -> String {
    let mut line = Line::default();
    // The one error is that the line is full.
    let _ = write!(line, "{text}");
    line.text
}

/// The text in one line and with nothing in it that a terminal would act on: names of containers
/// and words of `ready` commands come from outside.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(harmless).collect();
    words.join(" ")
}

/// Control characters, and those that turn the direction of writing, become the replacement
/// character.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(printable).collect()
}

/// Columns that a text takes on a terminal; most characters take one, some none, some two.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

pub(crate) fn columns_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// The character, or the replacement character for one that is not to be printed.
pub(crate) fn printable(c: char) -> char {
    if is_hidden(c) {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// Whether a character acts on a terminal, turns the direction of writing, or is not seen at all.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The line so far.
#[derive(Default)]
struct Line {
    text: String,
    chars: usize,
    /// Blanks have been read since the last word.
    gap: bool,
}

impl Line {
    fn push(&mut self, c: char) -> fmt::Result {
        if self.chars == MAX_CHARS {
            self.text.pop();
            self.text.push('\u{2026}');
            return Err(fmt::Error);
        }
        self.text.push(c);
        self.chars += 1;
        Ok(())
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_whitespace() {
                self.gap = !self.text.is_empty();
                continue;
            }
            if std::mem::take(&mut self.gap) {
                self.push(' ')?;
            }
            self.push(printable(c))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_from_outside_is_one_clean_line() {
        for (text, printed) in [
            ("", ""),
            ("  two\r\n\twords \u{2028}x ", "two words x"),
            ("\u{1b}[31mred\u{7}", "\u{fffd}[31mred\u{fffd}"),
            (
                "a\u{202e}b\u{2066}c\u{200f}d\u{61c}",
                "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}",
            ),
            ("z\u{200b}w\u{feff}\u{2060}", "z\u{fffd}w\u{fffd}\u{fffd}"),
            ("\u{9b}1m\u{85}next", "\u{fffd}1m next"),
            (
                "gr\u{fc}\u{df}e \u{65e5}\u{672c}",
                "gr\u{fc}\u{df}e \u{65e5}\u{672c}",
            ),
        ] {
            assert_eq!(clean(text), printed, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_400_characters() {
        let fits = "\u{fc}".repeat(MAX_CHARS);
        assert_eq!(clean(&fits), fits);
        for long in [
            format!("{fits}x"),
            format!("{fits}  {fits}"),
            "x ".repeat(8 << 20),
        ] {
            let printed = clean(&long);
            assert_eq!(printed.chars().count(), MAX_CHARS);
            assert!(printed.ends_with('\u{2026}'));
        }
    }

    /// An endless text ends where the line is full.
    #[test]
    fn what_is_cut_is_not_even_read() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("and so on ")?;
                }
            }
        }
        assert_eq!(clean(Endless).chars().count(), MAX_CHARS);
    }
}
