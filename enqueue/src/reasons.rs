//! Why records were rejected, as CSV.

use csv_async::AsyncWriter;
use ledger::rejects::Reject;
use tokio::io::AsyncWrite;

/// Writes line, column and reason of rejects.
pub struct ReasonWriter<W: AsyncWrite + Unpin>(AsyncWriter<W>);

impl<W: AsyncWrite + Unpin> ReasonWriter<W> {
    /// Begins with the header.
    ///
    /// # Errors
    /// From `out`.
    pub async fn new(out: W) -> anyhow::Result<Self> {
        let mut writer = Self(AsyncWriter::from_writer(out));
        writer.record(["line", "column", "reason"]).await?;
        Ok(writer)
    }

    /// # Errors
    /// From what it writes to.
    pub async fn write(&mut self, reject: &Reject) -> anyhow::Result<()> {
        let line = reject.position.line.map(|line| line.to_string()).unwrap_or_default();
        let column = reject.column.as_deref().unwrap_or_default();
        self.record([&line, column, &reject.reason]).await
    }

    /// Call it at the end.
    ///
    /// # Errors
    /// From what it writes to.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.0.flush().await?)
    }

    async fn record(&mut self, fields: [&str; 3]) -> anyhow::Result<()> {
        let written = self.0.write_record(fields).await;
        written.map_err(|error| match error.into_kind() {
            // Whoever reads may have seen enough, which nobody finds inside an error of the library.
            csv_async::ErrorKind::Io(error) => error.into(),
            other => anyhow::anyhow!("a reason cannot be written: {other:?}"),
        })
    }
}
