//! An object as it was at one moment.

use std::{io::Read, ops::Range, sync::Arc};

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, path::Path};
use tokio::runtime::Handle;

use crate::{
    Address, Allowed, ObjectError,
    address::Service,
    file, patiently,
    read::{self, PART_BYTES},
};

/// What an object was when it was looked at: another content has another pin, as far as its store can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// **Bytes**.
    pub size: u64,
    /// What the store calls this content (RFC 9110, `ETag`); some HTTP servers say none.
    pub etag: Option<String>,
    /// **Nanoseconds** since 1970 at which it was last written, where that is all that tells.
    pub modified: Option<i64>,
}

/// An object, and what it was when it was found.
#[derive(Clone)]
pub struct Object {
    address: Address,
    backing: Backing,
    pin: Pin,
    runtime: Handle,
}

/// What an object is read from.
#[derive(Clone)]
pub(crate) enum Backing {
    Store {
        store: Arc<dyn ObjectStore>,
        path: Path,
    },
    /// If it may be.
    File(Arc<Allowed>),
}

impl Backing {
    /// What is under an address.
    pub(crate) async fn look(&self, address: &Address) -> Result<Pin, ObjectError> {
        match self {
            Self::Store { store, path } => {
                let pin = Pin::of(&look(&**store, address, path).await?);
                if pin.etag.is_none() && pin.modified.is_none() {
                    return Err(ObjectError::NoPin {
                        address: address.clone(),
                    });
                }
                Ok(pin)
            }
            Self::File(allowed) => {
                let (address, allowed) = (address.clone(), Arc::clone(allowed));
                in_thread(&address.clone(), move || Ok(file::open(&address, &allowed)?.1)).await
            }
        }
    }
}

/// Does what may block.
async fn in_thread<T: Send + 'static>(
    address: &Address,
    work: impl FnOnce() -> Result<T, ObjectError> + Send + 'static,
) -> Result<T, ObjectError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(ObjectError::File {
            address: address.clone(),
            source: error.into(),
        })
    })
}

impl Pin {
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        let modified = meta.last_modified.timestamp_nanos_opt();
        Self {
            size: meta.size,
            etag: meta.e_tag.clone(),
            // 1970 is what is said where nothing is.
            modified: modified.filter(|&at| meta.e_tag.is_none() && at != 0),
        }
    }

    /// As a list of `service` has it. Azure leaves out the quotes there in which an ETag is anywhere else.
    pub(crate) fn listed(meta: &ObjectMeta, service: Service) -> Self {
        let mut pin = Self::of(meta);
        if let (Service::Azure, Some(etag)) = (service, &mut pin.etag)
            && !etag.ends_with('"')
        {
            *etag = format!("\"{etag}\"");
        }
        pin
    }

    /// By which a server compares; a weak one (`W/"…"`) it would never find to be the same.
    fn strong_etag(&self) -> Option<String> {
        self.etag.clone().filter(|etag| !etag.starts_with("W/"))
    }
}

