//! Stage 1, ownership (design 4.1): what was observed, sorted by workload once, so that every later
//! stage looks it up.
//!
//! Identity first: an image belongs by its names, or because the memory knows its id; a container
//! belongs because its image does. A container with a local name is that workload's local
//! container, or a foreign one in its place.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use hashbrown::HashMap;

use super::disk::Recalled;
use crate::Gather;
use crate::model::{
    Container, ContainerState, Image, ImageId, LATEST, Memory, Observation, Policy, Reference,
    Repository, Workload, WorkloadName, WorkloadState,
};

/// What was observed, by workload.
pub(super) struct Inventory<'a> {
    pub(super) observed: &'a Observation,
    index: ImageIndex<'a>,
    users: Users<'a>,
    workloads: BTreeMap<&'a WorkloadName, WorkloadInventory<'a>>,
    /// The pins that this state made, by the workloads that they are for. No other stage counts
    /// them as containers.
    pub(super) pins: BTreeMap<&'a str, Vec<&'a Container>>,
}

/// What belongs to one workload.
pub(super) struct WorkloadInventory<'a> {
    /// Its images on the disk, in the order of the engine's list.
    pub(super) images: Vec<OwnedImage<'a>>,
    /// The names of those that are in its repositories, one image's after the other's.
    refs: Vec<OwnedRef<'a>>,
    /// What `repository:latest` names.
    pub(super) latest: Option<&'a Image>,
    /// The local containers, in any state.
    pub(super) locals: Vec<&'a Container>,
    /// Containers with a local name and an image that is not the workload's.
    pub(super) foreign: Vec<&'a Container>,
    /// The orchestrated containers that the policy wants looked at, in any state.
    pub(super) orchestrated: Vec<&'a Container>,
    /// A container of the workload that the engine listed without a name: whether it is a local one
    /// cannot be told.
    pub(super) nameless: Option<&'a Container>,
}

/// An image of a workload.
pub(super) struct OwnedImage<'a> {
    pub(super) image: &'a Image,
    /// Its place in the observation's list.
    pub(super) place: usize,
    refs: Range<usize>,
}

/// A name in one of the workload's own repositories.
#[derive(Clone, Copy)]
pub(super) struct OwnedRef<'a> {
    pub(super) reference: &'a Reference,
    /// Which of [`Workload::repositories`] it is in: the first is the local one.
    pub(super) repository: usize,
}

impl OwnedRef<'_> {
    pub(super) fn is_remote(self) -> bool {
        self.repository > 0
    }
}

impl<'a> WorkloadInventory<'a> {
    fn new() -> Self {
        Self {
            images: Vec::new(),
            refs: Vec::new(),
            latest: None,
            locals: Vec::new(),
            foreign: Vec::new(),
            orchestrated: Vec::new(),
            nameless: None,
        }
    }

    /// The image at a place of the observation's list, if it is the workload's.
    pub(super) fn at(&self, place: usize) -> Option<&OwnedImage<'a>> {
        let found = self.images.binary_search_by_key(&place, |own| own.place);
        self.images.get(found.ok()?)
    }

    /// The names of an image in the workload's own repositories.
    pub(super) fn refs(&self, own: &OwnedImage<'a>) -> &[OwnedRef<'a>] {
        self.refs.get(own.refs.clone()).unwrap_or_default()
    }

    /// Whether an image has a name of the workload, or no name at all. Others are known by their id
    /// alone, and are somebody else's by now.
    pub(super) fn is_recorded(&self, own: &OwnedImage<'a>) -> bool {
        own.image.is_nameless() || !self.refs(own).is_empty()
    }

    /// What a tag in one of the workload's own repositories means.
    pub(super) fn named(&self, tag: &Reference) -> Option<&'a Image> {
        let has_tag = |own: &&OwnedImage<'_>| self.refs(own).iter().any(|r| r.reference == tag);
        self.images.iter().rfind(has_tag).map(|own| own.image)
    }

    /// The tags that the remotes have on the disk.
    pub(super) fn remote_tags(&self) -> impl Iterator<Item = &'a str> {
        let remote = self.refs.iter().filter(|r| r.is_remote());
        remote.filter_map(|r| r.reference.tag())
    }

    /// Whether a container is local to the workload.
    pub(super) fn is_local(&self, container: &Container) -> bool {
        self.locals.iter().any(|local| local.id == container.id)
    }

    /// Local and orchestrated containers, in any state.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Container> {
        self.locals.iter().chain(&self.orchestrated).copied()
    }

    /// Takes an image in, unless it came in by another name before.
    fn take(&mut self, place: usize, image: &'a Image) -> &mut OwnedImage<'a> {
        let end = self.refs.len();
        if self.images.last().is_none_or(|last| last.place != place) {
            self.images.push(OwnedImage {
                image,
                place,
                refs: end..end,
            });
        }
        let last = self.images.len() - 1;
        &mut self.images[last]
    }

    fn take_by_name(&mut self, place: usize, image: &'a Image, name: OwnedRef<'a>) {
        self.take(place, image).refs.end += 1;
        self.refs.push(name);
        if !name.is_remote() && name.reference.tag() == Some(LATEST) {
            self.latest = Some(image);
        }
    }
}

