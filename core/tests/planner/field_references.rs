//! Field cases 8 to 16: references and names.

use tagkeeper_core::model::{Note, Reason, Reference};

use crate::host::{DAY_MINUTES, Host, repository};

#[test]
fn case_08_upgrades_by_tag_and_digest_are_upgrades_of_versions() {
    let mut host = Host::shipped();
    host.exit("telemetry", 0);
    for (digit, version) in [('b', "v1.1"), ('c', "v2"), ('d', "v3")] {
        host.deploy_by_digest(digit, version);
        host.minutes(12);
    }
    assert_eq!(host.lineage(), ["v3=d", "v2=c"]);
    assert_eq!(host.images().len(), 2, "{:?}", host.disk());
    assert_eq!(host.plan().latest.unwrap().version.as_str(), "v3");
    assert_eq!(host.meaning("local:v2"), Some('c'), "{:?}", host.disk());
}

/// A sibling: the tag is given while the image soaks already. What is promoted is that version, and
/// a dry run of it is one.
#[test]
fn case_08_a_tag_that_comes_during_the_soak_is_the_version() {
    let mut host = Host::local_head();
    host.remove_container("telemetry");
    host.image('b', &["local:latest"]);
    host.run("telemetry", "local:latest");
    host.minutes(3);
    assert_eq!(host.pending().as_deref(), Some("sha256-bbbbbbbbbbbb=b"));
    host.tag('b', "local:v2");
    host.minutes(9);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    host.exit("telemetry", 0);
    host.deploy('d', "v2");
    host.minutes(13);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"], "a dry run");
}

#[test]
fn case_09_a_dry_run_by_digest_is_evidence_of_roll_out() {
    let mut host = Host::local_head();
    host.image('d', &["remote@d"]);
    host.run("k8s_v1", "remote:v1@d");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"], "a dry run");
    assert_eq!(host.latest(), Some('a'));
    host.exit("telemetry", 0);
    host.deploy_by_digest('b', "v2");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.is_on_disk('a') && !host.is_on_disk('d'));
}

/// A sibling: local v1 stopped first, so that the pod is told from it by its version alone.
#[test]
fn case_09_a_dry_run_by_digest_idles_beside_a_stopped_local_container() {
    let mut host = Host::local_head();
    host.exit("telemetry", 0);
    host.image('d', &["remote@d"]);
    host.run("k8s_v1", "remote:v1@d");
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.latest(), Some('a'));
    assert_note!(host, Note::OnlyDryRuns { .. });
}

#[test]
fn case_10_without_references_versions_and_clean_up_are_as_ever() {
    let mut host = Host::shipped();
    let forget = |host: &mut Host| {
        for container in host.container_names() {
            host.hide_reference(&container);
        }
    };
    forget(&mut host);
    host.minutes(11);
    host.exit("telemetry", 0);
    for (digit, version) in [('b', "v2"), ('c', "v3"), ('d', "v4")] {
        host.deploy(digit, version);
        forget(&mut host);
        host.minutes(12);
    }
    assert_eq!(host.lineage(), ["v4=d", "v3=c"]);
    assert_eq!(
        host.disk(),
        ["local:latest=d", "remote:v3=c", "remote:v4=d"]
    );
    assert!(!host.has_container("telemetry"));
}

/// R4 on a host of these names: local repository, remote, the two versions.
fn r4_with(local: &str, remote: &str, v1: &str, v2: &str) {
    let mut host = Host::new();
    host.workload().repository = repository(local);
    host.workload().remotes = vec![repository(remote)];
    let tag = |repository: &str, tag: &str| format!("{repository}:{tag}");
    host.image('a', &[&tag(local, "latest"), &tag(local, v1)]);
    host.run("telemetry", &tag(local, "latest"));
    host.minutes(12);
    host.image('d', &[&tag(remote, v1)]);
    host.run("k8s_1", &tag(remote, v1));
    host.minutes(3);
    host.exit("telemetry", 0);
    host.remove_container("k8s_1");
    host.image('b', &[&tag(remote, v2)]);
    host.run("k8s_2", &tag(remote, v2));
    host.minutes(12);
    assert_eq!(host.meaning(&tag(local, "latest")), Some('b'));
    assert_eq!(host.meaning(&tag(remote, v1)), Some('a'));
    assert_eq!(host.meaning(&tag(remote, v2)), Some('b'));
    assert_eq!(host.disk().len(), 3, "{:?}", host.disk());
}

