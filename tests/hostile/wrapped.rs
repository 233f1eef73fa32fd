//! The program under another: with fewer rights, or measured.

use std::process::Command;

use crate::host::{Host, Outcome, finish, program_at, with_bare_environment};

/// A command line that runs the program by way of `wrapper`, with the policy, the state and the
/// socket of this host.
pub(crate) fn command(host: &Host, wrapper: &[&str], secs: u64, args: &[&str]) -> Command {
    let inner = program_at(secs);
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.args(args);
    for (option, name) in [
        ("--policy", "policy.toml"),
        ("--state-dir", "state"),
        ("--socket", "docker.sock"),
    ] {
        command.arg(option).arg(host.path(name));
    }
    with_bare_environment(&mut command);
    command
}

/// One run of that command, with the requests that came of it.
pub(crate) fn run(host: &Host, wrapper: &[&str], secs: u64, args: &[&str]) -> Outcome {
    host.engine().take_log();
    let outcome = finish(&mut command(host, wrapper, secs, args));
    Outcome {
        requests: host.engine().take_log(),
        ..outcome
    }
}

/// The same, and the most memory that was resident, in KiB.
pub(crate) fn measured(host: &Host, secs: u64, args: &[&str]) -> (Outcome, u64) {
    let file = host.path("kib");
    let path = file.to_str().expect("UTF-8");
    let wrapper = ["/usr/bin/time", "--quiet", "-f", "%M", "-o", path];
    let outcome = run(host, &wrapper, secs, args);
    let text = std::fs::read_to_string(&file).expect("GNU time (Debian's `time`) wrote its figure");
    let kib = text.trim().parse().expect("a number of KiB");
    (outcome, kib)
}
