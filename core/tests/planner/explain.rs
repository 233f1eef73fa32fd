//! What `explain` tells of images, on a host of the model: what happened, and when what becomes of
//! them changes.

use tagkeeper_core::model::{
    FirstSeen, Health, ImageReport, KeptUntil, SoakTrouble, Version, Waits,
};
use tagkeeper_core::planner::{image_reports, status};

use crate::host::{DAY_MINUTES, Host, MINUTE_MS, digit, id, telemetry};

fn story(host: &Host, image: char) -> ImageReport {
    let told = image_reports(&host.policy, &host.look(), &host.now());
    let found = told.into_iter().find(|story| story.image == id(image));
    found.unwrap_or_else(|| panic!("nothing is told of {image}"))
}

/// When what becomes of the image's first name changes.
fn until(host: &Host, image: char) -> KeptUntil {
    story(host, image).names[0].until.clone()
}

fn grace_over(pressure_percent: Option<u8>) -> KeptUntil {
    KeptUntil::GraceOver {
        left_ms: (DAY_MINUTES - 60) * MINUTE_MS,
        pressure_percent,
    }
}

fn unused(at_once: bool) -> KeptUntil {
    KeptUntil::Unused {
        container: "debug".to_owned(),
        others: 0,
        at_once,
    }
}

type Arrange = fn(&mut Host);

#[track_caller]
fn assert_until(table: &[(&str, char, KeptUntil, Arrange)]) {
    for (case, image, wanted, arrange) in table {
        let mut host = Host::with_fallback();
        arrange(&mut host);
        assert_eq!(until(&host, *image), *wanted, "{case}");
    }
}

#[test]
fn when_what_is_wanted_is_no_more() {
    assert_until(&[
        ("latest", 'b', KeptUntil::OtherPromoted, |_| {}),
        ("the fallback", 'a', KeptUntil::Promotions(1), |_| {}),
        (
            "with another behind it",
            'a',
            KeptUntil::Promotions(2),
            |host| {
                host.workload().fallbacks = 2;
            },
        ),
        ("on hold", 'a', KeptUntil::HoldEnds, |host| {
            host.workload().hold = true;
        }),
        ("pending", 'c', KeptUntil::Soaked(7 * MINUTE_MS), |host| {
            host.deploy('c', "v3");
            host.minutes(3);
        }),
    ]);
}

/// A soak that waits has no time left to tell.
#[test]
fn what_a_soak_waits_for() {
    let trouble = |cause| KeptUntil::Waits(Waits::Trouble(cause));
    assert_until(&[
        ("unhealthy", 'c', trouble(SoakTrouble::Unhealthy), |host| {
            host.deploy('c', "v3");
            host.set_health("k8s_v3", Health::Unhealthy);
            host.pass();
        }),
        ("stopped", 'c', trouble(SoakTrouble::Stopped), |host| {
            host.deploy('c', "v3");
            host.minutes(3);
            host.exit("k8s_v3", 0);
        }),
        (
            "not ready",
            'c',
            trouble(SoakTrouble::NotReady("no peers".to_owned())),
            |host| {
                host.ask_ready();
                host.not_ready("no peers");
                host.deploy('c', "v3");
                host.pass();
            },
        ),
    ]);
}

/// `status` decides nothing: what a soak waits for is what its look has found.
#[test]
fn status_tells_what_a_soak_waits_for() {
    let waits = |host: &Host| {
        let mut observed = host.clone().observe();
        observed.readiness.clear();
        let plan = status(&host.policy, &host.state, &observed);
        plan.workloads[&telemetry()].pending.clone().unwrap().waits
    };
    let mut host = Host::with_fallback();
    host.deploy('c', "v3");
    host.set_health("k8s_v3", Health::Starting);
    host.pass();
    let starting = Waits::Trouble(SoakTrouble::NotHealthyYet);
    assert_eq!(waits(&host), Some(starting));
    host.set_health("k8s_v3", Health::Healthy);
    assert_eq!(waits(&host), Some(Waits::NextPass));
    host.pass();
    assert_eq!(waits(&host), None);
    // It asks no `ready` command.
    host.ask_ready();
    host.not_ready("no peers");
    host.pass();
    assert_eq!(waits(&host), Some(Waits::Ready));
}

#[test]
fn when_what_is_not_wanted_goes() {
    assert_until(&[
        ("in grace", '9', grace_over(None), |host| {
            host.image('9', &["remote:v9"]);
            host.pass();
            host.later(60);
        }),
        (
            "in grace, while the disk is not too full",
            '9',
            grace_over(Some(80)),
            |host| {
                host.workload().pressure_percent = Some(80);
                host.image('9', &["remote:v9"]);
                host.pass();
                host.later(60);
            },
        ),
        ("idle", '9', KeptUntil::NextPass, |host| {
            host.image('9', &["remote:v9"]);
            host.pass();
            host.later(DAY_MINUTES);
        }),
        ("obsolete", '9', KeptUntil::NextPass, |host| {
            host.image('9', &["remote:v9"]);
            host.pass();
            host.retire('9');
        }),
        ("obsolete, and used", '9', unused(true), |host| {
            host.image('9', &["remote:v9"]);
            host.run("debug", "remote:v9");
            host.pass();
            host.retire('9');
        }),
        ("used", '9', unused(false), |host| {
            host.image('9', &["remote:v9"]);
            host.run("debug", "remote:v9");
            host.exit("debug", 0);
            host.pass();
        }),
        (
            "the twin of latest",
            '9',
            KeptUntil::VersionUnneeded,
            |host| {
                host.image('9', &["local:v2"]);
                host.pass();
            },
        ),
        (
            "the head, when latest was moved by hand",
            'b',
            KeptUntil::OtherPromoted,
            |host| {
                host.image('9', &["local:latest"]);
                host.exit("k8s_v2", 0);
            },
        ),
    ]);
}

