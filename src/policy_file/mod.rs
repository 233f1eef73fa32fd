//! What the operator wants, as it is written: from TOML files to validated [`Settings`] (design
//! section 6).
//!
//! - `keys` is the table of all keys; `value` reads the value of one, `overlap` compares patterns.
//! - `files` finds the files; `raw` reads each, `merged` is what they say together, and `validated`
//!   makes settings of that.
//! - `lint` finds what is valid and probably a mistake, `host` what this host has to say about it.
//! - `diagnostic` says what is wrong and where.
//!
//! All errors of a policy are found at once; a policy with one error is no policy at all. Reads
//! files (in `files` and `host` alone); knows no engine.

mod diagnostic;
mod files;
mod host;
mod keys;
mod lint;
mod merged;
mod overlap;
mod raw;
mod validated;
mod value;

use std::path::PathBuf;

use tagkeeper_core::model::Policy;

pub(crate) use diagnostic::printable;
pub use diagnostic::{Diagnostic, Place, Refused, SHOWN, Severity, Source};
pub use files::{Roots, check, check_file};
pub use host::{Disk, FileKind, Service, Stat, System, User, of_host, service};
pub use keys::{Kind, Least, Row, Section, TABLE};
pub use lint::{CheckedPolicy, of_engine};
pub(crate) use lint::{KUBERNETES, is_of_a_pod, moving_tag};
pub use value::socket_path;
pub(crate) use value::{ELSEWHERE, is_elsewhere, is_name, key_name, quoted};

use diagnostic::Findings;
use merged::Merged;

/// Deadline of one engine call when the policy names none.
pub const DEFAULT_TIMEOUT_MS: u64 = 20 * 1000;
/// Deadline of a `ready` command when the policy names none (design 4.3).
pub const DEFAULT_READY_TIMEOUT_MS: u64 = 10 * 1000;
/// Deadline of a hook when the policy names none.
pub const DEFAULT_HOOK_TIMEOUT_MS: u64 = 10 * 1000;
/// Longest random wait before hooks run when the policy names none.
pub const DEFAULT_HOOK_SPREAD_MS: u64 = 10 * 1000;
/// The engine's socket when neither policy nor command line names one.
pub const DEFAULT_SOCKET: &str = "/run/docker.sock";

/// Everything that the policy files say, validated. A decision reads `policy` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What is to be kept, and how.
    pub policy: Policy,
    /// How to reach the engine.
    pub engine: EngineSettings,
    /// Where to write metrics.
    pub metrics: Metrics,
    /// Which commands to notify.
    pub hooks: Hooks,
    /// CRC-32 of the files' texts, in the order of their precedence: hosts with the same policy
    /// have the same.
    pub hash: u32,
}

/// `[engine]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// The unix socket.
    pub socket: PathBuf,
    /// Deadline of one call, in milliseconds.
    pub timeout_ms: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            socket: PathBuf::from(DEFAULT_SOCKET),
            timeout_ms: DEFAULT_TIMEOUT_MS,
        }
    }
}

/// `[metrics]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The file that node_exporter reads; none where no metrics are written.
    pub textfile: Option<PathBuf>,
}

/// `[hooks]`: commands that are notified of what happened. Each is a program and its arguments, run
/// without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// An image became latest and the head of the lineage.
    pub promoted: Option<Vec<String>>,
    /// An upgrade failed.
    pub failed: Option<Vec<String>>,
    /// An operator rolled back.
    pub rolled_back: Option<Vec<String>>,
    /// Deadline of each, in milliseconds.
    pub timeout_ms: u64,
    /// The longest random wait before a pass runs hooks, in milliseconds; of more than a minute, a
    /// minute counts.
    pub spread_ms: u64,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            promoted: None,
            failed: None,
            rolled_back: None,
            timeout_ms: DEFAULT_HOOK_TIMEOUT_MS,
            spread_ms: DEFAULT_HOOK_SPREAD_MS,
        }
    }
}

/// Reads the policy that some files make, in the order of their precedence: of a key that two of
/// them set in `[defaults]`, `[engine]`, `[metrics]` or `[hooks]`, the later file's counts.
///
/// # Errors
/// The errors of all files.
pub fn parse(sources: &[Source]) -> Result<Settings, Refused> {
    check_sources(sources).map(|checked| checked.settings)
}

/// As [`parse`], with warnings.
///
/// # Errors
/// As those of [`parse`].
pub fn check_sources(sources: &[Source]) -> Result<CheckedPolicy, Refused> {
    examine(sources.to_vec(), Vec::new())
}

fn hash(sources: &[Source]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for source in sources {
        hasher.update(source.text.as_bytes());
    }
    hasher.finalize()
}

/// Reads the files whole, beside the problems that there are with others.
fn examine(sources: Vec<Source>, mut problems: Vec<Diagnostic>) -> Result<CheckedPolicy, Refused> {
    let mut findings = Findings::default();
    let mut merged = Merged::default();
    for (number, source) in sources.iter().enumerate() {
        raw::read_file(number, source, &mut merged, &mut findings);
    }
    let mentions = merged.mentions();
    let mut settings = validated::validate(merged, &mut findings);
    settings.hash = hash(&sources);
    let Findings { mut list, spans } = findings;
    if problems.is_empty() && list.is_empty() {
        return Ok(CheckedPolicy::new(settings, sources, spans, &mentions));
    }
    // Walked by key, reported as people read.
    list.sort_by_key(|finding| finding.span);
    let count = problems.len() + list.len();
    let wrong = list
        .into_iter()
        .map(|finding| finding.into_diagnostic(Severity::Error, &sources));
    let room = SHOWN.saturating_sub(problems.len());
    problems.extend(wrong.take(room));
    problems.truncate(SHOWN);
    let more = count - problems.len();
    Err(Refused { problems, more })
}
