//! Whether two patterns can match one and the same name. Pure.
//!
//! Exact: both patterns are run side by side over the names that a container or a workload can
//! have, as the product of two automata. The states are pairs of positions, and each is visited
//! once: there are no more of them than the product of the two lengths.

use std::collections::{HashSet, VecDeque};

use tagkeeper_core::model::Pattern;

/// The characters of names, in the order in which an example is made of them.
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.";
/// How many of them a name may begin with: the letters and the digits.
const LEADING: usize = 62;

/// A pattern taken apart, to be compared with many others.
#[derive(Clone, Debug)]
pub(super) struct Automaton {
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// Any number of characters.
    Star,
    /// One of these characters: a bit for each of [`ALPHABET`].
    One(u128),
}

impl Automaton {
    pub(super) fn new(pattern: &Pattern) -> Self {
        let mut tokens = Vec::new();
        let mut rest = pattern.as_str();
        while let Some((token, after)) = split_token(rest) {
            tokens.push(if token == "*" {
                Token::Star
            } else {
                Token::One(set_of(token))
            });
            rest = after;
        }
        // A second `*` in a row adds nothing.
        tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
        Self { tokens }
    }

    /// The shortest name that both match; none if there is no such name.
    pub(super) fn overlap(&self, other: &Self) -> Option<String> {
        // Most pairs differ in a character before the first `*`.
        let singles = |tokens: &[Token]| tokens.iter().take_while(|t| **t != Token::Star).count();
        let common = singles(&self.tokens).min(singles(&other.tokens));
        let mut pairs = self.tokens.iter().zip(&other.tokens).take(common);
        if pairs.any(|(ours, theirs)| ours.set() & theirs.set() == 0) {
            return None;
        }
        // A position in each of the two, and the name that leads there.
        let mut waiting = VecDeque::from([(0, 0, String::new())]);
        let mut seen = HashSet::new();
        while let Some((i, j, name)) = waiting.pop_front() {
            let has_begun = !name.is_empty();
            if !seen.insert((i, j, has_begun)) {
                continue;
            }
            let (ours, theirs) = (self.tokens.get(i), other.tokens.get(j));
            if ours.is_none() && theirs.is_none() && has_begun {
                return Some(name);
            }
            // What consumes nothing comes first, so that the first name found is the shortest.
            if ours == Some(&Token::Star) {
                waiting.push_front((i + 1, j, name.clone()));
            }
            if theirs == Some(&Token::Star) {
                waiting.push_front((i, j + 1, name.clone()));
            }
            if let (Some(ours), Some(theirs)) = (ours, theirs) {
                let legal = if has_begun { ALPHABET.len() } else { LEADING };
                let common = ours.set() & theirs.set() & ((1 << legal) - 1);
                if let Some(character) = ALPHABET.get(common.trailing_zeros() as usize) {
                    let next_i = i + usize::from(*ours != Token::Star);
                    let next_j = j + usize::from(*theirs != Token::Star);
                    let name = name + char::from(*character).encode_utf8(&mut [0; 4]);
                    waiting.push_back((next_i, next_j, name));
                }
            }
        }
        None
    }
}

impl Token {
    fn set(self) -> u128 {
        match self {
            Self::Star => u128::MAX,
            Self::One(set) => set,
        }
    }
}

/// The first token of a pattern, and what is left. A `]` right behind the opening is a character of
/// the set.
fn split_token(pattern: &str) -> Option<(&str, &str)> {
    let first = pattern.chars().next()?;
    let length = if first == '[' {
        let negation = usize::from(pattern[1..].starts_with('!'));
        let inside = 1 + negation;
        let skipped = pattern[inside..].chars().next().map_or(0, char::len_utf8);
        let end = pattern[inside + skipped..].find(']')?;
        inside + skipped + end + 1
    } else {
        first.len_utf8()
    };
    Some(pattern.split_at(length))
}

