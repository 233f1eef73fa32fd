//! The policies in `config/examples`, word for word but for their ready commands: `check` has
//! nothing to say, and each plays the promotion that its comments tell of.

use std::fs;

use crate::example;
use crate::host::Host;
use crate::scene::{RIPE, id};
use in_memory_engine::Docker;

struct Example {
    policy: &'static str,
    local: &'static str,
    remote: &'static str,
    container: &'static str,
    /// The container of v2, beside the local one or in its place.
    upgraded: &'static str,
    /// Another workload of the example: its local and its remote repository, and its containers, of
    /// which nothing is upgraded.
    beside: Option<(&'static str, &'static str, &'static [&'static str])>,
}

const EXAMPLES: [Example; 9] = [
    Example {
        policy: include_str!("../../config/examples/sonic.toml"),
        local: "docker-sonic-telemetry",
        remote: "registry.example/docker-sonic-telemetry",
        container: "telemetry",
        upgraded: "k8s_telemetry_telemetry-ds-4x7kq_sonic_0f5c2d1e_0",
        beside: Some((
            "docker-lldp",
            "registry.example/docker-lldp",
            &["lldp", "lldp0", "lldp1"],
        )),
    },
    Example {
        policy: include_str!("../../config/examples/sonic-kube.toml"),
        local: "docker-sonic-telemetry",
        remote: "registry.example/docker-sonic-telemetry",
        container: "telemetry",
        upgraded: "k8s_telemetry_telemetry-ds-4x7kq_sonic_0f5c2d1e_0",
        beside: None,
    },
    Example {
        policy: include_str!("../../config/examples/compose.toml"),
        local: "web",
        remote: "registry.example/shop/web",
        container: "shop-web",
        upgraded: "shop-web",
        beside: None,
    },
    Example {
        policy: include_str!("../../config/examples/compose-beside.toml"),
        local: "kiosk",
        remote: "registry.example/store/kiosk",
        container: "kiosk",
        upgraded: "store-web-1",
        beside: None,
    },
    Example {
        policy: include_str!("../../config/examples/podman.toml"),
        local: "localhost/sensor",
        remote: "registry.example/plant/sensor",
        container: "sensor",
        upgraded: "sensor-v2",
        beside: None,
    },
    Example {
        policy: include_str!("../../config/examples/kube-play.toml"),
        local: "localhost/meter",
        remote: "registry.example/plant/meter",
        container: "meter",
        upgraded: "plant-meter",
        beside: None,
    },
    Example {
        policy: include_str!("../../config/examples/quadlet.toml"),
        local: "localhost/pump",
        remote: "registry.example/plant/pump",
        container: "pump",
        upgraded: "plant-pump",
        beside: None,
    },
    Example {
        policy: include_str!("../../config/examples/swarm.toml"),
        local: "gateway",
        remote: "registry.example/edge/gateway",
        container: "gateway",
        upgraded: "edge_gateway.peb3fyhwiwwpbhnj2dso8z2lu.x8wl98d5qb1c1gftpik14pkkg",
        beside: None,
    },
    Example {
        policy: include_str!("../../config/examples/kubernetes.toml"),
        local: "agent",
        remote: "registry.example/edge/agent",
        container: "agent",
        upgraded: "k8s_agent_agent-6qxzn_default_6c0f8f5e-42f0-4e0c-9a4e-5b1f3f4b7c8d_0",
        beside: None,
    },
];

impl Example {
    /// A host on which v1 is latest and runs, with a ready command that is content while the file
    /// `content` is there.
    fn host(&self) -> Host {
        let host = Host::new("");
        let is_content = format!("test -e {}", host.path("content").display());
        example::take_over(&host, self.policy, &is_content);
        let mut engine = host.engine();
        let v1 = format!("{}:v1", self.remote);
        let latest = format!("{}:latest", self.local);
        engine.docker.image("v1", &[&v1, &latest]);
        engine.docker.run(self.container, &latest);
        if let Some((local, remote, containers)) = self.beside {
            let latest = format!("{local}:latest");
            engine
                .docker
                .image(local, &[&format!("{remote}:v1"), &latest]);
            for container in containers {
                engine.docker.run(container, &latest);
            }
        }
        drop(engine);
        host
    }

    /// The orchestrator, or whoever deploys, starts v2.
    fn deploy(&self, docker: &mut Docker) {
        let v2 = format!("{}:v2", self.remote);
        docker.image("v2", &[&v2]);
        docker.exit(self.container, 0);
        if self.upgraded == self.container {
            docker.drop_container(self.container);
        }
        docker.run(self.upgraded, &v2);
    }

    fn latest(&self, host: &Host) -> String {
        host.id_of(&format!("{}:latest", self.local))
    }
}

#[test]
fn check_has_nothing_to_say_of_an_example() {
    for example in EXAMPLES {
        let host = example.host();
        let checked = host
            .run_at(0, &["check", "--format", "json"])
            .expect_code(0);
        assert_eq!(
            checked.json()["warnings"],
            serde_json::json!([]),
            "{}",
            example.local
        );
        assert_eq!(checked.stderr, "", "{}", example.local);
    }
}

#[test]
fn an_example_promotes_what_it_says() {
    for example in EXAMPLES {
        let host = example.host();
        fs::write(host.path("content"), "").expect("writable");
        host.pass_at(0).expect_code(0);
        host.pass_at(RIPE).expect_code(0);
        assert_eq!(example.latest(&host), id("v1"));
        example.deploy(&mut host.engine().docker);
        host.pass_at(1_000).expect_code(0);
        assert_eq!(example.latest(&host), id("v1"), "{} soaks", example.local);
        host.pass_at(1_000 + RIPE).expect_code(0);
        assert_eq!(example.latest(&host), id("v2"), "{}", example.local);
    }
}

/// On SONiC a pod's container that has no leave to work is frozen, and running for the engine.
#[test]
fn a_container_that_is_not_ready_is_never_latest_however_long_it_is_up() {
    let careful = || EXAMPLES.iter().filter(|e| e.policy.contains("\nready = "));
    assert_eq!(careful().count(), 3, "SONiC, KubeSonic and Compose");
    for example in careful() {
        let host = example.host();
        host.pass_at(0).expect_code(0);
        example.deploy(&mut host.engine().docker);
        for secs in [1_000, 2_000, 50_000] {
            host.pass_at(secs).expect_code(0);
            assert_eq!(
                example.latest(&host),
                id("v1"),
                "{} at {secs}",
                example.local
            );
        }
        fs::write(host.path("content"), "").expect("writable");
        host.pass_at(50_100).expect_code(0);
        host.pass_at(50_100 + RIPE).expect_code(0);
        assert_eq!(example.latest(&host), id("v2"), "{}", example.local);
    }
}
