//! What is known of each image: plain data, shared until it changes.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::image::ImageId;

use super::Sighting;

/// What is known of each image, by its id. Nearly all of a state is this, and nearly no decision changes any of it: a clone
/// shares it, the first change to that copies it, and two that still share it are equal at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sightings(Arc<BTreeMap<ImageId, Sighting>>);

impl Deref for Sightings {
    type Target = BTreeMap<ImageId, Sighting>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Sightings {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl FromIterator<(ImageId, Sighting)> for Sightings {
    fn from_iter<I: IntoIterator<Item = (ImageId, Sighting)>>(sightings: I) -> Self {
        Self(Arc::new(sightings.into_iter().collect()))
    }
}

impl<const N: usize> From<[(ImageId, Sighting); N]> for Sightings {
    fn from(sightings: [(ImageId, Sighting); N]) -> Self {
        sightings.into_iter().collect()
    }
}

impl Serialize for Sightings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sightings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(|sightings| Self(Arc::new(sightings)))
    }
}

impl<'a> IntoIterator for &'a Sightings {
    type Item = (&'a ImageId, &'a Sighting);
    type IntoIter = std::collections::btree_map::Iter<'a, ImageId, Sighting>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
