//! Questions that are being asked: identical ones are asked once, and there is a limit on how many different ones.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;
use foldhash::fast::RandomState;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::cache::Entry;
use super::pool::Failure;
use super::question::AskedElsewhere;

/// What comes of a question.
pub(super) type Outcome = Result<Arc<Entry>, Failure>;

/// The outcome for all who wait for it.
pub(super) type Awaited = watch::Receiver<Option<Outcome>>;

/// The questions in flight.
pub(super) struct Flights {
    flying: DashMap<Box<[u8]>, Awaited, RandomState>,
    places: Arc<Semaphore>,
}

/// A question that the caller is the first to ask: he has to [`Takeoff::tell`] what comes of it, and to [`Flights::land`].
pub(super) struct Takeoff {
    outcome: watch::Sender<Option<Outcome>>,
    _place: OwnedSemaphorePermit,
}

/// Whether a question is in flight already.
pub(super) enum Boarding {
    First(Takeoff, Awaited),
    Joined(Awaited),
    /// As many as may be are in flight.
    Full,
}

impl Flights {
    pub fn new(limit: usize) -> Self {
        Self { flying: DashMap::default(), places: Arc::new(Semaphore::new(limit)) }
    }

    pub fn board(&self, asked: &AskedElsewhere) -> Boarding {
        match self.flying.entry(asked.as_key().into()) {
            Place::Occupied(flying) => Boarding::Joined(flying.get().clone()),
            Place::Vacant(free) => {
                let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Boarding::Full };
                let (outcome, awaited) = watch::channel(None);
                free.insert(awaited.clone());
                Boarding::First(Takeoff { outcome, _place: place }, awaited)
            }
        }
    }

    /// Whoever asks from now on finds the outcome in the cache or asks anew.
    pub fn land(&self, asked: &AskedElsewhere, takeoff: Takeoff) {
        self.flying.remove(asked.as_key());
        drop(takeoff);
    }
}

impl Takeoff {
    /// Gives the outcome to all who wait, and to those who join until the question lands.
    pub fn tell(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }
}
