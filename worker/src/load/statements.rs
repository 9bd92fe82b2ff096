//! The statements that put a chunk's rows into the target and look at them again, by the way in which the import finds its rows.

use model::LoadMethod;
use target::{Column, ColumnType, Conflict, Identity, SequenceIdentity, Target, quote_identifier};

use super::conflict::OnConflict;

/// The 64-bit form of a row's transaction, as far as the row has it: the lower half.
const XMIN: &str = "t.xmin::pg_catalog.text::pg_catalog.int8";

/// What a statement returns of a row that it put somewhere.
pub(super) const PLACE: &str = "tableoid AS leaf, ctid AS place";
/// Runs of pages of these places. Of the six bytes of a place the first four are its page.
pub(crate) const PAGES: &str =
    "leaf, pg_catalog.pg_relation_filenode(leaf) AS filenode, pg_catalog.min(place)::pg_catalog.text AS first,
     pg_catalog.max(place)::pg_catalog.text AS last, pg_catalog.count(*) AS rows";
pub(crate) const BY_PAGES: &str = "GROUP BY leaf, pg_catalog.substring(pg_catalog.tidsend(place), 1, 3)";

/// The statements of an import.
#[derive(Debug)]
pub(super) enum Statements {
    Sequence(BySequence),
    Transaction(ByTransaction),
}

/// Where rows have ids.
#[derive(Debug)]
pub(super) struct BySequence {
    pub identity: SequenceIdentity,
    /// With `$1` to `$3` as the ends and the step of a single range of ids, and the columns' arrays after them.
    pub insert_range: String,
    /// With any ids as `$1`.
    pub insert: String,
    pub copy: String,
    /// The xmins of several ranges together.
    pub xmins: String,
    /// The xmins of single rows.
    pub xmin_each: String,
    /// The xmins of each of several ranges by itself.
    pub xmins_by_range: String,
}

/// Where they have none.
#[derive(Debug)]
pub(super) struct ByTransaction {
    /// With the columns' arrays from `$1` on. Returns, for each of the tables and each run of 256 pages: the table and its file, the first
    /// and the last place there, and how many rows.
    pub insert: String,
    /// The xmins of the rows in the tables `$1` at the places `$2`.
    pub xmin_each: String,
    /// In place of `insert`, where rows may be there already.
    pub on_conflict: Option<OnConflict>,
}

impl Statements {
    pub(super) fn new(target: &Target, columns: &[Column], conflict: Option<&Conflict>) -> Self {
        match &target.identity {
            Identity::Sequence(identity) => Self::Sequence(BySequence::new(target, identity, columns)),
            Identity::Transaction => Self::Transaction(ByTransaction::new(target, columns, conflict)),
        }
    }

    /// **Bytes** of an id, where rows get one by this method.
    pub(super) fn id_width(&self, method: LoadMethod) -> Option<i16> {
        match self {
            Self::Sequence(sequence) if method == LoadMethod::Copy => Some(sequence.identity.width),
            _ => None,
        }
    }
}

