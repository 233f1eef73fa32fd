//! The verdict table (design 4.5), a test for each row, here down to `twin`. Each row is also held against the rows below it that would
//! claim the same name.

use tagkeeper_core::model::Reason;

use crate::host::{Host, id, repository};

const OTHER_REMOTE: &str = "mirror.example/docker-sonic-telemetry";

/// v2 (`b`) over v1 (`a`), which still has its local name beside a dry-run image (`d`) of that version.
fn with_local_fallback() -> Host {
    let mut host = Host::with_fallback();
    host.untag("remote:v1");
    host.tag('a', "local:v1");
    host.image('d', &["remote:v1"]);
    host
}

/// (2) Hold is no verdict: what would be done is shown, and nothing is done.
#[test]
fn on_hold_the_verdicts_are_as_always_and_nothing_is_done() {
    let mut host = with_local_fallback();
    host.image('c', &["remote:v3"]);
    host.later(1);
    let table = [
        ("local:latest", Reason::Latest),
        ("remote:v2", Reason::Latest),
        ("local:v1", Reason::Fallback),
        ("remote:v3", Reason::Grace),
    ];
    for held in [false, true] {
        host.workload().hold = held;
        for (text, reason) in table {
            assert_eq!(host.reason(text), reason, "{text}");
        }
        assert_eq!(host.plan().held.is_some(), held);
    }
    assert_eq!(host.actions(), [""; 0]);
}

#[test]
fn verdict_latest_for_every_name_of_its_image() {
    let mut host = Host::with_fallback();
    host.tag('b', "local:v2");
    for text in ["local:latest", "local:v2", "remote:v2"] {
        assert_eq!(host.reason(text), Reason::Latest, "{text}");
    }
    assert_eq!(host.reason("remote:v1"), Reason::Fallback);
}

#[test]
fn verdict_latest_before_pending_and_fallback() {
    let mut host = Host::with_fallback();
    host.tag('a', "local:latest");
    assert_eq!(
        host.reason("remote:v1"),
        Reason::Latest,
        "moved by hand to a fallback"
    );
    host.deploy('c', "v3");
    host.tag('c', "local:latest");
    host.pass();
    assert_eq!(host.pending().as_deref(), Some("v3=c"));
    assert_eq!(
        host.reason("remote:v3"),
        Reason::Latest,
        "moved by hand to what soaks"
    );
}

#[test]
fn verdict_pending_before_adopt_and_fallback() {
    let mut host = with_local_fallback();
    host.remove_container("k8s_v2");
    host.run("k8s_v1", "remote:v1");
    host.minutes(2);
    assert_eq!(host.pending().as_deref(), Some("v1=d"));
    assert_eq!(host.reason("remote:v1"), Reason::Pending);

    let mut host = Host::with_fallback();
    host.tag('a', "local:v1");
    host.deploy('a', "v1");
    host.minutes(2);
    assert_eq!(
        host.reason("remote:v1"),
        Reason::Pending,
        "back to the fallback"
    );
}

#[test]
fn verdict_adopt_before_twin_and_in_use() {
    let mut host = with_local_fallback();
    assert_eq!(host.reason("remote:v1"), Reason::Adopt);
    assert_eq!(host.actions(), ["tag a remote:v1"]);

    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    assert_eq!(
        host.reason("remote:v1"),
        Reason::Adopt,
        "though it is in use"
    );
    host.remove_container("debug");

    host.workload().remotes.push(repository(OTHER_REMOTE));
    host.image('e', &["mirror.example/docker-sonic-telemetry:v1"]);
    host.remove_container("k8s_v2");
    host.run("k8s_e", "mirror.example/docker-sonic-telemetry:v1");
    host.pass_killed_after(0);
    assert_eq!(host.pending().as_deref(), Some("v1=e"));
    assert_eq!(
        host.reason("remote:v1"),
        Reason::Adopt,
        "though it is a twin of what soaks"
    );
}

#[test]
fn verdict_adopt_only_for_remote_names_of_a_fallback_that_bears_the_local_name() {
    let mut host = with_local_fallback();
    host.untag("local:v1");
    host.tag('a', "local:somewhat");
    assert_ne!(
        host.reason("remote:v1"),
        Reason::Adopt,
        "no local name of that version"
    );

    let mut host = with_local_fallback();
    host.image('e', &["local:v1"]);
    assert_ne!(
        host.reason("remote:v1"),
        Reason::Adopt,
        "the local name means another image"
    );

    let mut host = with_local_fallback();
    host.tag('b', "local:v2");
    host.image('e', &["remote:v2"]);
    assert_eq!(
        host.reason("remote:v2"),
        Reason::Twin,
        "the head is no fallback"
    );

    let mut host = with_local_fallback();
    host.image('e', &["local:v3"]);
    host.untag("remote:v1");
    assert_eq!(host.reason("local:v1"), Reason::Fallback);
    assert_ne!(host.reason("local:v3"), Reason::Adopt, "a local name");
}

