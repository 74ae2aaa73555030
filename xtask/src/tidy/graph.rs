//! The crates of the workspace, everything they are built from, and the arrows between them, as cargo tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The dependency graph.
#[derive(Default)]
pub(crate) struct Graph {
    /// All packages, ours and others.
    pub(crate) packages: Vec<Package>,
    /// What our crates' manifests name.
    pub(crate) arrows: Vec<Arrow>,
    /// What is linked into what, by id; without tests and build scripts.
    built_from: BTreeMap<String, BTreeSet<String>>,
}

/// One package.
pub(crate) struct Package {
    id: String,
    /// Its name; ours without `wheelhouse-`.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licence, as it says.
    pub(crate) licence: Option<String>,
    /// Where it comes from; none when it is ours.
    pub(crate) source: Option<String>,
}

/// One dependency as a manifest of ours names it.
pub(crate) struct Arrow {
    /// The crate of ours.
    pub(crate) from: String,
    /// What it names.
    pub(crate) to: String,
    /// What for.
    pub(crate) kind: ArrowKind,
}

/// What a dependency is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ArrowKind {
    /// To be built from, the build script included.
    Build,
    /// For its tests.
    Tests,
}

impl Graph {
    /// Asks cargo.
    pub(crate) fn read(root: &Path) -> Result<Graph, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let answer = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root)
            .output()
            .map_err(|error| format!("cargo could not be started: {error}"))?;
        if !answer.status.success() {
            return Err(format!(
                "cargo metadata failed: {}",
                String::from_utf8_lossy(&answer.stderr).trim()
            ));
        }
        let metadata = serde_json::from_slice(&answer.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
        Ok(Graph::from_metadata(&metadata))
    }

    fn from_metadata(metadata: &Value) -> Graph {
        let mut graph = Graph::default();
        for package in list(&metadata["packages"]) {
            let name = short(&text(&package["name"]));
            if package["source"].is_null() {
                graph
                    .arrows
                    .extend(list(&package["dependencies"]).map(|dependency| Arrow {
                        from: name.clone(),
                        to: short(&text(&dependency["name"])),
                        kind: match dependency["kind"].as_str() {
                            Some("dev") => ArrowKind::Tests,
                            _ => ArrowKind::Build,
                        },
                    }));
            }
            graph.packages.push(Package {
                id: text(&package["id"]),
                name,
                version: text(&package["version"]),
                licence: package["license"].as_str().map(str::to_owned),
                source: package["source"].as_str().map(str::to_owned),
            });
        }
        for node in list(&metadata["resolve"]["nodes"]) {
            let linked = list(&node["deps"]).filter(|dep| list(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null()));
            let ids = linked.map(|dep| text(&dep["pkg"])).collect();
            graph.built_from.insert(text(&node["id"]), ids);
        }
        graph
    }

    /// Our crates.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_none())
    }

    /// The packages of others.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.source.is_some())
    }

    /// How `name` (ours) comes to be built from `wanted`: the names on the way, both included.
    pub(crate) fn way(&self, name: &str, wanted: &str) -> Option<Vec<&str>> {
        let start = self.ours().find(|package| package.name == name)?;
        let mut ways = vec![vec![start]];
        let mut seen = BTreeSet::from([start.id.as_str()]);
        // Breadth first, so the shortest way is found.
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                let last = way.last()?;
                if last.name == wanted {
                    return Some(way.iter().map(|package| package.name.as_str()).collect());
                }
                for id in self.built_from.get(&last.id).into_iter().flatten() {
                    let next = self.packages.iter().find(|package| package.id == *id);
                    if let Some(next) = next.filter(|next| seen.insert(&next.id)) {
                        longer.push(way.iter().copied().chain([next]).collect());
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn short(name: &str) -> String {
    name.strip_prefix("wheelhouse-").unwrap_or(name).to_owned()
}

#[cfg(test)]
impl Graph {
    /// A graph of these arrows (`a -> b`, or `a -tests-> b`; what is never a package of others is ours) and these
    /// packages of others (name, version, licence).
    pub(crate) fn of(arrows: &[&str], others: &[(&str, &str, Option<&str>)]) -> Graph {
        let mut graph = Graph::default();
        for (name, version, licence) in others {
            graph.packages.push(Package {
                id: (*name).to_owned(),
                name: (*name).to_owned(),
                version: (*version).to_owned(),
                licence: licence.map(str::to_owned),
                source: Some(crate::house::REGISTRY.to_owned()),
            });
        }
        for arrow in arrows {
            let mut words = arrow.split(' ');
            let (from, kind, to) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let kind = if kind == "-tests->" {
                ArrowKind::Tests
            } else {
                ArrowKind::Build
            };
            for name in [from, to] {
                if !graph.packages.iter().any(|package| package.name == name) {
                    graph.packages.push(Package {
                        id: name.to_owned(),
                        name: name.to_owned(),
                        version: "0.1.0".to_owned(),
                        licence: Some("MIT OR Apache-2.0".to_owned()),
                        source: None,
                    });
                }
            }
            if kind == ArrowKind::Build {
                graph
                    .built_from
                    .entry(from.to_owned())
                    .or_default()
                    .insert(to.to_owned());
            }
            graph.arrows.push(Arrow {
                from: from.to_owned(),
                to: to.to_owned(),
                kind,
            });
        }
        graph
    }

    /// The same, with a package from elsewhere.
    pub(crate) fn with_source(mut self, name: &str, source: &str) -> Graph {
        for package in self.packages.iter_mut().filter(|package| package.name == name) {
            package.source = Some(source.to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cargos_words_are_understood() {
        let registry = crate::house::REGISTRY;
        let graph = Graph::from_metadata(&json!({
            "packages": [
                {"id": "c", "name": "wheelhouse-core", "version": "0.1.0", "license": "MIT", "source": null,
                 "dependencies": [
                    {"name": "serde", "kind": null},
                    {"name": "wheelhouse-testkit", "kind": "dev"}]},
                {"id": "s", "name": "serde", "version": "1.0.1", "license": null, "source": registry,
                 "dependencies": [{"name": "ignored", "kind": null}]}
            ],
            "resolve": {"nodes": [
                {"id": "c", "deps": [{"pkg": "s", "dep_kinds": [{"kind": null}]}]},
                {"id": "s", "deps": [{"pkg": "c", "dep_kinds": [{"kind": "build"}]}]}
            ]}
        }));
        let arrows: Vec<_> = graph
            .arrows
            .iter()
            .map(|arrow| (arrow.to.as_str(), arrow.kind))
            .collect();
        assert_eq!(arrows, [("serde", ArrowKind::Build), ("testkit", ArrowKind::Tests)]);
        assert_eq!(
            graph.others().map(|package| &package.licence).collect::<Vec<_>>(),
            [&None]
        );
        assert_eq!(graph.way("core", "serde"), Some(vec!["core", "serde"]));
        assert_eq!(graph.way("core", "tokio"), None);
    }

    #[test]
    fn the_shortest_way_is_found() {
        let graph = Graph::of(
            &[
                "core -> a",
                "a -> b",
                "b -> tokio",
                "core -> c",
                "c -> tokio",
                "core -tests-> mio",
            ],
            &[("tokio", "1.0.0", None)],
        );
        assert_eq!(graph.way("core", "tokio"), Some(vec!["core", "c", "tokio"]));
        assert_eq!(graph.way("core", "mio"), None);
    }
}