impl<'a> Inventory<'a> {
    /// What belongs to a workload of the policy.
    pub(super) fn of(&self, name: &WorkloadName) -> Option<&WorkloadInventory<'a>> {
        self.workloads.get(name)
    }

    /// An image on the disk.
    pub(super) fn image(&self, id: &ImageId) -> Option<&'a Image> {
        self.observed.images.get(self.index.place(id)?)
    }

    /// Where an image on the disk stands in the observation's list.
    pub(super) fn place(&self, id: &ImageId) -> Option<usize> {
        self.index.place(id)
    }

    /// The containers, in any state, that use the image at a place; idle pins aside.
    pub(super) fn users(&self, place: usize) -> impl Iterator<Item = &'a Container> {
        self.users.of(place)
    }

    /// The containers of a name, whoever's they are.
    pub(super) fn container_named(&self, name: &str) -> Option<&'a Container> {
        let mut containers = self.observed.containers.iter();
        containers.find(|c| c.names.iter().any(|n| n == name))
    }
}

/// The images by their ids.
struct ImageIndex<'a>(HashMap<&'a ImageId, usize>);

impl<'a> ImageIndex<'a> {
    fn new(observed: &'a Observation) -> Self {
        Self(
            (0..)
                .zip(&observed.images)
                .map(|(place, image)| (&image.id, place))
                .collect(),
        )
    }

    fn place(&self, id: &ImageId) -> Option<usize> {
        self.0.get(id).copied()
    }
}

/// The containers by the image that they use.
struct Users<'a> {
    containers: &'a [Container],
    /// The first container of each image, by its place.
    first: Vec<Option<usize>>,
    /// The next one of the same image, for each container.
    next: Vec<Option<usize>>,
}

impl<'a> Users<'a> {
    fn new(observed: &'a Observation, used: &[Option<usize>]) -> Self {
        let mut first = vec![None; observed.images.len()];
        let mut next = vec![None; observed.containers.len()];
        for (container, place) in used.iter().enumerate().rev() {
            if let Some(place) = *place {
                next[container] = first[place].replace(container);
            }
        }
        Self {
            containers: &observed.containers,
            first,
            next,
        }
    }

    fn of(&self, place: usize) -> impl Iterator<Item = &'a Container> {
        let first = self.first.get(place).copied().flatten();
        let all = core::iter::successors(first, |at| self.next[*at]);
        all.map(|at| &self.containers[at])
    }
}

