//! What a container in a pod's manifest runs.

pub(crate) const WORKS: &str = r#"[/bin/sleep, "2147483647"]"#;
pub(crate) const CRASHES: &str = r#"[/bin/sh, -c, "exit 3"]"#;
