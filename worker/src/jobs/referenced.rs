//! What an import by reference refers to, as this worker may read it.

use bytes::Bytes;
use ledger::references::{self, Reference};
use model::{ImportId, Span};
use object_source::{Address, Object, ObjectError, Pin};
use sqlx::PgConnection;

use super::{Failure, JobContext};

/// The objects of an import's inputs, in their order; none where its bytes are stored.
pub(super) async fn objects(
    context: &JobContext,
    conn: &mut PgConnection,
    import: ImportId,
) -> Result<Vec<Object>, Failure> {
    let references = references::list(conn, import).await?;
    references
        .into_iter()
        .map(|reference| {
            let Reference {
                address,
                size,
                etag,
                modified,
            } = reference;
            let pin = Pin { size, etag, modified };
            Ok(context
                .stores
                .pinned(&Address::read(&address).map_err(ObjectError::from)?, pin)?)
        })
        .collect()
}

/// The bytes of a chunk, if they are what they were.
pub(super) async fn read(object: &Object, span: Span, digest: Option<Vec<u8>>) -> Result<Bytes, Failure> {
    let (Some(start), Some(end)) = (span.start.byte, span.end_byte) else {
        return Err(Failure::Permanent("where the chunk lies is not known".to_owned()));
    };
    let bytes = object.range(start..end).await?;
    // Whatever the store says of it.
    if digest.as_deref() != Some(blake3::hash(&bytes).as_bytes().as_slice()) {
        return Err(ObjectError::Changed {
            address: object.address().clone(),
        }
        .into());
    }
    Ok(bytes)
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        Self::from(&error)
    }
}

impl From<&ObjectError> for Failure {
    fn from(error: &ObjectError) -> Self {
        let message = session::describe_error(error);
        match error {
            ObjectError::NotAllowed { address } => Self::Elsewhere(format!(
                "{address} is left to workers that may read it: this one was started without --allow-reference for it"
            )),
            _ if error.is_transient() => Self::Transient(message),
            _ => Self::Permanent(message),
        }
    }
}
