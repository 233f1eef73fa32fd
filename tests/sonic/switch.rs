//! A switch: a host with the policy of an example, a clock that goes on by itself, and a ready
//! command that says yes.

use std::collections::BTreeMap;
use std::fs;

use crate::example;
use crate::host::{Host, Outcome, finish, program_at};
use in_memory_engine::hex_id;

pub(crate) const SONIC: &str = include_str!("../../config/examples/sonic.toml");

/// The host, and how long it has been up.
pub(crate) struct Switch {
    pub(crate) host: Host,
    secs: u64,
    /// What the passes have said.
    said: String,
}

impl Switch {
    /// With this policy, whose ready commands say yes but for [`freeze`](Self::freeze).
    pub(crate) fn new(policy: &str) -> Self {
        let host = Host::new("");
        let is_awake = format!("test ! -e {}", host.path("is-frozen").display());
        example::take_over(&host, policy, &is_awake);
        Self {
            host,
            secs: 0,
            said: String::new(),
        }
    }

    /// The policy as it was written.
    pub(crate) fn policy(&self) -> String {
        fs::read_to_string(self.host.path("policy.toml")).expect("it was written")
    }

    /// What runs is up, and not at work, from now on; or at work again.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let flag = self.host.path("is-frozen");
        if is_frozen {
            fs::write(flag, "").expect("writable");
        } else {
            fs::remove_file(flag).expect("it was frozen");
        }
    }

    /// An image by its label, which is its version too: local names and remote ones.
    pub(crate) fn image(&self, label: &str, names: &[&str]) {
        self.host.engine().docker.image(label, names);
    }

    /// A container is created from a reference and started.
    pub(crate) fn run(&self, container: &str, reference: &str) {
        self.host.engine().docker.run(container, reference);
    }

    /// A container is created and not started.
    pub(crate) fn create(&self, container: &str, reference: &str) {
        self.run(container, reference);
        self.set_state(container, "created");
    }

    pub(crate) fn set_state(&self, container: &str, state: &str) {
        let mut engine = self.host.engine();
        state.clone_into(&mut engine.docker.container(container).state);
    }

    pub(crate) fn stop(&self, containers: &[&str]) {
        for container in containers {
            self.host.engine().docker.exit(container, 0);
        }
    }

    pub(crate) fn remove(&self, container: &str) {
        self.host.engine().docker.drop_container(container);
    }

    /// Time passes, with a pass each minute.
    #[track_caller]
    pub(crate) fn minutes(&mut self, minutes: u64) {
        for _ in 0..minutes {
            self.secs += 60;
            let pass = self.host.pass_at(self.secs).expect_code(0);
            self.said.push_str(&pass.stderr);
        }
    }

    /// Time passes, with passes that fail.
    #[track_caller]
    pub(crate) fn failing_minutes(&mut self, minutes: u64) {
        for _ in 0..minutes {
            self.secs += 60;
            let pass = self.host.pass_at(self.secs);
            assert_ne!(pass.code, 0, "{pass:#?}");
        }
    }

    /// Time passes without a pass.
    pub(crate) fn later(&mut self, minutes: u64) {
        self.secs += 60 * minutes;
    }

    /// Any command, now.
    pub(crate) fn tagkeeper(&self, arguments: &[&str]) -> Outcome {
        self.host.run_at(self.secs, arguments)
    }

    /// A command that takes no policy.
    pub(crate) fn tagkeeper_without_policy(&self, arguments: &[&str]) -> Outcome {
        let mut command = program_at(self.secs);
        command
            .args(arguments)
            .arg("--socket")
            .arg(self.host.path("docker.sock"));
        finish(&mut command)
    }

    /// What the passes have said since the last call.
    pub(crate) fn said(&mut self) -> String {
        std::mem::take(&mut self.said)
    }

    /// What a name means: the label of its image, among these.
    pub(crate) fn meaning<'l>(&self, name: &str, labels: &[&'l str]) -> Option<&'l str> {
        let id = self.host.id_of(name);
        let found = labels.iter().find(|label| id == id_of(label));
        found.copied()
    }

    /// Every name on the disk has this meaning, and there is no other.
    #[track_caller]
    pub(crate) fn expect_disk(&self, wanted: &[(&str, &str)]) {
        let wanted: BTreeMap<String, String> = wanted
            .iter()
            .map(|(name, label)| ((*name).to_owned(), id_of(label)))
            .collect();
        assert_eq!(
            self.host.names(),
            wanted,
            "names on the disk (left) and as wanted (right)"
        );
    }

    /// The containers that there are, whatever they do.
    pub(crate) fn containers(&self) -> Vec<String> {
        let engine = self.host.engine();
        let mut names: Vec<String> = engine
            .docker
            .containers
            .iter()
            .map(|c| c.name().to_owned())
            .collect();
        names.sort();
        names
    }
}

fn id_of(label: &str) -> String {
    format!("sha256:{}", hex_id(label))
}
