//! The Rust of Smart Core's interface is what its .proto files come to today: the client's that is built in, and the server's
//! that these tests follow.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Set to write the files instead of comparing them.
const UPDATE: &str = "UPDATE_PROTO";

const PROTO: &str = "src/mirror/smartcore/api";

fn below_the_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn compare_or_write(made: &Path, kept: &Path) {
    let made = fs::read_to_string(made).unwrap();
    if env::var_os(UPDATE).is_some() {
        fs::write(kept, &made).unwrap();
    }
    assert!(
        fs::read_to_string(kept).unwrap_or_default() == made,
        "{} is old: run {UPDATE}=1 cargo test --test api generated",
        kept.display()
    );
}

#[test]
fn what_is_checked_in_is_what_the_proto_files_come_to() {
    let proto = below_the_root(PROTO);
    let files = ["traits.proto", "bos.proto"];
    let descriptors = protox::compile(files, [&proto]).unwrap();
    for (client, folder) in [(true, PROTO), (false, "tests/api/publications")] {
        let made = tempfile::tempdir().unwrap();
        tonic_prost_build::configure()
            .build_client(client)
            .build_server(!client)
            .build_transport(false)
            .bytes(".smartcore.traits.Publication.body")
            .emit_rerun_if_changed(false)
            .out_dir(made.path())
            .compile_fds(descriptors.clone())
            .unwrap();
        for (package, kept) in [
            ("smartcore.traits.rs", "traits.rs"),
            ("smartcore.bos.publication.v1.rs", "bos.rs"),
        ] {
            compare_or_write(
                &made.path().join(package),
                &below_the_root(folder).join(kept),
            );
        }
    }
}
