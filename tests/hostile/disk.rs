//! The disk of the state is full, read-only, somebody else's, or its directory is gone (design
//! 5.1).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::scene::{POLICY, RIPE, assert_names, assert_promoted, id, soaking, upgrade};
use crate::store::{MOUNTS, fill, mount_ext4, mount_tmpfs, run, under};
use crate::wrapped;
use in_memory_engine::Route;

/// Makes a fresh file system under a directory, and tells where.
type Mount = fn(&Path) -> PathBuf;

/// A host whose state directory is a file system of its own. It ends with the mount namespace of
/// the test.
fn host_with_disk(mount: Mount, scratch: &Path) -> Host {
    let host = Host::new(POLICY);
    let state = mount(scratch);
    fs::remove_dir(host.state_dir()).unwrap();
    std::os::unix::fs::symlink(&state, host.state_dir()).unwrap();
    host
}

fn no_spare(host: &Host) {
    fs::remove_file(host.path("state/state.json.spare")).unwrap();
}

/// Before the upgrade: the local container runs v1, and a pass has seen it.
fn before_the_upgrade(host: &Host) {
    host.engine()
        .docker
        .image("v1", &["app:latest", "reg.example/app:v1"]);
    host.pass_at(0).expect_code(0);
}

fn goes_through_on_a_full_disk(mount: Mount, scratch: &Path) {
    let host = host_with_disk(mount, scratch);
    before_the_upgrade(&host);
    fill(&host.state_dir());
    upgrade(&mut host.engine().docker);
    host.pass_at(60).expect_code(0);
    let pending = host.plan_at(60)["workloads"]["app"]["pending"]["version"].clone();
    assert_eq!(pending, "v2", "the soak was written down");
    host.pass_at(60 + RIPE).expect_code(0);
    assert_eq!(
        (host.id_of("app:latest"), host.id_of("reg.example/app:v1")),
        (id("v2"), id("v1"))
    );
    let plan = host.plan_at(60 + RIPE);
    assert_eq!(plan["workloads"]["app"]["latest"]["proven"], true);
    let stamps = host.state_stamps();
    host.pass_at(90 + RIPE).expect_code(0);
    assert_eq!(host.state_stamps(), stamps, "and then all is quiet");
}

#[test]
fn a_soak_and_a_promotion_go_through_on_a_full_ext4() {
    let name = "disk::a_soak_and_a_promotion_go_through_on_a_full_ext4";
    under(MOUNTS, name, |scratch| {
        goes_through_on_a_full_disk(mount_ext4, scratch);
    });
}

#[test]
fn a_soak_and_a_promotion_go_through_on_a_full_tmpfs() {
    let name = "disk::a_soak_and_a_promotion_go_through_on_a_full_tmpfs";
    under(MOUNTS, name, |scratch| {
        goes_through_on_a_full_disk(mount_tmpfs, scratch);
    });
}

#[test]
fn without_a_saved_state_there_is_no_promotion() {
    let name = "disk::without_a_saved_state_there_is_no_promotion";
    under(MOUNTS, name, |scratch| {
        let host = host_with_disk(mount_tmpfs, scratch);
        upgrade(&mut host.engine().docker);
        host.pass_at(0).expect_code(0);
        no_spare(&host);
        fill(&host.state_dir());
        let (state, names) = (host.state_bytes(), host.names());
        let outcome = host.pass_at(RIPE).expect_code(1);
        assert_eq!(outcome.mutations(), [""; 0], "the soak could not be noted");
        let said =
            "error: the state was not saved, so nothing new was promoted or removed: make room";
        assert!(outcome.stderr.contains(said), "{outcome:#?}");
        assert!(outcome.stderr.contains("No space left"), "{outcome:#?}");
        assert_eq!((host.state_bytes(), host.names()), (state, names));
        free(&host);
        host.pass_at(RIPE + 5).expect_code(0);
        assert_promoted(&host);
    });
}

/// Takes the filler away.
fn free(host: &Host) {
    free_dir(&host.state_dir());
}

fn free_dir(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("/filler-") {
            fs::remove_file(path).unwrap();
        }
    }
}

/// v2 is promoted; `old-a` is retired, and a container keeps it.
fn retired_in_use(scratch: &Path) -> Host {
    let host = host_with_disk(mount_tmpfs, scratch);
    upgrade(&mut host.engine().docker);
    host.engine().docker.run("debug", "reg.example/app:old-a");
    host.engine().docker.exit("debug", 0);
    host.pass_at(0).expect_code(0);
    host.pass_at(RIPE).expect_code(0);
    assert_eq!(host.id_of("reg.example/app:old-a"), id("a"), "in use");
    host
}

/// Nothing keeps `old-a` any more; the next upgrade has just come, and there is no room to write
/// that down.
fn retired_and_full(scratch: &Path) -> Host {
    let host = retired_in_use(scratch);
    host.engine().docker.drop_container("debug");
    upgrade_again_without_room(&host);
    host
}

