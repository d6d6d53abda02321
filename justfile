# The recipes beside `cargo` and `./tests/run`. `just` alone lists them.

set shell := ["bash", "-euo", "pipefail", "-c"]

python := "tests/.cache/venv/bin/python3"
export PYTHONPATH := "tests"

[private]
default:
    @just --list --unsorted

# Start the service, optimised, on 127.0.0.1:8080
serve *arguments:
    cargo run --release -- {{arguments}}

# Everything that continuous integration checks
test *steps:
    ./tests/run {{steps}}

# Crash states of the simulated machine, and every bit of a store flipped, longer than in tests/run
torture STATES="100000":
    STANDPIPE_CRASH_STATES={{STATES}} STANDPIPE_DAMAGE=every-bit cargo test --locked --release -p standpipe-store --test torture

# kill -9 under load, N times, with an audit of what was acknowledged
crashes N="100" *options: _binary
    python3 -m live.crashes --kills {{N}} {{options}}

# Real files in, two kills, the same files out; then through export and import
real-input N="20000": _binary
    python3 -m live.real_input --files {{N}}

# A small disk filled to its end, on ext4 and on tmpfs (needs root)
full-disk: _binary
    python3 -m live.full_disk --kind ext4
    python3 -m live.full_disk --kind tmpfs
    python3 -m live.full_disk_mirror

# Power cuts on ext4 and XFS, N on each (needs root, xfsprogs)
power-cut N="20" *options: _binary
    python3 -m live.power_cut --cuts {{N}} {{options}}

# System calls that fail, by strace
failed-sync: _binary
    python3 -m live.failed_sync

# Sinks, every case; 8 writers x 50,000 increments into three databases, each of them and Standpipe killed ten times
sinks *options: _binary
    ./tests/run databases
    python3 -m live.sinks {{options}}

# The same increments and kills, all of them into one database: pg, maria or lite
sink-kills DATABASE *options: _binary
    ./tests/run databases
    python3 -m live.sinks kills --databases {{DATABASE}} {{options}}

# The files of examples/ and the second profile of compose.yaml, run by this machine's own programs
examples:
    ./tests/run examples

# Careless and hostile clients
hostile *options: _binary
    python3 -m live.hostile {{options}}

# What keyspaces read through to: three databases that die, HTTPS, and a server that is gone for SECONDS under load
read-through SECONDS="60": _binary
    ./tests/run databases
    python3 -m live.read_through --seconds {{SECONDS}}

# schemathesis against the running server, longer than in tests/run
contract N="300": _binary _environment
    {{python}} -m live.contract --examples {{N}}

# The Postman collection under newman
postman: _binary
    ./tests/run newman
    python3 -m live.postman

# /docs/ and /ui/ in headless Chromium
browser: _binary _environment
    {{python}} -m live.try_it_out
    {{python}} -m live.ui

# Build the image and run it: read-only root, a fresh ext4 volume, kill -9, an arbitrary user (needs root, buildah, podman)
container:
    tests/container/run

# The rows of docs/performance.md, all or some: just bench 1,2 --rounds 7
bench *options: _release
    nice -n 5 target/release/standpipe-bench rows --program target/release/standpipe {{options}}

# Ten thousand watches, 1 % of which never read, beside 100 changes a second: just watchers --groups 1 --watchers 1000
watchers *options: _release
    target/release/standpipe-bench watch --program target/release/standpipe --most-slower 2 {{options}}

# Every row once, for a moment: to see that the benchmarks work
bench-smoke: _release
    target/release/standpipe-bench smoke --program target/release/standpipe

# The store alone: just bench-store synced --threads 2 (get, apply, written, synced)
bench-store *options:
    cargo run --release --locked -p standpipe-bench -- store operations {{options}}

# An hour's coming and going in a bounded keyspace: memory counted and taken (just churn --memory, --sizes drift, --max-bytes 1000M)
churn *options: _release
    target/release/standpipe-bench store churn {{options}}

# A million entries that fall due in one second: what a reader and a writer notice
expiry *options: _release
    target/release/standpipe-bench store expiry {{options}}

# Licences, sources and banned crates (cargo install cargo-deny)
deny:
    cargo deny --offline check bans licenses sources

[private]
_environment:
    ./tests/run environment

[private]
_binary:
    cargo build --locked

[private]
_release:
    cargo build --release --locked -p standpipe -p standpipe-bench
