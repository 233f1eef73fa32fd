//! Names of images against the grammar's own implementation: `oci-spec` parses what `image` parses.
//!
//! The crate is not in the program because each start of it compiles a large regular expression
//! (ARCHITECTURE.md).
#![cfg(test)]

use std::str::FromStr;

use oci_spec::distribution;
use proptest::prelude::*;
use tagkeeper_core::model::{ImageId, NameError, Reference, Repository};

/// A name with a domain or not, a tag or not, a digest or not; most of them legal, many nearly.
fn names() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        4 => "[a-z0-9]{1,8}([._-][a-z0-9]{1,4}|__[a-z0-9]{1,4}|--[a-z0-9]{1,3}){0,2}",
        1 => "[a-zA-Z0-9._-]{0,6}",
    ];
    let domain = prop_oneof![
        Just(String::new()),
        Just("localhost/".to_owned()),
        Just("docker.io/".to_owned()),
        Just("index.docker.io/".to_owned()),
        "[a-z0-9]{1,5}(\\.[a-z0-9-]{1,4}){0,2}(:[0-9]{0,5})?/",
    ];
    let tag = prop_oneof![
        2 => Just(String::new()),
        2 => ":[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,10}",
        1 => ":[!-~]{0,4}",
    ];
    let digest = prop_oneof![
        4 => Just(String::new()),
        1 => "@sha256:[0-9a-f]{64}",
        1 => "@sha(384:[0-9a-f]{96}|512:[0-9a-f]{128})",
        1 => "@sha(256|512):[0-9a-fA-F]{32,66}",
        1 => "@sha256:[0-9a-f]{62}[0-9a-z]{2}",
    ];
    let path = prop::collection::vec(component, 1..4).prop_map(|parts| parts.join("/"));
    (domain, path, tag, digest)
        .prop_map(|(domain, path, tag, digest)| format!("{domain}{path}{tag}{digest}"))
}

/// What both make of a legal name: registry, path, tag or digest.
fn oracle(text: &str) -> Option<(String, Option<String>)> {
    let reference = distribution::Reference::from_str(text).ok()?;
    let repository = format!("{}/{}", reference.registry(), reference.repository());
    let name = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => Some(format!("@{digest}")),
        (None, Some(tag)) => Some(format!(":{tag}")),
        (None, None) => None,
    };
    Some((repository, name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_name_parses_as_the_distribution_specification_says(text in names()) {
        let (ours, theirs) = (Reference::parse(&text), oracle(&text));
        prop_assert_eq!(ours.is_ok(), theirs.is_some(), "{}: {:?}", text, ours);
        // An upper-case first component is a registry for Docker, and a path for oci-spec. Both
        // take it.
        let shouts = text.split('/').next().is_some_and(|first| first.bytes().any(|b| b.is_ascii_uppercase()));
        if let (Ok(ours), Some((repository, name)), false) = (ours, theirs, shouts && text.contains('/')) {
            prop_assert_eq!(ours.repository(), &Repository::parse(&repository).unwrap(), "{}", text);
            let printed = ours.to_string();
            prop_assert!(printed.ends_with(&name.unwrap()), "{} became {}", text, printed);
            prop_assert_eq!(Reference::parse(&printed), Ok(ours));
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = (Reference::parse(&text), Repository::parse(&text));
    }
}

/// An id has digits in small room, whatever else an engine may print as it is.
#[test]
fn an_id_is_printed_as_it_came() {
    let digits = "0123456789abcdef".repeat(4);
    let texts = [
        digits.clone(),
        digits.replace('f', "F"),
        digits.replace('0', "g"),
        "zz".repeat(32),
        "z".repeat(64),
        digits.replace("01", "1"),
    ];
    for text in texts.map(|digits| format!("sha256:{digits}")) {
        assert_eq!(ImageId::new(&text).to_string(), text);
        assert_ne!(
            ImageId::new(&text),
            ImageId::new(text.replace('a', "b") + "a")
        );
    }
}

#[test]
fn names_are_compared_normalised() {
    for (a, b, same) in [
        ("x", "docker.io/library/x", true),
        ("library/x", "docker.io/x", true),
        ("index.docker.io/library/x", "x", true),
        ("team/x", "docker.io/team/x", true),
        ("x", "localhost/x", false),
        ("x", "registry.example/x", false),
        ("registry.example:5000/x", "registry.example/x", false),
        (
            "docker-sonic-telemetry",
            "docker-sonic-telemetry-sidecar",
            false,
        ),
        ("team/x", "x", false),
    ] {
        let (left, right) = (Repository::parse(a).unwrap(), Repository::parse(b).unwrap());
        assert_eq!(left == right, same, "{a} and {b}");
    }
}

#[test]
fn a_repository_is_named_without_tag_or_digest() {
    let digest = format!("x@sha256:{}", "a".repeat(64));
    for (text, error) in [
        ("", NameError::Empty),
        ("x:v1", NameError::HasTag),
        ("registry.example:5000/x:v1", NameError::HasTag),
        (digest.as_str(), NameError::HasDigest),
        ("team/App", NameError::UpperCase),
        ("a..b", NameError::Malformed),
    ] {
        assert_eq!(Repository::parse(text), Err(error), "{text}");
    }
    let long = "a".repeat(256);
    assert_eq!(Repository::parse(&long), Err(NameError::TooLong));
}
