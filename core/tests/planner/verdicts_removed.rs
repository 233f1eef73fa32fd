//! The verdict table (design 4.5) from `in-use` down: what no promise keeps.

use tagkeeper_core::model::{Detail, Reason, Verdict};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, digit, every_state, id, name};

#[test]
fn verdict_in_use_in_any_state_before_retired_and_idle() {
    for state in every_state() {
        let mut host = Host::with_fallback();
        host.image('9', &["remote:v0"]);
        host.pass();
        host.retire('9');
        host.run("debug", "remote:v0");
        host.container("debug").interactive = true;
        host.set_state("debug", state.clone());
        assert_eq!(
            host.reason("remote:v0"),
            Reason::InUse,
            "{}",
            state.as_str()
        );
        host.memory_mut().retired.clear();
        host.later(2 * DAY_MINUTES);
        assert_eq!(
            host.reason("remote:v0"),
            Reason::InUse,
            "{}",
            state.as_str()
        );
    }
}

#[test]
fn verdict_in_use_defers_and_does_not_cancel() {
    let mut host = Host::with_fallback();
    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    host.upgrade('c', "v3");
    assert_eq!(host.reason("remote:v1"), Reason::InUse);
    host.minutes(3);
    host.remove_container("debug");
    assert_eq!(host.reason("remote:v1"), Reason::Retired);
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v1"]);
}

#[test]
fn verdict_in_use_leaves_the_stale_local_container_aside() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.pass();
    host.retire('9');
    host.run("telemetry", "remote:v0");
    host.exit("telemetry", 0);
    assert_eq!(host.reason("remote:v0"), Reason::Retired);
    assert_eq!(host.actions(), ["rm telemetry", "rmi remote:v0"]);
    host.run("debug", "remote:v0");
    assert_eq!(host.reason("remote:v0"), Reason::InUse, "not the only one");
}

#[test]
fn verdict_retired_before_inherited_and_grace() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.pass();
    assert_eq!(host.reason("remote:v0"), Reason::Grace);
    host.retire('9');
    assert_eq!(host.reason("remote:v0"), Reason::Retired);
    host.memory_mut()
        .images
        .get_mut(&id('9'))
        .unwrap()
        .inherited = true;
    assert_eq!(host.reason("remote:v0"), Reason::Retired);
    assert_eq!(Reason::Retired.verdict(), Verdict::Remove);
}

#[test]
fn verdict_inherited_before_grace_and_idle() {
    let mut host = Host::new();
    host.image('a', &["local:latest"]);
    host.image('9', &["remote:v0"]);
    host.minutes(1);
    assert_eq!(host.reason("remote:v0"), Reason::Inherited);
    host.later(30 * DAY_MINUTES);
    assert_eq!(host.reason("remote:v0"), Reason::Inherited);
}

#[test]
fn verdict_grace_and_idle_part_at_the_grace_period() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.pass();
    host.uptime_ms += DAY_MINUTES * MINUTE_MS - 1;
    assert_eq!(host.reason("remote:v3"), Reason::Grace);
    host.uptime_ms += 1;
    assert_eq!(host.reason("remote:v3"), Reason::Idle);
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v3"]);

    host.workload().grace_ms = 5 * MINUTE_MS;
    host.image('d', &["remote:v4"]);
    host.minutes(5);
    assert_eq!(host.acted, [""; 0]);
    host.pass();
    assert_eq!(host.acted, ["rmi remote:v4"], "the grace of the policy");
}

#[test]
fn verdict_idle_counts_from_the_last_use() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.pass();
    host.later(DAY_MINUTES - 1);
    host.run("debug", "remote:v3");
    host.pass();
    host.remove_container("debug");
    host.later(1);
    host.pass();
    host.later(DAY_MINUTES - 1);
    assert_eq!(host.reason("remote:v3"), Reason::Grace);
    host.later(1);
    assert_eq!(host.reason("remote:v3"), Reason::Idle);
}

#[test]
fn verdict_digests_go_with_the_last_tag_of_their_repository() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0", "remote@9", "local@9"]);
    host.pass();
    host.retire('9');
    let judged = |host: &Host| -> Vec<_> {
        let images = host.plan().images;
        images
            .iter()
            .filter(|j| j.image == id('9'))
            .map(|j| j.reference.clone().unwrap())
            .collect()
    };
    assert_eq!(judged(&host), [name("local@9"), name("remote:v0")]);
    assert_eq!(host.actions(), ["rmi local@9", "rmi remote:v0"]);
    host.untag("remote:v0");
    assert_eq!(judged(&host), [name("local@9"), name("remote@9")]);
    host.pass();
    assert!(!host.images().iter().any(|image| image.id == id('9')));
}

#[test]
fn verdict_of_nameless_images_that_the_state_knows() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.pass();
    host.retire('9');
    host.untag("remote:v0");
    host.untag("remote:v1");
    let verdicts: Vec<_> = host
        .plan()
        .images
        .iter()
        .filter(|j| j.reference.is_none())
        .map(|j| (j.image.clone(), j.reason))
        .collect();
    assert_eq!(
        verdicts,
        [(id('9'), Reason::Retired), (id('a'), Reason::Fallback)]
    );
    assert_eq!(host.preview(), [["tag a local:v1"], ["rmi 9"]]);
}

#[test]
fn verdict_by_id_only_without_any_name_at_all() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.pass();
    host.retire('9');
    host.untag("remote:v0");
    host.disk_image('9').tags.push("No Reference".to_owned());
    assert_eq!(host.actions(), [""; 0], "somebody else's name");
}

/// What the removal of names wins back: an image goes once, and only with its last name.
#[test]
fn an_image_leaves_with_its_last_name() {
    type Arrange = fn(&mut Host);
    let table: &[(&str, &str, Arrange)] = &[
        ("one name", "9", |host| host.image('9', &["remote:v0"])),
        ("two names and a digest", "9", |host| {
            host.image('9', &["local:v0", "remote:v0", "remote@9"]);
        }),
        ("a name that is nobody's", "", |host| {
            host.image('9', &["remote:v0", "elsewhere:v0"]);
        }),
        ("in use", "", |host| {
            host.image('9', &["remote:v0"]);
            host.run("debug", "remote:v0");
        }),
        ("two images", "89", |host| {
            host.image('8', &["remote:v8"]);
            host.image('9', &["remote:v9"]);
        }),
        ("nothing goes", "", |_| {}),
    ];
    for (case, leaving, arrange) in table {
        let mut host = Host::with_fallback();
        arrange(&mut host);
        host.pass();
        host.memory_mut().retired.extend([id('8'), id('9')]);
        let plan = host.plan();
        let left: String = plan.leaving.iter().map(digit).collect();
        assert_eq!(left, *leaving, "{case}");
        let bytes: u64 = plan.leaving.iter().map(|id| plan.sizes()[id]).sum();
        assert_eq!(plan.reclaimable_bytes(), bytes, "{case}");
        assert!(leaving.is_empty() || bytes > 0, "{case}");
    }
}

#[test]
fn each_removal_has_its_own_figures() {
    let mut host = Host::with_fallback();
    for image in ['8', '9'] {
        host.image(image, &[&format!("remote:v{image}")]);
        host.pass();
        host.later(60);
    }
    host.later(DAY_MINUTES);
    let idle_hours = |text: &str| match host.verdict(text).detail {
        Detail::Idle { idle_ms, .. } => idle_ms / MINUTE_MS / 60,
        other => panic!("{other:?}"),
    };
    assert_eq!((idle_hours("remote:v8"), idle_hours("remote:v9")), (26, 25));
}
