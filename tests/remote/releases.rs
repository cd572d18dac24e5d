//! Releases on hosts, and the steps around them when links are lost; the numbers are those of the catalogue of faults.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use rollout::fleet::{self, CommandSettings, HostsSettings, ReleaseSettings, Settings, SshSettings, Step};
use rollout::model::{DeploymentId, EffectId, InstanceId, Span, Target, Version};
use rollout::os::extract::Extract;
use rollout::os::program::Environment;
use rollout::ports::{FleetDriver, FleetError, UpdateOrder};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::wait_for;
use crate::sshd::{Hosts, clients};

fn target() -> Target {
    let id = InstanceId::new("web-1").unwrap();
    Target { id, host: "host-1".to_owned(), port: 8080, zone: None, labels: BTreeMap::default() }
}

fn version(text: &str) -> Version {
    Version::new(text).unwrap()
}

fn order(to: &str, from: Option<&str>, n: u32) -> UpdateOrder {
    let effect = EffectId::new(&DeploymentId::new("shop", 1), Some(&target().id), "update", n);
    UpdateOrder { effect, target: target(), version: version(to), previous: from.map(version) }
}

struct Site {
    hosts: Hosts,
}

impl Site {
    fn new() -> Option<Self> {
        Hosts::start(1).map(|hosts| Self { hosts })
    }

    fn build(&self, version: &str) -> PathBuf {
        let dir = self.hosts.path("builds").join(version.replace('/', "_"));
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::write(dir.join("VERSION"), version).unwrap();
        fs::write(dir.join("bin/a file"), vec![7; 300_000]).unwrap();
        dir
    }

    fn base(&self) -> PathBuf {
        self.hosts.path("srv")
    }

