//! Reads the single values of a policy: a duration, a repository, a pattern. Pure; each reader
//! takes one TOML value and gives what it means, or a [`Fault`] that says what to write instead.

use std::path::{Path, PathBuf};

use tagkeeper_core::model::{
    ID_DIGITS, LATEST, LocalFallback, NameError, Pattern, Reference, Rejection, Repository,
    SHORT_DIGITS, is_hex,
};
use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::diagnostic::{Span, printable};
use super::keys::{Kind, Least, Row};
use super::overlap;

/// A TOML value and where it is.
pub(super) type Value<'s> = Spanned<DeValue<'s>>;

/// Longest duration that a policy may name: ten years, as humantime counts them (365.25 days). What
/// is longer is a slip, and sums of clocks stay far from the end of their range.
pub(super) const LONGEST_MS: u64 = 10 * 31_557_600 * 1000;
/// Most fallbacks that a policy may ask for. No disk holds more, and a number beyond it is a slip.
pub(super) const MOST_FALLBACKS: usize = 100;
/// Shortest soak that a policy may name (design section 6).
const SHORTEST_SOAK_MS: u64 = 1000;

/// What was read, and where.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// A value to be read, as the value of a key.
#[derive(Clone, Copy)]
pub(super) struct Input<'v> {
    pub(super) value: &'v Value<'v>,
    /// The number of its file.
    pub(super) file: usize,
    pub(super) row: Row,
}

impl<'v> Input<'v> {
    pub(super) fn span(&self) -> Span {
        Span::new(self.file, self.value.span())
    }

    fn found<T>(&self, value: T) -> Found<T> {
        let span = self.span();
        Found { value, span }
    }

    fn fault(&self, message: impl Into<String>, help: impl Into<String>) -> Fault {
        let (message, help) = (message.into(), help.into());
        let span = self.span();
        Fault {
            span,
            message,
            help,
        }
    }

    /// A value of another type than `wanted`.
    fn wrong_type(&self, wanted: &str, help: impl Into<String>) -> Fault {
        let found = type_name(self.value.get_ref());
        self.fault(format!("is {found}, not {wanted}"), help)
    }

    /// The entries of a list.
    fn entries(&self) -> Result<Vec<Self>, Fault> {
        match self.value.get_ref() {
            DeValue::Array(entries) => Ok(self.each(entries)),
            _ => Err(self.wrong_type("a list", format!("write a list, {}", self.row.example))),
        }
    }

    /// The entries of a list; a text is a list of one.
    fn entry_or_entries(&self) -> Result<Vec<Self>, Fault> {
        match self.value.get_ref() {
            DeValue::String(_) => Ok(vec![*self]),
            DeValue::Array(entries) if entries.is_empty() => {
                Err(self.fault("is empty", "write at least one, or omit the key"))
            }
            DeValue::Array(entries) => Ok(self.each(entries)),
            _ => Err(self.wrong_type("a text or a list", "write one in quotes, or a list of them")),
        }
    }

    fn each(&self, entries: &'v [Value<'v>]) -> Vec<Self> {
        let one = |value| Self { value, ..*self };
        entries.iter().map(one).collect()
    }
}

/// What is wrong with one value. `message` continues from the name of the key: "is empty".
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: String,
}

/// Reads each entry; gives those that can be read, and reports the others.
fn read_all<'v, T>(
    entries: Result<Vec<Input<'v>>, Fault>,
    faults: &mut Vec<Fault>,
    read: impl Fn(usize, &Input<'v>) -> Result<T, Fault>,
) -> Option<Vec<T>> {
    let entries = match entries {
        Ok(entries) => entries,
        Err(fault) => {
            faults.push(fault);
            return None;
        }
    };
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match read(index, entry) {
            Ok(value) => found.push(value),
            Err(fault) => faults.push(fault),
        }
    }
    Some(found)
}

