//! What a fact is about, and what it changes for operators.
//!
//! Imports: event, model. May not: know a state.

use super::EventKind;
use crate::model::InstanceId;

impl EventKind {
    /// The instance that the fact is about, if it is about one.
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::InstanceCheckStarted { instance, .. }
            | Self::InstanceCheckDropped { instance }
            | Self::InstanceSkipped { instance, .. }
            | Self::InstanceHeld { instance, .. }
            | Self::InstanceReleased { instance, .. }
            | Self::InstanceRetried { instance, .. }
            | Self::InstanceDiscounted { instance, .. }
            | Self::RotationChanged { instance, .. }
            | Self::DrainLost { instance, .. }
            | Self::DrainStarted { instance, .. }
            | Self::InstanceTakenOut { instance, .. }
            | Self::DrainExtended { instance, .. }
            | Self::DrainFinished { instance, .. }
            | Self::UpdateStarted { instance, .. }
            | Self::UpdateFinished { instance, .. }
            | Self::HealthPassed { instance, .. }
            | Self::InstanceAdmitted { instance, .. }
            | Self::InstanceHealthy { instance, .. }
            | Self::InstanceFailed { instance, .. }
            | Self::ReturnStarted { instance, .. }
            | Self::InstanceReturned { instance }
            | Self::RestoreStarted { instance, .. }
            | Self::InstanceRestored { instance, .. }
            | Self::RetireStarted { instance }
            | Self::StopStarted { instance, .. }
            | Self::InstanceRetired { instance }
            | Self::EndCheckMismatch { instance, .. } => Some(instance),
            Self::DeploymentPlanned { .. }
            | Self::DeploymentStarted { .. }
            | Self::EngineRecovered { .. }
            | Self::JournalMended
            | Self::EngineWoke { .. }
            | Self::DeploymentPaused { .. }
            | Self::DeploymentResumed { .. }
            | Self::CancelRequested { .. }
            | Self::CommandsStopped { .. }
            | Self::ApprovalAwaited { .. }
            | Self::BatchApproved { .. }
            | Self::ReleaseAwaited { .. }
            | Self::StepStarted { .. }
            | Self::StepCompleted { .. }
            | Self::WeightsOrdered { .. }
            | Self::WeightsSet { .. }
            | Self::AnalysisMeasured { .. }
            | Self::HookStarted { .. }
            | Self::HookEnded { .. }
            | Self::ThresholdCrossed { .. }
            | Self::RollbackStarted { .. }
            | Self::BatchStarted { .. }
            | Self::BatchVerified { .. }
            | Self::BatchCompleted { .. }
            | Self::EndCheckStarted { .. }
            | Self::EndCheckFinished { .. }
            | Self::DeploymentEnded { .. } => None,
        }
    }

    /// True for what changes what an operator's command would mean.
    pub fn turns(&self) -> bool {
        matches!(
            self,
            Self::DeploymentStarted { .. }
                | Self::EngineRecovered { .. }
                | Self::DeploymentPaused { .. }
                | Self::DeploymentResumed { .. }
                | Self::CancelRequested { .. }
                | Self::CommandsStopped { .. }
                | Self::ThresholdCrossed { .. }
                | Self::RollbackStarted { .. }
                | Self::ApprovalAwaited { .. }
                | Self::BatchApproved { .. }
                | Self::StepStarted { .. }
                | Self::StepCompleted { .. }
                | Self::ReleaseAwaited { .. }
                | Self::DeploymentEnded { .. }
        )
    }

    /// True for the last event of a deployment.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::DeploymentEnded { .. })
    }
}
