//! Whether an answer follows from what the API's own history allows.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::history::{CALM, History, Inner, Matter, Ordinal, Peer, Period, STALE_AFTER};
use super::question::{Answer, Asked, Family, Found, Outcome, Server};

/// TTL of the denial of a name that is on its way (D7), and of any other (R4), seconds.
const AWAITED_TTL: u32 = 0;
const DENIED_TTL: u32 = 1;
const PORT: u16 = 5432;
/// For so long a failure of upstreams is answered again (RFC 9520).
const KEPT_FAILURE: Duration = Duration::from_secs(1);

/// Reasons, and with them the TTL of a denial, follow the records by a tenth of a second; by so much on a busy machine.
const REASONS_FOLLOW: Duration = Duration::from_secs(1);

/// How far what is told of a fault reaches back, and how many views of an ordinal it has.
const TOLD: Duration = Duration::from_secs(30);
const VIEWS: usize = 12;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Never so in all of the history.
    Wrong,
    /// It was so, too long ago.
    Late,
    Lost,
    /// Memory that is not given back.
    Leaked,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Wrong, Self::Late, Self::Lost, Self::Leaked];
}

/// What an answer may follow from.
#[derive(Clone, Copy)]
struct Window {
    oldest: Instant,
    /// The same for the reasons of a denial.
    oldest_reason: Instant,
    latest: Instant,
    /// The Pods do not count (T7).
    slices_alone: bool,
}

impl History {
    /// Judges what came of a query: what is wrong, if anything, and by which rule.
    pub fn judge(&self, outcome: &Outcome) -> Option<(Fault, &'static str)> {
        let inner = self.lock();
        let (from, until) = (outcome.sent_at, outcome.ended_at);
        let is = |matter| inner.of(matter).any(|period| period.overlaps(from, until));
        let (found, stale_since) = match &outcome.answer {
            Answer::None => return (!is(Matter::Excused)).then_some((Fault::Lost, "no answer")),
            Answer::Untrusted(_) => return Some((Fault::Late, "a certificate of before")),
            Answer::NotReady => return (!is(Matter::Starting)).then_some((Fault::Lost, "T1: not ready")),
            Answer::NoUpstream => {
                let is_elsewhere = matches!(outcome.asked, Asked::Elsewhere(_) | Asked::Pointer { .. });
                let is_gone =
                    inner.of(Matter::NoUpstream).any(|period| period.overlaps(from - KEPT_FAILURE - CALM, until));
                let is_right = is_gone && is_elsewhere;
                return (!is_right).then_some((Fault::Lost, "F5: an upstream answers"));
            }
            Answer::Other(_) => return Some((Fault::Wrong, "no rule gives this")),
            Answer::Found { found, stale_since } => (found, *stale_since),
        };
        if let Asked::Elsewhere(_) = outcome.asked {
            return (!matches!(found, Found::Numbers(_))).then_some((Fault::Wrong, "F1: what upstreams say"));
        }
        if let Some(fault) = inner.judge_mark(from, until, stale_since) {
            return Some(fault);
        }
        let window = inner.window(from, until, stale_since);
        // The last records of before a disturbance's end may be the reason yet, and those may have been marked as stale.
        let before = inner.window(from - REASONS_FOLLOW, until, stale_since.or(Some(from)));
        let window = Window { oldest_reason: window.oldest.min(before.oldest), ..window };
        if inner.follows(outcome.asked, found, &window) {
            return None;
        }
        let all = Window { oldest: inner.began, oldest_reason: inner.began, latest: until, slices_alone: false };
        Some(if matches!(found, Found::NoData | Found::Denied { .. }) {
            (Fault::Lost, "what exists is denied, or for too long")
        } else if inner.follows(outcome.asked, found, &all) {
            (Fault::Late, if window.slices_alone { "T7: Pods count too early" } else { "it is older than it may be" })
        } else {
            (Fault::Wrong, "it was never so")
        })
    }
}

impl History {
    /// What was so and what was the matter, in seconds before the answer.
    pub fn told(&self, outcome: &Outcome) -> String {
        let inner = self.lock();
        let before =
            |moment: Instant| -(outcome.ended_at.saturating_duration_since(moment).as_millis() as f64) / 1000.0;
        let is_recent = |moment: Instant| before(moment) > -TOLD.as_secs_f64();
        let views = ordinals(outcome.asked).into_iter().map(|ordinal| {
            let views = inner.views[ordinal.place()].iter().rev();
            let views = views.take(VIEWS).map(|(since, views)| (before(*since), *views));
            format!("{}: {:?}", ordinal.pod(), views.collect::<Vec<_>>())
        });
        let periods = inner.periods.iter().filter(|period| period.until.is_none_or(is_recent));
        let periods = periods.map(|period| (period.matter, before(period.from), period.until.map(before)));
        format!("{:?}; {:?}", views.collect::<Vec<_>>(), periods.collect::<Vec<_>>())
    }
}

