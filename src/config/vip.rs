//! `[vip]`: the probe through the balancer.
//!
//! Imports: config's reader, the probe's settings. May not: reach anything.

use std::path::Path;

use super::section::Section;
use super::value::shown;
use crate::probe::VipSettings;

/// Reads `[vip]`.
pub(super) fn read(root: &mut Section<'_>, base: &Path) -> Option<VipSettings> {
    const MOST: u32 = 10_000;
    let mut section = root.table("vip");
    if !section.present() {
        // Taken all the same, so that the keys are known when they stand elsewhere.
        section.take("url");
        section.take("rate");
        section.take("ca_file");
        return None;
    }
    let urls = section.texts("url");
    section.require("url", "is missing; add url = \"http://shop.example/\"");
    let rate = section.number_if_given("rate", (1, MOST));
    section.require("rate", "is missing; add the requests per second: rate = 20");
    if let Some(urls) = &urls {
        if urls.sound && urls.value.is_empty() {
            section.fault(urls.place, "url", "is empty; write url = \"http://shop.example/\"");
        }
        for (place, url) in &urls.value {
            let good = reqwest::Url::parse(&url.full).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !good {
                section.fault(*place, "url", format!("{} is no http:// or https:// address", shown(&url.raw)));
            }
        }
    }
    let ca_file = super::tls::file(&mut section, "ca_file", base);
    section.finish();
    let urls = urls?.value.into_iter().map(|(_, url)| url.full).collect();
    Some(VipSettings { urls, rate: rate?.value, ca_file })
}
