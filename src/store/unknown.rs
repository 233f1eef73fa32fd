//! Fields of a file that this version does not know: kept, and written back (design 5.1). Generic,
//! on JSON; no I/O.
//!
//! Unknown is what the file has beyond what it was read as. It is worked out when the file is about
//! to be replaced, so a pass that saves nothing pays nothing, and it is put into the new document
//! where its parent still is:
//!
//! - an object that has an `image` or an `id` is the same one only if that is the same: a field of
//!   one pending upgrade does not pass to the next, and an entry of the lineage keeps its fields
//!   wherever it moves within the list;
//! - any other object is the one that is found by the same keys.
//!
//! A field whose parent has gone is dropped for good. A memory that is parked or restored comes
//! under another key, and its unknown fields are lost.
//!
//! Unknown fields never change what this version reads: see [`with_unknown`].

use serde::Serialize;
use serde_json::{Map, Value};

/// What says which thing an object is about, the first that is there.
const IDENTITIES: [&str; 2] = ["image", "id"];

/// A new content with the unknown fields of the file that it replaces; none if none found its
/// place. `reads_the_same` tells whether this version reads that as it does the content; if not (an
/// unknown name may be an older name of a known field), it is none either.
pub(super) fn with_unknown(
    file: &[u8],
    read_as: &impl Serialize,
    content: &Value,
    reads_the_same: impl FnOnce(&Value) -> bool,
) -> Result<Option<Value>, serde_json::Error> {
    let mut file: Map<String, Value> = serde_json::from_slice(file)?;
    // The frame's own.
    for name in ["version", "checksum"] {
        file.remove(name);
    }
    let mut new = content.clone();
    let is_placed = carry_over(
        &Value::Object(file),
        &serde_json::to_value(read_as)?,
        &mut new,
    );
    Ok((is_placed && reads_the_same(&new)).then_some(new))
}

/// Puts into a new value what the file has beyond what it was read as, and tells whether anything
/// found its place.
fn carry_over(file: &Value, known: &Value, new: &mut Value) -> bool {
    let mut is_placed = false;
    match (file, known, new) {
        (Value::Object(file), Value::Object(known), Value::Object(new))
            if identity(known) == identity(new) =>
        {
            for (name, value) in file {
                match (known.get(name), new.get_mut(name)) {
                    (Some(known), Some(new)) => is_placed |= carry_over(value, known, new),
                    // One that is left out has its default.
                    (None, None) if !value.is_null() => {
                        new.insert(name.clone(), value.clone());
                        is_placed = true;
                    }
                    _ => {}
                }
            }
        }
        // Without an identity there is no telling which object of the new list is which of the old
        // one. Of several that are about the same, the first with a place left.
        (Value::Array(file), Value::Array(known), Value::Array(new))
            if file.len() == known.len() =>
        {
            for (file, known) in file.iter().zip(known) {
                if known.as_object().and_then(identity).is_some() {
                    is_placed |= new.iter_mut().any(|new| carry_over(file, known, new));
                }
            }
        }
        _ => {}
    }
    is_placed
}

