//! The transition table: which event may meet which phase of an instance.
//!
//! Imports: event, state's nouns. May not: change anything.

use crate::event::EventKind;

use super::{Goal, Instance, Phase};

/// Whether the event may meet the instance as it stands.
pub(super) fn may_follow(instance: &Instance, kind: &EventKind) -> bool {
    use Phase as P;
    let phase = &instance.phase;
    match kind {
        EventKind::InstanceCheckStarted { .. } | EventKind::InstanceHeld { .. } | EventKind::InstanceReleased { .. } => {
            matches!(phase, P::Pending)
        }
        EventKind::InstanceCheckDropped { .. } => matches!(phase, P::Checking),
        // A spare that is given up before it is started has nothing to be put back for.
        EventKind::InstanceSkipped { .. } => match phase {
            P::Pending | P::Checking => true,
            P::TakingOut | P::Draining | P::Drained => instance.spare && !instance.exposed,
            _ => false,
        },
        EventKind::InstanceRetried { .. } => matches!(phase, P::Failed | P::Skipped),
        EventKind::InstanceDiscounted { .. } => matches!(phase, P::Failed | P::Skipped | P::Healthy | P::RolledBack),
        EventKind::RotationChanged { .. } => {
            let at_rest = matches!(phase, P::Pending | P::Settling { .. } | P::Healthy | P::Failed | P::Skipped | P::RolledBack);
            at_rest && (!instance.ours || instance.is_late_return())
        }
        EventKind::DrainLost { .. } => {
            !instance.serving && matches!(phase, P::Draining | P::Drained | P::Updating | P::Verifying { .. } | P::Failed)
        }
        // One that is tried again may still be in rotation on the new version.
        EventKind::DrainStarted { .. } => {
            matches!(phase, P::Checking | P::Restoring) || *phase == P::Pending && (instance.exposed || instance.ours)
        }
        EventKind::InstanceTakenOut { .. } => match phase {
            P::TakingOut | P::Failed => true,
            P::Updating | P::Verifying { .. } => instance.slipped,
            _ => false,
        },
        EventKind::DrainExtended { .. } | EventKind::DrainFinished { .. } => matches!(phase, P::Draining),
        // Nothing runs on a spare that would have to be drained.
        EventKind::UpdateStarted { .. } => matches!(phase, P::Drained | P::Restoring) || instance.spare && *phase == P::Checking,
        EventKind::RetireStarted { .. } => {
            let under_way = matches!(phase, P::Checking | P::Updating | P::Restoring | P::Returning { .. } | P::Skipped);
            instance.spare && instance.is_touched() && !under_way
        }
        EventKind::StopStarted { .. } => instance.spare && instance.goal == Goal::Back && *phase == P::Drained,
        EventKind::InstanceRetired { .. } => instance.spare && instance.goal == Goal::Back && *phase == P::Updating,
        EventKind::UpdateFinished { .. } => matches!(phase, P::Updating),
        EventKind::HealthPassed { .. } => matches!(phase, P::Verifying { .. }),
        EventKind::InstanceAdmitted { .. } => matches!(phase, P::Admitting),
        EventKind::InstanceHealthy { .. } => matches!(phase, P::Settling { .. }) && instance.goal == Goal::Forward,
        EventKind::InstanceFailed { .. } => match phase {
            P::Pending | P::Checking | P::Skipped | P::RolledBack => false,
            P::Failed => instance.is_evicting(),
            _ => true,
        },
        EventKind::ReturnStarted { .. } => matches!(phase, P::TakingOut | P::Draining | P::Drained | P::Checking),
        EventKind::InstanceReturned { .. } => matches!(phase, P::Returning { .. }),
        // One that is tried again was touched before, whatever it is at.
        EventKind::RestoreStarted { .. } => {
            instance.is_touched() && !matches!(phase, P::Updating | P::Restoring | P::Returning { .. } | P::RolledBack)
        }
        EventKind::InstanceRestored { .. } => matches!(phase, P::Settling { .. }) && instance.goal == Goal::Back,
        EventKind::EndCheckMismatch { .. } => matches!(phase, P::Pending | P::Healthy | P::Skipped | P::RolledBack | P::Failed),
        EventKind::DeploymentPlanned { .. }
        | EventKind::DeploymentStarted { .. }
        | EventKind::EngineRecovered { .. }
        | EventKind::JournalMended
        | EventKind::EngineWoke { .. }
        | EventKind::DeploymentPaused { .. }
        | EventKind::DeploymentResumed { .. }
        | EventKind::CancelRequested { .. }
        | EventKind::CommandsStopped { .. }
        | EventKind::ApprovalAwaited { .. }
        | EventKind::BatchApproved { .. }
        | EventKind::ReleaseAwaited { .. }
        | EventKind::StepStarted { .. }
        | EventKind::StepCompleted { .. }
        | EventKind::WeightsOrdered { .. }
        | EventKind::WeightsSet { .. }
        | EventKind::AnalysisMeasured { .. }
        | EventKind::HookStarted { .. }
        | EventKind::HookEnded { .. }
        | EventKind::ThresholdCrossed { .. }
        | EventKind::RollbackStarted { .. }
        | EventKind::BatchStarted { .. }
        | EventKind::BatchVerified { .. }
        | EventKind::BatchCompleted { .. }
        | EventKind::EndCheckStarted { .. }
        | EventKind::EndCheckFinished { .. }
        | EventKind::DeploymentEnded { .. } => false,
    }
}
