//! Verdicts (design 4.5): one verdict and one reason for every name on the disk. The first row that fits wins.

use crate::image::{ImageId, Reference, Version};
use crate::state::Proven;
use crate::world::Image;

use super::actions::Claims;
use super::case::Case;
use super::detail::Detail;
use super::plan::{Judgement, Reason};
use super::scene::{Cast, Member, OwnName};

/// One name of an image, or that it has none: what a verdict is about.
#[derive(Clone, Copy)]
struct Judged<'a> {
    member: &'a Member<'a>,
    name: Option<OwnName<'a>>,
}

impl<'a> Judged<'a> {
    fn id(self) -> &'a ImageId {
        &self.member.image.id
    }

    /// The tag, if it can be a version.
    fn version_tag(self) -> Option<&'a str> {
        self.name?.reference.version_tag()
    }
}

impl<'a> Case<'a> {
    /// Judges every name of the workload, and every nameless image of it. An image that `adopt` takes a name from is
    /// retired here, so that this is saved before the name moves; and first, so that its other names are judged by it.
    pub(crate) fn judge(&mut self, claims: &Claims) {
        let cast = self.cast;
        let gives_a_name = |member: &&'a Member<'a>| {
            let mut names = judged_names(cast, member);
            names.any(|judged| self.reason(judged, claims) == Reason::Adopt)
        };
        if self.fallbacks().next().is_some() {
            let adopted = cast.images.iter().filter(gives_a_name);
            let adopted: Vec<ImageId> = adopted.map(|member| member.image.id.clone()).collect();
            let newly: Vec<ImageId> = adopted
                .into_iter()
                .filter(|id| self.state.retired.insert(id.clone()))
                .collect();
            self.note_retired(&newly, None);
        }
        let mut judgements = Vec::with_capacity(cast.images.len());
        for judged in cast
            .images
            .iter()
            .flat_map(|member| judged_names(cast, member))
        {
            let reason = self.reason(judged, claims);
            judgements.push(Judgement {
                reference: judged.name.map(|name| name.reference.clone()),
                image: judged.id().clone(),
                size_bytes: judged.member.image.size_bytes,
                reason,
                detail: self.detail(judged, reason),
            });
        }
        self.judgements = judgements;
    }

