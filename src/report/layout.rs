//! Pieces of text for a terminal of 80 columns: sizes, cleaned words with a tone, wrapped paragraphs. Pure.
//!
//! What comes from outside is cleaned here, in the one place that every text goes through; colours are put around it
//! after that, so that nothing from outside can pass for one.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar;

use crate::image::Reference;

/// Columns that a line may take.
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

fn clean_char(c: char) -> char {
    let acts = c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if acts { '\u{fffd}' } else { c }
}

/// Columns that a text takes on a terminal; most characters take one, some none, some two.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(c: char) -> usize {
    c.width().unwrap_or(0)
}

/// What a piece of text means to its reader. On a terminal that is a colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing particular.
    #[default]
    Plain,
    /// What the rest is about.
    Strong,
    /// It is as it should be, or it comes.
    Good,
    /// It is on its way, or it moves.
    Warning,
    /// It went wrong, or it goes.
    Bad,
    /// It may be overlooked.
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        let style = Style::new();
        match self {
            Self::Plain => style,
            Self::Strong => style.bold(),
            Self::Good => style.fg_color(Some(AnsiColor::Green.into())),
            Self::Warning => style.fg_color(Some(AnsiColor::Yellow.into())),
            Self::Bad => style.fg_color(Some(AnsiColor::Red.into())),
            Self::Faint => style.dimmed(),
        }
    }
}

/// A text, piece by piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<(Tone, String)>);

impl Text {
    /// The text goes on in a tone.
    #[must_use]
    pub(crate) fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    /// The words: what stands between white space, cleaned. A word can have several tones.
    fn words(&self) -> Vec<Pieces> {
        let mut words = vec![Pieces::default()];
        for (tone, text) in &self.0 {
            for c in text.chars() {
                if c.is_whitespace() {
                    words.push(Pieces::default());
                } else if let Some(word) = words.last_mut() {
                    word.push(*tone, clean_char(c));
                }
            }
        }
        words.retain(|word| !word.0.is_empty());
        words
    }
}

impl<T: Into<String>> From<T> for Text {
    fn from(text: T) -> Self {
        Self::default().and(Tone::Plain, text)
    }
}

/// Clean text with tones: a word, or a line.
#[derive(Clone, Debug, Default)]
struct Pieces(Vec<(Tone, String)>);

impl Pieces {
    fn push(&mut self, tone: Tone, c: char) {
        match self.0.last_mut() {
            Some((last, text)) if *last == tone => text.push(c),
            _ => self.0.push((tone, c.into())),
        }
    }

    fn extend(&mut self, other: &Self) {
        for (tone, text) in &other.0 {
            text.chars().for_each(|c| self.push(*tone, c));
        }
    }

    fn pad(&mut self, spaces: usize) {
        (0..spaces).for_each(|_| self.push(Tone::Plain, ' '));
    }

    /// The tone of the gap before the next word: theirs, where they have one tone.
    fn tone_before(&self, next: &Self) -> Tone {
        let (last, first) = (self.0.last(), next.0.first());
        match (last, first) {
            (Some((last, _)), Some((first, _))) if last == first => *last,
            _ => Tone::Plain,
        }
    }

    fn columns(&self) -> usize {
        self.0.iter().map(|(_, text)| columns(text)).sum()
    }

    /// Breaks what is wider than the columns that there are, where names have their joints if that is not too early.
    fn broken(self, width: usize) -> Vec<Self> {
        if self.columns() <= width {
            return vec![self];
        }
        let all: Vec<(Tone, char)> = self
            .0
            .iter()
            .flat_map(|(tone, text)| text.chars().map(move |c| (*tone, c)))
            .collect();
        let (mut parts, mut rest) = (Vec::new(), all.as_slice());
        while !rest.is_empty() {
            let (head, tail) = rest.split_at(break_point(rest, width));
            let mut part = Self::default();
            for (tone, c) in head {
                part.push(*tone, *c);
            }
            parts.push(part);
            rest = tail;
        }
        parts
    }
}

/// How many characters go on the line. At least one, however narrow the line is.
fn break_point(text: &[(Tone, char)], width: usize) -> usize {
    let mut taken = 0;
    let fits = text
        .iter()
        .take_while(|(_, c)| {
            taken += columns_of(*c);
            taken <= width
        })
        .count();
    if fits == text.len() {
        return fits;
    }
    let joints = ['/', ':', '@', '_', '-', '.'];
    let joint = text
        .iter()
        .take(fits)
        .rposition(|(_, c)| joints.contains(c))
        .map(|at| at + 1);
    joint.filter(|at| *at > fits / 2).unwrap_or(fits).max(1)
}

/// What lines are written on: with colours, or without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Whether it is a terminal that is to show colours.
    pub colors: bool,
}

