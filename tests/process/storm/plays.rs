//! What can happen in a storm.

use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use kube_sandbox::faults::{Cut, Fault, Missed, Scope};
use kube_sandbox::kind::Kind;

use super::clients::ask_once;
use super::elsewhere::Conduct;
use super::history::{CALM, Matter, Ordinal, SERVICES, STALE_AFTER, Views};
use super::judge;
use super::load::{connect_and_leave, flood, read_nothing};
use super::question::{Answer, Asked, Family, Found};
use super::world::World;

/// How long a fault lasts, if it is short.
const SHORT: Duration = Duration::from_millis(700);
/// Long enough for answers to be marked as stale, and for some time after that.
const LONG: Duration = STALE_AFTER.saturating_add(CALM).saturating_add(CALM);
/// Long enough for the Pods not to count (T7), and for some time after that.
pub const LONGEST: Duration = LONG.saturating_add(STALE_AFTER);
/// How soon a change must be answered after a fault of which the program learns as soon as it is over: the longest pause while
/// nobody answers.
const SOON: Duration = Duration::from_secs(1);
/// How soon the answers must be those of another server (T5): it is reached within a second, and noticed within another.
const NOTICED: Duration = Duration::from_secs(2);
/// The same after a connection that died silently.
const SILENT_DEATH: Duration = STALE_AFTER.saturating_mul(2);
/// Writes while the process is gone, or before the store goes back.
const WRITES: usize = 10;
/// Connections that read nothing.
const SLOW_READERS: usize = 16;
/// Connections that come and go, before the memory is measured and until it is again.
const FIRST_CONNECTIONS: usize = 1000;
const CONNECTIONS: usize = 3000;
/// How much memory each of them may seem to leave behind, octets.
const PER_CONNECTION: usize = 512;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Play {
    ApiDown,
    ApiDrops,
    Refusals,
    TooManyRequests,
    Pages,
    ErrorEvents,
    WatchesCut,
    WatchesEnd,
    OneWatchStalled,
    PodsSilent,
    OneServerLags,
    Delay,
    NoBookmarks,
    NoKeepAlive,
    Compaction,
    EtcdRestored,
    EtcdEmptied,
    ClusterReplaced,
    Killed,
    Restarted,
    Hangup,
    Certificate,
    Flood,
    SlowReaders,
    Connections,
    Upstreams,
}

impl Play {
    pub const ALL: [Self; 26] = [
        Self::ApiDown,
        Self::ApiDrops,
        Self::Refusals,
        Self::TooManyRequests,
        Self::Pages,
        Self::ErrorEvents,
        Self::WatchesCut,
        Self::WatchesEnd,
        Self::OneWatchStalled,
        Self::PodsSilent,
        Self::OneServerLags,
        Self::Delay,
        Self::NoBookmarks,
        Self::NoKeepAlive,
        Self::Compaction,
        Self::EtcdRestored,
        Self::EtcdEmptied,
        Self::ClusterReplaced,
        Self::Killed,
        Self::Restarted,
        Self::Hangup,
        Self::Certificate,
        Self::Flood,
        Self::SlowReaders,
        Self::Connections,
        Self::Upstreams,
    ];

    /// Whether another process follows.
    pub fn ends_process(self) -> bool {
        matches!(self, Self::Killed | Self::Restarted)
    }
}

/// A fault of the API that lasts.
struct Lasting {
    fault: Fault,
    /// Watches that are open end, or they would not notice.
    cuts: Option<Scope>,
    matter: Option<Matter>,
    /// The server answers, so that it is asked less and less often.
    is_refusal: bool,
}