/// The type of a value, in words for people.
fn type_name(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
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

/// A key as TOML writes it: bare where that is valid.
pub(crate) fn key_name(key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

/// A duration as humantime reads it, in milliseconds.
pub(super) fn duration(input: &Input) -> Result<u64, Fault> {
    let example = input.row.example;
    let text = match input.value.get_ref() {
        DeValue::String(text) => text,
        DeValue::Integer(n) if n.radix() == 10 && number(n).is_some_and(|n| n >= 0) => {
            let help = format!("add a unit: \"{}s\" for seconds", n.as_str());
            return Err(input.wrong_type("a duration", help));
        }
        _ => {
            let help = format!("write a number and a unit, {example}");
            return Err(input.wrong_type("a duration", help));
        }
    };
    let read = humantime::parse_duration(text).map_err(|e| {
        let help = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            format!("write \"{text}s\" for seconds")
        } else {
            format!("write a number and a unit, {example}")
        };
        let why = printable(&e.to_string());
        input.fault(format!("is not a duration: {why}"), help)
    })?;
    let ms = u64::try_from(read.as_millis()).unwrap_or(u64::MAX);
    match input.row.kind {
        Kind::Duration(Least::Second) if ms < SHORTEST_SOAK_MS => Err(input.fault(
            "is shorter than one second",
            format!("write one second or more, {example}"),
        )),
        Kind::Duration(Least::Millisecond) if ms == 0 => Err(input.fault(
            "is zero, so it would be over before it begins",
            format!("write a millisecond or more, {example}"),
        )),
        _ if ms > LONGEST_MS => Err(input.fault(
            "is longer than ten years",
            format!("write a shorter one, {example}"),
        )),
        _ => Ok(ms),
    }
}

fn number(integer: &DeInteger) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A whole number.
pub(super) fn count(input: &Input) -> Result<usize, Fault> {
    let max = match input.row.kind {
        Kind::Count { max } => max,
        _ => usize::MAX,
    };
    let help = format!("write a whole number from 0 to {max}, without quotes");
    let DeValue::Integer(integer) = input.value.get_ref() else {
        return Err(input.wrong_type("a whole number", help));
    };
    number(integer)
        .and_then(|n| usize::try_from(n).ok())
        .filter(|&n| n <= max)
        .ok_or_else(|| input.fault("is out of range", help))
}

/// A percentage, `"85%"`.
pub(super) fn percentage(input: &Input) -> Result<u8, Fault> {
    const RULE: &str = "write a whole percentage from \"1%\" to \"100%\"";
    let valid = |percent: &i64| (1..=100).contains(percent);
    let text = match input.value.get_ref() {
        DeValue::String(text) => text,
        DeValue::Integer(n) => {
            let help = number(n)
                .filter(valid)
                .map_or(RULE.to_owned(), |percent| format!("write \"{percent}%\""));
            return Err(input.wrong_type("a percentage", help));
        }
        _ => return Err(input.wrong_type("a percentage", RULE)),
    };
    let Some(digits) = text.strip_suffix('%') else {
        let is_percent = text.parse().is_ok_and(|percent| valid(&percent));
        let help = if is_percent {
            format!("write \"{text}%\"")
        } else {
            RULE.to_owned()
        };
        return Err(input.fault("is not a percentage", help));
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return Err(input.fault("is not a whole percentage", RULE));
    }
    let percent = digits.parse().ok().filter(|p| valid(&i64::from(*p)));
    percent.ok_or_else(|| input.fault("is out of range", RULE))
}

/// `true` or `false`.
pub(super) fn switch(input: &Input) -> Result<bool, Fault> {
    let help = "write true or false, without quotes";
    let value = input.value.get_ref().as_bool();
    value.ok_or_else(|| input.wrong_type("true or false", help))
}

/// `"drop"` or `"keep"`.
pub(super) fn local_fallback(input: &Input) -> Result<LocalFallback, Fault> {
    let help = "write \"drop\" or \"keep\"";
    match input.value.get_ref().as_str() {
        Some("drop") => Ok(LocalFallback::Drop),
        Some("keep") => Ok(LocalFallback::Keep),
        Some(_) => Err(input.fault("is neither \"drop\" nor \"keep\"", help)),
        None => Err(input.wrong_type("\"drop\" or \"keep\"", help)),
    }
}

/// A text that is not empty and that the system can be handed.
fn text<'v>(input: &Input<'v>, wanted: &str, help: &str) -> Result<&'v str, Fault> {
    match input.value.get_ref().as_str() {
        None => Err(input.wrong_type(wanted, help)),
        Some("") => Err(input.fault("is empty", help)),
        Some(text) if text.contains('\0') => Err(input.fault("has a NUL character in it", help)),
        Some(text) => Ok(text),
    }
}

/// Any text, on one line.
pub(super) fn plain_text(input: &Input) -> Result<String, Fault> {
    let help = format!("write one line of text, {}", input.row.example);
    let text = text(input, "a text", &help)?;
    if text.trim().is_empty() {
        return Err(input.fault("is empty", help));
    }
    if text.chars().any(char::is_control) {
        return Err(input.fault("has control characters in it", help));
    }
    Ok(text.to_owned())
}