/// The next upgrade, v3, has just come: there is something to write down, and no room for it.
fn upgrade_again_without_room(host: &Host) {
    host.engine().docker.drop_container("k8s_app_1");
    host.engine().docker.image("v3", &["reg.example/app:v3"]);
    host.engine().docker.run("k8s_app_2", "reg.example/app:v3");
    no_spare(host);
    fill(&host.state_dir());
}

#[test]
fn what_the_saved_state_calls_for_is_removed_though_nothing_can_be_saved() {
    let name = "disk::what_the_saved_state_calls_for_is_removed_though_nothing_can_be_saved";
    under(MOUNTS, name, |scratch| {
        let host = retired_and_full(scratch);
        let state = host.state_bytes();
        let outcome = host.pass_at(RIPE + 60).expect_code(1);
        assert_eq!(outcome.mutations().len(), 1, "{outcome:#?}");
        assert_eq!(outcome.removals_of("old-a"), 1, "{outcome:#?}");
        assert_eq!(host.state_bytes(), state, "the old state is whole");
        let rest = [
            ("app:latest", "v2"),
            ("reg.example/app:v1", "v1"),
            ("reg.example/app:v2", "v2"),
            ("reg.example/app:v3", "v3"),
        ];
        assert_names(&host, &rest);
        free(&host);
        host.pass_at(RIPE + 120).expect_code(0);
        host.pass_at(2 * RIPE + 120).expect_code(0);
        assert_eq!(host.id_of("app:latest"), id("v3"));
    });
}

/// A rollback was killed between its two files: each load takes out of the state what it rejected,
/// and there is no room to write that down.
#[test]
fn what_is_retired_is_removed_though_the_state_cannot_be_carried_over() {
    let name = "disk::what_is_retired_is_removed_though_the_state_cannot_be_carried_over";
    under(MOUNTS, name, |scratch| {
        let host = retired_in_use(scratch);
        let before = host.state_bytes().unwrap();
        host.run_at(RIPE + 10, &["rollback", "app", "--yes"])
            .expect_code(0);
        fs::write(host.state_file(), before).unwrap();
        host.engine().docker.drop_container("debug");
        no_spare(&host);
        fill(&host.state_dir());
        let outcome = host.pass_at(RIPE + 60).expect_code(1);
        assert_eq!(outcome.removals_of("old-a"), 1, "{outcome:#?}");
        assert!(
            outcome.stderr.contains("was not carried over"),
            "{outcome:#?}"
        );
        free(&host);
        host.pass_at(RIPE + 120).expect_code(0);
    });
}

#[test]
fn what_lay_idle_for_its_grace_is_removed_though_nothing_can_be_saved() {
    const DAY: u64 = 86_400;
    let name = "disk::what_lay_idle_for_its_grace_is_removed_though_nothing_can_be_saved";
    under(MOUNTS, name, |scratch| {
        let host = host_with_disk(mount_tmpfs, scratch);
        upgrade(&mut host.engine().docker);
        host.pass_at(0).expect_code(0);
        host.pass_at(RIPE).expect_code(0);
        host.engine()
            .docker
            .image("lost", &["reg.example/app:lost"]);
        host.pass_at(RIPE + 60).expect_code(0);
        upgrade_again_without_room(&host);
        let outcome = host.pass_at(RIPE + 60 + DAY).expect_code(1);
        assert_eq!(outcome.mutations().len(), 1, "{outcome:#?}");
        assert_eq!(outcome.removals_of("app:lost"), 1, "{outcome:#?}");
    });
}

#[test]
fn a_removal_that_makes_room_lets_the_pass_go_on() {
    let name = "disk::a_removal_that_makes_room_lets_the_pass_go_on";
    under(MOUNTS, name, |scratch| {
        let host = retired_and_full(scratch);
        let disk = host.state_dir();
        // The state shares its disk with the images: one less, and there is room.
        host.engine()
            .before(Route::RemoveImage, 1, move |_| free_dir(&disk));
        let removals = || {
            let state: serde_json::Value =
                serde_json::from_slice(&host.state_bytes().unwrap()).unwrap();
            state["workloads"]["app"]["counters"]["removals"].as_u64()
        };
        let before = removals().unwrap();
        host.pass_at(RIPE + 60).expect_code(0);
        assert_eq!(removals(), Some(before + 1), "and so was the removal");
        let pending = host.plan_at(RIPE + 60)["workloads"]["app"]["pending"]["version"].clone();
        assert_eq!(pending, "v3", "it was written down after all");
    });
}

