//! The policy and the world that most tests begin with, and what has become of them in the end.

use crate::host::Host;
use in_memory_engine::{Docker, hex_id};

/// One workload with everything at its default; more keys of it, or more workloads, may be
/// appended.
pub(crate) const POLICY: &str = r#"
[engine]
timeout = "10s"

[workload.app]
repository = "app"
remotes = ["reg.example/app"]
"#;

/// Uptime at which a soak that began at 0 is over.
pub(crate) const RIPE: u64 = 601;

/// The same policy for tests in which the engine stalls.
pub(crate) fn impatient() -> String {
    POLICY.replace("10s", "1s")
}

/// The everyday upgrade (R6): the local container of v1 has stopped, the orchestrator runs v2, two
/// older versions lie about.
pub(crate) fn upgrade(docker: &mut Docker) {
    docker.image("a", &["reg.example/app:old-a"]);
    docker.image("b", &["reg.example/app:old-b"]);
    docker.image("v1", &["app:latest", "reg.example/app:v1"]);
    docker.image("v2", &["reg.example/app:v2"]);
    docker.run("app", "app:latest");
    docker.exit("app", 0);
    docker.run("k8s_app_1", "reg.example/app:v2");
}

/// What [`upgrade`] must come to.
pub(crate) const PROMOTED: &[(&str, &str)] = &[
    ("app:latest", "v2"),
    ("reg.example/app:v1", "v1"),
    ("reg.example/app:v2", "v2"),
];

/// A host at uptime 0 where the first pass has seen [`upgrade`]: at [`RIPE`] v2 is promoted.
pub(crate) fn soaking(policy: &str) -> Host {
    let host = Host::new(policy);
    upgrade(&mut host.engine().docker);
    let first = host.pass_at(0).expect_code(0);
    assert_eq!(first.mutations(), [""; 0], "nothing is proven yet");
    host
}

/// A host where that promotion and its clean-up are done.
pub(crate) fn promoted() -> Host {
    let host = soaking(POLICY);
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    host
}

/// The id of the image with this label.
pub(crate) fn id(label: &str) -> String {
    format!("sha256:{}", hex_id(label))
}

/// These names, with the labels of their images, are all names on the disk.
#[track_caller]
pub(crate) fn assert_names(host: &Host, wanted: &[(&str, &str)]) {
    let wanted = wanted
        .iter()
        .map(|(name, label)| ((*name).to_owned(), id(label)));
    assert_eq!(
        host.names(),
        wanted.collect(),
        "names on the disk (left) and as wanted (right)"
    );
}

/// [`upgrade`] has come to its end: `latest` moved, the stale container gone, the disk clean.
#[track_caller]
pub(crate) fn assert_promoted(host: &Host) {
    assert_names(host, PROMOTED);
    assert!(
        !host.has_container("app"),
        "R2: the stale local container is gone"
    );
    let images = host.engine().docker.images.len();
    assert_eq!(images, 2, "the new latest and its fallback");
}
