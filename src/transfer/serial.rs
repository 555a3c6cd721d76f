//! Serials of zone versions: `16 × tick + replica`, a tick being a quarter of a second of wall clock (X5).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The shortest time between two versions.
pub const TICK: Duration = Duration::from_millis(250);
/// Replicas that a secondary may follow: each has serials of its own.
pub const MOST_REPLICAS: u8 = 16;

/// Gives serials that rise, whatever the wall clock does.
#[derive(Debug)]
pub struct SerialClock {
    /// Ticks up to this one are used up.
    last: u64,
    replica: u8,
}

impl SerialClock {
    /// The clock of a replica, from 0 to 15, that may have used ticks up to `last` in an earlier run.
    pub fn new(replica: u8, last: u64) -> Self {
        Self { last, replica: replica % MOST_REPLICAS }
    }

    /// The tick of the next version, at this time. It is used up from now on.
    pub fn next(&mut self, now: SystemTime) -> u64 {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let tick = u64::try_from(since_epoch.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX);
        self.last = tick.max(self.last.saturating_add(1));
        self.last
    }

    /// The last tick that is used up.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The serial of a tick. RFC 1982 arithmetic makes the truncation sound: a serial is newer than all of the 388 days before it.
    pub fn serial(&self, tick: u64) -> u32 {
        tick.wrapping_mul(u64::from(MOST_REPLICAS)).wrapping_add(u64::from(self.replica)) as u32
    }
}

/// Whether a serial is newer than another (RFC 1982 section 3.2).
pub fn is_newer(serial: u32, other: u32) -> bool {
    // Half of the circle is ahead.
    serial.wrapping_sub(other).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(milliseconds)
    }

    /// X5.
    #[test]
    fn serials_rise_when_the_clock_stands_still_or_goes_back_and_after_a_restart() {
        let mut clock = SerialClock::new(3, 0);
        let serial = |clock: &mut SerialClock, time| {
            let tick = clock.next(at(time));
            clock.serial(tick)
        };
        assert_eq!(serial(&mut clock, 1000), 4 * 16 + 3);
        assert_eq!(serial(&mut clock, 1249), 5 * 16 + 3, "within the same tick");
        assert_eq!(serial(&mut clock, 0), 6 * 16 + 3, "the clock was set back");
        assert_eq!(serial(&mut clock, 5000), 20 * 16 + 3);
        assert_eq!(serial(&mut SerialClock::new(3, 20), 4000), 21 * 16 + 3, "restarted, with the clock set back");
    }

    /// X5.
    #[test]
    fn a_serial_is_newer_than_those_before_it_when_the_numbers_wrap_too() {
        assert!(is_newer(2, 1) && !is_newer(1, 2) && !is_newer(1, 1));
        assert!(is_newer(5, u32::MAX - 5) && !is_newer(u32::MAX - 5, 5));
        let clock = SerialClock::new(0, 0);
        let wraps = u64::from(u32::MAX / 16);
        assert!(is_newer(clock.serial(wraps + 1), clock.serial(wraps)));
    }

    /// X5.
    #[test]
    fn no_two_replicas_have_a_serial_in_common() {
        for (one, other) in (0..MOST_REPLICAS).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let (one, other) = (SerialClock::new(one, 0), SerialClock::new(other, 0));
            assert!((0..4).all(|tick| (0..4).all(|again| one.serial(tick) != other.serial(again))));
        }
    }
}
