//! What a probe saw, and the evidence that a decision carries.
//!
//! Imports: model ids and time. May not: judge.

use serde::{Deserialize, Serialize};

use super::ids::Version;
use super::time::{Span, Timestamp};

/// One probe of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When the probe began.
    pub at: Timestamp,
    /// From the start of the connection to the end of the body, or to the failure.
    pub latency: Span,
    /// What came of it.
    pub result: SampleResult,
    /// The version that the instance reported, if it was asked and answered.
    pub version: Option<Version>,
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum SampleResult {
    /// An accepted answer in time, and the version as expected if one was.
    Pass {
        /// The HTTP status; `None` where the probe is not HTTP.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// Nobody listens on the port (connection refused).
    NotListening,
    /// It answers, but has not begun: its startup probe does not pass.
    Starting {
        /// As of a miss.
        reason: String,
    },
    /// The driver saw that the process is gone.
    Exited {
        /// How it ended, in words: `exit code 1`, `signal 9`.
        how: String,
    },
    /// An answer that is not a pass, or none in time.
    Miss {
        /// In words, sanitised and short: `status 503`, `no answer in 5s`, `reports v1, not v2`.
        reason: String,
    },
}

impl Sample {
    /// True for a pass.
    pub fn passed(&self) -> bool {
        matches!(self.result, SampleResult::Pass { .. })
    }

    /// The result in a few words.
    pub fn words(&self) -> String {
        match &self.result {
            SampleResult::Pass { status } => {
                let what = status.map_or_else(|| "passed".to_owned(), |status| status.to_string());
                if self.latency.is_zero() { format!("{what} in <1ms") } else { format!("{what} in {}", self.latency) }
            }
            SampleResult::NotListening => "not listening".to_owned(),
            SampleResult::Starting { reason } => format!("still starting: {reason}"),
            SampleResult::Exited { how } => format!("process ended: {how}"),
            SampleResult::Miss { reason } => reason.clone(),
        }
    }
}

/// What a health decision rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Passes in a row at the time of the decision.
    pub passes: u32,
    /// Misses in a row at the time of the decision.
    pub misses: u32,
    /// When the run of misses began, if there is one.
    pub first_miss_at: Option<Timestamp>,
    /// The last probe, in words.
    pub last: Option<String>,
    /// Median of `latencies_ms`.
    pub p50_ms: Option<u64>,
    /// 99th percentile of `latencies_ms`.
    pub p99_ms: Option<u64>,
    /// The last sixteen latencies in milliseconds, oldest first; `null` for a miss.
    pub latencies_ms: Vec<Option<u64>>,
}

/// What a balancer itself has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LbStats {
    /// Requests, or connections where it does not speak HTTP.
    pub requests: u64,
    /// Those that ended in a server error, or found no server.
    pub errors: u64,
}

/// What one instance has answered, as a balancer counted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Answers of any status.
    pub requests: u64,
    /// Those with a status of 5xx, and requests that got no answer.
    pub errors: u64,
    /// Mean response time of its latest answers in milliseconds, where the balancer tells.
    pub response_ms: Option<u64>,
}

/// What the probe through the balancer has counted over the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipStats {
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Those that did not end with a success.
    pub failed: u64,
    /// Median latency in milliseconds.
    pub p50_ms: u64,
    /// 99th percentile in milliseconds.
    pub p99_ms: u64,
}
