//! Patterns on names of containers and workloads: `*`, `?` and `[...]`.

use alloc::string::String;
use core::fmt;

/// A pattern on names. `*` stands for any characters, `?` for one, `[a-c]` for one of a set,
/// `[!a-c]` for one that is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// The text is empty.
    Empty,
    /// A `[` without its `]`.
    OpenSet,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::OpenSet => "has a '[' without its ']'",
        })
    }
}

impl core::error::Error for PatternError {}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// The text is empty, or a set in it does not end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let mut rest = text;
        while let Some(at) = rest.find('[') {
            let (_, after) = split_set(&rest[at..]).ok_or(PatternError::OpenSet)?;
            rest = after;
        }
        Ok(Self(text.into()))
    }

    /// The text that it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for one name only.
    pub fn is_exact(&self) -> bool {
        !self.0.contains(['*', '?', '['])
    }

    /// Whether a whole name fits.
    pub fn matches(&self, name: &str) -> bool {
        // Where the last `*` stands, and what is left of the name if it takes one character more:
        // enough to go back to, because an earlier `*` never needs to take more once a later one
        // was reached.
        let (mut pattern, mut name) = (self.0.as_str(), name);
        let mut retry: Option<(&str, &str)> = None;
        loop {
            if let Some(rest) = pattern.strip_prefix('*') {
                retry = Some((rest, name));
                pattern = rest;
                continue;
            }
            if pattern.is_empty() && name.is_empty() {
                return true;
            }
            if let Some((rest_pattern, rest_name)) = match_one(pattern, name) {
                (pattern, name) = (rest_pattern, rest_name);
                continue;
            }
            let Some((after_star, skipped)) = retry else {
                return false;
            };
            let mut characters = skipped.chars();
            if characters.next().is_none() {
                return false;
            }
            name = characters.as_str();
            pattern = after_star;
            retry = Some((after_star, name));
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Matches one character of the name; what is left of both if it fits.
fn match_one<'p, 'n>(pattern: &'p str, name: &'n str) -> Option<(&'p str, &'n str)> {
    let mut characters = name.chars();
    let character = characters.next()?;
    let rest = characters.as_str();
    match pattern.chars().next()? {
        '?' => Some((&pattern[1..], rest)),
        '[' => {
            let (set, after) = split_set(pattern)?;
            is_in_set(set, character).then_some((after, rest))
        }
        wanted => (wanted == character).then(|| (&pattern[wanted.len_utf8()..], rest)),
    }
}

/// Splits `[set]rest`. A `]` right behind the opening is a character of the set.
fn split_set(pattern: &str) -> Option<(&str, &str)> {
    let inside = pattern.strip_prefix('[')?;
    let negation = usize::from(inside.starts_with('!'));
    let first = inside[negation..].chars().next()?.len_utf8();
    let end = negation + first + inside[negation + first..].find(']')?;
    Some((&inside[..end], &inside[end + 1..]))
}

fn is_in_set(set: &str, character: char) -> bool {
    let (set, negated) = match set.strip_prefix('!') {
        Some(rest) => (rest, true),
        None => (set, false),
    };
    let mut characters = set.chars().peekable();
    let mut found = false;
    while let Some(low) = characters.next() {
        let mut ahead = characters.clone();
        if ahead.next() == Some('-') {
            if let Some(high) = ahead.next() {
                found |= (low..=high).contains(&character);
                characters = ahead;
                continue;
            }
        }
        found |= low == character;
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("lldp", "lldp", true),
            ("lldp", "lldp0", false),
            ("lldp[0-9]*", "lldp0", true),
            ("lldp[0-9]*", "lldp12", true),
            ("lldp[0-9]*", "lldp", false),
            ("lldp[0-9]*", "lldpd", false),
            ("k8s_*_telemetry_*", "k8s_a_telemetry_b", true),
            ("*ab*ab", "xabyabab", true),
            ("*", "", true),
            ("?", "", false),
            ("[!a-c]x", "dx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a-]", "-", true),
        ] {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(parsed.matches(name), expected, "{pattern} on {name}");
        }
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        assert_eq!(Pattern::parse("a[b"), Err(PatternError::OpenSet));
        assert_eq!(Pattern::parse("a[]"), Err(PatternError::OpenSet));
    }

    proptest! {
        /// The `glob` crate is the reference; it needs `std` and is no dependency of the decision.
        #[test]
        fn patterns_match_as_globs_do(pattern in "[ab*?]{0,3}(\\[!?[a-c]{1,2}\\])?[ab*?]{0,3}", name in "[abcd]{0,6}") {
            prop_assume!(!pattern.contains("**") && !pattern.is_empty());
            let theirs = glob::Pattern::new(&pattern).unwrap();
            let ours = Pattern::parse(&pattern).unwrap();
            prop_assert_eq!(ours.matches(&name), theirs.matches(&name), "{} on {}", pattern, name);
        }
    }
}
