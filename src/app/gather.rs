//! The fleet as it is at this moment: what the file names, and whom the sources of `[fleet.discover]` name. Asked once for a
//! plan; while a deployment runs, only compared with it.
//!
//! A source is believed only as far as it makes sense: ids and hosts that are none, an id or an address that is there twice,
//! nobody at all, or a fleet that has little in common with that of the last deployment are refused.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::{Failure, complain};
use crate::config::{Config, Discover, Redactor, is_host};
use crate::event::EventKind;
use crate::fleet::discover::{self, Source};
use crate::model::{DeploymentId, Found, InstanceId, Plan, Target};
use crate::os::text::{counted, sanitise};
use crate::ports::{Engine as _, Journal, TrafficDriver};
use crate::runner::Bus;

/// Deployments that are looked through for one whose plan can be read.
const REMEMBERED: usize = 10;
/// Instances that a sentence names before the rest is only counted.
const NAMED: usize = 8;
/// Between two looks at the sources while a deployment runs.
const EVERY: Duration = Duration::from_mins(1);
/// Between two looks whether it comes to its end.
const LOOK: Duration = Duration::from_millis(100);

/// What the fleet is wanted for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim<'a> {
    /// A new version. With the flag, also of a fleet that hardly has anybody in common with the last one.
    Forward { allow_new_fleet: bool },
    /// Back to what was before this one. That must not depend on whether the sources answer.
    Back(&'a DeploymentId),
    /// A look.
    Look,
}

/// Who belongs to the fleet, and where.
struct Roll {
    targets: Vec<Target>,
    /// Who named whom.
    ids: HashMap<InstanceId, &'static str>,
    addresses: HashMap<(String, u16), InstanceId>,
}

impl Roll {
    fn of(config: &[Target]) -> Self {
        let mut roll = Self { targets: Vec::new(), ids: HashMap::new(), addresses: HashMap::new() };
        for target in config {
            roll.ids.insert(target.id.clone(), "fleet.instances");
            roll.addresses.insert((target.host.to_lowercase(), target.port), target.id.clone());
            roll.targets.push(target.clone());
        }
        roll
    }

    fn add(&mut self, by: &'static str, target: Target) -> Result<(), String> {
        if let Some(first) = self.ids.insert(target.id.clone(), by) {
            let how = if first == by { "twice".to_owned() } else { format!("as well as {first}") };
            return Err(format!("[{by}] names {} {how}; every id must be its own", target.id));
        }
        let address = (target.host.to_lowercase(), target.port);
        if let Some(other) = self.addresses.insert(address, target.id.clone()) {
            let Target { id, host, port, .. } = &target;
            return Err(format!("[{by}] puts {id} at {host}:{port}, where {other} is already; every address must be its own"));
        }
        self.targets.push(target);
        Ok(())
    }
}

/// Asks every source. The instances of the file come first, in its order, then the others by their ids.
async fn ask(sources: &Discover, own: &[Target], traffic: &dyn TrafficDriver) -> Result<Vec<Target>, String> {
    let mut roll = Roll::of(own);
    let mut found = Vec::new();
    for source in &sources.sources {
        let by = source.table();
        let named = discover::find(source, traffic).await.map_err(|why| format!("[{by}] {why}"))?;
        if named.is_empty() {
            return Err(format!("[{by}] names nobody"));
        }
        for one in named {
            found.push((by, target(by, sources, one)?));
        }
    }
    found.sort_by(|(_, one), (_, other)| naturally(one.id.as_str(), other.id.as_str()));
    for (by, target) in found {
        roll.add(by, target)?;
    }
    Ok(roll.targets)
}

