//! Who belongs (design 4.1): the world, sorted by workload once, so that every later step is a look-up.
//!
//! Identity first: an image belongs by its names or because the state knows its id; a container belongs because its
//! image does, and only then by the reference it was created from. An image is looked up by its id once, and known by its
//! place in the world's list from there on.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::image::{ImageId, LATEST, Reference, Repository};
use crate::policy::{Policy, Workload, WorkloadName};
use crate::state::{State, WorkloadState};
use crate::world::{Container, Image, World};

use super::lookup::{Table, Users};
use super::pin;

/// The world, sorted by workload.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    places: Table<&'a ImageId, usize>,
    users: Users<'a>,
    casts: BTreeMap<&'a WorkloadName, Cast<'a>>,
    /// The pins by the workloads that they are for. Nothing else here knows of them.
    pins: BTreeMap<&'a str, Vec<&'a Container>>,
}

/// What belongs to one workload.
#[derive(Default)]
pub(crate) struct Cast<'a> {
    /// Its images on the disk.
    pub(crate) images: Vec<Member<'a>>,
    /// The names of those that are in its own repositories, one image's after the other's.
    names: Vec<OwnName<'a>>,
    /// What `repository:latest` names.
    pub(crate) latest: Option<&'a Image>,
    /// The local container, in any state, whatever image it runs.
    pub(crate) local: Option<&'a Container>,
    /// The orchestrated containers that the policy wants looked at, in any state.
    pub(crate) orchestrated: Vec<&'a Container>,
}

/// An image of a workload.
pub(crate) struct Member<'a> {
    pub(crate) image: &'a Image,
    pub(crate) place: usize,
    names: Range<usize>,
}

/// A name in one of the workload's own repositories.
#[derive(Clone, Copy)]
pub(crate) struct OwnName<'a> {
    pub(crate) reference: &'a Reference,
    /// Which of [`Workload::repositories`] it is in: the first is the local one.
    pub(crate) repository: usize,
}

impl OwnName<'_> {
    /// Whether it is in a remote repository.
    pub(crate) fn is_remote(self) -> bool {
        self.repository > 0
    }
}

impl<'a> Cast<'a> {
    /// The image at a place of the world's list, if it is the workload's.
    pub(crate) fn member(&self, place: usize) -> Option<&Member<'a>> {
        let found = self
            .images
            .binary_search_by_key(&place, |member| member.place);
        self.images.get(found.ok()?)
    }

    /// The names of a member in the workload's own repositories.
    pub(crate) fn names(&self, member: &Member<'a>) -> &[OwnName<'a>] {
        self.names.get(member.names.clone()).unwrap_or_default()
    }

    /// Whether a member bears a name of the workload, or no name at all.
    pub(crate) fn is_seen(&self, member: &Member<'a>) -> bool {
        member.image.is_nameless() || !self.names(member).is_empty()
    }

    /// What a tag in one of the workload's own repositories means.
    pub(crate) fn named(&self, tag: &Reference) -> Option<&'a Image> {
        let bears = |member: &&Member<'_>| {
            let mut names = self.names(member).iter();
            names.any(|name| name.reference == tag)
        };
        self.images.iter().rfind(bears).map(|member| member.image)
    }

    /// The tags that the remotes have on the disk.
    pub(crate) fn remote_tags(&self) -> impl Iterator<Item = &'a str> {
        let remote = self.names.iter().filter(|name| name.is_remote());
        remote.filter_map(|name| name.reference.tag())
    }

    /// Takes an image in, unless it came in by its name before.
    fn take(&mut self, place: usize, image: &'a Image) -> &mut Member<'a> {
        let names_end = self.names.len();
        let is_new = self.images.last().is_none_or(|last| last.place != place);
        if is_new {
            self.images.push(Member {
                image,
                place,
                names: names_end..names_end,
            });
        }
        let last = self.images.len() - 1;
        &mut self.images[last]
    }

    fn take_by_name(&mut self, place: usize, image: &'a Image, name: OwnName<'a>) {
        self.take(place, image).names.end += 1;
        self.names.push(name);
        if !name.is_remote() && name.reference.tag() == Some(LATEST) {
            self.latest = Some(image);
        }
    }
}

