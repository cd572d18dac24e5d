//! Canaries: values that nobody may ever see, found again in any spelling, and in the processes of this machine.
//!
//! Imports: nothing of the crate. May not: know where they are planted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// So many bytes of a spelling in a row give it away. Fewer stand in every second word.
const WINDOW: usize = 10;
/// Between two looks at all processes.
const LOOK: Duration = Duration::from_millis(10);

/// A variable, and how its value is written around a word that no other text has.
pub(crate) type Planted = (&'static str, fn(&str) -> String);

/// Values by the name of their variable.
#[derive(Clone, Default)]
pub(crate) struct Canaries {
    values: BTreeMap<String, String>,
    windows: Arc<HashMap<Vec<u8>, String>>,
}

impl Canaries {
    /// A value of its own for each variable.
    pub(crate) fn new(planted: &[Planted]) -> Self {
        let (mut values, mut windows) = (BTreeMap::new(), HashMap::new());
        for (name, form) in planted {
            let word: String = [uuid::Uuid::now_v7(), uuid::Uuid::now_v7()].map(letters).concat();
            let value = form(&word);
            for window in spellings(&word, &value).iter().flat_map(|spelled| spelled.windows(WINDOW)) {
                windows.insert(window.to_vec(), (*name).to_owned());
            }
            values.insert((*name).to_owned(), value);
        }
        Self { values, windows: Arc::new(windows) }
    }

    /// The environment that has them.
    pub(crate) fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names of those that are in `bytes`, with what stands around the place.
    pub(crate) fn in_bytes(&self, bytes: &[u8]) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (at, window) in bytes.windows(WINDOW).enumerate() {
            if let Some(name) = self.windows.get(window) {
                let around = bytes.get(at.saturating_sub(60)..(at + 60).min(bytes.len())).unwrap_or_default();
                found.entry(name.clone()).or_insert_with(|| String::from_utf8_lossy(around).into_owned());
            }
        }
        found
    }

    /// # Panics
    /// If one of them is in there.
    pub(crate) fn are_not_in(&self, sink: &str, bytes: &[u8]) {
        let found = self.in_bytes(bytes);
        assert!(found.is_empty(), "{sink}: {found:#?}");
    }

    /// In every file below `dir`; returns how many were read.
    pub(crate) fn are_not_below(&self, dir: &Path) -> usize {
        let mut files = Vec::new();
        list(dir, &mut files);
        for file in &files {
            // One that goes away while we look is looked at no more.
            let bytes = fs::read(file).unwrap_or_default();
            self.are_not_in(&file.display().to_string(), &bytes);
        }
        files.len()
    }
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => list(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Letters alone: they stand as they are in every spelling but those of whole bytes.
fn letters(id: uuid::Uuid) -> String {
    let spread = |byte: u8| [b'a' + (byte >> 4), b'G' + (byte & 15)];
    id.as_bytes().iter().skip(9).flat_map(|byte| spread(*byte)).map(char::from).collect()
}

/// The word itself, and the value as base64 (wherever in a longer text it begins), in hexadecimal, with every byte as `%xx`.
fn spellings(word: &str, value: &str) -> Vec<Vec<u8>> {
    let hex = |separator: &str| {
        let bytes = value.bytes().map(|byte| format!("{separator}{byte:02x}"));
        bytes.collect::<Vec<_>>().concat()
    };
    let mut all = vec![word.as_bytes().to_vec()];
    for text in [hex(""), hex("%"), hex("\\x")] {
        // The separator stays as it is.
        let upper: String = text.chars().map(|c| if c == 'x' { c } else { c.to_ascii_uppercase() }).collect();
        all.extend([upper.into_bytes(), text.into_bytes()]);
    }
    for before in 0..3 {
        let padded = [vec![0; before], value.as_bytes().to_vec()].concat();
        let encoded = base64(&padded);
        // What the neighbours have a part in is not of the value alone.
        let inner = encoded.get(4..encoded.len() - 4).unwrap_or_default().to_owned();
        all.push(inner.replace('+', "-").replace('/', "_").into_bytes());
        all.push(inner.into_bytes());
    }
    all
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        let sextets = [18, 12, 6, 0].map(|shift| char::from(LETTERS[usize::try_from(bits >> shift & 63).expect("small")]));
        text.extend(sextets.iter().take(three.len() + 1));
    }
    text
}

/// One look at one process: who it is, and which canaries it shows where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shown {
    /// Its command line, with spaces.
    pub(crate) command: String,
    /// `environ` or `cmdline`.
    pub(crate) place: &'static str,
    /// The variable `ROLE` of its environment.
    pub(crate) role: String,
    /// Which.
    pub(crate) canary: String,
}

/// Looks at all processes, again and again, until it is asked what it saw.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<BTreeSet<Shown>>>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    /// From now on; it looks into the files below `dir` too, which come and go.
    pub(crate) fn start(canaries: &Canaries, dir: PathBuf) -> Self {
        let (stop, seen) = (Arc::<AtomicBool>::default(), Arc::<Mutex<BTreeSet<Shown>>>::default());
        let (canaries, stopped, into) = (canaries.clone(), Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                look(&canaries, &into);
                canaries.are_not_below(&dir);
                std::thread::park_timeout(LOOK);
            }
        });
        Self { stop, seen, thread }
    }

    /// Everything that was seen.
    pub(crate) fn seen(self) -> BTreeSet<Shown> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("no file had one while it ran");
        self.seen.lock().expect("no panic").clone()
    }
}

fn look(canaries: &Canaries, into: &Mutex<BTreeSet<Shown>>) {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())) {
        let read = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let (command, environ) = (read("cmdline"), read("environ"));
        let role = environ.split(|byte| *byte == 0).find_map(|line| line.strip_prefix(b"ROLE="));
        let role = String::from_utf8_lossy(role.unwrap_or_default()).into_owned();
        for (place, bytes) in [("cmdline", &command), ("environ", &environ)] {
            for canary in canaries.in_bytes(bytes).into_keys() {
                let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
                into.lock().expect("no panic").insert(Shown { command, place, role: role.clone(), canary });
            }
        }
    }
}