impl World<'_> {
    /// Plays one fault from its beginning to the recovery from it, and lets the cluster change all the while.
    pub fn play(&mut self, play: Play, is_long: bool) {
        let kinds = [None, Some(Kind::Service), Some(Kind::EndpointSlice), Some(Kind::Pod)];
        let kind = kinds[self.random.below(kinds.len())];
        let on = kind.map_or_else(Scope::all, Scope::kind);
        let silent = Some(if kind == Some(Kind::Pod) { Matter::PodsSilent } else { Matter::Silent });
        let times = None;
        let cutting = |fault| Lasting { fault, cuts: Some(on.clone()), matter: silent, is_refusal: false };
        let refusing = |fault| Lasting { is_refusal: true, ..cutting(fault) };
        let disturbing = |fault| Lasting { cuts: None, matter: None, ..cutting(fault) };
        let lasting = match play {
            Play::ApiDown => Lasting { matter: Some(Matter::Silent), ..disturbing(Fault::Down { milliseconds: None }) },
            Play::ApiDrops => cutting(Fault::Drop { on: on.clone(), times }),
            Play::Refusals => {
                let code = [401, 403, 500, 503][self.random.below(4)];
                refusing(Fault::Answer { on: on.clone(), code, retry_after: None, times })
            }
            Play::TooManyRequests => refusing(Fault::TooManyRequests { on: on.clone(), retry_after: 1, times }),
            Play::Pages => refusing(Fault::Page { on: on.clone(), times }),
            // Lists go on, and are words.
            Play::ErrorEvents => {
                let code = [410, 500][self.random.below(2)];
                Lasting { matter: None, ..refusing(Fault::ErrorEvents { on: on.clone(), code }) }
            }
            Play::WatchesEnd => Lasting { cuts: None, ..refusing(Fault::EndWatches { on: on.clone() }) },
            Play::OneWatchStalled => {
                let fault = Fault::Stall { on: on.clone(), missed: Missed::Deliver };
                Lasting { matter: Some(Matter::Lagging), ..disturbing(fault) }
            }
            Play::Delay => disturbing(Fault::Delay { on: on.clone(), milliseconds: 100 }),
            Play::NoBookmarks => disturbing(Fault::WithholdBookmarks { on: on.clone() }),
            Play::NoKeepAlive => disturbing(Fault::CloseConnections { on: on.clone() }),
            Play::PodsSilent => return self.silence_pods(),
            Play::OneServerLags => return self.lag(),
            Play::WatchesCut => return self.cut(on),
            Play::Compaction => {
                self.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Abrupt });
                self.inject(Fault::Compact);
                return self.recover("Compaction", SOON + CALM);
            }
            Play::EtcdRestored => return self.restore(),
            Play::EtcdEmptied => return self.empty(),
            Play::ClusterReplaced => return self.swap(),
            Play::Killed | Play::Restarted => return self.end_process(play),
            Play::Hangup => return self.program.iter().for_each(|program| program.signal("HUP")),
            Play::Certificate => {
                if is_long {
                    self.spoil_certificate();
                    self.write_for(CALM);
                }
                return self.renew_certificate();
            }
            Play::Flood | Play::SlowReaders => return self.load(play),
            Play::Connections => return self.count_memory(),
            Play::Upstreams => return self.fail_upstreams(),
        };
        let time = if is_long { LONG } else { SHORT };
        println!("    {:?}", lasting.fault);
        self.last(lasting, time, &format!("{play:?} of {kind:?}"));
    }

    fn last(&mut self, lasting: Lasting, time: Duration, what: &str) {
        let number = self.inject(lasting.fault);
        if let Some(on) = lasting.cuts {
            self.inject(Fault::CutWatches { on, how: Cut::Clean });
        }
        lasting.matter.into_iter().for_each(|matter| self.history.begin(matter));
        self.write_for(time);
        [Matter::Silent, Matter::PodsSilent].into_iter().for_each(|matter| self.history.end(matter));
        self.sandbox.faults().remove(number);
        // Pauses after a refusal double: the last is as long as all before it, and twice as long with the jitter.
        let pause = if lasting.is_refusal { 2 * time + 2 * SOON } else { Duration::ZERO };
        self.recover(what, SOON + pause + CALM);
    }

    /// No word of Pods for so long that they don't count. Then their watch is accepted, and tells nothing for a while.
    fn silence_pods(&mut self) {
        let on = Scope::kind(Kind::Pod);
        let dropping = self.inject(Fault::Drop { on: on.clone(), times: None });
        self.inject(Fault::CutWatches { on: on.clone(), how: Cut::Clean });
        self.history.begin(Matter::PodsSilent);
        self.write_for(LONGEST);
        let stalling = self.inject(Fault::Stall { on, missed: Missed::Deliver });
        self.sandbox.faults().remove(dropping);
        self.write_for(SOON + CALM);
        self.history.end(Matter::PodsSilent);
        self.sandbox.faults().remove(stalling);
        self.recover("PodsSilent", SOON + CALM);
    }

    /// The server that the watches are on lags, until they go on at another that does not.
    fn lag(&mut self) {
        let number = self.inject(Fault::Stall { on: Scope::all(), missed: Missed::Deliver });
        self.history.begin(Matter::Lagging);
        self.write_for(SHORT);
        let how = [Cut::Clean, Cut::Abrupt][self.random.below(2)];
        self.inject(Fault::CutWatches { on: Scope::all(), how });
        self.sandbox.faults().remove(number);
        self.recover("OneServerLags", SOON + CALM);
    }

    fn cut(&mut self, on: Scope) {
        let how = [Cut::Clean, Cut::Abrupt, Cut::Expired, Cut::Silent][self.random.below(4)];
        self.inject(Fault::CutWatches { on, how });
        self.write_for(SHORT);
        let bound = if how == Cut::Silent { SILENT_DEATH } else { SOON };
        self.recover(&format!("{how:?} cut"), bound + CALM);
    }

    /// The API server comes back with what it had before the last writes (T5).
    fn restore(&mut self) {
        self.history.begin(Matter::Disturbed);
        let before: Vec<_> = Ordinal::all().map(|ordinal| (ordinal, self.history.now(ordinal))).collect();
        self.inject(Fault::Snapshot);
        self.write(WRITES);
        // Both are true until the store has gone back.
        before.into_iter().for_each(|(ordinal, views)| self.history.set(ordinal, views));
        self.restart_server(Fault::Restore);
        self.recover("EtcdRestored", SOON + CALM);
    }

    /// Everything is gone, and made again.
    fn empty(&mut self) {
        self.history.begin(Matter::Disturbed);
        Ordinal::all().for_each(|ordinal| self.history.set(ordinal, Views::default()));
        self.restart_server(Fault::Empty);
        self.populate();
        self.recover("EtcdEmptied", SOON + CALM);
    }

    /// Another cluster's server answers, which is behind or ahead.
    fn swap(&mut self) {
        let ahead = (self.random.below(2) == 0).then(|| self.sandbox.store().revision() + 1000);
        self.restart_server(Fault::Replace { revision: ahead });
        for (service, family) in (0..SERVICES.len()).flat_map(|it| Family::ALL.map(|family| (it, family))) {
            self.put_slice(service, family);
        }
        self.write(WRITES);
        self.recover(&format!("ClusterReplaced at {ahead:?}"), SOON + CALM);
    }

    /// API servers are restarted when their store is another: the connections break. Nothing is written until the program has
    /// to have noticed: a store that is ahead again by then cannot be told from that of before.
    fn restart_server(&self, with: Fault) {
        let down = self.inject(Fault::Down { milliseconds: None });
        self.inject(with);
        thread::park_timeout(SHORT);
        self.sandbox.faults().remove(down);
        thread::park_timeout(NOTICED);
        self.history.end(Matter::Disturbed);
        thread::park_timeout(CALM);
        self.history.begin(Matter::Disturbed);
    }

    /// SIGKILL, or SIGTERM, after which it goes on answering for a second.
    fn end_process(&mut self, play: Play) {
        self.history.begin(Matter::Disturbed);
        if let Some(program) = self.program.take() {
            if play == Play::Restarted {
                program.signal("TERM");
                self.write_for(SHORT);
                self.history.begin(Matter::Excused);
                let (code, log) = program.end();
                assert_eq!(code, Some(0), "{log}");
            } else {
                self.history.begin(Matter::Excused);
                drop(program);
            }
        }
        self.write(WRITES);
        self.start_program();
        self.recover(&format!("{play:?}"), SOON + CALM);
    }

    /// Clients that take more than they should: changes are answered as soon as ever.
    fn load(&mut self, play: Play) {
        let server = self.addresses.dns;
        if play == Play::Flood {
            self.history.begin(Matter::Excused);
        }
        thread::scope(|scope| {
            let load = scope.spawn(move || match play {
                Play::Flood => flood(server, SHORT),
                _ => read_nothing(server, SLOW_READERS, SHORT),
            });
            self.write_for(SHORT);
            load.join().expect("no panic");
        });
        if play == Play::Flood {
            // What the flood left in the socket's queue goes before the next query.
            self.until("an answer after the flood", || self.is_answered(Asked::Service(0, Family::V4)));
            self.history.end(Matter::Excused);
        }
    }

    /// Connections that come and go leave nothing behind.
    fn count_memory(&mut self) {
        connect_and_leave(self.addresses.dns, FIRST_CONNECTIONS);
        let before = self.memory();
        connect_and_leave(self.addresses.dns, CONNECTIONS);
        let more = self.memory().saturating_sub(before);
        if more * 1024 > CONNECTIONS * PER_CONNECTION {
            let fault = judge::Fault::Leaked;
            self.judged.report(fault, format!("{CONNECTIONS} connections left {more} kB more than {before} kB"));
        }
    }

    /// Upstreams that die, hang or lie: nothing of the cluster is later for it.
    fn fail_upstreams(&mut self) {
        self.history.begin(Matter::NoUpstream);
        let conducts = self.upstreams.misbehave(&mut self.random);
        if conducts.contains(&Conduct::Answer) {
            self.history.end(Matter::NoUpstream);
        }
        self.write_for(2 * SOON);
        self.upstreams.behave();
        // They are asked again with pauses.
        let began = Instant::now();
        self.until("an answer of the upstreams", || self.is_answered(Asked::Elsewhere(0)));
        self.slowest = self.slowest.max(began.elapsed());
        self.history.end(Matter::NoUpstream);
    }

    fn is_answered(&self, asked: Asked) -> Option<()> {
        let (name, record_type) = asked.question();
        let answer = ask_once(self.addresses, asked, &name, record_type);
        debug_assert_eq!(record_type, RecordType::A);
        matches!(answer, Some(Answer::Found { found: Found::Numbers(_) | Found::Denied { .. } | Found::NoData, .. }))
            .then_some(())
    }

    fn inject(&self, fault: Fault) -> u64 {
        self.history.begin(Matter::Disturbed);
        self.sandbox.faults().inject(fault).expect("a fault that can strike")
    }
}
