//! The requirements of design section 2 and what may come between, told on a clock that the tests
//! move.

use crate::host::Host;
use crate::scene::{POLICY, RIPE, assert_names, assert_promoted, id, promoted, soaking};
use in_memory_engine::Route;

#[test]
fn an_upgrade_that_soaked_becomes_latest_and_the_disk_is_cleaned() {
    let host = soaking(POLICY);
    assert_eq!(
        host.pass_at(550).expect_code(0).mutations(),
        [""; 0],
        "not yet"
    );
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    let first = outcome
        .requests
        .iter()
        .find(|r| r.is_mutation())
        .map(|r| r.route);
    assert_eq!(
        first,
        Some(Route::Tag),
        "the tag moves before anything is removed"
    );
    let plan = host.plan_at(RIPE + 5);
    let app = &plan["workloads"]["app"];
    assert_eq!(
        (&app["latest"]["version"], &app["latest"]["proven"]),
        (&"v2".into(), &true.into())
    );
    assert_eq!(
        app["fallbacks"],
        serde_json::json!([{"version": "v1", "image": id("v1")}])
    );
}

#[test]
fn an_upgrade_that_stopped_before_its_time_is_not_tagged() {
    let host = soaking(POLICY);
    host.pass_at(300).expect_code(0);
    host.engine().docker.exit("k8s_app_1", 3);
    for secs in [400, RIPE, 5_000] {
        assert_eq!(
            host.pass_at(secs).expect_code(0).mutations(),
            [""; 0],
            "at {secs} s"
        );
    }
    let plan = host.plan_at(5_005);
    let failure = &plan["workloads"]["app"]["failures"][0];
    assert_eq!(
        (&failure["version"], &failure["reason"]),
        (&"v2".into(), &"exited (3)".into()),
        "{plan:#}"
    );
    // Its container is there still.
    assert_eq!(plan["workloads"]["app"]["failing"], id("v2"));
}

