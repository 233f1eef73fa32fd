//! What is read of an answer, and what is none.

use super::*;

const IMAGE: &str = r#"{"Id":"sha256:aa","RepoTags":["x:v1"],"RepoDigests":null,"Size":5}"#;

#[test]
fn an_image_without_its_names_is_half_an_answer() {
    let named = parse_images(format!("[{IMAGE}]").as_bytes()).unwrap();
    assert_eq!(named[0].references, [Reference::parse("x:v1").unwrap()]);
    assert_eq!((named[0].foreign_names, named[0].size_bytes), (0, 5));
    for (kept, whole) in [
        (IMAGE.replace(r#"["x:v1"]"#, "null"), true),
        (IMAGE.replace(r#"["x:v1"]"#, "[]"), true),
        (IMAGE.replace(r#""RepoTags":["x:v1"],"#, ""), false),
        (IMAGE.replace(r#""RepoDigests":null,"#, ""), false),
        (IMAGE.replace(r#","Size":5"#, ""), false),
        (IMAGE.replace(r#""x:v1""#, "7"), false),
        (IMAGE.replace(r#""sha256:aa""#, "null"), false),
    ] {
        let images = parse_images(format!("[{kept}]").as_bytes());
        assert_eq!(images.is_ok(), whole, "{kept}");
        assert!(images.is_ok_and(|i| i[0].is_nameless()) || !whole, "{kept}");
    }
}

#[test]
fn names_are_the_same_beside_others() {
    let names = [
        "x:v1",
        "reg.example/x:v1",
        "x",
        "library/x:v1",
        "X:v1",
        "xy:v1",
        "x:v1@sha256:1",
    ];
    let image = |name| IMAGE.replace("x:v1", name);
    let list = names.map(image).join(",");
    let images = parse_images(format!("[{list},{list}]").as_bytes()).unwrap();
    for (image, name) in images.iter().zip(names.iter().cycle()) {
        let alone: Vec<_> = Reference::parse(name).into_iter().collect();
        assert_eq!(image.references, alone, "{name}");
        let printed = |names: &[Reference]| names.first().map(ToString::to_string);
        assert_eq!(printed(&image.references), printed(&alone), "{name}");
    }
    assert_eq!(images.len(), 2 * names.len());
}

/// What nobody reads may be anything, and what is read may be written in any way that JSON knows.
#[test]
fn what_is_not_read_does_not_matter() {
    let container = r#"{"Id":"c","Names":["\/na\u006de"],"Image":"x:v1","ImageID":"sha256:aa","State":"running",
        "Created":7,"Labels":{"a":[[]],"tagkeeper.pin":"app"},"Ports":{"a":1e9},"Id2":null}"#;
    let listed = parse_containers(format!("[{container}]").as_bytes()).unwrap();
    assert_eq!(listed[0].names, ["name"]);
    assert_eq!(listed[0].pin.as_deref(), Some("app"));
    assert_eq!(listed[0].state, ContainerState::Running);
    let broken = container.replace("1e9", "1e");
    assert!(parse_containers(format!("[{broken}]").as_bytes()).is_err());
}

#[test]
fn a_text_that_is_no_utf8_is_no_answer() {
    let list = |id: &[u8]| [br#"[{"Id":""#, id, br#"","ImageID":"sha256:aa"}]"#].concat();
    assert!(parse_containers(&list(b"c")).is_ok());
    assert!(parse_containers(&list(b"\xff")).is_err());
}

#[test]
fn an_image_is_gone_when_the_engine_says_so() {
    for (report, said) in [
        (
            r#"[{"Untagged":"x:v1"},{"Deleted":"sha256:aa"}]"#,
            Answer::Deleted,
        ),
        (r#"[{"Untagged":"x:v1"},{"Deleted":null}]"#, Answer::Done),
        ("[]", Answer::Done),
        ("what?", Answer::Done),
    ] {
        assert_eq!(parse_removal(report.as_bytes()), said, "{report}");
    }
}

#[test]
fn a_refusal_says_what_it_can() {
    for (body, said) in [
        (r#"{"message":"no \"such\" image"}"#, "no \"such\" image"),
        ("<html>", "<html>"),
        (r#"{"cause":"none"}"#, r#"{"cause":"none"}"#),
        ("", ""),
    ] {
        assert_eq!(parse_refusal(body.as_bytes()), said);
    }
}
