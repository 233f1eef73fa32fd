//! A pass confines itself before it reads what the engine answers, and hooks and `ready` commands
//! are outside of that.

#![cfg(test)]

#[path = "support/docker.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod docker;
#[path = "support/fake.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod fake;
#[path = "support/host.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod host;
#[path = "support/names.rs"]
mod names;
#[path = "support/requests.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod requests;
#[path = "faults/scene.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod scene;

use std::fs;
use std::process::Command;

use crate::scene::{POLICY, RIPE, assert_promoted, soaking};

#[test]
fn a_pass_is_confined_before_it_reaches_the_engine_and_its_hooks_are_not() {
    let host = soaking(POLICY);
    let (elsewhere, trace) = (host.path("elsewhere"), host.path("trace"));
    host.set_policy(&format!(
        "{POLICY}ready = [\"/bin/sh\", \"-c\", \"echo asked >>{0}\"]\n[hooks]\nspread = \"0s\"\npromoted = [\"/bin/sh\", \"-c\", \"echo told >>{0}\"]\n",
        elsewhere.display()
    ));
    let pass = host.command_on(&host.path("docker.sock"), RIPE, &["reconcile"]);
    let output = Command::new("strace")
        .args(["-f", "-e", "trace=landlock_restrict_self,connect,read"])
        .args(["-o", &trace.display().to_string()])
        .arg(pass.get_program())
        .args(pass.get_args())
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("strace: {e}; run `make test`"));
    assert!(output.status.success(), "{output:?}");
    assert_promoted(&host);
    let told = fs::read_to_string(elsewhere).expect("both ran, and could write");
    assert_eq!(told, "asked\ntold\n");

    let trace = fs::read_to_string(trace).expect("it was written");
    let confined = trace.find("landlock_restrict_self(").expect("a call");
    let line = trace[confined..].lines().next().unwrap_or_default();
    assert!(line.ends_with("= 0"), "{line}: this kernel has no Landlock");
    let connected = trace.find("docker.sock").expect("the engine was asked");
    assert!(confined < connected, "{trace}");
}
