//! The stories that are killed at every step (design R1 to R9, section 7).

use crate::story::{Kills, RECONCILE, Step, kill_everywhere};
use in_memory_engine::Docker;

pub(crate) const POLICY: &str = r#"
[engine]
timeout = "20s"

[workload.app]
repository = "app"
remotes = ["reg.example/app"]
"#;

const HOLD: &str = r#"
[engine]
timeout = "20s"

[workload.app]
repository = "app"
remotes = ["reg.example/app"]
hold = true
"#;

/// A soak that began at 0 is over.
const RIPE: u64 = 601;

/// What the orchestrator pulled two images by.
const DIGEST_1: &str =
    "reg.example/app@sha256:1111111111111111111111111111111111111111111111111111111111111111";
const DIGEST_2: &str =
    "reg.example/app@sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// One pass of the timer.
const fn pass(secs: u64, change: fn(&mut Docker), kept: &'static [&'static str]) -> Step {
    Step {
        secs,
        change,
        args: RECONCILE,
        policy: POLICY,
        corrupt_state: None,
        kept,
    }
}

/// The everyday upgrade, R6: two older versions lie about, the local container of v1 has stopped,
/// v2 runs.
fn upgrade(docker: &mut Docker) {
    docker.image("a", &["reg.example/app:old-a"]);
    docker.image("b", &["reg.example/app:old-b"]);
    docker.image("v1", &["app:latest", "reg.example/app:v1"]);
    docker.image("v2", &["reg.example/app:v2"]);
    docker.run("app", "app:latest");
    docker.exit("app", 0);
    docker.run("k8s_app_1", "reg.example/app:v2");
}

fn nothing(_: &mut Docker) {}

#[test]
fn the_first_run() {
    let ships = |docker: &mut Docker| {
        docker.image("v1", &["app:latest", "app:v1"]);
        docker.image("old", &["app:old"]);
        docker.run("app", "app:latest");
    };
    let steps = [
        pass(0, ships, &["v1"]),
        pass(60, nothing, &["v1"]),
        pass(RIPE, nothing, &["v1"]),
    ];
    let wanted = [("app:latest", "v1"), ("app:old", "old"), ("app:v1", "v1")];
    kill_everywhere("first run", Kills::Once, &steps, &wanted, 60);
}

#[test]
fn r4_the_remote_name_moves_to_the_image_that_ran() {
    let ships = |docker: &mut Docker| {
        docker.image("v1 local", &["app:latest", "app:v1"]);
        docker.image("v1 remote", &["reg.example/app:v1", DIGEST_1]);
        docker.image("v2", &["reg.example/app:v2", DIGEST_2]);
        docker.run("k8s_app_2", "reg.example/app:v2");
    };
    let steps = [
        pass(0, ships, &["v1 local", "v2"]),
        pass(RIPE, nothing, &["v1 local", "v2"]),
    ];
    let wanted = [
        ("app:latest", "v2"),
        ("reg.example/app:v1", "v1 local"),
        ("reg.example/app:v2", "v2"),
        (DIGEST_2, "v2"),
    ];
    kill_everywhere("R4", Kills::Once, &steps, &wanted, 90);
}

/// The never-run twin comes after the promotion, which has not retired it: its id must be saved
/// before it loses its name, or nobody will know whose image it is.
#[test]
fn r4_what_is_pulled_after_the_promotion_keeps_its_name() {
    let ships = |docker: &mut Docker| {
        docker.image("v1 local", &["app:latest", "app:v1"]);
        docker.image("v1 remote", &["reg.example/app:v1"]);
        docker.image("v2", &["reg.example/app:v2"]);
        docker.run("k8s_app_2", "reg.example/app:v2");
    };
    let removes = |docker: &mut Docker| {
        docker.remove_image("reg.example/app:v1");
    };
    let pulls = |docker: &mut Docker| {
        docker.image("v1 remote", &["reg.example/app:v1"]);
    };
    let steps = [
        pass(0, ships, &["v1 local", "v2"]),
        pass(RIPE, removes, &["v1 local", "v2"]),
        pass(1000, pulls, &["v1 local", "v1 remote", "v2"]),
    ];
    let wanted = [
        ("app:latest", "v2"),
        ("app:v1", "v1 local"),
        ("reg.example/app:v1", "v1 remote"),
        ("reg.example/app:v2", "v2"),
    ];
    kill_everywhere("R4, pulled late", Kills::Once, &steps, &wanted, 100);
}

#[test]
fn r5_a_local_version_that_was_never_rolled_out_is_no_fallback() {
    let ships = |docker: &mut Docker| {
        docker.image("v3", &["app:latest", "app:v3"]);
        docker.image("v2", &["reg.example/app:v2"]);
        docker.run("k8s_app_2", "reg.example/app:v2");
    };
    let steps = [pass(0, ships, &["v2", "v3"]), pass(RIPE, nothing, &["v2"])];
    let wanted = [("app:latest", "v2"), ("reg.example/app:v2", "v2")];
    kill_everywhere("R5", Kills::Once, &steps, &wanted, 85);
}

/// What the everyday upgrade comes to.
const UPGRADED: [(&str, &str); 3] = [
    ("app:latest", "v2"),
    ("reg.example/app:v1", "v1"),
    ("reg.example/app:v2", "v2"),
];

