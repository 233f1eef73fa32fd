//! From the text of TOML files to a [`Policy`]: walks each file by its sections and hands what it found to `check`.
//! Pure.
//!
//! The tables are walked by hand, because a derived deserializer stops at the first error and loses the place of
//! what it read; here all errors of all files come at once (design section 6).

use std::ops::Range;
use std::path::PathBuf;

use toml::de::DeTable;

use super::diagnostic::{At, Diagnostic, Problem, Refused, printable};
use super::files::Source;
use super::odd::Survey;
use super::section::{DEFAULTS_KEYS, ENGINE_KEYS, HOOKS_KEYS, METRICS_KEYS, Marks, Section};
use super::{Glob, LocalFallback, Metrics, Policy, check};
use crate::image::Repository;

/// What the parser says of a key or a section that is there already.
const DUPLICATE: &str = "duplicate key";

/// Reads a whole policy. The files are given in the order of their precedence: of a key that two of them set in
/// `[defaults]`, `[engine]`, `[metrics]` or `[hooks]`, the later file's counts.
///
/// # Errors
/// Every error of every file.
pub fn parse_policy(sources: &[Source]) -> Result<Policy, Refused> {
    survey(sources).map(|survey| survey.policy)
}

/// As [`parse_policy`], with what is odd about the policy.
///
/// # Errors
/// Every error of every file.
pub fn survey(sources: &[Source]) -> Result<Survey, Refused> {
    let (policy, marks, diagnostics) = examine(sources);
    if diagnostics.is_empty() {
        return Ok(Survey::new(policy, &marks, sources));
    }
    let problems = diagnostics.into_iter().map(Problem::wrong).collect();
    Err(Refused { problems })
}

/// The policy, where its values stand, and its errors; it is whole only if there are none.
pub(super) fn examine(sources: &[Source]) -> (Policy, Marks<'_>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut marks = Marks::new();
    let files = sources
        .iter()
        .map(|source| walk_file(source, &mut diagnostics, &mut marks))
        .collect();
    let policy = check::merge(files, &mut diagnostics);
    in_order(&mut diagnostics, sources);
    (policy, marks, diagnostics)
}

/// Walked by key, reported as people read.
pub(super) fn in_order(diagnostics: &mut [Diagnostic], sources: &[Source]) {
    let order = |label: &str| sources.iter().position(|source| source.label == label);
    diagnostics.sort_by_cached_key(|d| (order(&d.place.file), d.place.line, d.place.column));
}

/// A value and where it was read.
#[derive(Clone, Debug)]
pub(super) struct Found<'s, T> {
    pub(super) value: T,
    pub(super) at: At<'s>,
}

/// What one file says. What was wrong is absent, and has been reported.
#[derive(Debug)]
pub(super) struct File<'s> {
    pub(super) defaults: Settings,
    pub(super) engine: Engine,
    pub(super) metrics: Metrics,
    pub(super) hooks: RawHooks,
    /// In the order of the text.
    pub(super) workloads: Vec<RawWorkload<'s>>,
}

/// The keys that `[defaults]` and a workload share.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    pub(super) soak_ms: Option<u64>,
    pub(super) fallbacks: Option<usize>,
    pub(super) grace_ms: Option<u64>,
    pub(super) local_fallback: Option<LocalFallback>,
    pub(super) pressure_percent: Option<u8>,
    pub(super) pin: Option<bool>,
}

/// `[engine]`.
#[derive(Debug, Default)]
pub(super) struct Engine {
    pub(super) socket: Option<PathBuf>,
    pub(super) timeout_ms: Option<u64>,
}

/// `[hooks]`.
#[derive(Debug, Default)]
pub(super) struct RawHooks {
    pub(super) promoted: Option<Vec<String>>,
    pub(super) failed: Option<Vec<String>>,
    pub(super) rolled_back: Option<Vec<String>>,
    pub(super) timeout_ms: Option<u64>,
}

