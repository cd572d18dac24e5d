//! Every kind of fact in every form: what the golden files hold.

use super::*;

pub(crate) fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + second * 1000 + 123)
}

pub(crate) fn id(number: u32) -> DeploymentId {
    DeploymentId::new("shop", number)
}

pub(crate) fn web(number: u32) -> InstanceId {
    InstanceId::new(&format!("web-{number:02}")).unwrap()
}

pub(crate) fn version(text: &str) -> Version {
    Version::new(text).unwrap()
}

pub(crate) fn operator() -> Actor {
    Actor::operator("ann", 1000)
}

pub(crate) fn evidence() -> Evidence {
    Evidence {
        passes: 0,
        misses: 3,
        first_miss_at: Some(at(40)),
        last: Some("status 503".to_owned()),
        p50_ms: Some(12),
        p99_ms: Some(80),
        latencies_ms: vec![Some(12), None, Some(80)],
    }
}

pub(crate) fn member(number: u32) -> Member {
    Member {
        target: Target {
            id: web(number),
            host: "10.0.0.7".to_owned(),
            port: 8080,
            zone: (number == 1).then(|| "a".to_owned()),
            labels: [("rack".to_owned(), "r1".to_owned())].into(),
        },
        previous: (number == 1).then(|| version("v1")),
        wanted: version("v2"),
        rotation: if number == 1 { Rotation::Serving } else { Rotation::Missing },
        healthy: number == 1,
        health: "status \"503\"".to_owned(),
        at_version: false,
        excluded: None,
        left_out: false,
        spare: false,
    }
}

pub(crate) fn plan(number: u32, kind: DeploymentKind) -> Plan {
    Plan {
        deployment: id(number),
        kind,
        service: "shop".to_owned(),
        env: "default".to_owned(),
        version: version("v2"),
        started_by: "ann".to_owned(),
        members: vec![member(1), member(2)],
        restart: false,
        policy: Policy {
            strategy: Rolling {
                batch_size: vec![Count::Absolute(1), Count::Percent(30)],
                batch_pause: Span::from_secs(10),
                max_unavailable: Count::Absolute(2),
                min_serving: Count::Percent(50),
                min_healthy_time: Span::ZERO,
                pacing: Pacing::Batch,
                zones: Zones::Any,
                confirm: Confirm::None,
                progress_timeout: Span::from_secs(600),
                approval_timeout: Span::from_secs(1800),
            },
            drain: DrainPolicy { timeout: Span::from_secs(5), on_timeout: OnDrainTimeout::Extend },
            update: UpdatePolicy { timeout: Span::from_secs(120) },
            health: HealthPolicy {
                timeout: Span::from_secs(5),
                interval: Span::from_secs(2),
                rise: 2,
                retries: 3,
                start_timeout: Span::from_secs(20),
                deadline: Span::from_secs(60),
                watch_interval: Span::from_secs(5),
                before: Before::Skip,
                expects_version: true,
                latency: None,
            },
            rollback: RollbackPolicy {
                threshold_percent: 10,
                max_failures: 3,
                on_failure: OnFailure::Rollback,
                max_unavailable: Count::Percent(10),
            },
            canary: None,
            analysis: None,
            hooks: Vec::new(),
            overrides: Vec::new(),
        },
    }
}

