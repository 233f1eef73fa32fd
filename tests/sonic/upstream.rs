//! What SONiC's own tests and its design say of tagging and cleaning up, each row played here: the
//! table of docs/sonic.md.
//!
//! The rows restate facts: `tag_latest_test_data` and `clean_image_test_data` in
//! `src/sonic-ctrmgrd/tests/kube_commands_test.py` (sonic-buildimage 086b03b), and
//! `doc/kubernetes/container-image-management.md` (sonic-net/SONiC#1421, 60d6869). The column
//! *there* is what those say must be found in the end, in the words of [`outcome`]; *here* is what
//! the play finds. Where the two differ, the row says why.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::switch::Switch;
use in_memory_engine::{Fault, Route};

const POLICY: &str = "[workload.telemetry]\nrepository = \"docker-sonic-telemetry\"\n\
                      remotes = [\"registry.example/docker-sonic-telemetry\"]\n";
const LATEST: &str = "docker-sonic-telemetry:latest";
const POD: &str = "k8s_telemetry_1";

struct Row {
    of: &'static str,
    says: &'static str,
    there: &'static str,
    why: &'static str,
    play: fn() -> Switch,
}

/// The images of the plays, by their labels.
const LABELS: [&str; 8] = [
    "local v1", "kube v1", "kube v2", "kube v3", "local v3", "v74=v84", "kube v96", "kube v74",
];

const TAG: [Row; 5] = [
    Row {
        of: "tag_latest 0",
        says: "up for ten minutes, the local container has stopped",
        there: "latest = kube v2, remote v2 = kube v2; no local container",
        why: "",
        play: || taken_over(|_| (), |_| ()),
    },
    Row {
        of: "tag_latest 1",
        says: "the local container is gone already",
        there: "latest = kube v2, remote v2 = kube v2; no local container",
        why: "",
        play: || taken_over(|s| s.remove("telemetry"), |_| ()),
    },
    Row {
        of: "tag_latest 2",
        says: "the new container does not run at minute ten",
        there: "latest = local v1, local v1 = local v1, remote v2 = kube v2; local container exited",
        why: "",
        play: || taken_over(|_| (), |s| s.stop(&[POD])),
    },
    Row {
        of: "tag_latest 3",
        says: "Docker answers with an error three times",
        there: "latest = kube v2, remote v2 = kube v2; no local container",
        why: "",
        play: engine_errs,
    },
    Row {
        of: "tag_latest 4",
        says: "the local container still runs",
        there: "latest = kube v2, local v1 = local v1, remote v2 = kube v2; local container running",
        why: "there, it is tagged first, then the running container is an error, again and again; here, \
              the local container is what works as long as it runs, and the pod has proved nothing",
        play: || taken_over(|s| s.host.engine().docker.start("telemetry"), |_| ()),
    },
];

const CLEAN: [Row; 6] = [
    Row {
        of: "clean_image 0",
        says: "74 is the last version, 84 the current one (one image), 96 an idle one",
        there: "latest = v74=v84, remote v74 = v74=v84, remote v84 = v74=v84; no local container",
        why: "",
        play: || cleaned(false),
    },
    Row {
        of: "clean_image 1",
        says: "the same, and the removal fails at first",
        there: "latest = v74=v84, remote v74 = v74=v84, remote v84 = v74=v84; no local container",
        why: "",
        play: || cleaned(true),
    },
    Row {
        of: "clean_image 2",
        says: "there is no image of the feature",
        there: "nothing; no local container",
        why: "",
        play: || {
            let mut switch = Switch::new(POLICY);
            switch.minutes(3);
            switch
        },
    },
    Row {
        of: "clean_image 3",
        says: "the current version has no remote name any more",
        there: "latest = kube v2, remote v1 = kube v1, remote v3 = kube v3; no local container",
        why: "there, nothing is removed at all; here, the image is known by its id, and gets a name that \
              a prune spares",
        play: current_has_lost_its_name,
    },
    Row {
        of: "clean_image 4",
        says: "local 74 and remote 84 are one image",
        there: "latest = v74=v84, remote v84 = v74=v84; no local container",
        why: "names of latest's own image cost no space, and are kept",
        play: one_image_local_and_remote,
    },
    Row {
        of: "clean_image 5",
        says: "a dry run of remote 74 beside local 74, then 84",
        there: "latest = kube v2, remote v1 = local v1, remote v2 = kube v2; no local container",
        why: "",
        play: dry_run_then_v2,
    },
];

