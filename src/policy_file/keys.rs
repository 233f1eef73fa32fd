//! Every key of a policy, written once: where it may be set, how its value is read, its default, an
//! example, and what it is for.
//!
//! Reading, unknown keys, did-you-mean, the JSON schema, the commented `config/policy.toml` and
//! tagkeeper.toml(5) follow from here. To accept a key, `raw` has to read it by its [`Key`]: what
//! is not read is unknown, so that no key can be accepted and ignored.

use std::path::PathBuf;

use tagkeeper_core::model::{LocalFallback, Pattern, Rejection, Repository};

use super::value::{self, Fault, Found, Input};

/// A section of a policy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// `[defaults]`
    Defaults,
    /// `[engine]`
    Engine,
    /// `[metrics]`
    Metrics,
    /// `[hooks]`
    Hooks,
    /// `[workload.NAME]`
    Workload,
    /// `[hold]`
    Hold,
    /// `[reject]`
    Reject,
}

impl Section {
    /// All sections, in the order in which they are explained.
    pub const ALL: [Self; 7] = [
        Self::Defaults,
        Self::Engine,
        Self::Metrics,
        Self::Hooks,
        Self::Workload,
        Self::Hold,
        Self::Reject,
    ];

    /// The first part of its name in a file.
    pub fn name(self) -> &'static str {
        let full = self.heading().trim_matches(['[', ']']);
        full.split_once('.').map_or(full, |(first, _)| first)
    }

    /// How it is written: `[workload.NAME]`.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Defaults => "[defaults]",
            Self::Engine => "[engine]",
            Self::Metrics => "[metrics]",
            Self::Hooks => "[hooks]",
            Self::Workload => "[workload.NAME]",
            Self::Hold => "[hold]",
            Self::Reject => "[reject]",
        }
    }

    /// What it is for.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Defaults => "Settings for every workload that does not set them itself.",
            Self::Engine => "How to reach the container engine.",
            Self::Metrics => {
                "Metrics for Prometheus, in a file that node_exporter's textfile collector reads. docs/monitoring.md \
                 lists them, with alerts."
            }
            Self::Hooks => {
                "Commands that are notified of what happened: run without a shell, with the event as JSON on standard \
                 input. A hook can neither stop nor fail a pass. docs/hooks.md describes the input. By default there are \
                 none."
            }
            Self::Workload => {
                "One section for each workload, a containerised service on this host. \"tagkeeper status\" shows it by \
                 this name: letters, digits, \".\", \"_\" and \"-\". Quote a name that contains a dot: \
                 [workload.\"a.b\"]."
            }
            Self::Hold => {
                "Stops all changes for some workloads: their images are observed, and nothing is promoted, moved or \
                 removed. This section may be in any file, so that one drop-in can be pushed to many hosts and removed \
                 again. The [hold] sections of all files apply."
            }
            Self::Reject => {
                "Versions that must never be promoted on this host, whether or not their image has arrived. One key for \
                 each workload, by its name. The [reject] sections of all files add up. A workload that this host does \
                 not have is ignored."
            }
        }
    }
}

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A duration such as `"10m"`.
    Duration(Least),
    /// A whole number up to this one.
    Count {
        /// The largest.
        max: usize,
    },
    /// `"85%"`
    Percentage,
    /// `true` or `false`
    Switch,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A repository without tag and digest.
    Repository,
    /// A list of them.
    Repositories,
    /// A pattern on names of containers.
    Pattern,
    /// A pattern on names of containers or workloads, or a list of them.
    Patterns,
    /// Any text that is not empty.
    Text,
    /// A program and its arguments.
    Command,
    /// The path of a unix socket, or its `unix://` address.
    Socket,
    /// The path of a file that ends in `.prom`.
    MetricsFile,
    /// A version, an image id or a repo digest, or a list of them.
    Rejections,
}

/// The shortest duration that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Least {
    /// One second.
    Second,
    /// One millisecond: zero would be a deadline that is always missed.
    Millisecond,
    /// Zero is valid.
    Zero,
}

/// How the value of a key is read.
pub(super) enum Read<T: 'static> {
    /// A single value.
    One(fn(&Input) -> Result<T, Fault>),
    /// A list: what can be read of it, and every fault.
    Many(fn(&Input, &mut Vec<Fault>) -> Option<T>),
}

/// A kind with its reader.
pub(super) struct Reader<T: 'static> {
    kind: Kind,
    pub(super) read: Read<T>,
}

