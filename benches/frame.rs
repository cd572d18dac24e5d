//! A frame of the console at 10,000 instances: view, diff and bytes, in CPU time of this thread, as people see it: one
//! instance has changed since the last.
//!
//! `cargo bench --bench frame`
#![expect(clippy::print_stdout, reason = "a bench that prints nothing says nothing")]

use std::collections::BTreeMap;
use std::hint::black_box;

use nix::time::{ClockId, clock_gettime};
use ratatui::Terminal;
use ratatui::layout::Size;
use rollout::event::{Actor, Event, EventKind, FORMAT};
use rollout::model::{
    Count, DeploymentId, DeploymentKind, InstanceId, InstanceState, Member, Plan, Policy, Rotation, Seq, Span, Target, Timestamp,
    Version,
};
use rollout::ports::{Progress, Snapshot};
use rollout::state::State;
use rollout::tui::{App, Depth, Encoder, Fixed, Key, Keymap, Msg, Oracle, Theme, update, view};

/// Frames of which each number is made.
const FRAMES: usize = 60;
const FLEET: usize = 10_000;

fn now() -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000)
}

fn main() {
    if let Err(fault) = measure() {
        println!("nothing was measured: {fault}");
    }
}

fn measure() -> Result<(), String> {
    println!("CPU time of a frame of {FLEET} instances, {FRAMES} frames");
    println!("{:<28} {:>9} {:>9} {:>9}", "screen", "first", "min", "median");
    let mut app = console(Size::new(160, 48))?;
    for (name, size, keys) in [
        ("fleet, bars", Size::new(160, 48), "1="),
        ("fleet, half-blocks", Size::new(160, 48), "1=+"),
        ("fleet, rows", Size::new(160, 48), "1+++++++"),
        ("timeline", Size::new(160, 48), "3"),
        ("timeline, 80x24", Size::new(80, 24), "3"),
        ("plan", Size::new(160, 48), "5"),
    ] {
        update(&mut app, Msg::Resize(size.width, size.height));
        for key in keys.chars() {
            update(&mut app, Msg::Key(Key::Char(key)));
        }
        let (first, mut frames) = frames(&mut app, size)?;
        frames.sort_unstable();
        let (min, median) = (frames.first().copied().unwrap_or(0), frames.get(frames.len() / 2).copied().unwrap_or(0));
        println!("{name:<28} {:>9} {:>9} {:>9}", shown(first), shown(min), shown(median));
    }
    Ok(())
}

/// Microseconds as milliseconds.
fn shown(us: u64) -> String {
    format!("{}.{:02}ms", us / 1000, us % 1000 / 10)
}

/// The first frame and the ones after it, in microseconds.
fn frames(app: &mut App, size: Size) -> Result<(u64, Vec<u64>), String> {
    let mut terminal = Terminal::new(Encoder::new(size, Depth::Rgb, false)).map_err(|e| e.to_string())?;
    let mut times = Vec::with_capacity(FRAMES);
    for frame in 0..=FRAMES {
        let second = Span::from_secs(u64::try_from(frame).unwrap_or(0));
        update(app, Msg::Tick(now() + Span::from_secs(1000) + second));
        let before = cpu()?;
        terminal.draw(|frame| view(app, frame)).map_err(|e| e.to_string())?;
        black_box(terminal.backend_mut().take());
        times.push(cpu()? - before);
    }
    Ok((times.remove(0), times))
}

/// CPU time of this thread in microseconds.
fn cpu() -> Result<u64, String> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_err(|e| e.to_string())?;
    let part = |n: i64| u64::try_from(n).map_err(|e| e.to_string());
    Ok(part(time.tv_sec())? * 1_000_000 + part(time.tv_nsec())? / 1000)
}

fn plan() -> Result<Plan, String> {
    let version = |text: &str| Version::new(text).map_err(|e| e.to_string());
    let mut policy = Policy::default();
    policy.strategy.batch_size = vec![Count::Absolute(50)];
    policy.strategy.max_unavailable = Count::Absolute(50);
    let members = (1..=FLEET).map(|n| {
        let id = InstanceId::new(&format!("web-{n:05}")).map_err(|e| e.to_string())?;
        let zone = Some(format!("zone-{}", n * 4 / (FLEET + 1)));
        Ok(Member {
            target: Target { id, host: "10.0.0.1".to_owned(), port: 8080, zone, labels: BTreeMap::new() },
            previous: Some(version("v1")?),
            wanted: version("v2")?,
            rotation: Rotation::Serving,
            healthy: true,
            health: String::new(),
            at_version: false,
            excluded: None,
            left_out: false,
            spare: false,
        })
    });
    Ok(Plan {
        deployment: DeploymentId::new("shop", 1),
        kind: DeploymentKind::Deploy,
        service: "shop".to_owned(),
        env: "prod".to_owned(),
        version: version("v2")?,
        started_by: "ana".to_owned(),
        members: members.collect::<Result<_, String>>()?,
        restart: false,
        policy,
    })
}