/// A repository: no tag, no digest.
pub(super) fn repository(input: &Input) -> Result<Repository, Fault> {
    const EXAMPLE: &str =
        "write a name such as \"docker-app\" or \"registry.example:5000/docker-app\"";
    let text = text(input, "a repository", EXAMPLE)?;
    Repository::parse(text).map_err(|e| {
        let meant = match e {
            NameError::HasTag | NameError::HasDigest => Reference::parse(text)
                .ok()
                .map(|reference| reference.repository().to_string()),
            NameError::UpperCase => Repository::parse(&text.to_lowercase())
                .ok()
                .map(|repository| repository.to_string()),
            NameError::Malformed => text
                .split_once("://")
                .and_then(|(_, rest)| Repository::parse(rest).ok())
                .map(|repository| repository.to_string()),
            NameError::Empty | NameError::TooLong => None,
        };
        let help = meant.map_or(EXAMPLE.to_owned(), |name| {
            format!("write {}", quoted(&name))
        });
        input.fault(e.to_string(), help)
    })
}

/// A list of repositories.
pub(super) fn repositories(
    input: &Input,
    faults: &mut Vec<Fault>,
) -> Option<Vec<Found<Repository>>> {
    read_all(input.entries(), faults, |_, entry| {
        repository(entry).map(|value| entry.found(value))
    })
}

/// Whether a text can be the name of a container or of a workload.
pub(crate) fn is_name(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(rest)
}

/// What [`is_name`] takes, for people.
pub(super) const NAME_RULE: &str =
    "letters, digits, '.', '_' and '-', the first of them a letter or a digit";

/// A pattern that can match a name.
fn name_or_pattern(input: &Input, whose: &str) -> Result<Pattern, Fault> {
    let help = format!("write {NAME_RULE}; or a pattern with '*', '?' or '[0-9]'");
    let text = text(input, &format!("the name of {whose}, or a pattern"), &help)?;
    let parsed =
        Pattern::parse(text).map_err(|e| input.fault(e.to_string(), "close the set, \"[0-9]\""))?;
    if overlap::example_of(&parsed).is_some() {
        return Ok(parsed);
    }
    // The engine's API puts a slash before names, and people copy it.
    let without_slash = text
        .strip_prefix('/')
        .filter(|rest| Pattern::parse(rest).is_ok_and(|rest| overlap::example_of(&rest).is_some()));
    let help = without_slash.map_or(help, |name| format!("write {}", quoted(name)));
    let message = if parsed.is_exact() {
        format!("is not the name of {whose}")
    } else {
        format!("matches no name that {whose} can have")
    };
    Err(input.fault(message, help))
}

/// A name of a container, a pattern on such names, or a list of them.
pub(super) fn containers(input: &Input, faults: &mut Vec<Fault>) -> Option<Vec<Found<Pattern>>> {
    read_all(input.entry_or_entries(), faults, |_, entry| {
        name_or_pattern(entry, "a container").map(|value| entry.found(value))
    })
}

/// A name of a workload, a pattern on such names, or a list of them.
pub(super) fn workloads(input: &Input, faults: &mut Vec<Fault>) -> Option<Vec<Found<Pattern>>> {
    read_all(input.entry_or_entries(), faults, |_, entry| {
        name_or_pattern(entry, "a workload").map(|value| entry.found(value))
    })
}

/// A pattern on names of containers.
pub(super) fn pattern(input: &Input) -> Result<Pattern, Fault> {
    let help = "write a pattern such as \"k8s_app_*\", or omit the key to count all containers of its images";
    text(input, "a pattern", help)?;
    name_or_pattern(input, "a container")
}

/// The address of a unix socket, as a path or as `unix://` and a path; none of anything else.
pub fn socket_path(address: &str) -> Option<PathBuf> {
    let path = address.strip_prefix("unix://").unwrap_or(address);
    (path.starts_with('/') && !path.contains('\0')).then(|| PathBuf::from(path))
}

/// What is said of an address that [`is_elsewhere`].
pub(crate) const ELSEWHERE: &str = "is not a unix socket, and tagkeeper uses no other";

/// Whether an address leads to anything but a unix socket: `tcp://` or `ssh://`.
pub(crate) fn is_elsewhere(address: &str) -> bool {
    let scheme = address.split_once("://");
    scheme.is_some_and(|(scheme, _)| scheme != "unix")
}

/// The engine's socket.
pub(super) fn socket(input: &Input) -> Result<PathBuf, Fault> {
    let help = "write the absolute path of a unix socket, \"/run/docker.sock\"";
    let text = text(input, "a path", help)?;
    socket_path(text).ok_or_else(|| {
        if is_elsewhere(text) {
            input.fault(ELSEWHERE, help)
        } else {
            input.fault("is not an absolute path", help)
        }
    })
}

