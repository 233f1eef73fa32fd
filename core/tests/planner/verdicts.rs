//! The verdict table (design 4.5), a test for each row, here down to `twin`. Each row is also held
//! against the rows below it that would claim the same name.

use tagkeeper_core::model::Reason;

use crate::host::{DAY_MINUTES, Host, id, repository};

const OTHER_REMOTE: &str = "mirror.example/docker-sonic-telemetry";

/// v2 (`b`) over v1 (`a`), which still has its local name beside a dry-run image (`d`) of that
/// version.
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

/// The same, and a promotion has retired the dry-run image.
fn with_retired_twin() -> Host {
    let mut host = with_local_fallback();
    host.pass();
    host.retire('d');
    host
}

/// (2) A name moves only from an image that is on its way out anyway.
#[test]
fn verdict_adopt_only_of_a_retired_image_that_nothing_uses() {
    let mut host = with_retired_twin();
    assert_eq!(host.reason("remote:v1"), Reason::Adopt);
    assert_eq!(host.actions(), ["tag a remote:v1"]);
    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    assert_eq!(host.reason("remote:v1"), Reason::InUse);
    assert_eq!(host.actions(), [""; 0]);

    let mut host = with_local_fallback();
    host.pass();
    assert_eq!(host.reason("remote:v1"), Reason::Grace, "not retired");
    host.later(3 * DAY_MINUTES);
    assert_eq!(host.reason("remote:v1"), Reason::Idle, "nor then");
}

#[test]
fn verdict_adopt_only_for_remote_names_of_a_fallback_that_has_the_local_name() {
    let mut host = with_retired_twin();
    host.untag("local:v1");
    host.tag('a', "local:somewhat");
    assert_eq!(
        host.reason("remote:v1"),
        Reason::Retired,
        "no local name of that version"
    );

    let mut host = with_retired_twin();
    host.image('e', &["local:v1"]);
    assert_eq!(
        host.reason("remote:v1"),
        Reason::Retired,
        "the local name means another image"
    );

    let mut host = with_retired_twin();
    host.tag('b', "local:v2");
    host.tag('d', "remote:v2");
    assert_eq!(
        host.reason("remote:v2"),
        Reason::Retired,
        "the head is no fallback"
    );

    let mut host = with_retired_twin();
    host.tag('d', "local:v3");
    assert_eq!(host.reason("local:v3"), Reason::Retired, "a local name");
}

#[test]
fn verdict_adopt_leaves_the_other_names_of_that_image() {
    let mut host = with_retired_twin();
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

/// (2) What a container uses is in use, and what is retired was judged by a promotion.
#[test]
fn verdict_twin_behind_in_use_and_never_of_a_retired_image() {
    let mut host = Host::with_fallback();
    host.image('d', &["local:v2"]);
    host.pass();
    assert_eq!(host.reason("local:v2"), Reason::Twin);
    host.run("debug", "local:v2");
    host.exit("debug", 0);
    assert_eq!(host.reason("local:v2"), Reason::InUse);
    host.remove_container("debug");
    host.retire('d');
    assert_eq!(host.reason("local:v2"), Reason::Retired);
}

#[test]
fn verdict_twin_never_of_what_was_pending_here_nor_without_dry_runs() {
    let mut host = Host::with_fallback();
    host.image('d', &["local:v2"]);
    host.pass();
    let record = host.memory_mut().images.get_mut(&id('d')).unwrap();
    record.times_pending = 1;
    assert_eq!(host.reason("local:v2"), Reason::Grace);

    let mut host = Host::with_fallback();
    host.image('d', &["local:v2"]);
    host.pass();
    host.workload().dry_runs = false;
    assert_eq!(host.reason("local:v2"), Reason::Grace);
}
