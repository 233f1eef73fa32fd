//! The engine's inspects, of a container and of an image: any bytes are one or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tagkeeper::engine::{parse_container, parse_image};

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_container(bytes);
    if let Ok(image) = parse_image(bytes) {
        let _ = (image.id.short(), image.id.short_version());
        assert!(image.tags().count() <= image.references.len());
    }
});
