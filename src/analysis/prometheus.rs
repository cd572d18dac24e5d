//! Prometheus and what answers like it (Thanos, Mimir, VictoriaMetrics): a query, at once or over a range.
//!
//! Imports: ports, model, the settings, its siblings. May not: read an answer (that is `reply`).

use futures::future::{BoxFuture, OptionFuture};
use reqwest::Url;

use super::reading::{Reading, Said, Silence, shown};
use super::reply;
use super::sides::{Side, Style};
use super::web::{Web, place};
use super::{About, Asked, PrometheusSettings};
use crate::ports::{Clock, Compared};

/// The source.
pub(super) struct Prometheus {
    settings: PrometheusSettings,
    about: About,
    web: Web,
    /// Where queries go.
    url: Url,
    clock: Clock,
}

impl Prometheus {
    /// Checks the address and what is needed to reach it.
    pub(super) fn new(settings: &PrometheusSettings, about: About, clock: Clock) -> Result<Self, String> {
        let mut url = Url::parse(&settings.web.url).map_err(|e| format!("url: {e}"))?;
        let kind = if settings.range.is_some() { "query_range" } else { "query" };
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(["api", "v1", kind]),
            Err(()) => return Err("url: is no http:// or https:// address".to_owned()),
        };
        let web = Web::new(&settings.web, about.timeout)?;
        Ok(Self { settings: settings.clone(), about, web, url, clock })
    }

    async fn query(&self, query: Result<String, String>) -> Reading {
        let query = query.map_err(Silence::Error)?;
        // Prometheus gives a query up when we do.
        let timeout = format!("{}ms", self.about.timeout.as_millis());
        let mut fields = vec![("query", query), ("timeout", timeout)];
        if let Some(range) = self.settings.range {
            let now = (self.clock)().as_millis();
            fields.push(("start", seconds(now.saturating_sub(range.length.as_millis()))));
            fields.push(("end", seconds(now)));
            fields.push(("step", seconds(range.step.as_millis())));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answered = self.web.post(self.url.clone(), &fields).await?;
        let place = place(&self.url);
        match reply::read(&answered.body, self.settings.range.map(|range| range.reduce)) {
            Some(Err(Silence::Error(why))) => Err(Silence::Error(format!("{place}: {why}"))),
            Some(reading) if answered.is_success() => reading,
            _ if !answered.is_success() => Err(answered.refusal(&self.url)),
            _ if !answered.whole => Err(Silence::Error(format!("{place}: the answer is over 1 MiB; sum up in the query"))),
            Some(_) | None => Err(Silence::Error(format!("{place}: this is no answer of Prometheus{}", shown(&answered.body)))),
        }
    }
}

/// Milliseconds as Prometheus takes a time or a length of time.
fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

impl Asked for Prometheus {
    fn ask<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Said> {
        Box::pin(async move {
            let PrometheusSettings { query, control, samples, .. } = &self.settings;
            let touched = Side::touched(&self.about.service, compared, Style::Pattern);
            let other = match control {
                Some(control) => (!compared.untouched.is_empty()).then(|| touched.render(control)),
                None => touched.untouched([query]).map(|untouched| untouched.render(query)),
            };
            let other = OptionFuture::from(other.map(|query| self.query(query)));
            let samples = OptionFuture::from(samples.as_ref().map(|samples| self.query(touched.render(samples))));
            let (touched, untouched, samples) = tokio::join!(self.query(touched.render(query)), other, samples);
            Said { touched, untouched, samples }
        })
    }
}