const DESIGN: [Row; 7] = [
    Row {
        of: "design, 2",
        says: "a pod of the local version idles: nothing is tagged, nothing removed",
        there: "latest = local v1, local v1 = local v1, remote v1 = kube v1; local container running",
        why: "",
        play: dry_run,
    },
    Row {
        of: "design, tag",
        says: "less than ten minutes is not stable",
        there: "latest = local v1, local v1 = local v1, remote v2 = kube v2; local container exited",
        why: "",
        play: nine_minutes,
    },
    Row {
        of: "design, tag",
        says: "Kubernetes is away and the switch reboots: the new version runs locally",
        there: "latest = kube v2, remote v2 = kube v2; local container running",
        why: "",
        play: || {
            let mut switch = taken_over(|_| (), |_| ());
            switch.remove(POD);
            switch.run("telemetry", LATEST);
            switch.minutes(13);
            switch
        },
    },
    Row {
        of: "design, case 1",
        says: "v1 locally and as a dry run, then v2",
        there: "latest = kube v2, remote v1 = local v1, remote v2 = kube v2; no local container",
        why: "",
        play: dry_run_then_v2,
    },
    Row {
        of: "design, case 2",
        says: "re-imaged with v3, the group has v2",
        there: "latest = kube v2, remote v2 = kube v2; no local container",
        why: "",
        play: re_imaged,
    },
    Row {
        of: "design, case 3",
        says: "v3 after case 1",
        there: "latest = kube v3, remote v2 = kube v2, remote v3 = kube v3; no local container",
        why: "",
        play: || {
            let mut switch = dry_run_then_v2();
            rolls_out(&switch, "v3");
            switch.minutes(13);
            switch
        },
    },
    Row {
        of: "design, kubelet",
        says: "images of other containers are not touched",
        there: "latest = kube v2, remote v2 = kube v2; no local container; others kept",
        why: "",
        play: || taken_over(others_arrive, |_| ()),
    },
];

/// Names that begin or end alike.
fn others_arrive(switch: &Switch) {
    let names = [
        "docker-lldp:v1",
        "registry.example/docker-sonic-telemetry-x:v1",
    ];
    switch.image("other", &names);
}

fn remote(version: &str) -> String {
    format!("registry.example/docker-sonic-telemetry:{version}")
}

/// Shipped v1 has run locally for an hour.
fn shipped() -> Switch {
    let mut switch = Switch::new(POLICY);
    switch.image("local v1", &["docker-sonic-telemetry:v1", LATEST]);
    switch.run("telemetry", LATEST);
    switch.minutes(12);
    switch.later(48);
    switch
}

/// Kubernetes starts this version in place of the last.
fn rolls_out(switch: &Switch, version: &str) {
    switch.remove(POD);
    switch.image(&format!("kube {version}"), &[&remote(version)]);
    switch.run(POD, &remote(version));
}

/// The local container has stopped and v2 soaks; something happens before, and something in minute
/// nine.
fn taken_over(before: fn(&Switch), in_minute_nine: fn(&Switch)) -> Switch {
    let mut switch = shipped();
    switch.stop(&["telemetry"]);
    before(&switch);
    rolls_out(&switch, "v2");
    switch.minutes(9);
    in_minute_nine(&switch);
    switch.minutes(5);
    switch
}

fn nine_minutes() -> Switch {
    let mut switch = shipped();
    switch.stop(&["telemetry"]);
    rolls_out(&switch, "v2");
    switch.minutes(9);
    switch
}

fn engine_errs() -> Switch {
    let mut switch = nine_minutes();
    for nth in 1..=3 {
        switch
            .host
            .engine()
            .fail_nth(Route::ListImages, nth, Fault::Status(500, "err"));
    }
    switch.failing_minutes(3);
    switch.minutes(13);
    switch
}

fn dry_run() -> Switch {
    let mut switch = shipped();
    rolls_out(&switch, "v1");
    switch.minutes(13);
    switch
}

fn dry_run_then_v2() -> Switch {
    let mut switch = dry_run();
    switch.stop(&["telemetry"]);
    rolls_out(&switch, "v2");
    switch.minutes(13);
    switch
}

fn re_imaged() -> Switch {
    let mut switch = Switch::new(POLICY);
    switch.image("local v3", &["docker-sonic-telemetry:v3", LATEST]);
    switch.run("telemetry", LATEST);
    switch.minutes(12);
    switch.stop(&["telemetry"]);
    rolls_out(&switch, "v2");
    switch.minutes(13);
    switch
}

