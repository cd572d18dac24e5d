//! A whole theme: one file laid over those that it extends, at every depth.
//!
//! Imports: tui::theme's file. May not: find a file.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};

use super::color::Shade;
use super::depth::Depth;
use super::file::{File, GlyphPatch, Paint, Patch};
use super::part::Part;
use super::surface::{Background, Sight};
use crate::model::InstanceState;

/// The least contrast of a text, by the rules for the web (WCAG 2, level AA).
const READABLE: f64 = 4.5;

/// A whole theme.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// What it is for, in a few words.
    pub about: String,
    /// The themes that it is laid over, nearest first.
    pub extends: Vec<String>,
    /// No more colours than these.
    pub depth: Depth,
    /// The least contrast of its texts.
    pub contrast: f64,
    /// Who else can tell its states apart by their colours.
    pub safe_for: Vec<Sight>,
    background: [Background; 3],
    palette: BTreeMap<String, Shade>,
    styles: Vec<Patch>,
    glyphs: Vec<GlyphPatch>,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            about: String::new(),
            extends: Vec::new(),
            depth: Depth::Rgb,
            contrast: READABLE,
            safe_for: Vec::new(),
            background: [Background::default(); 3],
            palette: BTreeMap::new(),
            styles: Part::all().map(|_| Patch::default()).collect(),
            glyphs: InstanceState::ALL.map(|_| GlyphPatch::default()).to_vec(),
        }
    }
}

impl Sheet {
    /// This with `file` laid over it.
    pub(super) fn under(mut self, file: File) -> Self {
        self.about = file.about.unwrap_or_default();
        self.depth = file.depth.unwrap_or(self.depth);
        self.contrast = file.contrast.unwrap_or(self.contrast);
        self.safe_for = file.safe_for.unwrap_or(self.safe_for);
        self.background = file.background.unwrap_or(self.background);
        self.palette.extend(file.palette);
        for (part, patch) in file.styles {
            let Some(style) = self.styles.get_mut(part.index()) else { continue };
            style.fg = patch.fg.or_else(|| style.fg.take());
            style.bg = patch.bg.or_else(|| style.bg.take());
            style.attr = patch.attr.or(style.attr);
        }
        for (state, patch) in file.glyphs {
            let Some(glyphs) = self.glyphs.get_mut(state as usize) else { continue };
            glyphs.glyph = patch.glyph.or(glyphs.glyph);
            glyphs.ascii = patch.ascii.or(glyphs.ascii);
        }
        self
    }

    /// This, to be extended under the name that it has.
    pub(super) fn named_above(mut self, name: &str) -> Self {
        self.extends.insert(0, name.to_owned());
        self
    }

    /// The glyphs of `other`, and nothing else of it.
    pub(super) fn with_glyphs_of(other: &Self) -> Self {
        Self { glyphs: other.glyphs.clone(), ..Self::default() }
    }

    /// The names of its colours.
    pub(super) fn colors(&self) -> impl Iterator<Item = &str> {
        self.palette.keys().map(String::as_str)
    }

    /// The backgrounds that it is made for.
    pub fn background(&self, depth: Depth) -> Background {
        let [c16, c256, rgb] = self.background;
        match depth.min(self.depth) {
            Depth::Mono | Depth::Ansi16 => c16,
            Depth::Indexed => c256,
            Depth::Rgb => rgb,
        }
    }

    /// The style of a part at a depth.
    pub fn style(&self, part: Part, depth: Depth) -> Style {
        let Some(patch) = self.styles.get(part.index()) else { return Style::new() };
        let color = |paint: &Option<Paint>| paint.as_ref().and_then(|paint| self.color(paint, depth));
        let (fg, bg, attr) = (color(&patch.fg), color(&patch.bg), patch.attr.unwrap_or(Modifier::empty()));
        Style { fg, bg, add_modifier: attr, ..Style::new() }
    }

    /// The colour at a depth; `None` for the terminal's own.
    fn color(&self, paint: &Paint, depth: Depth) -> Option<Color> {
        match paint {
            Paint::Shade(tone) => *tone,
            Paint::Named(name) => self.tone(name)?,
        }
        .at(depth.min(self.depth))
    }

    /// The colour of this name, or as written.
    pub(super) fn tone(&self, name: &str) -> Option<Shade> {
        self.palette.get(name).copied().or_else(|| Shade::parse(name))
    }

    /// The glyph of a state, if the theme has one.
    pub fn glyph(&self, state: InstanceState, ascii: bool) -> Option<char> {
        let glyphs = self.glyphs.get(state as usize)?;
        if ascii { glyphs.ascii } else { glyphs.glyph }
    }
}