#[test]
fn on_a_read_only_disk_nothing_is_done_and_plan_still_tells() {
    let name = "disk::on_a_read_only_disk_nothing_is_done_and_plan_still_tells";
    under(MOUNTS, name, |scratch| {
        let host = host_with_disk(mount_ext4, scratch);
        upgrade(&mut host.engine().docker);
        host.pass_at(0).expect_code(0);
        let mount = scratch.join("ext4");
        let remount = |how: &str| run("mount", &["-o", how, mount.to_str().unwrap()]);
        remount("remount,ro");
        let (state, names) = (host.state_bytes(), host.names());
        for command in [["reconcile"].as_slice(), &["rollback", "app", "--yes"]] {
            let outcome = host.run_at(RIPE, command).expect_code(1);
            assert!(outcome.stderr.contains("Read-only"), "{outcome:#?}");
            assert_eq!(outcome.requests.len(), 0, "{outcome:#?}");
        }
        let plan = host.plan_at(RIPE);
        assert_eq!(plan["workloads"]["app"]["pending"]["version"], "v2");
        host.run_at(RIPE, &["status"]).expect_code(0);
        assert_eq!((host.state_bytes(), host.names()), (state, names));
        remount("remount,rw");
        host.pass_at(RIPE + 5).expect_code(0);
        assert_promoted(&host);
    });
}

/// Root without the rights to pass over owner and mode, as in a unit that gives them up.
const PLAIN: &[&str] = &["setpriv", "--bounding-set=-dac_override,-dac_read_search"];

#[test]
fn in_a_directory_of_somebody_else_nothing_is_done_or_forgotten() {
    let host = soaking(POLICY);
    let (state, names) = (host.state_bytes(), host.names());
    let mode = |mode| fs::set_permissions(host.state_dir(), PermissionsExt::from_mode(mode));
    chown(host.state_dir(), Some(1234), Some(1234)).unwrap();
    mode(0o700).unwrap();
    for (command, code) in [
        (["reconcile"].as_slice(), 1),
        (&["plan"], 1),
        (&["status"], 1),
        (&["rollback", "app", "--yes"], 1),
    ] {
        let outcome = wrapped::run(&host, PLAIN, RIPE, command).expect_code(code);
        assert_eq!(outcome.mutations(), [""; 0]);
        assert!(
            outcome.stderr.contains("Permission denied") && outcome.stderr.contains("state"),
            "{command:?}: {outcome:#?}"
        );
    }
    assert_eq!((host.state_bytes(), host.names()), (state, names));
    chown(host.state_dir(), Some(0), Some(0)).unwrap();
    wrapped::run(&host, PLAIN, RIPE + 5, &["reconcile"]).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn a_state_file_that_may_not_be_read_is_not_taken_for_a_corrupt_one() {
    let host = soaking(POLICY);
    let state = host.state_bytes();
    chown(host.state_file(), Some(1234), Some(1234)).unwrap();
    fs::set_permissions(host.state_file(), PermissionsExt::from_mode(0o600)).unwrap();
    for command in ["reconcile", "plan", "status"] {
        let outcome = wrapped::run(&host, PLAIN, RIPE, &[command]).expect_code(1);
        assert_eq!(outcome.mutations(), [""; 0]);
        assert!(outcome.stderr.contains("Permission denied"), "{outcome:#?}");
    }
    assert_eq!(host.state_bytes(), state, "neither moved nor replaced");
}

#[test]
fn when_the_state_directory_is_gone_nothing_is_deleted_and_the_soak_begins_anew() {
    let host = soaking(POLICY);
    let names = host.names();
    fs::remove_dir_all(host.state_dir()).unwrap();
    let shown = host.plan_at(RIPE);
    assert!(
        !host.state_dir().exists() && shown["workloads"]["app"].is_object(),
        "plan shows a fresh start and makes nothing: {shown:#}"
    );
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_eq!(outcome.mutations(), [""; 0], "nothing is known of a soak");
    assert_eq!(host.names(), names);
    host.pass_at(2 * RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn a_state_directory_that_goes_in_the_middle_of_a_promotion_deletes_nothing() {
    let host = soaking(POLICY);
    let gone = host.state_dir();
    host.engine().before(Route::Tag, 1, move |_| {
        fs::remove_dir_all(gone).unwrap();
    });
    let outcome = host.pass_at(RIPE).expect_code(1);
    assert_eq!(outcome.mutations().len(), 1, "the tag alone: {outcome:#?}");
    let all = [
        ("app:latest", "v2"),
        ("reg.example/app:old-a", "a"),
        ("reg.example/app:old-b", "b"),
        ("reg.example/app:v1", "v1"),
        ("reg.example/app:v2", "v2"),
    ];
    for secs in [RIPE + 60, 2 * RIPE + 60, 400_000] {
        host.pass_at(secs).expect_code(0);
        // A fresh start: all of it was there before, and no promotion has replaced anything since.
        assert_names(&host, &all);
    }
}