/// Sorts what was observed by workload.
pub(super) fn assign<'a>(
    policy: &'a Policy,
    recalled: &'a Recalled,
    observed: &'a Observation,
) -> Inventory<'a> {
    let index = ImageIndex::new(observed);
    let mut pins: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    let mut used: Vec<Option<usize>> = Vec::with_capacity(observed.containers.len());
    for container in &observed.containers {
        let place = container.image.as_ref().and_then(|id| index.place(id));
        let pinned_for = container.pinned_for(&recalled.instance);
        let is_idle_pin = pinned_for.is_some() && container.state.is_stopped();
        if let Some(workload) = pinned_for {
            pins.entry(workload).or_default().push(container);
        }
        used.push(place.filter(|_| !is_idle_pin));
    }
    let repositories = repositories(policy);
    let mut inventories: Vec<_> = policy
        .workloads
        .keys()
        .map(|_| WorkloadInventory::new())
        .collect();
    let remembered = Remembered::of(policy, recalled);
    let owners = assign_images(
        policy,
        recalled,
        observed,
        (&repositories, &remembered),
        &mut inventories,
    );
    let containers = Containers {
        remembered: &remembered,
        workloads: policy.workloads.values().collect(),
        repositories: &repositories,
        index: &index,
        owners: &owners,
    };
    for container in &observed.containers {
        if container.pinned_for(&recalled.instance).is_none() {
            containers.assign(container, &mut inventories);
        }
    }
    Inventory {
        observed,
        users: Users::new(observed, &used),
        index,
        workloads: policy.workloads.keys().zip(inventories).gather(),
        pins,
    }
}

/// Whose a repository is: the workload's number in the policy, and the repository's among the
/// workload's own.
type Repositories<'a> = HashMap<&'a Repository, (usize, usize)>;

fn repositories(policy: &Policy) -> Repositories<'_> {
    let workloads = policy.workloads.values().enumerate();
    let numbered = workloads.flat_map(|(workload, w)| {
        let own = w.repositories().enumerate();
        own.map(move |(repository, r)| (r, (workload, repository)))
    });
    numbered.collect()
}

/// The workloads that an image belongs to, by their numbers in the policy.
#[derive(Clone, Default)]
enum Owners {
    #[default]
    None,
    One(usize),
    Several(Vec<usize>),
}

impl Owners {
    fn add(&mut self, workload: usize) {
        match self {
            Self::None => *self = Self::One(workload),
            Self::One(one) if *one != workload => *self = Self::Several(vec![*one, workload]),
            Self::Several(several) if !several.contains(&workload) => several.push(workload),
            Self::One(_) | Self::Several(_) => {}
        }
    }

