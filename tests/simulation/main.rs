//! The whole server in a world of its own: simulated clock, disk and network, everything drawn from a seed. See README.md
//! beside this file.

// A test that cannot go on fails; clippy takes what is here for production code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs
)]

mod checks;
mod dice;
mod draw;
mod hear;
mod known;
mod models;
mod play;
mod requests;
mod run;
mod shrink;
mod steps;
mod tokens;
mod trace;
mod verdict;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use draw::Plan;
use verdict::Broken;

const USAGE: &str = "usage: tests/simulate [--seeds N] [--from S] [--all]
       tests/simulate --seed S [--trace]

  --seeds N   how many seeds to play (10000)
  --from S    the first of them (1)
  --all       go on after a failure, and count them by check
  --seed S    play this one alone, and shrink it if it fails
  --trace     print what happens in it: the same bytes each time";

/// Every so many seeds, one is played twice: it must go the same way.
const TWICE: u64 = 500;

#[derive(Debug, Default)]
struct Options {
    seeds: Option<u64>,
    from: Option<u64>,
    seed: Option<u64>,
    trace: bool,
    all: bool,
}

fn main() -> ExitCode {
    let Some(options) = read_options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    run::keep_panics();
    if let Err(broken) = known::check_the_checks() {
        eprintln!("the checks themselves: {}: {}", broken.check, broken.detail);
        return ExitCode::FAILURE;
    }
    match options.seed {
        Some(seed) if options.trace => trace(seed),
        Some(seed) => play_all(seed, 1, false),
        None => play_all(
            options.from.unwrap_or(1),
            options.seeds.unwrap_or(10_000),
            options.all,
        ),
    }
}

fn read_options() -> Option<Options> {
    let mut options = Options::default();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next()?.parse().ok();
        match &*arg {
            "--seeds" => options.seeds = Some(number()?),
            "--from" => options.from = Some(number()?),
            "--seed" => options.seed = Some(number()?),
            "--trace" => options.trace = true,
            "--all" => options.all = true,
            _ => return None,
        }
    }
    Some(options)
}

fn trace(seed: u64) -> ExitCode {
    let plan = Plan::draw(seed);
    let outcome = run::play(seed, &plan.steps, true);
    print!("{}", outcome.trace);
    match outcome.broken {
        Some(broken) => {
            println!("broken: {}: {}", broken.check, broken.detail);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn play_all(from: u64, seeds: u64, all: bool) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let is_over = AtomicBool::new(false);
    let failures: Mutex<BTreeMap<u64, Broken>> = Mutex::default();
    let steps = AtomicU64::new(0);
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..workers.min(usize::try_from(seeds).unwrap_or(1)) {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let plan = Plan::draw(seed);
                    steps.fetch_add(plan.steps.len() as u64, Ordering::Relaxed);
                    if let Some(broken) = play_one(&plan) {
                        failures.lock().unwrap().insert(seed, broken);
                        is_over.store(!all, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let played = next.load(Ordering::Relaxed).min(from + seeds) - from;
    let steps = steps.load(Ordering::Relaxed);
    println!(
        "{played} seeds, {steps} steps in {seconds:.1} s, {} failed",
        failures.len()
    );
    let mut checks: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    for (seed, broken) in &failures {
        checks.entry(broken.check).or_insert((0, *seed)).0 += 1;
    }
    if all {
        for (check, (times, first)) in &checks {
            println!("{times:6}  {check}: first by seed {first}");
        }
    }
    let Some((seed, broken)) = failures.first_key_value() else {
        return ExitCode::SUCCESS;
    };
    tell(*seed, broken);
    ExitCode::FAILURE
}

fn play_one(plan: &Plan) -> Option<Broken> {
    if !plan.seed.is_multiple_of(TWICE) {
        return run::play(plan.seed, &plan.steps, false).broken;
    }
    let first = run::play(plan.seed, &plan.steps, true);
    let second = run::play(plan.seed, &plan.steps, true);
    if first.trace != second.trace {
        let lines = first.trace.lines().zip(second.trace.lines());
        let differs = lines.into_iter().find(|(a, b)| a != b);
        return Some(Broken {
            check: "the same seed goes the same way",
            detail: format!("{differs:?}"),
        });
    }
    first.broken
}

fn tell(seed: u64, broken: &Broken) {
    println!(
        "\nseed {seed} is broken: {}\n  {}",
        broken.check, broken.detail
    );
    let steps = shrink::shrink(seed, &Plan::draw(seed).steps, broken.check);
    let shrunk = run::play(seed, &steps, true);
    println!(
        "\nas few steps as were found to break it:\n{}",
        shrunk.trace
    );
    if let Some(broken) = shrunk.broken {
        println!("{}: {}", broken.check, broken.detail);
    }
    println!("\nthe whole of it: tests/simulate --seed {seed} --trace");
}
