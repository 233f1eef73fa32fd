//! What is wrong with a policy, where, and how to mend it: [`Diagnostic`], and [`Refused`], which carries all of them.
//!
//! Pure: finds places in text and prints them. Judges nothing and reads nothing.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::files::Source;

/// A place in a policy file, as editors count: both numbers begin at 1, columns are characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path, as it was found.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", printable(&self.file), self.line, self.column)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// Legal, and hardly meant.
    Warning,
}

/// What is wrong or odd at one place of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// The line it is on, without its end.
    pub source_line: String,
    /// How many characters of the line are meant, from the place on; at least 1, even at the end of the line.
    pub length: usize,
    /// The key, `workload.telemetry.soak`; absent where the text is not even TOML.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub mend: String,
    /// The other place, of an error that takes two.
    pub other: Option<Place>,
}

/// A stretch of one file: where a key or a value was read. Kept beside it, so that errors found later can name it.
#[derive(Clone, Debug)]
pub(super) struct At<'s> {
    pub(super) source: &'s Source,
    /// In bytes.
    pub(super) span: Range<usize>,
}

impl At<'_> {
    /// The place where the stretch begins.
    pub(super) fn place(&self) -> Place {
        self.locate().0
    }

    /// An error about this stretch.
    pub(super) fn error(&self, key: Option<String>, what: String, mend: String) -> Diagnostic {
        let (place, source_line, length) = self.locate();
        Diagnostic {
            severity: Severity::Error,
            place,
            source_line: source_line.to_owned(),
            length,
            key,
            what,
            mend,
            other: None,
        }
    }

    /// A warning about this stretch, to be filled in. `key` may be that of an entry of a list, `ready#0`.
    pub(super) fn warning(&self, key: &str) -> Diagnostic {
        let key = key.split('#').next().unwrap_or_default();
        Diagnostic {
            severity: Severity::Warning,
            ..self.error(Some(key.to_owned()), String::new(), String::new())
        }
    }

    /// Place, the text of its line, and how many characters of that line are in the stretch.
    fn locate(&self) -> (Place, &str, usize) {
        let text = self.source.text.as_str();
        let start = char_boundary(text, self.span.start);
        let end = char_boundary(text, self.span.end).max(start);
        let (before, rest) = text.split_at_checked(start).unwrap_or((text, ""));
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest_of_line = rest.split('\n').next().unwrap_or_default();
        let line_end = start + rest_of_line.len();
        let line = text.get(line_start..line_end).unwrap_or_default();
        let left = text.get(line_start..start).unwrap_or_default();
        let line = line.trim_end_matches('\r');
        let place = Place {
            file: self.source.label.clone(),
            line: before.matches('\n').count() + 1,
            // A line ends where its text ends, whatever ends the line.
            column: chars(left).min(chars(line)) + 1,
        };
        let marked = text.get(start..end.min(line_end)).unwrap_or_default();
        let length = chars(marked.trim_end_matches('\r')).max(1);
        (place, line, length)
    }
}

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
    /// The text that it is about.
    pub(super) fn meant(&self) -> String {
        self.source_line
            .chars()
            .skip(self.place.column - 1)
            .take(self.length)
            .collect()
    }

    /// As compilers print it, with the line and marks below what is meant. With colours for a terminal, or without.
    pub fn print(&self, colors: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let line = tame(&self.source_line);
        let offset = |chars: usize| {
            let mut ends = line.char_indices().map(|(offset, _)| offset);
            ends.nth(chars).unwrap_or(line.len())
        };
        let start = self.place.column - 1;
        let meant = AnnotationKind::Primary.span(offset(start)..offset(start + self.length));
        let snippet = Snippet::source(&line)
            .line_start(self.place.line)
            .path(printable(&self.place.file))
            .annotation(meant);
        let mut group = level.primary_title(&self.what).element(snippet);
        if let Some(other) = &self.other {
            group = group.element(Level::NOTE.message(format!("first at {other}")));
        }
        render(group.element(Level::HELP.message(&self.mend)), colors)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(false))
    }
}

fn render(group: Group, colors: bool) -> String {
    let renderer = if colors {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let printed = renderer.render(&[group]);
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// What steers a terminal: control characters, and those that turn the direction of writing.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with the replacement character for each that would steer a terminal; tabs are for the renderer.
fn tame(text: &str) -> String {
    let tame = |c: char| {
        if c != '\t' && steers(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(tame).collect()
}

/// The text with nothing in it that a terminal would act on: tabs become spaces, what steers the replacement character.
pub(crate) fn printable(text: &str) -> String {
    tame(text).replace('\t', "    ")
}

/// One reason why there is no policy.
#[derive(Debug)]
pub enum Problem {
    /// Something in a file is wrong.
    Wrong(Box<Diagnostic>),
    /// A file or directory that is there cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is no policy file at all.
    Missing {
        /// The patterns and paths looked at.
        looked_at: Vec<PathBuf>,
    },
}

impl Problem {
    pub(super) fn wrong(diagnostic: Diagnostic) -> Self {
        Self::Wrong(Box::new(diagnostic))
    }

    /// As [`Diagnostic::print`].
    fn print(&self, colors: bool) -> String {
        let group = match self {
            Self::Wrong(diagnostic) => return diagnostic.print(colors),
            Self::Unreadable { path, error } => {
                let path = printable(&path.to_string_lossy());
                let mend = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "run as a user that may read it, or open it to all (chmod a+rX)"
                    }
                    io::ErrorKind::NotFound => "write it, or name another",
                    io::ErrorKind::IsADirectory => "name a file in it",
                    _ => "mend it, or take it away",
                };
                Level::ERROR
                    .primary_title(format!("failed to read '{path}': {error}"))
                    .element(Level::HELP.message(mend))
            }
            Self::Missing { looked_at } => {
                let mut group =
                    Group::with_title(Level::ERROR.primary_title("there is no policy file"));
                for path in looked_at {
                    let path = printable(&path.to_string_lossy());
                    group = group.element(Level::NOTE.message(format!("looked at {path}")));
                }
                group.element(Level::HELP.message(
                    "write one; `tagkeeper init` prints a first one, and an empty file is legal and watches no workload",
                ))
            }
        };
        render(group, colors)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(false))
    }
}

/// The policy is refused: every reason, in the order of the files. Nothing may be done without a policy (exit 78).
#[derive(Debug)]
pub struct Refused {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Refused {
    /// The errors that have a place in a file.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.problems.iter().filter_map(|problem| match problem {
            Problem::Wrong(diagnostic) => Some(&**diagnostic),
            Problem::Unreadable { .. } | Problem::Missing { .. } => None,
        })
    }

    /// Every reason, as compilers print them. With colours for a terminal, or without.
    pub fn print(&self, colors: bool) -> String {
        let mut printed: Vec<String> = self.problems.iter().map(|p| p.print(colors)).collect();
        printed.push(match self.problems.len() {
            1 => "1 error; nothing was done".to_owned(),
            n => format!("{n} errors; nothing was done"),
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
