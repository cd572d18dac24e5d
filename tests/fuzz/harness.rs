//! A small deterministic fuzzer: the corpus as it is, then mutations of it, each by its own number.
//!
//! `ROLLOUT_FUZZ=50` makes it fifty times as long, and `ROLLOUT_FUZZ_SEED` begins elsewhere. A case that fails is made as small as it
//! goes on failing, and written to a file; once mended, that file belongs in the corpus.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest that one input may take; what takes this long does not end.
const HANGS: Duration = Duration::from_mins(1);
/// Attempts to make a failing input smaller.
const SHRINKS: u32 = 3000;
/// The longest input.
const LONGEST: usize = 200_000;

/// What is fuzzed.
pub(crate) struct Target<'a> {
    /// Also the corpus' directory.
    pub(crate) name: &'static str,
    /// Inputs in an ordinary run, besides the corpus.
    pub(crate) cases: u64,
    /// What means something to it.
    pub(crate) words: &'a [&'a str],
    /// More inputs to begin with.
    pub(crate) more: Vec<Vec<u8>>,
}

/// A sequence of numbers that is the same each time.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`, which is more than 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or_default()
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        let at = self.below(list.len());
        list.get(at)
    }
}

/// The corpus of a target, in the order of its names.
pub(crate) fn corpus(name: &str) -> Vec<Vec<u8>> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name))
}

/// The files of a directory.
pub(crate) fn files(dir: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
}

/// Runs the target; `check` says what is wrong with what came of an input.
#[expect(clippy::print_stdout, reason = "whoever runs the tests sees how much was tried")]
pub(crate) fn run(target: Target<'_>, mut check: impl FnMut(&[u8]) -> Result<(), String>) {
    let Target { name, cases, words, more } = target;
    let kept = corpus(name);
    assert!(!kept.is_empty(), "no corpus for {name}");
    let seeds: Vec<Vec<u8>> = kept.into_iter().chain(more).collect();
    let (first, cases) = (number("ROLLOUT_FUZZ_SEED").unwrap_or(1), cases * number("ROLLOUT_FUZZ").unwrap_or(1));
    let watch = Watch::over(name);
    let (begun, mut bytes) = (Instant::now(), 0);
    let inputs = seeds.iter().map(|seed| (0, seed.clone()));
    let mutated = (first..first + cases).map(|seed| (seed, mutated(&mut Random::new(seed), &seeds, words)));
    for (seed, input) in inputs.chain(mutated) {
        bytes += input.len();
        watch.begins(seed, &input);
        if let Err(why) = outcome(&mut check, &input) {
            fails(name, (seed, input), (&watch, why), &mut check);
        }
    }
    let count = u64::try_from(seeds.len()).unwrap_or_default() + cases;
    println!("fuzz {name}: {count} inputs, {} KiB, {:?}, seeds from {first}", bytes / 1024, begun.elapsed());
}

/// A panic is as wrong as a wrong answer.
fn outcome(check: &mut impl FnMut(&[u8]) -> Result<(), String>, input: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| check(input))).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("a panic: {}", said.unwrap_or_default()))
    })
}

/// Makes the input smaller, writes it down, and ends the test.
fn fails(
    name: &str,
    (seed, input): (u64, Vec<u8>),
    (watch, why): (&Watch, String),
    check: &mut impl FnMut(&[u8]) -> Result<(), String>,
) -> ! {
    let (mut smallest, mut why) = (input, why);
    let (mut tries, mut piece) = (SHRINKS, smallest.len().div_ceil(2));
    while piece > 0 && tries > 0 {
        let (mut at, mut shorter) = (0, false);
        while at < smallest.len() && tries > 0 {
            let mut without = smallest.clone();
            without.drain(at..(at + piece).min(smallest.len()));
            tries -= 1;
            watch.begins(seed, &without);
            match outcome(check, &without) {
                Err(again) => (smallest, why, shorter) = (without, again, true),
                Ok(()) => at += piece,
            }
        }
        piece = if piece == 1 && !shorter { 0 } else { piece.div_ceil(2).max(1) };
    }
    let file = written(name, seed, &smallest);
    panic!(
        "fuzz {name}: {why}\n  seed {seed}: ROLLOUT_FUZZ_SEED={seed} cargo test {name}\n  smallest input: {}\n  {}\n  once mended, keep it in \
         tests/fuzz/corpus/{name}/",
        file.display(),
        shown(&smallest)
    );
}

