//! Themes: those that come with the program, what a file may say, and what is said of one that is wrong.
//!
//! Imports: the library. May not: start anything (that is `themes_live.rs`).
#![expect(clippy::unwrap_used, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use std::collections::BTreeSet;

use fixture::{World, console, fixed, plan, press};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier, Style};
use rollout::command::Command;
use rollout::model::{InstanceId, InstanceState, OnFailure};
use rollout::state::Phase;
use rollout::tui::{
    App, Background, Badge, Cmd, Depth, Finding, Fixed, Key, Library, Msg, Overlay, Part, Sheet, Theme, ThemeFile, Ui,
    check_theme, painted, update, view,
};

const DEPTHS: [Depth; 4] = [Depth::Mono, Depth::Ansi16, Depth::Indexed, Depth::Rgb];

fn shipped() -> Vec<String> {
    Library::shipped().files().iter().map(|file| file.name.clone()).collect()
}

fn own(name: &str, text: &str) -> ThemeFile {
    ThemeFile { name: name.to_owned(), place: format!("{name}.toml"), text: Ok(text.to_owned()), own: true }
}

/// The theme in `text`, among those that come with the program.
fn sheet(text: &str) -> Result<Sheet, Vec<String>> {
    Library::with(vec![own("mine", text)]).sheet("mine").map_err(|error| error.lines().to_vec())
}

#[test]
fn the_themes_that_come_along_are_those_of_the_manual() {
    let wanted =
        ["default", "dark", "light", "high-contrast", "mono", "deuteranopia", "tritanopia", "solarized", "solarized-light"];
    assert_eq!(shipped(), wanted);
    for name in shipped() {
        let about = Library::shipped().sheet(&name).unwrap().about;
        assert!(!about.is_empty() && about.len() <= 60, "{name}: {about}");
    }
}

#[test]
fn every_theme_that_comes_along_passes_its_own_check() {
    for name in shipped() {
        let sheet = Library::shipped().sheet(&name).unwrap();
        let report = check_theme(&sheet);
        let findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert!(findings.is_empty(), "{name}:\n{}", findings.join("\n"));
        // It was measured at all: each part at each depth on each background.
        let depths = if name == "mono" { 1 } else { 4 };
        assert_eq!(report.contrasts.len(), Part::all().count() * depths * 4, "{name}");
        let asked = report.contrasts.iter().filter(|contrast| contrast.least.is_some()).count();
        assert!(asked > 0, "{name}: nothing was asked of it");
    }
    // They are for what they say.
    let sheet = |name| Library::shipped().sheet(name).unwrap();
    assert_eq!(sheet("default").background(Depth::Indexed), Background::Both);
    assert_eq!(sheet("light").background(Depth::Rgb), Background::Light);
    assert_eq!(sheet("solarized").background(Depth::Ansi16), Background::Solarized);
    assert_eq!(sheet("deuteranopia").safe_for.len(), 1);
    assert_eq!(sheet("tritanopia").safe_for.len(), 1);
    assert!(sheet("high-contrast").contrast >= 7.0);
}

