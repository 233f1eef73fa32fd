//! What is wrong with a policy, where, and how to mend it: [`Diagnostic`], and [`Refused`], which carries all of them.
//!
//! Pure: finds places in text and prints them. Judges nothing and reads nothing.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

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
        let place = Place {
            file: self.source.label.clone(),
            line: before.matches('\n').count() + 1,
            column: chars(text.get(line_start..start).unwrap_or_default()) + 1,
        };
        let marked = text.get(start..end.min(line_end)).unwrap_or_default();
        let length = chars(marked.trim_end_matches('\r')).max(1);
        (place, line.trim_end_matches('\r'), length)
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
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.place.line;
        let before: String = self
            .source_line
            .chars()
            .take(self.place.column - 1)
            .collect();
        let meant: String = self
            .source_line
            .chars()
            .skip(self.place.column - 1)
            .take(self.length)
            .collect();
        let indent = " ".repeat(columns(&printable(&before)));
        let marks = "^".repeat(columns(&printable(&meant)).max(1));
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", self.what)?;
        writeln!(f, "  --> {}", self.place)?;
        writeln!(f, "     |")?;
        writeln!(
            f,
            "{}",
            format!("{line:>4} | {}", printable(&self.source_line)).trim_end()
        )?;
        writeln!(f, "     | {indent}{marks}")?;
        if let Some(other) = &self.other {
            writeln!(f, "     = note: first at {other}")?;
        }
        write!(f, "     = help: {}", self.mend)
    }
}

/// The text with nothing in it that a terminal would act on: tabs become spaces, control characters (and those that
/// turn the direction of writing) the replacement character.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// How many columns of a terminal a text takes. Covers the scripts whose letters are two columns wide and the common
/// combining marks; where it is wrong, the marks below a line are a little off and nothing else.
fn columns(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f | 0xfeff => 0,
            0x1100..=0x115f
            | 0x2e80..=0x303e
            | 0x3041..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1f64f
            | 0x1f680..=0x1f6ff
            | 0x1f900..=0x1f9ff
            | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
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
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(diagnostic) => diagnostic.fmt(f),
            Self::Unreadable { path, error } => {
                let path = path.to_string_lossy();
                write!(f, "error: failed to read '{}': {error}", printable(&path))
            }
            Self::Missing { looked_at } => {
                write!(f, "error: there is no policy file")?;
                for path in looked_at {
                    let path = path.to_string_lossy();
                    write!(f, "\n     = note: looked at {}", printable(&path))?;
                }
                write!(
                    f,
                    "\n     = help: write one; an empty file is legal and watches no workload"
                )
            }
        }
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
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            write!(f, "{problem}\n\n")?;
        }
        match self.problems.len() {
            1 => write!(f, "1 error; nothing was done"),
            n => write!(f, "{n} errors; nothing was done"),
        }
    }
}

impl std::error::Error for Refused {}
