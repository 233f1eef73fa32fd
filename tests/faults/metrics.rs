//! The file that node_exporter reads: written by every pass that held the lock, and able to stop
//! none.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::host::Host;
use crate::scene::{POLICY, RIPE, assert_promoted, id, promoted, soaking};
use in_memory_engine::{Fault, Route};

/// The policy of the tests, with metrics in a directory of this host.
fn measured(host: &Host) -> String {
    fs::create_dir_all(host.path("run")).expect("writable");
    format!(
        "{POLICY}\n[metrics]\ntextfile = \"{}\"\n",
        textfile(host).display()
    )
}

fn textfile(host: &Host) -> PathBuf {
    host.path("run/tagkeeper.prom")
}

/// The value of a sample, by its name and labels as they are written; none if there is no such
/// sample.
fn sample(host: &Host, name: &str) -> Option<f64> {
    let text = fs::read_to_string(textfile(host)).expect("there is a file");
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .map(|value| value.parse().expect("a number"))
}

#[track_caller]
fn assert_samples(host: &Host, expected: &[(&str, Option<f64>)]) {
    for (name, value) in expected {
        let text = || fs::read_to_string(textfile(host)).unwrap_or_default();
        assert_eq!(sample(host, name), *value, "{name}\n{}", text());
    }
}

fn of_app(name: &str) -> String {
    format!("{name}{{workload=\"app\"}}")
}

/// The first twelve digits of an image's id.
fn short(label: &str) -> String {
    id(label)["sha256:".len()..][..12].to_owned()
}

#[test]
fn the_life_of_an_upgrade() {
    let host = soaking(POLICY);
    host.set_policy(&measured(&host));
    host.pass_at(300).expect_code(0);
    let info = |name: &str, version: &str| {
        let image = short(version);
        format!("{name}{{workload=\"app\",version=\"{version}\",image=\"{image}\"}}")
    };
    assert_samples(
        &host,
        &[
            (&info("tagkeeper_latest_info", "v1"), Some(1.0)),
            (&of_app("tagkeeper_latest_proven"), Some(0.0)),
            (&of_app("tagkeeper_drift"), Some(0.0)),
            (&of_app("tagkeeper_pending"), Some(1.0)),
            (&info("tagkeeper_pending_info", "v2"), Some(1.0)),
            (&of_app("tagkeeper_pending_soak_seconds"), Some(600.0)),
            (&of_app("tagkeeper_pending_restarts"), Some(0.0)),
            (&of_app("tagkeeper_fallbacks"), Some(0.0)),
            (&of_app("tagkeeper_fallbacks_wanted"), Some(1.0)),
            (&of_app("tagkeeper_promotions_total"), Some(0.0)),
            (&of_app("tagkeeper_serving"), Some(1.0)),
            (&of_app("tagkeeper_hold"), Some(0.0)),
        ],
    );
    // The passes take their time, too.
    let up = sample(&host, &of_app("tagkeeper_pending_up_seconds")).expect("it soaks");
    assert!((300.0..=600.0).contains(&up), "{up}");
    let clock = sample(&host, "tagkeeper_clock_seconds").expect("there is a state");
    host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    let images = |verdict: &str, reason: &str| {
        format!("tagkeeper_images{{workload=\"app\",verdict=\"{verdict}\",reason=\"{reason}\"}}")
    };
    assert_samples(
        &host,
        &[
            (&info("tagkeeper_latest_info", "v2"), Some(1.0)),
            (&info("tagkeeper_latest_info", "v1"), None),
            (&of_app("tagkeeper_latest_proven"), Some(1.0)),
            (&of_app("tagkeeper_pending"), Some(0.0)),
            (&of_app("tagkeeper_pending_up_seconds"), None),
            (&of_app("tagkeeper_fallbacks"), Some(1.0)),
            (&of_app("tagkeeper_promotions_total"), Some(1.0)),
            (&of_app("tagkeeper_removals_total"), Some(2.0)),
            (&of_app("tagkeeper_reclaimed_bytes_total"), Some(2e6)),
            (&images("keep", "latest"), Some(2.0)),
            (&images("keep", "fallback"), Some(1.0)),
            (&images("remove", "retired"), None),
        ],
    );
    let later = sample(&host, "tagkeeper_clock_seconds").expect("there is a state");
    assert!(later - clock > 300.0, "{clock}, then {later}");
    let promoted_at = sample(
        &host,
        &of_app("tagkeeper_latest_promoted_timestamp_seconds"),
    );
    assert_in_last_pass(&host, promoted_at);
}

/// A time that the last pass noted: it takes a minute at most.
fn assert_in_last_pass(host: &Host, noted: Option<f64>) {
    let began = sample(host, "tagkeeper_last_pass_timestamp_seconds").expect("there was one");
    let noted = noted.expect("it was noted");
    assert!(
        (began..=began + 60.0).contains(&noted),
        "{noted}, in the pass that began at {began}"
    );
}

