//! A plan for people: at most 80 columns, and as short for 1,000 instances as for 20.

use indexmap::IndexMap;

use super::Outlook;
use super::course::{self, Choice};
use crate::core::PlannedBatch;
use crate::event::clean;
use crate::model::{Confirm, Hook, InstanceId, Member, Pacing};
use crate::os::text::counted;

/// The narrowest terminal that anybody works in.
const COLUMNS: usize = 80;
/// More batches than these are shown in groups.
const EACH: usize = 12;
/// More names than these are not listed in a line.
const NAMES: usize = 8;
/// The room for the names of a batch.
const ROOM: usize = 38;

pub(super) fn text(outlook: &Outlook) -> String {
    let plan = &outlook.plan;
    let total = plan.fleet().count();
    let spares = usize::try_from(plan.spares()).unwrap_or(usize::MAX);
    let more = if spares > 0 { format!(" and {}", counted(spares, "spare")) } else { String::new() };
    let count = counted(total, "instance") + &more;
    let head = format!("{} ({}): {} → {}, {count}", plan.service, plan.env, listed(&outlook.previous()), plan.version);
    let mut lines = vec![head];
    if outlook.batches.is_empty() {
        lines.push(format!("nothing to do: all {total} instances run {} and serve", plan.version));
        return said(&lines);
    }
    lines.extend(way(outlook));
    lines.extend(left_alone(outlook));
    let strategy = &plan.policy.strategy;
    let pace = match strategy.pacing {
        Pacing::Batch => format!("each batch is watched for {}", strategy.batch_pause),
        Pacing::Window => "the next begins as soon as one is done".to_owned(),
    };
    let (lowest, most) = (outlook.lowest(), outlook.max_out());
    lines.push(format!("  capacity  never fewer than {lowest} of {total} serve; at most {most} out at once"));
    lines.push(format!("  pace      {pace}"));
    if strategy.confirm == Confirm::Batch {
        lines.push(format!("  confirm   a person confirms each batch, within {}: rollout promote", strategy.approval_timeout));
    }
    lines.extend(between(outlook));
    lines.extend(strategies(outlook));
    lines.push(time(outlook));
    lines.push(rollback(outlook));
    lines.extend(outlook.doubts.iter().map(|doubt| format!("  !  {doubt}")));
    said(&lines)
}

/// Lines of a table: what is too wide goes on under its own text.
pub(in crate::app) fn said(lines: &[String]) -> String {
    lines.iter().map(|line| wrapped(&clean(line))).collect::<Vec<_>>().join("\n")
}

/// A line that is too long goes on under its own text.
fn wrapped(line: &str) -> String {
    let indent = if line.starts_with("  !") { 5 } else { 12 };
    let (mut text, mut width) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if width + length > COLUMNS && width > indent {
            text.truncate(text.trim_end().len());
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            width = indent;
        }
        text.push_str(word);
        width += word.chars().count();
    }
    text
}

/// `v1 (18), v0 (2)`
fn listed(counts: &IndexMap<&str, u32>) -> String {
    let all: Vec<String> = counts.iter().map(|(version, count)| format!("{version} ({count})")).collect();
    if let [_] = all.as_slice() { counts.keys().copied().collect() } else { all.join(", ") }
}

/// The steps of a canary, each with the batch that it takes, then the rest.
fn way(outlook: &Outlook) -> Vec<String> {
    let total = outlook.plan.total();
    let mut rest = outlook.batches.as_slice();
    let mut lines = Vec::new();
    for step in &outlook.steps {
        let on = match step.weight {
            100 => format!("{} of {total} run {}", step.instances, outlook.plan.version),
            weight => format!("{} of {total} run {} at {weight}% of their weight", step.instances, outlook.plan.version),
        };
        let on = if step.is_carried() { on } else { String::new() };
        lines.push(format!("  step {:<8} {:<ROOM$}  {on}", step.number, step.step.words()).trim_end().to_owned());
        let own = rest.iter().take_while(|batch| batch.step == Some(step.number)).count();
        let (own, others) = rest.split_at(own);
        lines.extend(batches(outlook, own));
        rest = others;
    }
    lines.extend(batches(outlook, rest));
    lines
}

