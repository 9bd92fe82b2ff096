//! The questions to the catalog. Some are asked in sessions with a role's own search path: see [`session::database::role_session`].

use std::sync::Arc;

use model::IdentityChoice;
use sqlx::{PgConnection, postgres::types::Oid};

use super::{
    Characters, Column, ColumnType, Identity, Leaf, Nature, Place, SequenceIdentity, Target, TargetError, UndoTarget,
    create::check_table_name, quote_identifier,
};

pub(super) mod conflict;

/// What a trigger fires for, in `pg_trigger.tgtype`: each row, before what happens, and the statements.
const FOR_EACH_ROW: i32 = 1;
const BEFORE: i32 = 1 << 1;
const ON_INSERT: i32 = 1 << 2;
const ON_DELETE: i32 = 1 << 3;
const ON_UPDATE: i32 = 1 << 4;

/// The oid of the table that SQL would find under `name`.
pub(super) async fn resolve(conn: &mut PgConnection, name: &str) -> Result<Oid, TargetError> {
    let found = sqlx::query_scalar!(r#"SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS "oid""#, name)
        .fetch_one(&mut *conn)
        .await;
    match found {
        Ok(Some(oid)) => Ok(oid),
        Ok(None) => Err(TargetError::Missing { name: name.to_owned() }),
        // invalid_name, syntax_error, and a name of too many parts
        Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42602" | "42601" | "0A000")) => {
            Err(TargetError::Name { name: name.to_owned() })
        }
        // Only a schema can refuse to be looked into.
        Err(error) if session::sqlstate(&error).as_deref() == Some("42501") => {
            Err(closed_schema(conn, name).await.unwrap_or(TargetError::Catalog(error)))
        }
        Err(error) => Err(TargetError::Catalog(error)),
    }
}

/// The oid of the table of this name, schema-qualified and quoted; `None` when there is none.
pub(super) async fn resolve_exact(conn: &mut PgConnection, name: &str) -> Result<Option<Oid>, TargetError> {
    look_up(conn, name).await.map_err(TargetError::Catalog)
}

/// The same, for those who may try again.
pub(super) async fn look_up(conn: &mut PgConnection, name: &str) -> Result<Option<Oid>, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS "oid""#, name)
        .fetch_one(conn)
        .await
}

/// Why COPY cannot load a table without a sequence.
pub(super) const NO_PLACES_FROM_COPY: &str =
    "without a sequence, its rows are found by where they were put, which COPY does not say";

/// Where SQL would make a table called `name`, which there is not.
pub(super) async fn find_place(conn: &mut PgConnection, name: &str) -> Result<Place, TargetError> {
    let no_name = || TargetError::Name { name: name.to_owned() };
    let parts: Vec<String> = match sqlx::query_scalar("SELECT pg_catalog.parse_ident($1)")
        .bind(name)
        .fetch_one(&mut *conn)
        .await
    {
        Ok(parts) => parts,
        // invalid_parameter_value: it is none, or begins as none does without quotes.
        Err(error) if session::sqlstate(&error).as_deref() == Some("22023") => return Err(no_name()),
        Err(error) => return Err(TargetError::Catalog(error)),
    };
    let Some((table, schema)) = parts.split_last() else {
        return Err(no_name());
    };
    check_table_name(table)?;
    let schema = schema.last();
    let found: Option<(Oid, String, String)> = sqlx::query_as(
        "SELECT n.oid, pg_catalog.quote_ident(n.nspname::pg_catalog.text), pg_catalog.format('%I.%I', n.nspname, $2::pg_catalog.text)
         FROM pg_catalog.pg_namespace AS n
         WHERE n.nspname = coalesce($1::pg_catalog.text::pg_catalog.name, pg_catalog.current_schema())",
    )
    .bind(schema)
    .bind(table)
    .fetch_optional(conn)
    .await
    .map_err(TargetError::Catalog)?;
    match (found, schema) {
        (Some((oid, schema, name)), _) => Ok(Place::new(oid, schema, name)),
        (None, Some(schema)) => Err(TargetError::NoSchema {
            schema: quote_identifier(schema),
        }),
        (None, None) => Err(TargetError::NoPlace { name: name.to_owned() }),
    }
}

