//! Every command at every place of an instance, while it runs, is paused, cancelled or goes back: nothing contradicts the
//! state, nothing hangs, and what was promised of budget, cancel and rollback holds.
//!
//! Imports: core, state, event, command, model. May not: be part of a build that is not a test.

use std::collections::BTreeMap;

use super::testing::{Fixture, cancel, id, pause, rollback};
use super::{Input, next_deadline, turn, waiting, wanted};
use crate::command::{Command, Request};
use crate::effect::{Effect, EffectKind, Outcome};
use crate::event::{Actor, Cause, Event, EventKind};
use crate::model::{
    Confirm, Count, InstanceId, Measurement, OnFailure, Quantity, Rotation, Sample, SampleResult, Span, Survey, Version,
};
use crate::state::{Awaits, Phase, State};

pub(super) const FLEET: u32 = 4;

fn fleet() -> Fixture {
    Fixture::new(FLEET)
        .with(|p| {
            p.rollback.on_failure = OnFailure::Continue;
            p.strategy.batch_size = vec![Count::Absolute(1)];
            p.strategy.min_healthy_time = Span::from_secs(4);
        })
        .started()
}

fn healthy(run: &mut Fixture, number: u32) {
    run.bring_to_healthy(number);
    run.wait(Span::from_secs(4));
    run.passes(number, 1);
}

fn read(run: &mut Fixture, number: u32, rotation: Rotation) {
    run.now = run.now + Span::from_millis(10);
    run.input(&Input::Rotations { at: run.now, rotations: BTreeMap::from([(id(number), rotation)]) });
}

