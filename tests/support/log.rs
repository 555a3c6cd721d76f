//! The log of the program under test, as far as it runs on the thread of the test.
//!
//! All tests share one subscriber. With one for each thread, a line that another thread comes to first is off for good: while there is
//! just one subscriber, `tracing` asks that of the current thread, and finds none.

use std::cell::RefCell;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

thread_local!(static OF_THREAD: RefCell<Option<Log>> = const { RefCell::new(None) });

/// The log of the program, in lines: `WARN message field=value`.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

/// Until it is dropped, on this thread, what is logged is kept.
pub struct Keeping {
    log: Log,
    of_this_thread: PhantomData<*const ()>,
}

impl Drop for Keeping {
    fn drop(&mut self) {
        // Another may have come after it.
        OF_THREAD.with_borrow_mut(|kept| kept.take_if(|kept| Arc::ptr_eq(&kept.0, &self.log.0)));
    }
}

impl Log {
    /// Keeps what this thread logs from now on.
    pub fn of_this_thread() -> (Self, Keeping) {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| tracing_subscriber::registry().with(ByThread.with_filter(LevelFilter::INFO)).init());
        let log = Self::default();
        OF_THREAD.set(Some(log.clone()));
        (log.clone(), Keeping { log, of_this_thread: PhantomData })
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("the log").clone()
    }
}

/// Gives each line to the log of its thread, if there is one.
struct ByThread;

impl<S: Subscriber> Layer<S> for ByThread {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target().starts_with("headless_dns")
            && let Some(log) = OF_THREAD.with_borrow(Clone::clone)
        {
            let mut line = Line(metadata.level().to_string());
            event.record(&mut line);
            log.0.lock().expect("the log").push(line.0);
        }
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let name = if field.name() == "message" { String::new() } else { format!("{}=", field.name()) };
        self.0 += &format!(" {name}{value:?}");
    }
}
