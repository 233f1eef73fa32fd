//! Who belongs (design 4.1): the world, sorted by workload once, so that every later step is a look-up.
//!
//! Identity first: an image belongs by its names or because the state knows its id; a container belongs because its
//! image does, and only then by the reference it was created from.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use crate::image::{ImageId, LATEST, Reference, Repository};
use crate::policy::{Policy, Workload, WorkloadName};
use crate::state::{State, WorkloadState};
use crate::world::{Container, Image, World};

/// The world, sorted by workload.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    images: ById<'a, &'a Image>,
    users: ById<'a, Vec<&'a Container>>,
    casts: HashMap<&'a WorkloadName, Cast<'a>>,
}

/// What belongs to one workload.
#[derive(Default)]
pub(crate) struct Cast<'a> {
    /// Its images on the disk.
    pub(crate) images: Vec<&'a Image>,
    /// The same by id.
    pub(crate) by_id: ById<'a, &'a Image>,
    /// What each of its tags means. Only tags in the workload's own repositories.
    pub(crate) named: HashMap<&'a Reference, &'a Image>,
    /// What `repository:latest` names.
    pub(crate) latest: Option<&'a Image>,
    /// The local container, in any state, whatever image it runs.
    pub(crate) local: Option<&'a Container>,
    /// The orchestrated containers that the policy wants looked at, in any state.
    pub(crate) orchestrated: Vec<&'a Container>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(policy: &'a Policy, state: &'a State, world: &'a World) -> Self {
        let repositories: HashMap<&Repository, &WorkloadName> = policy
            .workloads
            .iter()
            .flat_map(|(name, w)| w.repositories().map(move |r| (r, name)))
            .collect();
        let mut casts: HashMap<_, _> = policy
            .workloads
            .keys()
            .map(|name| (name, Cast::default()))
            .collect();
        let owners = assign_images(policy, state, world, &repositories, &mut casts);
        assign_containers(policy, world, &repositories, &owners, &mut casts);

        let mut users: ById<'_, Vec<&Container>> =
            HashMap::with_capacity_and_hasher(world.images.len(), BuildHasherDefault::default());
        for container in &world.containers {
            users.entry(&container.image).or_default().push(container);
        }
        let images = world
            .images
            .iter()
            .map(|image| (&image.id, image))
            .collect();
        Self {
            world,
            images,
            users,
            casts,
        }
    }

    /// What belongs to a workload of the policy.
    pub(crate) fn cast(&self, name: &WorkloadName) -> Option<&Cast<'a>> {
        self.casts.get(name)
    }

    /// An image on the disk.
    pub(crate) fn image(&self, id: &ImageId) -> Option<&'a Image> {
        self.images.get(id).copied()
    }

    /// How many workloads have the image as their `latest`.
    pub(crate) fn latest_names(&self, id: &ImageId) -> usize {
        self.casts
            .values()
            .filter(|cast| cast.latest.is_some_and(|latest| latest.id == *id))
            .count()
    }

    /// The containers, in any state, that use an image.
    pub(crate) fn users(&self, id: &ImageId) -> &[&'a Container] {
        self.users.get(id).map_or(&[], Vec::as_slice)
    }
}

/// Something for each image. The standard hasher withstands keys that somebody chose to collide; ids are digests, which
/// nobody can choose, and hashing them was the largest part of a decision.
pub(crate) type ById<'a, T> = HashMap<&'a ImageId, T, BuildHasherDefault<IdHasher>>;

/// Some images.
pub(crate) type IdSet<'a> = HashSet<&'a ImageId, BuildHasherDefault<IdHasher>>;

/// Multiplies and rotates, eight bytes at a time.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (words, rest) = bytes.as_chunks();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        for word in words.chain(rest.iter().map(|byte| u64::from(*byte))) {
            self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(ODD);
        }
    }

    fn finish(&self) -> u64 {
        // The table takes its index from the low bits, and a product has its best ones on top.
        self.0.rotate_left(32)
    }
}

type Owners<'a> = ById<'a, Vec<&'a WorkloadName>>;

fn assign_images<'a>(
    policy: &'a Policy,
    state: &'a State,
    world: &'a World,
    repositories: &HashMap<&Repository, &'a WorkloadName>,
    casts: &mut HashMap<&'a WorkloadName, Cast<'a>>,
) -> Owners<'a> {
    let mut remembered = Owners::default();
    let mut seen = Owners::default();
    for name in policy.workloads.keys() {
        let Some(known) = state.workloads.get(name) else {
            continue;
        };
        for id in remembered_ids(known) {
            remembered.entry(id).or_default().push(name);
        }
        for id in known.images.keys() {
            seen.entry(id).or_default().push(name);
        }
    }
    let mut owners =
        Owners::with_capacity_and_hasher(world.images.len(), BuildHasherDefault::default());
    for image in &world.images {
        let mut of_image: Vec<&WorkloadName> = Vec::new();
        for reference in &image.references {
            let Some(&name) = repositories.get(reference.repository()) else {
                continue;
            };
            if of_image.last() != Some(&name) {
                of_image.push(name);
            }
            if !reference.is_digest()
                && let Some(cast) = casts.get_mut(name)
            {
                cast.named.insert(reference, image);
                if policy
                    .workloads
                    .get(name)
                    .is_some_and(|w| is_latest(w, reference))
                {
                    cast.latest = Some(image);
                }
            }
        }
        of_image.extend(remembered.get(&image.id).into_iter().flatten().copied());
        if image.is_nameless() {
            // The workload's by the name that it had: it has its grace, and does not lie there for ever.
            of_image.extend(seen.get(&image.id).into_iter().flatten().copied());
        }
        of_image.sort_unstable();
        of_image.dedup();
        for &name in &of_image {
            if let Some(cast) = casts.get_mut(name) {
                cast.images.push(image);
                cast.by_id.insert(&image.id, image);
            }
        }
        if !of_image.is_empty() {
            owners.insert(&image.id, of_image);
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

fn is_latest(workload: &Workload, reference: &Reference) -> bool {
    reference.tag() == Some(LATEST) && *reference.repository() == workload.repository
}

fn assign_containers<'a>(
    policy: &'a Policy,
    world: &'a World,
    repositories: &HashMap<&Repository, &'a WorkloadName>,
    owners: &Owners<'a>,
    casts: &mut HashMap<&'a WorkloadName, Cast<'a>>,
) {
    let locals: HashMap<&str, &WorkloadName> = policy
        .workloads
        .iter()
        .map(|(name, w)| (w.container.as_str(), name))
        .collect();
    for container in &world.containers {
        if let Some(name) = container.names.iter().find_map(|n| locals.get(n.as_str())) {
            if let Some(cast) = casts.get_mut(name) {
                cast.local = Some(container);
            }
            continue;
        }
        let by_reference = || {
            container
                .reference
                .as_ref()
                .and_then(|r| repositories.get(r.repository()))
                .copied()
        };
        let name = match owners.get(&container.image).map(Vec::as_slice) {
            None | Some([]) => by_reference(),
            Some([only]) => Some(*only),
            Some(several) => by_reference().filter(|name| several.contains(name)),
        };
        let Some(name) = name else { continue };
        let glob = policy
            .workloads
            .get(name)
            .and_then(|w| w.orchestrated.as_ref());
        if glob.is_none_or(|glob| container.names.iter().any(|n| glob.matches(n)))
            && let Some(cast) = casts.get_mut(name)
        {
            cast.orchestrated.push(container);
        }
    }
}
