//! Reads the single values of a policy: a duration, a repository, a name. Pure; each reader takes one TOML value and
//! gives what it means, or a [`Fault`] that says what to write instead.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::diagnostic::printable;
use super::{Glob, LocalFallback, MIN_SOAK_MS};
use crate::image::{NameError, Reference, Repository};

/// A TOML value and where it stands.
pub(super) type Value<'s> = Spanned<DeValue<'s>>;

/// Longest duration that a policy may name: ten years, as humantime counts them (365.25 days). What is longer is a
/// slip, and sums of clocks stay far from the end of their range.
const LONGEST_MS: u64 = 10 * 31_557_600 * 1000;
/// Most fallbacks that a policy may ask for. No disk holds more, and a number beyond it is a slip.
const MOST_FALLBACKS: usize = 100;

/// What is wrong with one value. `what` goes on from the name of the key: "is empty".
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) what: String,
    pub(super) mend: String,
}

impl Fault {
    pub(super) fn new(
        span: Range<usize>,
        what: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let (what, mend) = (what.into(), mend.into());
        Self { span, what, mend }
    }

    /// A value of another type than `wanted`.
    pub(super) fn wrong_type(value: &Value, wanted: &str, mend: impl Into<String>) -> Self {
        let found = type_name(value.get_ref());
        Self::new(value.span(), format!("is {found}, not {wanted}"), mend)
    }
}

/// The type of a value, in words for people.
fn type_name(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"");
    format!("\"{}\"", printable(&escaped))
}

/// A key as TOML writes it: bare where that is legal.
pub(crate) fn key_name(key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// What a duration is for; it decides which are too short.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// At least [`MIN_SOAK_MS`].
    Soak,
    /// Anything, zero included: idle images then go at once.
    Grace,
    /// At least a millisecond.
    Timeout,
}

/// A duration as humantime reads it, in milliseconds.
pub(super) fn duration(value: &Value, purpose: Purpose, example: &str) -> Result<u64, Fault> {
    let text = match value.get_ref() {
        DeValue::String(text) => text,
        DeValue::Integer(n) if n.radix() == 10 && number(n).is_some_and(|n| n >= 0) => {
            let mend = format!(
                "a duration has a unit: write \"{}s\" for seconds",
                n.as_str()
            );
            return Err(Fault::wrong_type(value, "a duration", mend));
        }
        _ => {
            let mend = format!("write a number and a unit, \"{example}\"");
            return Err(Fault::wrong_type(value, "a duration", mend));
        }
    };
    let fault = |what: String, mend: String| Fault::new(value.span(), what, mend);
    let read = humantime::parse_duration(text).map_err(|e| {
        let mend = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            format!("write \"{text}s\" for seconds")
        } else {
            format!("write a number and a unit, \"{example}\"")
        };
        let why = printable(&e.to_string());
        fault(format!("is not a duration: {why}"), mend)
    })?;
    let ms = u64::try_from(read.as_millis()).unwrap_or(u64::MAX);
    match purpose {
        Purpose::Soak if ms < MIN_SOAK_MS => Err(fault(
            "is shorter than one second".to_owned(),
            format!("write one second or more, \"{example}\""),
        )),
        // A deadline of nothing is a deadline that every call misses.
        Purpose::Timeout if ms == 0 => Err(fault(
            "is zero, and nothing could ever be in time".to_owned(),
            format!("write a millisecond or more, \"{example}\""),
        )),
        _ if ms > LONGEST_MS => Err(fault(
            "is longer than ten years".to_owned(),
            format!("write a shorter one, \"{example}\""),
        )),
        _ => Ok(ms),
    }
}

fn number(integer: &DeInteger) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A number of fallbacks; 0 is legal.
pub(super) fn fallbacks(value: &Value) -> Result<usize, Fault> {
    let mend = format!("write a whole number from 0 to {MOST_FALLBACKS}, without quotes");
    let DeValue::Integer(integer) = value.get_ref() else {
        return Err(Fault::wrong_type(value, "a whole number", mend));
    };
    number(integer)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n <= MOST_FALLBACKS)
        .ok_or_else(|| Fault::new(value.span(), "is out of range", mend))
}

/// A percentage, `"85%"`.
pub(super) fn percentage(value: &Value) -> Result<u8, Fault> {
    const RULE: &str = "write a whole percentage from \"1%\" to \"100%\"";
    let legal = |percent: &i64| (1..=100).contains(percent);
    let text = match value.get_ref() {
        DeValue::String(text) => text,
        DeValue::Integer(n) => {
            let mend = number(n)
                .filter(legal)
                .map_or(RULE.to_owned(), |percent| format!("write \"{percent}%\""));
            return Err(Fault::wrong_type(value, "a percentage", mend));
        }
        _ => return Err(Fault::wrong_type(value, "a percentage", RULE)),
    };
    let Some(digits) = text.strip_suffix('%') else {
        let is_percent = text.parse().is_ok_and(|percent| legal(&percent));
        let mend = if is_percent {
            format!("write \"{text}%\"")
        } else {
            RULE.to_owned()
        };
        return Err(Fault::new(value.span(), "is not a percentage", mend));
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return Err(Fault::new(value.span(), "is not a whole percentage", RULE));
    }
    let percent = digits.parse().ok().filter(|p| legal(&i64::from(*p)));
    percent.ok_or_else(|| Fault::new(value.span(), "is out of range", RULE))
}

