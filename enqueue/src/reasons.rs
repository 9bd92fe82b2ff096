//! Why records were rejected, as CSV.

use std::borrow::Cow;

use csv_async::AsyncWriter;
use ledger::rejects::Reject;
use tokio::io::AsyncWrite;

/// Writes line, column, reason, file and constraint of rejects.
pub struct ReasonWriter<W: AsyncWrite + Unpin> {
    out: AsyncWriter<W>,
    /// What the import's inputs are called.
    inputs: Vec<String>,
}

impl<W: AsyncWrite + Unpin> ReasonWriter<W> {
    /// Begins with the header.
    ///
    /// # Errors
    /// From `out`.
    pub async fn new(out: W, inputs: Vec<String>) -> anyhow::Result<Self> {
        let mut writer = Self {
            out: AsyncWriter::from_writer(out),
            inputs,
        };
        writer
            .record(["line", "column", "reason", "file", "constraint"].map(Cow::from))
            .await?;
        Ok(writer)
    }

    /// # Errors
    /// From what it writes to.
    pub async fn write(&mut self, reject: &Reject) -> anyhow::Result<()> {
        // What has no lines has rows.
        let line = reject.position.line.or(reject.position.record);
        let line = line.map(|line| line.to_string()).unwrap_or_default();
        let column = reject.column.as_deref().unwrap_or_default();
        let file = reject.input_name(&self.inputs).unwrap_or_default().to_owned();
        let constraint = reject
            .refusal
            .as_ref()
            .and_then(|refusal| refusal.constraint.as_deref());
        self.record([
            line.into(),
            column.into(),
            (&reject.reason).into(),
            file.into(),
            constraint.unwrap_or_default().into(),
        ])
        .await
    }

    /// Call it at the end.
    ///
    /// # Errors
    /// From what it writes to.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush().await?)
    }

    async fn record(&mut self, fields: [Cow<'_, str>; 5]) -> anyhow::Result<()> {
        let written = self.out.write_record(fields.iter().map(AsRef::<str>::as_ref)).await;
        written.map_err(|error| match error.into_kind() {
            // Whoever reads may have seen enough, which nobody finds inside an error of the library.
            csv_async::ErrorKind::Io(error) => error.into(),
            other => anyhow::anyhow!("a reason cannot be written: {other:?}"),
        })
    }
}