/// Every kind at least once, with every form that its fields can take where forms differ.
pub(crate) fn kinds() -> Vec<EventKind> {
    let quantity = |value: f64| Quantity::new(value).unwrap();
    let mut plan = plan(1, DeploymentKind::Deploy);
    plan.policy.canary = Some(Canary {
        steps: vec![
            CanaryStep::Weight { percent: 10 },
            CanaryStep::Pause { lasts: Some(Span::from_secs(300)) },
            CanaryStep::Pause { lasts: None },
            CanaryStep::Instances { count: Count::Percent(25) },
            CanaryStep::Analysis { passes: 5 },
            CanaryStep::Run { hook: "smoke".to_owned() },
        ],
        weighted: true,
    });
    let check = |name: &str, unit| Check {
        name: name.to_owned(),
        unit,
        max: Some(quantity(0.01)),
        min: None,
        max_ratio: Some(quantity(1.5)),
        min_samples: 100,
    };
    plan.policy.analysis = Some(AnalysisPolicy {
        checks: vec![check("error_rate", Unit::Share), check("p99", Unit::Seconds), check("queue", Unit::Plain)],
        interval: Span::from_secs(10),
        max_failures: 0,
        max_inconclusive: 3,
        from_step: 1,
    });
    let hook = |name: &str, at, class| Hook { name: name.to_owned(), at, class, timeout: Span::from_secs(60), retries: 2 };
    plan.policy.hooks = vec![
        hook("migrate", HookAt::BeforeDeployment, HookClass::Gate),
        hook("smoke", HookAt::Step, HookClass::Gate),
        hook("tell", HookAt::AfterBatch, HookClass::BestEffort),
        hook("tidy", HookAt::AfterDeployment, HookClass::Cleanup),
    ];
    let measured = |measurement, finding| EventKind::AnalysisMeasured {
        check: "error_rate".to_owned(),
        measurement,
        finding,
        reason: "2.3%, above 1%".to_owned(),
    };
    let value = |untouched, samples| Measurement::Value { touched: quantity(0.023), untouched, samples };
    let why = || "no data".to_owned();
    let ended = |failure: Option<&str>, again| EventKind::HookEnded {
        hook: "smoke".to_owned(),
        round: 6,
        failure: failure.map(ToOwned::to_owned),
        again,
    };
    let new = vec![
        EventKind::DeploymentPlanned { format: 6, plan: Box::new(plan) },
        EventKind::StepStarted { step: 1, until: None },
        EventKind::StepStarted { step: 2, until: Some(at(37)) },
        EventKind::StepCompleted { step: 1, by: None, full: false },
        EventKind::StepCompleted { step: 2, by: Some(operator()), full: true },
        EventKind::WeightsOrdered { order: 1, weights: [(web(1), 22)].into(), until: at(39) },
        EventKind::WeightsSet { weights: [(web(1), 22)].into() },
        EventKind::WeightsSet { weights: [].into() },
        measured(value(Some(quantity(0.001)), Some(1200)), Finding::Fail),
        measured(value(None, None), Finding::Pass),
        measured(Measurement::Nothing { why: why() }, Finding::Inconclusive),
        measured(Measurement::Error { why: why() }, Finding::Common),
        EventKind::HookStarted { hook: "smoke".to_owned(), round: 6, attempt: 1, until: at(38) },
        ended(Some("exit code 3"), true),
        ended(None, false),
    ];
    kinds_of_5().into_iter().chain(new).collect()
}

/// The kinds of format 5, as they read today.
pub(crate) fn kinds_of_5() -> Vec<EventKind> {
    let mut plan = plan(1, DeploymentKind::Deploy);
    plan.members[1].spare = true;
    let new = vec![
        EventKind::DeploymentPlanned { format: 5, plan: Box::new(plan) },
        EventKind::RetireStarted { instance: web(2) },
        EventKind::StopStarted { instance: web(2), attempt: 6, until: at(36) },
        EventKind::InstanceRetired { instance: web(2) },
    ];
    kinds_of_4().into_iter().chain(new).collect()
}

/// The kinds of format 4, as they read today.
pub(crate) fn kinds_of_4() -> Vec<EventKind> {
    let by = |logged_in_as: Option<&str>, from: Option<&str>| Actor::Operator {
        login: "root".to_owned(),
        uid: 0,
        logged_in_as: logged_in_as.map(ToOwned::to_owned),
        from: from.map(|address| address.parse().unwrap()),
    };
    let new = vec![
        EventKind::DeploymentPlanned { format: 4, plan: Box::new(plan(1, DeploymentKind::Deploy)) },
        EventKind::EngineWoke { asleep: Span::from_millis(39_728) },
        EventKind::DeploymentResumed { by: by(Some("ann"), Some("203.0.113.7")) },
        EventKind::DeploymentResumed { by: by(Some("ann"), None) },
        EventKind::DeploymentResumed { by: by(None, Some("2001:db8::7")) },
    ];
    kinds_of_3().into_iter().chain(new).collect()
}

