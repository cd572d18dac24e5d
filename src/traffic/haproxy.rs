//! HAProxy's runtime API.
//!
//! Imports: ports, model, os. May not: know another kind of adapter.
use std::collections::BTreeMap;

use futures::future::BoxFuture;

use super::HaproxySettings;
use crate::model::{InstanceId, Rotation, Target};
use crate::ports::{TrafficDriver, TrafficError};

pub(super) struct Haproxy {
    _settings: HaproxySettings,
}

impl Haproxy {
    pub(super) fn new(settings: HaproxySettings) -> Result<Self, String> {
        Ok(Self { _settings: settings })
    }
}

impl TrafficDriver for Haproxy {
    fn read<'a>(&'a self, _t: &'a [Target]) -> BoxFuture<'a, Result<BTreeMap<InstanceId, Rotation>, TrafficError>> {
        Box::pin(async { Ok(BTreeMap::new()) })
    }
    fn take_out<'a>(&'a self, _t: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async { Ok(None) })
    }
    fn sessions<'a>(&'a self, _t: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async { Ok(None) })
    }
    fn admit<'a>(&'a self, _t: &'a Target) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async { Ok(()) })
    }
}
