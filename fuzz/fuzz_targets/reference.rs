//! References and repositories: what is accepted prints as something that is accepted and means the
//! same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tagkeeper_core::model::{ImageId, Reference, Repository};

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::parse(text) {
        let again = Reference::parse(&reference.to_string());
        assert_eq!(again.as_ref(), Ok(&reference), "{text}");
        assert!(reference.is_digest() || reference.tag().is_some(), "{text}");
        // A name at the longest that is allowed may be too long in full.
        if let Ok(in_full) = Reference::parse(&reference.in_full()) {
            assert_eq!(in_full.in_full(), reference.in_full(), "{text}");
        }
    }
    if let Ok(repository) = Repository::parse(text) {
        let again = Repository::parse(&repository.to_string());
        assert_eq!(again.as_ref(), Ok(&repository), "{text}");
        assert_eq!(repository.latest().tag(), Some("latest"), "{text}");
    }
    let id = ImageId::new(text);
    let _ = (id.short(), id.short_version());
});
