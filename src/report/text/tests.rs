//! What people see, whole; each text reads as it is printed.

mod plan;
mod status;

use std::collections::BTreeMap;

use super::*;
use crate::decide::{Action, PendingView, Reason, TagPurpose};
use crate::image::{Repository, Version};
use crate::policy::{EnginePolicy, Workload};
use crate::report::sample::{self, busy, id, judgement, pending, quiet, reference};

fn preface() -> Preface {
    Preface::new("/etc/tagkeeper/policy.toml")
}

fn status_of(workload: WorkloadPlan) -> String {
    status(&sample::plan(workload), &preface(), Page::default())
}

fn plan_of(workload: WorkloadPlan) -> String {
    plan(&sample::plan(workload), &preface(), Page::default())
}

/// v3 has soaked and becomes latest in place of v2, which would lose its last name; v1 goes once that is done.
fn promotion() -> WorkloadPlan {
    let latest = "docker-sonic-telemetry:latest";
    WorkloadPlan {
        pending: Some(PendingView {
            up_ms: 612_000,
            ..pending("v3")
        }),
        images: vec![
            judgement(
                Some(latest),
                'b',
                Reason::Latest,
                "what the local service runs",
            ),
            judgement(
                Some("registry.example/app:v0"),
                'e',
                Reason::Idle,
                "idle for 1day1h of 1day",
            ),
            judgement(
                Some("registry.example/app:v3"),
                'c',
                Reason::Pending,
                "being soaked",
            ),
        ],
        actions: vec![
            Action::Tag {
                image: id('b'),
                reference: reference("docker-sonic-telemetry:v2"),
                replaces: None,
                purpose: TagPurpose::KeepName,
            },
            Action::Tag {
                image: id('c'),
                reference: reference(latest),
                replaces: Some(id('b')),
                purpose: TagPurpose::Promote,
            },
        ],
        ..quiet("v2")
    }
}

#[test]
fn workloads_stand_apart() {
    let mut two = sample::plan(quiet("v2"));
    two.workloads.insert(WorkloadName::new("snmp"), quiet("v3"));
    assert_eq!(
        plan(&two, &preface(), Page::default()),
        "\
snmp: v3 is latest, nothing pending
  nothing to do

telemetry: v2 is latest, nothing pending
  nothing to do
"
    );
}

#[test]
fn without_a_workload_it_says_where_to_write_one() {
    let told = "\
no workload in the policy: nothing is watched, nothing to do
name one in /etc/tagkeeper/policy.toml:
  [workload.telemetry]
  repository = \"docker-sonic-telemetry\"
`tagkeeper init` prints a first policy from what the engine has
";
    assert_eq!(status(&Plan::default(), &preface(), Page::default()), told);
    assert_eq!(plan(&Plan::default(), &preface(), Page::default()), told);
    assert_eq!(
        check(&policy_of(&[]), &preface()),
        format!("the policy is sound; {told}")
    );
}

#[test]
fn what_concerns_all_comes_first() {
    let notes = vec!["the state is corrupt: this is a fresh start".to_owned()];
    let shown = status(
        &sample::plan(quiet("v2")),
        &Preface { notes, ..preface() },
        Page::default(),
    );
    assert!(
        shown.starts_with("note: the state is corrupt: this is a fresh start\n\ntelemetry\n"),
        "{shown}"
    );
}

#[test]
fn what_comes_from_outside_steers_no_terminal() {
    let mut workload = busy();
    workload.notes = vec!["is not ready (\u{1b}[2J\nno)".to_owned()];
    if let Some(serving) = &mut workload.serving {
        serving.container = "k8s\u{1b}[31m".to_owned();
    }
    workload.failures[0].reason = "\u{7}bell".to_owned();
    for shown in [status_of(workload.clone()), plan_of(workload)] {
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(acts), "{shown}");
        assert!(shown.contains("is not ready (\u{fffd}[2J no)\n"), "{shown}");
    }
}

