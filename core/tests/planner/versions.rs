//! Which version an image is (design 4.2).

use tagkeeper_core::model::{Note, Reference};

use crate::host::{Host, id, repository};
use crate::rollback::roll_back;

#[test]
fn the_version_comes_from_the_reference_then_from_the_tags_then_from_the_digest() {
    // The image's names, the reference of its container, the version.
    let table: &[(&[&str], &str, &str)] = &[
        (&["remote:v1", "remote:v2"], "remote:v2", "v2"),
        (&["remote:v2", "local:v1"], "local:v1", "v1"),
        (
            &["remote:v2", "local:v1", "local:latest"],
            "local:latest",
            "v2",
        ),
        (
            &["remote:v3", "remote:v2", "local:v1", "local:latest"],
            "local:latest",
            "v2",
        ),
        (
            &["local:v2", "local:v1", "local:latest"],
            "local:latest",
            "v1",
        ),
        (&["remote:latest", "local:v1"], "remote:latest", "v1"),
        (&["remote@a", "remote:v1"], "remote@a", "v1"),
        (&["local:v1", "elsewhere:v9"], "elsewhere:v9", "v1"),
        (
            &["local:latest", "elsewhere:v9"],
            "local:latest",
            "sha256-aaaaaaaaaaaa",
        ),
        (&["remote:latest"], "remote:latest", "sha256-aaaaaaaaaaaa"),
        (&["remote@a"], "remote@a", "sha256-aaaaaaaaaaaa"),
        (&["remote@b"], "remote@b", "sha256-bbbbbbbbbbbb"),
    ];
    for (names, reference, version) in table {
        let mut host = Host::new();
        host.image('a', names);
        host.run("k8s", reference);
        host.pass();
        assert_eq!(
            host.pending(),
            Some(format!("{version}=a")),
            "{names:?} {reference}"
        );
    }
}

#[test]
fn a_reference_that_the_image_has_lost_does_not_count() {
    let mut host = Host::new();
    host.docker().keeps_references = true;
    host.image('a', &["remote:v1"]);
    host.run("k8s", "remote:v1");
    host.tag('a', "remote:v7");
    host.image('b', &["remote:v1"]);
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v7=a"));
}

#[test]
fn tags_of_any_remote_come_before_local_ones() {
    let mut host = Host::new();
    host.workload().remotes.push(repository("mirror.example/x"));
    host.image(
        'a',
        &["local:latest", "local:a", "mirror.example/x:b", "remote:c"],
    );
    host.run("telemetry", "local:latest");
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("b=a"));
}

#[test]
fn the_version_is_written_down_and_not_guessed_again() {
    let mut host = Host::with_head();
    host.untag("remote:v1");
    host.tag('a', "remote:v0");
    host.minutes(3);
    assert_eq!(host.plan().latest.unwrap().version.as_str(), "v1");
    assert_eq!(host.lineage(), ["v1=a"]);

    host.deploy('b', "v2");
    host.minutes(5);
    host.tag('b', "remote:a-better-name");
    host.untag("remote:v2");
    host.minutes(6);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn the_version_of_a_rejected_image_is_the_one_it_was_rejected_by() {
    let mut host = Host::with_fallback();
    roll_back(&mut host, usize::MAX);
    host.tag('b', "remote:a");
    assert_note!(host, Note::RejectedServes { .. });
}

/// Its tag has moved to another image since; the orchestrated container idles beside it all the
/// same (R7).
#[test]
fn what_stood_in_keeps_its_version_when_it_serves_again() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.image('b', &["remote:v1"]);
    host.run("k8s", "remote:v1");
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v1=b"));
    host.tag('b', "local:v1");
    host.run("telemetry", "local:latest");
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v1=a"));
    assert_eq!(host.memory().dry_runs.len(), 1);
}

#[test]
fn what_stands_in_lends_its_version_to_no_second_upgrade() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    for (image, version) in [('b', "v2"), ('c', "v3")] {
        host.deploy(image, version);
        host.pass();
        assert_eq!(host.pending(), Some(format!("{version}={image}")));
    }
}

#[test]
fn a_digest_in_short_form_is_a_tag() {
    let version = id('a').short_version();
    let reference = format!("docker-sonic-telemetry:{version}");
    assert_eq!(
        Reference::parse(&reference).unwrap().tag(),
        Some("sha256-aaaaaaaaaaaa")
    );
}

/// While the local v2 soaks and v1 stands in, the orchestrated v2 is a v2, and runs dry.
#[test]
fn what_stands_in_lends_its_version_to_nobody() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.image('b', &["local:v2"]);
    host.run("telemetry", "local:v2");
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v2=b"));
    host.image('c', &["remote:v2"]);
    host.run("k8s", "remote:v2");
    host.pass();
    assert_eq!(host.memory().dry_runs.len(), 1);
}