/// A key whose value is read as a `T`.
pub(super) struct Key<T: 'static> {
    pub(super) name: &'static str,
    sections: &'static [Section],
    pub(super) reader: Reader<T>,
    /// Its default, where it has one, and an example.
    value: (Option<&'static str>, &'static str),
    words: &'static str,
}

impl<T> Key<T> {
    pub(super) const fn row(&self) -> Row {
        Row {
            name: self.name,
            sections: self.sections,
            kind: self.reader.kind,
            default: self.value.0,
            example: self.value.1,
            words: self.words,
        }
    }
}

/// A key, as it is explained.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The key. In `[reject]` any name of a workload is one; this is an example.
    pub name: &'static str,
    /// Where it may be set.
    pub sections: &'static [Section],
    /// What its value is.
    pub kind: Kind,
    /// The value where it is not set, as TOML; none where there is no such value, and `words` say
    /// what holds then.
    pub default: Option<&'static str>,
    /// A value, as TOML.
    pub example: &'static str,
    /// What it is for.
    pub words: &'static str,
}

impl Row {
    /// The keys that may be set in a section.
    pub fn of(section: Section) -> impl Iterator<Item = &'static Self> {
        TABLE
            .iter()
            .filter(move |row| row.sections.contains(&section))
    }
}

/// Read as a single value.
const fn one<T>(kind: Kind, read: fn(&Input) -> Result<T, Fault>) -> Reader<T> {
    let read = Read::One(read);
    Reader { kind, read }
}

/// Read as a list.
const fn many<T>(kind: Kind, read: fn(&Input, &mut Vec<Fault>) -> Option<T>) -> Reader<T> {
    let read = Read::Many(read);
    Reader { kind, read }
}

const fn duration(least: Least) -> Reader<u64> {
    one(Kind::Duration(least), value::duration)
}
const SWITCH: Reader<bool> = one(Kind::Switch, value::switch);
const TEXT: Reader<String> = one(Kind::Text, value::plain_text);
const COMMAND: Reader<Vec<String>> = many(Kind::Command, value::command);

/// The default, which is the example as well.
const fn default(value: &'static str) -> (Option<&'static str>, &'static str) {
    (Some(value), value)
}

/// An example of what has no default.
const fn example(value: &'static str) -> (Option<&'static str>, &'static str) {
    (None, value)
}

const SHARED: &[Section] = &[Section::Defaults, Section::Workload];
const ENGINE: &[Section] = &[Section::Engine];
const METRICS: &[Section] = &[Section::Metrics];
const HOOKS: &[Section] = &[Section::Hooks];
const WORKLOAD: &[Section] = &[Section::Workload];
const HOLD_SECTION: &[Section] = &[Section::Hold];
const REJECT: &[Section] = &[Section::Reject];