/// The kinds of format 3, as they read today.
pub(crate) fn kinds_of_3() -> Vec<EventKind> {
    let took = |predecessor| Takeover {
        epoch: 7,
        from: Some(4711),
        predecessor,
        by: "ann".to_owned(),
        commands: vec!["deploy.sh web-01".to_owned()],
    };
    let new = vec![
        EventKind::DeploymentPlanned { format: 3, plan: Box::new(plan(1, DeploymentKind::Deploy)) },
        EventKind::EngineRecovered { takeover: took(Predecessor::Gone) },
        EventKind::EngineRecovered { takeover: took(Predecessor::Stopped) },
        EventKind::EngineRecovered { takeover: took(Predecessor::Live) },
        EventKind::JournalMended,
        EventKind::RotationChanged { instance: web(1), rotation: Rotation::Partly },
        EventKind::DrainLost { instance: web(1), rotation: Rotation::Partly, attempt: 5, until: at(35) },
    ];
    kinds_of_2().into_iter().chain(new).collect()
}

/// The kinds of format 2, as they read today.
pub(crate) fn kinds_of_2() -> Vec<EventKind> {
    let (i, reason) = (web(1), "why".to_owned());
    let mut plan = plan(1, DeploymentKind::Deploy);
    plan.restart = true;
    (plan.members[0].excluded, plan.members[1].left_out) = (Some("excluded by ann".to_owned()), true);
    let strategy = &mut plan.policy.strategy;
    (strategy.pacing, strategy.zones, strategy.confirm) = (Pacing::Window, Zones::OneByOne, Confirm::Batch);
    let new = vec![
        EventKind::DeploymentPlanned { format: 2, plan: Box::new(plan) },
        EventKind::DeploymentPaused { by: Actor::Engine, reason: reason.clone(), cause: Cause::CommonCause, until: Some(at(30)) },
        EventKind::CommandsStopped { by: operator(), reason: reason.clone() },
        EventKind::ThresholdCrossed { failed: 1, finished: 2, reason: reason.clone(), look_until: Some(at(31)) },
        EventKind::ApprovalAwaited { batch: 1, until: at(32) },
        EventKind::BatchApproved { by: operator(), full: true },
        EventKind::ReleaseAwaited { until: at(33) },
        EventKind::InstanceSkipped { instance: i.clone(), reason: reason.clone(), found: Found::AsItWas },
        EventKind::InstanceHeld { instance: i.clone(), by: operator(), reason: reason.clone() },
        EventKind::InstanceReleased { instance: i.clone(), by: operator() },
        EventKind::InstanceRetried { instance: i.clone(), by: operator() },
        EventKind::InstanceDiscounted { instance: i.clone(), by: operator(), reason: reason.clone() },
        EventKind::RotationChanged { instance: i.clone(), rotation: Rotation::Maintenance },
        EventKind::DrainLost { instance: i, rotation: Rotation::Serving, attempt: 4, until: at(34) },
        EventKind::DeploymentEnded {
            ending: Ending::Failed,
            reason,
            vip: None,
            lb: Some(LbStats { requests: 12_000, errors: 3 }),
        },
    ];
    kinds_of_1().into_iter().chain(new).collect()
}

