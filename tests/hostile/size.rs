//! More than anybody has: 10,000 images, and an answer of 200 MB. Memory stays bounded.

use std::fmt::Write;

use crate::host::Host;
use crate::scene::{POLICY, PROMOTED, RIPE, assert_promoted, id, promoted, soaking, upgrade};
use crate::wrapped::measured;
use in_memory_engine::{Fault, Image, Route, hex_id};

const MANY: usize = 10_000;
/// What the unit allows (`MemoryMax=` in units/tagkeeper.service).
const UNIT_KIB: u64 = 256 * 1024;
/// What refusing an answer may cost: the bound on an answer, and a little.
const REFUSING_KIB: u64 = 96 * 1024;

#[test]
fn an_answer_of_200_mb_is_refused_and_memory_stays_bounded() {
    for (route, larger) in [
        (Route::ListImages, "larger than 64 MiB"),
        (Route::ListContainers, "larger than 64 MiB"),
        (Route::InspectContainer, "larger than 4 MiB"),
    ] {
        for chunked in [false, true] {
            let host = soaking(POLICY);
            let state = host.state_bytes();
            let bytes = 200_000_000;
            host.engine().fail(route, Fault::Endless { bytes, chunked });
            let (outcome, kib) = measured(&host, RIPE, &["reconcile"]);
            let outcome = outcome.expect_code(69);
            assert_eq!(outcome.mutations(), [""; 0]);
            assert!(outcome.stderr.contains(larger), "{outcome:#?}");
            assert!(
                kib < REFUSING_KIB,
                "{route:?}, chunked {chunked}: {kib} KiB"
            );
            assert_eq!(host.state_bytes(), state);
            host.engine().heal();
            host.pass_at(RIPE + 5).expect_code(0);
            assert_promoted(&host);
        }
    }
}

/// The client alone would hold the text of a refusal several times.
#[test]
fn a_refusal_of_60_mib_is_printed_in_a_line_and_costs_no_memory() {
    for (route, code) in [
        (Route::ListImages, 69),
        (Route::InspectContainer, 69),
        (Route::Tag, 1),
    ] {
        let host = soaking(POLICY);
        host.engine().fail(
            route,
            Fault::Raw {
                start: "HTTP/1.1 500 Odd\r\nContent-Length: 62914560\r\n\r\n{\"message\":\"",
                piece: "no room ",
                bytes: 60 << 20,
            },
        );
        let (outcome, kib) = measured(&host, RIPE, &["reconcile"]);
        let outcome = outcome.expect_code(code);
        assert!(outcome.stderr.contains("answered 500"), "{outcome:#?}");
        assert!(outcome.stderr.len() < 2_000, "{outcome:#?}");
        // Of the text it holds what the log's line takes; the rest is the program itself,
        // unoptimised.
        assert!(kib < 24 * 1024, "{route:?}: {kib} KiB");
        host.engine().heal();
        host.pass_at(RIPE + 5).expect_code(0);
        assert_promoted(&host);
    }
}

/// One text of 60 MiB, half a million entries, in a list: refused, or read, within what the unit
/// allows.
#[test]
fn lists_without_measure_fit_into_the_unit() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    let flood = |start: &'static str, piece: &'static str, bytes: usize| Fault::Raw {
        start,
        piece,
        bytes,
    };
    let start = |start: &str| -> &'static str { format!("{HEAD}{start}").leak() };
    for (route, fault) in [
        (Route::ListImages, flood(start("\""), "x", 60 << 20)),
        (Route::ListImages, flood(start("[\""), "x", 60 << 20)),
        (
            Route::ListContainers,
            flood(start("[{\"Id\":\""), "x", 60 << 20),
        ),
        (
            Route::ListContainers,
            flood(start("[{\"Id\":\"c\"}"), ",{\"Id\":\"c\"}", 11 * 500_000),
        ),
        (Route::ListImages, flood(start("["), "[", 60 << 20)),
    ] {
        let host = soaking(POLICY);
        host.engine().fail(route, fault);
        let (outcome, kib) = measured(&host, RIPE, &["reconcile"]);
        assert_eq!(outcome.expect_code(69).mutations(), [""; 0]);
        assert!(kib < UNIT_KIB, "{fault:?}: {kib} KiB");
        eprintln!("{fault:?}: {kib} KiB");
    }
}

#[test]
fn headers_without_measure_are_refused_too() {
    let host = soaking(POLICY);
    host.engine().fail(Route::ListImages, Fault::LongHead);
    let (outcome, kib) = measured(&host, RIPE, &["reconcile"]);
    assert_eq!(outcome.expect_code(69).mutations(), [""; 0]);
    assert!(kib < REFUSING_KIB, "{kib} KiB");
}