#[test]
fn r6_the_everyday_upgrade() {
    let steps = [
        pass(0, upgrade, &["v1", "v2"]),
        pass(RIPE, nothing, &["v1", "v2"]),
    ];
    kill_everywhere("R6", Kills::Once, &steps, &UPGRADED, 95);
    kill_everywhere("R6, killed twice", Kills::Twice, &steps, &UPGRADED, 95);
}

/// A person holds the workload in the middle of a soak, and lets it go when the soak would be over.
#[test]
fn an_upgrade_is_held() {
    let hold = |secs| Step {
        policy: HOLD,
        ..pass(secs, nothing, &["v1", "v2"])
    };
    let steps = [
        pass(0, upgrade, &["v1", "v2"]),
        hold(300),
        hold(RIPE),
        pass(2 * RIPE, nothing, &["v1", "v2"]),
    ];
    kill_everywhere("hold", Kills::Once, &steps, &UPGRADED, 95);
}

/// Something has damaged the state in the middle of a soak. It is set aside, once, and the soak
/// starts again.
#[test]
fn a_corrupt_state_is_set_aside() {
    let steps = [
        pass(0, upgrade, &["v1", "v2"]),
        Step {
            corrupt_state: Some("{\"version\":1,"),
            ..pass(RIPE, nothing, &["v1", "v2"])
        },
        pass(3 * RIPE, nothing, &["v1", "v2"]),
    ];
    kill_everywhere("corrupt state", Kills::Once, &steps, &UPGRADED, 110);
}

#[test]
fn the_fallback_gets_a_name_before_latest_leaves_it() {
    let ships = |docker: &mut Docker| {
        docker.image("v1", &["app:latest"]);
        docker.image("v2", &["app:v2"]);
        docker.run("app", "app:v2");
    };
    let steps = [
        pass(0, ships, &["v1", "v2"]),
        pass(RIPE, nothing, &["v1", "v2"]),
    ];
    let wanted = [
        ("app:latest", "v2"),
        ("app:sha256-6860e6194e46", "v1"),
        ("app:v2", "v2"),
    ];
    kill_everywhere("a nameless fallback", Kills::Once, &steps, &wanted, 60);
}

#[test]
fn the_orchestrator_rolls_back() {
    let rolls_back = |docker: &mut Docker| {
        docker.drop_container("k8s_app_1");
        docker.run("k8s_app_2", "reg.example/app:v1");
    };
    let steps = [
        pass(0, upgrade, &["v1", "v2"]),
        pass(RIPE, nothing, &["v1", "v2"]),
        pass(1000, rolls_back, &["v1", "v2"]),
        pass(1000 + RIPE, nothing, &["v1", "v2"]),
    ];
    let wanted = [
        ("app:latest", "v1"),
        ("reg.example/app:v1", "v1"),
        ("reg.example/app:v2", "v2"),
    ];
    kill_everywhere(
        "rollback of the orchestrator",
        Kills::Once,
        &steps,
        &wanted,
        150,
    );
}

/// A person rejects what has become latest; the local container of it has stopped, and goes too
/// (R2).
#[test]
fn a_promoted_upgrade_is_rejected() {
    let goes_away = |docker: &mut Docker| {
        docker.run("app", "app:latest");
        docker.exit("app", 0);
    };
    let steps = [
        pass(0, upgrade, &["v1", "v2"]),
        pass(RIPE, nothing, &["v1", "v2"]),
        Step {
            args: &["rollback", "app", "--yes"],
            ..pass(1000, goes_away, &["v1", "v2"])
        },
        pass(1000 + RIPE, nothing, &["v1", "v2"]),
    ];
    let wanted = [
        ("app:latest", "v1"),
        ("reg.example/app:v1", "v1"),
        ("reg.example/app:v2", "v2"),
    ];
    kill_everywhere(
        "rejected upgrade, promoted",
        Kills::Once,
        &steps,
        &wanted,
        130,
    );
    let name = "rejected upgrade, promoted, killed twice";
    kill_everywhere(name, Kills::Twice, &steps, &wanted, 130);
}

/// A person rejects what is being soaked.
#[test]
fn a_pending_upgrade_is_rejected() {
    let steps = [
        pass(0, upgrade, &["v1", "v2"]),
        Step {
            args: &["rollback", "app", "--yes"],
            ..pass(300, nothing, &["v1", "v2"])
        },
        pass(RIPE, nothing, &["v1", "v2"]),
        pass(2 * RIPE, nothing, &["v1", "v2"]),
    ];
    let wanted = [
        ("app:latest", "v1"),
        ("reg.example/app:old-a", "a"),
        ("reg.example/app:old-b", "b"),
        ("reg.example/app:v1", "v1"),
        ("reg.example/app:v2", "v2"),
    ];
    kill_everywhere(
        "rejected upgrade, pending",
        Kills::Once,
        &steps,
        &wanted,
        50,
    );
}

/// A person rejects what has become latest, and thinks better of it: it soaks again.
#[test]
fn a_rejection_is_lifted() {
    let asked = |secs, args| Step {
        args,
        ..pass(secs, nothing, &["v1", "v2"])
    };
    let steps = [
        pass(0, upgrade, &["v1", "v2"]),
        pass(RIPE, nothing, &["v1", "v2"]),
        asked(1000, &["rollback", "app", "--yes"]),
        asked(1300, &["accept", "app", "v2"]),
        pass(1600, nothing, &["v1", "v2"]),
        pass(1600 + RIPE, nothing, &["v1", "v2"]),
    ];
    kill_everywhere("accept", Kills::Once, &steps, &UPGRADED, 150);
}
