//! `demo`: a real local fleet, a balancer, traffic, and the console on it. The driver of the instances and of the balancer
//! is the production one; only the fleet is made here, and cleaned up at the end.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{DemoArgs, DemoBalancer, Output};
use super::deploy::{Boot, Starting, already_there, connect, is_interactive, start};
use super::verbs::{Left, Scene, front_door};
use super::{Common, Done, Failure, Place, complain, load_file, parts, say};
use crate::command::refused_read_only;
use crate::config::Config;
use crate::demo::world::{Lb, Spec, World};
use crate::fleet;
use crate::model::{EffectId, Rotation, Span, Target, Version};
use crate::os::text::counted;
use crate::ports::{Session, UpdateOrder};
use crate::runner::Parts;

/// What the instances run before anything is deployed.
const FIRST: &str = "v1";
/// What is deployed, in this order.
const GOOD: &str = "v2";
const BAD: &str = "v3-bad";
/// Instances started at once: two cores start a process in a few milliseconds, the balancer must see all of them.
const AT_ONCE: usize = 16;
/// How long the fleet may take to serve.
const SERVING: Duration = Duration::from_mins(1);

/// `rollout demo`.
pub(super) async fn demo(common: &Common, args: &DemoArgs) -> Done {
    if common.read_only {
        return Err(Failure::refused(format!("{}, by --read-only", refused_read_only("demo"))));
    }
    let exe = std::env::current_exe().map_err(|e| Failure::person(format!("cannot find this program: {e}")))?;
    let lb = match args.lb {
        DemoBalancer::Builtin => Lb::Builtin,
        DemoBalancer::Haproxy => Lb::Haproxy,
    };
    let spec = Spec { instances: args.instances, lb, instance_exe: exe };
    let world = World::prepare(&spec).await.map_err(Failure::person)?;
    let path = world.config_path();
    let common = Common { config: Some(path.clone()), ..common.clone() };
    let mut engines = Engines::default();
    let done = tokio::select! {
        done = play(&common, (&world, lb), &mut engines) => done,
        name = stopped_by_signal() => {
            complain(&format!("{name}: cleaning up"));
            Err(Failure { code: 7, message: "the demo was stopped".to_owned() })
        }
    };
    engines.end().await;
    for problem in fleet::stop_recorded(&world.processes_dir(), Span::from_secs(2)).await {
        complain(&format!("rollout: {problem}"));
    }
    world.close().await.map_err(Failure::person)?;
    done
}

/// Waits for a signal that ends the demo. A lost terminal does not: the deployment goes on to its end.
async fn stopped_by_signal() -> &'static str {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

/// Engines' processes of this demo, to be ended with it.
#[derive(Debug, Default)]
struct Engines {
    running: Option<tokio::process::Child>,
}

impl Engines {
    async fn end(&mut self) {
        if let Some(mut child) = self.running.take() {
            // Its fleet goes with it: nothing is left that a safe point could protect.
            drop(child.kill().await);
        }
    }
}

async fn play(common: &Common, (world, lb): (&World, Lb), engines: &mut Engines) -> Done {
    let path = world.config_path();
    let config = load_file(&path, &common.sets)?;
    let note = |line: String| if common.output == Output::Text { say(&line) } else { complain(&line) };
    let balancer = if lb == Lb::Haproxy { "HAProxy" } else { "the built-in balancer" };
    note(format!("starting {} of {FIRST} behind {balancer} at {}", counted(world.targets().len(), "instance"), world.url()));
    fleet::prepare(&config.fleet).map_err(Failure::person)?;
    let parts = parts::parts(&config, std::sync::Arc::new(crate::journal::Memory::new("demo")))?;
    bring_up(&parts, &config.targets).await?;
    // Nobody asks this driver again how its processes ended: without it they are not kept as zombies.
    drop(parts);
    note(format!("effective file   {}", path.display()));
    note(format!("state directory  {}", Place::of(&config).dir().display()));
    let program = std::env::current_exe().map_or_else(|_| "rollout".to_owned(), |exe| exe.display().to_string());
    let sets: String = common.sets.iter().flat_map(|set| [" --set ".to_owned(), for_a_shell(set)]).collect();
    note(format!("from a second shell:  {program} --config {}{sets} attach", path.display()));
    note("pauses and probe intervals are shortened for the demo; the file says which".to_owned());
    if is_interactive(common) {
        let next = Some(format!("Enter deploys {BAD} next"));
        let left = deploy(common, (&path, &config), engines, (GOOD, next)).await?;
        if !left.next {
            return outlive(left, &config, engines).await;
        }
        let left = deploy(common, (&path, &config), engines, (BAD, None)).await?;
        return outlive(left, &config, engines).await;
    }
    for version in [GOOD, BAD] {
        let left = deploy(common, (&path, &config), engines, (version, None)).await?;
        if left.running {
            return Ok(left.code);
        }
    }
    Ok(0)
}