/// Whether this session's role may make tables in a schema.
pub(super) async fn check_may_create(conn: &mut PgConnection, oid: Oid, schema: &str) -> Result<(), TargetError> {
    let (may_create, role): (bool, String) = sqlx::query_as(
        "SELECT pg_catalog.has_schema_privilege($1::pg_catalog.oid, 'CREATE'), current_user::pg_catalog.text",
    )
    .bind(oid)
    .fetch_one(conn)
    .await
    .map_err(TargetError::Catalog)?;
    if may_create {
        return Ok(());
    }
    Err(TargetError::Privilege {
        what: format!("make tables in the schema {schema}"),
        remedy: format!("GRANT CREATE ON SCHEMA {schema} TO {}", quote_identifier(&role)),
        role,
    })
}

/// What to say of a table whose schema this role may not use; nothing where that cannot be asked any more.
async fn closed_schema(conn: &mut PgConnection, name: &str) -> Option<TargetError> {
    let row = sqlx::query!(
        r#"SELECT pg_catalog.parse_ident($1) AS "parts!", current_user::pg_catalog.text AS "role!""#,
        name
    )
    .fetch_one(conn)
    .await
    .ok()?;
    let schema = quote_identifier(row.parts.iter().rev().nth(1)?);
    Some(TargetError::Privilege {
        what: format!("use the schema {schema}"),
        remedy: format!("GRANT USAGE ON SCHEMA {schema} TO {}", quote_identifier(&row.role)),
        role: row.role,
    })
}

pub(super) async fn describe(conn: &mut PgConnection, oid: Oid, choice: IdentityChoice) -> Result<Target, TargetError> {
    let table = sqlx::query!(
        r#"SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS "name!", n.nspname IN ('pgimport', 'apalis') AS "own!",
               c.relkind::pg_catalog.text AS "kind!",
               c.relpersistence::pg_catalog.text AS "persistence!", pg_catalog.row_security_active(c.oid) AS "row_security!",
               pg_catalog.has_table_privilege(c.oid, 'INSERT') AS "may_insert!",
               pg_catalog.has_table_privilege(c.oid, 'SELECT') AS "may_select!", current_user::pg_catalog.text AS "role!",
               pg_catalog.current_setting('server_encoding') AS "encoding!",
               EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS "has_triggers!",
               EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid AND r.ev_type = '3') AS "has_insert_rule!"
           FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1"#,
        oid
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(TargetError::Catalog)?
    .ok_or_else(|| TargetError::Missing { name: format!("with oid {}", oid.0) })?;
    let name = table.name;
    if table.own {
        return Err(TargetError::Own { name });
    }
    let partitioned = table.kind == "p";
    check_kind(&name, &table.kind)?;
    if table.persistence == "u" {
        return Err(TargetError::Unlogged { name });
    }
    if partitioned {
        check_leaves(conn, oid).await?;
    }
    if table.has_insert_rule {
        return Err(TargetError::Rules { name });
    }
    let privilege = |what: String, remedy: String| TargetError::Privilege {
        role: table.role.clone(),
        what,
        remedy,
    };
    let role = quote_identifier(&table.role);
    if !(table.may_insert && table.may_select) {
        return Err(privilege(
            format!("read and insert into {name}"),
            format!("GRANT SELECT, INSERT, DELETE ON {name} TO {role}"),
        ));
    }
    let identity = match choose_sequence(conn, oid, &name, choice).await? {
        None => Identity::Transaction,
        Some(filling) if filling.may_use => Identity::Sequence(filling.into()),
        Some(FillingSequence { name, .. }) => {
            return Err(privilege(
                format!("take values from the sequence {name}"),
                format!("GRANT USAGE ON SEQUENCE {name} TO {role}"),
            ));
        }
    };
    let characters = Characters::find(conn, &table.encoding).await?.map(Arc::new);
    let columns = describe_columns(conn, oid, identity.column(), characters.as_ref()).await?;
    let copy_obstacle = if table.row_security {
        Some("it has row-level security, which COPY FROM does not support".to_owned())
    } else if identity == Identity::Transaction {
        Some(NO_PLACES_FROM_COPY.to_owned())
    } else {
        None
    };
    // Rows of a partition are written by the partition's triggers too: ask the rows themselves.
    let from = from_clause(&name, &table.kind);
    Ok(Target {
        oid,
        name,
        from,
        identity,
        columns,
        has_triggers: table.has_triggers || partitioned,
        copy_obstacle,
    })
}

/// Only tables that hold rows themselves, or by their partitions, can be loaded.
fn check_kind(name: &str, kind: &str) -> Result<(), TargetError> {
    let kind = match kind {
        "r" | "p" => return Ok(()),
        "v" => "a view",
        "m" => "a materialized view",
        "f" => "a foreign table",
        _ => "not a table",
    };
    Err(TargetError::Kind {
        name: name.to_owned(),
        kind,
    })
}