    fn reason(&self, judged: Judged<'_>, claims: &Claims) -> Reason {
        let id = judged.id();
        if self.workload.hold {
            return Reason::Held;
        }
        if self.latest_id() == Some(id) {
            return Reason::Latest;
        }
        if self.state.pending.as_ref().is_some_and(|p| p.image == *id) {
            return Reason::Pending;
        }
        if self.is_adopted(judged, claims) {
            return Reason::Adopt;
        }
        let is_proven = self.state.lineage.iter().any(|proven| proven.image == *id);
        if is_proven && self.is_renamed(judged) {
            return Reason::Renamed;
        }
        if is_proven {
            return Reason::Fallback;
        }
        if judged
            .version_tag()
            .is_some_and(|tag| self.is_wanted_version(tag))
        {
            return Reason::Twin;
        }
        if self.is_in_use(judged.member.place) {
            return Reason::InUse;
        }
        if self.would_take_from_other(judged.member.image, claims) {
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

    fn is_adopted(&self, judged: Judged<'_>, claims: &Claims) -> bool {
        let remote = judged.name.filter(|name| name.is_remote());
        remote.is_some_and(|name| self.adopter(judged.id(), name.reference).is_some())
            && !self.would_take_from_other(judged.member.image, claims)
    }

    /// R4: the fallback that a remote name moves to: the name's tag is its version, it bears the local name of that
    /// version, and the name stands on an image outside the lineage.
    pub(crate) fn adopter(&self, image: &ImageId, remote: &Reference) -> Option<&Proven> {
        let tag = remote.version_tag()?;
        let adopts = |fallback: &&Proven| {
            let local_name = || self.workload.repository.with_tag(tag);
            let named = || self.cast.named(&local_name());
            fallback.version.as_str() == tag
                && named().is_some_and(|named| named.id == fallback.image)
        };
        let mut lineage = self.state.lineage.iter();
        let outside = lineage.all(|proven| proven.image != *image);
        self.fallbacks().find(adopts).filter(|_| outside)
    }

    /// R4: the local name of a fallback that bears a remote tag too.
    fn is_renamed(&self, judged: Judged<'_>) -> bool {
        let is_local = judged.name.is_some_and(|name| !name.is_remote());
        let mut names = self.cast.names(judged.member).iter();
        is_local
            && judged.version_tag().is_some()
            && self
                .fallbacks()
                .any(|fallback| fallback.image == *judged.id())
            && names.any(|name| name.is_remote() && !name.reference.is_digest())
    }

    /// R7: the version of the head, of the pending upgrade or of its stand-in.
    fn is_wanted_version(&self, tag: &str) -> bool {
        let pending = self.state.pending.as_ref();
        let stand_in = pending.and_then(|p| p.stand_in.as_ref());
        let mut proven = self.state.lineage.iter().map(|proven| &proven.version);
        let upgrade = [pending.map(|p| &p.version), stand_in.map(|s| &s.version)];
        let is_it = |version: &Version| version.as_str() == tag;
        upgrade.into_iter().flatten().any(is_it)
            // Few tags are any version of the lineage, and which entry is the head has to be looked up.
            || proven.any(is_it) && self.head().is_some_and(|head| is_it(&head.version))
    }

    /// Whether another workload wants the image by its id and has no tag of its own to keep it by.
    fn would_take_from_other(&self, image: &Image, claims: &Claims) -> bool {
        let foreign_tag = || image.foreign_names > 0 || image.tags().any(|tag| !self.is_own(tag));
        claims.claimed_by_other(self.name, &image.id) && !foreign_tag()
    }

    fn detail(&self, judged: Judged<'_>, reason: Reason) -> Detail {
        let id = judged.id();
        Detail::Words(match reason {
            Reason::Held => "the workload is on hold",
            Reason::Latest => "what the local service runs",
            Reason::Pending => "being soaked",
            Reason::Adopt => {
                let fallback = judged
                    .name
                    .and_then(|name| self.adopter(id, name.reference));
                match fallback.cloned() {
                    Some(Proven { image, version, .. }) => {
                        return Detail::MovesTo { image, version };
                    }
                    None => "moves to the fallback",
                }
            }
            Reason::Renamed => "the fallback has its remote name",
            Reason::Fallback => {
                match self.state.lineage.iter().find(|proven| proven.image == *id) {
                    Some(proven) => return Detail::Proven(proven.version.clone()),
                    None => "another workload wants it",
                }
            }
            Reason::Twin => "the same version as a wanted image, never run here",
            Reason::InUse => return self.users_detail(judged),
            Reason::Retired => "made obsolete by a promotion",
            Reason::Inherited => "was here first; no promotion has replaced anything yet",
            Reason::Grace | Reason::Idle => return self.idle_detail(id),
        })
    }

    fn users_detail(&self, judged: Judged<'_>) -> Detail {
        let mut users = self.scene.users(judged.member.place);
        match users.next() {
            Some(first) => Detail::UsedBy {
                container: first.name().into_owned(),
                state: first.state,
                others: users.count(),
            },
            None => Detail::Words("used by a container"),
        }
    }
}

/// The names to judge: tags; digests in repositories where the image has no tag; nothing, for a nameless image.
fn judged_names<'a>(
    cast: &'a Cast<'a>,
    member: &'a Member<'a>,
) -> impl Iterator<Item = Judged<'a>> {
    let names = cast.names(member);
    let has_tag_in = |repository| {
        let mut tags = names.iter().filter(|name| !name.reference.is_digest());
        tags.any(|tag| tag.repository == repository)
    };
    let judged = names.iter().copied();
    let judged =
        judged.filter(move |name| !name.reference.is_digest() || !has_tag_in(name.repository));
    let nameless = member.image.is_nameless().then_some(None);
    let names = nameless.into_iter().chain(judged.map(Some));
    names.map(move |name| Judged { member, name })
}
