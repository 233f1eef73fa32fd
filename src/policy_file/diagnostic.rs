//! What is wrong with a policy, where, and how to fix it: [`Diagnostic`], and [`Refused`], which
//! carries all of them.
//!
//! Pure: finds places in text and prints them. Judges nothing and reads nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::text;

/// One policy file: what to call it in errors, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path, for people.
    pub label: String,
    /// The TOML.
    pub text: String,
}

impl Source {
    /// The whole line that an offset is on, without its end.
    pub(super) fn line_at(&self, offset: usize) -> &str {
        let offset = char_boundary(&self.text, offset);
        let (before, after) = self.text.split_at_checked(offset).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let length = after.find('\n').unwrap_or(after.len());
        let line = self.text.get(start..offset + length).unwrap_or_default();
        without_mark(line.trim_end_matches('\r'), start == 0)
    }
}

/// What some editors put before the first line.
const BOM: char = '\u{feff}';

/// A line without that. Before any other line it is a fault, and has to be seen.
fn without_mark(line: &str, is_first: bool) -> &str {
    match line.strip_prefix(BOM) {
        Some(rest) if is_first => rest,
        _ => line,
    }
}

/// A place in a policy file, as editors count: both numbers begin at 1, columns are characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path, as it was found.
    pub file: String,
    /// Line and column, from 1; none where the whole file is meant.
    pub position: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.file))?;
        match self.position {
            Some((line, column)) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// Valid, but probably a mistake.
    Warning,
}

/// What is wrong, or probably wrong, with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is; none where there is no policy file at all.
    pub place: Option<Place>,
    /// The line it is on, without its end; empty where the whole file is meant.
    pub source_line: String,
    /// How many characters of the line are meant, from the place on; at least 1, even at the end of
    /// the line.
    pub length: usize,
    /// The key, `workload.telemetry.soak`; absent where the text is not even TOML, and where the
    /// whole file is meant.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// The other place, of an error that takes two.
    pub other: Option<Place>,
    /// Where a policy file was looked for, if there is none: patterns and paths.
    pub looked_for: Vec<PathBuf>,
}

/// A stretch of one file, in bytes: where a key or a value was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    /// The number of the file.
    pub(super) file: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn new(file: usize, range: Range<usize>) -> Self {
        let Range { start, end } = range;
        Self { file, start, end }
    }

    /// Place, the text of its line, and how many characters of that line are in the stretch.
    fn locate(self, sources: &[Source]) -> (Place, &str, usize) {
        let source = sources.get(self.file);
        let text = source.map_or("", |s| s.text.as_str());
        let start = char_boundary(text, self.start);
        let end = char_boundary(text, self.end).max(start);
        let (before, rest) = text.split_at_checked(start).unwrap_or((text, ""));
        let line = source.map_or("", |s| s.line_at(start));
        let left = before.rsplit('\n').next().unwrap_or_default();
        let left = without_mark(left, left.len() == before.len());
        // A line ends where its text ends, whatever ends the line.
        let column = chars(left).min(chars(line)) + 1;
        let rest_of_line = rest.split('\n').next().unwrap_or_default();
        let meant = text.get(start..end.min(start + rest_of_line.len()));
        let length = chars(meant.unwrap_or_default().trim_end_matches('\r')).max(1);
        let line_number = before.matches('\n').count() + 1;
        let place = Place {
            file: source.map_or_else(String::new, |s| s.label.clone()),
            position: Some((line_number, column)),
        };
        (place, line, length)
    }

    /// What is written there.
    pub(super) fn text(self, sources: &[Source]) -> &str {
        let source = sources.get(self.file);
        source
            .and_then(|s| s.text.get(self.start..self.end))
            .unwrap_or_default()
    }
}

/// What is wrong, before anybody has to know on which line that is: there may be thousands, of
/// which few are printed.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) span: Span,
    pub(super) key: Option<String>,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) other: Option<Span>,
}

impl Finding {
    pub(super) fn into_diagnostic(self, severity: Severity, sources: &[Source]) -> Diagnostic {
        let (place, source_line, length) = self.span.locate(sources);
        Diagnostic {
            severity,
            place: Some(place),
            source_line: source_line.to_owned(),
            length,
            key: self.key,
            message: self.message,
            help: self.help,
            other: self.other.map(|span| span.locate(sources).0),
            looked_for: Vec::new(),
        }
    }
}

/// What reading the files has brought to light.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    pub(super) spans: Spans,
}

