//! Tests of the simulated machine itself: it forgets what it must forget and keeps what it must keep.
//! A simulator that never lost anything would let every other crash test pass.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice};
use std::thread;

use standpipe_store::fs::fault::{
    AllKept, AllLost, Call, Choose as _, Effect, ErrorNumber, Exhaustive, Fault, SECTOR, Seeded,
    SimDir,
};
use standpipe_store::fs::{Dir as _, read_all, replace, write_all_at};

/// A machine with one durable file `a` of these bytes.
fn with_file(bytes: &[u8]) -> SimDir {
    let sim = SimDir::new();
    let file = sim.create("a").unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    file.sync_all().unwrap();
    sim.sync().unwrap();
    sim
}

/// What is in `a` in every state that a crash may leave.
fn all_states(sim: &SimDir) -> BTreeSet<Vec<u8>> {
    let mut chooser = Exhaustive::new();
    let mut states = BTreeSet::new();
    loop {
        states.insert(sim.crash_image(&mut chooser).bytes("a").unwrap());
        if !chooser.advance() {
            return states;
        }
    }
}

#[test]
fn an_unsynced_write_can_be_lost_and_can_be_kept() {
    let sim = with_file(b"old");
    write_all_at(&*sim.open("a").unwrap(), b"new", 0).unwrap();
    assert_eq!(sim.bytes("a").unwrap(), b"new");
    let states = all_states(&sim);
    assert_eq!(states, [b"new".to_vec(), b"old".to_vec()].into());
    assert_eq!(sim.crash_image(&mut AllKept).bytes("a").unwrap(), b"new");
    assert_eq!(sim.crash_all_lost().bytes("a").unwrap(), b"old");
}

