//! Everything outside: balancers, instances, the address that users come to.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::Instant;

use super::finding::{Finding, Level};
use crate::config::Config;
use crate::model::{DeploymentId, InstanceId, Observation, Rotation, Sample, SampleResult, Target, Version};
use crate::os::text::counted;
use crate::ports::FleetError;
use crate::runner::Parts;

/// Instances reached at once: enough to hide latency, few enough for the descriptors of a bastion host.
const AT_ONCE: usize = 64;
/// How long each address of the service has to answer.
const VIP_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what it counted.
const VIP_LOOK: Duration = Duration::from_millis(20);
/// Lines about the same trouble before the rest is only counted.
const LISTED: usize = 20;

/// What the balancers say of every instance.
pub(super) async fn balancers(parts: &Parts, targets: &[Target], left: &BTreeMap<InstanceId, DeploymentId>) -> Vec<Finding> {
    const KIND: &str = "balancer";
    let (complaints, read) = futures::join!(parts.traffic.check(targets), parts.traffic.read(targets));
    let mut findings: Vec<Finding> =
        complaints.iter().map(|complaint| Finding::missing(KIND, "all", complaint, remedy_for(complaint))).collect();
    match read {
        Err(error) if complaints.is_empty() => {
            findings.push(Finding::missing(KIND, "all", &error.to_string(), "correct [traffic], or start what answers there"));
        }
        Err(_) => {}
        Ok(read) => findings.extend(rotations(&read, targets, (&complaints, left))),
    }
    shortened(findings)
}

/// What to do about a complaint that does not say so itself.
fn remedy_for(complaint: &str) -> &'static str {
    if complaint.contains("cannot be reached") {
        "start it, correct its address in [traffic], or give this user the right to connect"
    } else {
        "correct [traffic], or the balancer's own configuration"
    }
}

/// How many serve, and who does not.
fn rotations(
    read: &BTreeMap<InstanceId, Rotation>,
    targets: &[Target],
    (complaints, left): (&[String], &BTreeMap<InstanceId, DeploymentId>),
) -> Vec<Finding> {
    const KIND: &str = "balancer";
    let mut findings = Vec::new();
    let mut serving = 0;
    for target in targets {
        let rotation = read.get(&target.id).copied().unwrap_or(Rotation::Missing);
        let mut message = format!("is {}", rotation.words());
        let remedy = match (rotation, left.get(&target.id)) {
            (Rotation::Serving, _) => {
                serving += 1;
                continue;
            }
            (Rotation::Missing, _) => {
                if !complaints.iter().any(|complaint| complaint.contains(target.id.as_str())) {
                    let remedy = "add it to the backend, or correct [traffic] or the fleet";
                    findings.push(Finding::missing(KIND, target.id.as_str(), &message, remedy));
                }
                continue;
            }
            (Rotation::Down, _) => "mend the instance; a deployment counts it as out",
            (Rotation::Draining, Some(by)) => {
                message += &[", left out of rotation by ", &by.to_string()].concat();
                "the next deployment takes it first, and puts it back"
            }
            (Rotation::Partly | Rotation::Draining | Rotation::Maintenance, _) => {
                "whoever took it out must put it back; a deployment leaves it alone and counts it as out"
            }
        };
        findings.push(Finding::doubt(KIND, target.id.as_str(), &message, remedy));
    }
    findings.insert(0, Finding::ok(KIND, "rotation", &format!("{serving} of {} instances serve", targets.len())));
    findings
}

/// What driver and probe say of every instance.
pub(super) async fn instances(parts: &Parts, config: &Config) -> Vec<Finding> {
    const KIND: &str = "instance";
    let reads = futures::stream::iter(&config.targets).map(async |target| {
        let (observed, sample) = futures::join!(parts.fleet.observe(target), parts.prober.probe(target, None));
        let owned = parts.fleet.owns(target).await;
        let version = observed.as_ref().ok().and_then(|o| o.version.clone()).or_else(|| sample.version.clone());
        let again = match &version {
            Some(version) => parts.fleet.check(target, version).await,
            None => Vec::new(),
        };
        (Seen { target, observed, sample, owned }, again)
    });
    let reads: Vec<_> = reads.buffered(AT_ONCE).collect().await;
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    let (mut healthy, mut findings) = (0, Vec::new());
    let mut lost: BTreeMap<String, &InstanceId> = BTreeMap::new();
    for (seen, again) in &reads {
        let Seen { target, observed, sample, .. } = seen;
        healthy += usize::from(sample.passed());
        let version = observed.as_ref().ok().and_then(|o| o.version.as_ref()).or(sample.version.as_ref());
        *versions.entry(version.map_or("unknown", Version::as_str).to_owned()).or_default() += 1;
        findings.extend(instance(seen));
        lost.extend(again.iter().map(|why| (why.clone(), &target.id)));
    }
    findings.extend(lost.into_iter().map(|(why, id)| {
        let message = format!("what it runs now could not be started again: {why}");
        Finding::doubt(KIND, id.as_str(), &message, "without it no rollback to that version is possible")
    }));
    let versions: Vec<String> = versions.iter().map(|(version, count)| format!("{version} on {count}")).collect();
    let message = format!("{healthy} of {} pass their check; {}", reads.len(), versions.join(", "));
    findings.insert(0, Finding::ok(KIND, "fleet", &message));
    shortened(findings)
}

