//! One suite for every implementation of the file-system seam: what holds on the real directory holds on the simulated.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use standpipe_store::fs::fault::SimDir;
use standpipe_store::fs::real::RealDir;
use standpipe_store::fs::{Dir, read_all, read_exact_at, replace, write_all_at};

/// Makes one test of every function named, for each implementation.
macro_rules! conforms {
    ($($test:ident),* $(,)?) => {
        mod real {
            $(#[test]
            fn $test() {
                let temporary = tempfile::tempdir().unwrap();
                let dir = super::RealDir::open(temporary.path()).unwrap();
                super::$test(&dir);
            })*
        }
        mod simulated {
            $(#[test]
            fn $test() {
                super::$test(&super::SimDir::new());
            })*
        }
    };
}

conforms!(
    a_created_file_is_empty_and_its_name_is_taken,
    what_is_absent_is_not_found,
    names_are_single_components,
    writes_land_at_their_offset_and_extend_with_zeros,
    many_buffers_are_one_stream,
    reads_stop_at_the_end,
    set_len_cuts_and_extends_with_zeros,
    a_file_open_for_reading_refuses_writes,
    an_open_file_survives_its_name,
    rename_replaces_a_file,
    rename_of_an_open_directory_moves_it,
    rename_refuses_what_does_not_fit,
    list_is_sorted_and_names_directories,
    remove_is_for_files_and_remove_dir_all_for_directories,
    a_lock_excludes_until_dropped,
    space_is_told,
    replace_leaves_one_file_of_the_new_contents,
    syncs_and_hints_succeed,
);

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(e) => e.kind(),
    }
}

fn contents(dir: &dyn Dir, name: &str) -> Vec<u8> {
    read_all(&*dir.open_read(name).unwrap()).unwrap()
}

fn put(dir: &dyn Dir, name: &str, bytes: &[u8]) {
    write_all_at(&*dir.create(name).unwrap(), bytes, 0).unwrap();
}

fn a_created_file_is_empty_and_its_name_is_taken(dir: &dyn Dir) {
    let file = dir.create("a").unwrap();
    assert_eq!(file.len().unwrap(), 0);
    assert_eq!(kind(dir.create("a")), ErrorKind::AlreadyExists);
    assert_eq!(kind(dir.create_dir("a")), ErrorKind::AlreadyExists);
    let _dir = dir.create_dir("d").unwrap();
    assert_eq!(kind(dir.create("d")), ErrorKind::AlreadyExists);
    assert_eq!(kind(dir.create_dir("d")), ErrorKind::AlreadyExists);
}

fn what_is_absent_is_not_found(dir: &dyn Dir) {
    assert_eq!(kind(dir.open("a")), ErrorKind::NotFound);
    assert_eq!(kind(dir.open_read("a")), ErrorKind::NotFound);
    assert_eq!(kind(dir.open_dir("a")), ErrorKind::NotFound);
    assert_eq!(kind(dir.remove("a")), ErrorKind::NotFound);
    assert_eq!(kind(dir.remove_dir_all("a")), ErrorKind::NotFound);
    assert_eq!(kind(dir.rename("a", "b")), ErrorKind::NotFound);
    assert_eq!(dir.list().unwrap(), Vec::<String>::new());
}

