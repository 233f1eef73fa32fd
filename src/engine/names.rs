//! Names as the engine is given them.

use tagkeeper_core::model::{Reference, Repository};

/// Where a repository is that is written without a registry.
const HUB: &str = "docker.io";

/// A repository in full. Podman resolves a short name to whatever repository ends in it, so that a bare `app` could mean
/// `registry.example/app` (containers/podman#14294).
pub(super) fn full_repository(repository: &Repository) -> String {
    let registry = match repository.registry() {
        None | Some("index.docker.io") => HUB,
        Some(registry) => registry,
    };
    let path = repository.path();
    let is_official = registry == HUB && !path.contains('/');
    let library = if is_official { "library/" } else { "" };
    format!("{registry}/{library}{path}")
}

/// A name of an image in full.
pub(super) fn full_name(reference: &Reference) -> String {
    let written = reference.to_string();
    let repository = reference.repository();
    let rest = written
        .strip_prefix(repository.as_str())
        .unwrap_or_default();
    format!("{}{rest}", full_repository(repository))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_in_full() {
        let digest = format!("@sha256:{}", "0".repeat(64));
        for (written, full) in [
            ("app", "docker.io/library/app"),
            ("library/app", "docker.io/library/app"),
            ("docker.io/app", "docker.io/library/app"),
            ("docker.io/library/app", "docker.io/library/app"),
            ("index.docker.io/app", "docker.io/library/app"),
            ("team/app", "docker.io/team/app"),
            ("library/team/app", "docker.io/library/team/app"),
            ("localhost/app", "localhost/app"),
            ("reg.example/app", "reg.example/app"),
            ("reg.example/library/app", "reg.example/library/app"),
            ("reg.example:5000/team/app", "reg.example:5000/team/app"),
        ] {
            for rest in [":v1", digest.as_str()] {
                let name = Reference::parse(&format!("{written}{rest}")).unwrap();
                assert_eq!(full_name(&name), format!("{full}{rest}"));
                let again = Reference::parse(&full_name(&name)).unwrap();
                assert_eq!(again, name, "it is the same name");
            }
        }
        let latest = Reference::parse("app").unwrap();
        assert_eq!(full_name(&latest), "docker.io/library/app:latest");
    }
}
