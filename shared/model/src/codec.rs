//! How a payload is compressed.

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Codec {
    Lz4,
}
