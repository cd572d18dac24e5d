//! The list of instances that the grid shows: filtered, sorted, walked through. The selection is an instance, not a place:
//! what moves in the list does not move it to another one.
//!
//! Imports: tui parts, state, model. May not: draw; send.

use std::cmp::{Ordering, Reverse};

use super::app::{App, Dirt, Tone};
use super::chart::{Chart, Mark};
use super::filter::{Candidate, Filter};
use super::keys::Action;
use super::view::Level;
use crate::model::{InstanceState, Timestamp, Version};
use crate::state::{Goal, Instance, Phase, State};

/// Order of graveness: in what is shared by many the gravest is named first, and sorting by state begins with it.
pub(super) const GRAVEST: [InstanceState; 10] = [
    InstanceState::Failed,
    InstanceState::RolledBack,
    InstanceState::RollingBack,
    InstanceState::HealthChecking,
    InstanceState::Draining,
    InstanceState::Updating,
    InstanceState::Held,
    InstanceState::Skipped,
    InstanceState::Pending,
    InstanceState::Healthy,
];

/// What the list is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// The plan's order.
    #[default]
    Plan,
    /// The gravest state first.
    State,
    /// A check that was missed first, then the slowest.
    Latency,
    /// By name; numbers by their value.
    Name,
}

impl Sort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plan, Self::State, Self::Latency, Self::Name];

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::State => "state",
            Self::Latency => "latency",
            Self::Name => "name",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Plan => Self::State,
            Self::State => Self::Latency,
            Self::Latency => Self::Name,
            Self::Name => Self::Plan,
        }
    }

    /// Its values change: the list is sorted when asked to, so that nothing jumps.
    pub fn is_of_a_moment(self) -> bool {
        matches!(self, Self::State | Self::Latency)
    }
}

/// The list: which instances, in which order, by place in the plan.
#[derive(Debug, Default)]
pub struct List {
    /// Who is in it.
    pub filter: Filter,
    /// Its order.
    pub sort: Sort,
    /// When it was sorted.
    pub sorted_at: Timestamp,
    /// Everybody, sorted.
    ranked: Vec<usize>,
    /// Those who pass the filter.
    shown: Vec<usize>,
    /// The selection goes where work is.
    pub follow: bool,
    /// The level of detail that was asked for.
    pub(super) level: Option<Level>,
}

impl List {
    /// Those who are in the list, by place in the plan.
    pub fn shown(&self) -> &[usize] {
        &self.shown
    }
}

/// The version that an instance runs or is brought to, and whether it is on its way there.
pub(super) fn version_of<'a>(state: &'a State, index: usize, instance: &'a Instance) -> (bool, Option<&'a Version>) {
    let member = state.plan.members.get(index);
    let at_work = matches!(instance.phase, Phase::Updating | Phase::Verifying { .. } | Phase::Admitting | Phase::Settling { .. });
    match (&instance.version, member) {
        (Some(version), _) => (false, Some(version)),
        (None, Some(member)) if at_work => {
            let back = instance.goal == Goal::Back;
            (true, if back { member.previous.as_ref() } else { Some(&member.wanted) })
        }
        // Restored: it was read back as its own earlier version.
        (None, Some(member)) if instance.phase == Phase::RolledBack => (false, member.previous.as_ref()),
        (None, _) => (false, None),
    }
}

fn candidate<'a>(state: &'a State, charts: &[Chart], index: usize) -> Option<Candidate<'a>> {
    let (id, instance) = state.instances.get_index(index)?;
    let target = state.plan.members.get(index).map(|member| &member.target);
    Some(Candidate {
        id: id.as_str(),
        host: target.map_or("", |target| target.host.as_str()),
        zone: target.and_then(|target| target.zone.as_deref()),
        version: version_of(state, index, instance).1.map(Version::as_str),
        state: instance.shown(),
        latency: charts.get(index).and_then(|chart| chart.latency),
    })
}