#[test]
fn every_theme_is_whole_at_every_depth_and_tells_states_apart_without_colours() {
    for name in shipped() {
        for depth in DEPTHS {
            for ascii in [false, true] {
                let theme = Theme::named(&name, depth, ascii).unwrap();
                let glyphs: BTreeSet<char> = InstanceState::ALL.map(|state| theme.glyph(state)).into();
                assert_eq!(glyphs.len(), InstanceState::ALL.len(), "{name}");
                assert!(glyphs.iter().all(|glyph| !ascii || glyph.is_ascii()), "{name}");
                for part in Part::all() {
                    let style = theme.style(part);
                    let fits = |color: Option<Color>| match color {
                        None => true,
                        Some(Color::Rgb(..)) => depth == Depth::Rgb,
                        Some(Color::Indexed(_)) => depth >= Depth::Indexed,
                        Some(_) => depth >= Depth::Ansi16,
                    };
                    assert!(fits(style.fg) && fits(style.bg), "{name} {depth:?} {part}: {style:?}");
                    // What is painted is read on what is painted, not on whatever the terminal has.
                    assert!(style.bg.is_none() || style.fg.is_some(), "{name} {depth:?} {part}");
                    let selected = theme.selected(style);
                    assert_ne!(selected.add_modifier, style.add_modifier, "{name} {part}: selected looks as before");
                }
                let attributes = |part| theme.style(part).add_modifier;
                assert!(attributes(Part::Ui(Ui::Selected)).contains(Modifier::REVERSED), "{name}");
                assert!(!attributes(Part::State(InstanceState::Failed)).is_empty(), "{name}");
                assert!(!attributes(Part::Badge(Badge::Failed)).is_empty(), "{name}");
                assert_ne!(attributes(Part::Ui(Ui::Key)), attributes(Part::Ui(Ui::KeyOff)), "{name}");
                let colours = Part::all().filter(|part| theme.style(*part).fg.is_some()).count();
                assert_eq!(colours == 0, depth == Depth::Mono || name == "mono", "{name} {depth:?}");
            }
        }
    }
}

/// What would vanish on Solarized: dim text, and the bright names, of which it has made greys.
#[test]
fn on_solarized_nothing_is_dim_and_no_grey_is_taken_for_a_colour() {
    for name in ["solarized", "solarized-light"] {
        for depth in DEPTHS {
            let theme = Theme::named(name, depth, false).unwrap();
            for part in Part::all() {
                let style = theme.style(part);
                assert!(!style.add_modifier.contains(Modifier::DIM), "{name} {depth:?} {part}");
                let greys =
                    [Color::DarkGray, Color::LightGreen, Color::LightYellow, Color::LightBlue, Color::LightCyan].map(Some);
                assert!(!greys.contains(&style.fg), "{name} {depth:?} {part}: {style:?}");
            }
        }
    }
}

#[test]
fn a_stripe_is_seen_in_every_theme_at_every_depth() {
    for name in shipped() {
        for depth in DEPTHS {
            for color in ["red", "orange", "bright-blue", "214", "#E69F00", "7", "nothing-of-the-kind"] {
                let theme = Theme::named(&name, depth, false).unwrap();
                let stripe = theme.stripe(color);
                let painted = stripe.bg.is_some() && stripe.fg.is_some() && stripe.fg != stripe.bg;
                let reversed = stripe.add_modifier.contains(Modifier::REVERSED) && stripe.fg.is_none();
                assert!(painted || reversed, "{name} {depth:?} {color}: {stripe:?}");
                assert_eq!(reversed, stripe.bg.is_none(), "{name} {depth:?} {color}: {stripe:?}");
                if depth == Depth::Mono || name == "mono" {
                    assert!(reversed, "{name} {color}: {stripe:?}");
                }
            }
        }
    }
    // It is the same on black and on white: the colour is behind the text.
    let stripe = Theme::named("default", Depth::Indexed, false).unwrap().stripe("226");
    assert_eq!((stripe.bg, stripe.fg), (Some(Color::Indexed(226)), Some(Color::Indexed(16))));
}

#[test]
fn a_theme_changes_what_it_names_of_the_one_that_it_extends() {
    let mine = sheet(
        "extends = \"light\"\nabout = \"mine\"\n[palette]\ngreen = 28\n[state.healthy]\nattr = [\"bold\"]\n[glyphs]\nheld = \"H\"\n",
    )
    .unwrap();
    let light = Library::shipped().sheet("light").unwrap();
    let healthy = Part::State(InstanceState::Healthy);
    assert_eq!(mine.extends, ["light", "default"]);
    assert_eq!(mine.about, "mine");
    // Whatever is green in the one below is the new green: the bar, too.
    assert_eq!(mine.style(healthy, Depth::Indexed).fg, Some(Color::Indexed(28)));
    assert_eq!(mine.style(Part::Ui(Ui::Bar), Depth::Indexed).fg, Some(Color::Indexed(28)));
    assert_eq!(mine.style(healthy, Depth::Indexed).add_modifier, Modifier::BOLD);
    assert_eq!(mine.background(Depth::Rgb), Background::Light);
    assert_eq!((mine.glyph(InstanceState::Held, false), mine.glyph(InstanceState::Held, true)), (Some('H'), Some('=')));
    let draining = Part::State(InstanceState::Draining);
    for depth in DEPTHS {
        assert_eq!(mine.style(draining, depth), light.style(draining, depth));
    }
}

