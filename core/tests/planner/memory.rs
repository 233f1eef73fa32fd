//! What is remembered and what is forgotten (design 4.4, 4.5, 5.1): arrivals, departures, a strange
//! disk, saves.

use tagkeeper_core::model::{Note, Reason, WorkloadName};

use std::mem::take;

use tagkeeper_core::planner::{RollbackTarget, plan_as_saved, rollback};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, id, repository, telemetry};

#[test]
fn what_was_there_before_anything_was_proven_is_inherited() {
    let mut host = Host::new();
    host.image('a', &["local:latest", "remote:v1"]);
    host.image('9', &["remote:v0"]);
    host.minutes(2);
    host.image('8', &["remote:v8"]);
    host.pass();
    let inherited = |digit| host.memory().images[&id(digit)].inherited;
    assert_eq!(
        (inherited('a'), inherited('9'), inherited('8')),
        (true, true, true),
        "nothing is proven yet"
    );
    assert_eq!(host.known().since.as_ref().unwrap().at, "minute 0");
    assert_eq!(host.memory().images[&id('8')].first_seen_ms, 2 * MINUTE_MS);
}

#[test]
fn the_images_of_a_new_repository_are_inherited() {
    let mut host = Host::with_fallback();
    host.image('9', &["mirror.example/x:v0"]);
    host.image('8', &["remote:v8"]);
    host.minutes(2);
    host.workload().remotes.push(repository("mirror.example/x"));
    assert_eq!(host.reason("mirror.example/x:v0"), Reason::Inherited);
    host.minutes(1);
    host.image('7', &["mirror.example/x:v7"]);
    host.later(30 * DAY_MINUTES);
    host.pass();
    assert_eq!(host.reason("mirror.example/x:v0"), Reason::Inherited);
    assert_eq!(host.acted, ["rmi remote:v8"]);
    host.later(2 * DAY_MINUTES);
    host.pass();
    assert_eq!(
        host.acted,
        ["rmi mirror.example/x:v7"],
        "it came after the repository"
    );
    host.upgrade('c', "v3");
    assert!(
        !host.images().iter().any(|image| image.id == id('9')),
        "a promotion replaced something"
    );
}

#[test]
fn an_image_that_comes_back_is_a_new_image() {
    let mut host = Host::with_fallback();
    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    host.upgrade('c', "v3");
    assert_eq!(host.retired(), ['a']);
    host.remove_container("debug");
    host.lose_image('a');
    host.pass();
    assert!(host.retired().is_empty());
    assert!(!host.memory().images.contains_key(&id('a')));
    host.later(5);
    host.image('a', &["remote:v1"]);
    host.pass();
    assert_eq!(host.reason("remote:v1"), Reason::Grace);
    assert_eq!(host.memory().images[&id('a')].first_seen_ms, host.uptime_ms);
}

#[test]
fn an_image_with_none_but_foreign_names_is_forgotten_and_a_nameless_one_is_not() {
    for foreign in [true, false] {
        let mut host = Host::with_fallback();
        host.image('9', &["remote:v0"]);
        host.pass();
        host.retire('9');
        host.untag("remote:v0");
        if foreign {
            host.tag('9', "elsewhere:v0");
        }
        host.pass();
        assert_eq!(
            host.images().iter().any(|image| image.id == id('9')),
            foreign
        );
        assert!(host.retired().is_empty() || !foreign);
        assert!(!host.memory().images.contains_key(&id('9')) || !foreign);
    }
}

#[test]
fn an_unproven_image_that_lost_its_only_name_does_not_lie_there_for_ever() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.image('4', &[]);
    host.pass();
    host.image('d', &["remote:v3"]);
    host.later(DAY_MINUTES - 1);
    host.pass();
    assert!(host.disk().contains(&"=c".to_owned()), "it has its grace");
    host.later(1);
    host.pass();
    assert_eq!(host.acted, ["rmi c"]);
    assert!(
        host.disk().contains(&"=4".to_owned()),
        "it never was the workload's"
    );
}