#[test]
fn a_synced_write_is_never_lost() {
    let sim = with_file(b"old");
    let file = sim.open("a").unwrap();
    write_all_at(&*file, b"new", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(all_states(&sim), [b"new".to_vec()].into());
}

#[test]
fn a_created_file_is_lost_without_a_sync_of_its_directory() {
    let sim = SimDir::new();
    let file = sim.create("a").unwrap();
    write_all_at(&*file, b"abc", 0).unwrap();
    file.sync_all().unwrap();
    assert_eq!(sim.crash_image(&mut AllLost).files(), []);
    assert_eq!(sim.crash_image(&mut AllKept).files(), [("a".to_owned(), 3)]);
    sim.sync().unwrap();
    assert_eq!(sim.crash_all_lost().bytes("a").unwrap(), b"abc");
}

#[test]
fn writes_tear_by_sector_and_never_within() {
    let sim = with_file(&[1; 3 * SECTOR]);
    write_all_at(&*sim.open("a").unwrap(), &[2; 3 * SECTOR], 0).unwrap();
    let states = all_states(&sim);
    assert_eq!(states.len(), 8, "each sector is old or new on its own");
    for state in states {
        for sector in state.chunks(SECTOR) {
            assert!(sector.iter().all(|byte| *byte == sector[0]));
        }
    }
}

#[test]
fn a_sector_can_be_left_as_it_was_between_two_writes() {
    let sim = with_file(b"0");
    let file = sim.open("a").unwrap();
    write_all_at(&*file, b"1", 0).unwrap();
    write_all_at(&*file, b"2", 0).unwrap();
    let states = all_states(&sim);
    assert_eq!(
        states,
        ["0", "1", "2"].map(|s| s.as_bytes().to_vec()).into()
    );
}

#[test]
fn growth_can_be_left_as_zeros_or_be_missing() {
    let sim = with_file(&[]);
    write_all_at(&*sim.open("a").unwrap(), b"abc", 0).unwrap();
    let states = all_states(&sim);
    assert_eq!(
        states,
        [&b""[..], b"abc", b"\0\0\0"].map(<[u8]>::to_vec).into()
    );
}

#[test]
fn a_cut_is_there_or_not() {
    let sim = with_file(&[7; 2 * SECTOR]);
    sim.open("a").unwrap().set_len(3).unwrap();
    let states = all_states(&sim);
    let mut zeroed = vec![7; 2 * SECTOR];
    zeroed[3..SECTOR].fill(0);
    // The third: the rest of the last block is zeroed before the new length is on the disk.
    assert_eq!(states, [vec![7; 3], vec![7; 2 * SECTOR], zeroed].into());
    let file = sim.open("a").unwrap();
    file.set_len(1024).unwrap();
    file.sync_data().unwrap();
    let bytes = sim.crash_all_lost().bytes("a").unwrap();
    assert_eq!(
        (&bytes[..3], &bytes[3..]),
        (&[7; 3][..], &[0; 2 * SECTOR - 3][..])
    );
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one_whole() {
    let sim = with_file(b"old");
    sim.fail(Fault::on(Call::SyncDir));
    assert!(replace(&sim, "a", b"new").unwrap_err().renamed);
    // Entries stay to be written: the rename may be there or not.
    let states = [b"old".to_vec(), b"new".to_vec()].into();
    assert_eq!(all_states(&sim), states);
    let sim = with_file(b"old");
    sim.stop_after(5);
    assert!(replace(&sim, "a", b"new").unwrap_err().renamed);
    assert!(sim.is_off());
    assert_eq!(all_states(&sim), [b"old".to_vec(), b"new".to_vec()].into());
}

#[test]
fn a_rename_never_outruns_the_creation_that_it_needs() {
    let sim = SimDir::new();
    sim.create("a").unwrap();
    sim.rename("a", "b").unwrap();
    sim.create("c").unwrap();
    let mut chooser = Exhaustive::new();
    let mut states = BTreeSet::new();
    loop {
        let names = sim.crash_image(&mut chooser).list().unwrap();
        states.insert(names.join(" "));
        if !chooser.advance() {
            break;
        }
    }
    let expected = ["", "a", "b", "c", "a c", "b c"];
    assert_eq!(states, expected.map(str::to_owned).into());
}

#[test]
fn a_removed_directory_can_be_back_and_is_whole_enough_to_be_removed_again() {
    let sim = SimDir::new();
    let sub = sim.create_dir("d").unwrap();
    sub.create("a").unwrap();
    sub.sync().unwrap();
    sim.sync().unwrap();
    sim.remove_dir_all("d").unwrap();
    let back = sim.crash_all_lost();
    let sub = back.open_dir("d").unwrap();
    assert_eq!(sub.list().unwrap(), ["a"]);
    sub.create("b").unwrap();
    back.remove_dir_all("d").unwrap();
    assert_eq!(back.list().unwrap(), Vec::<String>::new());
}

#[test]
fn old_handles_and_locks_die_with_the_machine() {
    let sim = with_file(b"old");
    let file = sim.open("a").unwrap();
    let lock = sim.lock("LOCK").unwrap();
    sim.sync().unwrap();
    let next = sim.crash_all_lost();
    file.read_at(&mut [0], 0).unwrap_err();
    file.write_at(&[IoSlice::new(b"x")], 0).unwrap_err();
    file.sync_data().unwrap_err();
    sim.list().unwrap_err();
    let again = next.lock("LOCK").unwrap();
    drop(lock);
    assert_eq!(next.lock("LOCK").unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(again);
}

#[test]
fn a_killed_process_leaves_what_it_wrote_unsynced() {
    let sim = with_file(b"old");
    write_all_at(&*sim.open("a").unwrap(), b"new", 0).unwrap();
    let after = sim.kill();
    sim.list().unwrap_err();
    assert_eq!(after.bytes("a").unwrap(), b"new");
    assert_eq!(after.crash_image(&mut AllLost).bytes("a").unwrap(), b"old");
    after.open("a").unwrap().sync_data().unwrap();
    assert_eq!(after.crash_all_lost().bytes("a").unwrap(), b"new");
}

#[test]
fn a_failed_sync_leaves_pages_clean_readable_and_lost() {
    let sim = with_file(b"old");
    let file = sim.open("a").unwrap();
    write_all_at(&*file, b"new", 0).unwrap();
    sim.fail(Fault::on(Call::SyncData));
    file.sync_data().unwrap_err();
    // The trap: the second sync has nothing left to do and succeeds.
    file.sync_data().unwrap();
    assert_eq!(read_all(&*file).unwrap(), b"new");
    assert_eq!(sim.kill().bytes("a").unwrap(), b"new");
    assert_eq!(sim.crash_image(&mut AllKept).bytes("a").unwrap(), b"old");
    let after = sim.kill();
    let file = after.open("a").unwrap();
    file.drop_cache().unwrap();
    assert_eq!(read_all(&*file).unwrap(), b"old");
}

#[test]
fn a_sync_that_fails_partly_keeps_some_sectors() {
    let mut sums = BTreeSet::new();
    for rounds in 0..40 {
        let sim = with_file(&[0; 16 * SECTOR]);
        let file = sim.open("a").unwrap();
        sim.fail(
            Fault::on(Call::SyncData)
                .always()
                .effect(Effect::FailPartly(ErrorNumber::IO)),
        );
        for _ in 0..=rounds {
            write_all_at(&*file, &[1; 16 * SECTOR], 0).unwrap();
            file.sync_data().unwrap_err();
        }
        let bytes = sim.crash_all_kept().bytes("a").unwrap();
        sums.insert(bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>());
    }
    assert!(sums.iter().any(|sum| (1..16 * SECTOR).contains(sum)));
}

#[test]
fn faults_strike_the_call_they_name() {
    let sim = with_file(b"abc");
    sim.create("b").unwrap();
    let (a, b) = (sim.open("a").unwrap(), sim.open("b").unwrap());
    let write = |file: &dyn standpipe_store::fs::File| {
        file.write_at(&[IoSlice::new(b"xy")], 0)
            .map_err(|e| e.raw_os_error())
    };
    let full = Effect::Fail(ErrorNumber::NOSPC);
    sim.fail(Fault::on(Call::Write).nth(2).prefix("a").effect(full));
    sim.fail(
        Fault::on(Call::Write)
            .nth(3)
            .prefix("a")
            .effect(Effect::Short(1)),
    );
    let enospc = Err(Some(ErrorNumber::NOSPC.raw_os_error()));
    assert_eq!(write(&*a), Ok(2));
    assert_eq!(write(&*b), Ok(2));
    assert_eq!(write(&*a), enospc);
    assert_eq!(write(&*a), Ok(1));
    assert_eq!(write(&*a), Ok(2));
    sim.fail(Fault::on(Call::Write).always());
    assert!(write(&*a).is_err() && write(&*b).is_err() && write(&*b).is_err());
    sim.heal();
    assert_eq!(write(&*b), Ok(2));
    // One of them made the file.
    assert_eq!(sim.calls(Call::Write), 10);
    let hidden = Effect::FailAfter(ErrorNumber::IO);
    sim.fail(Fault::on(Call::Rename).effect(hidden));
    sim.rename("b", "c").unwrap_err();
    assert_eq!(sim.list().unwrap(), ["a", "c"]);
}

#[test]
fn a_full_disk_takes_what_fits_and_then_nothing() {
    let sim = with_file(&[1; 100]);
    sim.limit(Some(110));
    let file = sim.open("a").unwrap();
    assert_eq!(sim.space().unwrap().free, 10);
    // What is there already can be written again.
    assert_eq!(file.write_at(&[IoSlice::new(&[2; 100])], 0).unwrap(), 100);
    assert_eq!(file.write_at(&[IoSlice::new(&[3; 30])], 95).unwrap(), 15);
    let full = file.write_at(&[IoSlice::new(&[3; 30])], 110).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    let full = file.set_len(111).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert_eq!((sim.used(), sim.space().unwrap().free), (110, 0));
    file.set_len(0).unwrap();
    assert_eq!(sim.space().unwrap().free, 110);
}

#[test]
fn the_machine_stops_between_any_two_steps() {
    let steps = {
        let sim = with_file(b"old");
        let before = sim.steps();
        replace(&sim, "a", b"new").unwrap();
        sim.steps() - before
    };
    assert_eq!(steps, 6, "remove, create, write, sync, rename, sync");
    for stop in 0..steps {
        let sim = with_file(b"old");
        sim.stop_after(stop);
        replace(&sim, "a", b"new").unwrap_err();
        sim.bytes("a").unwrap();
        sim.open("a").unwrap_err();
    }
}

#[test]
fn a_held_call_waits_until_released() {
    let sim = with_file(b"old");
    let file = sim.open("a").unwrap();
    write_all_at(&*file, b"new", 0).unwrap();
    sim.hold(Call::SyncData, "");
    let syncing = thread::spawn(move || file.sync_data());
    sim.wait_held(1);
    assert_eq!(sim.crash_image(&mut AllLost).bytes("a").unwrap(), b"old");
    sim.release(Call::SyncData);
    syncing.join().unwrap().unwrap();
    assert_eq!(sim.crash_all_lost().bytes("a").unwrap(), b"new");
}

#[test]
fn seeds_repeat_and_differ() {
    let image = |seed| {
        let sim = with_file(&[0; 8 * SECTOR]);
        write_all_at(&*sim.open("a").unwrap(), &[1; 8 * SECTOR], 0).unwrap();
        sim.crash(&mut Seeded::new(seed)).bytes("a").unwrap()
    };
    let images: BTreeSet<Vec<u8>> = (0..64).map(image).collect();
    assert!(images.len() > 8, "{} different images", images.len());
    assert!((0..64).all(|seed| image(seed) == image(seed)));
    let mut seeded = Seeded::new(1);
    assert!((0..1000).all(|_| seeded.pick(3) < 3 && seeded.below(5) < 5));
}

#[test]
fn damage_is_on_the_disk_at_once() {
    let sim = with_file(b"abc");
    let fork = sim.fork();
    sim.edit("a", |bytes| bytes[1] ^= 1).unwrap();
    assert_eq!(sim.bytes("a").unwrap(), b"acc");
    assert_eq!(sim.crash_all_lost().bytes("a").unwrap(), b"acc");
    assert_eq!(fork.bytes("a").unwrap(), b"abc");
    assert_eq!(
        fork.edit("b", Vec::clear).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}