/// The kinds of format 1, as they read today.
pub(crate) fn kinds_of_1() -> Vec<EventKind> {
    let (i, reason) = (web(1), "not \u{2028} well: \"503\"\n".to_owned());
    let vip = VipStats { requests: 12_000, failed: 1, p50_ms: 3, p99_ms: 210 };
    vec![
        EventKind::DeploymentPlanned { format: 1, plan: Box::new(plan(1, DeploymentKind::Deploy)) },
        EventKind::DeploymentPlanned { format: 1, plan: Box::new(plan(1, DeploymentKind::Rollback { undoes: id(7) })) },
        EventKind::DeploymentStarted { by: operator() },
        EventKind::EngineRecovered { takeover: Takeover::default() },
        EventKind::DeploymentPaused { by: Actor::Engine, reason: reason.clone(), cause: Cause::Asked, until: None },
        EventKind::DeploymentResumed { by: operator() },
        EventKind::CancelRequested { by: Actor::Signal { name: "SIGTERM".to_owned() }, reason: String::new() },
        EventKind::ThresholdCrossed { failed: 1, finished: 2, reason: reason.clone(), look_until: None },
        EventKind::RollbackStarted {
            by: Actor::Engine,
            reason: reason.clone(),
            since: at(1),
            detect: Some(Span::from_millis(4321)),
        },
        EventKind::RollbackStarted { by: operator(), reason: reason.clone(), since: at(1), detect: None },
        EventKind::BatchStarted { batch: 1, members: vec![web(1), web(2)] },
        EventKind::BatchVerified { batch: 1, bake_until: at(20) },
        EventKind::BatchCompleted { batch: 1 },
        EventKind::InstanceCheckStarted { instance: i.clone(), until: at(3) },
        EventKind::InstanceSkipped { instance: i.clone(), reason: reason.clone(), found: Found::Unfit },
        EventKind::DrainStarted { instance: i.clone(), attempt: 1, until: at(4) },
        EventKind::InstanceTakenOut { instance: i.clone(), sessions: Some(9), until: at(5) },
        EventKind::InstanceTakenOut { instance: i.clone(), sessions: None, until: at(5) },
        EventKind::DrainExtended { instance: i.clone(), sessions: 4, until: at(6) },
        EventKind::DrainFinished { instance: i.clone(), cut: 2, forced: true },
        EventKind::UpdateStarted { instance: i.clone(), version: version("v2"), attempt: 2, until: at(7) },
        EventKind::UpdateFinished { instance: i.clone(), start_until: at(8), until: at(9) },
        EventKind::HealthPassed { instance: i.clone(), evidence: Evidence::default() },
        EventKind::InstanceAdmitted { instance: i.clone(), settle_until: at(10) },
        EventKind::InstanceHealthy { instance: i.clone(), evidence: evidence() },
        EventKind::InstanceFailed { instance: i.clone(), step: Step::EndCheck, reason: reason.clone(), evidence: evidence() },
        EventKind::ReturnStarted {
            instance: i.clone(),
            reason: reason.clone(),
            attempt: 3,
            then: AfterReturn::Untouched,
            until: at(11),
        },
        EventKind::ReturnStarted {
            instance: i.clone(),
            reason: reason.clone(),
            attempt: 3,
            then: AfterReturn::Failed,
            until: at(11),
        },
        EventKind::InstanceReturned { instance: i.clone() },
        EventKind::RestoreStarted { instance: i.clone(), version: version("v1") },
        EventKind::InstanceRestored { instance: i.clone(), evidence: evidence() },
        EventKind::EndCheckStarted { until: at(12) },
        EventKind::EndCheckMismatch { instance: i.clone(), version: Some(version("v1")), serving: true, reason: reason.clone() },
        EventKind::EndCheckMismatch { instance: i.clone(), version: None, serving: false, reason: reason.clone() },
        EventKind::DeploymentEnded { ending: Ending::RolledBack, reason: reason.clone(), vip: Some(vip), lb: None },
        EventKind::DeploymentEnded { ending: Ending::Completed, reason, vip: None, lb: None },
        EventKind::InstanceCheckDropped { instance: i },
        EventKind::EndCheckFinished { mismatches: 1 },
    ]
}