impl<'a> Scene<'a> {
    pub(crate) fn new(policy: &'a Policy, state: &'a State, world: &'a World) -> Self {
        let mut places = Table::default();
        places.reserve(world.images.len());
        places.extend(
            (0..)
                .zip(&world.images)
                .map(|(place, image)| (&image.id, place)),
        );
        let mut pins: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
        let used = world.containers.iter().map(|container| {
            if let Some(workload) = pin::pinned_for(container) {
                pins.entry(workload).or_default().push(container);
            }
            let uses = !pin::is_idle_pin(container);
            uses.then(|| places.get(&container.image).copied())?
        });
        let used: Vec<Option<usize>> = used.collect();

        let repositories = repositories(policy);
        let mut casts: Vec<Cast<'_>> = policy.workloads.keys().map(|_| Cast::default()).collect();
        let owners = assign_images(policy, state, world, &repositories, &mut casts);
        assign_containers(policy, world, &repositories, &owners, &used, &mut casts);
        Self {
            world,
            places,
            users: Users::new(world, &used),
            casts: policy.workloads.keys().zip(casts).collect(),
            pins,
        }
    }

    /// The pins of a workload.
    pub(crate) fn pins(&self, name: &WorkloadName) -> &[&'a Container] {
        self.pins.get(name.as_str()).map_or(&[], Vec::as_slice)
    }

    /// All pins by the workload that they are for, whether or not the policy names it.
    pub(crate) fn all_pins(&self) -> &BTreeMap<&'a str, Vec<&'a Container>> {
        &self.pins
    }

    /// What belongs to a workload of the policy.
    pub(crate) fn cast(&self, name: &WorkloadName) -> Option<&Cast<'a>> {
        self.casts.get(name)
    }

    /// Where an image on the disk stands in the world's list.
    pub(crate) fn place(&self, id: &ImageId) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// An image on the disk.
    pub(crate) fn image(&self, id: &ImageId) -> Option<&'a Image> {
        self.world.images.get(self.place(id)?)
    }

    /// How many workloads have the image as their `latest`.
    pub(crate) fn latest_names(&self, id: &ImageId) -> usize {
        self.casts
            .values()
            .filter(|cast| cast.latest.is_some_and(|latest| latest.id == *id))
            .count()
    }

    /// The containers, in any state, that use the image at a place; idle pins aside.
    pub(crate) fn users(&self, place: usize) -> impl Iterator<Item = &'a Container> {
        self.users.of(place)
    }
}

/// Whose an image is: the workloads by their number in the policy.
#[derive(Clone, Default)]
enum Owner {
    #[default]
    Nobody,
    One(usize),
    Several(Vec<usize>),
}

impl Owner {
    fn add(&mut self, workload: usize) {
        match self {
            Self::Nobody => *self = Self::One(workload),
            Self::One(one) if *one != workload => *self = Self::Several(vec![*one, workload]),
            Self::Several(several) if !several.contains(&workload) => several.push(workload),
            Self::One(_) | Self::Several(_) => {}
        }
    }
}

/// Whose a repository is: the workload's number in the policy, and the repository's among the workload's own.
type Repositories<'a> = Table<&'a Repository, (usize, usize)>;

fn repositories(policy: &Policy) -> Repositories<'_> {
    let workloads = policy.workloads.values().enumerate();
    let numbered = workloads.flat_map(|(workload, w)| {
        let own = w.repositories().enumerate();
        own.map(move |(repository, r)| (r, (workload, repository)))
    });
    numbered.collect()
}

