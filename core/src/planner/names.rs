//! Stage 6, names (design 4.5): a kept image keeps its names, a removed one loses them one by one;
//! with the two exceptions of R4.

use alloc::vec::Vec;

use super::ownership::{OwnedImage, OwnedRef};
use super::rules::ImageVerdict;
use super::stale;
use super::subject::Subject;
use super::upgrade::Upgrade;
use crate::model::{Detail, Image, ImageId, LineageEntry, NameVerdict, Reason, Reference, Verdict};

/// The verdict on each name of the workload's images, and on each nameless image.
pub(super) fn judge(
    subject: Subject<'_>,
    upgrade: &Upgrade<'_>,
    images: &[ImageVerdict<'_>],
) -> Vec<NameVerdict> {
    let mut names = Vec::with_capacity(images.len());
    for verdict in images {
        let Some(own) = subject.own.at(verdict.place) else {
            continue;
        };
        for name in judged_names(subject, own) {
            names.push(judge_name(subject, upgrade, verdict, own, name));
        }
    }
    names
}

fn judge_name(
    subject: Subject<'_>,
    upgrade: &Upgrade<'_>,
    verdict: &ImageVerdict<'_>,
    own: &OwnedImage<'_>,
    name: Option<OwnedRef<'_>>,
) -> NameVerdict {
    let exception = name.and_then(|name| match verdict.reason.verdict() {
        Verdict::Keep => {
            is_renamed(subject, upgrade, own, name).then_some((Reason::Renamed, Detail::None))
        }
        Verdict::Remove | Verdict::Retag => {
            let fallback = adopter(subject, upgrade, verdict, name)?;
            let detail = Detail::MovesTo {
                image: fallback.image.clone(),
                version: fallback.version.clone(),
            };
            Some((Reason::Adopt, detail))
        }
    });
    let (reason, detail) = exception.unwrap_or_else(|| (verdict.reason, verdict.detail.clone()));
    NameVerdict {
        reference: name.map(|name| name.reference.clone()),
        image: verdict.image.clone(),
        size_bytes: verdict.size_bytes,
        reason,
        detail,
    }
}

/// The names to judge: tags; digests in repositories where the image has no tag; nothing, for a
/// nameless image.
fn judged_names<'a>(
    subject: Subject<'a>,
    own: &'a OwnedImage<'a>,
) -> impl Iterator<Item = Option<OwnedRef<'a>>> {
    let names = subject.own.refs(own);
    let has_tag_in = move |repository| {
        let mut tags = names.iter().filter(|name| !name.reference.is_digest());
        tags.any(|tag| tag.repository == repository)
    };
    let judged = names.iter().copied();
    let judged = judged.filter(move |n| !n.reference.is_digest() || !has_tag_in(n.repository));
    own.image
        .is_nameless()
        .then_some(None)
        .into_iter()
        .chain(judged.map(Some))
}

/// R4: the fallback that a remote name of a retired image moves to: the name's tag is its version,
/// and it has the local name of that version.
pub(super) fn adopter<'u>(
    subject: Subject<'_>,
    upgrade: &'u Upgrade<'_>,
    verdict: &ImageVerdict<'_>,
    name: OwnedRef<'_>,
) -> Option<&'u LineageEntry> {
    if !name.is_remote() || verdict.reason != Reason::Retired {
        return None;
    }
    let tag = name.reference.version_tag()?;
    let local = subject.policy.repository.with_tag(tag);
    let named = subject.own.named(&local)?;
    subject
        .fallbacks(&upgrade.state.memory)
        .find(|fallback| fallback.version.as_str() == tag && fallback.image == named.id)
}

/// R4: the local version name of a fallback whose image has a remote tag of that version too; but
/// not a name that a local container was created from, because its service starts that name.
fn is_renamed(
    subject: Subject<'_>,
    upgrade: &Upgrade<'_>,
    own: &OwnedImage<'_>,
    name: OwnedRef<'_>,
) -> bool {
    let Some(tag) = name.reference.version_tag().filter(|_| !name.is_remote()) else {
        return false;
    };
    let memory = &upgrade.state.memory;
    let is_started = |name: &Reference| {
        let locals = subject.own.locals.iter();
        let mut started = locals.filter_map(|c| stale::created_from(subject, memory, c));
        started.any(|reference| reference.names_as(name))
    };
    is_fallback(subject, upgrade, &own.image.id, tag)
        && remote_name(subject, own.image, tag).is_some()
        && !is_started(name.reference)
}

/// The remote name of an image with this tag, for which it gives up the local one.
pub(super) fn remote_name<'a>(
    subject: Subject<'_>,
    image: &'a Image,
    tag: &str,
) -> Option<&'a Reference> {
    let remotes = &subject.policy.remotes;
    let mut tags = image.tags().filter(|name| name.tag() == Some(tag));
    tags.find(|name| remotes.contains(name.repository()))
}

fn is_fallback(subject: Subject<'_>, upgrade: &Upgrade<'_>, id: &ImageId, version: &str) -> bool {
    let mut fallbacks = subject.fallbacks(&upgrade.state.memory);
    fallbacks.any(|fallback| fallback.image == *id && fallback.version.as_str() == version)
}
