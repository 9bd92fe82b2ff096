//! Stores, each opened once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::TryStreamExt as _;
use object_store::{
    ClientConfigKey, ObjectStore,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    http::HttpBuilder,
    local::LocalFileSystem,
    path::Path,
};
use object_store::{ClientOptions, ObjectMeta};
use tokio::runtime::Handle;

use crate::{Address, Object, ObjectError, Pin, address::Service};

/// How long a request may take, as a whole: a part over a slow line.
const REQUEST_TIMEOUT: &str = "300 seconds";

/// Stores that were opened, to be used again.
#[derive(Debug, Default)]
pub struct Stores {
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Stores {
    /// Finds an object, and pins it to what it is now.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub async fn find(&self, address: &Address) -> Result<Object, ObjectError> {
        let store = self.get(address)?;
        let path = path(address)?;
        let meta = crate::object::look(&*store, address, &path).await?;
        Ok(Object::new(address.clone(), store, path, Pin::of(&meta)))
    }

    /// An object that was pinned before; nothing is asked of its store.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub fn pinned(&self, address: &Address, pin: Pin) -> Result<Object, ObjectError> {
        Ok(Object::new(address.clone(), self.get(address)?, path(address)?, pin))
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
        let found: Vec<ObjectMeta> = store
            .list(Some(&folder))
            .try_filter(|meta| {
                let key = meta.location.as_ref();
                // What stands for a folder has its name.
                let is_one = meta.location != folder && key.starts_with(&prefix.key) && wanted(key);
                std::future::ready(is_one)
            })
            .try_collect()
            .await
            .map_err(|source| ObjectError::of(prefix, source))?;
        let mut objects: Vec<Object> = found
            .into_iter()
            .map(|meta| {
                let address = prefix.with_key(meta.location.as_ref());
                Object::new(address, Arc::clone(&store), meta.location.clone(), Pin::of(&meta))
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
        let store = open(address).map_err(|source| ObjectError::Settings {
            address: address.clone(),
            source: Box::new(source),
        })?;
        opened.insert(address.store.clone(), Arc::clone(&store));
        Ok(store)
    }
}

fn open(address: &Address) -> Result<Arc<dyn ObjectStore>, object_store::Error> {
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
        Service::Http => Arc::new(
            HttpBuilder::new()
                .with_url(&address.store)
                .with_client_options(
                    ClientOptions::new()
                        .with_allow_http(true)
                        .with_config(timeout, REQUEST_TIMEOUT),
                )
                .build()?,
        ),
        Service::File => Arc::new(LocalFileSystem::new()),
    })
}

fn path(address: &Address) -> Result<Path, ObjectError> {
    let path = match address.service {
        Service::Http => Path::from_url_path(&address.key),
        _ => Path::parse(&address.key),
    };
    path.map_err(|source| ObjectError::Read {
        address: address.clone(),
        source: Box::new(source.into()),
    })
}

/// The runtime on which requests are made.
pub(crate) fn runtime() -> Handle {
    Handle::current()
}