/// The list of so many containers as Kubernetes makes them: 3 to 4 KB each.
fn kubernetes_containers() -> String {
    let mut list = String::from("[");
    for n in 0..MANY {
        let (container, image) = (
            hex_id(&format!("container {n}")),
            hex_id(&format!("image {n}")),
        );
        let labels = (0..12).map(|label| {
            format!(
                r#""annotation.io.kubernetes.container.some-label-{label}":"{container}-{label}""#
            )
        });
        let mounts = (0..8).map(|mount| {
            format!(
                r#"{{"Type":"bind","Source":"/var/lib/kubelet/pods/{container}/volumes/{mount}","Destination":"/var/{mount}","Mode":"ro","RW":false,"Propagation":"rprivate"}}"#
            )
        });
        let (labels, mounts): (Vec<_>, Vec<_>) = (labels.collect(), mounts.collect());
        let comma = if n == 0 { "" } else { "," };
        write!(
            list,
            r#"{comma}{{"Id":"{container}","Names":["/k8s_thing-{n}_pod_namespace_{container}_0"],"Image":"elsewhere.example/thing:{n}","ImageID":"sha256:{image}","Command":"/usr/bin/thing --with --arguments","Created":1700000000,"Ports":[],"Labels":{{{}}},"State":"running","Status":"Up 3 hours","HostConfig":{{"NetworkMode":"container:{container}"}},"NetworkSettings":{{"Networks":{{}}}},"Mounts":[{}]}}"#,
            labels.join(","),
            mounts.join(",")
        )
        .expect("memory");
    }
    list + "]"
}

#[test]
fn ten_thousand_containers_of_kubernetes_fit_into_an_answer_and_into_the_unit() {
    let host = promoted();
    let list = kubernetes_containers();
    assert!(list.len() > 30 << 20, "{} bytes", list.len());
    host.engine()
        .fail(Route::ListContainers, Fault::Body(list.leak()));
    let (outcome, kib) = measured(&host, RIPE + 60, &["reconcile"]);
    assert_eq!(outcome.expect_code(0).mutations(), [""; 0]);
    assert!(kib < UNIT_KIB, "{kib} KiB");
}

/// A host with that many images; so many of them are the workload's.
fn crowded(ours: usize) -> Host {
    let host = Host::new(POLICY);
    {
        let docker = &mut host.engine().docker;
        for n in 0..MANY {
            let repository = if n < ours { "app" } else { "neighbour" };
            let image = Image {
                tags: vec![format!("reg.example/{repository}:2026.11.22-build-{n:05}")],
                ..Image::default()
            };
            docker.images.insert(id(&format!("build {n}")), image);
        }
        upgrade(docker);
    }
    host
}

#[test]
fn ten_thousand_images_cost_two_calls_no_write_and_bounded_memory() {
    let host = crowded(MANY);
    for secs in [0, 30] {
        host.pass_at(secs).expect_code(0);
    }
    let stamps = host.state_stamps();
    let (outcome, kib) = measured(&host, 60, &["plan", "--format", "json"]);
    let plan = outcome.expect_code(0).json();
    let images = plan["workloads"]["app"]["images"].as_array().map(Vec::len);
    assert!(images > Some(MANY), "{images:?}");
    assert!(kib < UNIT_KIB / 4, "{kib} KiB");
    let (outcome, kib) = measured(&host, 60, &["reconcile"]);
    let outcome = outcome.expect_code(0);
    // An upgrade is pending: an inspect of its container, and no more.
    assert_eq!(outcome.count(Route::InspectContainer), 1);
    assert_eq!(outcome.requests.len(), 3, "{:#?}", outcome.requests);
    assert!(kib < UNIT_KIB / 4, "{kib} KiB");
    assert!(host.state_stamps() == stamps, "nothing was written");
}

/// Ten thousand removals would take the fake longer than a test may; a few hundred among ten
/// thousand tell as much.
#[test]
fn a_promotion_among_ten_thousand_images_removes_the_workloads_own_and_no_other() {
    const OURS: usize = 200;
    let host = crowded(OURS);
    host.pass_at(0).expect_code(0);
    let (outcome, kib) = measured(&host, RIPE, &["reconcile"]);
    let outcome = outcome.expect_code(0);
    assert!(kib < UNIT_KIB / 4, "{kib} KiB");
    assert_eq!(outcome.removals_of("build-"), OURS);
    let names = host.names();
    assert_eq!(names.len(), MANY - OURS + PROMOTED.len());
    for (name, label) in PROMOTED {
        assert_eq!(names.get(*name), Some(&id(label)), "{name}");
    }
}
