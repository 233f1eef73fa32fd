//! What `init` makes of a host: a table of hosts, the whole text of one, and a property over all of
//! them.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use tagkeeper_core::model::{
    Container, ContainerId, ContainerState, Image, ImageId, Observation, PinLabel, Reference,
};

use super::{StarterPolicy, starter_policy};
use crate::policy_file::{DEFAULT_SOCKET, Settings, Source, parse};

#[test]
fn neither_a_pin_nor_a_command_of_compose_says_who_runs_what() {
    let kinds: [fn(&mut Container); 2] = [
        |container| {
            container.pin = Some(PinLabel {
                workload: "app".to_owned(),
                instance: None,
            });
        },
        |container| container.one_off = true,
    ];
    for kind in kinds {
        let mut seen = host(
            &["aa app:latest registry.example/app:v1"],
            &["app-run-ab12 aa app:latest"],
        );
        kind(&mut seen.containers[0]);
        let without = Observation {
            containers: Vec::new(),
            ..seen.clone()
        };
        let socket = Path::new("/run/docker.sock");
        assert_eq!(
            starter_policy(&seen, socket),
            starter_policy(&without, socket)
        );
    }
}

/// A host: images as "id name name", containers as "name id reference", the last "-" where the
/// engine has forgotten it.
fn host(images: &[&str], containers: &[&str]) -> Observation {
    let image = |text: &&str| {
        let mut words = text.split(' ');
        Image {
            id: ImageId::new(words.next().unwrap()),
            references: words.map(|name| Reference::parse(name).unwrap()).collect(),
            unparsed_names: 0,
            size_bytes: 1,
            labels: BTreeMap::new(),
        }
    };
    let container = |(index, text): (usize, &&str)| {
        let words: Vec<&str> = text.split(' ').collect();
        Container {
            id: ContainerId::new(index.to_string()),
            names: vec![words[0].to_owned()],
            image: Some(ImageId::new(words[1])),
            reference: Reference::parse(words[2]).ok(),
            state: ContainerState::Running,
            exit_code: None,
            created_secs: 0,
            one_off: false,
            pin: None,
        }
    };
    Observation {
        images: images.iter().map(image).collect(),
        containers: containers.iter().enumerate().map(container).collect(),
        ..Observation::default()
    }
}

fn first(seen: &Observation) -> StarterPolicy {
    starter_policy(seen, Path::new(DEFAULT_SOCKET))
}

fn parsed(text: &str) -> Settings {
    let source = Source {
        label: "init".to_owned(),
        text: text.to_owned(),
    };
    match parse(&[source]) {
        Ok(policy) => policy,
        Err(refused) => panic!("{text}\n{refused}"),
    }
}

/// The settings of a text in one line for each workload: "name: key = value; key = value".
fn settings(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let setting = line.split("  #").next().unwrap_or_default().trim_end();
        if let Some(section) = setting.strip_prefix('[') {
            let name = section
                .trim_end_matches(']')
                .trim_start_matches("workload.");
            found.push(format!("{name}:"));
        } else if let Some(last) = found.last_mut().filter(|_| !setting.is_empty()) {
            let parted = if last.ends_with(':') { " " } else { "; " };
            *last = format!("{last}{parted}{setting}");
        }
    }
    found
}

/// A host, the settings of its policy, and what its comments must say.
type Case<'a> = (&'a str, Observation, &'a [&'a str], &'a [&'a str]);

fn assert_found(table: &[Case]) {
    for (story, seen, wanted, told) in table {
        let first = first(seen);
        assert_eq!(settings(&first.text), *wanted, "{story}\n{}", first.text);
        assert_eq!(first.workloads, wanted.len(), "{story}");
        assert_eq!(
            parsed(&first.text).policy.workloads.len(),
            wanted.len(),
            "{story}"
        );
        for told in *told {
            assert!(first.text.contains(told), "{story}: {told}\n{}", first.text);
        }
    }
}

