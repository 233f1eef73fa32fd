//! Finds, masks and reads the policy files (design section 6). Reads files, and nothing else of a
//! host.
//!
//! Fails closed: what is there but cannot be read refuses the policy. Only what is not there at all
//! is skipped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Finding, Refused, Severity, Source, Span, printable};
use super::examine;
use super::lint::CheckedPolicy;

/// Symlinks that are followed to say where they lead: as many as Linux follows.
const MOST_LINKS: usize = 40;
/// Largest file that is read, in bytes: ten thousand workloads take a fourth of it.
const MOST_BYTES: u64 = 4 << 20;

/// Where the policy files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Drop-ins from packages.
    pub vendor_dir: PathBuf,
    /// The operator's file.
    pub file: PathBuf,
    /// The operator's drop-ins; one here masks one of the same name in `vendor_dir`.
    pub dropin_dir: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            vendor_dir: PathBuf::from("/usr/lib/tagkeeper/policy.d"),
            file: PathBuf::from("/etc/tagkeeper/policy.toml"),
            dropin_dir: PathBuf::from("/etc/tagkeeper/policy.d"),
        }
    }
}

/// Reads the policy of a host: vendor drop-ins by name, then the operator's file, then the
/// operator's drop-ins by name.
///
/// # Errors
/// The errors of all files, or that there is no file at all.
pub fn check(roots: &Roots) -> Result<CheckedPolicy, Refused> {
    let (sources, problems) = find(roots);
    examine(sources, problems)
}

/// Reads one file that a person named; it replaces all others. May be a pipe.
///
/// # Errors
/// The errors of the file, or that it cannot be read.
pub fn check_file(path: &Path) -> Result<CheckedPolicy, Refused> {
    let mut problems = Vec::new();
    let source = keep_problem(read(path), &mut problems);
    examine(source.into_iter().collect(), problems)
}

/// The files of a host that could be read, and why others could not.
fn find(roots: &Roots) -> (Vec<Source>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let dropins = list(&roots.dropin_dir, &mut problems);
    let mut vendor = list(&roots.vendor_dir, &mut problems);
    // A masked file is not read: it may be masked because it is broken.
    vendor.retain(|name, _| !dropins.contains_key(name));

    let operator = is_there(&roots.file).then(|| roots.file.clone());
    let paths: Vec<PathBuf> = vendor
        .into_values()
        .chain(operator)
        .chain(dropins.into_values())
        .collect();
    if paths.is_empty() && problems.is_empty() {
        let looked_for = vec![
            roots.vendor_dir.join("*.toml"),
            roots.file.clone(),
            roots.dropin_dir.join("*.toml"),
        ];
        let help = "write one: `tagkeeper init` prints a starter policy; an empty file is valid and names no workload";
        let message = "no policy file found".to_owned();
        problems.push(Diagnostic {
            severity: Severity::Error,
            place: None,
            looked_for,
            ..Diagnostic::of_file(&roots.file, message, help.to_owned())
        });
    }
    let sources = paths
        .iter()
        .filter_map(|path| keep_problem(read_found(path), &mut problems))
        .collect();
    (sources, problems)
}

fn keep_problem<T>(
    result: Result<T, Box<Diagnostic>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    result.map_err(|problem| problems.push(*problem)).ok()
}

/// The drop-ins of a directory by name: `*.toml`, no dot files. A directory that does not exist has
/// none.
fn list(dir: &Path, problems: &mut Vec<Diagnostic>) -> BTreeMap<OsString, PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound || is_there(dir) {
                problems.push(unreadable(dir, &error));
            }
            return BTreeMap::new();
        }
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        match entry {
            Ok(entry) => {
                let (name, path) = (entry.file_name(), entry.path());
                let hidden = name.as_encoded_bytes().starts_with(b".");
                if !hidden && path.extension().is_some_and(|ext| ext == "toml") {
                    found.insert(name, path);
                }
            }
            // A listing that breaks off may have hidden a mask.
            Err(error) => problems.push(unreadable(dir, &error)),
        }
    }
    found
}

/// Whether something has this name, also where it or a directory above it is a symlink that leads
/// nowhere; what cannot be told counts as there, and reading it will say why.
fn is_there(path: &Path) -> bool {
    match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound || dangling(path).is_some(),
    }
}

