//! The frame of a file: a format number and a checksum, each on a line of its own, and then the
//! content's fields.
//!
//! ```json
//! {
//!   "version": 2,
//!   "checksum": "crc32:0a1b2c3d",
//!   "clock": ...
//! ```
//!
//! The checksum covers every byte after its own line. The whole is one JSON object, so a person can
//! read it, and edition 1 refuses it as newer: it looks for the same `version`. No I/O.

use serde::{Deserialize, Serialize};

/// Largest file that is read or written, in bytes. A real one has some hundred thousand at most.
pub(super) const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// What a file of this frame begins with, up to the format number.
const BEFORE_VERSION: &str = "{\n  \"version\": ";
/// What follows the format number, up to the digits of the checksum.
const BEFORE_CHECKSUM: &str = ",\n  \"checksum\": \"crc32:";
/// What follows these digits.
const AFTER_CHECKSUM: &str = "\",\n";
const CHECKSUM_DIGITS: usize = 8;

/// Formats of one kind of file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// The one that is written. What is newer is refused.
    pub(super) current: u32,
    /// The first one that has a checksum.
    pub(super) first_with_checksum: u32,
}

/// Why bytes are no document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// A later tagkeeper wrote it, in this format.
    Newer(u64),
    /// Damaged or nonsensical; why.
    Bad(String),
}

/// A document whose number is known and whose checksum, if it has one, is right.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    pub(super) version: u32,
    /// All of it.
    pub(super) text: &'a str,
}

/// Looks at the format number first: a newer format may hold anything, and is `Newer`, whatever
/// else is wrong with it. Then at the checksum.
pub(super) fn open(bytes: &[u8], format: Format) -> Result<Opened<'_>, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|e| Problem::Bad(format!("not UTF-8: {e}")))?;
    let number = number_of(text)?;
    let version = match u32::try_from(number) {
        Ok(0) => return Err(Problem::Bad("there is no format version 0".to_owned())),
        Ok(version) if version <= format.current => version,
        _ => return Err(Problem::Newer(number)),
    };
    if version >= format.first_with_checksum {
        check(text, version).map_err(Problem::Bad)?;
    }
    Ok(Opened { version, text })
}

/// The format number. Found without parsing the file where it is as this program writes it.
fn number_of(text: &str) -> Result<u64, Problem> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let line = text
        .strip_prefix(BEFORE_VERSION)
        .and_then(|rest| rest.split_once(','));
    if let Some(Ok(number)) = line.map(|(number, _)| number.parse()) {
        return Ok(number);
    }
    let Versioned { version } =
        serde_json::from_str(text).map_err(|e| Problem::Bad(e.to_string()))?;
    Ok(version)
}

fn check(text: &str, version: u32) -> Result<(), String> {
    let rest = text
        .strip_prefix(&format!("{BEFORE_VERSION}{version}{BEFORE_CHECKSUM}"))
        .ok_or("it has no checksum on its second line")?;
    let (written, covered) = rest
        .split_once(AFTER_CHECKSUM)
        .filter(|(digits, _)| digits.len() == CHECKSUM_DIGITS)
        .ok_or("its checksum is damaged")?;
    let is = checksum(covered.as_bytes());
    if written == is {
        Ok(())
    } else {
        Err(format!(
            "its checksum is crc32:{written}, its content has crc32:{is}"
        ))
    }
}

/// A document of a content that serialises as an object with at least one field; none if it does
/// not.
pub(super) fn seal(version: u32, content: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut fields = serde_json::to_vec_pretty(content).map_err(|e| e.to_string())?;
    fields.push(b'\n');
    let covered = fields
        .strip_prefix(b"{\n")
        .ok_or("it is no object with fields")?;
    let head = format!(
        "{BEFORE_VERSION}{version}{BEFORE_CHECKSUM}{}{AFTER_CHECKSUM}",
        checksum(covered)
    );
    let document = [head.as_bytes(), covered].concat();
    if document.len() as u64 > MAX_BYTES {
        return Err(format!("it is larger than {} MiB", MAX_BYTES >> 20));
    }
    Ok(document)
}

fn checksum(covered: &[u8]) -> String {
    format!("{:08x}", crc32fast::hash(covered))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        current: 2,
        first_with_checksum: 2,
    };

    fn sealed() -> String {
        let content = serde_json::json!({"a": 1, "b": "text"});
        String::from_utf8(seal(2, &content).unwrap()).unwrap()
    }

    #[test]
    fn a_sealed_document_opens_and_is_laid_out_as_promised() {
        let sealed = sealed();
        assert_eq!(open(sealed.as_bytes(), FORMAT).unwrap().version, 2);
        let lines: Vec<_> = sealed.lines().collect();
        assert_eq!(lines[..2], ["{", "  \"version\": 2,"]);
        // The checksum by the book (IEEE 802.3), not by this code.
        assert_eq!(checksum(b"123456789"), "cbf43926");
        let json: serde_json::Value = serde_json::from_str(&sealed).unwrap();
        assert_eq!((&json["version"], &json["a"]), (&2.into(), &1.into()));
    }

    #[test]
    fn any_byte_that_changes_is_seen() {
        let good = sealed();
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(open(&bytes, FORMAT).is_err(), "byte {at}");
        }
        for at in 0..good.len() {
            assert!(open(&good.as_bytes()[..at], FORMAT).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_document_without_a_checksum_is_bad() {
        for text in [
            "{\n  \"version\": 2,\n  \"a\": 1\n}\n",
            "{\"version\": 2, \"a\": 1}",
            "{\n  \"version\": 2,\n  \"checksum\": \"md5:00000000\",\n  \"a\": 1\n}\n",
        ] {
            assert_eq!(
                open(text.as_bytes(), FORMAT).unwrap_err(),
                Problem::Bad("it has no checksum on its second line".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_newer_format_is_newer_whatever_it_holds() {
        for (text, expected) in [
            (r#"{"version":3}"#, 3),
            (
                r#"{"new":[{"shape":null}],"version":7,"clock":"sundial"}"#,
                7,
            ),
            ("{\n  \"version\": 9,\n  \"checksum\": \"sha3:...\"", 9),
            (r#"{"version":18446744073709551615}"#, u64::MAX),
        ] {
            assert_eq!(
                open(text.as_bytes(), FORMAT).unwrap_err(),
                Problem::Newer(expected),
                "{text}"
            );
        }
    }
}