/// Half of the fleet is through, a batch is at work; all of it was seen from the plan on.
fn console(size: Size) -> Result<App, String> {
    let theme = Theme::named("default", Depth::Rgb, false).map_err(|e| e.to_string())?;
    let fixed = Fixed {
        theme,
        read_only: false,
        protected: false,
        stripe: None,
        demo: false,
        next: None,
        keys: Keymap::default(),
        earlier: Vec::new(),
        zone: jiff::tz::TimeZone::UTC,
        oracle: Oracle::default(),
    };
    let mut story = Story { seq: 0, at: now(), events: Vec::new() };
    story.tell(EventKind::DeploymentPlanned { format: FORMAT, plan: Box::new(plan()?) });
    story.tell(EventKind::DeploymentStarted { by: Actor::operator("ana", 1000) });
    let ids: Vec<InstanceId> = plan()?.members.into_iter().map(|m| m.target.id).collect();
    let version = Version::new("v2").map_err(|e| e.to_string())?;
    for (batch, members) in (1..).zip(ids.chunks(50)).take(101) {
        story.batch(batch, members, &version, batch <= 100);
    }
    let first = story.events.first().ok_or("no event")?;
    let state = State::begin(first).map_err(|e| e.to_string())?;
    let snapshot = Snapshot { format: FORMAT, seq: Seq(1), state, progress: Progress::default() };
    let mut app = App::new(snapshot, fixed, now(), (size.width, size.height));
    for event in story.events.into_iter().skip(1) {
        let seq = event.seq;
        update(&mut app, Msg::Update(rollout::ports::Update::Event(event)));
        if app.state.seq != seq {
            return Err(format!("event {seq:?} does not follow"));
        }
    }
    update(&mut app, Msg::Tick(now() + Span::from_secs(1000)));
    let healthy = app.state.tally().of(InstanceState::Healthy);
    if healthy == 5_000 { Ok(app) } else { Err(format!("{healthy} are healthy")) }
}

/// Facts in their order.
struct Story {
    seq: u64,
    at: Timestamp,
    events: Vec<Event>,
}

impl Story {
    fn tell(&mut self, kind: EventKind) {
        self.seq += 1;
        self.at = self.at + Span::from_millis(10);
        let deployment = DeploymentId::new("shop", 1);
        self.events.push(Event { seq: Seq(self.seq), at: self.at, deployment, kind });
    }

    /// A batch, up to its end or up to its health gate.
    fn batch(&mut self, batch: u32, members: &[InstanceId], version: &Version, whole: bool) {
        self.tell(EventKind::BatchStarted { batch, members: members.to_vec() });
        let later = self.at + Span::from_secs(60);
        for instance in members.iter().cloned() {
            let one = |i: &InstanceId| i.clone();
            self.tell(EventKind::InstanceCheckStarted { instance: one(&instance), until: later });
            self.tell(EventKind::DrainStarted { instance: one(&instance), attempt: 1, until: later });
            self.tell(EventKind::InstanceTakenOut { instance: one(&instance), sessions: Some(3), until: later });
            self.tell(EventKind::DrainFinished { instance: one(&instance), cut: 0, forced: false });
            self.tell(EventKind::UpdateStarted { instance: one(&instance), version: version.clone(), attempt: 2, until: later });
            self.tell(EventKind::UpdateFinished { instance: one(&instance), start_until: later, until: later });
            if !whole {
                continue;
            }
            let evidence = rollout::model::Evidence::default();
            self.tell(EventKind::HealthPassed { instance: one(&instance), evidence: evidence.clone() });
            self.tell(EventKind::InstanceAdmitted { instance: one(&instance), settle_until: self.at });
            self.tell(EventKind::InstanceHealthy { instance, evidence });
        }
        if whole {
            self.tell(EventKind::BatchVerified { batch, bake_until: self.at });
            self.tell(EventKind::BatchCompleted { batch });
        }
    }
}