impl Inner {
    /// Whether an answer says that it is stale if it is, and only then, and since when (T2).
    fn judge_mark(&self, from: Instant, until: Instant, stale_since: Option<Instant>) -> Option<(Fault, &'static str)> {
        let is_starting = self.of(Matter::Starting).any(|period| period.overlaps(from, until));
        let silent = self.of(Matter::Silent).find(|period| period.overlaps(from, until));
        match stale_since {
            None => {
                let is_due = silent.is_some_and(|silent| silent.from + STALE_AFTER + CALM < from);
                let goes_on = silent.is_some_and(|silent| silent.until.is_none_or(|end| end > until));
                (is_due && goes_on && !is_starting).then_some((Fault::Late, "T2: not marked as stale"))
            }
            Some(_) if is_starting => None,
            Some(since) => {
                let mut disturbed = self.of(Matter::Disturbed);
                if !disturbed.any(|period| period.overlaps(from - CALM, until)) {
                    return Some((Fault::Wrong, "T2: marked as stale without a cause"));
                }
                // Later words than those before the silence there are none.
                let is_later = silent.is_some_and(|silent| silent.from + CALM < since && silent.until.is_none());
                is_later.then_some((Fault::Wrong, "T2: there was no word at that time"))
            }
        }
    }

    fn window(&self, from: Instant, until: Instant, stale_since: Option<Instant>) -> Window {
        let disturbed = || self.of(Matter::Disturbed).filter(|period| period.overlaps(from, until));
        let since = disturbed().map(|period| period.from).min();
        let window = |oldest| Window { oldest, oldest_reason: oldest, latest: until, slices_alone: false };
        let is_starting = self.of(Matter::Starting).any(|period| period.overlaps(from, until));
        match stale_since {
            // The saved state: what was known then, and that was as good as the API allowed.
            Some(stale_since) if is_starting => {
                let at_save = self.of(Matter::Disturbed).filter(|period| period.overlaps(stale_since, stale_since));
                let since = at_save.map(|period| period.from).min().unwrap_or(stale_since).min(stale_since);
                window(since.max(self.began + CALM) - CALM)
            }
            Some(_) => window(since.unwrap_or(from).min(from) - CALM),
            None => {
                let mut pods = self.of(Matter::PodsSilent);
                let ends_within = |end: Option<Instant>| end.is_none_or(|end| end > until);
                if pods.any(|it| it.from + 2 * STALE_AFTER + CALM < from && ends_within(it.until)) {
                    return Window { slices_alone: true, ..window(from - CALM) };
                }
                // A watch that is resumed tells what it has missed, the oldest first.
                let oldest = since.unwrap_or(from).min(from);
                let is_catching_up = |period: &&Period| match period.matter {
                    Matter::Lagging => period.overlaps(from, until),
                    Matter::Silent | Matter::PodsSilent => period.until.is_some() && period.overlaps(oldest, until),
                    _ => false,
                };
                // T2, and T7 for the Pods: after so long a silence answers are marked, or the Pods do not count.
                let is_behind = self.periods.iter().any(|period| is_catching_up(&period));
                let longest = if is_behind { Duration::MAX } else { 2 * STALE_AFTER + CALM };
                let silent = from.checked_sub(longest).unwrap_or(self.began);
                window((oldest - CALM).max(silent))
            }
        }
    }

    /// What an ordinal may be answered with, of all that was so in the window.
    fn peers(&self, ordinal: Ordinal, family: Family, window: &Window) -> BTreeSet<Peer> {
        let views = &self.views[ordinal.place()];
        let first = views.partition_point(|(since, _)| *since <= window.oldest).saturating_sub(1);
        let within = views[first..].iter().take_while(|(since, _)| *since <= window.latest);
        let mut peers = BTreeSet::new();
        for (_, views) in within {
            peers.insert(views.slices[family as usize]);
            if !window.slices_alone {
                peers.insert(views.pod);
            }
            // One of the two slices names another Pod already. The name belongs to one Pod, which may have one address so far (T6).
            if views.slices[0].number() != views.slices[1].number() {
                peers.insert(Peer::Absent);
            }
        }
        peers
    }

