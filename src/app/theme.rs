//! `theme list`, `show` and `check`: which themes there are, what they look like, and whether they can be read.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::args::{Color, Output, ThemeVerb};
use super::past::json;
use super::{Common, Done, Failure, USAGE, say, themes};
use crate::event::clean;
use crate::model::InstanceState;
use crate::os::text::counted;
use crate::tui::{
    Background, ColorChoice, Contrast, Depth, Finding, Library, Part, Report, Sheet, Surface, ThemeError, ThemeFile, check_theme,
    painted,
};

/// `rollout theme`.
pub(super) fn theme(common: &Common, verb: &ThemeVerb) -> Done {
    let library = Library::with(themes::files());
    match verb {
        ThemeVerb::List => list(common, &library),
        ThemeVerb::Show { theme } => show(common, &library, &found(&library, theme)?),
        ThemeVerb::Check { theme } => match theme {
            Some(theme) => check(common, &library, &[found(&library, theme)?]),
            None => check(common, &library, library.files()),
        },
    }
}

/// The theme of this name, else the file at this path.
fn found(library: &Library, theme: &str) -> Result<ThemeFile, Failure> {
    let path = Path::new(theme);
    let is_path = theme.contains('/') || path.extension().is_some_and(|end| end == "toml");
    if is_path {
        // One of ours may be judged, too, wherever it lies.
        return Ok(ThemeFile { own: false, ..themes::read(path) });
    }
    let file = library.file(theme).cloned();
    file.ok_or_else(|| Failure::usage(library.sheet(theme).err().map_or_else(String::new, |error| error.to_string())))
}

fn words(background: Background) -> String {
    match background {
        Background::Both => "dark, light".to_owned(),
        other => other.word().to_owned(),
    }
}

/// The backgrounds that it is made for, at each depth.
fn backgrounds(sheet: &Sheet) -> Value {
    json!({
        "16": sheet.background(Depth::Ansi16).word(),
        "256": sheet.background(Depth::Indexed).word(),
        "truecolor": sheet.background(Depth::Rgb).word(),
    })
}

fn about(file: &ThemeFile, sheet: &Result<Sheet, ThemeError>) -> Value {
    let faults = sheet.as_ref().err().map(|error| error.lines().to_vec()).unwrap_or_default();
    let sheet = sheet.as_ref().ok();
    json!({
        "type": "theme", "theme": file.name, "about": sheet.map(|sheet| sheet.about.clone()), "own": file.own, "place": file.place,
        "extends": sheet.map(|sheet| sheet.extends.clone()), "background": sheet.map(backgrounds),
        "safe_for": sheet.map(|sheet| sheet.safe_for.iter().map(|sight| sight.word()).collect::<Vec<_>>()), "faults": faults,
    })
}

fn list(common: &Common, library: &Library) -> Done {
    let all: Vec<_> = library.files().iter().map(|file| (file, library.sheet_of(file))).collect();
    let faulty = all.iter().filter(|(_, sheet)| sheet.is_err()).count();
    if common.output == Output::Json {
        for (file, sheet) in &all {
            json(&about(file, sheet))?;
        }
        json(&json!({"type": "summary", "themes": all.len(), "faulty": faulty}))?;
        return Ok(0);
    }
    let widest = all.iter().map(|(file, _)| file.name.chars().count()).max().unwrap_or_default().min(24);
    for (file, sheet) in &all {
        let place = if file.own { file.place.as_str() } else { "comes with rollout" };
        match sheet {
            Ok(sheet) => {
                let background = words(sheet.background(Depth::Indexed));
                say(&format!("{:<widest$}  {background:<15}  {:<56}  {place}", file.name, sheet.about));
            }
            Err(error) => say(&format!("{:<widest$}  cannot be used: {error}", file.name)),
        }
    }
    let folder = themes::folder().map_or_else(String::new, |folder| format!("; your own lie in {}", folder.display()));
    say(&format!("theme = \"NAME\" under [console] in rollout.toml takes one; T in the console tries them{folder}"));
    Ok(0)
}

/// How many colours the sample has; `None` for text alone.
fn depth(common: &Common) -> Option<Depth> {
    let choice = match common.color {
        None if !io::stdout().is_terminal() => return None,
        None | Some(Color::Auto) => ColorChoice::Auto,
        Some(Color::Mono) => ColorChoice::Mono,
        Some(Color::C16) => ColorChoice::Ansi16,
        Some(Color::C256) => ColorChoice::Indexed,
        Some(Color::Truecolor) => ColorChoice::Truecolor,
    };
    Some(choice.depth())
}