/// 74 and 84 are one image, which is latest; 96 was tried and did not stay up. A day later, a
/// removal may fail once.
fn cleaned(fails: bool) -> Switch {
    let mut switch = Switch::new(POLICY);
    switch.image("v74=v84", &[&remote("v74"), &remote("v84")]);
    switch.run(POD, &remote("v84"));
    switch.minutes(13);
    switch.remove(POD);
    switch.image("kube v96", &[&remote("v96")]);
    switch.run(POD, &remote("v96"));
    switch.minutes(3);
    switch.remove(POD);
    switch.run(POD, &remote("v84"));
    switch.minutes(3);
    switch.later(24 * 60);
    if fails {
        let fault = Fault::Status(500, "err");
        switch.host.engine().fail_nth(Route::RemoveImage, 1, fault);
        switch.failing_minutes(1);
    }
    switch.minutes(3);
    switch
}

fn current_has_lost_its_name() -> Switch {
    let mut switch = Switch::new(POLICY);
    switch.image("kube v1", &[&remote("v1"), LATEST]);
    switch.run(POD, &remote("v1"));
    switch.minutes(13);
    rolls_out(&switch, "v2");
    switch.image("kube v3", &[&remote("v3")]);
    switch.minutes(5);
    let id = switch.host.id_of(&remote("v2"));
    switch
        .host
        .engine()
        .docker
        .images
        .get_mut(&id)
        .expect("it is there")
        .tags
        .clear();
    switch.minutes(10);
    switch
}

fn one_image_local_and_remote() -> Switch {
    let mut switch = Switch::new(POLICY);
    switch.image(
        "v74=v84",
        &["docker-sonic-telemetry:v74", LATEST, &remote("v84")],
    );
    switch.run("telemetry", LATEST);
    switch.minutes(12);
    switch.stop(&["telemetry"]);
    switch.remove("telemetry");
    switch.run(POD, &remote("v84"));
    switch.minutes(13);
    switch
}

/// What is found in the end: each name with its image, and the local container.
fn outcome(switch: &Switch) -> String {
    let mut names = Vec::new();
    let mut others = "";
    for name in switch.host.names().keys() {
        let short = match name.rsplit_once(':') {
            Some(("docker-sonic-telemetry", "latest")) => "latest".to_owned(),
            Some(("docker-sonic-telemetry", tag)) => format!("local {tag}"),
            Some(("registry.example/docker-sonic-telemetry", tag)) => format!("remote {tag}"),
            _ => {
                others = "; others kept";
                continue;
            }
        };
        let image = switch.meaning(name, &LABELS).unwrap_or("?");
        names.push(format!("{short} = {image}"));
    }
    let names = if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    };
    let engine = switch.host.engine();
    let local = engine
        .docker
        .containers
        .iter()
        .find(|c| c.name() == "telemetry");
    let container = local.map_or("no local container".to_owned(), |local| {
        format!("local container {}", local.state)
    });
    format!("{names}; {container}{others}")
}

const BEGIN: &str = "<!-- written by `TAGKEEPER_WRITE=1 cargo test --test sonic upstream` -->\n";
const END: &str = "<!-- end -->\n";

/// The page with the table in its place.
fn page_with(page: &str, table: &str) -> String {
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for it");
    let (_, after) = rest.split_once(END).expect("the place has an end");
    format!("{before}{BEGIN}\n{table}\n{END}{after}")
}

#[test]
fn upstreams_own_tables_hold_here_or_it_is_said_why_not() {
    let mut table =
        "| row | says | expected there | here | why |\n|---|---|---|---|---|\n".to_owned();
    let mut wrong = Vec::new();
    for row in TAG.iter().chain(&CLEAN).chain(&DESIGN) {
        let here = outcome(&(row.play)());
        let is_same = here == row.there;
        if is_same != row.why.is_empty() {
            wrong.push(format!(
                "{}: {}\n  there {}\n  here  {here}",
                row.of, row.says, row.there
            ));
        }
        let here = if is_same { "the same" } else { &here };
        let Row {
            of,
            says,
            there,
            why,
            ..
        } = row;
        writeln!(table, "| {of} | {says} | {there} | {here} | {why} |").expect("a String takes it");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sonic.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let wanted = page_with(&page, table.trim_end());
    if std::env::var_os("TAGKEEPER_WRITE").is_some() {
        fs::write(&path, &wanted).expect("writable");
        return;
    }
    assert!(
        page == wanted,
        "docs/sonic.md is out of date: TAGKEEPER_WRITE=1 cargo test --test sonic upstream"
    );
}
