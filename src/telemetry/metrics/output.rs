//! Writes families of metrics: their name, their help, and a series for each set of labels.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::Label;

/// Observations in buckets.
pub(super) trait Distribution {
    /// What is observed.
    fn unit() -> Unit;
    /// Upper bound of each bucket, with the number of observations in that bucket.
    fn buckets(&self) -> Vec<(f64, u64)>;
    /// Of all observations.
    fn sum(&self) -> f64;
}

/// Writes whole families.
pub(super) struct Output<'a>(pub DescriptorEncoder<'a>);

impl Output<'_> {
    pub fn counters<'m, L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, &'m AtomicU64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        series.into_iter().try_for_each(|(labels, count)| {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count.load(Relaxed), None)
        })
    }

    pub fn counter(&mut self, name: &str, help: &str, count: &AtomicU64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&count.load(Relaxed), None)
    }

    pub fn seconds(&mut self, name: &str, help: &str, seconds: f64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&seconds, None)
    }

    pub fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        series: impl IntoIterator<Item = (L, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        series.into_iter().try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    pub fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    pub fn histograms<'m, L: EncodeLabelSet, D: Distribution + 'm>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, &'m D)>,
    ) -> fmt::Result {
        let unit = D::unit();
        let mut family = self.0.encode_descriptor(name, help, Some(&unit), MetricType::Histogram)?;
        series
            .into_iter()
            .try_for_each(|(labels, distribution)| encode_histogram(family.encode_family(&labels)?, distribution))
    }

    pub fn histogram<D: Distribution>(&mut self, name: &str, help: &str, distribution: &D) -> fmt::Result {
        let unit = D::unit();
        let encoder = self.0.encode_descriptor(name, help, Some(&unit), MetricType::Histogram)?;
        encode_histogram(encoder, distribution)
    }
}

/// Writes one histogram.
fn encode_histogram(mut encoder: MetricEncoder<'_>, distribution: &impl Distribution) -> fmt::Result {
    let buckets = distribution.buckets();
    // The sum of the buckets, so that the count agrees with them while other threads count.
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(distribution.sum(), count, &buckets, None)
}

/// Several labels with their values.
pub(super) struct Labels<const N: usize>(pub [(&'static str, &'static str); N]);

impl<const N: usize> EncodeLabelSet for Labels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        EncodeLabelSet::encode(&self.0, encoder)
    }
}

pub(super) fn pair<L: Label>(label: L) -> (&'static str, &'static str) {
    (L::NAME, label.as_str())
}

pub(super) fn product<A: Label, B: Label>(a: &'static [A], b: &'static [B]) -> impl Iterator<Item = (A, B)> {
    a.iter().flat_map(move |a| b.iter().map(move |b| (*a, *b)))
}
