//! The version of an image or a container (design 4.2): a label for people and for finding twins,
//! never an identity.

use super::subject::Subject;
use crate::model::{
    Container, Image, ImageId, LATEST, Memory, Reference, Repository, TAG_MAX_BYTES, Version,
    WorkloadState,
};

/// The version that a container runs, or an image is: what is on record, else the tag that the
/// container was created from, else the image's first tag, else its label, else its digest.
pub(super) fn of(
    subject: Subject<'_>,
    memory: &Memory,
    image: &ImageId,
    container: Option<&Container>,
) -> Version {
    if let Some(version) = recorded(subject, memory, image) {
        return version;
    }
    let on_disk = subject.inventory.image(image);
    if let Some(tag) = container.and_then(|c| created_from(subject, c, on_disk)) {
        return Version::new(tag);
    }
    on_disk.map_or_else(|| image.short_version(), |image| unrecorded(subject, image))
}

/// The version of an image on the disk.
pub(super) fn of_image(subject: Subject<'_>, memory: &Memory, image: &Image) -> Version {
    recorded(subject, memory, &image.id).unwrap_or_else(|| unrecorded(subject, image))
}

/// The tag of the reference that a container was created from, if the image still carries that tag
/// or the digest behind it.
fn created_from<'c>(
    subject: Subject<'_>,
    container: &'c Container,
    image: Option<&Image>,
) -> Option<&'c str> {
    let reference = container.reference.as_ref()?;
    let own = subject.policy.owns(reference);
    let carried = image?
        .references
        .iter()
        .any(|name| name.names_as(reference));
    reference.version_tag().filter(|_| own && carried)
}

fn unrecorded(subject: Subject<'_>, image: &Image) -> Version {
    let first_tag = |is_wanted: &dyn Fn(&Repository) -> bool| {
        let tags = image.tags().filter(|tag| is_wanted(tag.repository()));
        tags.filter_map(Reference::version_tag).min()
    };
    let policy = subject.policy;
    let digest = || {
        image
            .references
            .iter()
            .filter_map(Reference::short_version)
            .min()
    };
    first_tag(&|repository| policy.remotes.contains(repository))
        .or_else(|| first_tag(&|repository| *repository == policy.repository))
        .map(Version::new)
        .or_else(|| label(subject, image).map(Version::new))
        .or_else(digest)
        .unwrap_or_else(|| image.id.short_version())
}

/// The label of an image that the policy names, if it can be a version: one word that is not
/// `latest`, no longer than a tag. A build whose argument was not set leaves it empty, and images
/// without a version are not one version.
pub(super) fn label<'a>(subject: Subject<'a>, image: &'a Image) -> Option<&'a str> {
    let label = image.labels.get(subject.policy.version_label.as_ref()?)?;
    let is_word = (1..=TAG_MAX_BYTES).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_graphic() && b != b'<')
        && label != LATEST;
    is_word.then_some(label.as_str())
}

/// The version that was written down. What is proven or rejected is not guessed again. Of a pending
/// upgrade and its provisional fallback a digest in short form is no version: a tag that came later
/// is one, and so is that of a container, for whoever asks.
fn recorded(subject: Subject<'_>, memory: &Memory, id: &ImageId) -> Option<Version> {
    let proven = memory.proven(id).map(|proven| &proven.version);
    let pending = memory.pending.as_ref();
    let provisional = pending.and_then(|p| p.provisional_fallback.as_ref());
    let provisional = provisional.filter(|p| p.image == *id).map(|p| &p.version);
    let pending = pending.filter(|p| p.image == *id).map(|p| &p.version);
    let unproven = provisional.or(pending).filter(|v| !v.is_unknown());
    let rejected = subject.rejected.and_then(|rejected| rejected.get(id));
    let rejected = rejected.map(|rejected| &rejected.version);
    proven.or(unproven).or(rejected).cloned()
}

/// Whether two containers run one version. One image is one version, whichever of its tags each was
/// created from. Versions that are unknown are the same only for one image.
pub(super) fn is_same(subject: Subject<'_>, memory: &Memory, a: &Container, b: &Container) -> bool {
    let (Some(image_a), Some(image_b)) = (&a.image, &b.image) else {
        return false;
    };
    image_a == image_b || {
        let version = of(subject, memory, image_a, Some(a));
        !version.is_unknown() && version == of(subject, memory, image_b, Some(b))
    }
}

/// Whether nothing says which version an image is: no record, no tag of its own, and no container
/// of it.
pub(super) fn is_unknown(subject: Subject<'_>, memory: &Memory, image: &ImageId) -> bool {
    let is_unknown = |container| of(subject, memory, image, container).is_unknown();
    is_unknown(None)
        && subject
            .users_of(image)
            .into_iter()
            .all(|c| is_unknown(Some(c)))
}

/// The version of an image for the history, whether it is on the disk or not.
pub(super) fn known(subject: Subject<'_>, state: &WorkloadState, id: &ImageId) -> Version {
    if let Some(past) = state.past(id) {
        return past.version.clone();
    }
    if subject.is_on_disk(id) {
        return of(subject, &state.memory, id, None);
    }
    let failed = state.failure(id);
    failed.map_or_else(|| id.short_version(), |failure| failure.version.clone())
}
