//! What the `.proto` files here come to in Rust; a test makes it anew and compares. The folders of the names are the packages.

#![expect(
    clippy::absolute_paths,
    clippy::allow_attributes_without_reason,
    clippy::doc_markdown,
    clippy::trivially_copy_pass_by_ref,
    unreachable_pub,
    unused_qualifications,
    reason = "the generators write it as they do"
)]

pub mod traits {
    include!("traits.rs");
}

pub mod bos {
    pub mod publication {
        pub mod v1 {
            include!("bos.rs");
        }
    }
}
