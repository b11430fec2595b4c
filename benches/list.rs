//! A list of a million names: how long it takes to load, what it occupies, how long a look-up takes.
//! The names are made from a seed. `cargo bench --bench list`
//!
//! Nanoseconds for a look-up. Aimed at: 500 in a list that is in no cache of the processor's; loaded within a second, in 40 MB.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use egret::addr::Host;
use egret::fault::{Faults, Source};
use egret::policy::list::{List, read_lists};
use egret::settings::Table;
use tokio::time::Instant;

fn main() {
    let names = names(1_000_000);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    write(&folder.path().join("list.txt"), &names, ("", "\n"));
    let policy = folder.path().join("policy.toml");
    let source = Source::new(&policy, "[list.bench]\nfile = \"list.txt\"\n");
    let (before, started) = (resident("VmRSS:"), Instant::now());
    let list = load(&source);
    let took = started.elapsed();
    // The allocator gives freed pages back a little later, when it is next used.
    std::thread::park_timeout(Duration::from_millis(500));
    drop(black_box(vec![0_u8; 20 << 20]));
    let (after, peak) = (resident("VmRSS:"), resident("VmHWM:"));
    let entries = list.report().entries();
    eprintln!("{}", list.report());
    eprintln!("loaded {entries} entries in {took:?}");
    eprintln!(
        "bytes an entry: {:.1} by the list's own account, {:.1} resident, {:.1} at the peak",
        list.heap_bytes() as f64 / entries as f64,
        after.saturating_sub(before) as f64 / entries as f64,
        peak.saturating_sub(before) as f64 / entries as f64,
    );

    // Every rule covers what is below it, so that all parents of a name must be looked at.
    write(&folder.path().join("rules.txt"), &names, ("||", "^\n"));
    let adblock = Source::new(&policy, "[list.bench]\nfile = \"rules.txt\"\n");
    let mut shuffled = names;
    shuffle(&mut shuffled);
    let hits: Vec<Host> = shuffled.iter().map(|name| host(name)).collect();
    let misses: Vec<Host> = shuffled
        .iter()
        .map(|name| host(&format!("www.x{name}")))
        .collect();
    drop(shuffled);
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    for (form, list) in [("names", &list), ("adblock", &load(&adblock))] {
        for (what, hosts) in [("hit", &hits), ("miss", &misses)] {
            let mut chunks = hosts.chunks(CHUNK).cycle();
            criterion.bench_function(&format!("{form} {what}"), |bencher| {
                bencher.iter_custom(|rounds| look_up(list, &mut chunks, rounds));
            });
        }
    }
    let mut slow = criterion.benchmark_group("load");
    slow.sample_size(10)
        .bench_function("names", |bencher| bencher.iter(|| load(&source)))
        .bench_function("adblock", |bencher| bencher.iter(|| load(&adblock)));
    slow.finish();
    criterion.final_summary();
}

/// The time of so many look-ups. The names are read just before, as that of a request was; the list has been out of the cache for long.
fn look_up<'a>(
    list: &List,
    chunks: &mut impl Iterator<Item = &'a [Host]>,
    rounds: u64,
) -> Duration {
    let mut total = Duration::ZERO;
    let mut left = usize::try_from(rounds).expect("it fits");
    while left > 0 {
        let chunk = chunks.next().expect("a cycle has no end");
        let (chunk, _) = chunk.split_at(left.min(chunk.len()));
        let read = |host: &Host| host.name().map(|name| name.bytes().max());
        black_box(chunk.iter().map(read).max());
        let started = Instant::now();
        for host in chunk {
            black_box(list.has_host(black_box(host)));
        }
        total += started.elapsed();
        left -= chunk.len();
    }
    total
}

/// Names that fit the innermost cache together.
const CHUNK: usize = 128;

/// Line by line: what is freed before the list is loaded would make it look smaller than it is.
fn write(path: &Path, names: &[String], (before, after): (&str, &str)) {
    let file = File::create(path).expect("the folder can be written");
    let mut file = BufWriter::new(file);
    for name in names {
        write!(file, "{before}{name}{after}").expect("the disk has room");
    }
    file.flush().expect("the disk has room");
}

fn load(source: &Arc<Source>) -> Arc<List> {
    let faults = Faults::new();
    let table = Table::parse(source, &faults);
    let mut lists = read_lists(table.take_value("list"), &faults);
    assert!(faults.is_empty(), "{:?}", faults.into_vec());
    lists.remove("bench").expect("the policy names it")
}

/// Distinct names of two to four labels, 12 to 34 bytes long.
fn names(count: usize) -> Vec<String> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let name = |n| {
        let mut name = String::new();
        for _ in 0..random.below(3) {
            let length = 2 + random.below(6);
            (0..length).for_each(|_| name.push(random.letter()));
            name.push('.');
        }
        let length = 3 + random.below(8);
        (0..length).for_each(|_| name.push(random.letter()));
        let ending = ["com", "net", "org", "io", "example", "co.uk"];
        // The number makes it distinct.
        let ending = ending.get(random.below(ending.len()));
        name += &format!("{n:x}.{}", ending.expect("it is below their number"));
        name
    };
    (0..count).map(name).collect()
}

fn host(name: &str) -> Host {
    Host::parse(name).expect("generated names are hosts")
}

fn shuffle(names: &mut [String]) {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for n in (1..names.len()).rev() {
        names.swap(n, random.below(n + 1));
    }
}

/// Bytes of this process, as Linux counts them; 0 elsewhere.
fn resident(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or(0) << 10
}

/// Xorshift: the same names in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) as usize) % limit
    }

    fn letter(&mut self) -> char {
        char::from(b'a' + self.below(26) as u8)
    }
}
