# syntax=docker/dockerfile:1
# A builder with Rust, then a small image with the one binary.
# Both base images are build arguments; anything with the same C library (glibc) on both sides will do,
# also one without a shell, such as gcr.io/distroless/cc-debian12.
ARG BUILDER_IMAGE=docker.io/library/rust:1-bookworm
ARG RUNTIME_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BUILDER_IMAGE} AS builder
WORKDIR /build
COPY . .
# The image's own toolchain, not the channel that rust-toolchain.toml would fetch.
RUN rm -f rust-toolchain.toml && cargo build --release --locked --bin standpipe
# Prepared here, because a small runtime image may have no shell to do it.
# Any user may run the image, so any user may write to /data: with one process inside, its owner protects nothing.
RUN mkdir -p /rootfs/data /rootfs/etc/standpipe /rootfs/usr/local/bin \
 && chmod 0777 /rootfs/data \
 && cp target/release/standpipe /rootfs/usr/local/bin/standpipe \
 && cp config/container.yml /rootfs/etc/standpipe/defaults.yml \
 && chmod 0755 /rootfs/usr/local/bin/standpipe \
 && chmod 0644 /rootfs/etc/standpipe/defaults.yml

FROM ${RUNTIME_IMAGE}
COPY --from=builder /rootfs/ /
# A number, so that Kubernetes' runAsNonRoot can see that it is not root.
USER 65532:65532
# Where ./config.yml is looked for.
WORKDIR /etc/standpipe
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["/usr/local/bin/standpipe", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/standpipe"]