impl Page {
    /// A paragraph that begins with `lead`, goes on behind it, and continues on lines indented by `indent` columns. No
    /// line is wider than [`WIDTH`]: a word that is, such as a long name, is broken. Ends with a newline.
    pub(crate) fn paragraph(
        self,
        lead: impl Into<Text>,
        indent: usize,
        text: impl Into<Text>,
    ) -> String {
        let mut line = Pieces::default();
        let lead: Text = lead.into();
        for (tone, text) in &lead.0 {
            text.chars().for_each(|c| line.push(*tone, clean_char(c)));
        }
        line.pad(indent.saturating_sub(line.columns()));
        let mut out = String::new();
        let mut is_empty = true;
        let words = text.into().words();
        let parts = words
            .into_iter()
            .flat_map(|word| word.broken(WIDTH.saturating_sub(indent).max(1)));
        for word in parts {
            let gap = usize::from(!is_empty);
            if !is_empty && line.columns() + gap + word.columns() > WIDTH {
                self.end_line(&mut out, &line);
                line = Pieces::default();
                line.pad(indent);
                is_empty = true;
            }
            if !is_empty {
                line.push(line.tone_before(&word), ' ');
            }
            line.extend(&word);
            is_empty = false;
        }
        self.end_line(&mut out, &line);
        out
    }

    fn end_line(self, out: &mut String, line: &Pieces) {
        let mut pieces = line.0.as_slice();
        let mut last = "";
        while let [rest @ .., (_, text)] = pieces {
            last = text.trim_end();
            if !last.is_empty() {
                break;
            }
            pieces = rest;
        }
        for (at, (tone, text)) in pieces.iter().enumerate() {
            let is_last = at + 1 == pieces.len();
            self.paint(out, *tone, if is_last { last } else { text });
        }
        out.push('\n');
    }

    fn paint(self, out: &mut String, tone: Tone, text: &str) {
        let style = tone.style();
        if self.colors && !style.is_plain() {
            out.push_str(&style.render().to_string());
            out.push_str(text);
            out.push_str(&style.render_reset().to_string());
        } else {
            out.push_str(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paragraph(lead: &str, indent: usize, text: &str) -> String {
        Page::default().paragraph(lead, indent, text)
    }

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
        let from_outside = "not\nready\t\u{1b}[31m \u{202e}now";
        let harmless = "not ready \u{fffd}[31m \u{fffd}now";
        assert_eq!(one_line(from_outside), harmless);
        assert_eq!(paragraph("", 0, from_outside), format!("{harmless}\n"));
        assert_eq!(paragraph("a\u{1b}", 0, ""), "a\u{fffd}\n");
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
    fn a_long_word_is_broken_and_leaves_no_empty_line() {
        let word = "x".repeat(100);
        let (head, tail) = word.split_at(WIDTH - 4);
        assert_eq!(
            paragraph("  a", 4, &word),
            format!("  a {head}\n    {tail}\n")
        );
        assert_eq!(
            paragraph("  a", 4, &format!("b {word}")),
            format!("  a b\n    {head}\n    {tail}\n")
        );
    }

    #[test]
    fn a_long_name_is_broken_at_a_joint() {
        let (registry, rest) = ("r".repeat(50), "x".repeat(60));
        assert_eq!(
            paragraph("", 0, &format!("{registry}/{rest}")),
            format!("{registry}/\n{rest}\n")
        );
        // A joint near the beginning would leave most of the line empty.
        assert_eq!(
            paragraph("", 0, &format!("a/{}", "x".repeat(WIDTH))),
            format!("a/{}\nxx\n", "x".repeat(WIDTH - 2))
        );
    }

    #[test]
    fn wide_characters_take_two_columns_and_marks_none() {
        for (text, taken) in [
            ("abc", 3),
            ("テレメトリ", 10),
            ("e\u{301}", 1),
            ("\u{fffd}", 1),
        ] {
            assert_eq!(columns(text), taken, "{text}");
        }
        let wide = "語".repeat(50);
        let shown = paragraph("", 4, &wide);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(
            lines.iter().map(|line| columns(line)).collect::<Vec<_>>(),
            [80, 28],
            "{shown}"
        );
        // What stands behind a wide lead stands in the column that it was asked to.
        assert_eq!(paragraph("語", 4, "x"), "語  x\n");
    }

    #[test]
    fn no_text_is_a_lead_alone() {
        assert_eq!(paragraph("  a", 6, ""), "  a\n");
    }

    #[test]
    fn colours_stand_around_the_text_and_take_no_columns() {
        let page = Page { colors: true };
        let text = || {
            Text::from("v2,")
                .and(Tone::Good, " proven since\tlong ago")
                .and(Tone::Plain, ".")
        };
        assert_eq!(
            page.paragraph("", 0, text()),
            "v2, \u{1b}[32mproven since long ago\u{1b}[0m.\n"
        );
        assert_eq!(
            Page::default().paragraph("", 0, text()),
            "v2, proven since long ago.\n"
        );
        let full = "x".repeat(WIDTH);
        let red = Text::default().and(Tone::Bad, &full);
        assert_eq!(
            page.paragraph("", 0, red),
            format!("\u{1b}[31m{full}\u{1b}[0m\n")
        );
    }
}
