//! Drawings, as SVG: how fast an import is, and how its chunks stand. What they show is said in words, too.

use ledger::read::{ChunkCell, Picture, Throughput};
use maud::{Markup, html};
use model::words::{self, group};

/// The speed of an import, as a line among words.
pub(super) fn sparkline(speed: &Throughput) -> Markup {
    let most = speed.buckets.iter().map(|bucket| bucket.rows).max().unwrap_or(0).max(1);
    let last = speed.buckets.len().saturating_sub(1).max(1);
    let points: Vec<String> = speed
        .buckets
        .iter()
        .enumerate()
        .map(|(n, bucket)| {
            format!(
                "{:.1},{:.1}",
                scale(n as u64, last as u64) * 60.0,
                15.0 - scale(bucket.rows, most) * 14.0
            )
        })
        .collect();
    html! {
        svg.sparkline viewBox="0 0 60 16" width="60" height="16" aria-hidden="true" focusable="false" {
            polyline points=(points.join(" ")) {}
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is drawn")]
fn scale(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

const CHART_WIDTH: f64 = 600.0;
const CHART_HEIGHT: f64 = 120.0;

/// The speed of an import over its whole time.
pub(super) fn chart(speed: &Throughput) -> Markup {
    let count = speed.buckets.len().max(1);
    let most = speed.buckets.iter().map(|bucket| bucket.rows).max().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "it is drawn")]
    let (width, most_per_s) = (
        CHART_WIDTH / count as f64,
        if speed.width_s > 0.0 {
            most as f64 / speed.width_s
        } else {
            0.0
        },
    );
    #[expect(clippy::cast_precision_loss, reason = "it is drawn")]
    let total = speed.width_s * count as f64;
    let words = format!(
        "Rows a second over {}: {} at most, {} of late",
        words::duration(total),
        words::rate(most_per_s),
        words::rate(speed.rows_per_s)
    );
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (CHART_WIDTH) " " (CHART_HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(words) {
                @for (n, bucket) in speed.buckets.iter().enumerate() {
                    @let height = scale(bucket.rows, most.max(1)) * CHART_HEIGHT;
                    @if bucket.rows > 0 {
                        rect x=(format!("{:.2}", scale(n as u64, count as u64) * CHART_WIDTH)) y=(format!("{:.2}", CHART_HEIGHT - height))
                            width=(format!("{:.2}", (width - 1.0).max(0.5))) height=(format!("{height:.2}")) {}
                    }
                }
            }
            figcaption {
                span { "0" } span { (words::rate(most_per_s)) " rows/s at most" } span { (words::duration(total)) }
            }
        }
    }
}

/// How a cell is drawn: by what is most urgent among its chunks.
fn kind(cell: &ChunkCell) -> &'static str {
    let kinds = [
        (cell.failed, "failed"),
        (cell.running, "running"),
        (cell.kept, "kept"),
        (cell.rejected_records.min(cell.loaded), "rejects"),
    ];
    if let Some((_, kind)) = kinds.iter().find(|(count, _)| *count > 0) {
        return kind;
    }
    // What there is most of.
    let kinds = [
        (cell.loaded, "loaded"),
        (cell.waiting, "waiting"),
        (cell.deleted, "deleted"),
        (cell.cancelled, "cancelled"),
    ];
    kinds
        .iter()
        .max_by_key(|(count, _)| *count)
        .map_or("waiting", |(_, kind)| kind)
}

/// What a cell's chunks are, in words.
fn words(cell: &ChunkCell) -> String {
    let mut words = if cell.first == cell.last {
        format!("chunk {}", group(cell.first))
    } else {
        format!("chunks {} to {}", group(cell.first), group(cell.last))
    };
    let parts: Vec<String> = counts(cell)
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, _, name)| format!("{} {name}", group(count)))
        .collect();
    words.push_str(": ");
    words.push_str(&parts.join(", "));
    if cell.rejected_records > 0 {
        words.push_str(&format!(", {} rejected records", group(cell.rejected_records)));
    }
    words
}

/// What chunks can be: how many, the kind of their cell, its name.
fn counts(cell: &ChunkCell) -> [(u64, &'static str, &'static str); 7] {
    [
        (cell.loaded, "loaded", "loaded"),
        (cell.running, "running", "running"),
        (cell.waiting, "waiting", "waiting"),
        (cell.failed, "failed", "failed"),
        (cell.deleted, "deleted", "undone"),
        (cell.kept, "kept", "undone in part"),
        (cell.cancelled, "cancelled", "never loaded"),
    ]
}

const COLUMNS: usize = 50;
const SIDE: usize = 12;

/// How an import's chunks stand, each or several as a square.
pub(super) fn grid(picture: &Picture) -> Markup {
    let mut sum = ChunkCell::default();
    for cell in &picture.cells {
        sum.loaded += cell.loaded;
        sum.running += cell.running;
        sum.waiting += cell.waiting;
        sum.failed += cell.failed;
        sum.deleted += cell.deleted;
        sum.kept += cell.kept;
        sum.cancelled += cell.cancelled;
        sum.rejected_records += cell.rejected_records;
    }
    sum.last = picture.chunks.saturating_sub(1);
    let columns = COLUMNS.min(picture.cells.len().max(1));
    let rows = picture.cells.len().div_ceil(columns).max(1);
    html! {
        figure.grid {
            svg viewBox={ "0 0 " (COLUMNS * SIDE) " " (rows * SIDE) } role="img" aria-label=(words(&sum)) {
                @for (n, cell) in picture.cells.iter().enumerate() {
                    rect class=(kind(cell)) x=(n % columns * SIDE) y=(n / columns * SIDE) width=(SIDE - 2) height=(SIDE - 2) {
                        title { (words(cell)) }
                    }
                }
            }
            figcaption {
                @for (count, kind, name) in counts(&sum) {
                    @if count > 0 { span.key { span class={ "swatch " (kind) } aria-hidden="true" {} (group(count)) " " (name) } }
                }
                @if sum.rejected_records > 0 {
                    span.key { span.swatch.rejects aria-hidden="true" {} "with rejected records" }
                }
                @if picture.chunks_a_cell > 1 { span.hint { "each square: " (group(picture.chunks_a_cell)) " chunks" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_drawn_as_what_is_most_urgent_in_it() {
        let cell = ChunkCell {
            first: 100,
            last: 199,
            loaded: 97,
            failed: 1,
            running: 2,
            rejected_records: 5,
            ..ChunkCell::default()
        };
        assert_eq!(kind(&cell), "failed");
        assert_eq!(kind(&ChunkCell { failed: 0, ..cell }), "running");
        assert_eq!(
            kind(&ChunkCell {
                failed: 0,
                running: 0,
                ..cell
            }),
            "rejects"
        );
        assert_eq!(
            kind(&ChunkCell {
                loaded: 1,
                waiting: 2,
                ..ChunkCell::default()
            }),
            "waiting"
        );
        assert_eq!(
            words(&cell),
            "chunks 100 to 199: 97 loaded, 2 running, 1 failed, 5 rejected records"
        );
    }
}