#[test]
fn a_restart_starts_the_soak_again() {
    let host = soaking(POLICY);
    host.engine().docker.start("k8s_app_1");
    host.pass_at(500).expect_code(0);
    assert_eq!(
        host.pass_at(1_050).expect_code(0).mutations(),
        [""; 0],
        "550 s since the restart"
    );
    assert_eq!(
        host.plan_at(1_051)["workloads"]["app"]["pending"]["restarts"],
        1
    );
    host.pass_at(500 + RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn a_restart_that_no_pass_saw_is_seen_by_its_start() {
    let host = soaking(POLICY);
    host.engine().docker.start("k8s_app_1");
    assert_eq!(
        host.pass_at(RIPE).expect_code(0).mutations(),
        [""; 0],
        "up, but not for ten minutes"
    );
    host.pass_at(2 * RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn an_unhealthy_report_starts_the_soak_again() {
    for bad in ["unhealthy", "starting"] {
        let host = soaking(POLICY);
        let report =
            |health: &str| host.engine().docker.container("k8s_app_1").health = Some(health.into());
        report(bad);
        host.pass_at(500).expect_code(0);
        assert_eq!(
            host.pass_at(RIPE + 5).expect_code(0).mutations(),
            [""; 0],
            "{bad}"
        );
        report("healthy");
        host.pass_at(700).expect_code(0);
        assert_eq!(
            host.pass_at(1_150).expect_code(0).mutations(),
            [""; 0],
            "450 s in good health"
        );
        host.pass_at(700 + RIPE).expect_code(0);
        assert_promoted(&host);
    }
}

#[test]
fn a_paused_container_does_not_serve() {
    let host = soaking(POLICY);
    let state = |word: &str| host.engine().docker.container("k8s_app_1").state = word.into();
    state("paused");
    host.pass_at(500).expect_code(0);
    state("running");
    host.pass_at(550).expect_code(0);
    assert_eq!(
        host.pass_at(1_050).expect_code(0).mutations(),
        [""; 0],
        "500 s since it went on"
    );
    host.pass_at(550 + RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn while_two_images_run_nothing_serves() {
    let host = soaking(POLICY);
    host.engine().docker.image("v3", &["reg.example/app:v3"]);
    host.engine().docker.run("k8s_app_2", "reg.example/app:v3");
    for secs in [300, RIPE, 2_000] {
        assert_eq!(
            host.pass_at(secs).expect_code(0).mutations(),
            [""; 0],
            "at {secs} s"
        );
    }
    let app = host.plan_at(2_005)["workloads"]["app"].clone();
    assert_eq!(
        (&app["serving"], &app["pending"]),
        (&serde_json::Value::Null, &serde_json::Value::Null),
        "{app:#}"
    );
    assert!(app["note"].is_string(), "it says why: {app:#}");
    host.engine().docker.exit("k8s_app_1", 0);
    host.pass_at(3_000).expect_code(0);
    host.pass_at(3_000 + RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v3"));
    assert_eq!(
        host.id_of("reg.example/app:v1"),
        id("v1"),
        "the fallback is the one that was proven, not v2"
    );
}

#[test]
fn r2_a_running_local_container_is_never_removed() {
    let host = promoted();
    host.engine().docker.run("app", "reg.example/app:v1");
    for secs in [1_000, 1_100] {
        assert_eq!(
            host.pass_at(secs).expect_code(0).mutations(),
            [""; 0],
            "at {secs} s"
        );
    }
    assert!(host.has_container("app"));
    host.engine().docker.exit("app", 0);
    host.pass_at(1_200).expect_code(0);
    assert!(!host.has_container("app"), "stopped, and stale");
    assert_promoted(&host);
}

#[test]
fn r4_case_1_the_remote_name_moves_to_the_image_that_ran() {
    let host = Host::new(POLICY);
    let digest = |label: &str| format!("reg.example/app@{}", id(label));
    {
        let docker = &mut host.engine().docker;
        docker.image("v1 local", &["app:latest", "app:v1"]);
        docker.image(
            "v1 remote",
            &["reg.example/app:v1", &digest("manifest of v1")],
        );
        docker.image("v2", &["reg.example/app:v2", &digest("manifest of v2")]);
        docker.run("k8s_app_2", "reg.example/app:v2");
    }
    host.pass_at(0).expect_code(0);
    host.pass_at(RIPE).expect_code(0);
    let wanted = [
        ("app:latest", "v2"),
        ("reg.example/app:v1", "v1 local"),
        ("reg.example/app:v2", "v2"),
    ];
    assert_names(
        &host,
        &[wanted.as_slice(), &[(&digest("manifest of v2"), "v2")]].concat(),
    );
    assert_eq!(
        host.engine().docker.images.len(),
        2,
        "the image that never ran is gone"
    );
}

#[test]
fn r5_case_2_a_local_version_that_was_never_rolled_out_is_no_fallback() {
    for (keep, names) in [
        (false, [("app:latest", "v2")].as_slice()),
        (true, &[("app:latest", "v2"), ("app:v3", "v3")]),
    ] {
        let host = Host::new(&format!(
            "{POLICY}local_fallback = \"{}\"\n",
            if keep { "keep" } else { "drop" }
        ));
        host.engine().docker.image("v3", &["app:latest", "app:v3"]);
        host.engine().docker.image("v2", &["reg.example/app:v2"]);
        host.engine().docker.run("k8s_app_2", "reg.example/app:v2");
        host.pass_at(0).expect_code(0);
        host.pass_at(RIPE).expect_code(0);
        assert_names(&host, &[names, &[("reg.example/app:v2", "v2")]].concat());
    }
}

#[test]
fn r7_a_dry_run_beside_the_local_container_is_not_promoted() {
    let host = Host::new(POLICY);
    host.engine().docker.image("v1", &["app:latest", "app:v1"]);
    host.engine()
        .docker
        .image("v1 remote", &["reg.example/app:v1"]);
    host.engine().docker.run("app", "app:latest");
    host.engine().docker.run("k8s_app_1", "reg.example/app:v1");
    host.pass_at(0).expect_code(0);
    host.pass_at(RIPE).expect_code(0);
    // The local service stops; nothing says that the idle one has woken up.
    host.engine().docker.exit("app", 0);
    for secs in [700, 1_400, 5_000] {
        assert_eq!(
            host.pass_at(secs).expect_code(0).mutations(),
            [""; 0],
            "at {secs} s"
        );
    }
    assert_eq!(host.id_of("app:latest"), id("v1"));
    assert_eq!(
        host.id_of("reg.example/app:v1"),
        id("v1 remote"),
        "a twin of the head is kept"
    );
    // A real upgrade is another matter.
    host.engine().docker.drop_container("k8s_app_1");
    host.engine().docker.image("v2", &["reg.example/app:v2"]);
    host.engine().docker.run("k8s_app_2", "reg.example/app:v2");
    host.pass_at(6_000).expect_code(0);
    host.pass_at(6_000 + RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"));
}

#[test]
fn an_image_that_latest_would_leave_nameless_gets_a_name_first() {
    let host = Host::new("[workload.app]\nrepository = \"app\"\n");
    host.engine().docker.image("v1", &["app:latest"]);
    host.engine().docker.image("v2", &["app:v2"]);
    host.engine().docker.run("k8s_app_2", "app:v2");
    host.pass_at(0).expect_code(0);
    let outcome = host.pass_at(RIPE).expect_code(0);
    let named = format!("app:sha256-{}", &id("v1")["sha256:".len()..][..12]);
    assert_names(
        &host,
        &[("app:latest", "v2"), ("app:v2", "v2"), (&named, "v1")],
    );
    let order: Vec<String> = outcome.mutations();
    assert!(
        order.len() == 2 && order[0].contains("tag=sha256-") && order[1].contains("tag=latest"),
        "{order:#?}"
    );
}

#[test]
fn a_latest_that_a_garbage_collector_took_is_tagged_again_at_once() {
    let host = promoted();
    host.engine().docker.remove_image("app:latest");
    let outcome = host.pass_at(1_000).expect_code(0);
    assert_eq!(outcome.mutations().len(), 1, "{outcome:#?}");
    assert_promoted(&host);
}

#[test]
fn an_engine_that_comes_up_with_an_empty_disk_makes_nothing_forgotten() {
    let host = promoted();
    let disk = std::mem::take(&mut host.engine().docker);
    for secs in [1_000, 200_000] {
        assert_eq!(
            host.pass_at(secs).expect_code(0).mutations(),
            [""; 0],
            "at {secs} s"
        );
    }
    host.engine().docker = disk;
    assert_eq!(host.pass_at(300_000).expect_code(0).mutations(), [""; 0]);
    assert_promoted(&host);
    let plan = host.plan_at(300_005);
    assert_eq!(
        plan["workloads"]["app"]["latest"]["proven"], true,
        "{plan:#}"
    );
}

#[test]
fn a_neighbour_with_a_similar_name_is_nobodys_business() {
    let host = soaking(POLICY);
    let neighbours = [
        "app-sidecar:v1",
        "reg.example/app/tool:v1",
        "reg.example:5000/app:v1",
        "other.example/app:v1",
        "xapp:v1",
    ];
    for name in neighbours {
        host.engine().docker.image(name, &[name]);
    }
    host.engine().docker.image("dangling", &[]);
    host.pass_at(RIPE).expect_code(0);
    host.pass_at(1_000_000).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v2"));
    for name in neighbours {
        assert_eq!(host.id_of(name), id(name));
    }
    assert!(
        host.engine().docker.images.contains_key(&id("dangling")),
        "R10"
    );
}

/// It crashed before a pass saw it run, and is up at the next: its soak begins then.
#[test]
fn what_restarts_before_its_soak_is_not_said_to_be_without_one() {
    let host = promoted();
    {
        let docker = &mut host.engine().docker;
        docker.drop_container("k8s_app_1");
        docker.image("v3", &["reg.example/app:v3"]);
        docker.run("k8s_app_2", "reg.example/app:v3");
        docker.exit("k8s_app_2", 1);
    }
    assert_eq!(host.pass_at(1_000).expect_code(0).stderr, "");
    host.engine().docker.start("k8s_app_2");
    assert_eq!(
        host.pass_at(1_060).expect_code(0).stderr,
        "app: v3 restarted; its soak had not begun\n"
    );
    host.pass_at(1_060 + RIPE).expect_code(0);
    assert_eq!(host.id_of("app:latest"), id("v3"));
}
