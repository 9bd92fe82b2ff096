//! How a payload is compressed.

/// How a payload is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Encode, sqlx::Decode)]
#[sqlx(rename_all = "lowercase")]
pub enum Codec {
    Lz4,
}
