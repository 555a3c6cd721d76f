//! The upstreams in use: who is asked first, who is asked when one does not answer, and when to give up.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::cache::Source;
use super::question::AskedElsewhere;
use super::upstream::Upstream;
use crate::dns::wire::{EdeCode, Response};

/// Attempts for one question, each with its part of the time-out: a lost datagram costs one.
const ATTEMPTS: u32 = 3;

/// Why there is no answer, for a client and for a person.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: EdeCode,
    pub text: Arc<str>,
}

impl Failure {
    pub(super) fn new(code: EdeCode, text: impl Into<Arc<str>>) -> Self {
        Self { code, text: text.into() }
    }
}

/// The upstreams, in the order of the configuration.
pub(super) struct Pool {
    upstreams: ArcSwap<Vec<Arc<Upstream>>>,
    /// How long a question may take with all its attempts.
    timeout: Duration,
}

impl Pool {
    pub fn new(upstreams: Vec<Arc<Upstream>>, timeout: Duration) -> Self {
        Self { upstreams: ArcSwap::from_pointee(upstreams), timeout }
    }

    pub fn upstreams(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.upstreams.load_full()
    }

    pub fn replace(&self, upstreams: Vec<Arc<Upstream>>) {
        self.upstreams.store(Arc::new(upstreams));
    }

    /// Whether an upstream that works may be asked.
    pub fn has_working(&self, asked: &AskedElsewhere) -> bool {
        let upstreams = self.upstreams.load();
        upstreams.iter().any(|upstream| !upstream.health.is_failing() && !upstream.loops.covers(asked.name()))
    }

    /// Whether a name is that of a probe of ours. If so, the upstream that was asked has sent it back.
    pub fn is_own_probe(&self, name: &[u8]) -> bool {
        self.upstreams.load().iter().any(|upstream| upstream.is_probe(name))
    }

    /// Asks one upstream after the other until there is an answer.
    ///
    /// # Errors
    /// There was none in time.
    pub async fn ask(&self, asked: &AskedElsewhere) -> Result<(Response, Source), Failure> {
        let candidates = self.candidates(asked)?;
        let began = Instant::now();
        let (mut refusal, mut errors) = (None, Vec::new());
        for (attempt, upstream) in candidates.iter().cycle().enumerate() {
            let left = self.timeout.saturating_sub(began.elapsed());
            let is_over = attempt >= candidates.len().max(ATTEMPTS as usize) || left.is_zero();
            // Who cannot answer has been asked, and all others too.
            if is_over || refusal.is_some() && attempt >= candidates.len() {
                break;
            }
            match upstream.ask(asked, left.min(self.timeout / ATTEMPTS)).await {
                Ok(response) => {
                    let source = Source { upstream: Arc::clone(&upstream.label), took: began.elapsed() };
                    if !response.is_failure() {
                        return Ok((response, source));
                    }
                    refusal.get_or_insert((response, source));
                }
                Err(error) => errors.push((Arc::clone(&upstream.label), error)),
            }
        }
        refusal.ok_or_else(|| no_answer(&errors))
    }

    /// Who may be asked: those that work first.
    fn candidates(&self, asked: &AskedElsewhere) -> Result<Vec<Arc<Upstream>>, Failure> {
        let upstreams = self.upstreams.load();
        let usable = upstreams.iter().filter(|upstream| !upstream.loops.covers(asked.name())).cloned();
        let (failing, working): (Vec<_>, Vec<_>) = usable.partition(|upstream| upstream.health.is_failing());
        let candidates = [working, failing].concat();
        if !candidates.is_empty() {
            return Ok(candidates);
        }
        let text = match upstreams.first() {
            Some(looping) => format!("the upstream {} sends queries back to this server", looping.label),
            None => "there is no upstream".to_owned(),
        };
        Err(Failure::new(EdeCode::NoReachableAuthority, text))
    }
}

/// What was wrong with each upstream, once.
fn no_answer(errors: &[(Arc<str>, io::Error)]) -> Failure {
    let mut texts: Vec<String> = Vec::new();
    for (upstream, error) in errors {
        let text = format!("{upstream}: {error}");
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let is_network = |error: &io::Error| !matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::InvalidData);
    let all_network = !errors.is_empty() && errors.iter().all(|(_, error)| is_network(error));
    let code = if all_network { EdeCode::NetworkError } else { EdeCode::NoReachableAuthority };
    Failure::new(code, texts.join("; "))
}