/// The characters of names that a token other than `*` matches: what the pattern itself says of
/// them.
fn set_of(token: &str) -> u128 {
    let Ok(pattern) = Pattern::parse(token) else {
        return 0;
    };
    let mut room = [0; 4];
    let bits = ALPHABET.iter().enumerate().filter_map(|(bit, &b)| {
        let character = char::from(b).encode_utf8(&mut room);
        pattern.matches(character).then_some(1 << bit)
    });
    bits.fold(0, |set, bit: u128| set | bit)
}

/// The shortest name that a container or a workload can have and that a pattern matches.
pub(super) fn example_of(pattern: &Pattern) -> Option<String> {
    let any = Automaton {
        tokens: vec![Token::Star],
    };
    Automaton::new(pattern).overlap(&any)
}

/// Whether two patterns can match one name; that name.
pub(super) fn overlap(one: &Pattern, other: &Pattern) -> Option<String> {
    Automaton::new(one).overlap(&Automaton::new(other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn two_patterns_overlap_where_one_name_fits_both() {
        for (one, other, expected) in [
            ("lldp", "lldp", Some("lldp")),
            ("lldp", "lldp[0-9]*", None),
            ("lldp*", "lldp[0-9]*", Some("lldp0")),
            ("lldp[0-9]", "lldp[a-z]", None),
            ("lldp[!0-9]*", "lldp[0-9]*", None),
            ("a*", "*b", Some("ab")),
            ("a*c", "ab*", Some("abc")),
            ("*a*b*", "*b*a*", Some("bab")),
            ("a?", "?b", Some("ab")),
            ("a?", "?bc", None),
            ("*", "*", Some("a")),
            ("*", "?", Some("a")),
            ("k8s_*", "*_k8s", Some("k8s_k8s")),
            // No name begins with a dash, and none has a slash or a bracket in it.
            ("-*", "*", None),
            ("*/*", "*", None),
            ("[]]*", "*", None),
            ("[!a-z]", "[!0-9]", Some("A")),
            ("a[]-]b", "a?b", Some("a-b")),
        ] {
            let found = overlap(&pattern(one), &pattern(other));
            assert_eq!(found.as_deref(), expected, "{one} and {other}");
            let swapped = overlap(&pattern(other), &pattern(one));
            assert_eq!(swapped.is_some(), expected.is_some(), "{other} and {one}");
        }
    }

    /// The work grows with the product of the lengths: what took minutes takes a moment.
    #[test]
    fn many_stars_are_no_burden() {
        let (ours, theirs) = ("*a".repeat(300), "*b".repeat(300));
        assert_eq!(overlap(&pattern(&ours), &pattern(&theirs)), None);
        let (open, stars) = (format!("{ours}*"), "*".repeat(300));
        let common = overlap(&pattern(&open), &pattern(&format!("{theirs}*")));
        assert_eq!(common.map(|name| name.len()), Some(600));
        assert_eq!(
            overlap(&pattern(&stars), &pattern(&stars)).as_deref(),
            Some("a")
        );
        assert!(!pattern(&ours).matches(&"b".repeat(299)));
        assert!(pattern(&stars).matches("app"));
    }

    #[test]
    fn a_pattern_without_a_name_is_found() {
        assert_eq!(example_of(&pattern("k8s_?*")).as_deref(), Some("k8s_a"));
        assert_eq!(example_of(&pattern("/app")), None);
    }

    fn patterns() -> impl Strategy<Value = String> {
        "[ab*?0_]{1,5}(\\[!?[ab]-?[b0]\\])?[ab*?]{0,3}"
    }

    proptest! {
        /// The pattern's own `matches` is the judge, on every short name of four letters.
        #[test]
        fn the_overlap_is_what_the_patterns_match(one in patterns(), other in patterns(), name in "[ab0][ab0_]{0,7}") {
            let (one, other) = (pattern(&one), pattern(&other));
            match overlap(&one, &other) {
                Some(witness) => prop_assert!(one.matches(&witness) && other.matches(&witness), "{witness}"),
                None => prop_assert!(!(one.matches(&name) && other.matches(&name)), "{name}"),
            }
        }
    }
}