fn show(common: &Common, library: &Library, file: &ThemeFile) -> Done {
    let sheet = library.sheet_of(file);
    let text = file.text.clone().map_err(|why| Failure::usage(format!("{}: {why}", file.place)))?;
    if common.output == Output::Json {
        let mut value = about(file, &sheet);
        if let (Value::Object(fields), Ok(sheet)) = (&mut value, &sheet) {
            let depth = depth(common).unwrap_or_default();
            let parts = Part::all().map(|part| (part.to_string(), json!(format!("{:?}", sheet.style(part, depth)))));
            fields.insert("styles".to_owned(), Value::Object(parts.collect()));
            fields.insert("text".to_owned(), json!(text));
        }
        json(&value)?;
        return Ok(if sheet.is_ok() { 0 } else { USAGE });
    }
    say(&text);
    let sheet = sheet.map_err(Failure::usage)?;
    let depth = depth(common);
    let mut lines = vec![String::new(), format!("# {} with {} colours:", clean(&file.name), depth.map_or("no", Depth::word))];
    let mut table = "";
    for part in Part::all() {
        if part.table() != table {
            table = part.table();
            lines.extend([String::new(), format!("[{table}]")]);
        }
        let sample = match part {
            Part::State(state) => format!("{} {state}", sheet.glyph(state, common.ascii).unwrap_or('?')),
            Part::Badge(_) => format!("[{}]", part.name().replace('_', " ").to_uppercase()),
            Part::Ui(_) | Part::Log(_) => part.name().to_owned(),
        };
        let sample = depth.map_or_else(|| sample.clone(), |depth| painted(&sample, sheet.style(part, depth), depth));
        lines.push(format!("  {sample}"));
    }
    lines.push(String::new());
    // Whoever closes the pipe has what they wanted.
    drop(io::stdout().lock().write_all(lines.join("\n").as_bytes()));
    Ok(0)
}

fn check(common: &Common, library: &Library, files: &[ThemeFile]) -> Done {
    let mut failed = 0;
    for file in files {
        let judged = library.sheet_of(file).map(|sheet| (check_theme(&sheet), sheet));
        let sound = judged.as_ref().is_ok_and(|(report, _)| report.findings.is_empty());
        failed += usize::from(!sound);
        match (common.output, &judged) {
            (Output::Json, Ok((report, _))) => tell(file, report)?,
            (Output::Json, Err(error)) => {
                for fault in error.lines() {
                    json(&json!({"type": "fault", "theme": file.name, "message": fault}))?;
                }
            }
            (Output::Text, Ok((report, sheet))) => {
                if files.len() == 1 {
                    table(sheet, report);
                }
                report.findings.iter().for_each(|finding| say(&format!("{}: {finding}", file.name)));
                if sound {
                    say(&format!("{}: can be read and told apart{}", file.name, made_for(sheet)));
                }
            }
            (Output::Text, Err(error)) => say(&error.to_string()),
        }
    }
    match common.output {
        Output::Json => json(&json!({"type": "summary", "themes": files.len(), "failed": failed, "ok": failed == 0}))?,
        Output::Text if failed > 0 => say(&format!("{} to mend", counted(failed, "theme"))),
        Output::Text => {}
    }
    Ok(if failed == 0 { 0 } else { USAGE })
}

fn made_for(sheet: &Sheet) -> String {
    let (few, many) = (sheet.background(Depth::Ansi16), sheet.background(Depth::Indexed));
    let few = if few == many { String::new() } else { format!(" (with 16 colours: {})", words(few)) };
    let eyes: Vec<&str> = sheet.safe_for.iter().map(|sight| sight.word()).collect();
    let eyes = if eyes.is_empty() { String::new() } else { format!("; with {}", eyes.join(" and ")) };
    format!(" on: {}{few}{eyes}", words(many))
}

/// Every contrast, a table for each depth; `!` marks what is too little, brackets what nothing is asked of.
fn table(sheet: &Sheet, report: &Report) {
    for (word, depth) in Depth::ALL {
        let of_depth: Vec<&Contrast> = report.contrasts.iter().filter(|contrast| contrast.depth == depth).collect();
        if of_depth.is_empty() {
            continue;
        }
        let heads = Surface::ALL.map(|surface| format!("{:>9}", surface.word())).concat();
        say(&format!("{:<24}{heads}   made for: {}", format!("{word}:"), words(sheet.background(depth))));
        for row in of_depth.chunks(Surface::ALL.len()) {
            let Some(first) = row.first() else { continue };
            let cells: String = row
                .iter()
                .map(|contrast| {
                    let ratio = format!("{:.2}", contrast.ratio);
                    match contrast.least {
                        None => format!("{:>9}", format!("({ratio})")),
                        Some(_) if contrast.is_enough() => format!("{ratio:>8} "),
                        Some(_) => format!("{ratio:>8}!"),
                    }
                })
                .collect();
            say(&format!("  {:<22}{cells}", first.part.to_string()));
        }
        say("");
    }
}

fn tell(file: &ThemeFile, report: &Report) -> Result<(), Failure> {
    for contrast in &report.contrasts {
        let Contrast { part, depth, surface, ratio, least } = contrast;
        json(&json!({
            "type": "contrast", "theme": file.name, "part": part.to_string(), "colors": depth.word(), "background": surface.word(),
            "ratio": (ratio * 100.0).round() / 100.0, "least": least, "ok": contrast.is_enough(),
        }))?;
    }
    for finding in &report.findings {
        let kind = match finding {
            Finding::Faint(_) => "faint",
            Finding::Unpainted { .. } => "unpainted",
            Finding::Alike { .. } => "alike",
            Finding::Confused { .. } => "confused",
            Finding::Same { .. } => "same",
        };
        json(&json!({"type": "finding", "theme": file.name, "kind": kind, "message": finding.to_string()}))?;
    }
    let states = InstanceState::ALL.len();
    json(&json!({"type": "theme", "theme": file.name, "states": states, "findings": report.findings.len()}))
}
