//! Whether whoever asked for an import, or for its undo, has the right to it, whatever this session's role may do; and whether that has it.

use sqlx::{PgConnection, postgres::types::Oid};

use crate::{TargetError, catalog, quote_identifier};

/// What was asked for, and takes a right of one's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right {
    privilege: &'static str,
    verb: &'static str,
    /// What the role did that has to have it.
    did: &'static str,
}

pub(super) const LOAD: Right = Right {
    privilege: "INSERT",
    verb: "insert into",
    did: "submitted this import",
};

pub(super) const UPDATE: Right = Right {
    privilege: "UPDATE",
    verb: "update",
    did: "submitted this import",
};

pub(super) const RESTORE: Right = Right {
    privilege: "UPDATE",
    verb: "update",
    did: "asked for this undo",
};

pub(super) const UNDO: Right = Right {
    privilege: "DELETE",
    verb: "delete from",
    did: "asked for this undo",
};

pub(super) const REMOVE: Right = Right {
    privilege: "DELETE",
    verb: "delete from",
    did: "submitted this import with --delete-missing",
};

pub(super) const RETURN: Right = Right {
    privilege: "INSERT",
    verb: "insert into",
    did: "asked for this undo",
};

impl Right {
    /// Checks that a role has it on the table `name`; one that is gone has none.
    ///
    /// # Errors
    /// [`TargetError::Privilege`], naming the GRANT; [`TargetError::HeldBack`]; [`TargetError::Catalog`].
    pub(super) async fn check(
        self,
        conn: &mut PgConnection,
        role: &str,
        oid: Oid,
        name: &str,
    ) -> Result<(), TargetError> {
        let Self { privilege, verb, did } = self;
        if !may(conn, role, oid, privilege).await? {
            return Err(TargetError::Privilege {
                role: role.to_owned(),
                what: format!("{verb} {name}, and {did}"),
                remedy: format!("GRANT {privilege} ON {name} TO {}", quote_identifier(role)),
            });
        }
        if is_held_back(conn, role, oid).await? {
            return Err(TargetError::HeldBack {
                name: name.to_owned(),
                role: role.to_owned(),
                did,
            });
        }
        Ok(())
    }
}

/// Checks that this session's role has a privilege on the table `name`.
///
/// # Errors
/// [`TargetError::Privilege`], naming the GRANT; [`TargetError::Catalog`].
pub(super) async fn check_own(
    conn: &mut PgConnection,
    oid: Oid,
    name: &str,
    (privilege, verb): (&str, &str),
) -> Result<(), TargetError> {
    match catalog::conflict::who_may_not(conn, oid, privilege).await? {
        None => Ok(()),
        Some(role) => Err(TargetError::Privilege {
            what: format!("{verb} {name}"),
            remedy: format!("GRANT {privilege} ON {name} TO {}", quote_identifier(&role)),
            role,
        }),
    }
}

/// Whether a role may reach a table and has a privilege on it; one that is gone has none.
async fn may(conn: &mut PgConnection, role: &str, oid: Oid, privilege: &str) -> Result<bool, TargetError> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(
               (SELECT pg_catalog.has_table_privilege(r.oid, c.oid, $3::pg_catalog.text)
                       AND pg_catalog.has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
                FROM pg_catalog.pg_roles AS r, pg_catalog.pg_class AS c
                WHERE r.rolname = $1::pg_catalog.text::pg_catalog.name AND c.oid = $2), false) AS "may!""#,
        role,
        oid,
        privilege
    )
    .fetch_one(conn)
    .await
    .map_err(TargetError::Catalog)
}

/// Whether row-level security applies to a role and not to this session, which would write rows that the role may not.
async fn is_held_back(conn: &mut PgConnection, role: &str, oid: Oid) -> Result<bool, TargetError> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(
               (SELECT c.relrowsecurity AND NOT pg_catalog.row_security_active(c.oid) AND NOT r.rolsuper AND NOT r.rolbypassrls
                       AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'))
                FROM pg_catalog.pg_roles AS r, pg_catalog.pg_class AS c
                WHERE r.rolname = $1::pg_catalog.text::pg_catalog.name AND c.oid = $2), true) AS "held_back!""#,
        role,
        oid
    )
    .fetch_one(conn)
    .await
    .map_err(TargetError::Catalog)
}