#[test]
fn a_theme_that_extends_none_is_plain_and_has_all_glyphs() {
    let plain = sheet("[state.failed]\nfg = { rgb = \"#B00000\" }\n").unwrap();
    assert_eq!(plain.style(Part::State(InstanceState::Failed), Depth::Indexed).fg, Some(Color::Indexed(124)));
    assert_eq!(plain.style(Part::State(InstanceState::Failed), Depth::Ansi16).fg, Some(Color::Red));
    assert_eq!(plain.style(Part::Ui(Ui::Header), Depth::Rgb), Style::new());
    assert!(InstanceState::ALL.iter().all(|state| plain.glyph(*state, false).is_some()));
    // What is selected is seen all the same.
    let theme = Library::with(vec![own("mine", "")]).theme("mine", Depth::Rgb, false).unwrap();
    assert!(theme.ui(Ui::Selected).add_modifier.contains(Modifier::REVERSED));
}

/// Each with its only fault: what is written, and what is said of it.
#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place_and_a_remedy() {
    for (text, said) in [
        ("extens = \"light\"", "mine.toml:1:1 extens → unknown key; the nearest known is extends"),
        ("[ui]\nheder = { attr = [\"bold\"] }", "mine.toml:2:1 ui.heder → unknown key; the nearest known is header"),
        ("[ui.header]\nforeground = 1", "mine.toml:2:1 ui.header.foreground → unknown key; known here: fg, bg, attr"),
        ("[ui.header]\nglyph = \"x\"", "mine.toml:2:1 ui.header.glyph → unknown key; known here: fg, bg, attr"),
        ("[state.faild]\nfg = 1", "mine.toml:1:8 state.faild → unknown key; the nearest known is failed"),
        (
            "[state]\nfailed = { fg = \"rde\" }",
            "mine.toml:2:17 state.failed.fg → \"rde\" is no colour and not in [palette]; the nearest is \"red\"",
        ),
        ("[log]\nwarn = { fg = 300 }", "mine.toml:2:15 log.warn.fg → 300 is no colour; numbers go from 0 to 255"),
        (
            "[palette]\nsea = \"gren\"",
            "mine.toml:2:1 palette.sea → \"gren\" is no colour; a colour of the palette names no other",
        ),
        (
            "[palette]\nsea = { c16 = \"gren\" }",
            "mine.toml:2:15 palette.sea.c16 → \"gren\" is no colour; the nearest is \"green\"",
        ),
        ("[palette]\nsea = { c8 = 1 }", "mine.toml:2:9 palette.sea.c8 → unknown key; known here: c16, c256, rgb"),
        ("[palette]\nsea = {}", "mine.toml:2:7 palette.sea → names no colour; give one of c16, c256, rgb"),
        (
            "[ui]\nbar = { attr = [\"blink\"] }",
            "mine.toml:2:17 ui.bar.attr → \"blink\" is unknown; write one of \"bold\", \"dim\", \"reverse\", \"underline\"",
        ),
        ("[ui]\nbar = { attr = \"bold\" }", "mine.toml:2:16 ui.bar.attr → is a text; write a list like [\"…\"]"),
        (
            "background = \"drak\"",
            "mine.toml:1:14 background → \"drak\" is unknown; the nearest is \"dark\"; write one of \"dark\", \"light\", \"both\", \"solarized-dark\", \"solarized-light\", \"solarized\"",
        ),
        ("background = { c16 = \"dark\" }", "mine.toml:1:14 background → needs c16, c256 and rgb; or write one word for all"),
        (
            "depth = \"256 colours\"",
            "mine.toml:1:9 depth → \"256 colours\" is unknown; write one of \"mono\", \"16\", \"256\", \"truecolor\"",
        ),
        ("contrast = 99", "mine.toml:1:12 contrast → is a number; write a ratio from 1 to 21, like 4.5"),
        (
            "[glyphs]\nheld = \"●\"",
            "mine.toml:2:8 glyphs.held → is ● (U+25CF), which takes two columns on terminals for East Asia (ambiguous width); write one that takes one everywhere, like ◦ ▸ ✓ ✗ ⊘ or a letter",
        ),
        (
            "[state]\nheld = { glyph = \"漢\" }",
            "mine.toml:2:18 state.held.glyph → is 漢 (U+6F22), which takes 2 columns; write one that takes one",
        ),
        (
            "[state]\nheld = { ascii = \"✓\" }",
            "mine.toml:2:18 state.held.ascii → is ✓, which is not ASCII; write a letter, a digit or a sign",
        ),
        ("[glyphs]\nheld = { glyph = \"ab\" }", "mine.toml:2:18 glyphs.held.glyph → has 2 characters; write one"),
        ("extends = \"lihgt\"", "mine.toml:1:11 extends → there is no theme \"lihgt\"; the nearest is light"),
        ("extends = \"mine\"", "mine.toml:1:11 extends → goes round in a circle: mine → mine; let one of them extend no other"),
        ("[ui\nheader = 1", "mine.toml:1:4 → is not valid TOML: unclosed table, expected `]`"),
        ("ui = 3", "mine.toml:1:1 ui → is a number; write a table"),
    ] {
        assert_eq!(sheet(text).unwrap_err(), [said], "{text}");
    }
}