/// The file that metrics are written to: an absolute path that node_exporter would read.
pub(super) fn metrics_file(input: &Input) -> Result<PathBuf, Fault> {
    let help = "write the absolute path of a file, \"/run/tagkeeper/tagkeeper.prom\"";
    let text = text(input, "a path", help)?;
    if !text.starts_with('/') {
        return Err(input.fault("is not an absolute path", help));
    }
    let path = PathBuf::from(text);
    if path.extension().is_none_or(|extension| extension != "prom") {
        let message = "does not end in .prom, and node_exporter reads no other file";
        return Err(input.fault(message, help));
    }
    Ok(path)
}

/// A program and its arguments, to be run without a shell.
pub(super) fn command(input: &Input, faults: &mut Vec<Fault>) -> Option<Vec<String>> {
    let words = read_all(
        input.entries().map_err(|fault| Fault {
            help: format!("write a list, {COMMAND}"),
            ..fault
        }),
        faults,
        command_word,
    )?;
    if input
        .value
        .get_ref()
        .as_array()
        .is_some_and(|a| a.is_empty())
    {
        faults.push(input.fault("is empty", format!("write {COMMAND}, or omit the key")));
    }
    Some(words)
}

const COMMAND: &str = "[\"/path/to/command\", \"arg\"]";

/// One word of a command; the first is the program, an absolute path, because the unit has a search
/// path of its own.
fn command_word(index: usize, input: &Input) -> Result<String, Fault> {
    let help = format!("write each word of the command as a text, {COMMAND}");
    if index > 0 && input.value.get_ref().as_str() == Some("") {
        return Ok(String::new());
    }
    let text = text(input, "a text", &help)?;
    if index == 0 && !Path::new(text).is_absolute() {
        let message = format!(
            "names the program {}, which is not an absolute path",
            quoted(text)
        );
        return Err(input.fault(message, format!("write the whole path, {COMMAND}")));
    }
    Ok(text.to_owned())
}

/// What `[reject]` has for one workload.
pub(super) fn rejections(input: &Input, faults: &mut Vec<Fault>) -> Option<Vec<Rejection>> {
    read_all(input.entry_or_entries(), faults, |_, entry| {
        rejection(entry)
    })
}

/// A version, an image id, or a repo digest.
fn rejection(input: &Input) -> Result<Rejection, Fault> {
    const HELP: &str = "write a version (\"v3\"), an image ID (\"sha256:...\") or a repo digest (\"repository@sha256:...\")";
    let text = text(input, "a version, an image ID or a repo digest", HELP)?;
    // The grammar of references knows what a tag and a digest are.
    let as_tag = |tag: &str| Reference::parse(&format!("x:{tag}")).is_ok();
    let as_digest = |digest: &str| Reference::parse(&format!("x@{digest}")).is_ok();
    let is_short_id = |text: &str| {
        let digits = text.strip_prefix("sha256:");
        digits.is_some_and(|digits| {
            (SHORT_DIGITS..=ID_DIGITS).contains(&digits.len()) && is_hex(digits)
        })
    };
    if text == LATEST {
        let message = "has \"latest\", which is not a version";
        return Err(input.fault(message, HELP));
    }
    let digits = text.split_once("sha256:").map_or("", |(_, digits)| digits);
    if digits.bytes().any(|b| b.is_ascii_uppercase()) {
        let lower = text.replace(digits, &digits.to_ascii_lowercase());
        return Err(input.fault(
            format!("has {}, and digests are in lower case", quoted(text)),
            format!("write {}", quoted(&lower)),
        ));
    }
    if as_tag(text) || as_digest(text) || is_short_id(text) {
        return Ok(Rejection::new(text));
    }
    match Reference::parse(text) {
        Ok(reference) if reference.is_digest() => Ok(Rejection::new(text)),
        Ok(reference) if reference.version_tag().is_some() && !text.starts_with("sha256:") => {
            let help = format!(
                "write the version alone, {}",
                quoted(reference.version_tag().unwrap_or_default())
            );
            Err(input.fault(format!("has {}, which is a name", quoted(text)), help))
        }
        _ if text.starts_with("sha256:") => Err(input.fault(
            format!("has {}, which is too short or no digest", quoted(text)),
            "write the first twelve digits or more, as `tagkeeper status` prints them",
        )),
        _ if text.contains("sha256:") => Err(input.fault(
            format!("has {}, which is not a whole digest", quoted(text)),
            "write all 64 digits, as `docker image inspect` prints them",
        )),
        _ => Err(input.fault(
            format!(
                "has {}, which is not a version, an image id or a digest",
                quoted(text)
            ),
            HELP,
        )),
    }
}