impl Object {
    pub(crate) fn new(address: Address, backing: Backing, pin: Pin) -> Self {
        Self {
            address,
            backing,
            pin,
            runtime: Handle::current(),
        }
    }

    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    #[must_use]
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// What tells it from all others, and from what will be under its address: BLAKE3, hexadecimal, of address and pin.
    #[must_use]
    pub fn identity(&self) -> String {
        let Pin { size, etag, modified } = &self.pin;
        let mut hasher = blake3::Hasher::new();
        let parts = [
            self.address.to_string(),
            size.to_string(),
            etag.clone().unwrap_or_default(),
            modified.map(|at| at.to_string()).unwrap_or_default(),
        ];
        for part in parts {
            // Told apart by their lengths.
            hasher.update(&part.len().to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// These **bytes** of it, as it was when it was found.
    ///
    /// # Errors
    /// [`ObjectError`]; [`ObjectError::Changed`] when something else is there by now.
    pub async fn range(&self, range: Range<u64>) -> Result<Bytes, ObjectError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (store, path) = match &self.backing {
            Backing::Store { store, path } => (store, path),
            Backing::File(allowed) => {
                let (address, allowed, pin) = (self.address.clone(), Arc::clone(allowed), self.pin.clone());
                let read = in_thread(&self.address, move || file::read(&address, &allowed, &pin, range));
                return read.await.map(Bytes::from);
            }
        };
        patiently(|| self.try_range(&**store, path, range.clone())).await
    }

    async fn try_range(&self, store: &dyn ObjectStore, path: &Path, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let of_store = |source| ObjectError::of(&self.address, source);
        let options = GetOptions {
            if_match: self.pin.strong_etag(),
            range: Some(GetRange::Bounded(range.clone())),
            ..GetOptions::default()
        };
        let changed = || ObjectError::Changed {
            address: self.address.clone(),
        };
        let found = match store.get_opts(path, options).await {
            // It may be shorter by now: then no part is there, or another one than was asked for.
            Err(source) => {
                let error = of_store(source);
                let is_gone = matches!(error, ObjectError::Read { .. })
                    && look(store, &self.address, path)
                        .await
                        .is_ok_and(|meta| Pin::of(&meta) != self.pin);
                return Err(if is_gone { changed() } else { error });
            }
            Ok(found) => found,
        };
        // Not every server looks at conditions.
        if Pin::of(&found.meta) != self.pin {
            return Err(changed());
        }
        let bytes = found.bytes().await.map_err(of_store)?;
        if bytes.len() as u64 == range.end - range.start {
            Ok(bytes)
        } else {
            Err(changed())
        }
    }

    /// Reads it from its beginning, in large parts, some of them ahead. To be read where blocking is allowed.
    #[must_use]
    pub fn reader(&self) -> Box<dyn Read + Send> {
        Box::new(read::Reader::start(self, 0..self.pin.size))
    }

    /// Reads these **bytes** of it, as [`Object::reader`].
    #[must_use]
    pub fn reader_of(&self, range: Range<u64>) -> Box<dyn Read + Send> {
        Box::new(read::Reader::start(self, range.start..range.end.min(self.pin.size)))
    }

    pub(crate) fn parts(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let end = range.end;
        let starts = std::iter::successors(Some(range.start), |start| start.checked_add(PART_BYTES));
        starts
            .take_while(move |&start| start < end)
            .map(move |start| start..(start + PART_BYTES).min(end))
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// What is under an address.
async fn look(store: &dyn ObjectStore, address: &Address, path: &Path) -> Result<ObjectMeta, ObjectError> {
    let of_store = |source| ObjectError::of(address, source);
    let head = GetOptions {
        head: true,
        ..GetOptions::default()
    };
    if address.service != Service::Http {
        return Ok(store.get_opts(path, head).await.map_err(of_store)?.meta);
    }
    // Whether the server gives parts is known by asking for one; an object without a byte has none.
    let first = GetOptions {
        range: Some(GetRange::Bounded(0..1)),
        ..GetOptions::default()
    };
    match store.get_opts(path, first).await.map_err(of_store) {
        Ok(found) => Ok(found.meta),
        Err(error @ (ObjectError::Missing { .. } | ObjectError::Denied { .. })) => Err(error),
        Err(error) => match store.get_opts(path, head).await {
            Ok(found) if found.meta.size == 0 => Ok(found.meta),
            _ => Err(error),
        },
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object")
            .field("address", &self.address)
            .field("pin", &self.pin)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address && self.pin == other.pin
    }
}

impl Eq for Object {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_an_object_itself_have_the_same_pin() {
        let pin = |etag: &str, service| {
            let meta = ObjectMeta {
                location: Path::from("a.csv"),
                last_modified: Default::default(),
                size: 7,
                e_tag: Some(etag.to_owned()),
                version: None,
            };
            Pin::listed(&meta, service).etag
        };
        for (service, listed, itself) in [
            (Service::Azure, "0x8D", "\"0x8D\""),
            (Service::Azure, "\"0x8D\"", "\"0x8D\""),
            (Service::S3, "\"d41d\"", "\"d41d\""),
            // As it is, for nothing is known that says it otherwise.
            (Service::GoogleCloud, "d41d", "d41d"),
        ] {
            assert_eq!(pin(listed, service).as_deref(), Some(itself), "{service:?} {listed}");
        }
    }
}
