//! Putting a chunk's records into the target: records to rows ([`rows`]), rows to the server's binary forms ([`sink`]), ids from the
//! table's own sequence ([`ids`]), and the statements ([`plan`]). What the server refuses ([`refusal`]) is found out record by record
//! ([`salvage`]).

pub mod ids;
pub mod plan;
pub mod refusal;
pub mod rows;
pub mod salvage;
pub mod sink;
