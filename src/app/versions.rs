//! Cuts versions of the zones beside the publisher, and keeps their serials rising.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::state::SerialFile;
use crate::table::TableWriter;
use crate::telemetry::metrics::Metrics;
use crate::transfer::{SerialClock, TICK, VersionWriter};

/// Ticks that are written down as used before they are: ten seconds of them. A process that was killed begins behind them.
const RESERVED: u64 = 40;

/// Cuts versions.
pub struct VersionCutter {
    writer: VersionWriter,
    clock: SerialClock,
    metrics: Arc<Metrics>,
    /// The earliest time of the next version.
    next: Instant,
    /// Where used ticks are written down, if anywhere.
    file: Option<Arc<SerialFile>>,
    /// The last tick that is written down as used, or about to be.
    reserved: u64,
    saving: Option<JoinHandle<bool>>,
    afresh: Afresh,
}

/// Asks for a version that nothing leads to: the records of the one before were written in another way, with other TTLs.
#[derive(Clone, Debug, Default)]
pub(super) struct Afresh(Arc<Notify>);

impl Afresh {
    pub fn ask(&self) {
        self.0.notify_one();
    }
}

impl VersionCutter {
    /// A cutter, with its file and the last tick there that is used.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(
        writer: VersionWriter,
        replica: u8,
        file: Option<(SerialFile, u64)>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let last = file.as_ref().map_or(0, |(_, last)| *last);
        let mut clock = SerialClock::new(replica, last);
        let reserved = clock.next(SystemTime::now()) + RESERVED;
        let file = file.map(|(file, _)| Arc::new(file));
        file.as_ref().map_or(Ok(()), |file| file.save(reserved))?;
        let (next, saving, afresh) = (Instant::now(), None, Afresh::default());
        Ok(Self { writer, clock, metrics, next, file, reserved, saving, afresh })
    }

    /// Waits until a version may be cut.
    pub(super) async fn due(&self) {
        sleep_until(self.next).await;
    }

    /// The same, or for ever if there are no versions.
    pub(super) async fn due_if_any(cutter: Option<&Self>) {
        match cutter {
            Some(cutter) => cutter.due().await,
            None => pending().await,
        }
    }

    /// What asks for a version that nothing leads to.
    pub(super) fn afresh(&self) -> Afresh {
        self.afresh.clone()
    }

    /// Waits until such a version is asked for, for ever if there are no versions.
    pub(super) async fn is_to_begin_afresh(cutter: Option<&Self>) {
        match cutter {
            Some(cutter) => cutter.afresh.0.notified().await,
            None => pending().await,
        }
    }

    /// Cuts one, if there is a version at all.
    pub(super) fn begin_afresh(&mut self, table: &mut TableWriter) {
        if self.has_version() {
            self.writer.forget_history();
            self.cut(table);
        }
    }

    /// Cuts a version of what the table has.
    pub fn cut(&mut self, table: &mut TableWriter) {
        let changes = table.take_changes();
        let tick = self.clock.next(SystemTime::now());
        let serial = self.clock.serial(tick);
        self.writer.cut(serial, changes);
        table.set_serial(serial);
        // Whoever is told asks for the serial next.
        self.writer.announce();
        let (versions, octets) = self.writer.history();
        self.metrics.transfers().cut(serial, versions, octets);
        self.next = Instant::now() + TICK;
        self.reserve(tick);
    }

    /// Whether there is a version.
    pub fn has_version(&self) -> bool {
        self.writer.has_version()
    }

    /// Writes down further ticks in time.
    fn reserve(&mut self, tick: u64) {
        let is_saving = self.saving.as_ref().is_some_and(|saving| !saving.is_finished());
        let Some(file) = self.file.clone().filter(|_| !is_saving && tick + RESERVED / 2 > self.reserved) else {
            return;
        };
        let reserved = tick + RESERVED;
        self.reserved = reserved;
        self.saving = Some(spawn_blocking(move || save(&file, reserved)));
    }

    /// Writes down the ticks that are really used.
    pub(super) async fn end(mut self) {
        if let Some(saving) = self.saving.take() {
            // A panic in it has been logged.
            let _ = saving.await;
        }
        if let Some(file) = self.file {
            let last = self.clock.last();
            let _ = spawn_blocking(move || save(&file, last)).await;
        }
    }
}

/// Whether it is saved. Otherwise serials go on to rise as long as the clock does.
fn save(file: &SerialFile, tick: u64) -> bool {
    let saved = file.save(tick);
    if let Err(error) = &saved {
        tracing::warn!(%error, "cannot save the serial of the zones; it may go back after a crash if the clock is set back");
    }
    saved.is_ok()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::table::table;
    use crate::transfer::{HistoryLimits, is_newer, versions};

    /// X4.
    #[tokio::test(start_paused = true)]
    async fn however_many_changes_there_are_versions_are_cut_four_times_a_second() {
        let (mut writer, _answers) = table();
        let (versions, _told) = versions(HistoryLimits { versions: 1, octets: 0 });
        let mut cutter = VersionCutter::new(versions, 0, None, Arc::default()).unwrap();
        let (began, mut times) = (Instant::now(), Vec::new());
        // There is a change at any time.
        while times.len() < 9 {
            cutter.due().await;
            cutter.cut(&mut writer);
            times.push(began.elapsed().as_millis());
        }
        assert_eq!(times, [0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000]);
    }

    /// X4. A secondary that is told asks for the serial at once, and takes an older one for a sign that nothing has changed.
    #[test]
    fn whoever_is_told_of_a_version_finds_its_serial_in_answers() {
        const CUTS: usize = 20_000;
        let (mut writer, answers) = table();
        let (versions, told) = versions(HistoryLimits { versions: 1, octets: 0 });
        let mut cutter = VersionCutter::new(versions, 0, None, Arc::default()).unwrap();
        thread::scope(|scope| {
            let serials = told.serials();
            let asking = scope.spawn(move || {
                while serials.has_changed().is_ok() {
                    let Some(told) = *serials.borrow() else { continue };
                    let answered = answers.pin().serial();
                    assert!(!is_newer(told, answered), "told of {told}, answered {answered}");
                }
            });
            // It may have found something.
            for _ in (0..CUTS).take_while(|_| !asking.is_finished()) {
                cutter.cut(&mut writer);
            }
            drop((cutter, told));
        });
    }
}
