//! What the probe through the balancer counted since the last measurement: of all users' requests, whoever answers them.
//!
//! Imports: ports, model, its siblings. May not: send a request (that is the probe).

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;

use super::Asked;
use super::reading::{Said, Silence, share};
use crate::model::VipStats;
use crate::ports::{Compared, VipProber};

/// The source.
pub(super) struct Vip {
    vip: Arc<dyn VipProber>,
    /// The window stays open until it has so many.
    min_samples: u64,
    /// Where the window began.
    earlier: Mutex<Option<VipStats>>,
}

impl Vip {
    pub(super) fn new(vip: Arc<dyn VipProber>, min_samples: u64) -> Self {
        Self { vip, min_samples, earlier: Mutex::default() }
    }

    fn said(&self) -> Said {
        let nothing = |why: &str| Said::silence(Silence::Nothing(why.to_owned()));
        let Some(now) = self.vip.stats() else { return nothing("the probe through the balancer has not begun") };
        let mut earlier = self.earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = *earlier else {
            *earlier = Some(now);
            return nothing("it counts from here on");
        };
        let requests = now.requests.saturating_sub(before.requests);
        let failed = now.failed.saturating_sub(before.failed);
        if requests == 0 {
            return nothing("no requests since the last measurement");
        }
        if requests >= self.min_samples {
            *earlier = Some(now);
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let samples = requests as f64;
        Said { touched: Ok(share(failed, requests)), untouched: None, samples: Some(Ok(samples)) }
    }
}

impl Asked for Vip {
    fn ask<'a>(&'a self, _compared: &'a Compared) -> BoxFuture<'a, Said> {
        Box::pin(async { self.said() })
    }
}
