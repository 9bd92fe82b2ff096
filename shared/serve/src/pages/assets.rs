//! The files that pages need, within the program. Their paths change with what is in them, so that browsers may keep them.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::failure::Failure;

struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
}

const ASSETS: [Asset; 4] = [
    Asset {
        name: "style.css",
        kind: "text/css; charset=utf-8",
        content: include_str!("../../assets/style.css"),
    },
    Asset {
        name: "live.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("../../assets/live.js"),
    },
    Asset {
        name: "upload.js",
        kind: "text/javascript; charset=utf-8",
        content: include_str!("../../assets/upload.js"),
    },
    Asset {
        name: "icon.svg",
        kind: "image/svg+xml",
        content: include_str!("../../assets/icon.svg"),
    },
];

/// Of all that is in them.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for asset in &ASSETS {
        hasher.update(asset.content.as_bytes());
    }
    hasher.finalize().to_hex()[..12].to_owned()
});

/// Where a file is.
pub(super) fn path(name: &str) -> String {
    format!("/assets/{}-{name}", *VERSION)
}

pub(crate) async fn file(Path(file): Path<String>) -> Response {
    let name = file.split_once('-').map_or(file.as_str(), |(_, name)| name);
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.kind),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.content,
        )
            .into_response(),
        None => Failure::new(StatusCode::NOT_FOUND, "there is no such file").into_response(),
    }
}