/// Refuses partitions of a kind that would be refused by itself.
async fn check_leaves(conn: &mut PgConnection, oid: Oid) -> Result<(), TargetError> {
    let leaf = sqlx::query!(
        r#"WITH RECURSIVE tree AS (
               SELECT $1::pg_catalog.oid AS oid
               UNION ALL
               SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid)
           SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS "name!", c.relkind::pg_catalog.text AS "kind!"
           FROM tree JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
           WHERE c.relkind NOT IN ('r', 'p') OR c.relpersistence = 'u' ORDER BY 1 LIMIT 1"#,
        oid
    )
    .fetch_optional(conn)
    .await
    .map_err(TargetError::Catalog)?;
    let Some(leaf) = leaf else { return Ok(()) };
    check_kind(&leaf.name, &leaf.kind)?;
    Err(TargetError::Unlogged { name: leaf.name })
}

/// Tables that inherit from an ordinary one may hold the same ids; the partitions of a partitioned one hold its rows.
fn from_clause(name: &str, kind: &str) -> String {
    if kind == "p" {
        name.to_owned()
    } else {
        format!("ONLY {name}")
    }
}

pub(super) async fn describe_undo(conn: &mut PgConnection, oid: Oid) -> Result<Option<UndoTarget>, TargetError> {
    let table = sqlx::query!(
        r#"SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS "name!", c.relkind::pg_catalog.text AS "kind!",
               pg_catalog.row_security_active(c.oid) AS "row_security!",
               c.relkind = 'p' OR EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
                   OR EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid) AS "has_triggers!"
           FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1"#,
        oid
    )
    .fetch_optional(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(table.map(|table| UndoTarget {
        oid,
        from: from_clause(&table.name, &table.kind),
        name: table.name,
        has_triggers: table.has_triggers,
        row_security: table.row_security,
    }))
}

/// Those of some tables that hold rows of a table. One stands alone where a deletion, or a change where it `restores`, under its own name is the
/// same as one under that of the table above it: this role may do it, and neither has rules, or triggers for whole statements, that only one of them would run.
pub(super) async fn leaves(
    conn: &mut PgConnection,
    oid: Oid,
    leaves: &[Oid],
    restores: bool,
) -> Result<Vec<Leaf>, TargetError> {
    let rows = sqlx::query!(
        r#"SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS "name!", pg_catalog.pg_relation_filenode(c.oid) AS filenode,
               pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'DELETE')
                   AND (NOT $5 OR pg_catalog.has_table_privilege(c.oid, 'UPDATE'))
                   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND NOT pg_catalog.row_security_active(c.oid)
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid IN ($1, c.oid) AND NOT t.tgisinternal
                                   AND t.tgtype::pg_catalog.int4 & $3 = 0 AND t.tgtype::pg_catalog.int4 & $4 <> 0)
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class IN ($1, c.oid)
                                   AND (r.ev_type = '4' OR $5 AND r.ev_type = '2'))
                   OR c.oid = $1 AS "stands_alone!",
               c.oid = $1 OR c.oid IN (
                   SELECT relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass)) AS "belongs!"
           FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
           WHERE c.oid = ANY ($2)"#,
        oid,
        leaves,
        FOR_EACH_ROW,
        if restores { ON_DELETE | ON_UPDATE } else { ON_DELETE },
        restores
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(Leaf {
                oid: row.oid,
                name: row.name,
                filenode: row.filenode?,
                belongs: row.belongs,
                stands_alone: row.stands_alone,
            })
        })
        .collect())
}

/// Foreign keys of other tables whose rows would change when rows of this table are deleted: constraint and table.
pub(super) async fn cascades(conn: &mut PgConnection, oid: Oid) -> Result<Vec<(String, String)>, TargetError> {
    let rows = sqlx::query!(
        r#"SELECT conname::pg_catalog.text AS "constraint!", conrelid::pg_catalog.regclass::pg_catalog.text AS "table!"
           FROM pg_catalog.pg_constraint
           WHERE contype = 'f' AND confdeltype IN ('c', 'n', 'd')
             AND (confrelid = $1 OR confrelid IN (
                     SELECT relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass)))
           ORDER BY 2, 1"#,
        oid
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(rows.into_iter().map(|row| (row.constraint, row.table)).collect())
}