#[test]
#[rustfmt::skip]
fn what_is_found_on_a_host() {
    assert_found(&[
        ("an empty one",
            host(&[], &[]),
            &[], &["Nothing here looks like a workload", "#[workload.NAME]"]),
        ("an upgrade beside the local container",
            host(&["a docker-sonic-telemetry:latest docker-sonic-telemetry:v1 r.example/docker-sonic-telemetry:v1",
                   "b r.example/docker-sonic-telemetry:v2"],
                 &["telemetry a docker-sonic-telemetry:latest",
                   "k8s_telemetry_pod-1_sonic_uid_0 b r.example/docker-sonic-telemetry:v2",
                   "k8s_POD_pod-1_sonic_uid_0 p registry.k8s.io/pause:3.9"]),
            &[r#"telemetry: repository = "docker-sonic-telemetry"; remotes = ["r.example/docker-sonic-telemetry"]; container = "telemetry"; orchestrated = "k8s_telemetry_*""#],
            &["its latest is v1 (a)", "has the same images", "running, from docker-sonic-telemetry:latest"]),
        ("a registry with a port and a mirror under other names",
            host(&["a app:latest r.example:5000/team/app:v1 mirror.example/x/other@sha256:0000000000000000000000000000000000000000000000000000000000000000"],
                 &["app a app:latest"]),
            &[r#"app: repository = "app"; remotes = ["mirror.example/x/other", "r.example:5000/team/app"]; container = "app""#], &[]),
        ("Podman",
            host(&["a localhost/web:latest registry.example/team/web:v1"], &["web a localhost/web:latest"]),
            &[r#"web: repository = "localhost/web"; remotes = ["registry.example/team/web"]; container = "web""#], &[]),
        ("a service of another name",
            host(&["a docker-app:latest r.example/app:1"], &["front a docker-app:latest"]),
            &[r#"front: repository = "docker-app"; remotes = ["r.example/app"]; container = "front""#], &[]),
        ("an engine that has forgotten the reference",
            host(&["a app:v1", "b app:latest r.example/app:v2"], &["app a -"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app""#],
            &["running, from a"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn what_is_unsure_is_said() {
    assert_found(&[
        ("no local container, but the pod's tells the name",
            host(&["a docker-x:latest r.example/docker-x:v1"], &["k8s_snmp_p_n_u_0 a r.example/docker-x:v1"]),
            &[r#"snmp: repository = "docker-x"; remotes = ["r.example/docker-x"]; container = "snmp"; orchestrated = "k8s_snmp_*""#],
            &["unsure: no container was created from docker-x:latest"]),
        ("no container at all",
            host(&["a docker-sonic-gnmi:latest r.example/docker-sonic-gnmi:v1"], &[]),
            &[r#"gnmi: repository = "docker-sonic-gnmi"; remotes = ["r.example/docker-sonic-gnmi"]; container = "gnmi""#],
            &["unsure: no container was created from docker-sonic-gnmi:latest"]),
        ("the name is somebody else's",
            host(&["a docker-app:latest r.example/docker-app:v1", "z other:v1"], &["app z other:v1"]),
            &[r#"app: repository = "docker-app"; remotes = ["r.example/docker-app"]; container = "app-2""#], &[]),
        ("alike by name only: on hold",
            host(&["a app:latest app:v1", "b r.example/app:v1"], &["app a app:latest"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app"; hold = true"#],
            &["unsure: r.example/app is named alike and has the same tags (v1), but other images"]),
        ("alike by name only, other tags",
            host(&["a app:latest", "b r.example/app:v2"], &["app a app:latest"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app"; hold = true"#],
            &["unsure: r.example/app is named alike, but carries no image of this repository"]),
        ("somebody's image on Docker Hub is not ours by its name",
            host(&["a agent:latest agent:v1", "b grafana/agent:v1"], &["agent a agent:latest"]),
            &[], &["#[workload.agent]", "#repository = \"agent\"", "#remotes = []"]),
        ("a remote that could be of two workloads",
            host(&["a one:latest r.example/x:v1", "a2 two:latest r.example/x:v2"], &["one a one:latest", "two a2 two:latest"]),
            &[], &["unsure: r.example/x may be a remote of one or of two", "#[workload.one]", "#[workload.two]"]),
        ("two local names of one image are two workloads",
            host(&["a one:latest two:latest r.example/one:v1 r.example/two:v1"], &["one a one:latest", "two a two:latest"]),
            &[r#"one: repository = "one"; remotes = ["r.example/one"]; container = "one""#,
              r#"two: repository = "two"; remotes = ["r.example/two"]; container = "two""#], &[]),
        ("a remote with a latest of its own",
            host(&["a app:latest r.example/app:latest"], &["app a app:latest"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app""#],
            &["unsure: r.example/app has a latest too"]),
        ("the service runs a registry's name",
            host(&["a r.example/app:latest mirror.example/app:v1"], &["app a r.example/app:latest"]),
            &[r#"app: repository = "r.example/app"; remotes = ["mirror.example/app"]; container = "app""#], &[]),
        ("several containers from latest",
            host(&["a docker-app:latest r.example/docker-app:v1"], &["debug a docker-app:latest", "app a docker-app:latest"]),
            &[r#"app: repository = "docker-app"; remotes = ["r.example/docker-app"]; container = "app""#],
            &["unsure: the local container may also be one of: debug"]),
        ("an orchestrator that names no pattern",
            host(&["a app:latest r.example/app:v1"], &["app a app:latest", "task-7 a r.example/app:v1"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app""#],
            &["unsure: no one pattern fits the names of the orchestrator's containers (task-7)"]),
    ]);
}

#[test]
#[rustfmt::skip]
fn several_containers_and_odd_names_are_found() {
    assert_found(&[
        ("local images that nobody upgrades",
            host(&["a docker-fpm:latest docker-fpm:v1", "b busybox:latest", "c lonely:v1"], &["bgp a docker-fpm:latest"]),
            &[], &["#[workload.bgp]", "#repository = \"docker-fpm\"", "# No sign of a workload: busybox."]),
        ("a container for each ASIC",
            host(&["a docker-lldp:latest r.example/docker-lldp:v1"],
                 &["lldp1 a docker-lldp:latest", "lldp a docker-lldp:latest", "lldp0 a docker-lldp:latest", "debug a docker-lldp:latest"]),
            &[r#"lldp: repository = "docker-lldp"; remotes = ["r.example/docker-lldp"]; container = ["lldp", "lldp[0-9]*"]"#],
            &["unsure: the local container may also be one of: debug"]),
        ("a container for each ASIC, beside a pod that does the work of the one without a number",
            host(&["a docker-lldp:latest r.example/docker-lldp:v1", "b r.example/docker-lldp:v2"],
                 &["lldp1 a docker-lldp:latest", "lldp0 a docker-lldp:latest", "k8s_lldp_pod-1_sonic_uid_0 b r.example/docker-lldp:v2"]),
            &[r#"lldp: repository = "docker-lldp"; remotes = ["r.example/docker-lldp"]; container = ["lldp", "lldp[0-9]*"]; orchestrated = "k8s_lldp_*""#], &[]),
        ("a container for each ASIC, one of which still runs the version before latest",
            host(&["a r.example/docker-lldp:v1", "b docker-lldp:latest r.example/docker-lldp:v2"],
                 &["lldp0 b docker-lldp:latest", "lldp1 a -", "k8s_lldp_pod-1_sonic_uid_0 b r.example/docker-lldp:v2"]),
            &[r#"lldp: repository = "docker-lldp"; remotes = ["r.example/docker-lldp"]; container = ["lldp", "lldp[0-9]*"]; orchestrated = "k8s_lldp_*""#], &[]),
        ("numbered containers, and none without a number",
            host(&["a web:latest r.example/web:v1"], &["shop-web-1 a web:latest", "shop-web-2 a web:latest"]),
            &[r#"shop-web: repository = "web"; remotes = ["r.example/web"]; container = "shop-web-[0-9]*""#], &[]),
        ("a number that belongs to another service",
            host(&["a app:latest r.example/app:v1"], &["app a app:latest", "app1 a app:latest", "app2 z other:v1"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app""#],
            &["unsure: the local container may also be one of: app1"]),
        ("a guess that the pattern of another matches, whatever number follows",
            host(&["a app:latest r.example/app:v1", "b docker-web1:latest r.example/docker-web1:v1", "c web:latest r.example/web:v1"],
                 &["app a app:latest", "web c web:latest", "web2 c web:latest"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app""#,
              r#"web: repository = "web"; remotes = ["r.example/web"]; container = ["web", "web[0-9]*"]"#,
              r#"web1: repository = "docker-web1"; remotes = ["r.example/docker-web1"]; container = "local-web1""#],
            &[]),
        ("what only Kubernetes runs",
            host(&["a app:latest r.example/app:v1", "b r.example/docker-app-sidecar:v1", "p registry.k8s.io/pause:3.9", "z r.example/tool:v1"],
                 &["app a app:latest", "k8s_app-sidecar_ds_sonic_uid_0 b r.example/docker-app-sidecar:v1", "k8s_POD_ds_sonic_uid_0 p registry.k8s.io/pause:3.9"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app""#],
            &["#[workload.app-sidecar]", "#repository = \"docker-app-sidecar\"", "#remotes = [\"r.example/docker-app-sidecar\"]", "#orchestrated = \"k8s_app-sidecar_*\"", "#dry_runs = false"]),
        ("a tag that moves",
            host(&["a app:latest app:stable r.example/app:stable"], &["app a app:latest"]),
            &[r#"app: repository = "app"; remotes = ["r.example/app"]; container = "app"; dry_runs = false"#],
            &["r.example/app:stable looks like a tag that moves"]),
        ("a name with a dot",
            host(&["a app:latest r.example/app:v1"], &["a.b a app:latest"]),
            &[r#""a.b": repository = "app"; remotes = ["r.example/app"]; container = "a.b""#], &[]),
    ]);
}

/// Whoever takes the "#" away from what is commented out has a sound policy, too.
#[test]
fn what_is_commented_out_is_valid() {
    let seen = host(
        &["a docker-fpm:latest docker-fpm:v1", "b app:latest app:1"],
        &["bgp a docker-fpm:latest"],
    );
    let text = first(&seen).text;
    let (_, alone) = text.split_once("# These have a latest").unwrap();
    let uncommented: Vec<&str> = alone
        .lines()
        .skip(2)
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .map(|line| if line.starts_with(' ') { "" } else { line })
        .collect();
    let policy = parsed(&uncommented.join("\n"));
    let workloads = &policy.policy.workloads;
    assert_eq!(workloads["bgp"].repository.as_str(), "docker-fpm");
    assert_eq!(workloads["app"].containers_in_words(), "app");
}

/// What a person gets to read.
#[test]
fn the_text_of_a_whole_policy() {
    let seen = host(
        &[
            "a docker-sonic-telemetry:latest docker-sonic-telemetry:v1",
            "b registry.example/docker-sonic-telemetry:v2",
            "c busybox:latest",
        ],
        &[
            "telemetry a docker-sonic-telemetry:latest",
            "k8s_telemetry_ds-1_sonic_u_0 b registry.example/docker-sonic-telemetry:v2",
        ],
    );
    let expected = r#"# A starter policy, guessed from 3 images and 2 containers at /run/docker.sock.
# Review and edit it, then save it as /etc/tagkeeper/policy.d/host.toml. `tagkeeper check` validates it,
# and `tagkeeper plan` shows what it would do. /etc/tagkeeper/policy.toml explains every key.

[workload.telemetry]
# unsure: registry.example/docker-sonic-telemetry is named alike, but carries no image of this repository
repository = "docker-sonic-telemetry"                  # its latest is v1 (a)
remotes = ["registry.example/docker-sonic-telemetry"]  # see above
container = "telemetry"                                # running, from docker-sonic-telemetry:latest
orchestrated = "k8s_telemetry_*"                       # k8s_telemetry_ds-1_sonic_u_0
#dry_runs = false                                      # if the orchestrator never idles its container
hold = true                                            # no changes are made until you have checked the remotes

# No sign of a workload: busybox.
"#;
    assert_eq!(first(&seen).text, expected);
}

#[test]
fn another_socket_is_written_down() {
    let seen = Observation::default();
    let podman = starter_policy(&seen, Path::new("/run/podman/podman.sock")).text;
    let socket = parsed(&podman).engine.socket;
    assert_eq!(socket, Path::new("/run/podman/podman.sock"));
    assert!(!first(&seen).text.contains("[engine]"));
}

const REPOSITORIES: [&str; 9] = [
    "app",
    "docker-app",
    "docker-sonic-app",
    "localhost/app",
    "r.example/app",
    "r.example:5000/team/app",
    "grafana/app",
    "docker.io/library/app",
    "index.docker.io/other",
];
const TAGS: [&str; 4] = [":latest", ":v1", ":v2.0", ":3"];
const NAMES: [&str; 14] = [
    "app",
    "app-2",
    "a.b",
    "app0",
    "app1",
    "k8s_app_p_n_u_0",
    "k8s_app_p_n_u_1",
    "k8s_other_p_n_u_0",
    "k8s__",
    "k8s_POD_p",
    "x\n[workload.evil]",
    "[*]",
    "",
    "-",
];

fn a_reference() -> impl Strategy<Value = Reference> {
    let repository = proptest::sample::select(&REPOSITORIES[..]);
    let tag = proptest::sample::select(&TAGS[..]);
    (repository, tag)
        .prop_map(|(repository, tag)| Reference::parse(&format!("{repository}{tag}")).unwrap())
}

fn any_host() -> impl Strategy<Value = Observation> {
    let images = vec(vec(a_reference(), 0..4), 0..5).prop_map(|all| {
        let number = |(n, references): (usize, Vec<Reference>)| Image {
            id: ImageId::new(n.to_string()),
            references,
            unparsed_names: 0,
            size_bytes: 1,
            labels: BTreeMap::new(),
        };
        all.into_iter().enumerate().map(number).collect()
    });
    let name = prop_oneof![
        8 => proptest::sample::select(&NAMES[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let container = (
        vec(name, 0..3),
        0..6_usize,
        proptest::option::of(a_reference()),
    );
    let containers = vec(container, 0..6).prop_map(|all| {
        let number = |(n, (names, image, reference)): (usize, (Vec<String>, usize, _))| Container {
            id: ContainerId::new(n.to_string()),
            names,
            image: Some(ImageId::new(image.to_string())),
            reference,
            state: ContainerState::Exited,
            exit_code: None,
            created_secs: 0,
            one_off: false,
            pin: None,
        };
        all.into_iter().enumerate().map(number).collect()
    });
    (images, containers).prop_map(|(images, containers)| Observation {
        images,
        containers,
        ..Observation::default()
    })
}

proptest! {
    /// A valid policy, whatever is found; a workload whose remotes rest on a name alone is on hold,
    /// and no container is named as local that the workload has not made.
    #[test]
    fn whatever_is_found_the_policy_is_sound(seen in any_host(), socket in "/[^\0]{0,12}") {
        let first = starter_policy(&seen, Path::new(&socket));
        let policy = parsed(&first.text);
        prop_assert_eq!(policy.policy.workloads.len(), first.workloads);
        for workload in policy.policy.workloads.values() {
            let of = |repository| seen.images.iter()
                .filter(move |i| i.references.iter().any(|r| r.repository() == repository))
                .map(|i| &i.id);
            let shares = |remote| of(remote).any(|id| of(&workload.repository).any(|its| its == id));
            prop_assert!(!workload.remotes.is_empty());
            prop_assert_eq!(workload.hold, !workload.remotes.iter().all(shares));
            let named = seen.containers.iter().filter(|c| c.names.iter().any(|n| workload.is_local_name(n)));
            let mut named = named.peekable();
            if named.peek().is_some() {
                let its_own = |c: &Container| c.reference.as_ref().map_or_else(
                    || of(&workload.repository).any(|id| c.uses(id)),
                    |r| *r.repository() == workload.repository);
                prop_assert!(named.any(its_own), "{}", first.text);
            }
        }
    }
}