fn written(name: &str, seed: u64, input: &[u8]) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{seed}"));
    fs::write(&file, input).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    file
}

fn shown(input: &[u8]) -> String {
    let mut text = String::new();
    for byte in input.iter().take(300) {
        write!(text, "{}", byte.escape_ascii()).unwrap_or_default();
    }
    text
}

/// An input, with the number that it was made by and when it was begun.
type Now = Arc<Mutex<Option<(u64, Vec<u8>, Instant)>>>;

/// Ends the whole program if an input never ends: nothing else can.
struct Watch(Now);

impl Watch {
    #[expect(clippy::print_stderr, reason = "the last words of a program that hangs")]
    fn over(name: &'static str) -> Self {
        let now = Now::default();
        let weak = Arc::downgrade(&now);
        std::thread::spawn(move || {
            while let Some(now) = weak.upgrade() {
                let hung = now.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|(.., at)| at.elapsed() > HANGS);
                if let Some((seed, input, _)) = hung {
                    eprintln!("fuzz {name}: seed {seed} hangs: {}", written(name, seed, &input).display());
                    std::process::abort();
                }
                drop(now);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self(now)
    }

    fn begins(&self, seed: u64, input: &[u8]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((seed, input.to_vec(), Instant::now()));
    }
}

/// An input made of others.
pub(crate) fn mutated(random: &mut Random, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = random.of(seeds).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(random, &mut bytes, (seeds, words));
        bytes.truncate(LONGEST);
    }
    bytes
}

/// One change.
fn change(random: &mut Random, bytes: &mut Vec<u8>, (seeds, words): (&[Vec<u8>], &[&str])) {
    const ODD: [u8; 16] = *b"\0\n\r \t\"\\{}[]:=,\x7f\xff";
    let at = random.below(bytes.len() + 1);
    let (from, length) = (random.below(bytes.len() + 1), random.below(40) + 1);
    let to = (from + length).min(bytes.len());
    match random.below(12) {
        0 => {
            let bit = 1 << random.below(8);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
            }
        }
        1 => {
            let odd = random.of(&ODD).copied().unwrap_or_default();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = odd;
            }
        }
        2 => drop(bytes.drain(from..to)),
        3 => bytes.truncate(at),
        4 => {
            let piece = bytes.get(from..to).unwrap_or_default().to_vec();
            insert(bytes, at, &piece);
        }
        5 => {
            // Deep and long: what recursion and buffers are tried with.
            let piece = bytes.get(from..to.min(from + 4)).unwrap_or_default().repeat(random.below(5000));
            insert(bytes, at, &piece);
        }
        6..=8 => {
            let word = random.of(words).copied().unwrap_or_default().as_bytes().to_vec();
            insert(bytes, at, &word);
        }
        9 => {
            let noise: Vec<u8> = (0..length).map(|_| u8::try_from(random.below(256)).unwrap_or_default()).collect();
            insert(bytes, at, &noise);
        }
        10 => {
            let other = random.of(seeds).cloned().unwrap_or_default();
            let tail = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(other.get(tail..).unwrap_or_default());
        }
        _ => {
            // A line to another place.
            let lines: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let line = random.of(&lines).cloned().unwrap_or_default();
            let before = random.below(lines.len() + 1);
            let (head, tail) = lines.split_at(before.min(lines.len()));
            *bytes = [head.concat(), line, tail.concat()].concat();
        }
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}
