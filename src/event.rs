//! The one stream of facts: journal, screen, socket and headless output all read it.
//!
//! Imports: model. May not: name a driver; ask for anything (facts are in the past tense).

mod about;
mod actor;
mod takeover;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{
    DeploymentId, Evidence, Finding, InstanceId, InstanceState, LbStats, Measurement, Plan, Rotation, Seq, Span, Timestamp,
    Version, VipStats,
};

pub use actor::Actor;
pub use takeover::{Predecessor, Takeover};
pub use words::{clean, thousands};

/// Number of the stored form. A reader shows a newer one but does not resume it.
pub const FORMAT: u32 = 6;

/// One fact of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place: 1, 2, 3, … without a gap.
    pub seq: Seq,
    /// When it was decided.
    pub at: Timestamp,
    /// Whose it is.
    pub deployment: DeploymentId,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// How a deployment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All went as planned; exceptions are listed.
    Completed,
    /// Every touched instance is back on its own earlier version, but for the listed exceptions.
    RolledBack,
    /// It could not be brought to a good end; exceptions are listed.
    Failed,
    /// An operator ended it.
    Cancelled,
}

/// At which step an instance failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Taking it out, or waiting for its connections.
    Drain,
    /// The driver's update.
    Update,
    /// The health gate.
    Health,
    /// Putting it back in rotation.
    Admit,
    /// After its verdict, under watch.
    Watch,
    /// The check at the end.
    EndCheck,
}

/// How an instance was found that is left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// At the wanted version and healthy: there is nothing to do.
    AtVersion,
    /// Out of rotation, not by this deployment.
    Out,
    /// Not fit to be touched, or not to be read.
    #[default]
    Unfit,
    /// As it was: an operator or the plan wants it left alone.
    AsItWas,
}

impl Found {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_unfit(&self) -> bool {
        *self == Self::Unfit
    }
}

/// Why a deployment is paused, for programs; the reason says it in words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody asked for it.
    #[default]
    Asked,
    /// Too many failures.
    Failures,
    /// Untouched instances fail as well: not the deployment's doing.
    CommonCause,
    /// The budget or the floor leaves no room.
    Capacity,
    /// A balancer does not do as ordered.
    Traffic,
    /// No instance finished in time.
    NoProgress,
    /// A hook that is a gate failed.
    Hook,
    /// The analysis failed, or cannot say anything.
    Analysis,
}

impl Cause {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
    fn is_asked(&self) -> bool {
        *self == Self::Asked
    }

    /// The pause is the answer to the failures so far: going on means to accept them.
    pub fn answers_failures(self) -> bool {
        matches!(self, Self::Failures | Self::CommonCause)
    }
}

