//! Unique keys, and columns that may be updated.

use sqlx::{PgConnection, postgres::types::Oid};

use crate::{
    TargetError,
    conflict::{ConflictColumn, UniqueIndex},
};

/// The columns of a table's primary key, in its order.
pub(crate) async fn primary_key(conn: &mut PgConnection, oid: Oid) -> Result<Option<Vec<String>>, TargetError> {
    let columns = sqlx::query_scalar!(
        r#"SELECT a.attname::pg_catalog.text AS "name!" FROM pg_catalog.pg_constraint AS c
           CROSS JOIN LATERAL pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k (attnum, n)
           JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
           WHERE c.conrelid = $1 AND c.contype = 'p' ORDER BY k.n"#,
        oid
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(Some(columns).filter(|columns| !columns.is_empty()))
}

/// The columns that only the server gives a value when a row is updated.
pub(crate) async fn always_generated(conn: &mut PgConnection, oid: Oid) -> Result<Vec<String>, TargetError> {
    sqlx::query_scalar!(
        r#"SELECT attname::pg_catalog.text AS "name!" FROM pg_catalog.pg_attribute
           WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND (attidentity = 'a' OR attgenerated <> '')"#,
        oid
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)
}

/// Describes columns, in the order of their names.
pub(crate) async fn columns(
    conn: &mut PgConnection,
    oid: Oid,
    table: &str,
    names: &[String],
) -> Result<Vec<ConflictColumn>, TargetError> {
    // SQL has names of its own for the server's types with a length, and only their own names for others.
    let rows = sqlx::query!(
        r#"SELECT n.name AS "name!", pg_catalog.format('%I.%I', s.nspname, t.typname) AS uncut_type,
               CASE WHEN a.atttypmod = -1 THEN pg_catalog.format('%I.%I', s.nspname, t.typname)
                    WHEN s.nspname = 'pg_catalog' THEN pg_catalog.format_type(a.atttypid, a.atttypmod)
                    ELSE pg_catalog.format('%I.%I', s.nspname, t.typname)
                        || pg_catalog.replace(pg_catalog.substring(pg_catalog.format_type(a.atttypid, a.atttypmod), '\(.*'), '[]', '')
               END AS sql_type, t.typcategory IN ('S', 'V') AS "is_cut?", pg_catalog.format('%I.%I', p.pronspname, p.proname) AS output
           FROM pg_catalog.unnest($2::pg_catalog.text[]) WITH ORDINALITY AS n (name, number)
           LEFT JOIN pg_catalog.pg_attribute AS a
               ON a.attrelid = $1 AND a.attname = n.name::pg_catalog.name AND a.attnum > 0 AND NOT a.attisdropped
           LEFT JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
           LEFT JOIN pg_catalog.pg_namespace AS s ON s.oid = t.typnamespace
           LEFT JOIN LATERAL (
               SELECT f.proname, m.nspname AS pronspname FROM pg_catalog.pg_proc AS f
               JOIN pg_catalog.pg_namespace AS m ON m.oid = f.pronamespace WHERE f.oid = t.typoutput) AS p ON true
           ORDER BY n.number"#,
        oid,
        names
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)?;
    let described = rows.into_iter().map(|row| {
        let (Some(sql_type), Some(uncut_type), Some(output), Some(is_cut)) =
            (row.sql_type, row.uncut_type, row.output, row.is_cut)
        else {
            return Err(TargetError::ColumnGone {
                name: table.to_owned(),
                column: row.name,
            });
        };
        Ok(ConflictColumn {
            name: row.name,
            uncut_type: if is_cut { uncut_type } else { sql_type.clone() },
            sql_type,
            output,
        })
    });
    described.collect()
}

/// The unique index on exactly these columns by which the server finds rows as `ON CONFLICT` does, and compares them as their type does.
pub(crate) async fn unique_index(
    conn: &mut PgConnection,
    oid: Oid,
    key: &[String],
) -> Result<Option<UniqueIndex>, TargetError> {
    /// That values are equal, among the strategies of B-trees.
    const EQUAL: i16 = 3;
    // What is new in a version is not to be named in another one.
    let index = sqlx::query!(
        r#"SELECT coalesce((pg_catalog.to_jsonb(x.*)->>'indnullsnotdistinct')::pg_catalog.bool, false) AS "nulls_not_distinct!",
               (SELECT pg_catalog.array_agg(pg_catalog.format('OPERATOR(%I.%s)', s.nspname, o.oprname) ORDER BY pg_catalog.array_position($2, a.attname::pg_catalog.text))
                FROM ROWS FROM (pg_catalog.unnest(x.indkey::pg_catalog.int2[]), pg_catalog.unnest(x.indclass::pg_catalog.oid[])) AS k (attnum, class)
                JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
                JOIN pg_catalog.pg_opclass AS c ON c.oid = k.class
                JOIN pg_catalog.pg_amop AS m ON m.amopfamily = c.opcfamily AND m.amopstrategy = $3
                    AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
                JOIN pg_catalog.pg_operator AS o ON o.oid = m.amopopr JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace) AS "operators!"
           FROM pg_catalog.pg_index AS x
           WHERE x.indrelid = $1 AND x.indisunique AND x.indisvalid AND x.indimmediate AND x.indpred IS NULL AND x.indexprs IS NULL
             AND x.indnkeyatts = pg_catalog.cardinality($2)
             AND NOT EXISTS (
                 SELECT FROM ROWS FROM (pg_catalog.unnest(x.indkey::pg_catalog.int2[]), pg_catalog.unnest(x.indclass::pg_catalog.oid[]),
                                        pg_catalog.unnest(x.indcollation::pg_catalog.oid[])) WITH ORDINALITY AS k (attnum, class, collation_oid, n)
                 LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
                 LEFT JOIN pg_catalog.pg_opclass AS c ON c.oid = k.class
                 WHERE k.n <= x.indnkeyatts
                   AND (a.attname::pg_catalog.text = ANY ($2) AND c.opcdefault AND k.collation_oid = a.attcollation) IS NOT TRUE)
           ORDER BY x.indexrelid LIMIT 1"#,
        oid,
        key,
        EQUAL
    )
    .fetch_optional(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(index.map(|index| UniqueIndex {
        operators: index.operators,
        nulls_not_distinct: index.nulls_not_distinct,
    }))
}

/// What keeps rows from being told from those that are there.
pub(crate) async fn obstacle(conn: &mut PgConnection, oid: Oid) -> Result<Option<&'static str>, TargetError> {
    let row = sqlx::query!(
        r#"SELECT pg_catalog.row_security_active(c.oid) AS "row_security!",
               EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_type IN ('2', '3')) AS "rules!"
           FROM pg_catalog.pg_class AS c WHERE c.oid = $1"#,
        oid
    )
    .fetch_one(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(if row.row_security {
        Some("it has row-level security, which may hide them")
    } else if row.rules {
        Some("it has a rule on INSERT or UPDATE")
    } else {
        None
    })
}

/// This session's role, where it may not update a table.
pub(crate) async fn who_may_not_update(conn: &mut PgConnection, oid: Oid) -> Result<Option<String>, TargetError> {
    sqlx::query_scalar!(
        r#"SELECT CASE WHEN NOT pg_catalog.has_table_privilege($1::pg_catalog.oid, 'UPDATE') THEN current_user::pg_catalog.text END"#,
        oid
    )
    .fetch_one(conn)
    .await
    .map_err(TargetError::Catalog)
}
