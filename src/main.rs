//! Reduced.
fn main() {}
