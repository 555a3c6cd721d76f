//! Threads apart from those of the watch and the index: no work that a client can ask for runs where the watch is followed.

use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Cores that this process may use; one where the system does not tell.
pub fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// A runtime with threads of its own. Its tasks end with it.
pub struct Threads {
    handle: Handle,
    /// There until it is dropped.
    runtime: Option<Runtime>,
}

impl Threads {
    /// `count` threads, which are called `name`.
    ///
    /// # Errors
    /// The threads cannot be created.
    pub fn new(name: &str, count: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().thread_name(name).worker_threads(count).enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where tasks can be spawned from any thread.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a task there.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(task)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for threads is not allowed on a thread of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_run_on_threads_of_their_own() {
        let threads = Threads::new("streams", 1).unwrap();
        let task = threads.spawn(async { std::thread::current().name().map(str::to_owned) });
        assert_eq!(task.await.unwrap().as_deref(), Some("streams"));
    }
}