/// (2) A drop-in that is missing for one pass costs nothing.
#[test]
fn a_workload_that_leaves_keeps_everything_for_the_grace_period() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v0"]);
    host.deploy('c', "v3");
    host.minutes(2);
    host.reject_image('8', "v8");
    let before = host.memory().clone();
    let workloads = take(&mut host.policy.workloads);
    host.minutes(2);
    assert_eq!(host.memory(), &before);
    assert_eq!(host.acted, [""; 0]);

    let mut short = host.clone();
    short.policy.workloads = workloads.clone();
    short.pass();
    assert_eq!(short.reason("remote:v0"), Reason::Grace, "not new");
    assert_eq!(short.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(short.pending().as_deref(), Some("v3=c"));

    host.later(DAY_MINUTES);
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"], "the lineage stays");
    assert!(host.memory().images.is_empty());
    assert_eq!(host.pending(), None);
    assert_eq!(host.state.rejected[&telemetry()].len(), 1);
    host.policy.workloads = workloads;
    host.pass();
    assert_eq!(host.reason("remote:v0"), Reason::Inherited, "newly come in");
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn a_workload_that_leaves_with_nothing_proven_leaves_nothing_in_the_end() {
    let mut host = Host::new();
    host.image('a', &["local:latest"]);
    host.pass();
    host.policy.workloads.clear();
    host.pass();
    assert!(!host.state.workloads.is_empty());
    host.later(DAY_MINUTES);
    host.pass();
    assert!(host.state.workloads.is_empty());
}

#[test]
fn an_unmounted_data_disk_forgets_nothing() {
    let mut host = Host::with_fallback();
    host.run("telemetry", "local:latest");
    host.run("k8s_dry", "remote:v2");
    host.pass();
    host.exit("telemetry", 0);
    host.image('9', &["remote:v0"]);
    host.pass();
    host.retire('9');
    let before = host.state.workloads.clone();
    assert_eq!(before[&telemetry()].memory.dry_runs.len(), 2);

    let disk = host.take_disk();
    host.reboot();
    host.minutes(1);
    assert_eq!(host.told(), ["other disk"]);
    host.minutes(29);
    assert_eq!(host.told(), [""; 0], "once");
    let parked = host.known().parked.as_deref();
    assert_eq!(parked, Some(&before[&telemetry()].memory), "parked whole");
    assert_note!(host, Note::OtherDisk);
    host.put_disk(disk);
    assert_eq!(host.reason("remote:v0"), Reason::Retired);
    host.pass();
    assert_eq!(host.told().first(), Some(&"disk back"));
}

/// Docker's data was made anew, and the orchestrator deploys a version that was obsolete on the old
/// disk: its pull must not be undone before its container is there.
#[test]
fn what_was_retired_on_a_disk_that_is_gone_is_new_on_this_one() {
    let mut host = Host::with_fallback();
    host.run("debug", "remote:v1");
    host.exit("debug", 0);
    host.upgrade('c', "v3");
    assert_eq!(host.retired(), ['a']);
    host.take_disk();
    host.image('7', &["local:latest"]);
    host.minutes(2);
    host.image('a', &["remote:v1"]);
    host.minutes(2);
    assert_eq!(host.reason("remote:v1"), Reason::Grace);
}

/// What the first pass on a disk found may be all that works on it, also if it was tried and
/// withdrawn: on another disk as on a fresh host (design 4.6).
#[test]
fn what_the_first_look_at_another_disk_found_is_inherited() {
    let fresh = Host::new();
    let mut other = Host::with_fallback();
    other.take_disk();
    for mut host in [fresh, other] {
        host.image('7', &["local:latest"]);
        host.image('8', &["remote:v5"]);
        host.minutes(1);
        host.run("k8s_v5", "remote:v5");
        host.minutes(3);
        host.remove_container("k8s_v5");
        host.run("telemetry", "local:latest");
        host.minutes(12);
        host.later(2 * DAY_MINUTES);
        host.minutes(2);
        assert_eq!(host.reason("remote:v5"), Reason::Inherited);
    }
}

#[test]
fn a_workload_that_leaves_the_policy_while_its_disk_is_away_keeps_its_lineage() {
    let mut host = Host::with_fallback();
    host.add_workload("gnmi", "docker-gnmi", "registry.example:5000/docker-gnmi");
    let disk = host.take_disk();
    host.minutes(2);
    let policy = host.policy.clone();
    host.policy.workloads.remove("telemetry");
    host.minutes(2);
    host.later(2 * DAY_MINUTES);
    host.minutes(2);
    host.policy = policy;
    host.put_disk(disk);
    host.minutes(2);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

/// A failure belongs to the host; a promotion after it settles it on every disk.
#[test]
fn what_a_promotion_has_settled_is_settled_on_another_disk() {
    let mut host = Host::with_fallback();
    host.deploy_in_vain('c', "v3");
    host.remove_container("k8s_v3");
    host.lose_image('c');
    host.upgrade('d', "v4");
    assert_eq!(host.known().failures.len(), 1);
    host.take_disk();
    host.image('7', &["local:latest"]);
    host.minutes(2);
    host.deploy('c', "v3");
    host.minutes(2);
    assert_eq!(host.plan().failing, None);
}

/// Three disks, one memory beside the present one: what was proven last on another disk is it, and
/// a disk on which nothing was proven takes nothing away.
#[test]
fn of_three_disks_the_proven_one_is_remembered() {
    let empty = |host: &mut Host, digit| {
        host.image(digit, &["local:latest"]);
        host.minutes(2);
    };
    let mut host = Host::with_fallback();
    let first = host.take_disk();
    empty(&mut host, '7');
    host.take_disk();
    empty(&mut host, '8');
    host.put_disk(first);
    host.minutes(2);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);

    host.take_disk();
    host.deploy('c', "v3");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v3=c"]);
    let proven = host.take_disk();
    empty(&mut host, '9');
    host.put_disk(proven);
    host.minutes(2);
    assert_eq!(host.lineage(), ["v3=c"]);
}

/// What a rollback on another disk, or in another image store, has rejected by its digest is
/// rejected from the first look at the old one.
#[test]
fn what_was_rejected_elsewhere_is_rejected_when_its_disk_comes_back() {
    let mut host = Host::with_fallback();
    host.tag('b', "remote@b");
    host.pass();
    let disk = host.take_disk();
    host.minutes(2);
    let digest = crate::host::name("remote@b").digest().map(str::to_owned);
    host.reject_image('e', "v2");
    let rejections = host.state.rejected.get_mut(&telemetry()).unwrap();
    rejections.get_mut(&id('e')).unwrap().digests = digest.into_iter().collect();
    host.put_disk(disk);
    host.witness.doubt();
    host.pass();
    assert_eq!(
        (host.latest(), host.lineage()),
        (Some('a'), vec!["v1=a".to_owned()])
    );
}

#[test]
fn an_unmounted_data_disk_keeps_the_pending_upgrade_and_its_soak_starts_again() {
    for proven in [true, false] {
        let mut host = if proven {
            Host::with_head()
        } else {
            Host::new()
        };
        host.image('a', &["local:latest", "remote:v1"]);
        host.deploy('b', "v2");
        host.minutes(5);
        let disk = host.take_disk();
        host.minutes(30);
        let parked = host.known().parked.as_ref().unwrap();
        assert!(parked.pending.is_some(), "proven: {proven}");
        assert!(host.known().failures.is_empty());
        host.put_disk(disk);
        host.minutes(10);
        assert!(!host.lineage().contains(&"v2=b".to_owned()));
        host.pass();
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "with the stand-in, too");
    }
}