pub(super) const SOAK: Key<u64> = Key {
    name: "soak",
    sections: SHARED,
    reader: duration(Least::Second),
    value: default("\"10m\""),
    words: "How long a container must stay up, without a restart, before its image is proven and becomes repository:latest. \
            Ten minutes is longer than a crash loop or a slow start takes to show. At least one second.",
};
pub(super) const FALLBACKS: Key<usize> = Key {
    name: "fallbacks",
    sections: SHARED,
    reader: one(
        Kind::Count {
            max: value::MOST_FALLBACKS,
        },
        value::count,
    ),
    value: default("1"),
    words: "How many proven versions are kept on the disk behind latest, to fall back to. With 1, that is the version before \
            the last upgrade. 0 is valid and leaves nothing to roll back to. At most 100.",
};
pub(super) const GRACE: Key<u64> = Key {
    name: "grace",
    sections: SHARED,
    reader: duration(Least::Zero),
    value: default("\"24h\""),
    words: "How long an unproven image may stay on the disk without a container before it is removed. A day is longer than \
            any orchestrator takes from the pull to the start, and failed upgrades still do not pile up.",
};
pub(super) const DRY_RUNS: Key<bool> = Key {
    name: "dry_runs",
    sections: SHARED,
    reader: SWITCH,
    value: default("true"),
    words: "Whether the orchestrator idles its container while the local one runs the same version, as on SONiC. Set it to \
            false for any other orchestrator, and always where tags move (\"stable\", \"main\"): otherwise the next build \
            under the same tag is taken for an idle container and never becomes latest.",
};
pub(super) const LOCAL_FALLBACK: Key<LocalFallback> = Key {
    name: "local_fallback",
    sections: SHARED,
    reader: one(Kind::Choice(&["drop", "keep"]), value::local_fallback),
    value: default("\"drop\""),
    words: "What happens to a fallback that the orchestrator never rolled out, once it deploys a version of its own. \"drop\" \
            removes it, since the orchestrator does not know it. \"keep\" is for hosts whose local versions do not come from \
            the registry.",
};
pub(super) const PRESSURE: Key<u8> = Key {
    name: "pressure",
    sections: SHARED,
    reader: one(Kind::Percentage, value::percentage),
    value: example("\"85%\""),
    words: "If the filesystem of the engine's data is fuller than this, unproven images that are idle are removed before their \
            grace is over: longest idle first, as many as necessary, and none that was not idle in the pass before. By \
            default disk usage is not measured. In a workload, \"100%\" overrides [defaults].",
};
pub(super) const PIN: Key<bool> = Key {
    name: "pin",
    sections: SHARED,
    reader: SWITCH,
    value: default("false"),
    words: "Whether to create a container for each fallback, which is never started and keeps the garbage collector of an \
            orchestrator from removing the image (unless it uses force). docs/pinning.md says what it withstands.",
};
pub(super) const SOCKET: Key<PathBuf> = Key {
    name: "socket",
    sections: ENGINE,
    reader: one(Kind::Socket, value::socket),
    value: default("\"/run/docker.sock\""),
    words: "The engine's unix socket. Podman's is /run/podman/podman.sock. unix:///run/docker.sock is accepted, too.",
};
pub(super) const TIMEOUT: Key<u64> = Key {
    name: "timeout",
    sections: ENGINE,
    reader: duration(Least::Millisecond),
    value: default("\"20s\""),
    words: "How long one call to the engine may take. A busy disk slows the engine down for seconds; a call that takes longer \
            than this has hung, and the next pass tries again.",
};
pub(super) const TEXTFILE: Key<PathBuf> = Key {
    name: "textfile",
    sections: METRICS,
    reader: one(Kind::MetricsFile, value::metrics_file),
    value: example("\"/run/tagkeeper/tagkeeper.prom\""),
    words: "The file, written at the end of each pass. /run/tagkeeper belongs to the service and is a tmpfs, which spares the \
            flash. By default no metrics are written.",
};
/// The hooks that ship take the path of a file.
const WEBHOOK: &str = "[\"/usr/lib/tagkeeper/hooks/webhook\", \"/etc/tagkeeper/webhook.conf\"]";
pub(super) const PROMOTED: Key<Vec<String>> = Key {
    name: "promoted",
    sections: HOOKS,
    reader: COMMAND,
    value: example(WEBHOOK),
    words: "Run after an image became latest. The webhook that ships posts the event; its argument is a file for curl, with \
            a line such as: url = \"https://example.net/hook\".",
};
pub(super) const FAILED: Key<Vec<String>> = Key {
    name: "failed",
    sections: HOOKS,
    reader: COMMAND,
    value: example(WEBHOOK),
    words: "Run after an upgrade failed.",
};
pub(super) const ROLLED_BACK: Key<Vec<String>> = Key {
    name: "rolled_back",
    sections: HOOKS,
    reader: COMMAND,
    value: example(WEBHOOK),
    words: "Run after an operator rolled back.",
};
pub(super) const HOOK_TIMEOUT: Key<u64> = Key {
    name: "timeout",
    sections: HOOKS,
    reader: duration(Least::Millisecond),
    value: default("\"10s\""),
    words: "How long each hook may take before it is killed. All hooks of a pass share one minute.",
};
pub(super) const SPREAD: Key<u64> = Key {
    name: "spread",
    sections: HOOKS,
    reader: duration(Least::Zero),
    value: default("\"10s\""),
    words: "The longest random wait of a pass before it runs hooks, so that the hosts of a fleet do not all post in one second. \
            At most one minute. \"tagkeeper rollback\" does not wait.",
};
pub(super) const REPOSITORY: Key<Repository> = Key {
    name: "repository",
    sections: WORKLOAD,
    reader: one(Kind::Repository, value::repository),
    value: example("\"docker-sonic-telemetry\""),
    words: "The local repository, whose latest the local service runs. Written as the engine prints it, without a tag \
            (\"localhost/x\" on Podman). The only key that is required.",
};
pub(super) const REMOTES: Key<Vec<Found<Repository>>> = Key {
    name: "remotes",
    sections: WORKLOAD,
    reader: many(Kind::Repositories, value::repositories),
    value: (Some("[]"), "[\"registry.example/docker-sonic-telemetry\"]"),
    words: "The repositories from which the orchestrator pulls the same service. By default there are none.",
};
pub(super) const CONTAINER: Key<Vec<Found<Pattern>>> = Key {
    name: "container",
    sections: WORKLOAD,
    reader: many(Kind::Patterns, value::containers),
    value: example("\"telemetry\""),
    words: "The name of the container that the local service runs; by default the name of the workload. Where there are \
            several, a list, and patterns (\"*\", \"?\", \"[...]\"): [\"lldp\", \"lldp[0-9]*\"].",
};
pub(super) const ORCHESTRATED: Key<Pattern> = Key {
    name: "orchestrated",
    sections: WORKLOAD,
    reader: one(Kind::Pattern, value::pattern),
    value: example("\"k8s_telemetry_*\""),
    words: "A pattern on the names of the orchestrator's containers (\"*\", \"?\", \"[...]\"): only those count. By default \
            every other container that runs an image of the workload counts.",
};
pub(super) const READY: Key<Vec<String>> = Key {
    name: "ready",
    sections: WORKLOAD,
    reader: COMMAND,
    value: example("[\"/usr/lib/tagkeeper/ready/sonic\"]"),
    words: "A command that says whether the serving container does its work: run on the host, without a shell, once in each \
            pass of a soak. Exit 0 means ready; anything else restarts the soak. TAGKEEPER_WORKLOAD, _CONTAINER_ID, \
            _CONTAINER_NAME, _IMAGE and _VERSION are in its environment. By default there is none, and a container that runs \
            counts as ready.",
};
pub(super) const READY_TIMEOUT: Key<u64> = Key {
    name: "ready_timeout",
    sections: WORKLOAD,
    reader: duration(Least::Millisecond),
    value: default("\"10s\""),
    words: "How long that command may take. All ready commands of a pass run at the same time and share one minute.",
};
pub(super) const VERSION_LABEL: Key<String> = Key {
    name: "version_label",
    sections: WORKLOAD,
    reader: TEXT,
    value: example("\"org.opencontainers.image.version\""),
    words: "The image label that holds the version, for images that have no tag of their own, as kubelet leaves them when it \
            pulls by digest. By default such an image is called by the first digits of its digest.",
};
pub(super) const HOLD: Key<bool> = Key {
    name: "hold",
    sections: WORKLOAD,
    reader: SWITCH,
    value: default("false"),
    words: "Observe this workload and change nothing: \"tagkeeper plan\" shows what would be done.",
};
pub(super) const HOLD_WORKLOADS: Key<Vec<Found<Pattern>>> = Key {
    name: "workloads",
    sections: HOLD_SECTION,
    reader: many(Kind::Patterns, value::workloads),
    value: default("[\"*\"]"),
    words: "Patterns on the names of the workloads to hold. By default all.",
};
pub(super) const HOLD_FOR: Key<u64> = Key {
    name: "for",
    sections: HOLD_SECTION,
    reader: duration(Least::Millisecond),
    value: example("\"2h\""),
    words: "For how long, in host uptime since the pass that first saw this section. By default until the section is removed.",
};
pub(super) const HOLD_REASON: Key<String> = Key {
    name: "reason",
    sections: HOLD_SECTION,
    reader: TEXT,
    value: example("\"incident 4711\""),
    words: "Why, for people: \"tagkeeper status\" shows it.",
};
pub(super) const REJECTED: Key<Vec<Rejection>> = Key {
    name: "telemetry",
    sections: REJECT,
    reader: many(Kind::Rejections, value::rejections),
    value: example("[\"v3\"]"),
    words: "Versions, image IDs (of which the first twelve digits will do) or repo digests (\"repository@sha256:...\").",
};

/// Every key, in the order in which they are explained.
pub const TABLE: [Row; 27] = [
    SOAK.row(),
    FALLBACKS.row(),
    GRACE.row(),
    DRY_RUNS.row(),
    LOCAL_FALLBACK.row(),
    PRESSURE.row(),
    PIN.row(),
    SOCKET.row(),
    TIMEOUT.row(),
    TEXTFILE.row(),
    PROMOTED.row(),
    FAILED.row(),
    ROLLED_BACK.row(),
    HOOK_TIMEOUT.row(),
    SPREAD.row(),
    REPOSITORY.row(),
    REMOTES.row(),
    CONTAINER.row(),
    ORCHESTRATED.row(),
    READY.row(),
    READY_TIMEOUT.row(),
    VERSION_LABEL.row(),
    HOLD.row(),
    HOLD_WORKLOADS.row(),
    HOLD_FOR.row(),
    HOLD_REASON.row(),
    REJECTED.row(),
];
