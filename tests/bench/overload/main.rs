//! What becomes of a server that is asked more than it can answer: how much it still answers, what that costs and how late it
//! comes, and whether it is as before when that ends. `overload.sh` starts servers for it.
//!
//! ```text
//! overload ADDRESS:PORT QUERIES ROUNDS SECONDS TRAIN PID...
//! ```
//!
//! A round is four phases. First the best rate: always a thousand queries in flight, each after an answer. Then two and four
//! times as many as that a second, whatever comes back. Then as at first. The figures are medians over the rounds, of
//! processes PID and their threads where they are the server's.

mod process;
mod sender;

use std::env;
use std::error::Error;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use process::Processes;
use sender::{Pace, Seen, Sender};

type Failure = Box<dyn Error + Send + Sync>;

/// Queries in flight of clients that wait: so many that the server need not.
const IN_FLIGHT: usize = 1024;
/// What is asked in each phase of a round, as a multiple of the best rate; none where the answers set the pace.
const PHASES: [(&str, Option<f64>); 4] = [("best", None), ("2x", Some(2.0)), ("4x", Some(4.0)), ("again", None)];
/// A phase's figures, and the decimals that they are shown with.
const FIGURES: [(&str, usize); 9] = [
    ("offered/s", 0),
    ("answered/s", 0),
    ("of best", 2),
    ("CPU us/answer", 2),
    ("p50 ms", 2),
    ("p99 ms", 2),
    ("switches/s", 0),
    ("memory MiB", 1),
    ("ends in ms", 2),
];

fn main() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1).filter(|argument| argument != "--bench");
    let server = next(&mut arguments)?;
    let queries = fs::read_to_string(next::<String>(&mut arguments)?)?;
    let (rounds, seconds, train) = (next::<usize>(&mut arguments)?, next(&mut arguments)?, next(&mut arguments)?);
    let processes = Processes(arguments.map(|pid| pid.parse()).collect::<Result<_, _>>()?);
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
            let before = processes.spent();
            let seen = sender.run(pace, time);
            let after = processes.spent();
            let ends = sender.drain();
            let rate = seen.answered as f64 / seen.time.as_secs_f64();
            results.push([
                seen.sent as f64 / seen.time.as_secs_f64(),
                rate,
                rate / *best.get_or_insert(rate),
                (after.cpu - before.cpu).as_secs_f64() * 1e6 / seen.answered as f64,
                percentile(&seen, 0.50),
                percentile(&seen, 0.99),
                (after.switches - before.switches) as f64 / seen.time.as_secs_f64(),
                processes.resident() as f64 / 1024.0,
                ends.as_secs_f64() * 1e3,
            ]);
        }
    }
    report(&results);
    Ok(())
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
    let argument = arguments.next().ok_or("usage: overload ADDRESS:PORT QUERIES ROUNDS SECONDS TRAIN PID...")?;
    argument.parse().map_err(Into::into)
}

/// A line of a query file of `dnsperf` as it sends it: RD, no EDNS.
fn packet(line: &str) -> Result<Vec<u8>, Failure> {
    let (name, qtype) = line.split_once(' ').ok_or("a query is NAME TYPE")?;
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(format!("{name}."))?, qtype.parse::<RecordType>()?));
    Ok(message.to_vec()?)
}

/// The latency in milliseconds that so large a share of the answers did not exceed.
fn percentile(seen: &Seen, share: f64) -> f64 {
    let latency = seen.latencies.get((seen.latencies.len() as f64 * share) as usize);
    latency.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