#[test]
fn case_13_r4_with_odd_names() {
    let long_one = "a".repeat(128);
    let long_two = format!("{}b", "a".repeat(127));
    for (local, remote, v1, v2) in [
        ("app", "reg.example:5000/app", "1", "2"),
        (
            "a__b--c/app",
            "reg.example:443/a__b--c/app",
            "20240101",
            "20240102",
        ),
        (
            "app",
            "reg.example/app",
            long_one.as_str(),
            long_two.as_str(),
        ),
        ("app", "localhost:5000/deep/er/app", "v1", "v1.0"),
        ("app", "[fd00::1]:5000/app", "v1", "v2"),
        ("app", "docker.io/team/app", "v1", "v1-hotfix"),
    ] {
        r4_with(local, remote, v1, v2);
    }
}

/// R4 with two remotes, which have one build of v1, or two.
#[test]
fn case_13_r4_moves_the_names_of_every_remote() {
    for mirrored in ['d', 'e'] {
        let mut host = Host::local_head();
        host.workload()
            .remotes
            .push(repository("mirror.example/app"));
        host.minutes(1);
        host.image('d', &["remote:v1"]);
        host.image(mirrored, &["mirror.example/app:v1"]);
        host.run("k8s_v1", "remote:v1");
        host.minutes(3);
        host.exit("telemetry", 0);
        host.deploy('b', "v2");
        host.minutes(12);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
        assert_eq!(
            host.disk(),
            [
                "local:latest=b",
                "mirror.example/app:v1=a",
                "remote:v1=a",
                "remote:v2=b"
            ]
        );
    }
}

#[test]
fn case_12_one_repository_however_it_is_written() {
    for written in [
        "nginx",
        "library/nginx",
        "docker.io/library/nginx",
        "docker.io/nginx",
    ] {
        let mut host = Host::new();
        host.workload().repository = repository("local-nginx");
        host.workload().remotes = vec![repository("index.docker.io/library/nginx")];
        host.image('a', &["local-nginx:latest", &format!("{written}:v1")]);
        host.run("k8s_v1", &format!("{written}:v1"));
        host.minutes(11);
        assert_eq!(host.lineage(), ["v1=a"], "{written}");
        assert!(host.memory().lineage[0].rolled_out, "{written}");
    }
}

#[test]
fn case_14_the_local_name_is_made_where_only_the_remote_has_a_latest() {
    let mut host = Host::new();
    host.image('a', &["remote:latest", "remote:v1"]);
    host.run("k8s_v1", "remote:v1");
    assert_note!(host, Note::LatestMissing { .. });
    host.minutes(11);
    assert_eq!(host.meaning("local:latest"), Some('a'));
    assert_eq!(host.lineage(), ["v1=a"]);
    host.minutes(3);
    assert_eq!(host.acted, [""; 0]);
}

#[test]
fn case_15_a_prune_that_takes_every_name_of_what_soaks() {
    for minute in [2, 9, 10] {
        let mut host = Host::with_head();
        host.deploy('b', "v2");
        host.minutes(minute);
        host.untag("remote:v2");
        host.minutes(12);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "at minute {minute}");
        assert_eq!(host.meaning("local:v2"), Some('b'), "at minute {minute}");
        assert_eq!(host.latest(), Some('b'));
    }
}

/// Siblings: it takes every name of the head, or of what was shipped and has not soaked yet.
#[test]
fn case_15_a_prune_that_takes_every_name_of_what_works() {
    let mut host = Host::with_fallback();
    host.untag("remote:v2");
    host.untag("local:latest");
    host.minutes(2);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert_eq!(host.disk(), ["local:latest=b", "local:v2=b", "remote:v1=a"]);

    let mut host = Host::shipped();
    host.untag("local:latest");
    host.untag("local:v1");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v1=a"]);
    assert_eq!(host.disk(), ["local:latest=a", "local:v1=a"]);
}

#[test]
fn case_16_a_renamed_registry_loses_nothing_of_the_lineage() {
    let mut host = Host::with_fallback();
    host.image('c', &["new.example/app:v3"]);
    host.remove_container("k8s_v2");
    host.run("k8s_v3", "new.example/app:v3");
    host.minutes(3);
    host.later(7 * DAY_MINUTES);
    host.minutes(3);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.is_on_disk('a') && host.is_on_disk('b') && host.is_on_disk('c'));

    host.workload().remotes = vec![repository("new.example/app")];
    host.minutes(3);
    assert_eq!(host.pending().as_deref(), Some("v3=c"));
    assert_eq!(host.meaning("local:v1"), Some('a'));
    assert_eq!(host.meaning("local:v2"), Some('b'));
    host.minutes(10);
    assert_eq!(host.lineage(), ["v3=c", "v2=b"]);
    assert_eq!(host.meaning("local:v2"), Some('b'));
    host.image('d', &["new.example/app:v4"]);
    host.remove_container("k8s_v3");
    host.run("k8s_v4", "new.example/app:v4");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v4=d", "v3=c"]);
}