/// Whether a table's id is part of the key of an index: schema, table and index.
pub(super) async fn is_in_key(
    conn: &mut PgConnection,
    target: &Target,
    (schema, table, index): (&str, &str, &str),
) -> Result<bool, sqlx::Error> {
    let Identity::Sequence(identity) = &target.identity else {
        return Ok(false);
    };
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
               JOIN pg_catalog.pg_class AS c ON c.oid = x.indrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $5::pg_catalog.text::pg_catalog.name
               JOIN LATERAL pg_catalog.unnest(x.indkey::pg_catalog.int2[]) WITH ORDINALITY AS k (attnum, n)
                   ON k.attnum = a.attnum AND k.n <= x.indnkeyatts
               WHERE n.nspname = $2::pg_catalog.text::pg_catalog.name AND c.relname = $3::pg_catalog.text::pg_catalog.name
                 AND i.relname = $4::pg_catalog.text::pg_catalog.name
                 AND (c.oid = $1 OR c.oid IN (
                     SELECT relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass)))) AS "is!""#,
        target.oid,
        schema,
        table,
        index,
        identity.column
    )
    .fetch_one(conn)
    .await
}

/// An integer column, and a sequence that fills it.
struct FillingSequence {
    column: String,
    /// **Bytes** of the column's type.
    width: i16,
    oid: Oid,
    name: String,
    cache: i64,
    /// Whether this role may take values from it.
    may_use: bool,
    /// Whether an index finds rows by the column, and whether one does so that is the column's own and unique.
    indexed: bool,
    unique: bool,
}

impl From<FillingSequence> for SequenceIdentity {
    fn from(filling: FillingSequence) -> Self {
        Self {
            column: filling.column,
            width: filling.width,
            sequence_oid: filling.oid,
            sequence: filling.name,
            cache: u64::try_from(filling.cache).unwrap_or(1),
        }
    }
}

/// Finds the columns that are filled by a sequence: an identity, or a default that calls `nextval`.
async fn find_sequences(conn: &mut PgConnection, oid: Oid) -> Result<Vec<FillingSequence>, TargetError> {
    sqlx::query_as!(
        FillingSequence,
        r#"SELECT a.attname::pg_catalog.text AS "column!", a.attlen AS "width!", q.seqrelid AS "oid!",
               q.seqrelid::pg_catalog.regclass::pg_catalog.text AS "name!", q.seqcache AS "cache!",
               pg_catalog.has_sequence_privilege(q.seqrelid, 'USAGE') AS "may_use!",
               coalesce(x.indexed, false) AS "indexed!", coalesce(x.is_unique, false) AS "unique!"
           FROM (SELECT d.refobjsubid AS number, d.objid AS sequence FROM pg_catalog.pg_depend AS d
                 WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AND d.refobjid = $1 AND d.refobjsubid > 0
                   AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AND d.deptype = 'i'
                 UNION
                 SELECT f.adnum, d.refobjid FROM pg_catalog.pg_attrdef AS f
                 JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid AND d.objid = f.oid
                 WHERE f.adrelid = $1 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid) AS filled
           JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = filled.sequence
           JOIN pg_catalog.pg_attribute AS a ON a.attrelid = $1 AND a.attnum = filled.number
           CROSS JOIN LATERAL (
               SELECT pg_catalog.bool_or(i.relam = $3) AS indexed, pg_catalog.bool_or(n.indisunique AND n.indnkeyatts = 1) AS is_unique
               FROM pg_catalog.pg_index AS n JOIN pg_catalog.pg_class AS i ON i.oid = n.indexrelid
               WHERE n.indrelid = $1 AND n.indisvalid AND n.indpred IS NULL AND n.indkey[0] = a.attnum) AS x
           WHERE NOT a.attisdropped AND a.atttypid = ANY ($2) ORDER BY a.attnum"#,
        oid,
        &[INT2, INT4, INT8],
        BTREE
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)
}

