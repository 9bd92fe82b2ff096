//! Putting a chunk's records into the target: records to rows ([`rows`]), rows to the server's binary forms ([`sink`]), ids from the
//! table's own sequence ([`ids`]), and the statements ([`plan`]).

pub mod ids;
pub mod plan;
pub mod rows;
pub mod sink;
