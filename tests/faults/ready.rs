//! The `ready` command of a workload (design 4.3): asked once a pass while an upgrade soaks, believed only when it says yes
//! in time.

use std::fs;
use std::path::PathBuf;

use crate::host::Host;
use crate::scene::{POLICY, RIPE, assert_promoted, id, soaking};

/// A ready command that says yes while the file `ready` exists, and writes down that and for whom it was asked.
fn ready_policy(host: &Host) -> String {
    let script = host.path("ready.sh");
    let (flag, log) = (host.path("ready"), host.path("asked"));
    let text = format!(
        "echo \"$TAGKEEPER_WORKLOAD $TAGKEEPER_CONTAINER_NAME $TAGKEEPER_CONTAINER_ID $TAGKEEPER_IMAGE \
         $TAGKEEPER_VERSION $1\" >> {}\ntest -e {}\n",
        log.display(),
        flag.display()
    );
    fs::write(&script, text).expect("writable");
    format!(
        "{POLICY}ready = [\"/bin/sh\", {:?}, \"arg\"]\n",
        script.display().to_string()
    )
}

fn asked(host: &Host) -> Vec<String> {
    fs::read_to_string(host.path("asked"))
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_is_not_ready_does_not_soak() {
    let host = soaking(POLICY);
    host.set_policy(&ready_policy(&host));
    assert_eq!(
        host.pass_at(RIPE).expect_code(0).mutations(),
        [""; 0],
        "up, and not ready"
    );
    fs::write(host.path("ready"), "").expect("writable");
    host.pass_at(700).expect_code(0);
    assert_eq!(
        host.pass_at(1_150).expect_code(0).mutations(),
        [""; 0],
        "ready for 450 s"
    );
    let container = host.engine().docker.container("k8s_app_1").id.clone();
    let line = format!("app k8s_app_1 {container} {} v2 arg", id("v2"));
    assert!(
        asked(&host).iter().all(|l| *l == line),
        "{:#?}",
        asked(&host)
    );
    assert_eq!(asked(&host).len(), 3, "once in each pass");
    host.pass_at(700 + RIPE).expect_code(0);
    assert_promoted(&host);
}

#[test]
fn the_ready_command_is_asked_by_plan_but_not_by_status_nor_by_an_idle_pass() {
    let host = soaking(POLICY);
    host.set_policy(&ready_policy(&host));
    fs::write(host.path("ready"), "").expect("writable");
    host.run_at(100, &["status"]).expect_code(0);
    assert_eq!(asked(&host).len(), 0);
    host.plan_at(101);
    assert_eq!(asked(&host).len(), 1);
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    let count = asked(&host).len();
    host.pass_at(1_000).expect_code(0);
    assert_eq!(asked(&host).len(), count, "nothing is pending");
}

#[test]
fn a_ready_command_that_is_late_or_missing_is_no_yes_and_no_failure() {
    let host = soaking(POLICY);
    let script: PathBuf = host.path("late.sh");
    // A child of it outlives it and keeps its output open; nobody may wait for that.
    fs::write(&script, "sleep 17\ntrue\n").expect("writable");
    let late = format!(
        "{POLICY}ready = [\"/bin/sh\", {:?}]\nready_timeout = \"1s\"\n",
        script.display().to_string()
    );
    let missing = format!("{POLICY}ready = [\"/nowhere/ready\"]\n");
    for (policy, secs) in [(late, RIPE), (missing, 2 * RIPE)] {
        host.set_policy(&policy);
        assert_eq!(
            host.pass_at(secs).expect_code(0).mutations(),
            [""; 0],
            "{policy}"
        );
    }
    host.set_policy(POLICY);
    host.pass_at(3 * RIPE).expect_code(0);
    host.pass_at(4 * RIPE).expect_code(0);
    assert_promoted(&host);
}
