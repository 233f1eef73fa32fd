//! A drop-in for each feature of a SONiC switch that Kubernetes owns: what `CONFIG_DB` says of it,
//! and what the engine has of it. Pure.
//!
//! All of them are on hold: which repository a feature's service runs and where Kubernetes pulls it
//! from is nowhere in `CONFIG_DB`, so that a person has to look.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use tagkeeper_core::model::{Observation, Pattern};

use super::candidate::{Candidate, Candidates, short_name};
use super::containers::numbered;
use super::text::{beside, list, listed};
use super::{StarterPolicy, of_services};
use crate::policy_file::{KUBERNETES, is_name, key_name, printable, quoted};

/// A row of `CONFIG_DB`'s table `FEATURE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Who is to run it: `kube` or `local`.
    pub set_owner: String,
    /// `enabled`, `disabled`, `always_enabled`, or a template of them.
    pub state: String,
    /// Whether it has an instance for each ASIC.
    pub per_asic: bool,
}

/// The repositories of the features that SONiC itself gives to Kubernetes, where they are not
/// called like the feature (`init_cfg.json.j2` and `rules/docker-*.mk`, sonic-buildimage 086b03b).
const REPOSITORIES: [(&str, &str); 4] = [
    ("gnmi", "docker-sonic-gnmi"),
    ("pmon", "docker-platform-monitor"),
    ("radv", "docker-router-advertiser"),
    ("telemetry", "docker-sonic-telemetry"),
];

/// The drop-ins of a switch. `socket` is where its engine was found.
pub fn sonic_policy(seen: &Observation, features: &[Feature], socket: &Path) -> StarterPolicy {
    let seen = of_services(seen);
    let candidates = super::find::candidates(&seen);
    let is_owned = |f: &&Feature| f.set_owner.eq_ignore_ascii_case("kube");
    let (owned, others): (Vec<&Feature>, Vec<&Feature>) = features.iter().partition(is_owned);
    let mut out = format!(
        "# Starter drop-ins for the features of this switch whose set_owner is kube: {} of {} in CONFIG_DB.\n\
         # What else they have is guessed from the engine at {}. Save each as the file that is named above it,\n\
         # review it, and remove \"hold\". docs/sonic.md says what else the switch needs.\n",
        owned.len(),
        features.len(),
        printable(&socket.to_string_lossy())
    );
    let mut taken = Taken::default();
    for feature in &owned {
        out.push('\n');
        out.push_str(&drop_in(feature, &owned, &candidates, &mut taken));
    }
    if !others.is_empty() {
        let names = others.iter().map(|f| f.name.as_str());
        let _ = writeln!(
            out,
            "\n# Not owned by Kubernetes: {}.",
            printable(&listed(names))
        );
    }
    StarterPolicy {
        text: out,
        workloads: taken.sections,
    }
}

/// What sections have been written.
#[derive(Default)]
struct Taken {
    repositories: BTreeSet<String>,
    sections: usize,
}

fn drop_in(
    feature: &Feature,
    owned: &[&Feature],
    candidates: &Candidates,
    taken: &mut Taken,
) -> String {
    let name = &feature.name;
    if !is_name(name) {
        return format!(
            "# {} is not a name of a container, so it is left out.\n",
            printable(name)
        );
    }
    let found = find(name, candidates);
    let repository = found.map_or_else(
        || usual_repository(name),
        |c| c.repository.as_str().to_owned(),
    );
    let remotes: Vec<&str> = found
        .iter()
        .flat_map(|c| &c.remotes)
        .map(|remote| remote.repository.as_str())
        .collect();
    let uses = || remotes.iter().copied().chain([repository.as_str()]);
    if let Some(twice) = uses().find(|used| taken.repositories.contains(*used)) {
        return format!(
            "# {name}: {twice} belongs to a section above, and no repository may have two.\n"
        );
    }
    let uses: Vec<String> = uses().map(str::to_owned).collect();
    taken.repositories.extend(uses);
    taken.sections += 1;
    let mut out = format!(
        "# /etc/tagkeeper/policy.d/{name}.toml\n[workload.{}]\n",
        key_name(name)
    );
    for doubt in &doubts(feature, found) {
        let _ = writeln!(out, "# unsure: {}", printable(doubt));
    }
    let pattern = found.and_then(|c| c.pattern.clone());
    let pattern = pattern.unwrap_or_else(|| format!("{KUBERNETES}{name}_*"));
    let line = |key: &str, value: String, why: &str| (format!("{key} = {value}"), why.to_owned());
    out + &beside(&[
        line("repository", quoted(&repository), ""),
        line("remotes", list(remotes.into_iter()), ""),
        line("container", containers(feature, owned), ""),
        line("orchestrated", quoted(&pattern), ""),
        line(
            "ready",
            list([READY].into_iter()),
            "needs the drop-in sonic.conf",
        ),
        line("version_label", quoted("Tag"), "what SONiC's build writes"),
        line("hold", "true".to_owned(), "until you have reviewed it"),
    ])
}

