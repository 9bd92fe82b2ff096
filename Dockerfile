# syntax=docker/dockerfile:1

# Both programs, in one image with nothing else to run: no shell, no package manager, no root.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
# The queries were checked when .sqlx was written; a build needs no database.
ENV SQLX_OFFLINE=true
COPY . .
# The registry and target/ stay between builds. target/ is no part of the image, hence the install in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin enqueue --bin worker \
    && install -D --strip --target-directory=/out target/release/enqueue target/release/worker

# glibc of the same Debian as the build, libgcc, certificates, and the user nonroot (65532)
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/ /usr/local/bin/
# No entrypoint: either program is named in full, as in `docker run pg_import enqueue status`.
ENTRYPOINT []
CMD ["worker"]