impl App {
    /// The selected instance's place in the plan; none if the filter passes nobody.
    pub fn selection(&self) -> Option<usize> {
        (!self.list.shown.is_empty()).then_some(self.selected)
    }

    /// The instance at a place in the list, by its place in the plan.
    pub(super) fn listed(&self, place: usize) -> Option<usize> {
        self.list.shown.get(place).copied()
    }

    /// The selected instance's place in the list.
    pub(super) fn position(&self) -> usize {
        self.list.shown.iter().position(|index| *index == self.selected).unwrap_or(0)
    }

    /// Selects by place in the list; beyond its end is its end.
    pub(super) fn select_at(&mut self, position: usize) {
        let last = self.list.shown.len().saturating_sub(1);
        if let Some(index) = self.list.shown.get(position.min(last)) {
            self.selected = *index;
        }
    }

    /// Sorts everybody as things stand now, and filters.
    pub(super) fn sort(&mut self) {
        let mut ranked: Vec<usize> = (0..self.state.instances.len()).collect();
        match self.list.sort {
            Sort::Plan => {}
            Sort::State => ranked.sort_by_key(|index| self.graveness(*index)),
            Sort::Latency => ranked.sort_by_key(|index| self.slowness(*index)),
            Sort::Name => ranked.sort_by(|a, b| {
                let name = |index: &usize| self.id_at(*index).map_or("", |id| id.as_str());
                by_name(name(a), name(b))
            }),
        }
        self.list.ranked = ranked;
        self.list.sorted_at = self.now;
        self.refilter();
    }

    fn graveness(&self, index: usize) -> usize {
        let shown = self.state.instances.get_index(index).map(|(_, instance)| instance.shown());
        GRAVEST.iter().position(|state| Some(*state) == shown).unwrap_or(GRAVEST.len())
    }

    /// Missed first, then the slowest, then who has no news.
    fn slowness(&self, index: usize) -> (u8, Reverse<u64>) {
        match self.charts.get(index) {
            Some(chart) if chart.samples.back() == Some(&Mark::Missed) => (0, Reverse(0)),
            Some(chart) => chart.latency.map_or((2, Reverse(0)), |ms| (1, Reverse(ms))),
            None => (2, Reverse(0)),
        }
    }

    /// Applies the filter anew. If that takes the selected one away, its neighbour is selected.
    pub(super) fn refilter(&mut self) {
        let position = self.position();
        let (state, charts) = (&self.state, &self.charts);
        if self.list.filter.is_empty() {
            self.list.shown.clone_from(&self.list.ranked);
        } else {
            self.list.filter.settle(&(0..state.instances.len()).filter_map(|index| candidate(state, charts, index)));
            let filter = &self.list.filter;
            let passes = |index: &usize| candidate(state, charts, *index).is_some_and(|candidate| filter.passes(&candidate));
            self.list.shown = self.list.ranked.iter().copied().filter(passes).collect();
        }
        if !self.list.shown.contains(&self.selected) {
            self.select_at(position);
        }
    }

    /// An instance changed: it may have entered or left the filter; and with `f` the selection goes where work is.
    pub(super) fn relist(&mut self, index: usize) {
        if !self.list.filter.is_empty() {
            let passes = candidate(&self.state, &self.charts, index).is_some_and(|candidate| self.list.filter.passes(&candidate));
            if passes != self.list.shown.contains(&index) {
                self.refilter();
            }
        }
        if self.list.follow {
            self.go_to_work();
        }
    }

    /// Selects who is at work, unless the selected one is.
    pub(super) fn go_to_work(&mut self) {
        let at_work = |index: &usize| self.state.active.contains(index);
        if !at_work(&self.selected)
            && let Some(index) = self.list.shown.iter().find(|index| at_work(index))
        {
            self.selected = *index;
        }
    }

    /// Another filter.
    pub(super) fn set_filter(&mut self, text: &str) {
        self.list.filter = Filter::parse(text);
        self.refilter();
        self.dirt = Dirt::Now;
    }

    /// This order.
    pub(super) fn sort_by(&mut self, sort: Sort) {
        self.list.sort = sort;
        self.set_sort(true);
    }

