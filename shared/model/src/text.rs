//! Words that the database has as text.

/// Makes the type of enums, which write and read themselves as words, that of `text`. By the driver's own derivation it would be one by name, which
/// each session has to ask the server for.
macro_rules! is_text {
    ($($word:ty),+ $(,)?) => {$(
        impl sqlx::Type<sqlx::Postgres> for $word {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <str as sqlx::Type<sqlx::Postgres>>::type_info()
            }

            fn compatible(other: &sqlx::postgres::PgTypeInfo) -> bool {
                <str as sqlx::Type<sqlx::Postgres>>::compatible(other)
            }
        }

        impl sqlx::postgres::PgHasArrayType for $word {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                <&str as sqlx::postgres::PgHasArrayType>::array_type_info()
            }
        }
    )+};
}

is_text!(crate::ChunkState, crate::Codec, crate::ImportEvent, crate::ImportState);
