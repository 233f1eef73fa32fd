//! Who is asked about: the environment that tagkeeper gives to a `ready` command (design 4.3).

use std::env::var;

use anyhow::{Result, bail};

/// The workload and its container, as the environment names them. What a command does not need may
/// be missing.
pub(crate) struct Subject {
    workload: Option<String>,
    container_id: Option<String>,
    container_name: Option<String>,
    version: Option<String>,
}

impl Subject {
    pub(crate) fn from_environment() -> Self {
        let read = |name| var(name).ok().filter(|value| !value.is_empty());
        Self {
            workload: read("TAGKEEPER_WORKLOAD"),
            container_id: read("TAGKEEPER_CONTAINER_ID"),
            container_name: read("TAGKEEPER_CONTAINER_NAME"),
            version: read("TAGKEEPER_VERSION"),
        }
    }

    /// The workload's name, for messages.
    pub(crate) fn workload(&self) -> &str {
        self.workload.as_deref().unwrap_or("(no workload)")
    }

    pub(crate) fn required_workload(&self) -> Result<&str> {
        required(self.workload.as_deref(), "TAGKEEPER_WORKLOAD")
    }

    pub(crate) fn container_name(&self) -> Result<&str> {
        required(self.container_name.as_deref(), "TAGKEEPER_CONTAINER_NAME")
    }

    /// The version, as tagkeeper labels it.
    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// The whole id, 64 hexadecimal digits: nothing else goes into a request or a comparison.
    pub(crate) fn container_id(&self) -> Result<&str> {
        let id = required(self.container_id.as_deref(), "TAGKEEPER_CONTAINER_ID")?;
        if id.len() != 64 || !is_hex(id) {
            bail!("TAGKEEPER_CONTAINER_ID is '{id}', not the 64 digits of an id");
        }
        Ok(id)
    }
}

/// Lower-case hexadecimal digits, as engines write them, and nothing else.
pub(crate) fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn required<'a>(value: Option<&'a str>, name: &str) -> Result<&'a str> {
    match value {
        Some(value) => Ok(value),
        None => bail!("{name} is not set: tagkeeper sets it; by hand, set it too"),
    }
}
