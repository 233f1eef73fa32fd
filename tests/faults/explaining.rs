//! `explain`: a person asks about one image, and is shown its history by the real program.

use crate::host::Host;
use crate::scene::{POLICY, RIPE, id, promoted, soaking};
use crate::shared::one_line;
use in_memory_engine::{Fault, Route, hex_id};

fn told(host: &Host, secs: u64, asked: &str) -> String {
    let outcome = host.run_at(secs, &["explain", asked]).expect_code(0);
    assert_eq!(outcome.mutations(), [""; 0]);
    outcome.stdout
}

#[track_caller]
fn assert_tells(text: &str, parts: &[&str]) {
    for part in parts {
        let is_told = one_line(text).contains(&one_line(part));
        assert!(is_told, "{part:?} is not in:\n{text}");
    }
}

/// Without what the wall clock says of times: "(0 s ago)".
fn without_ages(text: &str) -> String {
    let parts = text.split(" s ago)");
    let parts = parts.map(|part| part.trim_end_matches(|c: char| c.is_ascii_digit()));
    parts.collect::<Vec<_>>().join(" s ago)")
}

#[test]
fn an_image_is_found_by_name_version_and_id() {
    let host = promoted();
    let stamps = host.state_stamps();
    let whole = id("v1");
    let same = told(&host, 700, "reg.example/app:v1");
    for asked in ["v1", &whole, &whole[7..], &whole[7..12]] {
        let told = told(&host, 700, asked);
        assert_eq!(without_ages(&told), without_ages(&same), "{asked}");
    }
    assert_tells(
        &same,
        &[
            &format!("v1 is image {} of app, 1.0 MB\n", &hex_id("v1")[..12]),
            "when the history begins",
            "  replaced    ",
            " by v2\n",
            "  keep        reg.example/app:v1\n              fallback: v1 is kept as fallback",
            "removed after the next promotion\n",
        ],
    );
    assert_tells(
        &told(&host, 700, "app:latest"),
        &[
            "v2 is image",
            "  promoted    ",
            "latest: ",
            "kept until another version is promoted",
        ],
    );
    assert_eq!(
        host.state_stamps(),
        stamps,
        "it took no lock and wrote nothing"
    );
}

#[test]
fn it_says_when_an_image_is_removed() {
    let host = promoted();
    host.engine()
        .docker
        .image("junk", &["reg.example/app:junk"]);
    host.pass_at(700).expect_code(0);
    assert_tells(
        &told(&host, 4_300, "junk"),
        &[
            "keep        reg.example/app:junk",
            "grace: idle for 1h",
            "removed when its grace period ends, in",
        ],
    );
    host.engine().docker.run("debug", "reg.example/app:junk");
    host.engine().docker.exit("debug", 0);
    assert_tells(
        &told(&host, 4_360, "junk"),
        &[
            "in-use: used by debug (exited)",
            "kept until container debug no longer uses it; then its grace",
        ],
    );
}

#[test]
fn it_tells_how_an_upgrade_fares() {
    let host = soaking(POLICY);
    assert_tells(
        &told(&host, 300, "v2"),
        &[
            "  soaking     since ",
            " in k8s_app_1, 0 restarts",
            "becomes latest in 5m",
            "if it stays up",
        ],
    );
    host.pass_at(360).expect_code(0);
    host.engine().docker.exit("k8s_app_1", 3);
    host.pass_at(420).expect_code(0);
    assert_tells(
        &told(&host, 430, "v2"),
        &["  failed      exited (3) after "],
    );
}

#[test]
fn an_image_that_is_gone_has_a_history_too() {
    let host = promoted();
    for asked in ["old-a", "reg.example/app:old-a", &id("a")] {
        assert_tells(
            &told(&host, 700, asked),
            &[
                "old-a was image ",
                " of app, and is not on the disk any more\n",
                "by the promotion of v2\n",
                "  removed     ",
                "it was obsolete",
            ],
        );
    }
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    assert_tells(
        &told(&host, 1_010, "v2"),
        &[
            "  rejected    ",
            "`tagkeeper accept app v2` allows it again",
            "  replaced    ",
            " by v1\n",
        ],
    );
    let docker = || host.engine();
    docker().docker.drop_container("k8s_app_1");
    docker().docker.remove_image("reg.example/app:v2");
    host.pass_at(1_100).expect_code(0);
    assert_tells(
        &told(&host, 1_110, "v2"),
        &["removed by something other than tagkeeper"],
    );
    let json = host
        .run_at(1_110, &["explain", "v2", "--format", "json"])
        .expect_code(0)
        .json();
    assert_eq!(json["stories"][0]["removed"]["why"], "other");
    assert_eq!(json["stories"][0]["names"], serde_json::json!([]));
}