#[test]
fn a_committed_promotion_survives_an_unmounted_data_disk() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    host.minutes(10);
    host.pass_killed_after(1);
    let (images, _) = host.take_disk();
    host.minutes(5);
    host.put_disk((images, Vec::new()));
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
}

#[test]
fn what_appears_on_a_strange_disk_is_inherited() {
    let mut host = Host::with_fallback();
    let disk = host.take_disk();
    host.image('7', &["remote:v7"]);
    host.minutes(2);
    assert_eq!(host.reason("remote:v7"), Reason::Inherited);
    let parked = host.known().parked.as_ref().unwrap();
    assert!(parked.images.contains_key(&id('a')));
    host.image('8', &["remote:v8"]);
    host.minutes(2);
    host.later(30 * DAY_MINUTES);
    host.pass();
    assert_eq!(host.disk(), ["remote:v7=7", "remote:v8=8"]);
    host.put_disk(disk);
    host.pass();
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(!host.memory().images.contains_key(&id('7')));
}

#[test]
fn before_the_first_promotion_an_empty_disk_forgets_nothing_either() {
    let mut host = Host::new();
    host.image('a', &["local:latest"]);
    host.image('9', &["remote:v0"]);
    host.minutes(2);
    let disk = host.take_disk();
    host.minutes(3);
    host.put_disk(disk);
    host.later(30 * DAY_MINUTES);
    assert_eq!(host.reason("remote:v0"), Reason::Inherited);
}

