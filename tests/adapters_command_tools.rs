//! The examples whose tools can run here, against a real systemd behind a real sshd, a real Ansible, and AWS's
//! interface as moto has it.
//!
//! Imports: config, fleet, traffic. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;
mod machine;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{foreign, free_port, server, temp_dir, wait_for};
use machine::{Machine, Tree};
use rollout::config::{self, Config};
use rollout::model::{DeploymentId, EffectId, Rotation, Target, Version};
use rollout::ports::{FleetDriver, FleetError, UpdateOrder};
use rustix::process::Signal;

/// An example with other places in it. Each `from` must be there.
fn example(name: &str, changes: &[(&str, &str)]) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let mut text = fs::read_to_string(&path).expect("an example");
    for (from, to) in changes {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    config::read(&path, &text, &[], &|_| None).unwrap_or_else(|errors| panic!("{errors}"))
}

fn version(text: &str) -> Version {
    Version::new(text).expect("a version")
}

/// Brings an instance from one version to another, as a new order each time.
async fn update(fleet: &dyn FleetDriver, target: &Target, (from, to, attempt): (&str, &str, u32)) -> Result<(), FleetError> {
    let effect = EffectId::new(&DeploymentId::new("shop", 1), Some(&target.id), "update", attempt);
    let order = UpdateOrder { effect, target: target.clone(), version: version(to), previous: Some(version(from)) };
    fleet.update(&order).await
}

async fn runs(fleet: &dyn FleetDriver, target: &Target) -> Option<Version> {
    fleet.observe(target).await.expect("an observation").version
}

/// A server that ends with the value.
struct Server(Child);

impl Server {
    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.expect("a server"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw) {
            rustix::process::kill_process(pid, Signal::TERM).ok();
        }
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn ansible_as_in_its_example() {
    if server("ansible").is_none() || server("ansible-playbook").is_none() {
        return;
    }
    let dir = temp_dir();
    let (path, file) = (dir.path().display(), |name: &str| dir.path().join(name));
    fs::write(file("hosts"), "web-[01:06] ansible_connection=local\n").expect("an inventory");
    fs::write(file("VERSION"), "v1\n").expect("a version");
    let playbook = format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - name: install\n      ansible.builtin.command: sh -c 'test {{{{ shop_version }}}} \
         != v9 && echo {{{{ shop_version }}}} > {path}/VERSION'\n"
    );
    fs::write(file("deploy.yml"), playbook).expect("a playbook");
    let config = example(
        "ansible.toml",
        &[
            ("/etc/ansible/hosts", &format!("{path}/hosts")),
            ("/etc/ansible/deploy-shop.yml", &format!("{path}/deploy.yml")),
            ("/srv/shop/VERSION", &format!("{path}/VERSION")),
            ("dir = \"/var/lib/rollout\"", &format!("dir = \"{path}/state\"")),
        ],
    );
    rollout::fleet::prepare(&config.fleet).expect("a directory");
    let fleet = rollout::fleet::build(&config.fleet).expect("a fleet");
    let target = config.targets.first().expect("an instance");
    assert_eq!(runs(&*fleet, target).await, Some(version("v1")));
    update(&*fleet, target, ("v1", "v2", 1)).await.expect("an update");
    assert_eq!(runs(&*fleet, target).await, Some(version("v2")));
    let failed = update(&*fleet, target, ("v2", "v9", 2)).await.expect_err("the playbook fails");
    assert!(matches!(&failed, FleetError::Failed(why) if why.contains("exit code 2")), "{failed}");
}