#[test]
fn all_faults_are_said_at_once_in_the_order_of_the_file() {
    let said = sheet("[ui]\nheder = {}\nbar = { fg = \"grene\" }\n[badge]\nblinking = {}\n").unwrap_err();
    let places: Vec<&str> = said.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(places, ["mine.toml:2:1", "mine.toml:5:1"], "{said:?}");
    let said = sheet("[ui]\nbar = { fg = \"grene\" }\nkey = { fg = \"blu\", bg = \"sea\" }\n").unwrap_err();
    assert_eq!(said.len(), 3, "{said:?}");
    let library = Library::with(vec![own("mine", "about = 1\n")]);
    let brief = library.sheet("mine").unwrap_err().brief();
    assert!(brief.starts_with("mine.toml:1:9 about → is a number; write a text") && !brief.contains('\n'), "{brief}");
}

#[test]
fn themes_that_lead_to_each_other_are_named_on_their_way() {
    let library = Library::with(vec![own("a", "extends = \"b\""), own("b", "extends = \"c\""), own("c", "extends = \"b\"")]);
    let said = library.sheet("a").unwrap_err().to_string();
    assert_eq!(said, "c.toml:1:11 extends → goes round in a circle: b → c → b; let one of them extend no other");
    // A fault of the one below is a fault of both, and named where it is.
    let library = Library::with(vec![own("a", "extends = \"b\""), own("b", "[ui]\nbar = 1")]);
    assert_eq!(library.sheet("a").unwrap_err().to_string(), "b.toml:2:1 ui.bar → is a number; write a table");
}

#[test]
fn a_name_of_the_program_is_never_another_theme() {
    let library = Library::with(vec![own("light", "[ui]\nbar = { fg = 1 }"), own("../x", "")]);
    assert_eq!(library.sheet("light").unwrap().about, Library::shipped().sheet("light").unwrap().about);
    let said = library.sheet_of(library.files().last().unwrap()).unwrap_err().to_string();
    assert!(said.contains("is no name"), "{said}");
    let shadow = library.files().iter().find(|file| file.own).unwrap();
    let said = library.sheet_of(shadow).unwrap_err().to_string();
    assert_eq!(said, "light.toml: light is the name of a theme that comes with rollout; rename the file");
}