    fn releases(&self) -> Vec<String> {
        let entries = fs::read_dir(self.base().join("releases")).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn driver(&self, source: &str, steps: &[(&'static str, &str)], idempotent: bool) -> Arc<dyn FleetDriver> {
        let argv = |script: &str| ["sh", "-c", script, "sh", "{{ version }}"].map(str::to_owned).to_vec();
        let release = !source.is_empty();
        let observe = if release { Vec::new() } else { vec!["cat".to_owned(), self.hosts.path("VERSION").display().to_string()] };
        let commands = CommandSettings {
            service: "shop".to_owned(),
            observe,
            version: Extract::FirstLine,
            not_running: Vec::new(),
            steps: steps.iter().map(|(name, script)| Step { name, argv: argv(script) }).collect(),
            env: Environment::default(),
            timeout: Span::from_secs(20),
            stop_timeout: Span::from_millis(300),
            observe_timeout: Span::from_secs(5),
            idempotent,
            dir: self.hosts.path("records"),
        };
        let path = self.base().display().to_string();
        let release = release.then(|| ReleaseSettings { source: source.to_owned(), path, keep: 2 });
        let ssh = Some(SshSettings { host: "{{ instance.host }}".to_owned(), options: self.hosts.options() });
        let settings = Settings::Hosts(Box::new(HostsSettings { commands, env: "default".to_owned(), ssh, release, unit: None }));
        fleet::prepare(&settings).unwrap();
        fleet::build(&settings).unwrap()
    }

    fn kill_clients(&self) {
        for client in clients(&self.hosts.path("ssh_config")) {
            kill_process(client, Signal::KILL).ok();
        }
    }
}

#[tokio::test]
async fn a_release_is_whole_or_not_there_and_going_back_uploads_nothing() {
    let Some(site) = Site::new() else { return };
    let source = format!("{}/{{{{ version|replace('/', '_') }}}}", site.hosts.path("builds").display());
    let driver = site.driver(&source, &[], false);
    for name in ["v1", "v2", "a/b:v3", "v4"] {
        site.build(name);
    }
    driver.update(&order("v1", None, 1)).await.unwrap();
    assert_eq!(fs::read(site.base().join("current/bin/a file")).unwrap().len(), 300_000);
    // Whoever runs it can read it.
    assert_eq!(fs::metadata(site.base().join("releases/v1")).unwrap().permissions().mode() & 0o777, 0o755);
    driver.update(&order("v2", Some("v1"), 2)).await.unwrap();
    driver.update(&order("a/b:v3", Some("v2"), 3)).await.unwrap();
    let seen = driver.observe(&target()).await.unwrap();
    assert_eq!(seen.version, Some(version("a/b:v3")));
    assert_eq!(site.releases(), ["a%2Fb:v3", "v2"], "pruned, but for the one before");
    // The build is gone; the release is not.
    fs::remove_dir_all(site.hosts.path("builds/v2")).unwrap();
    assert_eq!(driver.check(&target(), &version("v2")).await, Vec::<String>::new());
    let marked = site.base().join("releases/v2/marked");
    fs::write(&marked, "").unwrap();
    driver.update(&order("v2", Some("a/b:v3"), 4)).await.unwrap();
    assert!(marked.exists(), "it was not uploaded again");
    assert_eq!(site.releases(), ["a%2Fb:v3", "v2"]);
    // Neither here nor there.
    fs::remove_dir_all(site.hosts.path("builds/v1")).unwrap();
    let missing = driver.check(&target(), &version("v1")).await;
    assert!(missing.iter().any(|why| why.contains("builds/v1") || why.contains("releases/v1")), "{missing:?}");
    fs::remove_dir_all(site.hosts.path("builds/v4")).unwrap();
    let error = driver.update(&order("v4", Some("v2"), 5)).await.unwrap_err();
    assert!(matches!(&error, FleetError::Failed(why) if why.contains("v4 is not there")), "{error:?}");
    assert_eq!(site.releases(), ["a%2Fb:v3", "v2"], "nothing of it stays");
    assert_eq!(driver.observe(&target()).await.unwrap().version, Some(version("v2")));
}

#[tokio::test]
async fn an_archive_is_unpacked_and_a_broken_one_leaves_nothing() {
    let Some(site) = Site::new() else { return };
    let dir = site.build("v1");
    let archive = |name: &str| site.hosts.path(&format!("shop-{name}.tar.gz"));
    let packed = std::process::Command::new("tar").arg("-C").arg(&dir).arg("-czf").arg(archive("v1")).arg(".").status();
    assert!(packed.unwrap().success());
    let bytes = fs::read(archive("v1")).unwrap();
    fs::write(archive("v2"), &bytes[..bytes.len() / 2]).unwrap();
    let source = format!("{}/shop-{{{{ version }}}}.tar.gz", site.hosts.dir.path().display());
    let driver = site.driver(&source, &[], false);
    driver.update(&order("v1", None, 1)).await.unwrap();
    assert_eq!(fs::read_to_string(site.base().join("current/VERSION")).unwrap(), "v1");
    let error = driver.update(&order("v2", Some("v1"), 2)).await.unwrap_err();
    assert!(matches!(&error, FleetError::Failed(why) if why.contains("upload of web-1")), "{error:?}");
    assert_eq!(site.releases(), ["v1"]);
    assert_eq!(driver.observe(&target()).await.unwrap().version, Some(version("v1")));
}

/// D3, D11: the link is lost before and after the work, and what is seen decides.
#[tokio::test]
async fn a_link_that_is_lost_in_mid_step_is_unknown_and_looked_at() {
    let Some(site) = Site::new() else { return };
    let (at, begun) = (site.hosts.path("VERSION"), site.hosts.path("begun"));
    fs::write(&at, "v1").unwrap();
    let (at, shown) = (at.display().to_string(), begun.display().to_string());
    for (n, (script, runs)) in [
        (format!("echo $$ >{shown}; sleep 1000; echo $1 >{at}"), "v1"),
        (format!("echo $1 >{at}; echo $$ >{shown}; sleep 1000"), "v2"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::remove_file(&begun).ok();
        let driver = site.driver("", &[("command", &script)], false);
        let order = order("v2", Some("v1"), u32::try_from(n).unwrap());
        let cut = async {
            let pid: i32 = wait_for("the step", async || fs::read_to_string(&begun).ok()?.trim().parse().ok()).await;
            site.kill_clients();
            pid
        };
        let (lost, pid) = tokio::join!(driver.update(&order), cut);
        assert!(matches!(&lost, Err(FleetError::Unknown(why)) if why.contains("link")), "{lost:?}");
        // Over a new link.
        assert_eq!(driver.observe(&target()).await.unwrap().version, Some(version(runs)));
        wait_for("its group is gone", async || {
            let stat = rollout::os::process::stat(pid);
            stat.is_none_or(|stat| stat.zombie).then_some(())
        })
        .await;
        assert!(Pid::from_raw(pid).is_some());
    }
    // What may be run again is, over a new link.
    fs::remove_file(&begun).ok();
    let once = format!("[ -e {shown} ] || {{ echo $$ >{shown}; sleep 1000; }}; echo $1 >{at}");
    let driver = site.driver("", &[("command", &once)], true);
    let order = order("v3", Some("v2"), 9);
    let cut = async {
        wait_for("the step", async || begun.exists().then_some(())).await;
        site.kill_clients();
    };
    let (done, ()) = tokio::join!(driver.update(&order), cut);
    done.unwrap();
}