/// `true` or `false`.
pub(super) fn switch(value: &Value) -> Result<bool, Fault> {
    let mend = "write true or false, without quotes";
    value
        .get_ref()
        .as_bool()
        .ok_or_else(|| Fault::wrong_type(value, "true or false", mend))
}

/// `"drop"` or `"keep"`.
pub(super) fn local_fallback(value: &Value) -> Result<LocalFallback, Fault> {
    let mend = "write \"drop\" or \"keep\"";
    match value.get_ref().as_str() {
        Some("drop") => Ok(LocalFallback::Drop),
        Some("keep") => Ok(LocalFallback::Keep),
        Some(_) => Err(Fault::new(
            value.span(),
            "is neither \"drop\" nor \"keep\"",
            mend,
        )),
        None => Err(Fault::wrong_type(value, "\"drop\" or \"keep\"", mend)),
    }
}

/// A text that is not empty and that the system can be handed.
pub(super) fn text<'v>(value: &'v Value, wanted: &str, mend: &str) -> Result<&'v str, Fault> {
    match value.get_ref().as_str() {
        None => Err(Fault::wrong_type(value, wanted, mend)),
        Some("") => Err(Fault::new(value.span(), "is empty", mend)),
        Some(text) if text.contains('\0') => {
            Err(Fault::new(value.span(), "has a NUL character in it", mend))
        }
        Some(text) => Ok(text),
    }
}

/// A repository: no tag, no digest.
pub(super) fn repository(value: &Value) -> Result<Repository, Fault> {
    const EXAMPLE: &str =
        "write a name such as \"docker-app\" or \"registry.example:5000/docker-app\"";
    let text = text(value, "a repository", EXAMPLE)?;
    Repository::parse(text).map_err(|e| {
        let meant = match e {
            NameError::HasTag | NameError::HasDigest => Reference::parse(text)
                .ok()
                .map(|reference| reference.repository().to_string()),
            NameError::UpperCase => Repository::parse(&text.to_lowercase())
                .ok()
                .map(|repository| repository.to_string()),
            NameError::Empty | NameError::TooLong | NameError::Malformed => None,
        };
        let mend = meant.map_or(EXAMPLE.to_owned(), |name| {
            format!("write {}", quoted(&name))
        });
        Fault::new(value.span(), e.to_string(), mend)
    })
}

/// The name of a container, which is also what a workload may be called.
pub(crate) fn is_name(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(rest)
}

/// What [`is_name`] takes, for people.
pub(super) const NAME_RULE: &str =
    "letters, digits, '.', '_' and '-', the first of them a letter or a digit";

/// The exact name of a container.
pub(super) fn container(value: &Value) -> Result<String, Fault> {
    let mend = format!("write {NAME_RULE}");
    let text = text(value, "the name of a container", &mend)?;
    if is_name(text) {
        return Ok(text.to_owned());
    }
    // The engine's API puts a slash before names, and people copy it.
    let mend = match text.strip_prefix('/') {
        Some(name) if is_name(name) => format!("write {}", quoted(name)),
        _ if text.contains(['*', '?', '[']) => {
            format!("{mend}; patterns go into 'orchestrated'")
        }
        _ => mend,
    };
    Err(Fault::new(
        value.span(),
        "is not the name of a container",
        mend,
    ))
}

/// A pattern on container names.
pub(super) fn glob(value: &Value) -> Result<Glob, Fault> {
    let mend = "write a pattern such as \"k8s_app_*\", or leave the key out to count all containers of its images";
    let text = text(value, "a pattern", mend)?;
    Glob::parse(text).map_err(|e| Fault::new(value.span(), format!("is not a pattern: {e}"), mend))
}

/// The engine's socket, an absolute path.
pub(super) fn socket(value: &Value) -> Result<PathBuf, Fault> {
    let mend = "write the absolute path of a unix socket, \"/run/docker.sock\"";
    let text = text(value, "a path", mend)?;
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    let mend = match text.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => format!("write {}", quoted(path)),
        _ => mend.to_owned(),
    };
    Err(Fault::new(value.span(), "is not an absolute path", mend))
}

/// The file that metrics are written to: an absolute path that node_exporter would read.
pub(super) fn textfile(value: &Value) -> Result<PathBuf, Fault> {
    let mend = "write the absolute path of a file, \"/run/tagkeeper/tagkeeper.prom\"";
    let text = text(value, "a path", mend)?;
    if !text.starts_with('/') {
        return Err(Fault::new(value.span(), "is not an absolute path", mend));
    }
    let path = PathBuf::from(text);
    if path.extension().is_none_or(|extension| extension != "prom") {
        let what = "is not the name of a file that ends in .prom, and node_exporter reads no other";
        return Err(Fault::new(value.span(), what, mend));
    }
    Ok(path)
}

/// One word of a command; the first is the program, an absolute path: the unit's search path is nobody's to guess.
pub(super) fn command_word(index: usize, value: &Value) -> Result<String, Fault> {
    let mend = "write each word of the command as a string, [\"/path/to/command\", \"arg\"]";
    if index > 0 && value.get_ref().as_str() == Some("") {
        return Ok(String::new());
    }
    let text = text(value, "a string", mend)?;
    if index == 0 && !Path::new(text).is_absolute() {
        let what = format!(
            "names the program {}, which is no absolute path",
            quoted(text)
        );
        let mend = "write the whole path, [\"/path/to/command\", \"arg\"]";
        return Err(Fault::new(value.span(), what, mend));
    }
    Ok(text.to_owned())
}