/// How the first instance comes to a place.
type Step = (&'static str, fn(&mut Fixture));

/// On its way to the new version, or there.
fn on_its_way() -> Vec<Step> {
    vec![
        ("checking", |_| {}),
        ("held", |run| drop(run.command(Command::Hold { instance: id(1), reason: String::new() }))),
        ("taking out", |run| run.check(1)),
        ("draining", |run| {
            run.check(1);
            run.outcome(1, Outcome::TakenOut { sessions: Some(3) });
        }),
        ("updating", |run| {
            run.check(1);
            run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
        }),
        ("updating, slipped", |run| {
            run.check(1);
            run.outcome(1, Outcome::TakenOut { sessions: Some(0) });
            read(run, 1, Rotation::Serving);
        }),
        ("verifying", |run| run.bring_to_gate(1)),
        ("verifying, slipped", |run| {
            run.bring_to_gate(1);
            read(run, 1, Rotation::Serving);
        }),
        ("admitting", |run| {
            run.bring_to_gate(1);
            run.passes(1, 2);
        }),
        ("settling", |run| run.bring_to_healthy(1)),
        ("healthy", |run| healthy(run, 1)),
        ("healthy, taken out by others", |run| {
            healthy(run, 1);
            read(run, 1, Rotation::Maintenance);
        }),
    ]
}

/// Failed, left alone, or not on its way to the new version any more.
fn failed_or_left_alone() -> Vec<Step> {
    vec![
        ("failed", |run| {
            run.bring_to_gate(1);
            run.misses(1, 3);
        }),
        ("failed, slipped", |run| {
            run.bring_to_gate(1);
            run.misses(1, 3);
            read(run, 1, Rotation::Down);
        }),
        ("evicting", |run| {
            healthy(run, 1);
            run.misses(1, 3);
        }),
        ("failed in rotation", |run| {
            healthy(run, 1);
            run.misses(1, 3);
            run.wait(Span::from_secs(30));
        }),
        ("tried again in rotation", |run| {
            healthy(run, 1);
            run.misses(1, 3);
            run.wait(Span::from_secs(30));
            run.command(Command::Retry { instance: id(1) });
        }),
        ("tried again, draining", |run| {
            healthy(run, 1);
            run.misses(1, 3);
            run.wait(Span::from_secs(30));
            run.command(Command::Retry { instance: id(1) });
            run.outcome(1, Outcome::TakenOut { sessions: Some(3) });
        }),
        ("skipped, unfit", |run| {
            let mut survey = run.survey(1, "v1");
            survey.health.result = SampleResult::NotListening;
            run.outcome(1, Outcome::Surveyed { survey });
        }),
        ("skipped, at the version", |run| {
            let survey = run.survey(1, "v2");
            run.outcome(1, Outcome::Surveyed { survey });
        }),
        ("skipped by an operator", |run| drop(run.command(Command::Skip { instance: id(1), reason: String::new() }))),
        ("returning", |run| {
            run.check(1);
            run.wait(Span::from_secs(10));
            run.command(Command::Resume);
        }),
        ("its return failed", |run| {
            run.check(1);
            run.wait(Span::from_secs(10));
            run.wait(Span::from_secs(60));
            run.command(Command::Resume);
        }),
        ("going back alone", |run| {
            run.bring_to_gate(1);
            run.misses(1, 3);
            run.command(Command::Rollback { reason: String::new(), only: Some(id(1)) });
        }),
        ("gone back alone", |run| {
            run.bring_to_gate(1);
            run.misses(1, 3);
            run.command(Command::Rollback { reason: String::new(), only: Some(id(1)) });
            run.restore(1);
        }),
        ("could not go back", |run| {
            run.bring_to_gate(1);
            run.misses(1, 3);
            run.command(Command::Rollback { reason: String::new(), only: Some(id(1)) });
            run.outcome(1, Outcome::UpdateFailed { reason: "exit code 1".to_owned() });
        }),
    ]
}

/// The first instance of a fleet, brought to each of its places.
fn places() -> Vec<(&'static str, Fixture)> {
    let brought = |(name, step): Step| {
        let mut run = fleet();
        step(&mut run);
        (name, run)
    };
    on_its_way().into_iter().chain(failed_or_left_alone()).map(brought).collect()
}

pub(super) fn modes() -> Vec<(&'static str, Vec<Command>)> {
    vec![
        ("running", vec![]),
        ("paused", vec![pause()]),
        ("cancelling", vec![cancel()]),
        ("stopped", vec![cancel(), cancel()]),
        ("rolling back", vec![rollback()]),
        ("rollback paused", vec![rollback(), pause()]),
        ("rollback ended where it is", vec![rollback(), pause(), cancel()]),
        ("rollback after a cancel", vec![cancel(), rollback()]),
    ]
}

pub(super) fn commands() -> Vec<Command> {
    let (instance, reason) = (id(1), String::new());
    vec![
        Command::Start,
        pause(),
        Command::Resume,
        cancel(),
        rollback(),
        Command::Promote { full: true },
        Command::Retry { instance: instance.clone() },
        Command::Skip { instance: instance.clone(), reason: reason.clone() },
        Command::Hold { instance: instance.clone(), reason: reason.clone() },
        Command::Release { instance: instance.clone() },
        Command::Rollback { reason, only: Some(instance) },
    ]
}

/// A fleet in which everything works, and a look at every event.
pub(super) struct Drive {
    pub(super) run: Fixture,
    pub(super) name: String,
    versions: BTreeMap<InstanceId, Version>,
    pub(super) done: Vec<Effect>,
}

impl Drive {
    pub(super) fn new(run: &Fixture, name: String) -> Self {
        let run = run.clone();
        let of = |e: &Event| match &e.kind {
            EventKind::UpdateStarted { instance, version, .. } => Some((instance.clone(), version.clone())),
            _ => None,
        };
        let versions = run.events.iter().filter_map(of).collect();
        Self { run, name, versions, done: Vec::new() }
    }

    pub(super) fn command(&mut self, command: &Command) {
        let actor = Actor::operator("ana", 1000);
        let request = Request { key: "k".to_owned(), actor, revision: None, command: command.clone() };
        self.input(&Input::Command(request));
    }

    pub(super) fn input(&mut self, input: &Input) {
        let run = &mut self.run;
        let mut state = run.state.clone();
        let events = turn(&mut run.state, &mut run.observed, run.now, input).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        for event in &events {
            check_event(&state, event, &self.name);
            state.apply(event).unwrap();
            if let EventKind::UpdateStarted { instance, version, .. } = &event.kind {
                self.versions.insert(instance.clone(), version.clone());
            }
        }
        run.events.extend(events);
        assert!(run.state.end.is_some() || !waiting(&run.state).unwrap().what.is_empty(), "{}", self.name);
    }

    fn survey(&self, instance: &InstanceId) -> Survey {
        let there = self.run.state.instance(instance).unwrap();
        let version = self.versions.get(instance).cloned().unwrap_or_else(|| Version::new("v1").unwrap());
        let rotation = if there.serving { Rotation::Serving } else { Rotation::Draining };
        Survey { version: Some(version), rotation, health: self.sample() }
    }

    fn sample(&self) -> Sample {
        let result = SampleResult::Pass { status: Some(200) };
        Sample { at: self.run.now, latency: Span::from_millis(5), result, version: None }
    }

    /// What comes of an act.
    pub(super) fn perform(&mut self, effect: Effect) {
        let outcome = match (&effect.kind, &effect.instance) {
            (EffectKind::Watch { attentive: true, .. }, Some(id)) => {
                let input = Input::Sample { instance: id.clone(), sample: self.sample() };
                return self.input(&input);
            }
            (EffectKind::SurveyFleet, _) => {
                let surveys = self.run.state.instances.keys().map(|id| (id.clone(), Ok(self.survey(id)))).collect();
                Outcome::FleetSurveyed { surveys, vip: None, lb: None }
            }
            (EffectKind::Survey, Some(id)) => Outcome::Surveyed { survey: self.survey(id) },
            (EffectKind::TakeOut, _) => Outcome::TakenOut { sessions: Some(0) },
            (EffectKind::AwaitIdle, _) => Outcome::Idle,
            (EffectKind::Update { .. } | EffectKind::Retire, _) => Outcome::Updated,
            (EffectKind::Admit, _) => Outcome::Admitted,
            (EffectKind::Weigh { weights }, _) => Outcome::Weighed { weights: weights.clone() },
            (EffectKind::RunHook { .. }, _) => Outcome::HookEnded { failure: None },
            (EffectKind::Measure { check, .. }, _) => {
                let (check, at) = (check.clone(), self.run.now);
                let value = Quantity::new(0.0).unwrap();
                let measurement = Measurement::Value { touched: value, untouched: None, samples: None };
                return self.input(&Input::Measured { check, at, measurement });
            }
            (
                EffectKind::WatchRotation { .. } | EffectKind::HoldWeights { .. } | EffectKind::Watch { .. } | EffectKind::Survey,
                _,
            ) => return,
        };
        // As the engine does, an act is performed once as long as it is wanted.
        self.done.push(effect.clone());
        self.input(&Input::Outcome { effect: effect.id, outcome });
    }

    /// On to the end. An operator looks once it waits for one: goes on, or, if that does not help, gives up.
    pub(super) fn finish(&mut self) {
        for round in 0..400 {
            if self.run.state.end.is_some() {
                return assert_eq!(State::replay(&self.run.events).unwrap(), self.run.state, "{}", self.name);
            }
            let all = wanted(&self.run.state);
            self.done.retain(|effect| all.contains(effect));
            for effect in all {
                if wanted(&self.run.state).contains(&effect) && !self.done.contains(&effect) {
                    self.perform(effect);
                }
            }
            self.run.now =
                next_deadline(&self.run.state, self.run.now).map_or(self.run.now, |at| at.min(self.run.now + Span::from_secs(1)));
            self.run.now = self.run.now + Span::from_millis(50);
            self.input(&Input::Tick);
            let still = self.run.state.pause.is_some() && self.run.state.active.is_empty();
            if still {
                let capacity = self.run.state.pause.as_ref().is_some_and(|p| p.cause == Cause::Capacity);
                self.command(&if capacity || round > 200 { cancel() } else { Command::Resume });
            }
            if round % 20 == 19 && self.run.state.awaits == Some(Awaits::Promotion) && self.run.state.pause.is_none() {
                self.command(&Command::Promote { full: true });
            }
            if round == 300 {
                // Held instances wait for a person, and half an hour for nobody.
                self.command(&Command::Release { instance: id(1) });
            }
        }
        let last: Vec<String> = self.run.events.iter().rev().take(8).map(|e| e.kind.words()).collect();
        panic!("{}: no end: {:?}\n{}", self.name, waiting(&self.run.state), last.join("\n"));
    }
}

/// S1, S2, S9, S10 and the order of drain and update, at the moment of the order.
fn check_event(before: &State, event: &Event, name: &str) {
    match &event.kind {
        EventKind::DrainStarted { instance, .. } => {
            let this = before.instance(instance).unwrap();
            if this.spare {
                return;
            }
            let fleet = before.instances.iter().filter(|(other, i)| *other != instance && !i.spare);
            let out = fleet.filter(|(_, i)| (i.ours || !i.serving) && !i.discounted);
            let extra = before.instances.values().filter(|i| i.spare && i.phase == Phase::Healthy && i.serving).count();
            let (out, well) = (out.count(), this.serving && !this.down);
            let forward = before.rollback.is_none() && !this.exposed;
            let Count::Absolute(max) = before.plan.policy.strategy.max_unavailable else { panic!("{name}: a count") };
            assert!(!forward || !well || out < max as usize + extra, "{name}: {instance} is taken out, {out} are out");
            let others = before.instances.iter().filter(|(other, i)| *other != instance && i.serving && !i.ours).count();
            assert!(!well || others >= 1, "{name}: {instance} is taken out, and nobody else serves");
        }
        EventKind::UpdateStarted { instance, version, .. } => {
            let this = before.instance(instance).unwrap();
            assert!(!this.serving, "{name}: {instance} is updated while it is in rotation");
            if *version == before.plan.version {
                assert!(before.cancel.is_none() && before.rollback.is_none(), "{name}: {instance} goes forward");
                assert!(before.pause.is_none() || this.phase == Phase::Drained, "{name}: {instance} is taken in a pause");
            }
        }
        EventKind::InstanceAdmitted { instance, .. } => {
            let this = before.instance(instance).unwrap();
            assert!(!this.foreign, "{name}: {instance} is put back against somebody else's order");
        }
        _ => {}
    }
}

#[test]
fn every_command_everywhere_leads_to_an_end_and_keeps_its_promises() {
    let mut runs = 0;
    for (place, start) in places() {
        for (mode, before) in modes() {
            for first in commands() {
                for second in [None, Some(cancel()), Some(rollback()), Some(Command::Resume)] {
                    let then = second.as_ref().map_or("nothing", Command::verb);
                    let mut drive = Drive::new(&start, format!("{place}, {mode}, {}, then {then}", first.verb()));
                    for command in before.iter().chain([&first]).chain(second.as_ref()) {
                        drive.run.now = drive.run.now + Span::from_millis(10);
                        drive.command(command);
                    }
                    drive.finish();
                    runs += 1;
                }
            }
        }
    }
    assert!(runs > 8000, "{runs}");
}

/// The same with extra capacity at each of its places, where nothing of the fleet may be out without it.
#[test]
fn every_command_is_safe_wherever_extra_capacity_stands() {
    let spare = |rotation: Option<Rotation>, steps: &dyn Fn(&mut Fixture)| {
        let mut run = Fixture::new(FLEET)
            .with(|p| {
                (p.strategy.max_unavailable, p.rollback.max_unavailable) = (Count::Absolute(0), Count::Absolute(0));
                (p.strategy.min_serving, p.strategy.batch_size) = (Count::Absolute(FLEET), vec![Count::Absolute(1)]);
            })
            .with_spares(1)
            .started();
        if let Some(rotation) = rotation {
            let survey = run.nothing_there(rotation);
            run.outcome(FLEET + 1, Outcome::Surveyed { survey });
        }
        steps(&mut run);
        run
    };
    let up = |run: &mut Fixture| {
        run.outcome(FLEET + 1, Outcome::Updated);
        run.passes(FLEET + 1, 2);
        run.outcome(FLEET + 1, Outcome::Admitted);
        run.wait(Span::from_secs(10));
    };
    let all = |run: &mut Fixture| {
        up(run);
        for number in 1..=FLEET {
            run.bring_to_healthy(number);
            run.wait(Span::from_secs(10));
        }
    };
    let missing = Some(Rotation::Missing);
    let places: Vec<(&str, Fixture)> = vec![
        ("checking", spare(None, &|_| {})),
        ("taking out", spare(Some(Rotation::Down), &|_| {})),
        ("draining", spare(Some(Rotation::Down), &|run| drop(run.outcome(FLEET + 1, Outcome::TakenOut { sessions: Some(1) })))),
        ("updating", spare(missing, &|_| {})),
        ("verifying", spare(missing, &|run| drop(run.outcome(FLEET + 1, Outcome::Updated)))),
        (
            "failed",
            spare(missing, &|run| {
                run.outcome(FLEET + 1, Outcome::Updated);
                run.misses(FLEET + 1, 3);
            }),
        ),
        ("skipped", spare(Some(Rotation::Maintenance), &|_| {})),
        ("serving", spare(missing, &up)),
        (
            "serving, one at work",
            spare(missing, &|run| {
                up(run);
                run.check(1);
            }),
        ),
        (
            "lost, one at work",
            spare(missing, &|run| {
                up(run);
                run.bring_to_gate(1);
                run.misses(FLEET + 1, 3);
            }),
        ),
        ("being taken out again", spare(missing, &all)),
        (
            "being stopped",
            spare(missing, &|run| {
                all(run);
                run.taken_out(FLEET + 1);
            }),
        ),
    ];
    let of_the_spare = commands().into_iter().map(|command| match command {
        Command::Retry { .. } => Command::Retry { instance: id(FLEET + 1) },
        Command::Skip { reason, .. } => Command::Skip { instance: id(FLEET + 1), reason },
        Command::Hold { reason, .. } => Command::Hold { instance: id(FLEET + 1), reason },
        other => other,
    });
    let asked: Vec<Command> = commands().into_iter().chain(of_the_spare).collect();
    for (place, start) in places {
        for (mode, before) in modes() {
            for command in &asked {
                let mut drive = Drive::new(&start, format!("spare {place}, {mode}, {}", command.verb()));
                for command in before.iter().chain([command]) {
                    drive.run.now = drive.run.now + Span::from_millis(10);
                    drive.command(command);
                }
                drive.finish();
                let left: Vec<_> = drive.run.state.instances.values().filter(|i| i.spare && i.is_touched()).collect();
                let listed = drive.run.state.exceptions().len();
                assert!(left.is_empty() || listed > 0, "{}: {left:?}", drive.name);
            }
        }
    }
}

/// The same where a deployment as a whole waits: for its start, an approval, a bake, its end.
#[test]
fn every_command_is_safe_while_the_deployment_waits() {
    let waits: Vec<(&str, Fixture)> = vec![
        ("not begun", Fixture::new(FLEET)),
        ("baking", {
            let mut run = Fixture::new(FLEET).started();
            run.bring_to_healthy(1);
            run.bring_to_healthy(2);
            run
        }),
        ("approval", {
            let mut run = Fixture::new(FLEET).with(|p| p.strategy.confirm = Confirm::Batch).started();
            run.bring_to_healthy(1);
            run.bring_to_healthy(2);
            run.wait(Span::from_secs(10));
            run
        }),
        ("end check", {
            let mut run = Fixture::new(2).started();
            run.bring_to_healthy(1);
            run.bring_to_healthy(2);
            run.wait(Span::from_secs(10));
            run
        }),
        ("looking", {
            let mut run = Fixture::new(FLEET).started();
            run.peers_are_well = false;
            run.bring_to_gate(1);
            run.misses(1, 3);
            run
        }),
    ];
    for (place, start) in waits {
        for (mode, before) in modes() {
            for first in commands() {
                let mut drive = Drive::new(&start, format!("{place}, {mode}, {}", first.verb()));
                for command in before.iter().chain([&first]) {
                    drive.run.now = drive.run.now + Span::from_millis(10);
                    drive.command(command);
                }
                if drive.run.state.started_at.is_none() {
                    drive.command(&Command::Start);
                }
                for _ in 0..10 {
                    if drive.run.state.awaits == Some(Awaits::Approval) {
                        drive.command(&Command::Promote { full: true });
                    }
                }
                drive.finish();
            }
        }
    }
}