/// A new kind does not compile here until it has a number, and then fails the golden test until `kinds` has it.
pub(crate) fn number_of(kind: &EventKind) -> usize {
    match kind {
        EventKind::DeploymentPlanned { .. } => 0,
        EventKind::DeploymentStarted { .. } => 1,
        EventKind::EngineRecovered { .. } => 2,
        EventKind::DeploymentPaused { .. } => 3,
        EventKind::DeploymentResumed { .. } => 4,
        EventKind::CancelRequested { .. } => 5,
        EventKind::ThresholdCrossed { .. } => 6,
        EventKind::RollbackStarted { .. } => 7,
        EventKind::BatchStarted { .. } => 8,
        EventKind::BatchVerified { .. } => 9,
        EventKind::BatchCompleted { .. } => 10,
        EventKind::InstanceCheckStarted { .. } => 11,
        EventKind::InstanceSkipped { .. } => 12,
        EventKind::DrainStarted { .. } => 13,
        EventKind::InstanceTakenOut { .. } => 14,
        EventKind::DrainExtended { .. } => 15,
        EventKind::DrainFinished { .. } => 16,
        EventKind::UpdateStarted { .. } => 17,
        EventKind::UpdateFinished { .. } => 18,
        EventKind::HealthPassed { .. } => 19,
        EventKind::InstanceAdmitted { .. } => 20,
        EventKind::InstanceHealthy { .. } => 21,
        EventKind::InstanceFailed { .. } => 22,
        EventKind::ReturnStarted { .. } => 23,
        EventKind::InstanceReturned { .. } => 24,
        EventKind::RestoreStarted { .. } => 25,
        EventKind::InstanceRestored { .. } => 26,
        EventKind::EndCheckStarted { .. } => 27,
        EventKind::EndCheckMismatch { .. } => 28,
        EventKind::DeploymentEnded { .. } => 29,
        EventKind::InstanceCheckDropped { .. } => 30,
        EventKind::EndCheckFinished { .. } => 31,
        EventKind::CommandsStopped { .. } => 32,
        EventKind::ApprovalAwaited { .. } => 33,
        EventKind::BatchApproved { .. } => 34,
        EventKind::ReleaseAwaited { .. } => 35,
        EventKind::InstanceHeld { .. } => 36,
        EventKind::InstanceReleased { .. } => 37,
        EventKind::InstanceRetried { .. } => 38,
        EventKind::InstanceDiscounted { .. } => 39,
        EventKind::RotationChanged { .. } => 40,
        EventKind::DrainLost { .. } => 41,
        EventKind::JournalMended => 42,
        EventKind::EngineWoke { .. } => 43,
        EventKind::RetireStarted { .. } => 44,
        EventKind::StopStarted { .. } => 45,
        EventKind::InstanceRetired { .. } => 46,
        EventKind::StepStarted { .. } => 47,
        EventKind::StepCompleted { .. } => 48,
        EventKind::WeightsSet { .. } => 49,
        EventKind::AnalysisMeasured { .. } => 50,
        EventKind::HookStarted { .. } => 51,
        EventKind::HookEnded { .. } => 52,
        EventKind::WeightsOrdered { .. } => 53,
    }
}
pub(crate) const KINDS: usize = 54;

/// All kinds as the events of deployment `number`.
pub(crate) fn events(number: u32) -> Vec<Event> {
    numbered(kinds(), number)
}

pub(crate) fn numbered(kinds: Vec<EventKind>, number: u32) -> Vec<Event> {
    let event = |(n, mut kind): (usize, EventKind)| {
        if let EventKind::DeploymentPlanned { plan, .. } = &mut kind {
            plan.deployment = id(number);
        }
        Event { seq: Seq(n as u64 + 1), at: at(n as u64), deployment: id(number), kind }
    };
    kinds.into_iter().enumerate().map(event).collect()
}