/// Nothing that a file says reaches the terminal as it is.
#[test]
fn a_hostile_file_commands_no_terminal() {
    for text in [
        "[ui]\n\"\\u001b[2J\" = 1",
        "extends = \"\\u001b]0;x\\u0007\"",
        "[state.held]\nglyph = \"\\u202e\"",
        "[ui.bar]\nfg = \"\\u009b31m\"",
        "about = \"\\u001b[31mred\"\nx = 1",
        "\u{1b}[2J = 1",
    ] {
        let said = sheet(text).unwrap_err().join("\n");
        assert!(said.chars().all(|c| !c.is_control() || c == '\n') && !said.contains('\u{202e}'), "{said:?}");
    }
    let about = sheet("about = \"\\u001b[31mred\"").unwrap().about;
    assert!(!about.contains('\u{1b}'), "{about:?}");
}

#[test]
fn the_check_finds_what_cannot_be_read_or_told_apart() {
    let found = |text: &str| -> Vec<Finding> { check_theme(&sheet(text).unwrap()).findings };
    let said = |text: &str| found(text).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(said("extends = \"light\""), "");
    let faint = said("extends = \"light\"\n[ui]\nmessage = { fg = { c256 = 226 } }");
    assert!(faint.contains("ui.message has a contrast of 1.07:1 on white with 256 colours; 4.5:1 is the least"), "{faint}");
    // The same colour on the other background is as it should be.
    assert_eq!(said("extends = \"dark\"\n[ui]\nmessage = { fg = { c256 = 226, c16 = \"default\" } }"), "");
    let dim = said("extends = \"solarized\"\n[ui]\nquiet = { fg = \"default\", attr = [\"dim\"] }");
    assert!(dim.contains("ui.quiet") && dim.contains("base03") && dim.contains("base3 with 16"), "{dim}");
    let unpainted = said("extends = \"light\"\n[ui]\nmessage = { fg = \"default\", bg = \"white\" }");
    assert!(unpainted.contains("ui.message paints what is behind it"), "{unpainted}");
    let alike = said(
        "extends = \"light\"\n[glyphs]\nrolled_back = { glyph = \"✓\", ascii = \"+\" }\n[state]\nrolled_back = { attr = [] }",
    );
    assert!(alike.contains("healthy and rolled_back have the same glyph and attributes; without"), "{alike}");
    assert!(alike.contains("in ASCII"), "{alike}");
    let confused = said(
        "extends = \"dark\"\nsafe_for = [\"deuteranopia\"]\n[palette]\ngreen = { c16 = \"default\", c256 = 70, rgb = \"#6F9F20\" }\norange = { c16 = \"default\", c256 = 136, rgb = \"#B08500\" }\n",
    );
    assert!(confused.contains("draining and healthy look alike with deuteranopia (truecolor"), "{confused}");
    let same = said("extends = \"light\"\n[ui]\nkey_off = { attr = [\"bold\"] }");
    assert!(same.contains("ui.key and ui.key_off have the same attributes"), "{same}");
    let strict = said("extends = \"light\"\ncontrast = 12");
    assert!(strict.contains("12:1 is the least"), "{strict}");
}