/// Where the values of a policy were read, by their keys: `workload.telemetry.soak`, and
/// `workload.telemetry.ready#0` for an entry of a list. A workload's own key is where its name is.
pub(super) type Spans = BTreeMap<String, Span>;

/// The nearest boundary of a character at or before `offset`.
fn char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

impl Diagnostic {
    /// A warning about a whole file.
    pub(super) fn of_file(file: &Path, message: String, help: String) -> Self {
        Self {
            severity: Severity::Warning,
            place: file.to_str().map(|file| Place {
                file: file.to_owned(),
                position: None,
            }),
            source_line: String::new(),
            length: 1,
            key: None,
            message,
            help,
            other: None,
            looked_for: Vec::new(),
        }
    }

    /// Line and column of the place, from 1; none where there is no such place.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.as_ref()?.position
    }

    /// As compilers print it, with the line, and marks below what is meant. With colours for a
    /// terminal, or without.
    pub fn print(&self, colors: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let line = tame(&self.source_line);
        let title = printable(&self.message);
        let titled = level.primary_title(&title);
        let file = self.place.as_ref().map(|place| printable(&place.file));
        let path = file.unwrap_or_default();
        let mut group = match (self.position(), self.severity) {
            (Some((number, column)), _) => {
                let offset = |chars: usize| {
                    let mut ends = line.char_indices().map(|(offset, _)| offset);
                    ends.nth(chars).unwrap_or(line.len())
                };
                let start = column.saturating_sub(1);
                let meant = offset(start)..offset(start + self.length);
                let meant = AnnotationKind::Primary.span(meant);
                let snippet = Snippet::source(&line);
                titled.element(snippet.line_start(number).path(path).annotation(meant))
            }
            (None, Severity::Warning) => titled.element(Origin::path(path)),
            // The message says which file it is.
            (None, Severity::Error) => Group::with_title(titled),
        };
        let other = self.other.iter().map(|place| format!("first at {place}"));
        let looked_for = self.looked_for.iter().map(|path| {
            let path = printable(&path.to_string_lossy());
            format!("looked for {path}")
        });
        for note in other.chain(looked_for) {
            group = group.element(Level::NOTE.message(note));
        }
        let group = group.element(Level::HELP.message(printable(&self.help)));
        let renderer = if colors {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let printed = renderer.render(&[group]);
        let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
        lines.join("\n")
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(false))
    }
}

/// The text with the replacement character for each character that is not to be printed; tabs are
/// for the renderer.
fn tame(written: &str) -> String {
    let tame = |c: char| if c == '\t' { c } else { text::printable(c) };
    written.chars().map(tame).collect()
}

/// The text with nothing in it that a terminal would act on: tabs become spaces, what steers the
/// replacement character.
pub(crate) fn printable(written: &str) -> String {
    text::harmless(&written.replace('\t', "    "))
}

/// How many errors are kept to be shown. A person reads no more at once, and thousands would only
/// hide the first.
pub const SHOWN: usize = 50;

/// The policy is refused: the reasons, in the order of the files. Nothing may be done without a
/// policy (exit 78).
#[derive(Debug)]
pub struct Refused {
    /// The first [`SHOWN`]; at least one.
    pub problems: Vec<Diagnostic>,
    /// How many more there are.
    pub more: usize,
}

impl Refused {
    /// How many errors there are.
    pub fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    /// The first reason and how many more there are, in one line, for where there is room for one.
    pub fn brief(&self) -> String {
        let first = self.problems.first();
        let first = first.map_or_else(String::new, |first| match &first.place {
            Some(place) if place.position.is_some() => format!("{} ({place})", first.message),
            _ => first.message.clone(),
        });
        let more = match self.count().saturating_sub(1) {
            0 => String::new(),
            1 => ", and 1 more error".to_owned(),
            n => format!(", and {n} more errors"),
        };
        format!("the policy is refused: {first}{more}; see `tagkeeper check`")
    }

    /// The reasons, as compilers print them, and how many there are. With colours for a terminal,
    /// or without.
    pub fn print(&self, colors: bool) -> String {
        let mut printed: Vec<String> = self.problems.iter().map(|p| p.print(colors)).collect();
        printed.push(match (self.count(), self.more) {
            (1, _) => "1 error; nothing was done".to_owned(),
            (n, 0) => format!("{n} errors; nothing was done"),
            (n, _) => format!("{n} errors, of which the first {SHOWN} are shown; nothing was done"),
        });
        printed.join("\n\n")
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(false))
    }
}

impl std::error::Error for Refused {}