/// A sibling: both registries stay in the policy, and what the old one brought is cleaned up.
#[test]
fn case_16_with_both_registries_in_the_policy_the_old_names_leave() {
    let mut host = Host::with_fallback();
    host.workload().remotes.push(repository("new.example/app"));
    host.minutes(1);
    for (digit, version) in [('c', "v3"), ('d', "v4")] {
        let reference = format!("new.example/app:{version}");
        host.image(digit, &[&reference]);
        for old in ["k8s_v2", "k8s_v3"] {
            host.remove_container(old);
        }
        host.run(&format!("k8s_{version}"), &reference);
        host.minutes(12);
    }
    assert_eq!(host.lineage(), ["v4=d", "v3=c"]);
    assert_eq!(
        host.disk(),
        [
            "local:latest=d",
            "new.example/app:v3=c",
            "new.example/app:v4=d"
        ]
    );
}

/// (2) kubelet gives the engine a bare id, and pulls by digest leave no tag.
#[test]
fn the_version_of_an_image_without_tags_is_its_label() {
    let mut host = Host::with_head();
    host.workload().version_label = Some("org.opencontainers.image.version".to_owned());
    host.image('b', &["remote@b"]);
    let labels = &mut host.disk_image('b').labels;
    labels.insert(
        "org.opencontainers.image.version".to_owned(),
        "2.0".to_owned(),
    );
    host.remove_container("k8s_v1");
    host.run("k8s_2", "remote@b");
    host.hide_reference("k8s_2");
    host.minutes(12);
    assert_eq!(host.lineage(), ["2.0=b", "v1=a"]);
    assert_eq!(host.meaning("local:2.0"), Some('b'));
}

/// A sibling: two pods idle; the local container is removed, and they go on idling while v2 is
/// proven beside them.
#[test]
fn case_09_two_dry_runs_by_digest_idle_for_as_long_as_they_exist() {
    let mut host = Host::local_head();
    host.image('d', &["remote@d"]);
    for pod in ["pod_1", "pod_2"] {
        host.run(pod, "remote:v1@d");
    }
    host.minutes(3);
    host.exit("telemetry", 0);
    host.minutes(15);
    host.remove_container("telemetry");
    host.minutes(15);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.deploy_by_digest('b', "v2");
    host.minutes(12);
    assert_eq!(host.lineage(), ["v2=b", "v1=a"]);
    assert!(host.is_on_disk('d'), "they use it");
    for pod in ["pod_1", "pod_2"] {
        host.remove_container(pod);
    }
    host.minutes(2);
    assert!(!host.is_on_disk('d') && host.is_on_disk('a'));
}

/// kubelet pulls by digest and gives the engine a bare id: that v1 was rolled out is known by its
/// label alone.
#[test]
fn case_09_a_dry_run_that_is_known_by_its_label_is_evidence_of_roll_out() {
    let version = |host: &mut Host, digit: char, version: &str| {
        let labels = &mut host.disk_image(digit).labels;
        labels.insert("version".to_owned(), version.to_owned());
    };
    for has_local_label in [true, false] {
        let mut host = Host::new();
        host.workload().version_label = Some("version".to_owned());
        host.image('a', &["local:latest", "local:v1"]);
        if has_local_label {
            version(&mut host, 'a', "v1");
        }
        host.run("telemetry", "local:latest");
        host.minutes(12);
        host.image('d', &["remote@d"]);
        version(&mut host, 'd', "v1");
        host.run("k8s_v1", "remote@d");
        host.minutes(5);
        host.exit("telemetry", 0);
        host.remove_container("k8s_v1");
        host.image('b', &["remote@b"]);
        version(&mut host, 'b', "v2");
        host.run("k8s_v2", "remote@b");
        host.minutes(13);
        assert_eq!(host.lineage(), ["v2=b", "v1=a"], "{has_local_label}");
        assert!(!host.is_on_disk('d'));
    }
}

/// A label is text of an image's author: it need not be a tag, nor a version.
#[test]
fn a_label_that_is_no_tag_names_no_image() {
    for label in ["", "two words", "latest", "../x", "ü", &"9".repeat(200)] {
        let mut host = Host::with_head();
        host.workload().version_label = Some("version".to_owned());
        host.image('b', &["remote@b"]);
        let labels = &mut host.disk_image('b').labels;
        labels.insert("version".to_owned(), label.to_owned());
        host.remove_container("k8s_v1");
        host.run("k8s_2", "remote@b");
        host.minutes(13);
        assert_eq!(host.latest(), Some('b'), "{label:?}");
        assert_eq!(
            host.meaning("local:sha256-bbbbbbbbbbbb"),
            Some('b'),
            "{label:?}: {:?}",
            host.disk()
        );
    }
}