/// One that was named, if it makes sense.
fn target(by: &str, sources: &Discover, found: Found) -> Result<Target, String> {
    let Found { id, host, port, zone, labels } = found;
    let id = InstanceId::new(&id).map_err(|_none| {
        format!(
            "[{by}] names {:?}, which is no id: up to 63 letters, digits and . _ - beginning with a letter or digit",
            sanitise(&id)
        )
    })?;
    let host = host.or_else(|| sources.host.clone()).unwrap_or_else(|| id.to_string());
    if !is_host(&host) {
        return Err(format!("[{by}] puts {id} at {:?}, which is neither a host name nor an address", sanitise(&host)));
    }
    let port = port.filter(|port| *port > 0).or(sources.port);
    let port = port.ok_or_else(|| format!("[{by}] names {id} without a port; add port = 8080 to [fleet]"))?;
    let odd = |text: &String| text.is_empty() || *text != sanitise(text);
    if zone.iter().chain(labels.keys()).chain(labels.values().filter(|value| !value.is_empty())).any(odd) {
        return Err(format!("[{by}] gives {id} a zone or a label with characters that are not seen"));
    }
    Ok(Target { id, host, port, zone, labels })
}

/// `web-9` before `web-10`.
fn naturally(one: &str, other: &str) -> Ordering {
    let number = |text: &str| {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = text.split_at(digits);
        let plain = digits.trim_start_matches('0');
        (digits.is_empty(), plain.len(), plain.to_owned(), rest.to_owned())
    };
    let (mut a, mut b) = (one.to_owned(), other.to_owned());
    while let (Some(x), Some(y)) = (a.chars().next(), b.chars().next()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let ((_, long, digits, rest), (_, other_long, other_digits, other_rest)) = (number(&a), number(&b));
            match (long, digits).cmp(&(other_long, other_digits)) {
                Ordering::Equal => (a, b) = (rest, other_rest),
                unequal => return unequal,
            }
        } else if x == y {
            (a, b) = (a.split_off(x.len_utf8()), b.split_off(y.len_utf8()));
        } else {
            return x.cmp(&y);
        }
    }
    // The same but for zeros in front: any order, but always the same.
    a.len().cmp(&b.len()).then_with(|| one.cmp(other))
}

/// How a fleet differs from an earlier one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    gone: Vec<String>,
    new: Vec<String>,
    moved: Vec<String>,
}

impl Difference {
    fn between(before: &[Target], now: &[Target]) -> Self {
        let by_id = |targets: &[Target]| -> BTreeMap<InstanceId, (String, u16)> {
            targets.iter().map(|t| (t.id.clone(), (t.host.clone(), t.port))).collect()
        };
        let (old, new) = (by_id(before), by_id(now));
        let absent = |from: &[Target], other: &BTreeMap<InstanceId, (String, u16)>| -> Vec<String> {
            from.iter().filter(|t| !other.contains_key(&t.id)).map(|t| t.id.to_string()).collect()
        };
        let moved = now.iter().filter_map(|t| {
            let (host, port) = old.get(&t.id)?;
            ((host, port) != (&t.host, &t.port)).then(|| format!("{} from {host}:{port} to {}:{}", t.id, t.host, t.port))
        });
        Self { gone: absent(before, &new), new: absent(now, &old), moved: moved.collect() }
    }