#[tokio::test]
async fn aws_as_in_its_example() {
    let pip = |package: &str| format!("pip install '{package}'");
    let (Some(aws), Some(moto)) = (foreign("aws", &pip("awscli")), foreign("moto_server", &pip("moto[server]"))) else { return };
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let port = endpoint.rsplit(':').next().expect("a port");
    let _moto = Server::start(Command::new(moto).args(["-H", "127.0.0.1", "-p", port]));
    let env = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "y"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ];
    let ask = |arguments: &[&str]| {
        let output = Command::new(&aws).args(arguments).args(["--output", "text"]).envs(env).output().expect("aws runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let create = ["ec2", "create-vpc", "--cidr-block", "10.0.0.0/16", "--query", "Vpc.VpcId"];
    let vpc = wait_for("moto", async || ask(&create)).await;
    let instance = ["ec2", "run-instances", "--image-id", "ami-12c6146b", "--query", "Instances[0].InstanceId"];
    let instance = ask(&instance).expect("an instance");
    let group = ["elbv2", "create-target-group", "--name=shop", "--protocol=HTTP", "--port=8080", "--vpc-id", &vpc];
    let group = ask(&[&group[..], &["--query", "TargetGroups[0].TargetGroupArn"]].concat()).expect("a target group");
    let settings = env.map(|(name, value)| format!("{name} = \"{value}\"")).join("\n");
    let config = example(
        "aws.toml",
        &[
            ("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/shop/73e2d6bc24d8a067", &group),
            ("i-0a1b2c3d4e5f60001", &instance),
            ("AWS_PROFILE = \"rollout\"", &settings),
        ],
    );
    let traffic = rollout::traffic::build(&config.traffic).expect("a balancer");
    let all = config.targets.get(..1).expect("an instance");
    let state = async || traffic.read(all).await.map(|states| states.into_values().next());
    let target = all.first().expect("an instance");
    // Not registered yet.
    assert_eq!(state().await, Ok(Some(Rotation::Draining)));
    traffic.admit(target).await.expect("registered");
    assert_eq!(state().await, Ok(Some(Rotation::Serving)));
    assert_eq!(traffic.take_out(target).await, Ok(None));
    assert_eq!(state().await, Ok(Some(Rotation::Draining)));
    // A group that is not there: what the program says is the reason.
    let stranger = example("aws.toml", &[("i-0a1b2c3d4e5f60001", &instance), ("AWS_PROFILE = \"rollout\"", &settings)]);
    let stranger = rollout::traffic::build(&stranger.traffic).expect("a balancer");
    let error = stranger.read(all).await.expect_err("no such group").to_string();
    assert!(error.contains("[traffic] state of") && error.contains("TargetGroupNotFound"), "{error}");
}

/// A host of its own with a service, reached by `ssh -F`.
struct Host {
    _machine: Machine,
    ssh_config: String,
}

/// Prepares what the head of the example asks for, and boots.
fn boot(tree: &Tree, dir: &Path) -> Host {
    tree.user("deploy", 4711, "/srv/shop");
    tree.write("etc/sudoers.d/deploy", 0o440, "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl restart shop\n");
    for version in ["v1", "v2", "v3"] {
        let ends = if version == "v3" { "exit 1" } else { "exec sleep 100000" };
        tree.write(&format!("srv/shop/releases/{version}/run"), 0o755, &format!("#!/bin/sh\n{ends}\n"));
    }
    std::os::unix::fs::symlink("/srv/shop/releases/v1", tree.path("srv/shop/current")).expect("a link");
    tree.write("etc/systemd/system/shop.service", 0o644, "[Service]\nExecStart=/srv/shop/current/run\n");
    let wants = tree.path("etc/systemd/system/multi-user.target.wants");
    std::os::unix::fs::symlink("/etc/systemd/system/shop.service", wants.join("shop.service")).expect("enabled");
    let ssh_config = tree.sshd(dir, free_port(), "").display().to_string();
    Host { _machine: tree.boot(), ssh_config }
}

#[tokio::test]
async fn systemctl_as_in_its_example() {
    let dir = temp_dir();
    let Some(tree) = Tree::new(dir.path()) else { return };
    let host = boot(&tree, dir.path());
    let config = example(
        "systemctl.toml",
        &[
            ("\"ssh\", ", &format!("\"ssh\", \"-F\", \"{}\", ", host.ssh_config)),
            ("dir = \"/var/lib/rollout\"", &format!("dir = \"{}/state\"", dir.path().display())),
        ],
    );
    rollout::fleet::prepare(&config.fleet).expect("a directory");
    let fleet = rollout::fleet::build(&config.fleet).expect("a fleet");
    let target = config.targets.first().expect("an instance");
    let seen =
        wait_for("the host to boot", async || fleet.observe(target).await.ok().filter(|seen| seen.running == Some(true))).await;
    assert_eq!(seen.version, Some(version("v1")));
    update(&*fleet, target, ("v1", "v2", 1)).await.expect("an update");
    assert_eq!(runs(&*fleet, target).await, Some(version("v2")));
    // The service of this version ends at once, which systemctl does not tell: observe does.
    let failed = update(&*fleet, target, ("v2", "v3", 2)).await.expect_err("it does not run");
    assert!(matches!(&failed, FleetError::Failed(why) if why.contains("nothing runs, not v3")), "{failed}");
    update(&*fleet, target, ("v3", "v2", 3)).await.expect("the way back");
    assert_eq!(runs(&*fleet, target).await, Some(version("v2")));
    // A host that is gone: its outcome is unknown, not failed (D3, ssh exits with 255).
    drop(host);
    let lost = update(&*fleet, target, ("v2", "v1", 4)).await.expect_err("nobody there");
    assert!(matches!(&lost, FleetError::Failed(why) if why.contains("exit code 255") && why.contains("unknown")), "{lost}");
}
