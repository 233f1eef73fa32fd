//! The names of the model: two workloads, four versions, and ids that are numbers. Made once; only cloned afterwards.

use tagkeeper::image::{ImageId, LATEST, Reference, Repository};
use tagkeeper::policy::WorkloadName;

/// Workloads of the model.
pub(crate) const WORKLOADS: usize = 2;
/// Versions of each workload.
pub(crate) const VERSIONS: usize = 4;
/// Remote repositories of each workload; the second is what a policy edit adds.
pub(crate) const REMOTES: usize = 2;

/// Every name that the model's world knows.
pub(crate) struct Names {
    /// The workloads, as the policy names them; also the names of their local containers.
    pub(crate) workloads: [WorkloadName; WORKLOADS],
    /// The local repositories.
    pub(crate) local: [Repository; WORKLOADS],
    /// The remotes.
    pub(crate) remotes: [[Repository; REMOTES]; WORKLOADS],
    /// `repository:latest`.
    pub(crate) latest: [Reference; WORKLOADS],
    /// A repository that no policy names.
    pub(crate) foreign: Repository,
}

impl Names {
    pub(crate) fn new() -> Self {
        let repository = |text: &str| Repository::parse(text).expect("a good name");
        let local = [repository("net-a"), repository("net-b")];
        let remotes = [
            [
                repository("registry.example/net-a"),
                repository("mirror.example:5000/x/net-a"),
            ],
            [
                repository("registry.example/net-b"),
                repository("mirror.example:5000/x/net-b"),
            ],
        ];
        Self {
            workloads: [WorkloadName::new("a"), WorkloadName::new("b")],
            latest: [local[0].latest(), local[1].latest()],
            local,
            remotes,
            foreign: repository("other/thing"),
        }
    }

    /// The workload that a repository belongs to, whatever the policy says at the moment.
    pub(crate) fn owner(&self, repository: &Repository) -> Option<usize> {
        (0..WORKLOADS)
            .find(|&w| self.local[w] == *repository || self.remotes[w].contains(repository))
    }
}

/// `v1` to `v4`.
pub(crate) fn tag_of(version: usize) -> String {
    format!("v{}", version + 1)
}

/// The tag `latest` or a version.
pub(crate) fn is_version(tag: &str) -> bool {
    tag != LATEST
}

/// The image with this number.
pub(crate) fn image_id(number: u64) -> ImageId {
    ImageId::new(format!("sha256:{number:012x}{:052x}", 0))
}

/// The digest that an image has in a repository that it was pulled from.
pub(crate) fn digest_of(repository: &Repository, number: u64) -> Reference {
    Reference::parse(&format!("{repository}@sha256:{:064x}", 0xd00_0000 + number))
        .expect("a good digest")
}
