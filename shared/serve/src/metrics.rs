//! Figures of the whole database, for Prometheus. Those of one worker are that worker's own.

use std::sync::{Arc, atomic::AtomicU64};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use ledger::read::{self, Overview};
use model::ImportState;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use crate::{app::App, failure::Failure};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTable {
    table: String,
}

type Level = Gauge<f64, AtomicU64>;

pub(crate) async fn page(State(app): State<App>) -> Result<Response, Failure> {
    let find = async {
        let mut conn = app.connection().await?;
        let overview = read::overview(&mut conn).await?;
        let successes = read::last_successes(&mut conn).await?;
        text(&overview, &successes)
    };
    let text: Arc<String> = app.answers.get("metrics", find).await?;
    Ok((
        [(header::CONTENT_TYPE, listener::OPENMETRICS)],
        text.as_str().to_owned(),
    )
        .into_response())
}

#[expect(clippy::cast_precision_loss, reason = "every figure of Prometheus is a float")]
fn text(overview: &Overview, successes: &[(String, f64)]) -> Result<String, Failure> {
    let mut registry = Registry::with_prefix("pg_import");
    let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The version of this program", version);
    let imports = Family::<OfState, Level>::default();
    registry.register("imports", "Imports in the ledger, by their state", imports.clone());
    for state in ImportState::ALL {
        let count = overview.imports.iter().find(|(other, _)| *other == state);
        imports
            .get_or_create(&OfState { state: state.as_str() })
            .set(count.map_or(0.0, |(_, count)| *count as f64));
    }
    let mut level = |name: &str, help: &str, unit: Option<Unit>, value: f64| {
        let gauge = Level::default();
        gauge.set(value);
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, gauge),
            None => registry.register(name, help, gauge),
        }
    };
    level(
        "queue_chunks",
        "Chunks that wait or are being loaded",
        None,
        overview.chunks_pending as f64,
    );
    level(
        "queue_payload",
        "Bytes of their payloads",
        Some(Unit::Bytes),
        overview.bytes_pending as f64,
    );
    level(
        "failed_chunks",
        "Chunks of failed imports that could not be loaded",
        None,
        overview.chunks_failed as f64,
    );
    level(
        "queue_oldest_age",
        "Time since the submission of the oldest import of which chunks wait; 0 when none does",
        Some(Unit::Seconds),
        overview.oldest_pending_s.unwrap_or(0.0),
    );
    let undelivered = &overview.undelivered;
    level(
        "undelivered_notifications",
        "Notifications that wait to be sent, for the first time or again",
        None,
        undelivered.waiting as f64,
    );
    level(
        "undelivered_notifications_oldest_age",
        "Time since the event of the oldest of them; 0 when there is none",
        Some(Unit::Seconds),
        undelivered.oldest_s,
    );
    level(
        "given_up_notifications",
        "Notifications that no receiver took in time; forgetting the imports forgets them",
        None,
        undelivered.given_up as f64,
    );
    level(
        "workers_alive",
        "Workers whose heartbeat is fresh",
        None,
        overview.workers as f64,
    );
    level(
        "unserved_queues",
        "Queues in which imports wait, and that no worker serves",
        None,
        overview.unserved.len() as f64,
    );
    let last = Family::<OfTable, Level>::default();
    registry.register_with_unit(
        "last_success_timestamp",
        "When the newest loaded import of a table ended, since 1970",
        Unit::Seconds,
        last.clone(),
    );
    for (table, at) in successes {
        last.get_or_create(&OfTable { table: table.clone() }).set(*at);
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Failure::internal(&error.to_string()))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use ledger::deliveries::Undelivered;
    use model::{Lane, QueueName};

    use super::*;

    #[test]
    fn each_figure_has_its_unit_in_its_name_and_every_state_is_there() {
        let overview = Overview {
            imports: vec![(ImportState::Loaded, 7)],
            chunks_pending: 3,
            bytes_pending: 4096,
            chunks_failed: 0,
            oldest_pending_s: Some(1.5),
            workers: 2,
            unserved: vec![Lane::of_all(QueueName::default())],
            undelivered: Undelivered {
                waiting: 1,
                oldest_s: 2.5,
                given_up: 0,
            },
        };
        let text = text(&overview, &[("shop.\"odd\"".to_owned(), 7.5)]).unwrap();
        for line in [
            "pg_import_imports{state=\"loaded\"} 7.0",
            "pg_import_imports{state=\"failed\"} 0.0",
            "pg_import_queue_chunks 3.0",
            "pg_import_queue_payload_bytes 4096.0",
            "pg_import_queue_oldest_age_seconds 1.5",
            "pg_import_undelivered_notifications 1.0",
            "pg_import_undelivered_notifications_oldest_age_seconds 2.5",
            "pg_import_workers_alive 2.0",
            "pg_import_unserved_queues 1.0",
            "pg_import_last_success_timestamp_seconds{table=\"shop.\\\"odd\\\"\"} 7.5",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }
}