/// The engine's word on a removal counts: on a full disk an image goes before its grace is over,
/// and it was tagkeeper all the same.
#[test]
fn an_idle_image_that_was_removed_was_idle() {
    for (policy, secs) in [
        (POLICY.to_owned(), 1_000 + 86_401),
        (format!("{POLICY}pressure = \"1%\"\n"), 1_000 + 1_200),
    ] {
        let host = promoted();
        host.set_policy(&policy);
        // The root of this machine, which is fuller than one per cent.
        host.engine().docker.root_dir = "/".into();
        let docker = || host.engine();
        docker().docker.image("junk", &["reg.example/app:junk"]);
        host.pass_at(1_000).expect_code(0);
        host.pass_at(secs).expect_code(0);
        assert_tells(
            &told(&host, secs + 10, "junk"),
            &["it was idle, for its grace period or until the disk was full, and not proven"],
        );
    }
}

#[test]
fn what_is_not_known_or_not_clear_is_said() {
    let host = promoted();
    host.engine().docker.image("twin", &["app:v2"]);
    host.pass_at(700).expect_code(0);
    for (asked, said) in [
        ("reg.example/app:v3", "did you mean 'reg.example/app:v"),
        ("nonesuch", "`tagkeeper status --all` lists the images"),
        (
            "v2",
            "'v2' is more than one image; say which by its name or id: ",
        ),
        (
            "elsewhere/thing:v1",
            "nothing is known of an image 'elsewhere/thing:v1'",
        ),
        ("abc", "image 'abc': an id needs 4 digits or more\n"),
        (
            "sha256:3",
            "image 'sha256:3': an id needs 4 digits or more\n",
        ),
        ("3b", "image '3b': an id needs 4 digits or more\n"),
        ("1", "did you mean 'v1'? An id needs 4 digits or more\n"),
        (
            "zz",
            "image 'zz': `tagkeeper status --all` lists the images",
        ),
    ] {
        let outcome = host.run_at(710, &["explain", asked]).expect_code(1);
        assert!(outcome.stderr.contains(said), "{asked}: {outcome:#?}");
        assert_eq!(
            (outcome.stdout.as_str(), outcome.mutations().len()),
            ("", 0)
        );
    }
    assert_tells(
        &told(&host, 710, "app:v2"),
        &["twin: ", "kept while its version is latest"],
    );
}

#[test]
fn it_fails_as_status_does() {
    let host = promoted();
    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "no"));
    host.run_at(RIPE + 5, &["explain", "v1"]).expect_code(69);
    host.engine().heal();
    std::fs::write(host.state_file(), "{").expect("writable");
    let outcome = host.run_at(RIPE + 5, &["explain", "v1"]).expect_code(1);
    assert!(outcome.stdout.contains("v1 is image"), "{outcome:#?}");
    assert!(outcome.stderr.contains("corrupt"), "{outcome:#?}");
}

/// Another workload's image, or a stranger's, that has our version's tag is not ours (field case
/// 77).
#[test]
fn a_name_is_compared_whole() {
    let host = promoted();
    for asked in ["nginx:v1", "nginx:old-a", "reg.example/nginx:v2", "app:v1"] {
        let outcome = host.run_at(700, &["explain", asked]).expect_code(1);
        assert!(
            outcome
                .stderr
                .contains(&format!("nothing is known of an image '{asked}'")),
            "{outcome:#?}"
        );
    }
}

#[test]
fn one_workload_of_several_may_be_named() {
    let host = promoted();
    host.set_policy(&format!("{POLICY}\n[workload.web]\nrepository = \"web\"\n"));
    host.engine().docker.image("web", &["web:latest", "web:v1"]);
    host.pass_at(700).expect_code(0);
    let ask = |args: &[&str], code: i32| {
        let args = [&["explain"], args].concat();
        host.run_at(710, &args).expect_code(code)
    };
    assert!(ask(&["v1"], 1).stderr.contains("more than one image"));
    assert_tells(&ask(&["web", "v1"], 0).stdout, &["of web, 1.0 MB"]);
    assert_tells(&ask(&["app", "v1"], 0).stdout, &["of app, 1.0 MB"]);
    ask(&["nonesuch", "v1"], 2);
}

/// An image that had several names when a clean-up removed it is found by each, as the journal
/// printed them.
#[test]
fn every_name_that_a_clean_up_removed_is_remembered() {
    let host = soaking(POLICY);
    let id = id("a");
    host.engine().docker.name_image(&id, "app:stable");
    let pass = host.pass_at(RIPE).expect_code(0);
    let names: Vec<&str> = pass
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("app: removed ")?.split(' ').next())
        .filter(|name| name.contains(':'))
        .collect();
    assert_eq!(names.len(), 3, "old-a, stable, old-b: {}", pass.stderr);
    for name in names {
        let text = told(&host, 700, name);
        assert_tells(&text, &["and is not on the disk any more", name]);
    }
    let json = host
        .run_at(700, &["explain", "app:stable", "--format", "json"])
        .expect_code(0)
        .json();
    let names = &json["stories"][0]["removed"]["names"];
    assert_eq!(names.as_array().map(Vec::len), Some(2), "{json:#}");
}