impl BySequence {
    fn new(target: &Target, identity: &SequenceIdentity, columns: &[Column]) -> Self {
        let (from, id) = (&target.from, quote_identifier(&identity.column));
        let in_ranges = format!("t.{id} BETWEEN r.start_id AND r.end_id AND (t.{id} - r.start_id) % r.step = 0");
        let ranges = "ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.int8[]),
                                 pg_catalog.unnest($3::pg_catalog.int8[]))";
        let names = column_list(Some(identity), columns);
        let insert = |ids: &str, first_array: usize| {
            let values: Vec<String> = std::iter::once(ids.to_owned())
                .chain(arrays(columns, first_array))
                .collect();
            insert_statement(target, &names, &values)
        };
        Self {
            insert_range: insert(
                "pg_catalog.generate_series($1::pg_catalog.int8, $2::pg_catalog.int8, $3::pg_catalog.int8)",
                4,
            ),
            insert: insert("pg_catalog.unnest($1::pg_catalog.int8[])", 2),
            copy: format!("COPY {} ({names}) FROM STDIN (FORMAT binary)", target.name),
            xmins: format!(
                "SELECT coalesce(pg_catalog.array_agg(DISTINCT {XMIN}), '{{}}') AS xmins, pg_catalog.count(*) AS found
                 FROM {ranges} AS r (start_id, end_id, step) JOIN {from} AS t ON {in_ranges}"
            ),
            xmin_each: format!(
                "SELECT {XMIN} AS xmin FROM pg_catalog.unnest($1::pg_catalog.int8[]) WITH ORDINALITY AS r (id, n)
                 JOIN {from} AS t ON t.{id} = r.id ORDER BY r.n"
            ),
            xmins_by_range: format!(
                "SELECT r.n, pg_catalog.array_agg(DISTINCT {XMIN}) AS xmins, pg_catalog.count(*) AS found
                 FROM {ranges} WITH ORDINALITY AS r (start_id, end_id, step, n) JOIN {from} AS t ON {in_ranges}
                 GROUP BY r.n ORDER BY r.n"
            ),
            identity: identity.clone(),
        }
    }
}

impl ByTransaction {
    fn new(target: &Target, columns: &[Column], conflict: Option<&Conflict>) -> Self {
        let values: Vec<String> = arrays(columns, 1).collect();
        let insert = insert_statement(target, &column_list(None, columns), &values);
        Self {
            insert: format!(
                "WITH put AS ({insert} RETURNING {PLACE}) SELECT {PAGES} FROM put {BY_PAGES}"
            ),
            on_conflict: conflict.map(|conflict| OnConflict::new(target, columns, conflict)),
            xmin_each: format!(
                "SELECT {XMIN} AS xmin
                 FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[]::pg_catalog.tid[]))
                     AS r (leaf, place)
                 JOIN {} AS t ON t.tableoid OPERATOR(pg_catalog.=) r.leaf AND t.ctid OPERATOR(pg_catalog.=) r.place",
                target.from
            ),
        }
    }
}

fn insert_statement(target: &Target, names: &str, values: &[String]) -> String {
    format!(
        "INSERT INTO {} ({names}) OVERRIDING SYSTEM VALUE SELECT {}",
        target.name,
        values.join(", ")
    )
}

/// The id's column, if there is one, and those of the file, quoted, for a statement's list.
pub(super) fn column_list(identity: Option<&SequenceIdentity>, columns: &[Column]) -> String {
    let id = identity.map(|identity| &identity.column);
    let names = id.into_iter().chain(columns.iter().map(|column| &column.name));
    names.map(|name| quote_identifier(name)).collect::<Vec<_>>().join(", ")
}

/// The columns' values, whose arrays are the parameters from `first` on.
///
/// Set-returning functions in the select list stream; in FROM they would be stored first.
pub(super) fn arrays(columns: &[Column], first: usize) -> impl Iterator<Item = String> {
    (first..).zip(columns).map(|(parameter, column)| {
        // The types are said, for a session prepares a text once: a column of another type since must have another text.
        let values = format!(
            "pg_catalog.unnest(${parameter}::pg_catalog.{})",
            array_type(&column.kind)
        );
        match &column.kind {
            ColumnType::Other { sql_name, .. } => format!("{values}::{sql_name}"),
            _ => values,
        }
    })
}

/// The type of the array in which a column's values are sent.
fn array_type(kind: &ColumnType) -> &'static str {
    match kind {
        ColumnType::Text { .. } | ColumnType::Other { .. } => "text[]",
        ColumnType::Int2 => "int2[]",
        ColumnType::Int4 => "int4[]",
        ColumnType::Int8 => "int8[]",
        ColumnType::Bool => "bool[]",
        ColumnType::Float4 => "float4[]",
        ColumnType::Float8 => "float8[]",
        ColumnType::Numeric { .. } => "numeric[]",
        ColumnType::Date => "date[]",
        ColumnType::Timestamp { .. } => "timestamp[]",
        ColumnType::Timestamptz { .. } => "timestamptz[]",
        ColumnType::Uuid => "uuid[]",
    }
}