/// A sibling: nor does it make one version of two images. A build whose argument was not set leaves
/// it empty.
#[test]
fn a_label_that_is_no_version_makes_no_twins() {
    for label in ["", " ", "latest", "<none>", "two words", &"9".repeat(200)] {
        let mut host = Host::new();
        host.workload().version_label = Some("version".to_owned());
        host.image('a', &["local:latest"]);
        host.image('b', &["remote@b"]);
        for digit in ['a', 'b'] {
            let labels = &mut host.disk_image(digit).labels;
            labels.insert("version".to_owned(), label.to_owned());
        }
        host.run("telemetry", "local:latest");
        host.minutes(11);
        host.exit("telemetry", 0);
        host.run("k8s_2", "remote@b");
        host.minutes(13);
        assert_eq!(host.latest(), Some('b'), "{label:?}");
    }
}

/// (2) A container of an unknown version beside the local one cannot be told from a dry run.
#[test]
fn an_unknown_version_that_ran_beside_the_local_container_stays_a_dry_run() {
    let mut host = Host::local_head();
    host.image('d', &["remote@d"]);
    host.run("k8s_x", "remote@d");
    host.minutes(2);
    host.exit("telemetry", 0);
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.remove_container("k8s_x");
    host.run("k8s_y", "remote@d");
    host.minutes(11);
    assert_eq!(host.latest(), Some('d'), "a new container is awake");
}

#[test]
fn an_unknown_version_is_told_by_a_ready_command() {
    let mut host = Host::local_head();
    host.ask_ready();
    host.image('d', &["remote@d"]);
    host.run("k8s_x", "remote@d");
    host.minutes(2);
    host.not_ready("idles");
    host.exit("telemetry", 0);
    host.minutes(30);
    assert_eq!(host.lineage(), ["v1=a"]);
    host.readiness.clear();
    host.minutes(12);
    assert_eq!(host.latest(), Some('d'));
    assert_eq!(host.reason("remote@d"), Reason::Latest);
}

/// Once the command has said that it does the work, it is a container like any other: a "no", no
/// answer, or a tag for its image take nothing back.
#[test]
fn what_a_ready_command_has_woken_stays_awake() {
    type Story = (&'static str, fn(&mut Host));
    let stories: [Story; 3] = [
        ("it says so each time", |_| ()),
        ("not ready once", |host| {
            host.not_ready("reloads");
            host.minutes(1);
            host.readiness.clear();
        }),
        ("its image is pulled by its tag", |host| {
            host.tag('d', "remote:v2");
        }),
    ];
    for (story, happens) in stories {
        let mut host = Host::local_head();
        host.ask_ready();
        host.image('d', &["remote@d"]);
        host.run("k8s_x", "remote@d");
        host.minutes(2);
        host.exit("telemetry", 0);
        host.minutes(5);
        happens(&mut host);
        host.minutes(12);
        assert_eq!(host.latest(), Some('d'), "{story}");
        assert!(host.known().failures.is_empty(), "{story}");
    }
}

/// A sibling: another dry run, of a known version, is first in the engine's list.
#[test]
fn the_command_is_asked_of_the_dry_run_whose_version_is_unknown() {
    let mut host = Host::local_head();
    host.ask_ready();
    host.image('e', &["remote:v1"]);
    host.run("k8s_a", "remote:v1");
    host.image('d', &["remote@d"]);
    host.run("k8s_x", "remote@d");
    host.minutes(2);
    host.exit("telemetry", 0);
    host.minutes(12);
    assert_eq!(host.latest(), Some('d'));
}

/// containers/podman#14294: a short name may mean another repository.
#[test]
fn names_are_given_to_the_engine_in_full() {
    let digest = format!("@sha256:{}", "0".repeat(64));
    for (written, full) in [
        ("app", "docker.io/library/app"),
        ("library/app", "docker.io/library/app"),
        ("docker.io/app", "docker.io/library/app"),
        ("docker.io/library/app", "docker.io/library/app"),
        ("index.docker.io/app", "docker.io/library/app"),
        ("team/app", "docker.io/team/app"),
        ("library/team/app", "docker.io/library/team/app"),
        ("localhost/app", "localhost/app"),
        ("reg.example/app", "reg.example/app"),
        ("reg.example/library/app", "reg.example/library/app"),
        ("reg.example:5000/team/app", "reg.example:5000/team/app"),
    ] {
        for rest in [":v1", digest.as_str()] {
            let name = Reference::parse(&format!("{written}{rest}")).unwrap();
            assert_eq!(name.in_full(), format!("{full}{rest}"));
            let again = Reference::parse(&name.in_full()).unwrap();
            assert_eq!(again, name, "it is the same name");
        }
    }
    let latest = Reference::parse("app").unwrap();
    assert_eq!(latest.in_full(), "docker.io/library/app:latest");
}