fn names_are_single_components(dir: &dyn Dir) {
    let _dir = dir.create_dir("d").unwrap();
    for name in ["", ".", "..", "d/a", "/a", "a\0b", "a/"] {
        assert_eq!(kind(dir.create(name)), ErrorKind::InvalidInput, "{name:?}");
        assert_eq!(kind(dir.open(name)), ErrorKind::InvalidInput, "{name:?}");
        assert_eq!(kind(dir.open_read(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(dir.create_dir(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(dir.open_dir(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(dir.rename(name, "x")), ErrorKind::InvalidInput);
        assert_eq!(kind(dir.rename("d", name)), ErrorKind::InvalidInput);
        assert_eq!(kind(dir.remove(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(dir.remove_dir_all(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(dir.lock(name)), ErrorKind::InvalidInput);
    }
    assert_eq!(dir.list().unwrap(), ["d"]);
}

fn writes_land_at_their_offset_and_extend_with_zeros(dir: &dyn Dir) {
    let file = dir.create("a").unwrap();
    write_all_at(&*file, b"hello", 3).unwrap();
    write_all_at(&*file, b"J", 3).unwrap();
    assert_eq!(file.len().unwrap(), 8);
    assert_eq!(read_all(&*file).unwrap(), b"\0\0\0Jello");
    // Another handle sees the same file at once.
    assert_eq!(contents(dir, "a"), b"\0\0\0Jello");
    assert_eq!(read_all(&*dir.open("a").unwrap()).unwrap(), b"\0\0\0Jello");
}

fn many_buffers_are_one_stream(dir: &dyn Dir) {
    let file = dir.create("a").unwrap();
    let n = file
        .write_at(
            &[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")],
            1,
        )
        .unwrap();
    assert_eq!(n, 5);
    assert_eq!(read_all(&*file).unwrap(), b"\0abcde");
    let many: Vec<IoSlice<'_>> = (0..3000).map(|_| IoSlice::new(b"x")).collect();
    let n = file.write_at(&many, 0).unwrap();
    assert!((1..=3000).contains(&n), "{n}");
    assert_eq!(file.write_at(&[], 0).unwrap(), 0);
}

fn reads_stop_at_the_end(dir: &dyn Dir) {
    let file = dir.create("a").unwrap();
    write_all_at(&*file, b"abc", 0).unwrap();
    let mut buf = [0; 8];
    assert_eq!(file.read_at(&mut buf, 1).unwrap(), 2);
    assert_eq!(&buf[..2], b"bc");
    assert_eq!(file.read_at(&mut buf, 3).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, 300).unwrap(), 0);
    assert_eq!(
        kind(read_exact_at(&*file, &mut buf, 0)),
        ErrorKind::UnexpectedEof
    );
}

fn set_len_cuts_and_extends_with_zeros(dir: &dyn Dir) {
    let file = dir.create("a").unwrap();
    write_all_at(&*file, b"abcdef", 0).unwrap();
    file.set_len(3).unwrap();
    assert_eq!(read_all(&*file).unwrap(), b"abc");
    file.set_len(5).unwrap();
    assert_eq!(read_all(&*file).unwrap(), b"abc\0\0");
    file.set_len(0).unwrap();
    assert_eq!(file.len().unwrap(), 0);
}

fn a_file_open_for_reading_refuses_writes(dir: &dyn Dir) {
    put(dir, "a", b"abc");
    let file = dir.open_read("a").unwrap();
    assert!(write_all_at(&*file, b"x", 0).is_err());
    assert!(file.set_len(0).is_err());
    assert_eq!(read_all(&*file).unwrap(), b"abc");
}

fn an_open_file_survives_its_name(dir: &dyn Dir) {
    let file = dir.create("a").unwrap();
    dir.remove("a").unwrap();
    write_all_at(&*file, b"abc", 0).unwrap();
    assert_eq!(read_all(&*file).unwrap(), b"abc");
    put(dir, "a", b"new");
    assert_eq!(read_all(&*file).unwrap(), b"abc");
    assert_eq!(contents(dir, "a"), b"new");
}

fn rename_replaces_a_file(dir: &dyn Dir) {
    put(dir, "a", b"one");
    put(dir, "b", b"two");
    let old = dir.open("b").unwrap();
    dir.rename("a", "b").unwrap();
    assert_eq!(dir.list().unwrap(), ["b"]);
    assert_eq!(contents(dir, "b"), b"one");
    assert_eq!(read_all(&*old).unwrap(), b"two");
    dir.rename("b", "b").unwrap();
    assert_eq!(contents(dir, "b"), b"one");
}

fn rename_of_an_open_directory_moves_it(dir: &dyn Dir) {
    let sub = dir.create_dir("x.tmp").unwrap();
    put(&*sub, "a", b"one");
    dir.rename("x.tmp", "x").unwrap();
    put(&*sub, "b", b"two");
    sub.sync().unwrap();
    assert_eq!(dir.list().unwrap(), ["x"]);
    let again = dir.open_dir("x").unwrap();
    assert_eq!(again.list().unwrap(), ["a", "b"]);
    assert_eq!(contents(&*again, "b"), b"two");
}

fn rename_refuses_what_does_not_fit(dir: &dyn Dir) {
    put(dir, "file", b"");
    let full = dir.create_dir("full").unwrap();
    put(&*full, "a", b"");
    let _other = dir.create_dir("other").unwrap();
    assert_eq!(kind(dir.rename("file", "full")), ErrorKind::IsADirectory);
    assert_eq!(kind(dir.rename("full", "file")), ErrorKind::NotADirectory);
    assert_eq!(
        kind(dir.rename("other", "full")),
        ErrorKind::DirectoryNotEmpty
    );
    dir.rename("full", "other").unwrap();
    assert_eq!(dir.list().unwrap(), ["file", "other"]);
}

fn list_is_sorted_and_names_directories(dir: &dyn Dir) {
    for name in ["b", "a", "\u{e9}", "B", "a.tmp", "10", "9"] {
        put(dir, name, b"");
    }
    let _dir = dir.create_dir("c").unwrap();
    assert_eq!(
        dir.list().unwrap(),
        ["10", "9", "B", "a", "a.tmp", "b", "c", "\u{e9}"]
    );
}

fn remove_is_for_files_and_remove_dir_all_for_directories(dir: &dyn Dir) {
    let sub = dir.create_dir("d").unwrap();
    put(&*sub, "a", b"");
    let deep = sub.create_dir("deep").unwrap();
    put(&*deep, "b", b"");
    put(dir, "f", b"");
    assert_eq!(kind(dir.remove("d")), ErrorKind::IsADirectory);
    assert_eq!(kind(dir.remove_dir_all("f")), ErrorKind::NotADirectory);
    assert_eq!(kind(dir.open("d")), ErrorKind::IsADirectory);
    assert_eq!(kind(dir.open_read("d")), ErrorKind::IsADirectory);
    assert_eq!(kind(dir.open_dir("f")), ErrorKind::NotADirectory);
    dir.remove_dir_all("d").unwrap();
    dir.remove("f").unwrap();
    assert_eq!(dir.list().unwrap(), Vec::<String>::new());
    // A directory that is gone takes no new entries.
    assert_eq!(kind(sub.create("x")), ErrorKind::NotFound);
}

fn a_lock_excludes_until_dropped(dir: &dyn Dir) {
    let held = dir.lock("LOCK").unwrap();
    assert_eq!(kind(dir.lock("LOCK")), ErrorKind::WouldBlock);
    let other = dir.lock("LOCK.2").unwrap();
    drop(held);
    drop(dir.lock("LOCK").unwrap());
    drop(other);
    assert_eq!(dir.list().unwrap(), ["LOCK", "LOCK.2"]);
}

fn space_is_told(dir: &dyn Dir) {
    let space = dir.space().unwrap();
    assert!(space.total > 0);
    assert!(space.free <= space.total);
}

fn replace_leaves_one_file_of_the_new_contents(dir: &dyn Dir) {
    put(dir, "m.tmp", b"left over from a crash");
    replace(dir, "m", b"one").unwrap();
    replace(dir, "m", b"two").unwrap();
    assert_eq!(dir.list().unwrap(), ["m"]);
    assert_eq!(contents(dir, "m"), b"two");
}

fn syncs_and_hints_succeed(dir: &dyn Dir) {
    put(dir, "a", b"abc");
    let file: Arc<_> = dir.open("a").unwrap();
    file.sync_data().unwrap();
    file.sync_all().unwrap();
    file.drop_cache().unwrap();
    dir.sync().unwrap();
    // A file open for reading can be synced too: recovery does it before it believes what it reads.
    let reading = dir.open_read("a").unwrap();
    reading.sync_data().unwrap();
    reading.drop_cache().unwrap();
    assert_eq!(read_all(&*reading).unwrap(), b"abc");
    assert!(dir.display("a").ends_with("/a"));
}
