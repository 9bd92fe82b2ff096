//! Putting a chunk's records into the target: records to rows ([`shape`], [`rows`]), rows to the server's binary forms ([`sink`]), ids from the
//! table's own sequence ([`ids`]) or the pages where they are put ([`pages`]), and the statements ([`statements`], [`plan`]), also where rows
//! may be there already ([`conflict`]). What the server refuses ([`refusal`]) is found out record by record ([`salvage`]).
//! Rows that no record has are deleted at the end, where that is asked for ([`sweep`]).
//! What a load would put there says which types the columns of a table could have that is yet to be made ([`types`]).

pub mod conflict;
pub mod ids;
pub(crate) mod pages;
pub mod plan;
pub mod refusal;
pub mod rows;
pub mod salvage;
pub mod shape;
pub mod sink;
pub(crate) mod statements;
pub(crate) mod sweep;
pub mod types;