/// Finds the one column that is filled by a sequence and leads an index; of several, the one that is unique.
async fn find_sequence(conn: &mut PgConnection, oid: Oid, name: &str) -> Result<FillingSequence, TargetError> {
    let candidates = find_sequences(conn, oid).await?;
    let unique = candidates.iter().any(|c| c.unique);
    let leads = |candidate: &FillingSequence| if unique { candidate.unique } else { candidate.indexed };
    let (mut indexed, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(leads);
    match (indexed.pop(), others.first()) {
        (Some(found), _) if indexed.is_empty() => Ok(found),
        (Some(last), _) => {
            indexed.push(last);
            let columns: Vec<_> = indexed.iter().map(|c| c.column.as_str()).collect();
            Err(TargetError::SeveralIds {
                name: name.to_owned(),
                columns: columns.join(", "),
            })
        }
        (None, Some(candidate)) => Err(TargetError::NoIndex {
            name: name.to_owned(),
            column: quote_identifier(&candidate.column),
        }),
        (None, None) => Err(TargetError::NoId { name: name.to_owned() }),
    }
}

/// The sequence by which rows are found again; `None` where it is the transactions that wrote them.
async fn choose_sequence(
    conn: &mut PgConnection,
    oid: Oid,
    name: &str,
    choice: IdentityChoice,
) -> Result<Option<FillingSequence>, TargetError> {
    if choice != IdentityChoice::Transaction {
        match find_sequence(conn, oid, name).await {
            Err(error) if choice == IdentityChoice::Sequence || matches!(error, TargetError::Catalog(_)) => {
                return Err(error);
            }
            Err(_) => {}
            found => return found.map(Some),
        }
    }
    match find_trigger(conn, oid, false).await? {
        Some(trigger) => Err(TargetError::Triggers {
            name: name.to_owned(),
            trigger,
        }),
        None => Ok(None),
    }
}

/// The table at the root of a table's partitioning, and all below it. Takes no lock on partitions, as `pg_partition_tree` does.
pub(super) async fn family(conn: &mut PgConnection, oid: Oid) -> Result<Vec<Oid>, TargetError> {
    sqlx::query_scalar!(
        r#"WITH RECURSIVE above AS (
               SELECT $1::pg_catalog.oid AS oid
               UNION ALL
               SELECT i.inhparent FROM above JOIN pg_catalog.pg_class AS c ON c.oid = above.oid AND c.relispartition
               JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = above.oid),
           tree AS (
               SELECT oid FROM above
               UNION
               SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid
               JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relispartition)
           SELECT oid AS "oid!" FROM tree"#,
        oid
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)
}

/// Whether a table has a column of this name that holds ids of imports.
pub(super) async fn has_bigint(conn: &mut PgConnection, oid: Oid, column: &str) -> Result<bool, TargetError> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM pg_catalog.pg_attribute
               WHERE attrelid = $1 AND attname = $2::pg_catalog.text::pg_catalog.name AND atttypid = $3 AND NOT attisdropped) AS "has!""#,
        oid,
        column,
        INT8
    )
    .fetch_one(conn)
    .await
    .map_err(TargetError::Catalog)
}

/// A trigger that fires where rows are inserted, or updated if they are, but for the server's own. Takes no lock on partitions, as
/// `pg_partition_tree` does.
pub(super) async fn find_trigger(
    conn: &mut PgConnection,
    oid: Oid,
    updates: bool,
) -> Result<Option<String>, TargetError> {
    let events = if updates { ON_INSERT | ON_UPDATE } else { ON_INSERT };
    sqlx::query_scalar!(
        r#"SELECT pg_catalog.quote_ident(t.tgname) AS "name!" FROM pg_catalog.pg_trigger AS t
           WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype::pg_catalog.int4 & $2 <> 0
             AND t.tgrelid IN (
                 WITH RECURSIVE tree AS (
                     SELECT $1::pg_catalog.oid AS oid
                     UNION ALL
                     SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid
                     JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid AND c.relispartition)
                 SELECT oid FROM tree)
           ORDER BY 1 LIMIT 1"#,
        oid,
        events
    )
    .fetch_optional(conn)
    .await
    .map_err(TargetError::Catalog)
}