    fn follows(&self, asked: Asked, found: &Found, window: &Window) -> bool {
        let peers = |ordinal, family| self.peers(ordinal, family, window);
        let may_lack = |ordinal, family| peers(ordinal, family).iter().any(|peer| !peer.is_ready());
        let may_have = |ordinal, family, number| peers(ordinal, family).contains(&Peer::Ready(number));
        let ordinals = ordinals(asked);
        match (asked, found) {
            (Asked::Ordinal(_, family) | Asked::Service(_, family), Found::Numbers(numbers)) => {
                let mut rest: BTreeSet<_> = numbers.iter().copied().collect();
                let are_once = rest.len() == numbers.len();
                // One Pod at most of each ordinal (T6).
                let mut is_right = |ordinal: &Ordinal| {
                    let peers = peers(*ordinal, family);
                    let ready = peers.iter().filter(|peer| peer.is_ready()).filter_map(|peer| peer.number());
                    let given = ready.filter(|number| rest.remove(number)).count();
                    given == 1 || given == 0 && may_lack(*ordinal, family)
                };
                are_once && ordinals.iter().all(&mut is_right) && rest.is_empty()
            }
            (Asked::Servers { .. }, Found::Servers(servers)) => {
                let is_right = |ordinal: &Ordinal| {
                    let name = ordinal.name();
                    let mut of_it = servers.iter().filter(|server| server.name == name);
                    match (of_it.next(), of_it.next()) {
                        (None, _) => Family::ALL.iter().any(|family| may_lack(*ordinal, *family)),
                        (Some(server), None) => self.has_its_own(*ordinal, server, window),
                        _ => false,
                    }
                };
                let are_known = servers.iter().all(|server| ordinals.iter().any(|it| it.name() == server.name));
                ordinals.iter().all(is_right) && are_known
            }
            (Asked::Pointer { ordinal, number, family }, Found::Names(names)) => {
                *names == [ordinal.name()] && may_have(ordinal, family, number)
            }
            // Upstreams say for how long.
            (Asked::Pointer { ordinal, number, family }, Found::Denied { .. }) => {
                peers(ordinal, family).iter().any(|peer| *peer != Peer::Ready(number))
            }
            (Asked::Absent(_), Found::Denied { ttl }) => *ttl == DENIED_TTL,
            // The other family has some.
            (Asked::Ordinal(..) | Asked::Service(..), Found::NoData) => {
                let some = |ordinal: &Ordinal| {
                    Family::ALL.iter().any(|family| peers(*ordinal, *family).iter().any(|peer| peer.is_ready()))
                };
                let (Asked::Ordinal(_, family) | Asked::Service(_, family)) = asked else { return false };
                ordinals.iter().all(|ordinal| may_lack(*ordinal, family)) && ordinals.iter().any(some)
            }
            (Asked::Ordinal(..) | Asked::Service(..) | Asked::Servers { .. }, Found::Denied { ttl }) => {
                let lacks = |ordinal: &Ordinal| Family::ALL.iter().all(|family| may_lack(*ordinal, *family));
                ordinals.iter().all(lacks) && self.may_be_denied_for(*ttl, &ordinals, window)
            }
            _ => false,
        }
    }

    /// Whether the addresses that come with a target are those of one Pod.
    fn has_its_own(&self, ordinal: Ordinal, server: &Server, window: &Window) -> bool {
        let is_right = |family: Family| {
            let peers = self.peers(ordinal, family, window);
            match server.numbers[family as usize][..] {
                [number] => peers.contains(&Peer::Ready(number)),
                [] => peers.iter().any(|peer| !peer.is_ready()),
                _ => false,
            }
        };
        let numbers: BTreeSet<_> = server.numbers.iter().flatten().collect();
        server.port == PORT && numbers.len() == 1 && Family::ALL.into_iter().all(is_right)
    }

    /// Whether the denial of all these may be cached for so long (R4, D7).
    fn may_be_denied_for(&self, ttl: u32, ordinals: &[Ordinal], window: &Window) -> bool {
        let window = Window { oldest: window.oldest_reason, ..*window };
        let is_coming = |peer: &Peer| matches!(peer, Peer::Coming(_));
        let peers = |ordinal: &Ordinal| {
            Family::ALL.into_iter().flat_map(|family| self.peers(*ordinal, family, &window)).collect::<BTreeSet<_>>()
        };
        let may_come = |ordinal: &Ordinal| peers(ordinal).iter().any(is_coming);
        let must_come = |ordinal: &Ordinal| peers(ordinal).iter().all(is_coming);
        let was_ready = |ordinal: &Ordinal| peers(ordinal).iter().any(|peer| peer.is_ready());
        match ttl {
            AWAITED_TTL => ordinals.iter().any(may_come),
            DENIED_TTL => !ordinals.iter().any(must_come) || ordinals.iter().any(was_ready),
            _ => false,
        }
    }
}

