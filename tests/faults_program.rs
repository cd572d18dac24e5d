//! Faults of catalogue F as the program's user meets them: words, exit code, and nothing touched.
//!
//! Imports: the program. May not: sleep without a condition.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

mod common;
#[path = "faults/haproxy.rs"]
mod haproxy;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{copy_program, temp_dir};
use haproxy::World;
use rollout::model::Rotation;
use tempfile::TempDir;

/// A configuration for the two instances of a world, and the program on it.
struct Program {
    dir: TempDir,
    file: PathBuf,
}

impl Program {
    fn new(world: &World, socket: &str, ids: [&str; 2]) -> Self {
        let dir = temp_dir();
        let file = dir.path().join("rollout.toml");
        let at = dir.path().display();
        let instance = |(id, port): (&str, u16)| format!("[[fleet.instance]]\nid = \"{id}\"\nport = {port}\n");
        let instances: String = ids.into_iter().zip(world.ports).map(instance).collect();
        let text = format!(
            "[service]\nname = \"shop\"\n[fleet]\ndriver = \"process\"\nhost = \"127.0.0.1\"\ndir = \"{at}/processes\"\n{instances}\
             [update]\nstart = [\"/bin/true\"]\n[traffic]\ndriver = \"haproxy\"\nsockets = [\"{}\"]\nbackend = \"shop\"\n\
             [strategy]\nmax_unavailable = 1\nbatch_size = 1\n[journal]\ndir = \"{at}/journal\"\n",
            world.socket(socket)
        );
        std::fs::write(&file, text).expect("a file");
        Self { dir, file }
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("--config").arg(&self.file).args(args).env("HOME", self.dir.path()).env_remove("XDG_STATE_HOME");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(Path::new(env!("CARGO_BIN_EXE_rollout")), args).output().expect("the program")
    }

    /// No deployment has begun.
    fn left_nothing(&self) -> bool {
        let history = self.run(&["history", "--output", "json"]);
        history.status.success() && history.stdout.is_empty()
    }
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// F1: the user of the bastion may not open the socket: "…/admin cannot be reached: Permission denied", exit code 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_a_socket_that_this_user_may_not_open_refuses_the_deployment() {
    let Some(world) = World::new().await else { return };
    let program = Program::new(&world, "admin", ["web-01", "web-02"]);
    // Nothing is forbidden to root, so the program runs as somebody else, from where that one may read it.
    let copy = program.dir.path().join("rollout");
    copy_program(env!("CARGO_BIN_EXE_rollout").as_ref(), &copy);
    std::fs::set_permissions(program.dir.path(), Permissions::from_mode(0o755)).expect("a directory of ours");
    std::fs::set_permissions(world.dir.path().join("admin"), Permissions::from_mode(0o000)).expect("a socket of ours");
    let mut command = program.command(&copy, &["plan", "v2"]);
    if rustix::process::getuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let text = complaint(&command.output().expect("the program"));
    assert!(text.contains("/admin cannot be reached: Permission denied"), "{text}");
}

/// F3: "…/operator permits `level operator` only; draining needs `level admin` on its `stats socket`", exit code 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_a_level_that_is_too_low_refuses_plan_and_deployment() {
    let Some(world) = World::new().await else { return };
    let program = Program::new(&world, "operator", ["web-01", "web-02"]);
    for args in [&["plan", "v2"][..], &["deploy", "v2", "--yes"]] {
        let text = complaint(&program.run(args));
        assert!(text.contains("/operator permits `level operator` only; draining needs `level admin`"), "{text}");
    }
    assert!(program.left_nothing());
    assert_eq!(world.rotation("web-01").await, Some(Rotation::Serving));
    let check = String::from_utf8_lossy(&program.run(&["check"]).stdout).into_owned();
    assert!(check.contains("MISSING  balancer") && check.contains("permits `level operator` only"), "{check}");
}

/// F3: "the balancer does not know web-99; correct [traffic] or the fleet", exit code 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_an_instance_that_the_balancer_does_not_know_refuses_the_deployment() {
    let Some(world) = World::new().await else { return };
    let program = Program::new(&world, "admin", ["web-01", "web-99"]);
    let text = complaint(&program.run(&["deploy", "v2", "--yes"]));
    assert!(text.contains("web-99"), "{text}");
    assert!(program.left_nothing());
    assert_eq!(world.rotation("web-01").await, Some(Rotation::Serving));
}
