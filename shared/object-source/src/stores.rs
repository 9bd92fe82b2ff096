//! Stores, each opened once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{TryFutureExt as _, TryStreamExt as _};
use object_store::{
    ClientConfigKey, ObjectStore,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    http::HttpBuilder,
    path::Path,
};
use object_store::{ClientOptions, ObjectMeta};

use crate::{
    Address, Allowed, Object, ObjectError, Pin, address::Service, connector::Straight, object::Backing, patiently,
};

/// How long a request may take, as a whole: a part over a slow line.
const REQUEST_TIMEOUT: &str = "300 seconds";

/// Stores that were opened, to be used again.
#[derive(Debug)]
pub struct Stores {
    allowed: Arc<Allowed>,
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Default for Stores {
    /// For who reads what they name themselves.
    fn default() -> Self {
        Self::new(Allowed::All)
    }
}

impl Stores {
    /// Of which nothing is read but what is `allowed`.
    #[must_use]
    pub fn new(allowed: Allowed) -> Self {
        Self {
            allowed: Arc::new(allowed),
            opened: Mutex::default(),
        }
    }

    /// Whether an object may be read; of a file only its real place says it, when it is opened.
    #[must_use]
    pub fn allows(&self, address: &Address) -> bool {
        self.allowed.allows(address)
    }

    /// Finds an object, and pins it to what it is now.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn find(&self, address: &Address) -> Result<Object, ObjectError> {
        let backing = self.backing(address)?;
        let pin = backing.look(address).await?;
        Ok(Object::new(address.clone(), backing, pin))
    }

    /// An object that was pinned before; nothing is asked of its store.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn pinned(&self, address: &Address, pin: Pin) -> Result<Object, ObjectError> {
        Ok(Object::new(address.clone(), self.backing(address)?, pin))
    }

    fn backing(&self, address: &Address) -> Result<Backing, ObjectError> {
        if address.is_file() {
            return Ok(Backing::File(Arc::clone(&self.allowed)));
        }
        if !self.allows(address) {
            return Err(ObjectError::NotAllowed {
                address: address.clone(),
            });
        }
        Ok(Backing::Store {
            store: self.get(address)?,
            path: path(address)?,
        })
    }

    /// All objects whose keys begin with that of `prefix`, by their names, each pinned to what it is now; `wanted` says of a key whether it is one.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn list(&self, prefix: &Address, wanted: impl Fn(&str) -> bool) -> Result<Vec<Object>, ObjectError> {
        if !prefix.can_list() {
            return Err(ObjectError::NoList {
                address: prefix.clone(),
            });
        }
        let store = self.get(prefix)?;
        let folder = path(&prefix.with_key(prefix.key.rsplit_once('/').map_or("", |(folder, _)| folder)))?;
        let list = || store.list(Some(&folder)).try_collect::<Vec<ObjectMeta>>();
        let found = patiently(|| list().map_err(|source| ObjectError::of(prefix, source))).await?;
        let is_one = |meta: &ObjectMeta| {
            let key = meta.location.as_ref();
            // What stands for a folder has its name.
            meta.location != folder && key.starts_with(&prefix.key) && wanted(key)
        };
        let mut objects: Vec<Object> = found
            .into_iter()
            .filter(is_one)
            .map(|meta| {
                let address = prefix.with_key(meta.location.as_ref());
                let pin = Pin::listed(&meta, prefix.service);
                let backing = Backing::Store {
                    store: Arc::clone(&store),
                    path: meta.location,
                };
                Object::new(address, backing, pin)
            })
            .collect();
        objects.sort_by(|a, b| a.address().key.cmp(&b.address().key));
        Ok(objects)
    }

    fn get(&self, address: &Address) -> Result<Arc<dyn ObjectStore>, ObjectError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = opened.get(&address.store) {
            return Ok(Arc::clone(store));
        }
        let store = open(address, &self.allowed).map_err(|source| ObjectError::Settings {
            address: address.clone(),
            source: Box::new(source),
        })?;
        opened.insert(address.store.clone(), Arc::clone(&store));
        Ok(store)
    }
}

fn open(address: &Address, allowed: &Allowed) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
    // Of several that are built in none is taken by itself; somebody may have done it already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let bucket = address.store.split_once("://").map_or("", |(_, bucket)| bucket);
    let timeout = ClientConfigKey::Timeout;
    Ok(match address.service {
        Service::S3 => Arc::new(
            AmazonS3Builder::from_env()
                .with_config(AmazonS3ConfigKey::Client(timeout), REQUEST_TIMEOUT)
                .with_bucket_name(bucket)
                .build()?,
        ),
        Service::GoogleCloud => Arc::new(
            GoogleCloudStorageBuilder::from_env()
                .with_config(GoogleConfigKey::Client(timeout), REQUEST_TIMEOUT)
                .with_bucket_name(bucket)
                .build()?,
        ),
        Service::Azure => Arc::new(
            MicrosoftAzureBuilder::from_env()
                .with_config(AzureConfigKey::Client(timeout), REQUEST_TIMEOUT)
                .with_container_name(bucket)
                .build()?,
        ),
        Service::Http => {
            let builder = HttpBuilder::new().with_url(&address.store).with_client_options(
                ClientOptions::new()
                    .with_allow_http(true)
                    .with_config(timeout, REQUEST_TIMEOUT),
            );
            Arc::new(match allowed {
                Allowed::All => builder.build()?,
                // A server that is allowed may send on to one that is not.
                _ => builder.with_http_connector(Straight).build()?,
            })
        }
        // It needs none.
        Service::File => {
            return Err(object_store::Error::NotImplemented {
                operation: "a store of files".to_owned(),
                implementer: "pg_import".to_owned(),
            });
        }
    })
}

/// How many names a key has, with slashes between them; those that are empty count.
fn parts(key: &str) -> usize {
    if key.is_empty() { 0 } else { key.split('/').count() }
}

fn path(address: &Address) -> Result<Path, ObjectError> {
    let path = match address.service {
        Service::Http => Path::from_url_path(&address.key),
        _ => Path::parse(&address.key),
    };
    // Some servers take a backslash for a slash.
    path.ok()
        .filter(|path| !path.as_ref().contains('\\') && path.parts().count() == parts(&address.key))
        .ok_or_else(|| ObjectError::Key {
            address: address.clone(),
        })
}
