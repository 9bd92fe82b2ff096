//! Why records were rejected, as CSV and as JSON.

use std::borrow::Cow;

use csv_async::AsyncWriter;
use ledger::rejects::Reject;
use serde::Serialize;
use tokio::io::AsyncWrite;

/// A rejected record with all that is known of it. The names of its fields are part of the command line's contract.
#[derive(Debug, Serialize)]
pub struct RejectReport<'r> {
    pub file: Option<&'r str>,
    /// From 1, a header not counted; `None` of imports of before.
    pub record: Option<u64>,
    /// From 1, where the format has lines.
    pub line: Option<u64>,
    /// From 0, of the text that the record was read from.
    pub byte: Option<u64>,
    /// The table's column at fault; `None` when the record as a whole does not fit.
    pub column: Option<&'r str>,
    pub reason: &'r str,
    /// The server's code, and the constraint that the record breaks, where the server refused it.
    pub code: Option<&'r str>,
    pub constraint: Option<&'r str>,
    /// The record as it stood there; bytes that are no text are replaced.
    pub raw: Cow<'r, str>,
    /// All its bytes, where some are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_hex: Option<String>,
}

impl<'r> RejectReport<'r> {
    /// # Errors
    /// When the number of its input cannot be one.
    pub fn new(reject: &'r Reject, inputs: &'r [String]) -> anyhow::Result<Self> {
        let refusal = reject.refusal.as_ref();
        let raw = String::from_utf8_lossy(&reject.raw);
        let hex = || reject.raw.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            file: file_of(reject, inputs)?,
            record: reject.position.record,
            line: reject.position.line,
            byte: reject.position.byte,
            column: reject.column.as_deref(),
            reason: &reject.reason,
            code: refusal.map(|refusal| refusal.sqlstate.as_str()),
            constraint: refusal.and_then(|refusal| refusal.constraint.as_deref()),
            raw_hex: matches!(raw, Cow::Owned(_)).then(hex),
            raw,
        })
    }
}

/// What the input of a reject is called.
fn file_of<'i>(reject: &Reject, inputs: &'i [String]) -> anyhow::Result<Option<&'i str>> {
    let number = usize::try_from(reject.position.input)?;
    Ok(inputs.get(number).map(String::as_str))
}

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
        let file = file_of(reject, &self.inputs)?.unwrap_or_default().to_owned();
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
