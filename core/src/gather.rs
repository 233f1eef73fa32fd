//! Collecting into maps and sets.

/// Collects entry by entry.
pub trait Gather: Iterator + Sized {
    /// A map or a set of all items. `collect` gives the same, and sorts them first, by a sort that
    /// is built into the program once for each type of item: for the few items that there are, a
    /// tenth of a megabyte of it for every thirty types.
    fn gather<C>(self) -> C
    where
        C: Default + Extend<Self::Item>,
    {
        let mut all = C::default();
        all.extend(self);
        all
    }
}

impl<I: Iterator> Gather for I {}