    /// The next order; `again`: the same order, as things stand now.
    pub(super) fn set_sort(&mut self, again: bool) {
        if !again {
            self.list.sort = self.list.sort.next();
        }
        self.sort();
        let word = self.list.sort.word();
        let again = self.fixed.keys.hint(Action::SortAgain);
        let how = match self.list.sort {
            Sort::Plan => "the plan's order".to_owned(),
            Sort::State => format!("the gravest first; {again} sorts again as things stand then"),
            Sort::Latency => format!("missed first, then the slowest; {again} sorts again as things stand then"),
            Sort::Name => "numbers by their value".to_owned(),
        };
        self.say(format!("sorted by {word}: {how}"), Tone::Plain);
    }

    /// Those who need a person and are not in the list.
    pub(super) fn hidden_exceptions(&self) -> usize {
        if self.list.filter.is_empty() {
            return 0;
        }
        let passes = |index: usize| {
            candidate(&self.state, &self.charts, index).is_some_and(|candidate| self.list.filter.passes(&candidate))
        };
        self.exceptions().filter(|(index, ..)| !passes(*index)).count()
    }

    /// Those who need a person and those who brought a rollback about, by place in the plan.
    pub(super) fn grave(&self) -> impl Iterator<Item = usize> {
        let back = |i: &Instance| i.phase == Phase::RolledBack && i.failure.is_some();
        let back = self.state.instances.values().enumerate().filter(move |(_, i)| back(i)).map(|(index, _)| index);
        self.exceptions().map(|(index, ..)| index).chain(back)
    }

    /// Selects the next one that needs a person; from the end it goes on at the beginning.
    pub(super) fn next_failure(&mut self, forward: bool) {
        let grave: Vec<usize> = {
            let grave: std::collections::HashSet<usize> = self.grave().collect();
            let places = self.list.shown.iter().enumerate().filter(|(_, index)| grave.contains(index));
            places.map(|(place, _)| place).collect()
        };
        let here = self.position();
        let (after, around) = if forward {
            (grave.iter().find(|place| **place > here), grave.first())
        } else {
            (grave.iter().rev().find(|place| **place < here), grave.last())
        };
        match (after, around) {
            (Some(place), _) => {
                self.list.follow = false;
                self.select_at(*place);
            }
            (None, Some(place)) => {
                self.list.follow = false;
                let text = match (grave.len(), forward) {
                    (1, _) if *place == here => "this is the only one that failed, is held or is out",
                    (_, true) => "from the top again",
                    (_, false) => "from the bottom again",
                };
                self.say(text, Tone::Plain);
                self.select_at(*place);
            }
            (None, None) => match self.hidden_exceptions() {
                0 => self.say("no instance failed, is held, or was skipped with a fault", Tone::Plain),
                n => self.say(format!("none in the filter; {n} outside of it, Esc clears it"), Tone::Plain),
            },
        }
    }
}

/// By name, with runs of digits by their value: `web-2` before `web-10`.
fn by_name(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let ((head_a, rest_a), (head_b, rest_b)) = (run(a), run(b));
        let number = |text: &str| text.trim_start_matches('0').len();
        let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let order = if digits(head_a) && digits(head_b) {
            let trimmed = |text: &str| text.trim_start_matches('0').to_owned();
            number(head_a).cmp(&number(head_b)).then_with(|| trimmed(head_a).cmp(&trimmed(head_b)))
        } else {
            head_a.cmp(head_b)
        };
        if order != Ordering::Equal || (rest_a.is_empty() && rest_b.is_empty()) {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The leading run of digits, or of anything else, and the rest.
fn run(text: &str) -> (&str, &str) {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_the_value_of_their_numbers() {
        let mut names = ["web-10", "web-2", "api-1", "web-02b", "web", "web-2a", "web-1-9", "web-1-10"];
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(names, ["api-1", "web", "web-1-9", "web-1-10", "web-2", "web-2a", "web-02b", "web-10"]);
    }
}