async fn describe_columns(
    conn: &mut PgConnection,
    oid: Oid,
    id: Option<&str>,
    characters: Option<&Arc<Characters>>,
) -> Result<Vec<Column>, TargetError> {
    let rows = sqlx::query!(
        r#"SELECT a.attname::pg_catalog.text AS "name!", a.attnotnull AS "not_null!", a.atthasdef OR a.attidentity <> '' AS "has_default!",
               a.atttypmod AS "typmod!", a.atttypid AS "type_oid!", t.typarray AS "array_oid!",
               pg_catalog.format_type(a.atttypid, -1) AS "type_name!",
               pg_catalog.format('%I.%I', n.nspname, base.typname) AS "sql_name!", t.typtype = 'd' AND t.typnotnull AS "domain_not_null!",
               t.typcategory::pg_catalog.text AS "category!", base.oid AS "base_oid!",
               base.typname::pg_catalog.text AS "base_name!"
           FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
           CROSS JOIN LATERAL (
               WITH RECURSIVE below AS (
                   SELECT t.oid, t.typbasetype
                   UNION ALL
                   SELECT b.oid, b.typbasetype FROM below JOIN pg_catalog.pg_type AS b ON b.oid = below.typbasetype)
               SELECT below.oid FROM below WHERE below.typbasetype = 0) AS bottom
           JOIN pg_catalog.pg_type AS base ON base.oid = bottom.oid
           JOIN pg_catalog.pg_namespace AS n ON n.oid = base.typnamespace
           WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attname IS DISTINCT FROM $2::pg_catalog.text
           ORDER BY a.attnum"#,
        oid,
        id
    )
    .fetch_all(conn)
    .await
    .map_err(TargetError::Catalog)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let kind = column_type(
                row.type_oid,
                row.typmod,
                row.type_name,
                row.sql_name,
                nature(row.base_oid, &row.base_name, &row.category),
            );
            // Text is sent for text, varchar, and everything that the server casts.
            let (element_oid, array_oid, characters) = match kind {
                ColumnType::Text { .. } | ColumnType::Other { .. } => (TEXT, TEXT_ARRAY, characters.cloned()),
                _ => (row.type_oid, row.array_oid, None),
            };
            Column {
                element_oid,
                array_oid,
                characters,
                nullable: !(row.not_null || row.domain_not_null),
                optional: !(row.not_null || row.domain_not_null) || row.has_default,
                name: row.name,
                kind,
            }
        })
        .collect())
}

/// The access method of B-trees.
const BTREE: Oid = Oid(403);
const INT2: Oid = Oid(21);
const INT4: Oid = Oid(23);
const INT8: Oid = Oid(20);
const TEXT: Oid = Oid(25);
const TEXT_ARRAY: Oid = Oid(1009);

/// The oids are those of `pg_type.dat`, fixed for all versions.
fn column_type(oid: Oid, typmod: i32, type_name: String, sql_name: String, nature: Nature) -> ColumnType {
    /// The header that a length's modifier carries.
    const HEADER: i32 = 4;
    let precision = u8::try_from(typmod).ok();
    match oid.0 {
        25 => ColumnType::Text { max_chars: None },
        1043 => ColumnType::Text {
            max_chars: u32::try_from(typmod - HEADER).ok(),
        },
        21 => ColumnType::Int2,
        23 => ColumnType::Int4,
        20 => ColumnType::Int8,
        16 => ColumnType::Bool,
        700 => ColumnType::Float4,
        701 => ColumnType::Float8,
        1700 => ColumnType::Numeric {
            precision_scale: numeric_modifier(typmod),
        },
        1082 => ColumnType::Date,
        1114 => ColumnType::Timestamp { precision },
        1184 => ColumnType::Timestamptz { precision },
        2950 => ColumnType::Uuid,
        _ => ColumnType::Other {
            type_name,
            sql_name,
            nature,
        },
    }
}

/// By the type below all domains, and the category, which extensions give to their string types too.
fn nature(base_oid: Oid, base_name: &str, category: &str) -> Nature {
    match base_oid.0 {
        114 => Nature::Json,
        3802 => Nature::Jsonb,
        17 => Nature::Bytes,
        // json[], jsonb[]
        199 | 3807 => Nature::JsonArray,
        _ if category == "A" => Nature::Array,
        _ if category == "S" => Nature::Text,
        // "char", xml, bit varying, tsvector, tsquery
        18 | 142 | 1562 | 3614 | 3615 => Nature::MayBeEmpty,
        _ if ["hstore", "ltree"].contains(&base_name) => Nature::MayBeEmpty,
        _ => Nature::Other,
    }
}

/// `numeric(p, s)` as the catalog keeps it: 16 bits of precision, 11 signed bits of scale.
fn numeric_modifier(typmod: i32) -> Option<(u16, i16)> {
    let bits = u32::try_from(typmod.checked_sub(4)?).ok()?;
    let precision = u16::try_from(bits >> 16).ok()?;
    let scale = i16::try_from(bits & 0x7ff).ok()?;
    Some((precision, (scale ^ 0x400) - 0x400))
}

#[cfg(test)]
mod tests {
    use super::numeric_modifier;

    #[test]
    fn numeric_modifiers_decode_with_negative_scales() {
        assert_eq!(numeric_modifier(-1), None);
        assert_eq!(numeric_modifier(((10 << 16) | 2) + 4), Some((10, 2)));
        assert_eq!(numeric_modifier(((3 << 16) | (0x800 - 2)) + 4), Some((3, -2)));
    }
}