fn assign_images<'a>(
    policy: &Policy,
    state: &State,
    world: &'a World,
    repositories: &Repositories<'_>,
    casts: &mut [Cast<'a>],
) -> Vec<Owner> {
    let known = policy
        .workloads
        .keys()
        .map(|name| state.workloads.get(name));
    let known: Vec<Option<&WorkloadState>> = known.collect();
    let mut remembered: Table<&ImageId, Vec<usize>> = Table::default();
    for (workload, known) in known.iter().enumerate() {
        for id in known.iter().copied().flat_map(remembered_ids) {
            remembered.entry(id).or_default().push(workload);
        }
    }
    let mut owners = vec![Owner::Nobody; world.images.len()];
    for ((place, image), owner) in world.images.iter().enumerate().zip(&mut owners) {
        for reference in &image.references {
            if let Some(&(workload, repository)) = repositories.get(reference.repository()) {
                let name = OwnName {
                    reference,
                    repository,
                };
                casts[workload].take_by_name(place, image, name);
                owner.add(workload);
            }
        }
        let mut claim = |workload: usize| {
            casts[workload].take(place, image);
            owner.add(workload);
        };
        remembered
            .get(&image.id)
            .into_iter()
            .flatten()
            .copied()
            .for_each(&mut claim);
        if image.is_nameless() {
            // The workload's by the name that it had: it has its grace, and does not lie there for ever.
            let saw = |known: &WorkloadState| known.images.contains_key(&image.id);
            let seen_by = (0..)
                .zip(&known)
                .filter(|(_, known)| known.is_some_and(saw));
            seen_by.map(|(workload, _)| workload).for_each(&mut claim);
        }
    }
    owners
}

/// The images that the state knows by their ids, whatever their names (design 4.1).
fn remembered_ids(known: &WorkloadState) -> impl Iterator<Item = &ImageId> {
    claimed_ids(known)
        .chain(&known.retired)
        .chain(known.rejected.keys())
}

/// The images that a workload wants kept by their ids: the lineage, the pending upgrade, what stands in for a lineage.
pub(crate) fn claimed_ids(known: &WorkloadState) -> impl Iterator<Item = &ImageId> {
    let pending = known.pending.iter();
    let of_pending =
        pending.flat_map(|p| std::iter::once(&p.image).chain(p.stand_in.iter().map(|s| &s.image)));
    known
        .lineage
        .iter()
        .map(|proven| &proven.image)
        .chain(of_pending)
}

fn assign_containers<'a>(
    policy: &Policy,
    world: &'a World,
    repositories: &Repositories<'_>,
    owners: &[Owner],
    used: &[Option<usize>],
    casts: &mut [Cast<'a>],
) {
    let workloads: Vec<&Workload> = policy.workloads.values().collect();
    let numbered = (0..).zip(&workloads);
    let locals: Table<&str, usize> = numbered.map(|(n, w)| (w.container.as_str(), n)).collect();
    let containers = world.containers.iter().zip(used);
    for (container, place) in containers.filter(|(c, _)| pin::pinned_for(c).is_none()) {
        let names = container.names.iter();
        if let Some(&workload) = names.clone().find_map(|name| locals.get(name.as_str())) {
            casts[workload].local = Some(container);
            continue;
        }
        let by_reference = || {
            let repository = container.reference.as_ref().map(Reference::repository);
            let (workload, _) = repositories.get(repository?)?;
            Some(*workload)
        };
        let workload = match place.map(|place| &owners[place]) {
            None | Some(Owner::Nobody) => by_reference(),
            Some(Owner::One(only)) => Some(*only),
            Some(Owner::Several(several)) => by_reference().filter(|one| several.contains(one)),
        };
        let Some(workload) = workload else { continue };
        let glob = workloads[workload].orchestrated.as_ref();
        if glob.is_none_or(|glob| names.clone().any(|name| glob.matches(name))) {
            casts[workload].orchestrated.push(container);
        }
    }
}