#[test]
fn verdict_adopt_retires_who_loses_the_name_and_saves_that_first() {
    let mut host = with_local_fallback();
    host.pass_killed_after(0);
    assert_eq!(host.retired(), ['d']);
    assert!(host.disk().contains(&"remote:v1=d".to_owned()));
    host.pass();
    assert!(!host.images.iter().any(|image| image.id == id('d')));
}

#[test]
fn verdict_adopt_retires_the_other_names_of_that_image_at_once() {
    let mut host = with_local_fallback();
    host.tag('d', "remote:nightly");
    assert_eq!(host.reason("remote:nightly"), Reason::Retired);
    host.pass();
    assert_eq!(
        host.disk(),
        ["local:latest=b", "remote:v1=a", "remote:v2=b"]
    );
}

#[test]
fn verdict_renamed_before_fallback() {
    let mut host = Host::with_fallback();
    host.tag('a', "local:v1");
    assert_eq!(host.reason("local:v1"), Reason::Renamed);
    assert_eq!(host.reason("remote:v1"), Reason::Fallback);
    host.run("debug", "local:v1");
    assert_eq!(host.reason("local:v1"), Reason::Renamed, "only a name goes");
    host.remove_container("debug");
    host.pass();
    assert_eq!(host.acted, ["rmi local:v1"]);
}

#[test]
fn verdict_renamed_needs_a_remote_tag_and_spares_the_head() {
    let mut host = Host::with_fallback();
    host.tag('a', "local:v1");
    host.tag('a', "remote@a");
    host.untag("remote:v1");
    assert_eq!(
        host.reason("local:v1"),
        Reason::Fallback,
        "a digest is no tag"
    );
    host.tag('b', "local:v2");
    assert_eq!(host.reason("local:v2"), Reason::Latest);
    host.tag('a', "local:latest");
    host.exit("k8s_v2", 0);
    assert_eq!(
        host.reason("local:v2"),
        Reason::Fallback,
        "the head, while latest is elsewhere"
    );
}

#[test]
fn verdict_fallback_before_twin_in_use_and_inherited() {
    let mut host = Host::with_fallback();
    host.workload().remotes.push(repository(OTHER_REMOTE));
    let text = "mirror.example/docker-sonic-telemetry:v2";
    host.tag('a', text);
    host.run("debug", "remote:v1");
    assert_eq!(
        host.reason(text),
        Reason::Fallback,
        "also of the head's version, in use, and inherited"
    );
    assert_eq!(host.reason("remote:v1"), Reason::Fallback);
}

#[test]
fn verdict_twin_of_the_head_the_pending_upgrade_and_its_provisional_fallback() {
    let mut host = Host::with_fallback();
    host.image('d', &["local:v2"]);
    assert_eq!(host.reason("local:v2"), Reason::Twin);
    host.deploy('c', "v3");
    host.image('e', &["local:v3"]);
    host.pass();
    assert_eq!(host.reason("local:v3"), Reason::Twin);
    assert_eq!(host.reason("remote:v1"), Reason::Fallback);

    let mut host = Host::new();
    host.image('a', &["local:latest", "local:v1"]);
    host.image('d', &["remote:v1"]);
    host.deploy('b', "v2");
    host.pass();
    assert_eq!(
        host.memory()
            .pending
            .as_ref()
            .unwrap()
            .provisional_fallback
            .as_ref()
            .unwrap()
            .image,
        id('a')
    );
    assert_eq!(host.reason("remote:v1"), Reason::Twin);
}

#[test]
fn verdict_twin_before_in_use_and_retired() {
    let mut host = Host::with_fallback();
    host.image('d', &["local:v2"]);
    host.pass();
    host.memory_mut().retired.insert(id('d'));
    host.run("debug", "local:v2");
    host.exit("debug", 0);
    assert_eq!(host.reason("local:v2"), Reason::Twin);
    host.remove_container("debug");
    assert_eq!(host.reason("local:v2"), Reason::Twin);
}
