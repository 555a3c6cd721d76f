//! Medians and percentiles.

use std::time::Duration;

/// Measured times, sorted.
#[derive(Default)]
pub struct Sorted(Vec<Duration>);

impl Sorted {
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time in milliseconds that this share of all did not exceed; NaN without times.
    pub fn millis(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share) as usize).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

/// The median of some figures; NaN without any.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
