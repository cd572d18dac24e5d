//! Judges a theme: can each text be read on the backgrounds that it is made for, and is each state told from the others.
//!
//! Imports: tui::theme's sheet and light, model. May not: change a theme.

use std::fmt;

use ratatui::style::{Modifier, Style};

use super::depth::Depth;
use super::light::{contrast, distance};
use super::part::{Part, Ui, Weight};
use super::sheet::Sheet;
use super::surface::{Sight, Surface};
use crate::model::InstanceState;

/// The least contrast of a line or a bar (WCAG 2.1, 1.4.11).
const SEEN: f64 = 3.0;
/// The least distance of two colours that tell states apart: seen at a glance, in a single character.
const APART: f64 = 15.0;

/// The contrast of one part at one depth on one background.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contrast {
    /// Which part.
    pub part: Part,
    /// At which depth.
    pub depth: Depth,
    /// On which background.
    pub surface: Surface,
    /// The ratio.
    pub ratio: f64,
    /// What it must be; `None` if nothing is asked: another background, a key that is off, the terminal's own text.
    pub least: Option<f64>,
}

impl Contrast {
    /// True if it is enough.
    pub fn is_enough(&self) -> bool {
        // As it is printed: nobody is told that 4.5 is less than 4.5.
        self.least.is_none_or(|least| self.ratio >= least - 0.005)
    }
}

/// What is wrong with a theme.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// A part cannot be read.
    Faint(Contrast),
    /// A background is painted, and not what stands on it.
    Unpainted {
        /// Which part.
        part: Part,
        /// At which depth.
        depth: Depth,
    },
    /// Two states have the same glyph and attributes.
    Alike {
        /// One of them.
        one: InstanceState,
        /// The other.
        other: InstanceState,
        /// With the glyphs of ASCII.
        ascii: bool,
    },
    /// Two states have colours that somebody takes for the same.
    Confused {
        /// One of them.
        one: InstanceState,
        /// The other.
        other: InstanceState,
        /// Who.
        sight: Sight,
        /// At which depth.
        depth: Depth,
        /// How far apart they are.
        distance: f64,
    },
    /// Two parts that must be told apart without colour have the same attributes.
    Same {
        /// One of them.
        one: Part,
        /// The other.
        other: Part,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faint(Contrast { part, depth, surface, ratio, least }) => {
                let (depth, surface, least) = (depth.word(), surface.word(), least.unwrap_or_default());
                write!(f, "{part} has a contrast of {ratio:.2}:1 on {surface} with {depth} colours; {least}:1 is the least")
            }
            Self::Unpainted { part, depth } => {
                let depth = depth.word();
                write!(f, "{part} paints what is behind it with {depth} colours, and not the text; give fg and bg together")
            }
            Self::Alike { one, other, ascii } => {
                let set = if *ascii { " in ASCII" } else { "" };
                write!(f, "{one} and {other} have the same glyph and attributes{set}; without colour they are one")
            }
            Self::Confused { one, other, sight, depth, distance } => {
                let (sight, depth) = (sight.word(), depth.word());
                write!(f, "{one} and {other} look alike with {sight} ({depth}: {distance:.0} apart, {APART} is the least)")
            }
            Self::Same { one, other } => write!(f, "{one} and {other} have the same attributes; without colour they are one"),
        }
    }
}

/// All that was measured, and what is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Every part at every depth on every background.
    pub contrasts: Vec<Contrast>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Judges a theme.
pub fn check(sheet: &Sheet) -> Report {
    let contrasts = contrasts(sheet);
    let mut findings: Vec<Finding> =
        contrasts.iter().filter(|contrast| !contrast.is_enough()).copied().map(Finding::Faint).collect();
    findings.extend(unpainted(sheet));
    findings.extend(alike(sheet));
    findings.extend(confused(sheet));
    let attributes = |part| sheet.style(part, Depth::Mono).add_modifier;
    let (on, off) = (Part::Ui(Ui::Key), Part::Ui(Ui::KeyOff));
    findings.extend((attributes(on) == attributes(off)).then_some(Finding::Same { one: on, other: off }));
    Report { contrasts, findings }
}

/// The depths at which a theme is another.
fn depths(sheet: &Sheet) -> impl Iterator<Item = Depth> {
    Depth::ALL.into_iter().map(|(_, depth)| depth).filter(|depth| *depth <= sheet.depth)
}

fn contrasts(sheet: &Sheet) -> Vec<Contrast> {
    let mut all = Vec::new();
    for depth in depths(sheet) {
        for part in Part::all() {
            let style = sheet.style(part, depth);
            for surface in Surface::ALL {
                let (text, behind) = surface.painted(style);
                let is_for = sheet.background(depth).surfaces().contains(&surface);
                let least = match part.weight() {
                    Weight::Text => Some(sheet.contrast),
                    Weight::Graphic => Some(SEEN.min(sheet.contrast)),
                    Weight::Off => None,
                };
                let least = least.filter(|_| is_for && !is_own(style));
                all.push(Contrast { part, depth, surface, ratio: contrast(text, behind), least });
            }
        }
    }
    all
}

/// The terminal's own text on its own background: whoever chose them can read them. Dim text is no longer theirs.
fn is_own(style: Style) -> bool {
    style.fg.is_none() && style.bg.is_none() && !style.add_modifier.contains(Modifier::DIM)
}

fn unpainted(sheet: &Sheet) -> impl Iterator<Item = Finding> {
    let all = depths(sheet).flat_map(|depth| Part::all().map(move |part| (part, depth)));
    all.filter(|(part, depth)| {
        let style = sheet.style(*part, *depth);
        style.bg.is_some() && style.fg.is_none()
    })
    .map(|(part, depth)| Finding::Unpainted { part, depth })
}

/// Every two states.
fn pairs() -> impl Iterator<Item = (InstanceState, InstanceState)> {
    let all = InstanceState::ALL;
    all.into_iter().enumerate().flat_map(move |(n, one)| all.into_iter().skip(n + 1).map(move |other| (one, other)))
}

fn alike(sheet: &Sheet) -> Vec<Finding> {
    let mut found = Vec::new();
    for ascii in [false, true] {
        let shape = |state| (sheet.glyph(state, ascii), sheet.style(Part::State(state), Depth::Mono).add_modifier);
        let same = pairs().filter(|(one, other)| shape(*one) == shape(*other));
        found.extend(same.map(|(one, other)| Finding::Alike { one, other, ascii }));
    }
    found
}

/// What has two colours for most must have two for those that the theme says it is safe for.
fn confused(sheet: &Sheet) -> Vec<Finding> {
    let mut found = Vec::new();
    for depth in depths(sheet).filter(|depth| *depth != Depth::Mono) {
        let style = |state| sheet.style(Part::State(state), depth);
        for (one, other) in pairs().filter(|(one, other)| {
            let (one, other) = (style(*one), style(*other));
            (one.fg, one.bg) != (other.fg, other.bg)
        }) {
            for sight in &sheet.safe_for {
                let nearest = sheet.background(depth).surfaces().iter().map(|surface| {
                    let (one, other) = (surface.painted(style(one)), surface.painted(style(other)));
                    distance(one.0, other.0, *sight).max(distance(one.1, other.1, *sight))
                });
                let distance = nearest.fold(f64::INFINITY, f64::min);
                if distance < APART {
                    found.push(Finding::Confused { one, other, sight: *sight, depth, distance });
                }
            }
        }
    }
    found
}