/// Each line of the screen, with the codes of its styles in braces: what the encoder would write.
fn colours(app: &App, depth: Depth) -> String {
    let mut terminal = Terminal::new(TestBackend::new(app.size.0, app.size.1)).unwrap();
    terminal.draw(|frame| view(app, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let code =
        |style: Style| painted("", style, depth).split_once('m').map_or_else(String::new, |(code, _)| code.replace("\x1b[", ""));
    let row = |y: u16| {
        let (mut line, mut pen) = (String::new(), String::new());
        for x in 0..buffer.area.width {
            let cell = &buffer[(x, y)];
            let next = code(cell.style());
            if next != pen {
                line = format!("{line}{{{next}}}");
                pen = next;
            }
            line.push_str(cell.symbol());
        }
        line.trim_end().to_owned()
    };
    (0..buffer.area.height).map(row).collect::<Vec<_>>().join("\n")
}

fn at(depth: Depth) -> Fixed {
    Fixed { stripe: Some("red".to_owned()), ..fixed(depth, false) }
}

/// One held, some failed, the rest waiting.
fn stopped() -> World {
    let mut plan = plan(12);
    plan.policy.rollback.on_failure = OnFailure::Pause;
    let mut world = World::planned(plan);
    world.command(Command::Hold { instance: InstanceId::new("web-12").unwrap(), reason: String::new() });
    world.bad().started().until(|s| s.pause.is_some() && s.active.is_empty())
}

fn running() -> World {
    World::new(12).started().until(|s| s.batches == 3 && s.instances.values().any(|i| matches!(i.phase, Phase::Verifying { .. })))
}

#[test]
fn the_colours_of_the_fleet_at_each_depth() {
    for depth in DEPTHS {
        let name = depth.word();
        insta::assert_snapshot!(format!("stopped_{name}"), colours(&console(&stopped(), (80, 24), at(depth)), depth));
        insta::assert_snapshot!(format!("running_{name}"), colours(&console(&running(), (80, 24), at(depth)), depth));
    }
    // Without colours the stripe has brackets, and no code of a colour is left.
    let mono = colours(&console(&stopped(), (80, 24), at(Depth::Mono)), Depth::Mono);
    assert!(mono.contains("{1;7}[prod]{}"), "{mono}");
    let codes = mono.split('{').skip(1).filter_map(|rest| rest.split('}').next()).flat_map(|codes| codes.split(';'));
    assert!(codes.clone().all(|code| matches!(code, "" | "1" | "2" | "4" | "7")), "{:?}", codes.collect::<Vec<_>>());
}

fn opened(own_themes: Vec<ThemeFile>) -> App {
    let mut app = console(&running(), (80, 24), fixed(Depth::Indexed, false));
    assert!(matches!(press(&mut app, Key::Char('T')).as_slice(), [Cmd::Themes]), "the user's own are looked for");
    update(&mut app, Msg::Themes(own_themes));
    app
}

fn name(app: &App) -> &str {
    app.fixed.theme.name()
}

#[test]
fn the_list_of_themes_tries_what_it_points_to_and_esc_goes_back() {
    let mut app = opened(vec![own("mine", "extends = \"dark\"")]);
    assert_eq!(name(&app), "default");
    press(&mut app, Key::Down);
    assert_eq!(name(&app), "dark");
    press(&mut app, Key::Char('j'));
    assert_eq!(name(&app), "light");
    let light = Theme::named("light", Depth::Indexed, false).unwrap();
    assert_eq!(app.fixed.theme, light, "at the depth of the terminal");
    press(&mut app, Key::End);
    assert_eq!(name(&app), "mine");
    press(&mut app, Key::Down);
    assert_eq!(name(&app), "mine", "the last is the last");
    press(&mut app, Key::Esc);
    assert_eq!((name(&app), app.overlay.is_none()), ("default", true));
    assert!(app.message.is_none());
    // No colour was lost on the way over one that has none.
    assert_eq!(app.fixed.theme, Theme::named("default", Depth::Indexed, false).unwrap());
    press(&mut app, Key::Char('T'));
    press(&mut app, Key::PageDown);
    press(&mut app, Key::Home);
    assert_eq!(app.fixed.theme, Theme::named("default", Depth::Indexed, false).unwrap());
}

#[test]
fn enter_keeps_a_theme_for_the_session_and_says_the_line_that_keeps_it_for_good() {
    let mut app = opened(Vec::new());
    press(&mut app, Key::Char('G'));
    assert!(press(&mut app, Key::Enter).is_empty());
    assert_eq!((name(&app), app.overlay.is_none()), ("solarized-light", true));
    let said = app.message.clone().unwrap().0;
    assert!(said.contains("theme = \"solarized-light\" under [console] in rollout.toml"), "{said}");
    // From there on that is what Esc goes back to.
    press(&mut app, Key::Char('T'));
    press(&mut app, Key::Up);
    press(&mut app, Key::Char('q'));
    assert_eq!(name(&app), "solarized-light");
    // No key of the list reaches the deployment.
    press(&mut app, Key::Char('T'));
    for key in ['p', 'C', 'R', 'y', 's'] {
        assert!(press(&mut app, Key::Char(key)).is_empty(), "{key}");
    }
    assert!(matches!(app.overlay, Some(Overlay::Themes)));
}

#[test]
fn a_broken_theme_is_in_the_list_with_its_fault_and_is_not_put_on() {
    let mut app = opened(vec![own("mine", "[ui]\nheder = {}")]);
    press(&mut app, Key::Char('j'));
    press(&mut app, Key::End);
    assert_eq!(name(&app), "dark", "the last that could be put on");
    let screen = colours(&app, Depth::Mono);
    assert!(screen.contains("mine.toml:2:1") && screen.contains("yours"), "{screen}");
    press(&mut app, Key::Enter);
    assert!(matches!(app.overlay, Some(Overlay::Themes)), "it cannot be kept");
    assert!(app.message.clone().unwrap().0.contains("unknown key; the nearest known is header"));
    // Mended while the list is open: it is on at once, and the list still points to it.
    update(&mut app, Msg::Themes(vec![own("a-new-one", ""), own("mine", "extends = \"light\"")]));
    assert_eq!(name(&app), "mine");
    press(&mut app, Key::Enter);
    assert_eq!((name(&app), app.overlay.is_none()), ("mine", true));
}

#[test]
fn a_theme_of_ones_own_follows_its_file_and_stays_while_that_is_broken() {
    let mut app = opened(vec![own("mine", "extends = \"dark\"")]);
    press(&mut app, Key::End);
    press(&mut app, Key::Enter);
    let before = app.fixed.theme.clone();
    app.message = None;
    update(&mut app, Msg::Themes(vec![own("mine", "extends = \"dark\"")]));
    assert_eq!((&app.fixed.theme, app.message.is_some()), (&before, false), "nothing changed, nothing is said");
    update(&mut app, Msg::Themes(vec![own("mine", "extends = \"drak\"")]));
    assert_eq!(app.fixed.theme, before);
    assert!(app.message.clone().unwrap().0.contains("the nearest is dark"));
    update(&mut app, Msg::Themes(vec![own("mine", "extends = \"light\"")]));
    assert_ne!(app.fixed.theme, before);
    assert_eq!(app.message.clone().unwrap().0, "theme mine: its file was read again");
    let changed = app.fixed.theme.clone();
    update(&mut app, Msg::Themes(Vec::new()));
    assert_eq!(app.fixed.theme, changed, "a file that is gone takes nothing away");
    assert!(app.message.clone().unwrap().0.contains("there is no theme \"mine\""));
}

/// The list at any size: it does not panic, and the screen behind it is still there.
#[test]
fn the_list_fits_every_size() {
    let mut app = opened((0..30).map(|n| own(&format!("mine-{n}"), "extends = \"dark\"")).collect());
    for (width, height) in [(0, 0), (1, 1), (20, 5), (39, 9), (40, 10), (60, 16), (80, 24), (160, 48), (300, 80)] {
        update(&mut app, Msg::Resize(width, height));
        for key in [Key::Home, Key::Down, Key::PageDown, Key::End] {
            press(&mut app, key);
            if width == 0 {
                continue;
            }
            let screen = colours(&app, Depth::Mono);
            if width >= 40 && height >= 10 {
                let pointed = format!("> {}", name(&app));
                assert!(screen.contains(&pointed), "{width}x{height}: {pointed}\n{screen}");
                assert!(screen.contains("Esc"), "{width}x{height}\n{screen}");
            }
        }
    }
    insta::assert_snapshot!("list", {
        let mut app = opened(vec![own("mine", "extends = \"dark\"\nabout = \"as I like it\"")]);
        press(&mut app, Key::End);
        colours(&app, Depth::Indexed)
    });
}
