//! The keys and what they ask for, as they are by default, in which words. `keymap` has them as they are bound; help, the key
//! line and the table of the README are made from it.
//!
//! Imports: tui::tab. May not: act.

use std::fmt;

use super::tab::Tab;

/// A key, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those on the keyboard")]
pub enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    Delete,
    F(u8),
}

impl fmt::Display for Key {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Char(' ') => f.write_str("Space"),
            Self::Char(c) => write!(f, "{c}"),
            Self::Ctrl(c) => write!(f, "Ctrl-{}", c.to_ascii_uppercase()),
            Self::F(n) => write!(f, "F{n}"),
            Self::BackTab => f.write_str("Shift-Tab"),
            Self::PageUp => f.write_str("PgUp"),
            Self::PageDown => f.write_str("PgDn"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// What a key asks for. Every act names one end state; none toggles the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Begin the planned deployment.
    Start,
    /// Take no new instance.
    Pause,
    /// Take instances again.
    Resume,
    /// Bring it to rest and end.
    Cancel,
    /// Bring everything touched back.
    Rollback,
    /// Let the next batch begin.
    Promote,
    /// Let it begin, and all that follow.
    PromoteAll,
    /// Try the selected instance again.
    Retry,
    /// Leave the selected instance as it is.
    Skip,
    /// Do not take the selected instance.
    Hold,
    /// End its hold.
    Release,
    /// Bring the selected failed instance back alone.
    BackAlone,
    /// Leave the console.
    Quit,
    /// Show the keys.
    Help,
    /// Out of whatever is open.
    Back,
    /// The selected instance on the whole screen, or go on to what comes next.
    Enter,
    /// The selected instance on the whole screen.
    Inspect,
    /// One up.
    Up,
    /// One down.
    Down,
    /// One column to the left.
    Left,
    /// One column to the right.
    Right,
    /// The first instance.
    First,
    /// The last instance.
    Last,
    /// A page back.
    PageUp,
    /// A page on.
    PageDown,
    /// The instance before, in the view of one.
    Previous,
    /// The instance after, in the view of one.
    Next,
    /// Another screen.
    Open(Tab),
    /// Type a filter.
    Filter,
    /// The next instance that needs a person.
    NextFailure,
    /// The one before.
    PreviousFailure,
    /// The next order.
    Sort,
    /// The same order, as things stand now.
    SortAgain,
    /// The selection goes where work is.
    Follow,
    /// More of each instance.
    Finer,
    /// Less of each instance.
    Coarser,
    /// As much of each instance as there is room for.
    Fitting,
    /// Another grouping of the timeline.
    Group,
    /// Events, log, or both.
    Pane,
    /// Ask for a version, where nothing runs.
    Deploy,
    /// Play the replay, or halt it.
    Play,
    /// Play faster.
    Faster,
    /// Play slower.
    Slower,
    /// The turn before, in a replay.
    PreviousMark,
    /// The next turn, in a replay.
    NextMark,
    /// Try the themes.
    Themes,
    /// Paint everything again.
    Repaint,
    /// Suspend the console only.
    Suspend,
    /// What is selected goes to the terminal's clipboard.
    Copy,
    /// The screen and the deployment are written to files.
    Export,
    /// The mouse on or off.
    Mouse,
    /// Type a command.
    Command,
    /// The log lines that name the selected instance, or all again.
    OnlyThis,
    /// Long log lines on several rows, or cut.
    Wrap,
}

impl Action {
    /// True if the engine is asked for something.
    pub fn acts(self) -> bool {
        matches!(self, Self::Start | Self::Pause | Self::Resume | Self::Cancel | Self::Rollback)
            || matches!(self, Self::Promote | Self::PromoteAll)
            || self.acts_on_one()
    }

    /// True if it is asked for something on the selected instance.
    pub fn acts_on_one(self) -> bool {
        matches!(self, Self::Retry | Self::Skip | Self::Hold | Self::Release | Self::BackAlone)
    }

    /// Its name in `[console.keys]` and on the command line of the console.
    pub fn name(self) -> String {
        if let Self::Open(tab) = self {
            return tab.words().0.to_lowercase();
        }
        let mut name = String::new();
        for c in format!("{self:?}").chars() {
            if c.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    /// Under which heading help has it.
    pub fn group(self) -> Group {
        match self {
            Self::Open(_) => Group::Screens,
            one if one.acts_on_one() => Group::One,
            all if all.acts() => Group::Deployment,
            Self::Up | Self::Down | Self::Left | Self::Right | Self::PageUp | Self::PageDown | Self::First | Self::Last => {
                Group::Move
            }
            Self::Previous
            | Self::Next
            | Self::NextFailure
            | Self::PreviousFailure
            | Self::Enter
            | Self::Inspect
            | Self::Back => Group::Move,
            _ => Group::View,
        }
    }
}

/// A heading of help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Acts on the deployment.
    Deployment,
    /// Acts on one instance.
    One,
    /// From one instance to another.
    Move,
    /// What is shown, and how.
    View,
    /// The screens.
    Screens,
}

impl Group {
    /// All of them, in the order of help.
    pub const ALL: [Self; 5] = [Self::Deployment, Self::One, Self::Move, Self::View, Self::Screens];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Deployment => "the deployment",
            Self::One => "the selected instance",
            Self::Move => "move and look",
            Self::View => "view",
            Self::Screens => "screens",
        }
    }
}