/// What a person should look at.
fn doubts(feature: &Feature, found: Option<&Candidate>) -> Vec<String> {
    let mut unsure: Vec<String> = found.iter().flat_map(|c| c.unsure.clone()).collect();
    if found.is_none() {
        unsure.push(format!(
            "the engine has no latest that {} could run; the repository is a guess",
            feature.name
        ));
    }
    if found.is_none_or(|c| c.remotes.is_empty()) {
        unsure.push(
            "no other repository here has its images; where does Kubernetes pull from?".to_owned(),
        );
    }
    if !feature.state.contains("enabled") {
        unsure.push(format!("its state is '{}'", feature.state));
    }
    unsure
}

const READY: &str = "/usr/lib/tagkeeper/ready/sonic";

/// What the engine has of a feature: by the name of a container, or of the repository.
fn find<'c, 'w>(name: &str, candidates: &'c Candidates<'w>) -> Option<&'c Candidate<'w>> {
    let all = || {
        candidates
            .workloads
            .iter()
            .chain(&candidates.without_remotes)
    };
    all()
        .find(|c| c.name == name || c.containers.iter().any(|container| container == name))
        .or_else(|| all().find(|c| short_name(c.repository) == name))
        .or_else(|| all().find(|c| c.repository.as_str() == usual_repository(name)))
}

fn usual_repository(name: &str) -> String {
    let usual = REPOSITORIES.iter().find(|(feature, _)| *feature == name);
    let repository = usual.map(|(_, repository)| (*repository).to_owned());
    repository.unwrap_or_else(|| format!("docker-{}", name.to_lowercase().replace('_', "-")))
}

/// The feature's own name, and its instances', unless another feature is called like one of them.
fn containers(feature: &Feature, owned: &[&Feature]) -> String {
    let instances = numbered(&feature.name);
    let is_free = Pattern::parse(&instances)
        .is_ok_and(|pattern| !owned.iter().any(|other| pattern.matches(&other.name)));
    if feature.per_asic && is_free {
        list([feature.name.as_str(), &instances].into_iter())
    } else {
        quoted(&feature.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tagkeeper_core::model::{Image, ImageId, Reference};

    use super::*;
    use crate::policy_file::{Source, parse};

    fn feature(name: &str, set_owner: &str) -> Feature {
        Feature {
            name: name.to_owned(),
            set_owner: set_owner.to_owned(),
            state: "enabled".to_owned(),
            per_asic: false,
        }
    }

    fn images(texts: &[&str]) -> Observation {
        let image = |(index, names): (usize, &&str)| Image {
            id: ImageId::new(index.to_string()),
            references: names
                .split(' ')
                .map(|name| Reference::parse(name).unwrap())
                .collect(),
            unparsed_names: 0,
            size_bytes: 1,
            labels: BTreeMap::new(),
        };
        Observation {
            images: texts.iter().enumerate().map(image).collect(),
            ..Observation::default()
        }
    }

    fn policy(seen: &Observation, features: &[Feature]) -> String {
        let written = sonic_policy(seen, features, Path::new("/run/docker.sock"));
        let source = Source {
            label: "init".to_owned(),
            text: written.text.clone(),
        };
        let parsed =
            parse(&[source]).unwrap_or_else(|refused| panic!("{}\n{refused}", written.text));
        assert_eq!(
            parsed.policy.workloads.len(),
            written.workloads,
            "{}",
            written.text
        );
        assert!(
            parsed.policy.workloads.values().all(|w| w.hold),
            "{}",
            written.text
        );
        written.text
    }

    #[test]
    fn features_that_share_a_repository_get_one_section() {
        let seen = images(&["docker-sonic-gnmi:latest r.example/docker-sonic-gnmi:v1"]);
        let text = policy(
            &seen,
            &[feature("sonic-gnmi", "kube"), feature("gnmi", "kube")],
        );
        assert!(
            text.contains("# gnmi: r.example/docker-sonic-gnmi belongs to a section above"),
            "{text}"
        );
    }

    #[test]
    fn whatever_a_database_says_the_policy_is_valid() {
        let many = [
            feature("", "kube"),
            feature("a b", "kube"),
            feature("x\ny = 1\n[hold]", "KUBE"),
            feature("UPPER_case.x", "kube"),
            feature("-x", "kube"),
            feature("\u{1b}[2J", "local"),
            Feature {
                per_asic: true,
                state: "\n[hold]\n".to_owned(),
                ..feature("lldp", "kube")
            },
            feature("lldp0", "kube"),
        ];
        let text = policy(&Observation::default(), &many);
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(
            text.contains("container = \"lldp\""),
            "lldp0 is a feature: {text}"
        );
    }
}
