//! Nameless images that several workloads know (design 4.1): one goes when all of them let it go. Pure.
//!
//! A name has one owner, whose verdict is enough. What is removed by its id is taken from everybody who knows it: from a
//! workload on hold, from one that inherited it, from one with a longer grace.

use std::collections::BTreeMap;

use crate::image::ImageId;

use super::case::Case;
use super::detail::Detail;
use super::plan::Verdict;

/// Where a nameless image was judged: the case, and the judgement in it.
type Judged = (usize, usize);

/// Turns a removal by id into the verdict of whoever keeps the image, and lets it wait while one of those who know it moves
/// its `latest` (design 4.6).
pub(crate) fn agree(cases: &mut [Case<'_>]) {
    for (image, judged) in judged_by_several(cases) {
        let keeps = |&&(case, at): &&Judged| cases[case].judgements[at].verdict() == Verdict::Keep;
        if let Some(&(keeper, at)) = judged.iter().find(keeps) {
            let kept = cases[keeper].judgements[at].clone();
            let detail = Detail::KeptBy {
                workload: cases[keeper].name.clone(),
                why: Box::new(kept.detail),
            };
            for (case, at) in judged {
                let judgement = &mut cases[case].judgements[at];
                if judgement.verdict() == Verdict::Remove {
                    judgement.reason = kept.reason;
                    judgement.detail = detail.clone();
                }
            }
        } else if judged
            .iter()
            .any(|&(case, _)| !cases[case].latest_move.is_empty())
        {
            for (case, _) in judged {
                cases[case].waiting.insert(image.clone());
            }
        }
    }
}

fn judged_by_several(cases: &[Case<'_>]) -> BTreeMap<ImageId, Vec<Judged>> {
    let mut judged: BTreeMap<ImageId, Vec<Judged>> = BTreeMap::new();
    for (case, of_case) in cases.iter().enumerate() {
        for (at, judgement) in of_case.judgements.iter().enumerate() {
            if judgement.reference.is_none() {
                let of_image = judged.entry(judgement.image.clone()).or_default();
                of_image.push((case, at));
            }
        }
    }
    judged.retain(|_, judged| judged.len() > 1);
    judged
}