#[test]
fn before_the_first_promotion_what_appears_takes_the_place_of_what_was() {
    let mut host = Host::new();
    host.image('a', &["local:latest"]);
    host.minutes(2);
    host.docker().images.clear();
    host.image('7', &["remote:v7"]);
    host.pass();
    assert_eq!(host.reason("remote:v7"), Reason::Inherited);
    assert_eq!(host.memory().images.keys().collect::<Vec<_>>(), [&id('7')]);
}

/// The planner removed it itself, and no other was there: that looks like another disk.
#[test]
fn the_only_image_that_was_removed_and_is_pulled_again_has_its_grace() {
    let mut host = Host::new();
    host.minutes(1);
    host.image('9', &["remote:v9"]);
    host.run("k8s_v9", "remote:v9");
    host.minutes(1);
    host.remove_container("k8s_v9");
    host.minutes(1);
    host.later(2 * DAY_MINUTES);
    host.pass();
    assert_eq!(host.disk(), [""; 0]);
    host.image('9', &["remote:v9"]);
    host.minutes(5);
    assert_eq!(host.reason("remote:v9"), Reason::Grace);
}

#[test]
fn an_idle_host_is_not_written_to() {
    let mut host = Host::with_fallback();
    host.minutes(2);
    let saves = host.saves;
    for _ in 0..100 {
        host.later(60);
        host.pass();
        assert_eq!(host.asked, [], "nor asked");
    }
    assert_eq!(host.saves, saves);
}

#[test]
fn a_soak_is_written_when_it_begins_is_seen_again_and_ends() {
    let mut host = Host::with_head();
    host.deploy('b', "v2");
    let saves = host.saves;
    host.minutes(10);
    assert_eq!(host.saves, saves + 2);
    host.pass();
    assert_eq!(host.saves, saves + 4, "the note, the record");
}

#[test]
fn the_clock_is_saved_hourly_while_an_image_is_in_grace() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.pass();
    let saves = host.saves;
    host.minutes(60);
    assert_eq!(host.saves, saves);
    host.pass();
    assert_eq!(
        (host.saves, host.state.clock.clock_ms),
        (saves + 1, host.uptime_ms)
    );
    host.minutes(60);
    assert_eq!(host.saves, saves + 1);
    host.minutes(1);
    assert_eq!(host.saves, saves + 2);
}

#[test]
fn grace_survives_reboots() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.pass();
    for boot in 1..=7 {
        let hours_up = (boot - 1) * 5;
        assert!(
            hours_up >= 24 || host.images().iter().any(|image| image.id == id('c')),
            "after {hours_up} hours"
        );
        host.minutes(5 * 60);
        host.reboot();
    }
    assert!(
        !host.images().iter().any(|image| image.id == id('c')),
        "each reboot may cost an hour, not all of them"
    );
}

#[test]
fn a_policy_without_workloads_does_nothing() {
    let mut host = Host::new();
    host.policy.workloads.clear();
    host.image('a', &["local:latest"]);
    host.pass();
    assert_eq!((host.saves, host.acted.len()), (0, 0));
    let absent = WorkloadName::new("nobody");
    let world = host.observe();
    let refused = rollback(
        &host.policy,
        &host.state,
        &world,
        &absent,
        RollbackTarget::InPlay,
    );
    assert!(refused.is_err());
}

/// No record of an image is no sign that it has been idle, however short the grace period is.
#[test]
fn a_fresh_start_that_cannot_be_saved_removes_nothing() {
    let mut host = Host::shipped();
    host.workload().grace_ms = 0;
    host.image('b', &["local:v0"]);
    let observed = host.clone().observe();
    let plan = plan_as_saved(&host.policy, &host.state, &observed);
    assert_eq!(plan.actions(), []);
}