/// The symlink in a path that leads nowhere.
fn dangling(path: &Path) -> Option<&Path> {
    let is_link = |path: &&Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    let leads_nowhere = |path: &&Path| {
        let found = fs::metadata(path);
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    path.ancestors().filter(is_link).find(leads_nowhere)
}

/// That what has this name cannot be read, and what to do about it.
fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let said = |why: &str, help: &str| {
        let message = format!(
            "failed to read '{}': {why}",
            printable(&path.to_string_lossy())
        );
        Diagnostic {
            severity: Severity::Error,
            ..Diagnostic::of_file(path, message, help.to_owned())
        }
    };
    if let Some(link) = dangling(path).filter(|_| error.kind() == io::ErrorKind::NotFound) {
        let missing = missing_target(link);
        let missing = printable(&missing.to_string_lossy());
        let it = if link == path {
            "it".to_owned()
        } else {
            format!("'{}'", printable(&link.to_string_lossy()))
        };
        return said(
            &format!("{it} is a symlink that leads nowhere, to '{missing}'"),
            &format!("create '{missing}', or remove the symlink"),
        );
    }
    let help = match error.kind() {
        // The mode of a device is not for a policy to change.
        io::ErrorKind::PermissionDenied
            if fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) =>
        {
            "run as a user that may read it, or name a file"
        }
        io::ErrorKind::PermissionDenied => {
            "run as a user that may read it, or make it readable for all (chmod a+rX)"
        }
        io::ErrorKind::NotFound => "create it, or name another file",
        io::ErrorKind::IsADirectory => "name a file in it",
        _ => "fix or remove it",
    };
    said(&error.to_string(), help)
}

/// What the last of the symlinks leads to that begin with this one.
fn missing_target(link: &Path) -> PathBuf {
    let mut target = link.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(next) = fs::read_link(&target) else {
            break;
        };
        target = target.parent().unwrap_or(&target).join(next);
    }
    target
}

/// Reads a file that nobody named: a regular one, or `/dev/null`, which masks. A pipe under that
/// name would hang the pass for ever.
fn read_found(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let kind = fs::metadata(path)
        .map_err(|error| unreadable(path, &error))?
        .file_type();
    if !kind.is_file() && !fs::canonicalize(path).is_ok_and(|real| real == Path::new("/dev/null")) {
        let error = io::Error::other("it is neither a file nor a symlink to /dev/null");
        return Err(unreadable(path, &error).into());
    }
    read(path)
}

fn read(path: &Path) -> Result<Source, Box<Diagnostic>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MOST_BYTES {
        let error = io::Error::other(format!("it is larger than {} MiB", MOST_BYTES >> 20));
        return Err(unreadable(path, &error).into());
    }
    decode(path.to_string_lossy().into_owned(), bytes)
}

/// The text of a file, which must be UTF-8.
fn decode(label: String, bytes: Vec<u8>) -> Result<Source, Box<Diagnostic>> {
    if let Some(text) = utf_16(&bytes) {
        let source = Source { label, text };
        let message = "the file is UTF-16 text, not UTF-8";
        return Err(not_utf_8(source, 0..1, message).into());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { label, text }),
        Err(error) => {
            let start = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            // The replacement character is where the first bad byte was.
            let range = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
            let source = Source { label, text };
            Err(not_utf_8(source, range, "the file is not UTF-8 text").into())
        }
    }
}

fn not_utf_8(source: Source, range: Range<usize>, message: &str) -> Diagnostic {
    let finding = Finding {
        span: Span::new(0, range),
        key: None,
        message: message.to_owned(),
        help: "save the file as UTF-8".to_owned(),
        other: None,
    };
    finding.into_diagnostic(Severity::Error, &[source])
}

/// What UTF-16 says, which some editors write: with a mark in front, or else with a zero beside the
/// first letter.
fn utf_16(bytes: &[u8]) -> Option<String> {
    let is_little = match bytes {
        [0xff, 0xfe, ..] => true,
        [0xfe, 0xff, ..] => false,
        [low, 0, ..] if *low != 0 => true,
        [0, low, ..] if *low != 0 => false,
        _ => return None,
    };
    let units = bytes.chunks_exact(2).map(|pair| {
        let pair = [pair.first().copied(), pair.get(1).copied()].map(Option::unwrap_or_default);
        if is_little {
            u16::from_le_bytes(pair)
        } else {
            u16::from_be_bytes(pair)
        }
    });
    Some(String::from_utf16_lossy(&units.collect::<Vec<_>>()))
}
