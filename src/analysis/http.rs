//! An endpoint that answers with a number, alone or somewhere in JSON.
//!
//! Imports: ports, os, the settings, its siblings. May not: send anything but a GET.

use futures::future::{BoxFuture, OptionFuture};
use reqwest::Url;

use super::reading::{Finder, Said, Silence};
use super::sides::{Side, Style};
use super::web::{Web, place};
use super::{About, Asked, HttpSettings};
use crate::os::text;
use crate::ports::Compared;

/// The source.
pub(super) struct Http {
    url: String,
    finder: Finder,
    web: Web,
    about: About,
}

impl Http {
    /// Checks pointers, headers and certificates.
    pub(super) fn new(settings: &HttpSettings, about: About) -> Result<Self, String> {
        let web = Web::new(&settings.web, about.timeout)?;
        Ok(Self { url: settings.web.url.clone(), finder: Finder::new(&settings.answer)?, web, about })
    }

    async fn get(&self, side: Side<'_>) -> Result<Said, Silence> {
        let url = side.render(&self.url).map_err(Silence::Error)?;
        let url = Url::parse(&url).map_err(|e| Silence::Error(format!("{:?} is no address: {e}", text::sanitise(&url))))?;
        let answered = self.web.get(url.clone()).await?;
        if !answered.is_success() {
            return Err(answered.refusal(&url));
        }
        let mut said = self.finder.said(&answered.body, answered.whole);
        said.touched = said.touched.map_err(|silence| match silence {
            Silence::Error(why) => Silence::Error(format!("{}: {why}", place(&url))),
            nothing @ Silence::Nothing(_) => nothing,
        });
        Ok(said)
    }
}

impl Asked for Http {
    fn ask<'a>(&'a self, compared: &'a Compared) -> BoxFuture<'a, Said> {
        Box::pin(async move {
            let touched = Side::touched(&self.about.service, compared, Style::List);
            let other = touched.untouched([&self.url]).filter(|_| !self.finder.has_control());
            let other = OptionFuture::from(other.map(|other| self.get(other)));
            let (said, other) = tokio::join!(self.get(touched), other);
            merged(said, other)
        })
    }
}

/// What was said of the touched, with what was said of the others when they were asked for by themselves.
pub(super) fn merged(said: Result<Said, Silence>, other: Option<Result<Said, Silence>>) -> Said {
    let said = said.unwrap_or_else(Said::silence);
    let other = other.map(|other| other.and_then(|other| other.touched));
    Said { untouched: said.untouched.or(other), ..said }
}
