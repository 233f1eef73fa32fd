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
//! Unknown fields never change what this version reads: see [`Unknown::write`].

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tagkeeper_core::Gather;

/// What says which thing an object is about, the first that is there.
const IDENTITIES: [&str; 2] = ["image", "id"];

/// Unknown fields of a file, by their place.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Unknown(Option<Node>);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    /// An unknown field: its value.
    Field(Value),
    /// An object that is known and has unknown fields in it.
    Object {
        identity: Option<Value>,
        fields: BTreeMap<String, Self>,
    },
    /// A list of which some objects have unknown fields in them.
    List(Vec<Self>),
}

impl Unknown {
    /// What a file has beyond the content that it was read as.
    pub(super) fn of(file: &[u8], read_as: &impl Serialize) -> Result<Self, serde_json::Error> {
        let file = serde_json::from_slice(file)?;
        let mut known = serde_json::to_value(read_as)?;
        if let Value::Object(fields) = &mut known {
            // The frame's own.
            for name in ["version", "checksum"] {
                fields.insert(name.to_owned(), Value::Null);
            }
        }
        Ok(Self(beyond(file, &known)))
    }

    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// A content with the unknown fields in it, and those that found their places. `reads_the_same`
    /// tells whether this version reads that as it does the content; if not (an unknown name may be
    /// an older name of a known field), none is put in.
    pub(super) fn write(
        &self,
        content: &Value,
        reads_the_same: impl FnOnce(&Value) -> bool,
    ) -> (Value, Self) {
        let mut grafted = content.clone();
        let placed = self.0.as_ref().and_then(|node| graft(node, &mut grafted));
        if placed.is_some() && reads_the_same(&grafted) {
            return (grafted, Self(placed));
        }
        (content.clone(), Self(None))
    }
}

fn beyond(file: Value, known: &Value) -> Option<Node> {
    match (file, known) {
        (Value::Object(file), Value::Object(known)) => {
            let fields: BTreeMap<String, Node> = file
                .into_iter()
                .filter_map(|(name, value)| {
                    let node = match known.get(&name) {
                        Some(known) => beyond(value, known),
                        // One that is left out has its default.
                        None if value.is_null() => None,
                        None => Some(Node::Field(value)),
                    };
                    Some((name, node?))
                })
                .gather();
            let identity = identity(known).cloned();
            (!fields.is_empty()).then_some(Node::Object { identity, fields })
        }
        // Without an identity there is no telling which object of the new list is which of the old
        // one.
        (Value::Array(file), Value::Array(known)) if file.len() == known.len() => {
            let nodes: Vec<Node> = file
                .into_iter()
                .zip(known)
                .filter(|(_, known)| known.as_object().and_then(identity).is_some())
                .filter_map(|(file, known)| beyond(file, known))
                .collect();
            (!nodes.is_empty()).then_some(Node::List(nodes))
        }
        _ => None,
    }
}

/// Puts unknown fields into a value; returns those that found their places.
fn graft(node: &Node, into: &mut Value) -> Option<Node> {
    match (node, into) {
        (Node::Object { identity, fields }, Value::Object(into)) => {
            if !is_about(identity.as_ref(), into) {
                return None;
            }
            let placed: BTreeMap<String, Node> = fields
                .iter()
                .filter_map(|(name, node)| {
                    let placed = match (node, into.get_mut(name)) {
                        (Node::Field(value), None) => {
                            into.insert(name.clone(), value.clone());
                            Some(node.clone())
                        }
                        (Node::Field(_), Some(_)) | (_, None) => None,
                        (node, Some(value)) => graft(node, value),
                    };
                    Some((name.clone(), placed?))
                })
                .gather();
            let identity = identity.clone();
            (!placed.is_empty()).then_some(Node::Object {
                identity,
                fields: placed,
            })
        }
        (Node::List(nodes), Value::Array(into)) => {
            let placed: Vec<Node> = nodes
                .iter()
                .filter_map(|node| into.iter_mut().find_map(|value| graft(node, value)))
                .collect();
            (!placed.is_empty()).then_some(Node::List(placed))
        }
        _ => None,
    }
}

fn identity(object: &serde_json::Map<String, Value>) -> Option<&Value> {
    IDENTITIES.iter().find_map(|name| object.get(*name))
}

fn is_about(expected: Option<&Value>, object: &serde_json::Map<String, Value>) -> bool {
    identity(object) == expected
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rewritten(file: &Value, read_as: &Value, new: &Value) -> Value {
        let unknown = Unknown::of(file.to_string().as_bytes(), read_as).unwrap();
        unknown.write(new, |_| true).0
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
    fn what_lost_its_place_does_not_come_back() {
        let file = json!({"w": {"x": {"new": 1}}});
        let unknown = Unknown::of(file.to_string().as_bytes(), &json!({"w": {"x": {}}})).unwrap();
        let (_, left) = unknown.write(&json!({"w": {}}), |_| true);
        assert!(left.is_none());
        let again = json!({"w": {"x": {}}});
        assert_eq!(left.write(&again, |_| true).0, again);
    }

    #[test]
    fn what_would_change_the_reading_is_dropped() {
        let unknown = Unknown::of(br#"{"old_name": 7}"#, &json!({"name": 7})).unwrap();
        let new = json!({"other": 8});
        let (written, left) = unknown.write(&new, |_| false);
        assert_eq!(written, new);
        assert!(left.is_none());
    }
}
