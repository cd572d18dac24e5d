//! The files in `examples/`: each is read without a fault, and those whose tools are here do what they say.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

use std::fs;
use std::path::{Path, PathBuf};

use rollout::config::{self, Config};

fn examples() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = fs::read_dir(dir).expect("examples").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

/// Every variable has a value: the files say which they need.
fn env(name: &str) -> String {
    if name == "XDG_STATE_HOME" { "/state".to_owned() } else { format!("value-of-{name}") }
}

fn read(path: &Path) -> Config {
    config::load(path, &[], &|name| Some(env(name))).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_example_is_read_without_a_fault() {
    let mut names = Vec::new();
    for file in examples() {
        let config = read(&file);
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        // Without a balancer something may fail, which is said; nothing else is in doubt.
        let nobody = matches!(config.traffic, rollout::traffic::Settings::None);
        let doubts: Vec<&String> = config
            .warnings
            .iter()
            .filter(|w| !(nobody && w.contains("traffic.driver → takes nothing out of rotation")))
            .collect();
        assert_eq!(doubts, Vec::<&String>::new(), "{name}");
        assert_eq!(config.warnings.len(), usize::from(nobody), "{name}");
        names.push(name);
    }
    for tool in [
        "ssh",
        "ssh-release",
        "surge",
        "analysis-prometheus",
        "canary",
        "hooks",
        "systemd",
        "systemctl",
        "docker",
        "discover-docker",
        "kubectl",
        "aws",
        "fly",
        "vercel",
        "ansible",
        "process-none",
        "traffic-http",
        "nginx",
        "caddy",
        "nginx-plus",
        "envoy",
        "traefik",
    ] {
        assert!(names.iter().any(|name| name == tool), "{tool} in {names:?}");
    }
}

#[test]
fn secrets_of_the_examples_are_not_shown() {
    for file in examples() {
        let config = read(&file);
        let shown = format!("{config:?} {:?} {:?} {:?}", config.fleet, config.traffic, config.health);
        let shown = format!("{shown} {:?} {:?}", config.analysis, config.hooks);
        for secret in ["FLY_API_TOKEN", "VERCEL_TOKEN", "DATAPLANE_BASIC", "CHECK_TOKEN", "SHOP_TOKEN", "PROMETHEUS_TOKEN"] {
            assert!(!shown.contains(&format!("value-of-{secret}")), "{}: {shown}", file.display());
        }
    }
}
