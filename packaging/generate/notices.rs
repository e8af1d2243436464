//! The notices of the libraries that are linked into the program: their licences ask to be handed on with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Every distinct text once, under the names of the libraries that it belongs to.
pub(crate) fn text() -> Result<String, Box<dyn Error>> {
    let mut libraries = Vec::new();
    let mut by_text: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in linked()? {
        let field = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        let name = format!("{} {}", field("name"), field("version"));
        libraries.push(format!("{name} ({})", field("license")));
        let manifest = field("manifest_path");
        for text in notices(Path::new(&manifest))? {
            by_text.entry(text).or_default().insert(name.clone());
        }
    }
    let mut out = format!(
        "Rollcall is linked with these libraries; their notices follow.\n\n{}\n",
        libraries.join("\n")
    );
    for (text, names) in by_text {
        let names: Vec<_> = names.into_iter().collect();
        out.push_str(&format!(
            "\n{}\n{}\n\n{text}\n",
            "-".repeat(72),
            names.join(", ")
        ));
    }
    Ok(out)
}

/// The packages that end up in the program, by name: what the root depends on, and what those depend on; not what only
/// builds or tests it.
fn linked() -> Result<Vec<Value>, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
        ])
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let id = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let edges: HashMap<_, _> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (id(&node["id"]), list(&node["deps"])))
        .collect();
    let root = id(&metadata["resolve"]["root"]);
    let mut found = BTreeSet::new();
    let mut open = vec![root.clone()];
    while let Some(package) = open.pop() {
        for edge in edges.get(&package).into_iter().flatten() {
            let normal = list(&edge["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null());
            let target = id(&edge["pkg"]);
            if normal && found.insert(target.clone()) {
                open.push(target);
            }
        }
    }
    let mut packages = list(&metadata["packages"]);
    packages.retain(|package| found.contains(&id(&package["id"])));
    packages.sort_by_key(|package| id(&package["name"]));
    Ok(packages)
}

/// The texts beside a manifest: where there is a choice with the MIT licence in it, that one.
fn notices(manifest: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let dir = manifest.parent().ok_or("a manifest without a directory")?;
    let mut files = Vec::new();
    for file in fs::read_dir(dir)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().to_uppercase();
        let legal = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT"];
        if legal.iter().any(|start| name.starts_with(start)) && file.file_type()?.is_file() {
            files.push((name, file.path()));
        }
    }
    files.sort();
    if files.iter().any(|(name, _)| name.contains("MIT")) {
        files.retain(|(name, _)| name.contains("MIT") || name.starts_with("NOTICE"));
    }
    files
        .into_iter()
        .map(|(_, path)| Ok(fs::read_to_string(path)?.trim().replace('\r', "")))
        .collect()
}
