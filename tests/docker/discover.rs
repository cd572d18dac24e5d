//! Instances found by their labels, and `rollout init` from running containers.

use std::fs;
use std::process::{Command, Stdio};

use rollout::config;
use rollout::fleet::docker::{DaemonSettings, Found, containers};

use crate::common::free_port;
use crate::site::{Site, driver, version};

#[tokio::test]
async fn containers_are_found_by_label() {
    let Some(site) = Site::start().await else { return };
    site.serving("shop:v1");
    let (one, two) = (free_port(), free_port());
    for (name, port, zone) in [("shop-2", two, "b"), ("shop-1", one, "a")] {
        let (publish, zone) = (format!("127.0.0.1:{port}:8080"), format!("zone={zone}"));
        site.docker(&["run", "-d", "--name", name, "--label", "app=shop", "--label", &zone, "-p", &publish, "shop:v1"]);
    }
    site.docker(&["run", "-d", "--name", "db", "--label", "app=db", "shop:v1"]);
    site.docker(&["create", "--name", "shop-1-rollout-old", "--label", "app=shop", "shop:v1"]);
    let settings = DaemonSettings { host: site.host.clone(), ..DaemonSettings::default() };
    let found = containers(&settings, &["app=shop".to_owned()]).await.unwrap();
    let shown = |found: &Found| (found.name.clone(), found.address.clone(), found.port, found.labels.get("zone").cloned());
    let shop = |name: &str, port, zone: &str| (name.to_owned(), Some("127.0.0.1".to_owned()), Some(port), Some(zone.to_owned()));
    assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), [shop("shop-1", one, "a"), shop("shop-2", two, "b")]);
    assert_eq!(found[0].container_port, Some(8080));
    assert_eq!(found[0].image, "shop:v1");
    let db = containers(&settings, &["app=db".to_owned()]).await.unwrap();
    assert_eq!(db.iter().map(|found| (found.name.as_str(), found.port)).collect::<Vec<_>>(), [("db", None)]);
    assert_eq!(containers(&settings, &["app=none".to_owned()]).await.unwrap(), Vec::new());
    let nobody = DaemonSettings { host: format!("unix://{}", site.path("none.sock").display()), ..DaemonSettings::default() };
    assert!(containers(&nobody, &[]).await.unwrap_err().contains("none.sock"));
}

#[tokio::test]
async fn a_plan_is_made_of_the_containers_that_run() {
    let Some(site) = Site::start().await else { return };
    site.serving("shop:v1");
    site.docker(&["tag", "shop:v1", "shop:v2"]);
    let ports = [free_port(), free_port()];
    for (number, port) in (1..).zip(ports) {
        let (name, publish) = (format!("shop-{number}"), format!("127.0.0.1:{port}:8080"));
        let labels = ["--label", "app=shop", "--label", "zone=a", "--label", "about=two\nlines"];
        site.docker(&[&["run", "-d", "--name", &name, "-p", &publish], &labels[..], &["shop:v1"]].concat());
    }
    site.docker(&["run", "-d", "--name", "db", "--label", "app=db", "shop:v1"]);
    let file = site.path("rollout.toml");
    let text = |label: &str| {
        format!(
            "[service]\nname = \"shop\"\n[fleet]\ndriver = \"docker\"\n\
             [fleet.discover.docker]\nhost = \"{host}\"\nlabels = [\"{label}\"]\n\
             [update.docker]\nhost = \"{host}\"\nimage = \"shop:{{{{ version }}}}\"\n\
             [traffic]\ndriver = \"none\"\n[journal]\ndir = \"{journal}\"\n",
            host = site.host,
            journal = site.path("journal").display()
        )
    };
    let plan = |label: &str| {
        fs::write(&file, text(label)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
        command.args(["plan", "v2", "--output", "json", "--config"]).arg(&file).env_remove("ROLLOUT_CONFIG");
        let made = command.stdin(Stdio::null()).output().unwrap();
        (made.status.code(), String::from_utf8(made.stdout).unwrap(), String::from_utf8(made.stderr).unwrap())
    };
    let (code, out, err) = plan("app=shop");
    assert_eq!(code, Some(0), "{err}");
    let made: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    let batches = made["batches"].as_array().unwrap().iter();
    let mut named: Vec<&str> =
        batches.flat_map(|batch| batch["members"].as_array().unwrap()).map(|name| name.as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ["shop-1", "shop-2"], "{out}");
    let (code, _, err) = plan("app=none");
    assert_eq!(code, Some(6), "{err}");
    assert!(err.contains("[fleet.discover.docker] names nobody; nothing is touched"), "{err}");
    // A container that publishes nothing.
    let (code, _, err) = plan("app=db");
    assert_eq!(code, Some(6), "{err}");
    assert!(err.contains("[fleet.discover.docker] names db without a port; add port = 8080 to [fleet]"), "{err}");
}

#[tokio::test]
async fn init_begins_with_the_containers_that_run() {
    let Some(site) = Site::start().await else { return };
    site.serving("team/shop:v1");
    let ports = [free_port(), free_port()];
    for (number, port) in (1..).zip(ports) {
        let (name, publish) = (format!("shop-{number}"), format!("127.0.0.1:{port}:8080"));
        site.docker(&["run", "-d", "--name", &name, "-p", &publish, "team/shop:v1"]);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
    command.args(["init", "--from", "docker"]).env("DOCKER_HOST", &site.host).env_remove("ROLLOUT_CONFIG");
    let made = command.current_dir(site.dir.path()).stdin(Stdio::null()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = fs::read_to_string(site.path("rollout.toml")).unwrap();
    let journal = format!("{text}[journal]\ndir = \"{}\"\n", site.path("journal").display());
    let config =
        config::read(&site.path("rollout.toml"), &journal, &[], &|_| None).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_eq!(config.targets.iter().map(|target| target.port).collect::<Vec<_>>(), ports);
    let (driver, target) = driver(&config);
    assert_eq!(driver.observe(&target).await.unwrap().version, Some(version("v1")));
    assert_eq!(driver.check(&target, &version("v1")).await, Vec::<String>::new());
}