fn identity(object: &Map<String, Value>) -> Option<&Value> {
    let mut all = IDENTITIES.iter().filter_map(|name| object.get(*name));
    // An object by that name is one of many by names: a workload may be called so.
    all.find(|identity| !identity.is_object())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewritten(file: &Value, read_as: &Value, new: &Value) -> Value {
        let file = file.to_string();
        let rewritten = with_unknown(file.as_bytes(), read_as, new, |_| true).unwrap();
        rewritten.unwrap_or_else(|| new.clone())
    }

    #[test]
    fn a_workload_may_be_called_as_an_identity_is() {
        let file = json!({"w": {"id": {"a": 1}, "y": {"new": 2}}});
        let known = json!({"w": {"id": {"a": 1}, "y": {}}});
        let new = json!({"w": {"id": {"a": 3}, "y": {}}});
        let all = json!({"w": {"id": {"a": 3}, "y": {"new": 2}}});
        assert_eq!(rewritten(&file, &known, &new), all);
    }

    #[test]
    fn unknown_fields_go_where_their_parents_are() {
        let table = [
            (
                "at the top, the frame aside",
                json!({"version": 2, "checksum": "x", "a": 1, "new": {"deep": [1]}}),
                json!({"a": 1}),
                json!({"a": 2}),
                json!({"a": 2, "new": {"deep": [1]}}),
            ),
            (
                "nested in maps",
                json!({"w": {"x": {"a": 1, "new": 1}, "y": {"new": 2}}}),
                json!({"w": {"x": {"a": 1}, "y": {}}}),
                json!({"w": {"y": {"a": 3}}}),
                json!({"w": {"y": {"a": 3, "new": 2}}}),
            ),
            (
                "entries of a list by their image",
                json!({"l": [{"image": "a", "new": 1}, {"image": "b", "new": 2}]}),
                json!({"l": [{"image": "a"}, {"image": "b"}]}),
                json!({"l": [{"image": "c"}, {"image": "b"}]}),
                json!({"l": [{"image": "c"}, {"image": "b", "new": 2}]}),
            ),
            (
                "entries of a list that are about the same, in their order",
                json!({"l": [{"id": 1, "new": 1}, {"id": 1, "new": 2}, {"id": 2, "new": 3}]}),
                json!({"l": [{"id": 1}, {"id": 1}, {"id": 2}]}),
                json!({"l": [{"id": 2}, {"id": 1}, {"id": 1}]}),
                json!({"l": [{"id": 2, "new": 3}, {"id": 1, "new": 1}, {"id": 1, "new": 2}]}),
            ),
            (
                "an upgrade to another image is another upgrade",
                json!({"pending": {"image": "a", "new": 1}}),
                json!({"pending": {"image": "a"}}),
                json!({"pending": {"image": "b"}}),
                json!({"pending": {"image": "b"}}),
            ),
            (
                "a known field is never written over",
                json!({"a": {"new": 1}, "soon": 1}),
                json!({"a": {}}),
                json!({"a": {"new": 2}, "soon": null}),
                json!({"a": {"new": 2}, "soon": null}),
            ),
            (
                "lists of other things are known",
                json!({"l": ["a", "b"], "m": [{"new": 1}], "n": null}),
                json!({"l": ["a"], "m": [{}]}),
                json!({"l": ["c"], "m": [{}]}),
                json!({"l": ["c"], "m": [{}]}),
            ),
        ];
        for (name, file, read_as, new, expected) in table {
            assert_eq!(rewritten(&file, &read_as, &new), expected, "{name}");
        }
    }

    #[test]
    fn a_list_that_was_read_in_part_has_no_places() {
        let file = json!({"l": [{"image": "a", "new": 1}, {"image": "b"}]});
        let known = json!({"l": [{"image": "b"}]});
        assert_eq!(rewritten(&file, &known, &known), known);
    }

    #[test]
    fn what_lost_its_place_does_not_come_back() {
        let file = json!({"w": {"x": {"new": 1}}});
        let without = json!({"w": {}});
        let left = rewritten(&file, &json!({"w": {"x": {}}}), &without);
        assert_eq!(left, without);
        let again = json!({"w": {"x": {}}});
        assert_eq!(rewritten(&left, &without, &again), again);
    }

    #[test]
    fn what_would_change_the_reading_is_dropped() {
        let file = br#"{"old_name": 7}"#;
        let (read_as, new) = (json!({"name": 7}), json!({"other": 8}));
        let with_it = json!({"other": 8, "old_name": 7});
        for (is_same, expected) in [(false, None), (true, Some(with_it.clone()))] {
            let reads_the_same = |written: &Value| *written == with_it && is_same;
            let written = with_unknown(file, &read_as, &new, reads_the_same).unwrap();
            assert_eq!(written, expected);
        }
    }
}
