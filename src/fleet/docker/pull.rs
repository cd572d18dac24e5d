//! Fetches an image, and says how far it is.
//!
//! Imports: the daemon, model. May not: touch a container.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;
use tokio::time::Instant;

use super::credentials::Login;
use super::daemon::{Daemon, Trouble};
use super::reference::Reference;
use crate::model::{InstanceId, Span};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(2);
/// Layers that are counted; no image has as many.
const LAYERS_MAX: usize = 1024;

/// Fetches it for `instance`. The caller bounds the time.
pub(super) async fn pull(daemon: &Daemon, reference: &Reference, login: Login, instance: &InstanceId) -> Result<(), Trouble> {
    let began = Instant::now();
    let mut builder = CreateImageOptionsBuilder::new().from_image(&reference.name);
    if let Some(tag) = &reference.tag {
        builder = builder.tag(tag);
    }
    tracing::info!(target: "effect", "{instance}: pulling {}", reference.text);
    let mut lines = daemon.client().await?.create_image(Some(builder.build()), None, login);
    let (mut layers, mut next) = (Layers::default(), began + EVERY);
    while let Some(line) = lines.next().await {
        let line = line.map_err(|error| daemon.trouble(&error))?;
        if let Some(why) = line.error_detail.as_ref().and_then(|detail| detail.message.clone()) {
            return Err(Trouble::Refused(crate::os::text::sanitise(&why)));
        }
        layers.take(&line);
        if Instant::now() >= next {
            next = Instant::now() + EVERY;
            tracing::info!(target: "effect", "{instance}: pulling {}: {}", reference.text, layers.words());
        }
    }
    tracing::info!(target: "effect", "{instance}: {} is there after {}", reference.text, Span::from(began.elapsed()));
    Ok(())
}

/// The layers on their way: bytes here, and in all.
#[derive(Debug, Default)]
struct Layers(HashMap<String, (i64, i64, bool)>);

impl Layers {
    fn take(&mut self, line: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&line.id, &line.status) else { return };
        if status.starts_with("Pulling from") || (self.0.len() >= LAYERS_MAX && !self.0.contains_key(id)) {
            return;
        }
        let layer = self.0.entry(id.clone()).or_default();
        if status == "Downloading"
            && let Some(detail) = &line.progress_detail
        {
            (layer.0, layer.1) = (detail.current.unwrap_or(layer.0), detail.total.unwrap_or(layer.1));
        }
        if matches!(status.as_str(), "Download complete" | "Already exists" | "Pull complete" | "Extracting") {
            layer.0 = layer.1;
        }
        layer.2 |= matches!(status.as_str(), "Already exists" | "Pull complete");
    }

    fn words(&self) -> String {
        let (here, all) = self.0.values().fold((0, 0), |(here, all), layer| (here + layer.0, all + layer.1));
        let done = self.0.values().filter(|layer| layer.2).count();
        format!("{} of {} MB, {done} of {} layers done", here / 1_000_000, all / 1_000_000, self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn progress_is_the_sum_of_the_layers() {
        let mut layers = Layers::default();
        let mut line = |id: &str, status: &str, detail: Option<(i64, i64)>| {
            let detail = detail.map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) });
            let (id, status) = (Some(id.to_owned()), Some(status.to_owned()));
            layers.take(&CreateImageInfo { id, status, progress_detail: detail, ..CreateImageInfo::default() });
            layers.words()
        };
        line("v2", "Pulling from shop", None);
        line("a", "Already exists", None);
        line("b", "Downloading", Some((1_000_000, 30_000_000)));
        assert_eq!(line("c", "Downloading", Some((4_000_000, 10_000_000))), "5 of 40 MB, 1 of 3 layers done");
        line("b", "Download complete", None);
        assert_eq!(line("b", "Pull complete", None), "34 of 40 MB, 2 of 3 layers done");
    }
}