/// Which outcome the file tells, and when the last success was.
fn told(host: &Host) -> (String, Option<f64>) {
    let outcomes = ["done", "failed", "unavailable", "refused"];
    let has = |outcome: &&str| {
        let name = format!("tagkeeper_last_pass_outcome{{outcome=\"{outcome}\"}}");
        sample(host, &name).expect("each is there") > 0.0
    };
    let of: Vec<&str> = outcomes.into_iter().filter(has).collect();
    (
        of.join(" "),
        sample(host, "tagkeeper_last_success_timestamp_seconds"),
    )
}

#[test]
fn a_pass_that_fails_shows_and_keeps_the_last_success() {
    let host = promoted();
    host.set_policy(&measured(&host));
    host.pass_at(1_000).expect_code(0);
    let (outcome, success) = told(&host);
    assert_eq!(outcome, "done");
    assert!(success.is_some());

    host.engine()
        .fail(Route::ListImages, Fault::Status(500, "no disk"));
    for secs in [1_060, 1_120] {
        host.pass_at(secs).expect_code(69);
        assert!(sample(&host, "tagkeeper_clock_seconds").is_some());
        assert_eq!(told(&host), ("unavailable".to_owned(), success));
        assert_samples(
            &host,
            &[
                (&of_app("tagkeeper_promotions_total"), Some(1.0)),
                (&of_app("tagkeeper_removals_total"), Some(2.0)),
                (&of_app("tagkeeper_hold"), Some(0.0)),
                (&of_app("tagkeeper_fallbacks"), None),
                (&of_app("tagkeeper_pending"), None),
            ],
        );
    }
    host.engine().heal();

    fs::write(host.state_file(), "{").expect("writable");
    host.pass_at(1_180).expect_code(1);
    assert_eq!(told(&host), ("failed".to_owned(), success));
    fs::write(host.state_file(), "{\"version\":99}").expect("writable");
    host.pass_at(1_240).expect_code(78);
    assert_eq!(told(&host), ("refused".to_owned(), success));
    assert_samples(
        &host,
        &[
            ("tagkeeper_clock_seconds", None),
            // To count from zero would look like a reset.
            (&of_app("tagkeeper_promotions_total"), None),
            (&of_app("tagkeeper_restarts_total"), None),
        ],
    );

    fs::remove_file(textfile(&host)).expect("it was there");
    host.pass_at(1_300).expect_code(78);
    assert_eq!(told(&host), ("refused".to_owned(), None), "nobody knows");
}

#[test]
fn a_failed_action_is_a_failed_pass_that_knows_how_things_stand() {
    let host = soaking(POLICY);
    host.set_policy(&measured(&host));
    host.engine()
        .fail(Route::RemoveImage, Fault::Status(500, "device busy"));
    host.pass_at(RIPE).expect_code(1);
    assert_eq!(told(&host).0, "failed");
    assert_samples(
        &host,
        &[
            (&of_app("tagkeeper_promotions_total"), Some(1.0)),
            (
                "tagkeeper_images{workload=\"app\",verdict=\"remove\",reason=\"retired\"}",
                Some(2.0),
            ),
        ],
    );
}

#[test]
fn why_there_is_no_fallback_is_a_label() {
    let missing =
        |why: &str| format!("tagkeeper_fallback_missing{{workload=\"app\",reason=\"{why}\"}}");
    let fresh = soaking(POLICY);
    fresh.set_policy(&measured(&fresh));
    fresh.pass_at(60).expect_code(0);
    assert_samples(&fresh, &[(&missing("first"), Some(1.0))]);

    let host = promoted();
    host.set_policy(&measured(&host));
    host.pass_at(1_000).expect_code(0);
    assert_eq!(count_of(&host, "tagkeeper_fallback_missing"), 0);
    host.engine().docker.images.remove(&id("v1"));
    host.pass_at(1_060).expect_code(0);
    assert_samples(&host, &[(&missing("lost"), Some(1.0))]);

    let host = promoted();
    host.run_at(1_000, &["rollback", "app", "--yes"])
        .expect_code(0);
    host.set_policy(&measured(&host));
    host.pass_at(1_060).expect_code(0);
    assert_samples(&host, &[(&missing("rejected"), Some(1.0))]);
}

#[test]
fn a_latest_that_was_moved_by_hand_is_a_drift() {
    let host = promoted();
    host.set_policy(&measured(&host));
    host.pass_at(1_000).expect_code(0);
    assert_samples(&host, &[(&of_app("tagkeeper_drift"), Some(0.0))]);
    host.engine()
        .docker
        .tag("reg.example/app:v1", "app", "latest");
    host.pass_at(1_060).expect_code(0);
    assert_samples(
        &host,
        &[
            (&of_app("tagkeeper_drift"), Some(1.0)),
            (&of_app("tagkeeper_latest_proven"), Some(0.0)),
        ],
    );
}