/// One argument as a shell reads it.
fn for_a_shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-=/:,%+@".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// The terminal is gone or was left: the demo's fleet stays until its deployment has ended.
async fn outlive(left: Left, config: &Config, engines: &mut Engines) -> Done {
    if left.running
        && has_begun(config).await
        && let Some(child) = &mut engines.running
    {
        complain("the deployment goes on; Ctrl-C ends the demo with its fleet");
        drop(child.wait().await);
    }
    Ok(left.code)
}

/// A deployment that nobody began has nothing that could go on.
async fn has_begun(config: &Config) -> bool {
    match connect(&Place::of(config)).await {
        Ok(client) => client.snapshot().await.is_ok_and(|s| s.state.started_at.is_some()),
        Err(_) => false,
    }
}

/// Every instance on the first version, serving.
async fn bring_up(parts: &Parts, targets: &[Target]) -> Result<(), Failure> {
    let version = Version::new(FIRST).map_err(Failure::person)?;
    let starts = futures::stream::iter(targets).map(|target| {
        let deployment = crate::model::DeploymentId::new("demo", 0);
        let order = UpdateOrder {
            effect: EffectId::new(&deployment, Some(&target.id), "update", 1),
            target: target.clone(),
            version: version.clone(),
            previous: None,
        };
        async move { parts.fleet.update(&order).await.map_err(|e| Failure::person(format!("{}: {e}", order.target.id))) }
    });
    let all: Vec<Result<(), Failure>> = starts.buffer_unordered(AT_ONCE).collect().await;
    all.into_iter().collect::<Result<Vec<()>, Failure>>()?;
    let serving = async {
        loop {
            if let Ok(read) = parts.traffic.read(targets).await
                && targets.iter().all(|t| read.get(&t.id) == Some(&Rotation::Serving))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SERVING, serving)
        .await
        .map_err(|_late| Failure::person("the fleet did not come up; its logs are in the demo's directory"))
}

/// One deployment through an engine of its own, in the same way as `rollout deploy`.
async fn deploy(
    common: &Common,
    (path, config): (&Path, &Config),
    engines: &mut Engines,
    (version, next): (&str, Option<String>),
) -> Result<Left, Failure> {
    let login = crate::control::own_login().await;
    let args: Vec<OsString> = vec!["--version".into(), version.into(), "--started-by".into(), login.into()];
    match start(path, common, config, &args).await? {
        Boot::AlreadyThere(summary) => already_there(common, &summary).map(|code| Left { code, next: false, running: false }),
        Boot::Started(started) => {
            engines.running = Some(started.child);
            let client = connect(&Place::of(config)).await?;
            let session: Box<dyn Session> = if is_interactive(common) { Box::new(client) } else { Box::new(Starting(client)) };
            let left = front_door(common, config, session, Scene { demo: true, next }).await?;
            if !left.running
                && let Some(child) = &mut engines.running
            {
                // Its lock goes with its process: only then may the next one begin.
                drop(child.wait().await);
                engines.running = None;
            }
            Ok(left)
        }
    }
}