/// One row of the keymap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [Key],
    /// How they are shown.
    pub shown: &'static str,
    /// What they ask for.
    pub action: Action,
    /// In one or two words, for the key line; empty if it is not in there.
    pub label: &'static str,
    /// In a sentence, for help.
    pub words: &'static str,
}

macro_rules! keymap {
    ($($shown:literal [$($key:expr),+] $action:ident $(($tab:ident))? $label:literal $words:literal)*) => {
        /// Every key of the console.
        pub const KEYMAP: &[Binding] = &[$(Binding {
            keys: &[$($key),+], shown: $shown, action: Action::$action $((Tab::$tab))?, label: $label, words: $words,
        }),*];
    };
}

keymap! {
    "s"   [Key::Char('s')] Start "start" "start what is planned (asks)"
    "p"   [Key::Char('p')] Pause "pause" "pause: take no new instance"
    "r"   [Key::Char('r')] Resume "resume" "resume (asks)"
    "C"   [Key::Char('C')] Cancel "cancel" "cancel: come to rest (asks)"
    "R"   [Key::Char('R')] Rollback "rollback" "roll back all touched (asks)"
    "a"   [Key::Char('a')] Promote "approve" "approve the next batch, promote the step (asks)"
    "A"   [Key::Char('A')] PromoteAll "" "approve all batches, promote all steps (asks)"
    "t"   [Key::Char('t')] Retry "retry" "retry the selected one (asks)"
    "s"   [Key::Char('s')] Skip "skip" "once begun: skip it (asks)"
    "H"   [Key::Char('H')] Hold "hold" "hold the selected one (asks)"
    "U"   [Key::Char('U')] Release "release" "release the held one (asks)"
    "B"   [Key::Char('B')] BackAlone "" "take a failed one back (asks)"
    "/"   [Key::Char('/')] Filter "filter" "filter the instances"
    "Enter" [Key::Enter] Enter "look" "look at one; go on at the end"
    "n"   [Key::Char('n')] NextFailure "next failure" "next failed or held one"
    "o"   [Key::Char('o')] Sort "sort" "sort: plan state latency name"
    "f"   [Key::Char('f')] Follow "follow" "follow the work"
    "Tab l" [Key::Tab, Key::BackTab, Key::Char('l')] Pane "log" "events, log, or both"
    "1"   [Key::Char('1')] Open(Fleet) "" "fleet: every instance"
    "2"   [Key::Char('2')] Open(Instance) "" "instance: the selected one"
    "3"   [Key::Char('3')] Open(Timeline) "" "timeline: where the time went"
    "4"   [Key::Char('4')] Open(Logs) "" "logs of the engine"
    "5"   [Key::Char('5')] Open(Plan) "" "plan: batches, what is next"
    "6"   [Key::Char('6')] Open(History) "" "history: earlier deployments"
    "?"   [Key::Char('?')] Help "help" "this page"
    "q"   [Key::Char('q'), Key::Ctrl('c')] Quit "quit" "leave; the engine goes on"
    "Esc" [Key::Esc] Back "" "back; clears the filter"
    "↑ k" [Key::Up, Key::Char('k')] Up "" "instance before"
    "↓ j" [Key::Down, Key::Char('j')] Down "" "instance after"
    "← h" [Key::Left, Key::Char('h')] Left "" "a column back"
    "→"   [Key::Right] Right "" "a column on"
    "PgUp" [Key::PageUp] PageUp "" "a page back"
    "PgDn" [Key::PageDown] PageDown "" "a page on"
    "g Home" [Key::Char('g'), Key::Home] First "" "first instance"
    "G End" [Key::Char('G'), Key::End] Last "" "last instance"
    "["   [Key::Char('[')] Previous "" "instance before, also inside"
    "]"   [Key::Char(']')] Next "" "instance after, also inside"
    "N"   [Key::Char('N')] PreviousFailure "" "failed or held one before"
    "O"   [Key::Char('O')] SortAgain "" "sort again, as things stand"
    "i"   [Key::Char('i')] Inspect "" "look at the selected instance"
    "+"   [Key::Char('+')] Finer "scale" "more of each instance"
    "-"   [Key::Char('-')] Coarser "" "less of each instance"
    "="   [Key::Char('=')] Fitting "" "as much as there is room for"
    "y"   [Key::Char('y')] Copy "" "copy the selected one's name"
    "e"   [Key::Char('e')] Export "" "write screen and summary to files"
    "m"   [Key::Char('m')] Mouse "" "mouse on or off"
    "d"   [Key::Char('d')] Deploy "deploy" "where nothing runs: deploy"
    "Space" [Key::Char(' ')] Play "play" "in a replay: play, halt"
    "{"   [Key::Char('{')] PreviousMark "" "in a replay: mark before"
    "}"   [Key::Char('}')] NextMark "next mark" "in a replay: next mark"
    "<"   [Key::Char('<')] Slower "" "in a replay: slower"
    ">"   [Key::Char('>')] Faster "" "in a replay: faster"
    "b"   [Key::Char('b')] Group "group" "timeline: by batch, zone, none"
    "T"   [Key::Char('T')] Themes "" "themes: try them, live"
    "Ctrl-L" [Key::Ctrl('l')] Repaint "" "paint everything again"
    "Ctrl-Z" [Key::Ctrl('z')] Suspend "" "suspend the console only"
    ":"   [Key::Char(':')] Command "" "type a command; Tab completes"
    "x"   [Key::Char('x')] OnlyThis "" "log lines of the selected one"
    "w"   [Key::Char('w')] Wrap "" "logs: wrap long lines, or cut"
}