/// All that a write would change, of the file and of its directory.
fn stamps(host: &Host) -> [(u64, i64, i64); 2] {
    [textfile(host), host.path("run")].map(|path| {
        let meta = fs::metadata(path).expect("it is there");
        (meta.ino(), meta.ctime(), meta.ctime_nsec())
    })
}

#[test]
fn an_idle_pass_writes_it_and_nothing_else_and_a_look_does_not() {
    let host = promoted();
    host.set_policy(&measured(&host));
    host.pass_at(1_000).expect_code(0);
    let (state, metrics) = (host.state_stamps(), stamps(&host));
    for command in ["plan", "status"] {
        host.run_at(1_030, &[command]).expect_code(0);
        assert_eq!(stamps(&host), metrics, "{command}");
    }
    let idle = host.pass_at(1_060).expect_code(0);
    assert_eq!(idle.requests.len(), 2, "{:#?}", idle.requests);
    assert_eq!(host.state_stamps(), state);
    assert_ne!(stamps(&host), metrics);
    let took = sample(&host, "tagkeeper_last_pass_duration_seconds").expect("a time");
    assert!((0.0..15.0).contains(&took), "{took}");
    let mode = fs::metadata(textfile(&host))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o644);
}

#[test]
fn a_pass_that_cannot_write_it_is_as_good_as_it_was() {
    let host = soaking(POLICY);
    host.set_policy(&measured(&host));
    fs::remove_dir(host.path("run")).expect("it is empty");
    let outcome = host.pass_at(RIPE).expect_code(0);
    assert_promoted(&host);
    let warning = format!(
        "warning: failed to write the metrics to '{}': No such file or directory",
        textfile(&host).display()
    );
    assert!(outcome.stderr.contains(&warning), "{}", outcome.stderr);
}

#[test]
fn a_refused_policy_leaves_it_to_grow_old() {
    let host = promoted();
    host.set_policy(&measured(&host));
    host.pass_at(1_000).expect_code(0);
    let metrics = stamps(&host);
    host.set_policy(&format!("{}sok = 1\n", measured(&host)));
    host.pass_at(1_060).expect_code(78);
    assert_eq!(stamps(&host), metrics);
}

/// Whatever has the file's name: no pass waits for it, and nothing behind it is touched.
#[test]
fn a_textfile_that_is_no_file_is_left_alone_and_said() {
    for (made_by, kind) in [
        (vec!["mkfifo", "PATH"], "a named pipe"),
        (vec!["mkdir", "PATH"], "a directory"),
        (vec!["mknod", "PATH", "c", "1", "3"], "a device"),
        (vec!["ln", "-s", "VICTIM", "PATH"], "a symbolic link"),
    ] {
        let host = promoted();
        host.set_policy(&measured(&host));
        let victim = host.path("victim");
        let text = "tagkeeper_last_success_timestamp_seconds 1.0\n";
        fs::write(&victim, text).expect("writable");
        let words = made_by.iter().map(|word| match *word {
            "PATH" => textfile(&host),
            "VICTIM" => victim.clone(),
            word => PathBuf::from(word),
        });
        let words: Vec<PathBuf> = words.collect();
        let made = std::process::Command::new(&words[0])
            .args(&words[1..])
            .status();
        assert!(made.expect("it is installed").success(), "{made_by:?}");
        let before = fs::symlink_metadata(textfile(&host)).expect("made").ino();
        for (is_away, code) in [(false, 0), (true, 69)] {
            if is_away {
                host.engine()
                    .fail(Route::ListImages, Fault::Status(500, "no disk"));
            }
            let pass = host.pass_at(1_000).expect_code(code);
            let warning = format!(
                "failed to write the metrics to '{}': it is {kind}, not a regular file; remove it, or name another file in [metrics] textfile",
                textfile(&host).display()
            );
            assert!(pass.stderr.contains(&warning), "{}", pass.stderr);
            let after = fs::symlink_metadata(textfile(&host))
                .expect("still there")
                .ino();
            assert_eq!(after, before, "{kind}");
            assert_eq!(fs::read_to_string(&victim).expect("readable"), text);
        }
    }
}

