//! Verdicts (design 4.5): one verdict and one reason for every name on the disk. The first row that fits wins.

use crate::image::{ImageId, Reference};
use crate::state::Proven;
use crate::world::Image;

use super::actions::Claims;
use super::case::Case;
use super::plan::{Judgement, Reason};

impl Case<'_> {
    /// Judges every name of the workload, and every nameless image of it. An image that `adopt` takes a name from is
    /// retired here, so that this is saved before the name moves; and first, so that its other names are judged by it.
    pub(crate) fn judge(&mut self, claims: &Claims) {
        let gives_a_name = |image: &Image| {
            let mut names = self.judged_names(image).flatten();
            names.any(|name| self.reason(image, Some(name), claims) == Reason::Adopt)
        };
        let adopted = self.cast.images.iter().filter(|image| gives_a_name(image));
        let adopted: Vec<ImageId> = adopted.map(|image| image.id.clone()).collect();
        self.state.retired.extend(adopted);
        let mut judgements = Vec::with_capacity(self.cast.images.len());
        for &image in &self.cast.images {
            for reference in self.judged_names(image) {
                let reason = self.reason(image, reference, claims);
                judgements.push(Judgement {
                    reference: reference.cloned(),
                    image: image.id.clone(),
                    size_bytes: image.size_bytes,
                    reason,
                    detail: self.detail(image, reference, reason),
                });
            }
        }
        judgements.sort_by(|a, b| (&a.reference, &a.image).cmp(&(&b.reference, &b.image)));
        self.judgements = judgements;
    }

    /// The names to judge: tags; digests in repositories where the image has no tag; nothing, for a nameless image.
    fn judged_names<'i>(&'i self, image: &'i Image) -> impl Iterator<Item = Option<&'i Reference>> {
        let has_tag_in = |repository| image.tags().any(|tag| tag.repository() == repository);
        let own = image.references.iter().filter(|r| self.is_own(r));
        let judged = own.filter(move |r| !r.is_digest() || !has_tag_in(r.repository()));
        let nameless = image.is_nameless().then_some(None);
        nameless.into_iter().chain(judged.map(Some))
    }

    fn reason(&self, image: &Image, reference: Option<&Reference>, claims: &Claims) -> Reason {
        let id = &image.id;
        if self.workload.hold {
            return Reason::Held;
        }
        if self.latest_id() == Some(id) {
            return Reason::Latest;
        }
        if self.state.pending.as_ref().is_some_and(|p| p.image == *id) {
            return Reason::Pending;
        }
        if reference.is_some_and(|r| self.adopter(image, r).is_some())
            && !self.would_take_from_other(image, claims)
        {
            return Reason::Adopt;
        }
        if reference.is_some_and(|r| self.is_renamed(image, r)) {
            return Reason::Renamed;
        }
        if self.state.lineage.iter().any(|proven| proven.image == *id) {
            return Reason::Fallback;
        }
        if reference
            .and_then(Reference::version_tag)
            .is_some_and(|tag| self.is_wanted_version(tag))
        {
            return Reason::Twin;
        }
        if self.is_in_use(id) {
            return Reason::InUse;
        }
        if self.would_take_from_other(image, claims) {
            return Reason::Fallback;
        }
        self.age_reason(id)
    }

    fn age_reason(&self, id: &ImageId) -> Reason {
        let sighting = self.state.images.get(id);
        if self.state.retired.contains(id) {
            Reason::Retired
        } else if sighting.is_some_and(|s| s.inherited) {
            Reason::Inherited
        } else if self.idle_ms(id) < self.workload.grace_ms {
            Reason::Grace
        } else {
            Reason::Idle
        }
    }

    /// R4: the fallback that a remote name moves to: the name's tag is its version, it bears the local name of that
    /// version, and the name stands on an image outside the lineage.
    pub(crate) fn adopter(&self, image: &Image, reference: &Reference) -> Option<&Proven> {
        let tag = reference.version_tag()?;
        let outside = self
            .state
            .lineage
            .iter()
            .all(|proven| proven.image != image.id);
        if !outside || !self.workload.remotes.contains(reference.repository()) {
            return None;
        }
        let local_name = self.workload.repository.with_tag(tag);
        self.fallbacks().find(|fallback| {
            fallback.version.as_str() == tag
                && self
                    .cast
                    .named
                    .get(&local_name)
                    .is_some_and(|named| named.id == fallback.image)
        })
    }

    /// R4: the local name of a fallback that bears a remote tag too.
    fn is_renamed(&self, image: &Image, reference: &Reference) -> bool {
        *reference.repository() == self.workload.repository
            && reference.version_tag().is_some()
            && self.fallbacks().any(|fallback| fallback.image == image.id)
            && image
                .tags()
                .any(|tag| self.workload.remotes.contains(tag.repository()))
    }

    /// R7: the version of the head, of the pending upgrade or of its stand-in.
    fn is_wanted_version(&self, tag: &str) -> bool {
        let pending = self.state.pending.as_ref();
        let stand_in = pending.and_then(|p| p.stand_in.as_ref());
        let versions = [
            self.head().map(|h| &h.version),
            pending.map(|p| &p.version),
            stand_in.map(|s| &s.version),
        ];
        versions
            .into_iter()
            .flatten()
            .any(|version| version.as_str() == tag)
    }

    /// Whether another workload wants the image by its id and has no tag of its own to keep it by.
    fn would_take_from_other(&self, image: &Image, claims: &Claims) -> bool {
        let foreign_tag = image.foreign_names > 0 || image.tags().any(|tag| !self.is_own(tag));
        !foreign_tag && claims.claimed_by_other(self.name, &image.id)
    }

    fn detail(&self, image: &Image, reference: Option<&Reference>, reason: Reason) -> String {
        let version_of = |id: &ImageId| {
            self.state
                .lineage
                .iter()
                .find(|p| p.image == *id)
                .map(|p| p.version.as_str())
        };
        match reason {
            Reason::Held => "the workload is on hold".to_owned(),
            Reason::Latest => "what the local service runs".to_owned(),
            Reason::Pending => "being soaked".to_owned(),
            Reason::Adopt => match reference.and_then(|r| self.adopter(image, r)) {
                Some(fallback) => format!(
                    "moves to {}, which really ran as {}",
                    fallback.image.short(),
                    fallback.version
                ),
                None => "moves to the fallback".to_owned(),
            },
            Reason::Renamed => "the fallback has its remote name".to_owned(),
            Reason::Fallback => match version_of(&image.id) {
                Some(version) => format!("{version} is proven and kept to fall back to"),
                None => "another workload wants it".to_owned(),
            },
            Reason::Twin => "the same version as a wanted image, never run here".to_owned(),
            Reason::InUse => self.users_detail(&image.id),
            Reason::Retired => "made obsolete by a promotion".to_owned(),
            Reason::Inherited => {
                "was here first; no promotion has replaced anything yet".to_owned()
            }
            Reason::Grace | Reason::Idle => self.idle_detail(&image.id),
        }
    }

    fn users_detail(&self, id: &ImageId) -> String {
        match self.scene.users(id) {
            [only] => format!("used by {} ({})", only.name(), only.state.as_str()),
            [first, rest @ ..] => format!(
                "used by {} ({}) and {} more",
                first.name(),
                first.state.as_str(),
                rest.len()
            ),
            [] => "used by a container".to_owned(),
        }
    }
}