    /// `web-07 is gone, web-21 and web-22 are new`; none if there is no difference.
    fn words(&self) -> Option<String> {
        let said = |names: &[String], one: &str, many: &str| {
            let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            match names.len() {
                0 => None,
                1 => Some(format!("{shown} {one}")),
                more if more > NAMED => Some(format!("{shown} and {} more {many}", more - NAMED)),
                _ => Some(format!("{shown} {many}")),
            }
        };
        let parts = [
            said(&self.gone, "is gone", "are gone"),
            said(&self.new, "is new", "are new"),
            said(&self.moved, "has moved", "have moved"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn targets_of(plan: &Plan) -> Vec<Target> {
    plan.members.iter().map(|member| member.target.clone()).collect()
}

/// The plan of the last deployment that can be read.
fn last_plan(journal: &dyn Journal) -> Option<Plan> {
    let rows = journal.past().ok()?.rows;
    rows.iter().take(REMEMBERED).find_map(|row| plan_of(journal, &row.id))
}

pub(super) fn plan_of(journal: &dyn Journal, id: &DeploymentId) -> Option<Plan> {
    match journal.read(id).ok()?.into_iter().next()?.kind {
        EventKind::DeploymentPlanned { plan, .. } => Some(*plan),
        _ => None,
    }
}

/// Puts the fleet as it is into `config`; says how it differs from that of the last deployment. Without `[fleet.discover]`
/// the file says it all.
pub(super) async fn fleet(
    config: &mut Config,
    traffic: &dyn TrafficDriver,
    (journal, aim): (Option<&dyn Journal>, Aim<'_>),
) -> Result<Option<String>, Failure> {
    let Some(sources) = &config.discover else { return Ok(None) };
    let clean = |why: String| config.redactor.redact(&why);
    let last = match (journal, aim) {
        (Some(journal), Aim::Back(ended)) => plan_of(journal, ended),
        (Some(journal), Aim::Forward { .. } | Aim::Look) => last_plan(journal),
        (None, _) => None,
    };
    let now = match (ask(sources, &config.targets, traffic).await.map_err(clean), aim, &last) {
        (Ok(now), ..) => now,
        (Err(why), Aim::Back(ended), Some(last)) => {
            complain(&format!("warning: {why}; going by the fleet of {ended}"));
            config.targets = targets_of(last);
            return Ok(Some(format!("{why}; this is the fleet of {ended}")));
        }
        (Err(why), ..) => return Err(Failure::refused(format!("{why}; nothing is touched"))),
    };
    let Some(last) = last else {
        config.targets = now;
        return Ok(None);
    };
    let before = targets_of(&last);
    let difference = Difference::between(&before, &now);
    let kept = before.len() - difference.gone.len();
    if let Aim::Forward { allow_new_fleet: false } = aim
        && kept * 2 < before.len()
    {
        return Err(Failure::refused(format!(
            "of the {} of {} only {kept} are left in the fleet as it was found, which has {}: is a source wrong? If it is right: \
             --allow-new-fleet; nothing is touched",
            counted(u64::try_from(before.len()).unwrap_or(u64::MAX), "instance"),
            last.deployment,
            now.len()
        )));
    }
    config.targets = now;
    Ok(difference.words().map(|words| format!("since {}: {words}", last.deployment)))
}

/// In one word for each source: where the fleet comes from.
pub(super) fn sources(config: &Config) -> Option<String> {
    let sources = &config.discover.as_ref()?.sources;
    Some(sources.iter().map(Source::table).collect::<Vec<_>>().join(", "))
}

/// What is needed to compare the fleet with a plan while that is carried out.
pub(super) struct Watcher {
    sources: Discover,
    /// Those of the file.
    own: Vec<Target>,
    redactor: Redactor,
    traffic: Arc<dyn TrafficDriver>,
}

impl Watcher {
    /// `own`: the instances of the file. None if there is nobody to ask.
    pub(super) fn new(config: &Config, own: Vec<Target>, traffic: &Arc<dyn TrafficDriver>) -> Option<Self> {
        let sources = config.discover.clone()?;
        Some(Self { sources, own, redactor: config.redactor.clone(), traffic: Arc::clone(traffic) })
    }

    /// What was said of the last deployment's fleet stands until it begins. Then, every minute and at the end: who came is not in this deployment, who went is until it is put back or listed.
    pub(super) async fn compare(self, bus: Bus) {
        let Ok(snapshot) = bus.snapshot().await else { return };
        let planned = targets_of(&snapshot.state.plan);
        drop(snapshot);
        while bus.is_only_planned() {
            sleep(LOOK).await;
        }
        bus.differs(None);
        let mut said = None;
        loop {
            let began = Instant::now();
            while began.elapsed() < EVERY && !bus.is_ending() {
                sleep(LOOK).await;
            }
            let last = bus.is_ending();
            let words = match timeout(EVERY, ask(&self.sources, &self.own, self.traffic.as_ref())).await {
                Ok(Ok(now)) => under_way(&Difference::between(&planned, &now)),
                Ok(Err(why)) => {
                    tracing::warn!(target: "engine", "the fleet cannot be compared with the plan: {}", self.redactor.redact(&why));
                    said.clone()
                }
                Err(_elapsed) => said.clone(),
            };
            if words != said {
                if let Some(words) = &words {
                    tracing::warn!(target: "engine", "{words}");
                } else {
                    tracing::info!(target: "engine", "the fleet is again the one that was planned for");
                }
                bus.differs(words.clone());
                said = words;
            }
            if last {
                return;
            }
        }
    }
}

/// What became of the fleet since the plan.
fn under_way(difference: &Difference) -> Option<String> {
    let words = difference.words()?;
    let mut text = format!("the fleet has changed since the plan: {words}");
    if !difference.new.is_empty() {
        text += "; new ones are not in this deployment";
    }
    if !difference.gone.is_empty() || !difference.moved.is_empty() {
        text += "; the others stay in it as they were planned";
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(names: &[&str]) -> Vec<Target> {
        let of = |name: &&str| {
            let (id, host) = name.split_once('@').unwrap_or((name, name));
            Target { id: InstanceId::new(id).unwrap(), host: host.to_owned(), port: 80, zone: None, labels: BTreeMap::new() }
        };
        names.iter().map(of).collect()
    }

    #[test]
    fn numbers_are_sorted_as_people_do() {
        let mut names = ["web-10", "web-9", "web-010", "db-2", "web-9a", "web-1b10", "web-1b9", "web"];
        names.sort_by(|a, b| naturally(a, b));
        assert_eq!(names, ["db-2", "web", "web-1b9", "web-1b10", "web-9", "web-9a", "web-010", "web-10"]);
    }

    #[test]
    fn differences_are_told_in_words() {
        let words = |before: &[&str], now: &[&str]| Difference::between(&targets(before), &targets(now)).words();
        assert_eq!(words(&["a", "b"], &["b", "a"]), None);
        assert_eq!(words(&["a", "b@x"], &["b@y", "c", "d"]).unwrap(), "a is gone; c, d are new; b from x:80 to y:80 has moved");
        let many: Vec<String> = (0..20).map(|n| format!("w{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(words(&[], &many).unwrap(), "w0, w1, w2, w3, w4, w5, w6, w7 and 12 more are new");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let sources = Discover { sources: Vec::new(), host: None, port: None };
        let found = |id: &str, host: Option<&str>, port| Found {
            id: id.to_owned(),
            host: host.map(str::to_owned),
            port,
            ..Found::default()
        };
        let refused = |found| target("fleet.discover.dns", &sources, found).unwrap_err();
        assert!(refused(found("web 1", None, Some(1))).contains("\"web 1\", which is no id"));
        assert!(refused(found("web-1", Some("a b"), Some(1))).contains("neither a host name"));
        assert!(refused(found("web-1", Some("-oProxyCommand=x"), Some(1))).contains("neither a host name"));
        assert!(refused(found("web-1", None, None)).contains("without a port"));
        let odd = Found { zone: Some("a\u{1b}[2J".to_owned()), ..found("web-1", None, Some(1)) };
        assert!(refused(odd).contains("not seen"));
        let mut roll = Roll::of(&targets(&["a@h"]));
        let again = |roll: &mut Roll, name| roll.add("fleet.discover.dns", targets(&[name]).remove(0)).unwrap_err();
        assert_eq!(again(&mut roll, "a@x"), "[fleet.discover.dns] names a as well as fleet.instances; every id must be its own");
        assert!(again(&mut roll, "b@H").contains("puts b at H:80, where a is already"));
    }
}