#[test]
fn a_failure_has_an_age_until_it_is_rejected_or_a_later_version_is_promoted() {
    let host = promoted();
    let policy = measured(&host);
    host.set_policy(&policy);
    let deploy = |version: &str, instead_of: &str| {
        let docker = &mut host.engine().docker;
        docker.image(version, &[&format!("reg.example/app:{version}")]);
        docker.exit(instead_of, 0);
        docker.run(
            &format!("k8s_{version}"),
            &format!("reg.example/app:{version}"),
        );
    };
    let age = |uptime: u64| {
        host.pass_at(uptime).expect_code(0);
        let on_record =
            "tagkeeper_failed_info{workload=\"app\",version=\"v3\",reason=\"exited (7)\"}";
        assert_samples(&host, &[(on_record, Some(1.0))]);
        sample(
            &host,
            "tagkeeper_failed_age_seconds{workload=\"app\",version=\"v3\"}",
        )
    };
    deploy("v3", "k8s_app_1");
    host.pass_at(1_000).expect_code(0);
    host.pass_at(1_030).expect_code(0);
    host.engine().docker.exit("k8s_v3", 7);
    host.engine().docker.start("k8s_app_1");
    let young = age(1_060).expect("it failed");
    let old = age(5_060).expect("v2 is latest as it was before");
    // The passes take their time, too.
    assert!(
        young < 60.0 && (4_000.0..4_300.0).contains(&(old - young)),
        "{young}, {old}"
    );

    host.set_policy(&format!("{policy}[reject]\napp = [\"v3\"]\n"));
    assert_eq!(age(5_120), None, "rejected");
    {
        let docker = &mut host.engine().docker;
        docker.drop_container("k8s_v3");
        docker.remove_image("reg.example/app:v3");
    }
    assert_eq!(age(5_180), None, "rejected, and gone");
    host.set_policy(&policy);
    assert!(age(5_240).is_some(), "the rejection was taken back");

    deploy("v4", "k8s_app_1");
    assert!(age(5_300).is_some(), "v4 soaks");
    assert_eq!(age(6_000), None, "v4 is latest");
}

/// How many samples there are of a metric.
fn count_of(host: &Host, name: &str) -> usize {
    let text = fs::read_to_string(textfile(host)).expect("there is a file");
    let of_it = text
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")));
    of_it.count()
}

#[test]
fn labels_are_bounded_and_no_free_text_is_among_them() {
    let host = promoted();
    let versions: Vec<String> = (0..20).map(|n| format!("\"v{n}\"")).collect();
    host.set_policy(&format!(
        "{}[hold]\nreason = \"incident 4711\"\n[reject]\napp = [{}]\n",
        measured(&host),
        versions.join(", ")
    ));
    host.pass_at(1_000).expect_code(0);
    assert_eq!(count_of(&host, "tagkeeper_rejected_info"), 8);
    assert_samples(
        &host,
        &[
            (
                "tagkeeper_rejected_info{workload=\"app\",version=\"v0\",by=\"policy\"}",
                Some(1.0),
            ),
            (&of_app("tagkeeper_hold"), Some(1.0)),
        ],
    );
    let since = sample(&host, &of_app("tagkeeper_hold_since_timestamp_seconds"));
    assert_in_last_pass(&host, since);
    let text = fs::read_to_string(textfile(&host)).expect("there is a file");
    assert!(!text.contains("4711"), "{text}");
    host.pass_at(4_000).expect_code(0);
    assert_eq!(
        sample(&host, &of_app("tagkeeper_hold_since_timestamp_seconds")),
        since
    );
}

#[test]
fn what_serves_what_is_kept_and_what_it_weighs() {
    let host = promoted();
    host.set_policy(&measured(&host));
    host.pass_at(1_000).expect_code(0);
    let hash = |host: &Host| {
        let text = fs::read_to_string(textfile(host)).expect("there is a file");
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("tagkeeper_policy_info{"));
        line.expect("there is one").to_owned()
    };
    let (v1, v2) = (short("v1"), short("v2"));
    let serving = format!(
        "tagkeeper_serving_info{{workload=\"app\",version=\"v2\",image=\"{v2}\",by=\"orchestrator\"}}"
    );
    let fallback = format!(
        "tagkeeper_fallback_info{{workload=\"app\",version=\"v1\",image=\"{v1}\",position=\"1\"}}"
    );
    assert_samples(
        &host,
        &[
            (&serving, Some(1.0)),
            (&fallback, Some(1.0)),
            // Two names, one image, once.
            (
                "tagkeeper_images_bytes{workload=\"app\",reason=\"latest\"}",
                Some(1e6),
            ),
            (
                "tagkeeper_images_bytes{workload=\"app\",reason=\"fallback\"}",
                Some(1e6),
            ),
        ],
    );
    assert_eq!(count_of(&host, "tagkeeper_fallback_missing"), 0);
    let before = hash(&host);
    host.pass_at(1_060).expect_code(0);
    assert_eq!(hash(&host), before);
    host.set_policy(&format!("{}[hold]\n", measured(&host)));
    host.pass_at(1_120).expect_code(0);
    assert_ne!(hash(&host), before);
}
