//! Pieces of text for a terminal: cleaned words with a tone, paragraphs that wrap at its width.
//! Pure.
//!
//! What comes from outside is cleaned here, in the one place that every text goes through; colours
//! are put around it after that, so that nothing from outside can pass for one.

use anstyle::{AnsiColor, Style};

use crate::text::{columns, columns_of, printable};

/// Columns that a line may take where there is no terminal.
pub(crate) const WIDTH: usize = 80;
/// Narrower terminals get lines of this width, and wrap them.
const WIDTH_MIN: usize = 60;
/// On wider terminals, lines stay this short: longer ones are hard to read.
const WIDTH_MAX: usize = 160;

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
    /// A name to copy, such as a container's: never broken, however narrow the page is.
    Name,
}

impl Tone {
    fn style(self) -> Style {
        let style = Style::new();
        match self {
            Self::Plain | Self::Name => style,
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

    /// Another text follows.
    #[must_use]
    pub(crate) fn then(mut self, other: Self) -> Self {
        self.0.extend(other.0);
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
                    word.push(*tone, printable(c));
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

    /// Breaks what is wider than the columns that there are, where names have their joints if that
    /// is not too early.
    fn broken(self, width: usize) -> Vec<Self> {
        let is_name = self.0.iter().any(|(tone, _)| *tone == Tone::Name);
        if is_name || self.columns() <= width {
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

/// What lines are written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whether it is a terminal that is to show colours.
    pub colors: bool,
    /// Columns that a line may take.
    width: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            colors: false,
            width: WIDTH,
        }
    }
}

impl Page {
    /// A page for a terminal of so many columns: 60 to 160 of them are used.
    pub fn new(colors: bool, columns: usize) -> Self {
        Self {
            colors,
            width: columns.clamp(WIDTH_MIN, WIDTH_MAX),
        }
    }

    /// Columns that a line may take.
    pub(crate) fn width(self) -> usize {
        self.width
    }

    /// One line with `right` at its right edge; on a line of its own where both do not fit.
    pub(crate) fn line_with_right(self, left: &Text, right: &str) -> String {
        let shown = self.paragraph("", 0, left.clone());
        let taken = Self::default().paragraph("", 0, left.clone());
        let taken = columns(taken.trim_end_matches('\n'));
        let is_one_line = shown.lines().count() == 1;
        let gap = self.width.saturating_sub(taken + columns(right));
        if !is_one_line || gap < 2 {
            return shown + &self.paragraph("", 0, right);
        }
        let mut line = shown.trim_end_matches('\n').to_owned();
        line.extend(std::iter::repeat_n(' ', gap));
        line.push_str(right);
        line.push('\n');
        line
    }

    /// A paragraph that begins with `lead`, goes on behind it, and continues on lines indented by
    /// `indent` columns. No line is wider than the page: a word that is, such as a long name, is
    /// broken ([`Tone::Name`] aside). Ends with a newline.
    pub(crate) fn paragraph(
        self,
        lead: impl Into<Text>,
        indent: usize,
        text: impl Into<Text>,
    ) -> String {
        let mut line = Pieces::default();
        let lead: Text = lead.into();
        for (tone, text) in &lead.0 {
            text.chars().for_each(|c| line.push(*tone, printable(c)));
        }
        line.pad(indent.saturating_sub(line.columns()));
        let mut out = String::new();
        let mut is_empty = true;
        let words = text.into().words();
        let parts = words
            .into_iter()
            .flat_map(|word| word.broken(self.width.saturating_sub(indent).max(1)));
        for word in parts {
            let gap = usize::from(!is_empty);
            if !is_empty && line.columns() + gap + word.columns() > self.width {
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
    use crate::text::one_line;

    fn paragraph(lead: &str, indent: usize, text: &str) -> String {
        Page::default().paragraph(lead, indent, text)
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
    fn a_name_to_copy_is_in_one_piece_on_any_page() {
        let name = format!("k8s_telemetry_{}", "x".repeat(90));
        let text = Text::from("in ").and(Tone::Name, &name);
        for columns in [20, 60, 80, 160] {
            let shown = Page::new(false, columns).paragraph("", 2, text.clone());
            assert!(shown.contains(&name), "{columns}: {shown}");
        }
    }

    #[test]
    fn a_page_is_as_wide_as_the_terminal_within_reason() {
        for (columns, width) in [(1, 60), (60, 60), (97, 97), (160, 160), (400, 160)] {
            assert_eq!(Page::new(false, columns).width(), width);
        }
    }

    #[test]
    fn what_stands_at_the_right_edge_gets_a_line_of_its_own_where_there_is_no_room() {
        let line = |columns, left: &str| {
            Page::new(false, columns).line_with_right(&Text::from(left), "6 workloads")
        };
        assert_eq!(
            line(60, "last pass ok"),
            format!("last pass ok{}6 workloads\n", " ".repeat(60 - 12 - 11))
        );
        let full = "x".repeat(48);
        assert_eq!(line(60, &full), format!("{full}\n6 workloads\n"));
        assert_eq!(line(61, &full), format!("{full}  6 workloads\n"));
    }

    #[test]
    fn no_text_is_a_lead_alone() {
        assert_eq!(paragraph("  a", 6, ""), "  a\n");
    }

    #[test]
    fn colours_stand_around_the_text_and_take_no_columns() {
        let page = Page::new(true, WIDTH);
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