fn ordinals(asked: Asked) -> Vec<Ordinal> {
    match asked {
        Asked::Ordinal(ordinal, _) | Asked::Pointer { ordinal, .. } => vec![ordinal],
        Asked::Service(service, _) | Asked::Servers { service, .. } => Ordinal::of(service).collect(),
        Asked::Absent(_) | Asked::Elsewhere(_) => Vec::new(),
    }
}

/// The judge works when it finds nothing in a storm, so that it has to be seen to find something.
#[cfg(test)]
mod tests {
    use super::super::history::{SERVICES, Views};
    use super::*;

    const ORDINAL: Ordinal = Ordinal { service: 0, ordinal: 0 };

    /// One ordinal whose Pod is replaced at 20 s, and a disturbance from 18 s to 30 s.
    fn judge(found: Found, second: u64, stale_since: Option<u64>) -> Option<Fault> {
        judge_of([Peer::Ready(1), Peer::Ready(2)], found, 1000 * second, stale_since)
    }

    /// The same with what is there before 20 s and after, and the time of the answer in milliseconds.
    fn judge_of(peers: [Peer; 2], found: Found, millisecond: u64, stale_since: Option<u64>) -> Option<Fault> {
        judge_changing_at(20, peers, found, millisecond, stale_since)
    }

    /// The same with a change and a disturbance from any second on.
    fn judge_changing_at(
        second: u64,
        peers: [Peer; 2],
        found: Found,
        millisecond: u64,
        stale_since: Option<u64>,
    ) -> Option<Fault> {
        let began = Instant::now();
        let at = |second| began + Duration::from_secs(second);
        let [before, after] = peers.map(|peer| Views { pod: peer, slices: [peer; 2] });
        let mut all = vec![vec![(began, Views::default())]; SERVICES.iter().sum()];
        all[0] = vec![(began, before), (at(second), after)];
        let disturbed = Period { matter: Matter::Disturbed, from: at(second - 2), until: Some(at(30)) };
        let history = History::of(Inner { began, views: all, periods: vec![disturbed], certificates: Vec::new() });
        let answer = Answer::Found { found, stale_since: stale_since.map(at) };
        let asked = Asked::Ordinal(ORDINAL, Family::V4);
        let moment = began + Duration::from_millis(millisecond);
        let outcome = Outcome { asked, sent_at: moment, ended_at: moment, answer };
        history.judge(&outcome).map(|(fault, _)| fault)
    }

    #[test]
    fn an_answer_is_judged_by_what_was_the_matter_when_it_was_given_and_not_when_it_is_judged() {
        let old = || Found::Numbers(vec![1]);
        assert_eq!(judge(old(), 29, None), None, "the API was disturbed, and is no more");
        assert_eq!(judge(old(), 29, Some(18)), None);
        assert_eq!(judge(old(), 31, None), Some(Fault::Late));
        assert_eq!(judge(old(), 21, None), None, "a change takes a moment");
    }

    /// D7. The Pod that was coming is deleted while the API is away.
    #[test]
    fn a_denial_may_say_for_a_moment_after_a_disturbance_that_a_pod_is_coming_that_went_meanwhile() {
        let judge =
            |millisecond, ttl| judge_of([Peer::Coming(1), Peer::Absent], Found::Denied { ttl }, millisecond, None);
        for (millisecond, fault) in [(29_000, None), (30_003, None), (31_003, Some(Fault::Lost))] {
            assert_eq!(judge(millisecond, AWAITED_TTL), fault, "{millisecond} ms");
            assert_eq!(judge(millisecond, DENIED_TTL), None, "{millisecond} ms");
        }
        let long_ago = [Peer::Coming(1), Peer::Absent];
        let judged = judge_changing_at(10, long_ago, Found::Denied { ttl: AWAITED_TTL }, 30_003, None);
        assert_eq!(judged, None, "answers of before were marked as stale");
        let is_ready = [Peer::Ready(1); 2];
        assert_eq!(judge_of(is_ready, Found::Denied { ttl: AWAITED_TTL }, 30_003, None), Some(Fault::Lost));
    }

    #[test]
    fn what_never_was_is_wrong_and_what_exists_is_not_denied() {
        for (found, fault) in [
            (Found::Numbers(vec![2]), None),
            (Found::Numbers(vec![3]), Some(Fault::Wrong)),
            (Found::Numbers(vec![1, 2]), Some(Fault::Wrong)),
            (Found::Denied { ttl: 1 }, Some(Fault::Lost)),
            (Found::NoData, Some(Fault::Lost)),
        ] {
            let what = format!("{found:?}");
            assert_eq!(judge(found, 40, None), fault, "{what}");
        }
        assert_eq!(judge(Found::Numbers(vec![2]), 40, Some(30)), Some(Fault::Wrong), "stale without a cause");
    }
}
