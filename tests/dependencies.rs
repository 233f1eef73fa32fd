//! Every crate that is built here, those of tests and benchmarks included, against `deny.toml` and
//! the declared Rust version. `cargo deny` would take minutes to build, and a later Rust than a
//! distribution has; `make advisories` runs it.

#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use spdx::{Expression, ParseMode};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Deny {
    graph: Graph,
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    rust_version: Option<String>,
    /// None for a crate of this repository.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn deny() -> Result<Deny> {
    let text = fs::read_to_string(repository().join("deny.toml"))?;
    Ok(toml::from_str(&text)?)
}

fn packages() -> Result<Vec<Package>> {
    packages_of("Cargo.toml")
}

/// On all the targets that packages are made for, as the lock file beside the manifest has them.
fn packages_of(manifest: &str) -> Result<Vec<Package>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(repository());
    cargo.args(["metadata", "--locked", "--format-version", "1"]);
    cargo.args(["--manifest-path", manifest]);
    for target in deny()?.graph.targets {
        cargo.args(["--filter-platform", &target]);
    }
    let said = cargo.output()?;
    let complaint = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "{cargo:?}: {complaint}");
    let metadata: Metadata = serde_json::from_slice(&said.stdout)?;
    ensure!(metadata.packages.len() > 100, "these are not all");
    Ok(metadata.packages)
}

/// What is wrong with any of the packages, which must be nothing.
fn find(mut problem: impl FnMut(&Package) -> Option<String>) -> Result<()> {
    let packages = packages()?;
    let found: Vec<String> = packages
        .iter()
        .filter_map(|p| problem(p).map(|what| format!("{} {}: {what}", p.name, p.version)))
        .collect();
    ensure!(found.is_empty(), "{found:#?}");
    Ok(())
}

fn is_allowed(license: &str, allow: &[String]) -> bool {
    Expression::parse_mode(license, ParseMode::LAX).is_ok_and(|expression| {
        expression.evaluate(|wanted| allow.iter().any(|allowed| wanted.to_string() == *allowed))
    })
}

#[test]
fn every_licence_is_one_that_deny_toml_allows() -> Result<()> {
    let allow = deny()?.licenses.allow;
    find(|package| {
        let license = package.license.as_deref().unwrap_or("no licence");
        (!is_allowed(license, &allow)).then(|| license.to_owned())
    })
}

#[test]
fn each_part_of_a_licence_counts() {
    let allow = ["MIT".to_owned(), "Apache-2.0".to_owned()];
    for (license, expected) in [
        ("MIT", true),
        ("Unlicense/MIT", true),
        ("GPL-3.0-only OR Apache-2.0", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", false),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("LGPL-2.1-or-later", false),
        ("something else", false),
    ] {
        assert_eq!(is_allowed(license, &allow), expected, "{license}");
    }
}

#[test]
fn every_crate_comes_from_the_registry_in_a_version_that_is_named() -> Result<()> {
    find(|package| match package.source.as_deref() {
        Some(CRATES_IO) => None,
        Some(elsewhere) => Some(format!("from {elsewhere}")),
        None => {
            let any = |d: &&Dependency| d.req == "*" && d.path.is_none();
            let any = package.dependencies.iter().find(any);
            any.map(|d| format!("any version of {}", d.name))
        }
    })
}

/// Debian 13 has it. `cargo update` keeps to it, and `cargo update --precise` does not.
#[test]
fn no_crate_asks_for_a_later_rust_than_this_one_does() -> Result<()> {
    let ours = number(env!("CARGO_PKG_RUST_VERSION"))?;
    assert!(number("1.100")? > ours && number("1.9")? < ours);
    find(|package| {
        let theirs = package.rust_version.as_deref()?;
        let is_later = number(theirs).map_or(true, |theirs| theirs > ours);
        is_later.then(|| format!("Rust {theirs}"))
    })
}

fn number(version: &str) -> Result<(u32, u32)> {
    let mut parts = version.split('.').map(str::parse);
    let mut next = || parts.next().context("too short")?.context("no number");
    Ok((next()?, next()?))
}

/// cargo-fuzz would change it without a word, and fuzz other versions than the program has.
#[test]
fn the_lock_file_of_the_fuzz_targets_is_up_to_date() -> Result<()> {
    packages_of("fuzz/Cargo.toml").map(drop)
}

/// The reason for a dependency is written down when it comes.
#[test]
fn every_dependency_has_its_line_in_architecture_md() -> Result<()> {
    let text = fs::read_to_string(repository().join("ARCHITECTURE.md"))?;
    let (_, text) = text.split_once("\n## Dependencies").context("no list")?;
    let named: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|names| names.split(", "))
        .collect();
    find(|package| {
        if package.source.is_some() {
            return None;
        }
        let missing = package
            .dependencies
            .iter()
            .find(|d| d.path.is_none() && !named.contains(&d.name.as_str()));
        missing.map(|d| format!("no line for {}", d.name))
    })
}
