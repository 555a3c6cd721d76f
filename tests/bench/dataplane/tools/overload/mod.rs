//! Asks a server more than it can answer: how much it still answers, at what cost and how late, and whether it recovers.
//! `overload.sh` starts the servers.
//!
//! A round has four phases. First the best rate: always a thousand queries in flight, each sent after a response. Then two
//! and four times that rate, whatever comes back. Then the first phase again. The figures are medians over the rounds.

mod sender;

use std::fs;
use std::str::FromStr;
use std::time::Duration;

use super::Failure;
use crate::support::dns::{self, query};
use crate::support::figures::median;
use crate::support::process::Process;
use sender::{Pace, Sender};

/// Queries in flight at the best rate: enough to keep the server busy.
const IN_FLIGHT: usize = 1024;
/// The phases of a round and their rates as multiples of the best rate; None where responses set the pace.
const PHASES: [(&str, Option<f64>); 4] = [("best", None), ("2x", Some(2.0)), ("4x", Some(4.0)), ("again", None)];
/// The figures of a phase and their decimals.
const FIGURES: [(&str, usize); 9] = [
    ("offered/s", 0),
    ("answered/s", 0),
    ("of best", 2),
    ("CPU us/answer", 2),
    ("p50 ms", 2),
    ("p99 ms", 2),
    ("switches/s", 0),
    ("memory MiB", 1),
    ("drained ms", 2),
];

pub fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Failure> {
    let server = next(&mut arguments)?;
    let queries = fs::read_to_string(next::<String>(&mut arguments)?)?;
    let (rounds, seconds, train) = (next::<usize>(&mut arguments)?, next(&mut arguments)?, next(&mut arguments)?);
    let processes: Vec<_> = arguments.map(|pid| pid.parse().map(Process)).collect::<Result<_, _>>()?;
    let queries = queries.lines().map(packet).collect::<Result<_, _>>()?;
    let mut sender = Sender::new(server, queries, train)?;

    let time = Duration::from_secs_f64(seconds);
    sender.run(Pace::InFlight(IN_FLIGHT), time);
    let mut results = PHASES.map(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        let mut best = None;
        for ((_, factor), results) in PHASES.iter().zip(&mut results) {
            let pace = match (factor, best) {
                (Some(factor), Some(best)) => Pace::PerSecond(factor * best),
                _ => Pace::InFlight(IN_FLIGHT),
            };
            let before = Spent::by(&processes);
            let run = sender.run(pace, time);
            let after = Spent::by(&processes);
            let drained = sender.drain();
            let (seconds, answered) = (run.time.as_secs_f64(), run.answered as f64);
            let rate = answered / seconds;
            results.push([
                run.sent as f64 / seconds,
                rate,
                rate / *best.get_or_insert(rate),
                (after.cpu - before.cpu).as_secs_f64() * 1e6 / answered,
                run.latencies.millis(0.50),
                run.latencies.millis(0.99),
                (after.switches - before.switches) as f64 / seconds,
                processes.iter().map(|process| process.proportional()).sum(),
                drained.as_secs_f64() * 1e3,
            ]);
        }
    }
    report(&results);
    Ok(())
}

/// What all processes of a server have used so far.
struct Spent {
    cpu: Duration,
    switches: u64,
}

impl Spent {
    fn by(processes: &[Process]) -> Self {
        Self {
            cpu: processes.iter().map(|process| process.cpu()).sum(),
            switches: processes.iter().map(|process| process.context_switches()).sum(),
        }
    }
}

fn report(results: &[Vec<[f64; FIGURES.len()]>]) {
    print!("{:<6}", "phase");
    FIGURES.iter().for_each(|(name, _)| print!(" {name:>13}"));
    println!();
    for ((phase, _), rounds) in PHASES.iter().zip(results) {
        print!("{phase:<6}");
        for (i, (_, decimals)) in FIGURES.iter().enumerate() {
            print!(" {:>13.decimals$}", median(rounds.iter().map(|figures| figures[i]).collect()));
        }
        println!();
    }
}

fn next<T: FromStr<Err: Into<Failure>>>(arguments: &mut impl Iterator<Item = String>) -> Result<T, Failure> {
    arguments.next().ok_or("an argument is missing")?.parse().map_err(Into::into)
}

/// The packet for a line of a query file.
fn packet(line: &str) -> Result<Vec<u8>, Failure> {
    match line.split_once(' ').ok_or("a query is NAME TYPE")? {
        (name, "A") => Ok(query(name, dns::A)),
        (name, "AAAA") => Ok(query(name, dns::AAAA)),
        (_, other) => Err(format!("no query for {other} here").into()),
    }
}
