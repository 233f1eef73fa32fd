//! Whether two patterns can match one and the same name. Pure.
//!
//! Exact: both patterns are run side by side over the names that a container or a workload can
//! have, as the product of two automata. The states are pairs of positions, and each is visited
//! once: the work is bounded by the product of the two lengths.

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

/// A position in each of two patterns, and whether the name has a character yet.
type Place = (usize, usize, bool);

/// A place, and how it was reached.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    place: Place,
    /// The index of the state before it.
    before: usize,
    /// The character that led here, if one was consumed.
    consumed: Option<usize>,
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
        let mut states = vec![State::default()];
        let mut seen = HashSet::new();
        let mut waiting = VecDeque::from([0]);
        while let Some(index) = waiting.pop_front() {
            let state = *states.get(index)?;
            if !seen.insert(state.place) {
                continue;
            }
            let (i, j, has_begun) = state.place;
            if i == self.tokens.len() && j == other.tokens.len() && has_begun {
                return Some(trace(&states, index));
            }
            for (next_i, next_j, consumed) in self.steps(other, state.place) {
                let place = (next_i, next_j, has_begun || consumed.is_some());
                if seen.contains(&place) {
                    continue;
                }
                // What consumes nothing comes first, so that the first name found is the shortest.
                if consumed.is_none() {
                    waiting.push_front(states.len());
                } else {
                    waiting.push_back(states.len());
                }
                states.push(State {
                    place,
                    before: index,
                    consumed,
                });
            }
        }
        None
    }

    fn steps(&self, other: &Self, (i, j, has_begun): Place) -> Vec<(usize, usize, Option<usize>)> {
        let (ours, theirs) = (self.tokens.get(i), other.tokens.get(j));
        let mut steps = Vec::new();
        if ours == Some(&Token::Star) {
            steps.push((i + 1, j, None));
        }
        if theirs == Some(&Token::Star) {
            steps.push((i, j + 1, None));
        }
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            let legal = if has_begun { ALPHABET.len() } else { LEADING };
            let common = ours.set() & theirs.set() & ((1 << legal) - 1);
            if common != 0 {
                let next_i = i + usize::from(*ours != Token::Star);
                let next_j = j + usize::from(*theirs != Token::Star);
                let character = common.trailing_zeros() as usize;
                steps.push((next_i, next_j, Some(character)));
            }
        }
        steps
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

/// The name that leads to a state.
fn trace(states: &[State], mut index: usize) -> String {
    let mut name = Vec::new();
    while let Some(state) = states.get(index) {
        name.extend(state.consumed.and_then(|c| ALPHABET.get(c)).copied());
        if index == 0 {
            break;
        }
        index = state.before;
    }
    name.iter().rev().copied().map(char::from).collect()
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