/// A line for each batch; where there are many, one for all that are alike in a row.
fn batches(outlook: &Outlook, all: &[PlannedBatch]) -> Vec<String> {
    let total = outlook.plan.total();
    let alike =
        |a: &PlannedBatch, b: &PlannedBatch| all.len() > EACH && (a.members.len(), a.serving) == (b.members.len(), b.serving);
    let groups = all.chunk_by(alike);
    groups
        .filter_map(|group| {
            let (first, last) = (group.first()?, group.last()?);
            let (name, members) = if let [one] = group {
                let spares = outlook.ids(|m| m.spare && one.members.contains(&m.target.id)).len();
                let note = if spares > 0 { " (extra capacity)" } else { "" };
                (format!("batch {:>3}", one.number), names(&one.members) + note)
            } else {
                let (from, to) = (first.members.first()?, last.members.last()?);
                let each = format!("{} each, {from} to {to}", first.members.len());
                (format!("batches {}–{}", first.number, last.number), each)
            };
            Some(format!("  {name:<13} {members:<ROOM$}  {} of {total} serve", first.serving))
        })
        .collect()
}

/// All names if there is room for them, else the first, the last and how many.
fn names(members: &[InstanceId]) -> String {
    let all = members.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(" ");
    match members {
        [first, .., last] if all.chars().count() > ROOM => format!("{first} to {last} ({})", members.len()),
        _ => all,
    }
}

fn left_alone(outlook: &Outlook) -> Vec<String> {
    let why = |m: &&Member| m.excluded.clone().unwrap_or_else(|| m.trouble());
    let left: Vec<&Member> = outlook.plan.members.iter().filter(|m| m.excluded.is_some() || outlook.will_be_skipped(m)).collect();
    let mut lines: Vec<String> = left.iter().take(NAMES).map(|m| format!("  skipped   {}: {}", m.target.id, why(m))).collect();
    if left.len() > NAMES {
        lines.push(format!("  skipped   and {} more", left.len() - NAMES));
    }
    let there = outlook.ids(|m| m.at_version);
    match there.as_slice() {
        [] => {}
        few if few.len() <= NAMES => lines.push(format!("  already   at {}: {}", outlook.plan.version, few.join(" "))),
        many => lines.push(format!("  already   at {}: {}", outlook.plan.version, counted(many.len(), "instance"))),
    }
    lines
}

/// What is measured, and which hooks run when.
fn between(outlook: &Outlook) -> Vec<String> {
    let policy = &outlook.plan.policy;
    let analysis = policy.analysis.iter().map(|analysis| format!("  analysis  {}", course::measured(analysis)));
    let mut hooks: Vec<&Hook> = policy.hooks.iter().collect();
    hooks.sort_by_key(|hook| hook.at);
    analysis.chain(hooks.into_iter().map(|hook| format!("  hook      {}", course::hook(hook)))).collect()
}

/// What the plan's own strategy costs, what another would, and which fits.
fn strategies(outlook: &Outlook) -> Vec<String> {
    let line = |(index, choice): (usize, &Choice)| {
        let word = if index == 0 { "strategy" } else { "or" };
        format!("  {word:<9} {}: {}", choice.kind, choice.cost)
    };
    let mut lines: Vec<String> = outlook.choices.iter().enumerate().map(line).collect();
    let fits = outlook.choices.iter().filter_map(|choice| Some((choice.kind, choice.fits.as_ref()?)));
    lines.extend(fits.map(|(kind, why)| format!("  fits      {kind}: {why}")));
    lines
}

fn time(outlook: &Outlook) -> String {
    let least = outlook.at_least();
    let waits = if course::waits(&outlook.plan) { ", and until somebody promotes" } else { "" };
    match outlook.eta {
        Some(eta) => {
            let spread = if eta.low.to_string() == eta.high.to_string() {
                String::new()
            } else {
                format!(", between {} and {}", eta.low, eta.high)
            };
            format!("  time      about {}{spread}, by {}{waits}", eta.likely, counted(outlook.measured, "earlier update"))
        }
        None => format!(
            "  time      at least {least}, plus drains (up to {} each), updates and starts{waits}",
            outlook.plan.policy.drain.timeout
        ),
    }
}

fn rollback(outlook: &Outlook) -> String {
    let (ways, touched) = (outlook.ways_back(), outlook.touched());
    let ready: u32 = ways.values().sum();
    let mut text = format!("  rollback  {ready} of {touched} can go back to {}", listed(&ways));
    if ways.is_empty() {
        text = format!("  rollback  none of {touched} can go back");
    }
    if let Some(back) = outlook.back.filter(|_| ready > 0) {
        text += &["; about ", &back.to_string()].concat();
    }
    let lost = outlook.no_way_back();
    if !lost.is_empty() {
        text += &["; not possible for ", &lost.join(" ")].concat();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_go_on_under_their_text() {
        let line = format!("  !  {}", "twelve chars ".repeat(12));
        let text = wrapped(&line);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS && line.starts_with("  ")), "{text}");
        assert_eq!(text.split_whitespace().collect::<Vec<_>>(), line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(wrapped("short"), "short");
        let endless = "x".repeat(200);
        assert_eq!(wrapped(&endless), endless, "a name is not cut");
    }
}