#[test]
fn what_the_engine_refuses_goes_when_it_is_asked_again() {
    let mut host = Host::with_fallback();
    host.image('9', &["remote:v9"]);
    host.pass();
    host.retire('9');
    let target = crate::host::name("remote:v9").to_string();
    host.refuses
        .insert(target, "dependent child images".to_owned());
    host.pass();
    assert_eq!(until(&host, '9'), KeptUntil::AskedAgain(MINUTE_MS));
    host.later(1);
    assert_eq!(until(&host, '9'), KeptUntil::NextPass);
}

/// What is told for a promotion or two is what then happens.
#[test]
fn the_fallback_goes_when_it_was_told_to() {
    for fallbacks in [1, 2] {
        let mut host = Host::with_fallback();
        host.workload().fallbacks = fallbacks;
        let KeptUntil::Promotions(count) = until(&host, 'a') else {
            panic!("{:?}", until(&host, 'a'))
        };
        for (promotion, image) in ['c', 'd'].into_iter().take(count).enumerate() {
            assert!(host.memory().images.contains_key(&id('a')), "{promotion}");
            host.upgrade(image, &format!("v{image}"));
        }
        assert!(!host.memory().images.contains_key(&id('a')), "{fallbacks}");
    }
}

#[test]
fn what_was_there_before_the_records_is_told_as_such() {
    let mut host = Host::new();
    host.later(5);
    host.image('a', &["local:latest"]);
    host.pass();
    assert_eq!(
        story(&host, 'a').first_seen,
        FirstSeen::Before("minute 5".to_owned())
    );
    host.later(5);
    host.image('b', &["remote:v2"]);
    host.pass();
    assert_eq!(
        story(&host, 'b').first_seen,
        FirstSeen::At("minute 10".to_owned())
    );
    host.known_mut().history.clear();
    host.later(3);
    assert_eq!(story(&host, 'b').first_seen, FirstSeen::Ago(3 * MINUTE_MS));
}

#[test]
fn the_story_goes_on_when_the_image_has_left() {
    let mut host = Host::with_fallback();
    host.upgrade('c', "v3");
    let gone = story(&host, 'a');
    assert_eq!((gone.version.as_str(), gone.size_bytes), ("v1", None));
    assert_eq!(gone.replaced.unwrap().by.as_str(), "v2");
    assert_eq!(gone.retired.unwrap().by.unwrap().as_str(), "v3");
    assert!(gone.removed.is_some() && gone.names.is_empty());
    // It is pulled again: that it once left is over.
    host.image('a', &["remote:v1"]);
    let back = story(&host, 'a');
    assert!(back.removed.is_none() && back.size_bytes.is_some());
    assert!(back.promoted_at.is_some(), "and what it was is not");
}

#[test]
fn what_the_policy_rejects_is_told_as_rejected() {
    let mut host = Host::with_fallback();
    host.image('c', &["remote:v3"]);
    host.pass();
    assert!(!story(&host, 'c').rejected_by_policy);
    host.reject("v3");
    host.reject("v1");
    let told: Vec<bool> = ['a', 'b', 'c']
        .map(|image| story(&host, image).rejected_by_policy)
        .to_vec();
    assert_eq!(told, [true, false, true], "v1, the fallback, and v3");
    let rejected = host.plan().rejected_by_policy;
    let versions: Vec<&str> = rejected.values().map(Version::as_str).collect();
    assert_eq!(versions, ["v1", "v3"]);
}

#[test]
fn each_image_has_one_story() {
    let mut host = Host::with_fallback();
    host.deploy_in_vain('c', "v3");
    host.reject_image('c', "v3");
    host.remove_container("k8s_v3");
    host.lose_image('c');
    let told = image_reports(&host.policy, &host.look(), &host.now());
    let images: Vec<char> = told.iter().map(|story| digit(&story.image)).collect();
    let mut once = images.clone();
    once.sort_unstable();
    assert_eq!(once, ['a', 'b', 'c'], "{images:?}");
}

/// The history is for people and stays small, so what it no longer has is told from what else is
/// remembered.
#[test]
fn without_its_history_an_image_is_told_of_as_well() {
    let mut host = Host::with_fallback();
    let promoted = |host: &Host| ['a', 'b'].map(|image| story(host, image).promoted_at);
    let with_history = promoted(&host);
    assert!(with_history[0] < with_history[1], "{with_history:?}");
    for (image, version) in [('8', "v8"), ('9', "v9")] {
        host.deploy_in_vain(image, version);
    }
    host.untag("remote:v8");
    host.image('5', &["local:a", "remote:v5"]);
    host.pass();
    host.known_mut().history.clear();
    assert_eq!(promoted(&host), with_history);
    for (image, version) in [('8', "v8"), ('9', "v9"), ('5', "v5")] {
        assert_eq!(story(&host, image).version.as_str(), version, "{image}");
    }
}

/// Pulled by its digest: the version was the container's, and the journal said it.
#[test]
fn what_failed_is_found_by_the_version_that_was_said() {
    let mut host = Host::with_head();
    host.deploy_by_digest('b', "v2");
    host.minutes(3);
    host.exit("k8s_v2", 3);
    host.minutes(2);
    assert_eq!(story(&host, 'b').version.as_str(), "v2");
    host.roll_out("v1", "remote:v1");
    host.minutes(2);
    assert_eq!(story(&host, 'b').version.as_str(), "v2");
}
