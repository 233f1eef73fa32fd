//! What an engine shows of a policy that is probably a mistake.

use std::collections::BTreeMap;

use tagkeeper::policy_file::{check_sources, of_engine};
use tagkeeper_core::model::{
    Container, ContainerId, ContainerState, Image, ImageId, Observation, PinLabel, Reference,
};

use super::{FILE, compare, source};

const ENGINE: &str = include_str!("engine.txt");

/// A host, from the lines of a case that begin with `|`, and the policy that the others are.
fn read_host(text: &str) -> (String, Observation) {
    let mut policy = String::new();
    let mut host = Observation::default();
    for line in text.lines() {
        let Some(line) = line.strip_prefix("| ") else {
            policy += line;
            policy.push('\n');
            continue;
        };
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["image", id, names @ ..] => host.images.push(Image {
                id: ImageId::new(id),
                references: names
                    .iter()
                    .map(|name| Reference::parse(name).unwrap())
                    .collect(),
                unparsed_names: 0,
                size_bytes: 1,
                labels: BTreeMap::new(),
            }),
            ["container", name, image, reference, marks @ ..] => {
                let is = |mark: &str| marks.contains(&mark);
                host.containers.push(Container {
                    id: ContainerId::new(host.containers.len().to_string()),
                    names: vec![(*name).to_owned()],
                    image: Some(ImageId::new(image)),
                    reference: Reference::parse(reference).ok(),
                    state: if is("exited") {
                        ContainerState::Exited
                    } else {
                        ContainerState::Running
                    },
                    exit_code: None,
                    created_secs: 0,
                    one_off: is("one-off"),
                    pin: is("pin").then(|| PinLabel {
                        workload: "app".to_owned(),
                        instance: None,
                    }),
                });
            }
            _ => panic!("{line}"),
        }
    }
    (policy, host)
}

#[test]
fn what_the_engine_shows_is_reported_where_it_was_written() {
    let (wrong, cases) = compare(ENGINE, |text| {
        let (policy, host) = read_host(text);
        let checked = check_sources(&[source(FILE, &policy)]).unwrap();
        assert!(checked.warnings.is_empty(), "{}", checked.warnings[0]);
        of_engine(&checked, &host)
    });
    assert!(wrong.is_empty(), "{wrong}");
    assert!(cases > 12, "only {cases} cases were read");
}

/// The same hosts with the one difference that makes each policy right.
#[test]
fn what_is_right_is_not_warned_of() {
    let right = include_str!("engine-right.txt");
    let cases = right.split("\n=== ").skip(1);
    assert!(cases.clone().count() > 8);
    for case in cases {
        let (name, text) = case.split_once('\n').unwrap();
        let (policy, host) = read_host(text);
        let checked = check_sources(&[source(FILE, &policy)]).unwrap();
        let warnings = of_engine(&checked, &host);
        assert!(warnings.is_empty(), "{name}: {}", warnings[0]);
    }
}