    fn all(&self) -> &[usize] {
        match self {
            Self::None => &[],
            Self::One(one) => core::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// Whose an image is by its id alone, whether it is on the disk or not.
#[derive(Default)]
struct Remembered<'a> {
    claimed: HashMap<&'a ImageId, Vec<usize>>,
    /// What is rejected: of a workload, unless its names say that it is another's.
    rejected: HashMap<&'a ImageId, Vec<usize>>,
}

impl<'a> Remembered<'a> {
    fn of(policy: &Policy, recalled: &'a Recalled) -> Self {
        let mut remembered = Self::default();
        for (workload, name) in policy.workloads.keys().enumerate() {
            let known = recalled.workloads.get(name);
            let memory = known.iter().map(|known| &known.memory);
            for id in memory.flat_map(Memory::claimed) {
                remembered.claimed.entry(id).or_default().push(workload);
            }
            let rejected = recalled.rejected.get(name);
            for id in rejected.into_iter().flat_map(BTreeMap::keys) {
                remembered.rejected.entry(id).or_default().push(workload);
            }
        }
        remembered
    }

    fn claiming(&self, id: &ImageId) -> &[usize] {
        self.claimed.get(id).map_or(&[], Vec::as_slice)
    }

    fn rejecting(&self, id: &ImageId) -> &[usize] {
        self.rejected.get(id).map_or(&[], Vec::as_slice)
    }
}

fn assign_images<'a>(
    policy: &Policy,
    recalled: &Recalled,
    observed: &'a Observation,
    (repositories, remembered): (&Repositories<'_>, &Remembered<'_>),
    inventories: &mut [WorkloadInventory<'a>],
) -> Vec<Owners> {
    let known: Vec<Option<&WorkloadState>> = policy
        .workloads
        .keys()
        .map(|name| recalled.workloads.get(name))
        .collect();
    let mut owners = vec![Owners::None; observed.images.len()];
    for ((place, image), owner) in observed.images.iter().enumerate().zip(&mut owners) {
        for reference in &image.references {
            if let Some(&(workload, repository)) = repositories.get(reference.repository()) {
                let name = OwnedRef {
                    reference,
                    repository,
                };
                inventories[workload].take_by_name(place, image, name);
                owner.add(workload);
            }
        }
        let mut claim = |workload: usize| {
            inventories[workload].take(place, image);
            owner.add(workload);
        };
        let claiming = remembered.claiming(&image.id);
        claiming.iter().copied().for_each(&mut claim);
        if image.is_nameless() {
            // The workload's by the name that it had: it has its grace, and is removed after that.
            let saw = |known: &&WorkloadState| known.memory.images.contains_key(&image.id);
            let seen_by = (0..)
                .zip(&known)
                .filter(|(_, known)| known.as_ref().is_some_and(saw));
            seen_by.map(|(workload, _)| workload).for_each(&mut claim);
        }
        if owner.all().is_empty() {
            for workload in remembered.rejecting(&image.id) {
                inventories[*workload].take(place, image);
                owner.add(*workload);
            }
        }
    }
    owners
}

/// What it takes to tell whose a container is.
struct Containers<'a, 'i> {
    workloads: Vec<&'a Workload>,
    repositories: &'i Repositories<'a>,
    remembered: &'i Remembered<'a>,
    index: &'i ImageIndex<'a>,
    owners: &'i [Owners],
}

impl Containers<'_, '_> {
    fn assign<'a>(&self, container: &'a Container, inventories: &mut [WorkloadInventory<'a>]) {
        // A container without an image belongs to no workload and uses nothing.
        let Some(image) = &container.image else {
            return;
        };
        let place = self.index.place(image);
        let owners = place.map_or(&[][..], |place| self.owners[place].all());
        let by_reference = || {
            let repository = container.reference.as_ref().map(Reference::repository)?;
            self.repositories
                .get(repository)
                .map(|(workload, _)| *workload)
        };
        if let Some(workload) = self.local_name_of(container) {
            let is_own = match place {
                Some(_) => owners.contains(&workload),
                None => by_reference() == Some(workload) || self.remembers(workload, image),
            };
            let inventory = &mut inventories[workload];
            if is_own {
                inventory.locals.push(container);
            } else {
                inventory.foreign.push(container);
            }
            return;
        }
        let workload = match (place, owners) {
            (None, _) => by_reference(),
            (_, []) => None,
            (_, [only]) => Some(*only),
            (_, several) => by_reference()
                .filter(|one| several.contains(one))
                .or_else(|| self.only_pattern(container, several)),
        };
        if container.names.is_empty() {
            let is_leaving = matches!(
                container.state,
                ContainerState::Dead | ContainerState::Removing
            );
            // Whose it is may be told by its name alone.
            let may_own = workload.as_ref().map_or(owners, core::slice::from_ref);
            for workload in may_own.iter().filter(|_| !is_leaving) {
                inventories[*workload].nameless.get_or_insert(container);
            }
        } else if let Some(workload) = workload.filter(|w| self.is_looked_at(*w, container)) {
            inventories[workload].orchestrated.push(container);
        }
    }

    /// Whether a workload knows an image that has left the disk by its id.
    fn remembers(&self, workload: usize, image: &ImageId) -> bool {
        let remembered = self.remembered;
        let claiming = remembered.claiming(image).iter();
        let mut known = claiming.chain(remembered.rejecting(image));
        known.any(|known| *known == workload)
    }

    /// The workload that a container is local to, by its name. A one-off container of Compose is
    /// the service of none, though a pattern may fit its name.
    fn local_name_of(&self, container: &Container) -> Option<usize> {
        if container.one_off {
            return None;
        }
        let is_local = |workload: &&Workload| {
            container
                .names
                .iter()
                .any(|name| workload.is_local_name(name))
        };
        self.workloads.iter().position(is_local)
    }

    fn is_looked_at(&self, workload: usize, container: &Container) -> bool {
        let pattern = self.workloads[workload].orchestrated.as_ref();
        pattern.is_none_or(|p| container.names.iter().any(|name| p.matches(name)))
    }

    /// Of several workloads that share the image, the one whose pattern alone matches.
    fn only_pattern(&self, container: &Container, several: &[usize]) -> Option<usize> {
        let has_pattern = |workload: &usize| self.workloads[*workload].orchestrated.is_some();
        let mut matching = several
            .iter()
            .copied()
            .filter(|workload| has_pattern(workload) && self.is_looked_at(*workload, container));
        let first = matching.next()?;
        matching.next().is_none().then_some(first)
    }
}
