FROM rust:1.94-slim-trixie AS build
WORKDIR /src
# For jemalloc.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
# The dependencies are a layer of their own, which is built again only when the lock file changes. Cargo needs to see every
# target before it fetches.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY crates crates
RUN mkdir src tests && touch src/lib.rs src/main.rs tests/sql.rs && cargo fetch --locked
# No network from here on.
COPY . .
RUN cargo build --release --offline --locked --bin bitlake

# A stage of its own, so that the certificates are those of this image also where the stage above is replaced.
FROM rust:1.94-slim-trixie AS certificates

FROM debian:trixie-slim
COPY --from=certificates /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/bitlake /usr/local/bin/bitlake
USER 65532:65532
ENV BITLAKE_CONFIG=/etc/bitlake/bitlake.toml
# bitlake handles SIGTERM itself, so it may be process 1.
ENTRYPOINT ["bitlake"]
CMD ["--help"]