/// `[workload.NAME]`.
#[derive(Debug)]
pub(super) struct RawWorkload<'s> {
    pub(super) name: Found<'s, String>,
    pub(super) repository: Option<Found<'s, Repository>>,
    pub(super) remotes: Vec<Found<'s, Repository>>,
    /// The workload's name where the key is absent.
    pub(super) container: Option<Found<'s, String>>,
    pub(super) orchestrated: Option<Glob>,
    pub(super) ready: Option<Vec<String>>,
    pub(super) ready_timeout_ms: Option<u64>,
    pub(super) settings: Settings,
    pub(super) hold: Option<bool>,
}

fn walk_file<'s>(
    source: &'s Source,
    diagnostics: &mut Vec<Diagnostic>,
    marks: &mut Marks<'s>,
) -> File<'s> {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    let mut syntax: Vec<Diagnostic> = errors.iter().map(|e| syntax_error(source, e)).collect();
    let mut found = Vec::new();
    let file = walk_root(
        source,
        root.get_ref(),
        !syntax.is_empty(),
        &mut found,
        marks,
    );

    // What the parser made of lines that it could not read is not what somebody wrote there.
    let garbled: Vec<Range<usize>> = syntax.iter().map(|d| garbled_lines(source, d)).collect();
    found.retain(|d| garbled.iter().all(|lines| !lines.contains(&d.place.line)));
    syntax.retain(|d| {
        !d.what.ends_with(DUPLICATE)
            || garbled
                .iter()
                .all(|lines| lines.start == d.place.line || !lines.contains(&d.place.line))
    });
    diagnostics.extend(syntax);
    diagnostics.extend(found);
    file
}

/// The lines that a syntax error leaves without meaning: its own, and below a section's header all of the section.
fn garbled_lines(source: &Source, error: &Diagnostic) -> Range<usize> {
    let is_header = |line: &str| line.trim_start().starts_with('[');
    let first = error.place.line;
    if !is_header(&error.source_line) {
        return first..first + 1;
    }
    let length = source
        .text
        .lines()
        .skip(first)
        .take_while(|line| !is_header(line))
        .count();
    first..first + 1 + length
}

fn syntax_error(source: &Source, error: &toml::de::Error) -> Diagnostic {
    let end = source.text.len();
    let at = At {
        source,
        span: error.span().unwrap_or(end..end),
    };
    let mend = if error.message() == DUPLICATE {
        "write each key and each section once in a file"
    } else {
        "write 'key = value', with texts in double quotes and lists in [ ]"
    };
    let what = format!("not TOML: {}", printable(error.message()));
    at.error(None, what, mend.to_owned())
}

fn walk_root<'s>(
    source: &'s Source,
    root: &DeTable,
    broken: bool,
    diagnostics: &mut Vec<Diagnostic>,
    marks: &mut Marks<'s>,
) -> File<'s> {
    let mut top = Section {
        source,
        table: root,
        path: String::new(),
        broken,
        diagnostics,
        marks,
    };
    let mut file = File {
        defaults: Settings::default(),
        engine: Engine::default(),
        metrics: Metrics::default(),
        hooks: RawHooks::default(),
        workloads: Vec::new(),
    };
    for (key, value) in root {
        match key.get_ref().as_ref() {
            "defaults" => {
                if let Some(mut section) = top.subsection(key, value) {
                    file.defaults = section.settings();
                    section.unknown_keys(&DEFAULTS_KEYS);
                }
            }
            "engine" => {
                if let Some(mut section) = top.subsection(key, value) {
                    file.engine = section.engine();
                    section.unknown_keys(&ENGINE_KEYS);
                }
            }
            "metrics" => {
                if let Some(mut section) = top.subsection(key, value) {
                    file.metrics = section.metrics();
                    section.unknown_keys(&METRICS_KEYS);
                }
            }
            "hooks" => {
                if let Some(mut section) = top.subsection(key, value) {
                    file.hooks = section.hooks();
                    section.unknown_keys(&HOOKS_KEYS);
                }
            }
            "workload" => {
                if let Some(mut section) = top.subsection(key, value) {
                    file.workloads = section.workloads();
                }
            }
            _ => top.unknown_at_top(key, value),
        }
    }
    file.workloads.sort_by_key(|w| w.name.at.span.start);
    file
}
