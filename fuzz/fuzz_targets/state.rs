//! State bytes: any are a state, a newer one or a corrupt one; and what this program writes it
//! reads again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tagkeeper::store::{parse_state, state_document};
use tagkeeper_core::model::State;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut state) = parse_state(bytes) {
        // Kept in a file of their own.
        state.rejected.clear();
        round_trip(&state);
    }
    // No fuzzer finds a checksum: the content alone.
    if let Ok(state) = serde_json::from_slice::<State>(bytes) {
        round_trip(&state);
    }
});

/// Whatever may be saved is loaded again.
fn round_trip(state: &State) {
    if let Ok(document) = state_document(state) {
        let again = parse_state(&document).expect("what was written can be read");
        assert_eq!(again, *state);
    }
}
