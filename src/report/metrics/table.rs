//! A table of metrics, and its encoding as the text that node_exporter reads. Pure.

use std::fmt;

use chrono::DateTime;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use tagkeeper_core::model::WorkloadName;

pub(super) type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
pub(super) enum Value {
    Counter(u64),
    Gauge(f64),
}

#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    samples: Vec<(Labels, Value)>,
}

/// The text, family by family. One without samples is left out.
pub(super) fn encode(mut families: Vec<Family>) -> String {
    families.retain(|family| !family.samples.is_empty());
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Table(families)));
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

pub(super) fn family(
    name: &'static str,
    help: &'static str,
    samples: impl IntoIterator<Item = (Labels, Value)>,
) -> Family {
    Family {
        name,
        help,
        samples: samples.into_iter().collect(),
    }
}

/// A family of one sample without labels, or of none.
pub(super) fn alone(name: &'static str, help: &'static str, value: Option<f64>) -> Family {
    family(name, help, value.map(|v| (Labels::new(), Value::Gauge(v))))
}

pub(super) fn whose(name: &WorkloadName) -> Labels {
    vec![("workload", name.as_str().to_owned())]
}

pub(super) fn one(name: &WorkloadName, value: Value) -> Vec<(Labels, Value)> {
    vec![(whose(name), value)]
}

pub(super) fn switch(on: bool) -> Value {
    Value::Gauge(f64::from(u8::from(on)))
}

#[allow(clippy::cast_precision_loss, reason = "no disk holds so many images")]
pub(super) fn count(of: usize) -> Value {
    Value::Gauge(of as f64)
}

#[allow(clippy::cast_precision_loss, reason = "exact for 9 PB")]
pub(super) fn as_float(bytes: u64) -> f64 {
    bytes as f64
}

#[allow(
    clippy::cast_precision_loss,
    reason = "exact for 285,000 years of milliseconds"
)]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// Seconds since 1970; none for what is no time.
#[allow(
    clippy::cast_precision_loss,
    reason = "exact for any time that chrono can print"
)]
pub(super) fn unix_secs(at: &str) -> Option<f64> {
    let time = DateTime::parse_from_rfc3339(at).ok()?;
    Some(time.timestamp() as f64)
}

#[derive(Debug)]
struct Table(Vec<Family>);

impl Collector for Table {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let counted = matches!(family.samples.first(), Some((_, Value::Counter(_))));
            let kind = if counted {
                MetricType::Counter
            } else {
                MetricType::Gauge
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for (labels, value) in &family.samples {
                let sample = metric.encode_family(labels)?;
                match value {
                    Value::Counter(value) => ConstCounter::new(*value).encode(sample)?,
                    Value::Gauge(value) => ConstGauge::new(*value).encode(sample)?,
                }
            }
        }
        Ok(())
    }
}
