//! The policies in `config/examples` on a test's host: word for word but for their ready commands.

use std::fs;

use crate::executable;
use crate::host::Host;

/// Takes an example over, with a shell script in place of every ready command.
pub(crate) fn take_over(host: &Host, policy: &str, script: &str) {
    let ready = host.path("ready.sh");
    fs::write(host.path("ready"), format!("#!/bin/sh\n{script}\n")).expect("writable");
    executable::copy(host.path("ready"), &ready);
    let lines = policy
        .lines()
        .map(|line| match line.strip_prefix("ready = ") {
            Some(_) => format!("ready = [{:?}]", ready.display().to_string()),
            None => line.to_owned(),
        });
    host.set_policy(&lines.collect::<Vec<_>>().join("\n"));
}