/// Everything that comes from outside, as long as it may be, and in characters that take two columns.
fn wide() -> WorkloadPlan {
    let mut workload = busy();
    let pod = format!("k8s_{}_default_{}", "テレメトリ".repeat(9), "0".repeat(60));
    workload
        .serving
        .as_mut()
        .unwrap()
        .container
        .clone_from(&pod);
    workload.pending.as_mut().unwrap().container = pod;
    workload.fallbacks[0].version = Version::new("v".repeat(128));
    workload.failures[0].reason = "語".repeat(100);
    let repository = format!("{}/{}", "registry.example".repeat(5), "x".repeat(100));
    workload.images[1].reference = Some(reference(&format!("{repository}:{}", "v".repeat(128))));
    workload
}

#[test]
fn lines_of_80_columns() {
    for shown in [
        status_of(busy()),
        plan_of(busy()),
        status_of(promotion()),
        plan_of(promotion()),
        status_of(wide()),
        plan_of(wide()),
    ] {
        let too_wide = |line: &&str| words::columns(line) > WIDTH;
        assert_eq!(shown.lines().find(too_wide), None);
        assert_eq!(shown.lines().find(|line| line.ends_with(' ')), None);
        assert!(shown.ends_with('\n') && !shown.ends_with("\n\n"), "{shown}");
    }
}

#[test]
fn a_name_that_can_stand_in_one_piece_does() {
    for length in [58, 59, 76, 77] {
        let name = format!("app:{}", "v".repeat(length - 4));
        let image = judgement(Some(&name), 'b', Reason::Latest, "why");
        let shown = status_of(WorkloadPlan {
            images: vec![image],
            ..quiet("v2")
        });
        let told = match length {
            ..=58 => format!("    keep   latest     {name}\n"),
            59..=76 => format!("    keep   latest\n    {name}\n"),
            _ => format!("    keep   latest     {}\n", &name[..58]),
        };
        assert!(shown.contains(&told), "{told}{shown}");
    }
}

#[test]
fn colours_say_what_the_words_say() {
    let page = Page { colors: true };
    let status = status(&sample::plan(busy()), &preface(), page);
    let plan = plan(&sample::plan(busy()), &preface(), page);
    for (shown, colored) in [
        (&status, "\u{1b}[1mtelemetry\u{1b}[0m\n"),
        (&status, ", \u{1b}[32mproven\u{1b}[0m since"),
        (&status, "\u{1b}[31m  failed\u{1b}[0m     v9"),
        (
            &status,
            "\u{1b}[31m    remove retired    \u{1b}[0m\u{1b}[1m<none>",
        ),
        (&plan, "\u{1b}[33m  ~ retag  adopt      \u{1b}[0m"),
        (&plan, "\u{1b}[31m  - remove stale      \u{1b}[0m"),
        (&plan, "\n    keep   latest     \u{1b}[1m"),
    ] {
        assert!(shown.contains(colored), "{colored:?}: {shown:?}");
    }
    // Without them it is the very same text.
    for (colored, plain) in [(status, status_of(busy())), (plan, plan_of(busy()))] {
        let mut words = colored.split('\u{1b}');
        let first = words.next().unwrap_or_default().to_owned();
        let rest: String = words
            .filter_map(|part| Some(part.split_once('m')?.1))
            .collect();
        assert_eq!(first + &rest, plain);
    }
}

fn policy_of(names: &[&str]) -> Policy {
    let workload = |name: &&str| {
        let repository = Repository::parse(name).unwrap();
        (WorkloadName::new(*name), Workload::new(name, repository))
    };
    let workloads: BTreeMap<_, _> = names.iter().map(workload).collect();
    Policy {
        engine: EnginePolicy::default(),
        workloads,
        ..Policy::default()
    }
}

#[test]
fn check_names_the_workloads() {
    for (names, told) in [
        (&["snmp"][..], "the policy is sound; 1 workload: snmp\n"),
        (
            &["telemetry", "snmp"],
            "the policy is sound; 2 workloads: snmp, telemetry\n",
        ),
    ] {
        assert_eq!(check(&policy_of(names), &preface()), told);
    }
}
