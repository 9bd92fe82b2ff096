//! Unique keys, and columns that may be updated.

use model::AttributeSpec;
use sqlx::{PgConnection, postgres::types::Oid};

use super::{BEFORE, ON_DELETE, ON_INSERT, ON_UPDATE};
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

/// Describes columns, in the order of their names; those of which it is known what they were, whatever they are called now.
pub(crate) async fn columns(
    conn: &mut PgConnection,
    oid: Oid,
    table: &str,
    names: &[String],
    known: &[AttributeSpec],
) -> Result<Vec<ConflictColumn>, TargetError> {
    let numbers: Vec<i16> = known.iter().map(|attribute| attribute.number).collect();
    // Of a domain it is the type below it that has functions, operators and a length. SQL has names of its own for the server's types with a
    // length, and only their own names for others.
    let rows = sqlx::query!(
        r#"SELECT n.name AS "was!", d.name, d.number, d.type_oid, d.uncut AS uncut_type, d.output, d.is_cut, d.is_domain, d.collation_name,
               CASE WHEN d.typmod = -1 THEN d.uncut
                    WHEN d.nspname = 'pg_catalog' THEN pg_catalog.format_type(d.oid, d.typmod)
                    ELSE d.uncut || pg_catalog.replace(pg_catalog.substring(pg_catalog.format_type(d.oid, d.typmod), '\(.*'), '[]', '')
               END AS sql_type
           FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.int2[])) WITH ORDINALITY AS n (name, known, n)
           LEFT JOIN LATERAL (
               SELECT a.attname::pg_catalog.text AS name, a.attnum AS number, a.atttypid AS type_oid, t.oid, s.nspname, CASE WHEN b.is_domain THEN b.typmod ELSE a.atttypmod END AS typmod, b.is_domain,
                   pg_catalog.format('%I.%I', s.nspname, t.typname) AS uncut, t.typcategory IN ('S', 'V') AS is_cut,
                   pg_catalog.format('%I.%I', m.nspname, f.proname) AS output,
                   (SELECT pg_catalog.format('%I.%I', q.nspname, c.collname) FROM pg_catalog.pg_collation AS c
                    JOIN pg_catalog.pg_namespace AS q ON q.oid = c.collnamespace WHERE c.oid = a.attcollation) AS collation_name
               FROM pg_catalog.pg_attribute AS a
               CROSS JOIN LATERAL (
                   WITH RECURSIVE below AS (
                       SELECT o.oid, o.typbasetype, o.typtypmod, o.typtype = 'd' AS is_domain FROM pg_catalog.pg_type AS o WHERE o.oid = a.atttypid
                       UNION ALL
                       SELECT o.oid, o.typbasetype, o.typtypmod, true FROM below JOIN pg_catalog.pg_type AS o ON o.oid = below.typbasetype)
                   SELECT (SELECT below.oid FROM below WHERE below.typbasetype = 0) AS oid, pg_catalog.max(below.typtypmod) AS typmod,
                       pg_catalog.bool_or(below.is_domain) AS is_domain FROM below) AS b
               JOIN pg_catalog.pg_type AS t ON t.oid = b.oid JOIN pg_catalog.pg_namespace AS s ON s.oid = t.typnamespace
               JOIN pg_catalog.pg_proc AS f ON f.oid = t.typoutput JOIN pg_catalog.pg_namespace AS m ON m.oid = f.pronamespace
               WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
                 AND CASE WHEN n.known IS NULL THEN a.attname = n.name::pg_catalog.name ELSE a.attnum = n.known END) AS d ON true
           ORDER BY n.n"#,
        oid,
        names,
        &numbers
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)?;
    let described = rows.into_iter().map(|row| {
        let (Some(name), Some(sql_type), Some(uncut_type), Some(output), Some(number), Some(type_oid)) = (
            row.name,
            row.sql_type,
            row.uncut_type,
            row.output,
            row.number,
            row.type_oid,
        ) else {
            return Err(TargetError::ColumnGone {
                name: table.to_owned(),
                column: row.was,
            });
        };
        Ok(ConflictColumn {
            name,
            attribute: AttributeSpec {
                number,
                type_oid: type_oid.0,
            },
            uncut_type: if row.is_cut == Some(true) {
                uncut_type
            } else {
                sql_type.clone()
            },
            sql_type,
            is_domain: row.is_domain == Some(true),
            collation: row.collation_name,
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

/// The columns of a table, but for those that the server generates, with their numbers, in their order.
pub(crate) async fn whole_row(conn: &mut PgConnection, oid: Oid) -> Result<Vec<(i16, String)>, TargetError> {
    let rows = sqlx::query!(
        r#"SELECT attnum, attname::pg_catalog.text AS "name!" FROM pg_catalog.pg_attribute
           WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"#,
        oid
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(rows.into_iter().map(|row| (row.attnum, row.name)).collect())
}

/// A trigger or a rule that does something when a row is deleted, for people.
pub(crate) async fn watches_deletions(conn: &mut PgConnection, oid: Oid) -> Result<Option<String>, TargetError> {
    let what = sqlx::query_scalar!(
        r#"WITH RECURSIVE tree AS (
               SELECT $1::pg_catalog.oid AS oid
               UNION ALL
               SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid
               JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relispartition)
           SELECT 'the trigger ' || pg_catalog.quote_ident(t.tgname) FROM pg_catalog.pg_trigger AS t
           WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype::pg_catalog.int4 & $2 <> 0 AND t.tgrelid IN (SELECT oid FROM tree)
           UNION ALL
           SELECT 'the rule ' || pg_catalog.quote_ident(r.rulename) FROM pg_catalog.pg_rewrite AS r
           WHERE r.ev_type = '4' AND r.ev_enabled <> 'D' AND r.ev_class IN (SELECT oid FROM tree)
           ORDER BY 1 LIMIT 1"#,
        oid,
        ON_DELETE
    )
    .fetch_optional(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(what.flatten())
}

/// Whether one of some tables has a unique key or an exclusion that is looked at late, which `ON CONFLICT` cannot ask.
pub(crate) async fn has_deferrable(conn: &mut PgConnection, tables: &[Oid]) -> Result<bool, TargetError> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = ANY ($1) AND NOT indimmediate) AS "has!""#,
        tables
    )
    .fetch_one(conn)
    .await
    .map_err(TargetError::Catalog)
}

/// This session's role, where it has not a privilege on a table.
pub(crate) async fn who_may_not(
    conn: &mut PgConnection,
    oid: Oid,
    privilege: &str,
) -> Result<Option<String>, TargetError> {
    sqlx::query_scalar!(
        r#"SELECT CASE WHEN NOT pg_catalog.has_table_privilege($1::pg_catalog.oid, $2) THEN current_user::pg_catalog.text END"#,
        oid,
        privilege
    )
    .fetch_one(conn)
    .await
    .map_err(TargetError::Catalog)
}

/// Foreign keys of other tables that change their rows when one of these columns is updated: constraint, table and column.
pub(crate) async fn referencing(
    conn: &mut PgConnection,
    oid: Oid,
    columns: &[String],
) -> Result<Option<(String, String)>, TargetError> {
    let row = sqlx::query!(
        r#"SELECT c.conname::pg_catalog.text AS "constraint!", c.conrelid::pg_catalog.regclass::pg_catalog.text AS "table!"
           FROM pg_catalog.pg_constraint AS c
           WHERE c.contype = 'f' AND c.confupdtype IN ('c', 'n', 'd')
             AND (c.confrelid = $1 OR c.confrelid IN (
                     SELECT relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass)))
             AND EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey)
                         AND a.attname::pg_catalog.text = ANY ($2))
           ORDER BY 2, 1 LIMIT 1"#,
        oid,
        columns
    )
    .fetch_optional(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(row.map(|row| (row.constraint, row.table)))
}

/// A trigger that could give rows that are restored other values.
pub(crate) async fn trigger_before_update(conn: &mut PgConnection, oid: Oid) -> Result<Option<String>, TargetError> {
    find_trigger_before(conn, oid, ON_UPDATE).await
}

/// A trigger that could give rows that come back other values.
pub(crate) async fn trigger_before_insert(conn: &mut PgConnection, oid: Oid) -> Result<Option<String>, TargetError> {
    find_trigger_before(conn, oid, ON_INSERT).await
}

async fn find_trigger_before(conn: &mut PgConnection, oid: Oid, event: i32) -> Result<Option<String>, TargetError> {
    sqlx::query_scalar!(
        r#"SELECT pg_catalog.quote_ident(t.tgname) AS "name!" FROM pg_catalog.pg_trigger AS t
           WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype::pg_catalog.int4 & $2 = $2
             AND (t.tgrelid = $1 OR t.tgrelid IN (
                     SELECT relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass)))
           ORDER BY 1 LIMIT 1"#,
        oid,
        BEFORE | event
    )
    .fetch_optional(conn)
    .await
    .map_err(TargetError::Catalog)
}