/// An instance as driver and probe see it.
struct Seen<'a> {
    target: &'a Target,
    observed: Result<Observation, FleetError>,
    sample: Sample,
    /// Whether the driver can stop what runs there.
    owned: bool,
}

/// What is wrong with one.
fn instance(Seen { target, observed, sample, owned }: &Seen<'_>) -> Option<Finding> {
    const KIND: &str = "instance";
    let id = target.id.as_str();
    let at = format!("{}:{}", target.host, target.port);
    if !sample.passed() {
        let remedy = match &sample.result {
            SampleResult::NotListening => "start it, or correct host and port in [fleet]",
            SampleResult::Exited { .. } => "look at its log and start it",
            SampleResult::Miss { .. } | SampleResult::Starting { .. } | SampleResult::Pass { .. } => {
                "mend it, or correct [health] or its address in [fleet]"
            }
        };
        return Some(Finding::missing(KIND, id, &format!("{at}: {}", sample.words()), remedy));
    }
    if !owned {
        let remedy = "stop it, or drive it with driver = \"command\"";
        return Some(Finding::missing(KIND, id, "runs, but rollout did not start it, so it cannot stop it", remedy));
    }
    match observed {
        Err(error) if sample.version.is_none() => Some(Finding::missing(
            KIND,
            id,
            &format!("the driver cannot see it: {error}"),
            "correct [update], or its right to connect",
        )),
        Err(error) => Some(Finding::doubt(KIND, id, &format!("the driver cannot see it: {error}"), "correct [update]")),
        Ok(observation) if observation.version.is_none() && sample.version.is_none() => Some(Finding::doubt(
            KIND,
            id,
            "nobody can tell which version it runs, so it could not be rolled back",
            "write health.version, or deploy with --no-rollback-for",
        )),
        Ok(_) => None,
    }
}

/// Requests through the balancer, a few to each address.
pub(super) async fn vip(parts: &Parts, config: &Config) -> Vec<Finding> {
    const KIND: &str = "vip";
    let (Some(vip), Some(settings)) = (&parts.vip, &config.vip) else {
        let remedy = "add [vip] url and rate to have it proven that no request fails";
        return vec![Finding::doubt(KIND, "none", "nothing measures downtime", remedy)];
    };
    let wanted = u64::try_from(settings.urls.len()).unwrap_or(u64::MAX);
    let deadline = Instant::now() + VIP_PATIENCE;
    vip.start();
    while vip.stats().is_none_or(|stats| stats.requests < wanted) && Instant::now() < deadline {
        tokio::time::sleep(VIP_LOOK).await;
    }
    let stats = vip.stop().await.unwrap_or_default();
    let mut failures = vip.failures();
    failures.sort();
    failures.dedup();
    let mut urls: Vec<String> = settings.urls.iter().map(|url| config.redactor.redact(url)).collect();
    urls.sort();
    urls.dedup();
    let subject = urls.join(" ");
    if failures.is_empty() && stats.requests >= wanted && stats.failed == 0 {
        return vec![Finding::ok(KIND, &subject, &format!("{} answered", counted(stats.requests, "request")))];
    }
    failures.truncate(urls.len().max(2));
    let message = if failures.is_empty() { "no answer".to_owned() } else { failures.join("; ") };
    vec![Finding::missing(KIND, &subject, &message, "correct vip.url, or start or mend what answers there")]
}

/// Twenty lines say as much as a thousand.
fn shortened(mut findings: Vec<Finding>) -> Vec<Finding> {
    let more = findings.len().saturating_sub(LISTED + 1);
    if more == 0 {
        return findings;
    }
    let rest = findings.split_off(LISTED + 1);
    let kind = rest.first().map_or("", |finding| finding.kind);
    let made = if rest.iter().any(|finding| finding.level == Level::Missing) { Finding::missing } else { Finding::doubt };
    findings.push(made(kind, &format!("{more} more"), "not listed", ""));
    findings
}
