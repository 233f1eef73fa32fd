//! The notices of the crates that are linked into the program: their licences ask for them wherever
//! a binary goes. And the same for programs, as a bill of materials.
//!
//! What is linked, and where its files lie, is cargo's word. A crate that may be had under
//! Apache-2.0 is taken under it, and its text is the project's own `LICENSE`; of any other the text
//! itself is needed, and a crate without one is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

const PREFACE: &str = "\
tagkeeper is built from these crates and Rust's standard library (MIT OR Apache-2.0). What may be had under Apache-2.0
is used under it: its text comes with tagkeeper. The texts of the other licences, and all notices, follow the list.
";
/// What is in the statically linked programs of `make build ARCH=`, from musl's COPYRIGHT.
const MUSL: &str = "\
musl as a whole is licensed under the following standard MIT license:

Copyright © 2005-2020 Rich Felker, et al.

Permission is hereby granted, free of charge, to any person obtaining
a copy of this software and associated documentation files (the
\"Software\"), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT.
IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE
SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";
/// How the files are called that have to be passed on, in lower case.
const TEXTS: [&str; 3] = ["license", "licence", "copying"];
const NOTICE: &str = "notice";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    root: String,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

/// A dependency of the program has no kind; those of tests and of build scripts have one.
#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

pub(crate) fn all() -> Result<String> {
    let metadata = metadata()?;
    let linked = linked(&metadata.resolve);
    let mut packages: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| linked.contains(package.id.as_str()))
        .collect();
    packages.sort_by_key(|package| (&package.name, &package.version));

    let mut out = format!("{PREFACE}\n");
    let mut users_of_texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let called = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref().unwrap_or_default();
        let from = package.repository.as_deref().unwrap_or_default();
        writeln!(out, "{called}: {licence} {from}")?;
        for text in package.texts()? {
            users_of_texts.entry(text).or_default().push(called.clone());
        }
    }
    users_of_texts
        .entry(MUSL.trim_end().to_owned())
        .or_default()
        .push("musl, in a program that is linked statically".to_owned());
    for (text, users) in &users_of_texts {
        let rule = "-".repeat(80);
        write!(out, "\n{rule}\n{}:\n\n{text}\n", users.join(", "))?;
    }
    Ok(out)
}

/// What is linked, and what of it needs what, for programs: a bill of materials, `CycloneDX` 1.5 as
/// JSON. Without a time and a serial number, so that the same source makes the same file.
pub(crate) fn sbom() -> Result<String> {
    let metadata = metadata()?;
    let linked = linked(&metadata.resolve);
    let is_part = |id: &str| linked.contains(id) || id == metadata.resolve.root;
    let mut packages: Vec<&Package> = metadata.packages.iter().collect();
    packages.retain(|package| is_part(&package.id));
    packages.sort_by_key(|package| (&package.name, &package.version));
    let purls: BTreeMap<&str, String> = packages
        .iter()
        .map(|package| (package.id.as_str(), package.purl()))
        .collect();
    let (root, others): (Vec<&Package>, Vec<&Package>) = packages
        .into_iter()
        .partition(|package| package.id == metadata.resolve.root);
    let mut dependencies = BTreeMap::new();
    for node in &metadata.resolve.nodes {
        if let Some(purl) = purls.get(node.id.as_str()) {
            let linked = node
                .deps
                .iter()
                .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            let needs: BTreeSet<&String> = linked
                .filter_map(|dependency| purls.get(dependency.pkg.as_str()))
                .collect();
            dependencies.insert(purl, needs);
        }
    }
    let bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": root.first().map(|package| package.component("application"))},
        "components": others.iter().map(|p| p.component("library")).collect::<Vec<_>>(),
        "dependencies": dependencies
            .iter()
            .map(|(of, needs)| json!({"ref": of, "dependsOn": needs}))
            .collect::<Vec<_>>(),
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&bill)?))
}

fn metadata() -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let host = run(Command::new("rustc").args(["--print", "host-tuple"]))?;
    let host = String::from_utf8(host)?;
    // What is built for this host has been fetched already.
    let said = run(Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", host.trim()])
        .current_dir(env!("CARGO_MANIFEST_DIR")))?;
    serde_json::from_slice(&said).context("failed to read what cargo says of the crates")
}

fn run(command: &mut Command) -> Result<Vec<u8>> {
    let said = command.output();
    let said = said.with_context(|| format!("failed to run {command:?}"))?;
    let complaint = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "{command:?}: {complaint}");
    Ok(said.stdout)
}

/// The crates that the program is made of; the program itself aside.
fn linked(resolve: &Resolve) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Node> = resolve.nodes.iter().map(|n| (n.id.as_str(), n)).collect();
    let mut linked = BTreeSet::new();
    let mut waiting = vec![resolve.root.as_str()];
    while let Some(node) = waiting.pop().and_then(|id| nodes.get(id)) {
        for dependency in &node.deps {
            let is_linked = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if is_linked && linked.insert(dependency.pkg.as_str()) {
                waiting.push(&dependency.pkg);
            }
        }
    }
    linked
}

impl Package {
    /// Its name among those of all package managers.
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    fn component(&self, kind: &str) -> Value {
        // Some still write the slash of old.
        let licence = self.license.as_deref().unwrap_or_default();
        json!({
            "type": kind,
            "bom-ref": self.purl(),
            "name": self.name,
            "version": self.version,
            "purl": self.purl(),
            "licenses": [{"expression": licence.replace('/', " OR ")}],
        })
    }

    /// What has to be passed on of a crate.
    fn texts(&self) -> Result<Vec<String>> {
        let licence = self.license.as_deref().unwrap_or_default();
        if licence.contains("Apache-2.0") && !licence.contains(" AND ") {
            return self.files(&[NOTICE]);
        }
        let texts = self.files(&TEXTS)?;
        let name = &self.name;
        ensure!(
            !texts.is_empty(),
            "{name} has no text of its licence '{licence}'"
        );
        Ok(texts)
    }

    fn files(&self, beginnings: &[&str]) -> Result<Vec<String>> {
        let directory = self.manifest_path.parent().unwrap_or(Path::new("."));
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if beginnings.iter().any(|start| name.starts_with(start)) && entry.path().is_file() {
                files.push(entry.path());
            }
        }
        files.sort();
        let read = |file: &PathBuf| {
            let text = fs::read_to_string(file);
            let text = text.with_context(|| format!("failed to read '{}'", file.display()))?;
            Ok(text.trim().replace("\r\n", "\n"))
        };
        files.iter().map(read).collect()
    }
}