/// Where an instance that is put back without an update ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "then", rename_all = "snake_case")]
pub enum AfterReturn {
    /// As if it had never been taken.
    Untouched,
    /// Listed as failed, but serving on its own version.
    Failed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// The plan is fixed; nothing is touched yet. Always the first event.
    DeploymentPlanned {
        /// Number of the stored form.
        format: u32,
        /// The whole plan.
        plan: Box<Plan>,
    },
    /// The deployment began.
    DeploymentStarted {
        /// By whom.
        by: Actor,
    },
    /// An engine took over the journal after another had ended; open deadlines run anew.
    EngineRecovered {
        /// From whom, and how.
        #[serde(default, skip_serializing_if = "Takeover::is_unknown")]
        takeover: Takeover,
    },
    /// The journal takes events again after it took none for a while; open deadlines run anew.
    JournalMended,
    /// The engine's process stood still (SIGSTOP, a virtual machine on hold): that time counts for no deadline.
    EngineWoke {
        /// For how long.
        asleep: Span,
    },
    /// No new instance is taken from here on.
    DeploymentPaused {
        /// By whom.
        by: Actor,
        /// Why, in words.
        reason: String,
        /// Why, for programs.
        #[serde(default, skip_serializing_if = "Cause::is_asked")]
        cause: Cause,
        /// Until when somebody must answer, before everything goes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Instances may be taken again.
    DeploymentResumed {
        /// By whom.
        by: Actor,
    },
    /// The deployment is to end: nothing new is taken, what is under way comes to rest.
    CancelRequested {
        /// By whom.
        by: Actor,
        /// Why, in words.
        reason: String,
    },
    /// Cancelled again: the commands that run are stopped.
    CommandsStopped {
        /// By whom.
        by: Actor,
        /// Why, in words.
        reason: String,
    },
    /// The failures crossed the threshold (recorded once; acted on unless paused).
    ThresholdCrossed {
        /// Failed so far.
        failed: u32,
        /// Finished so far.
        finished: u32,
        /// In words.
        reason: String,
        /// Until when untouched instances are looked at before it is acted on; none if there is nobody to look at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        look_until: Option<Timestamp>,
    },
    /// Everything touched goes back.
    RollbackStarted {
        /// By whom.
        by: Actor,
        /// Why, in words.
        reason: String,
        /// From when `rollback_ms` counts: the first failed check of the deciding instance, or the command.
        since: Timestamp,
        /// Update end to deciding verdict, if a verdict decided.
        detect: Option<Span>,
    },
    /// The next batch began.
    BatchStarted {
        /// From 1.
        batch: u32,
        /// Who is in it.
        members: Vec<InstanceId>,
    },
    /// Every instance of the batch has its verdict; the bake began.
    BatchVerified {
        /// From 1.
        batch: u32,
        /// The end of the bake.
        bake_until: Timestamp,
    },
    /// The batch is done.
    BatchCompleted {
        /// From 1.
        batch: u32,
    },
    /// The next batch waits for a person.
    ApprovalAwaited {
        /// The one that is done, from 1.
        batch: u32,
        /// Until when.
        until: Timestamp,
    },
    /// The next batch may begin.
    BatchApproved {
        /// By whom.
        by: Actor,
        /// All that follow as well.
        full: bool,
    },
    /// A canary step began.
    StepStarted {
        /// From 1.
        step: u32,
        /// The end of a timed pause, or until when somebody must promote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A canary step is done.
    StepCompleted {
        /// From 1.
        step: u32,
        /// Who cut it short, if somebody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
        /// All further steps are done with as well: the rest goes by the rolling rules.
        #[serde(default, skip_serializing_if = "is_false")]
        full: bool,
    },
    /// These weights were ordered at the balancers, in percent of each instance's own; all others have the whole of theirs.
    WeightsOrdered {
        /// Which order it is, from 1.
        order: u32,
        /// Those that differ.
        weights: BTreeMap<InstanceId, u16>,
        /// Until when the balancers must confirm.
        until: Timestamp,
    },
    /// The balancers confirmed these weights, in percent of each instance's own; all others have the whole of theirs.
    WeightsSet {
        /// Those that differ.
        weights: BTreeMap<InstanceId, u16>,
    },
    /// A check of the analysis was measured.
    AnalysisMeasured {
        /// Its name.
        check: String,
        /// What its source said.
        #[serde(flatten)]
        measurement: Measurement,
        /// What that means.
        finding: Finding,
        /// Why, in words, with the limit.
        reason: String,
    },
    /// A hook was ordered.
    HookStarted {
        /// Its name.
        hook: String,
        /// Which time it is its turn, from 1: the number of the batch or the step, where it runs for each.
        round: u32,
        /// From 1.
        attempt: u32,
        /// Until when it must end.
        until: Timestamp,
    },
    /// A hook ended.
    HookEnded {
        /// Its name.
        hook: String,
        /// As in its start.
        round: u32,
        /// Why it failed, in words; none if it succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// It is tried again.
        #[serde(default, skip_serializing_if = "is_false")]
        again: bool,
    },
    /// Only held instances are left: they wait for a person.
    ReleaseAwaited {
        /// Until when; then they are left as they are.
        until: Timestamp,
    },
    /// The last look before it is touched began.
    InstanceCheckStarted {
        /// Which.
        instance: InstanceId,
        /// Until when it must succeed.
        until: Timestamp,
    },
    /// The last look was given up before it was touched; it is pending again.
    InstanceCheckDropped {
        /// Which.
        instance: InstanceId,
    },
    /// It is left alone.
    InstanceSkipped {
        /// Which.
        instance: InstanceId,
        /// Why, in words.
        reason: String,
        /// How it was found.
        #[serde(default, skip_serializing_if = "Found::is_unfit")]
        found: Found,
    },
    /// An operator wants it not to be taken.
    InstanceHeld {
        /// Which.
        instance: InstanceId,
        /// By whom.
        by: Actor,
        /// Why, in words.
        reason: String,
    },
    /// It may be taken again.
    InstanceReleased {
        /// Which.
        instance: InstanceId,
        /// By whom.
        by: Actor,
    },
    /// It failed or was left alone, and is to be tried again.
    InstanceRetried {
        /// Which.
        instance: InstanceId,
        /// By whom.
        by: Actor,
    },
    /// It stays as it is, and holds the budget no longer.
    InstanceDiscounted {
        /// Which.
        instance: InstanceId,
        /// By whom.
        by: Actor,
        /// Why, in words.
        reason: String,
    },
    /// Somebody else put it in or out of rotation.
    RotationChanged {
        /// Which.
        instance: InstanceId,
        /// What the balancers say now.
        rotation: Rotation,
    },
    /// A balancer sends traffic to it although it was taken out: it is taken out again, before anything else.
    DrainLost {
        /// Which.
        instance: InstanceId,
        /// What the balancers say now.
        rotation: Rotation,
        /// Stable number of the attempt.
        attempt: u32,
        /// Until when the balancers must confirm.
        until: Timestamp,
    },
    /// Its drain was ordered: from here on it is out of service by our doing.
    DrainStarted {
        /// Which.
        instance: InstanceId,
        /// Stable number of the attempt.
        attempt: u32,
        /// Until when the balancers must confirm.
        until: Timestamp,
    },
    /// Every balancer confirmed that it gets no new traffic.
    InstanceTakenOut {
        /// Which.
        instance: InstanceId,
        /// Connections left, where the balancer tells.
        sessions: Option<u32>,
        /// Until when they may end.
        until: Timestamp,
    },
    /// The drain was given more time.
    DrainExtended {
        /// Which.
        instance: InstanceId,
        /// Connections left.
        sessions: u32,
        /// Until when they may end now.
        until: Timestamp,
    },
    /// Its connections are gone, or their time is.
    DrainFinished {
        /// Which.
        instance: InstanceId,
        /// Connections that were cut; 0 if all ended by themselves.
        cut: u32,
        /// The time ran out.
        forced: bool,
    },
    /// Its update was ordered.
    UpdateStarted {
        /// Which.
        instance: InstanceId,
        /// To which version.
        version: Version,
        /// Stable number of the attempt.
        attempt: u32,
        /// Until when it must end.
        until: Timestamp,
    },
    /// The driver did its part; the health gate began.
    UpdateFinished {
        /// Which.
        instance: InstanceId,
        /// Until when it may be not listening.
        start_until: Timestamp,
        /// Until when it must be serving.
        until: Timestamp,
    },
    /// It passed the gate; putting it back in rotation was ordered.
    HealthPassed {
        /// Which.
        instance: InstanceId,
        /// On what.
        evidence: Evidence,
    },
    /// Every balancer says that it serves again; it must stay healthy until then.
    InstanceAdmitted {
        /// Which.
        instance: InstanceId,
        /// The end of `min_healthy_time`.
        settle_until: Timestamp,
    },
    /// Its verdict: updated, proven, serving.
    InstanceHealthy {
        /// Which.
        instance: InstanceId,
        /// On what.
        evidence: Evidence,
    },
    /// Its verdict: failed.
    InstanceFailed {
        /// Which.
        instance: InstanceId,
        /// Where.
        step: Step,
        /// Why, in words.
        reason: String,
        /// On what.
        evidence: Evidence,
    },
    /// It is out of rotation and goes back in without an update.
    ReturnStarted {
        /// Which.
        instance: InstanceId,
        /// Why, in words.
        reason: String,
        /// Stable number of the attempt.
        attempt: u32,
        /// Where it ends.
        #[serde(flatten)]
        then: AfterReturn,
        /// Until when the balancers must confirm.
        until: Timestamp,
    },
    /// It is back in rotation as it was.
    InstanceReturned {
        /// Which.
        instance: InstanceId,
    },
    /// It is to go back to its own earlier version.
    RestoreStarted {
        /// Which.
        instance: InstanceId,
        /// To which version.
        version: Version,
    },
    /// It is back on its own earlier version and serving.
    InstanceRestored {
        /// Which.
        instance: InstanceId,
        /// On what.
        evidence: Evidence,
    },
    /// A spare is needed no more: it is to be taken out and stopped.
    RetireStarted {
        /// Which.
        instance: InstanceId,
    },
    /// A spare's stop was ordered.
    StopStarted {
        /// Which.
        instance: InstanceId,
        /// Stable number of the attempt.
        attempt: u32,
        /// Until when it must end.
        until: Timestamp,
    },
    /// A spare is stopped.
    InstanceRetired {
        /// Which.
        instance: InstanceId,
    },
    /// The check at the end began: every instance's version and rotation is read again.
    EndCheckStarted {
        /// Until when the reads must succeed.
        until: Timestamp,
    },
    /// Its version or rotation is not what it must be. It is taken out and listed.
    EndCheckMismatch {
        /// Which.
        instance: InstanceId,
        /// The version that it runs, if it could be read.
        version: Option<Version>,
        /// Whether it is in rotation and so has to be taken out.
        serving: bool,
        /// In words.
        reason: String,
    },
    /// Every instance was read, or what could not be read is listed.
    EndCheckFinished {
        /// Instances whose version or rotation is not what it must be.
        mismatches: u32,
    },
    /// Nothing follows.
    DeploymentEnded {
        /// How.
        ending: Ending,
        /// In words.
        reason: String,
        /// What the probe through the balancer counted.
        vip: Option<VipStats>,
        /// What the balancers themselves counted over the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lb: Option<LbStats>,
    },
}

/// One row of a listing: an instance that did not end as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Which.
    pub instance: InstanceId,
    /// Its state.
    pub state: InstanceState,
    /// The version that it runs, if known.
    pub version: Option<Version>,
    /// Why it is listed, in words.
    pub reason: String,
}
