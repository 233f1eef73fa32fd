//! A pass confines itself before it reads what the engine answers, and hooks and `ready` commands
//! are outside of that.

#![cfg(test)]

#[path = "support/host.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod host;
#[path = "faults/scene.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod scene;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::host::{Host, with_bare_environment};
use crate::scene::{POLICY, RIPE, assert_promoted, soaking};

#[test]
fn a_pass_is_confined_before_it_reaches_the_engine_and_its_hooks_are_not() {
    let host = soaking(POLICY);
    let (elsewhere, trace) = (host.path("elsewhere"), host.path("trace"));
    host.set_policy(&format!(
        "{POLICY}ready = [\"/bin/sh\", \"-c\", \"echo asked >>{0}\"]\n[hooks]\nspread = \"0s\"\npromoted = [\"/bin/sh\", \"-c\", \"echo told >>{0}\"]\n",
        elsewhere.display()
    ));
    let traced = "trace=landlock_restrict_self,connect,read";
    traced_run(&host, &trace, traced, &["reconcile"]);
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

#[test]
fn without_landlock_a_pass_does_its_work_and_check_says_so() {
    let host = soaking(POLICY);
    let trace = host.path("trace");
    let is_missing = "inject=landlock_create_ruleset:error=EOPNOTSUPP";

    let checked = traced_run(&host, &trace, is_missing, &["check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("no Landlock, or it is off"), "{said}");
    let checked = traced_run(&host, &trace, is_missing, &["check", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    let warned = json["warnings"].to_string();
    assert!(warned.contains("no Landlock, or it is off"), "{warned}");

    let pass = traced_run(&host, &trace, is_missing, &["reconcile"]);
    assert_promoted(&host);
    let said = String::from_utf8_lossy(&pass.stderr).into_owned();
    assert!(
        !said.contains("Landlock"),
        "once, and not each minute: {said}"
    );
}

/// Runs the program under `strace`, which counts or changes its system calls.
fn traced_run(host: &Host, trace: &Path, what: &str, arguments: &[&str]) -> Output {
    let command = host.command_on(&host.path("docker.sock"), RIPE, arguments);
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-e", what, "-o", &trace.display().to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    let output = with_bare_environment(&mut traced)
        .output()
        .unwrap_or_else(|e| panic!("strace: {e}; run `make test`"));
    assert!(output.status.success(), "{output:?}");
    output
}
