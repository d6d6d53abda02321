//! What counts as a change of the files, and what is left alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{Flags, Place};
use crate::config::{Reader, Surroundings};
use crate::server::Look;

const ONE: &str = "limits: { value_bytes: 1MiB }\n";
const TWO: &str = "limits: { value_bytes: 2MiB }\n";

fn reader(place: &Place) -> Reader {
    let flags = Flags {
        config: Some(place.path("file.yml")),
        ..Flags::default()
    };
    let around = Surroundings {
        environment: Vec::new(),
        image_file: place.path("image.yml"),
    };
    Reader::new(flags, around).unwrap().1
}

fn value_bytes(reader: &mut Reader) -> usize {
    reader.read().unwrap().server.limits.value_bytes
}

#[test]
fn a_change_is_taken_once_it_keeps_still() {
    let place = Place::new().with_file("file.yml", ONE);
    let mut reader = reader(&place);
    assert_eq!(reader.look(), Look::Same);
    fs::write(place.path("file.yml"), "limits: {").unwrap();
    assert_eq!(reader.look(), Look::Moving);
    fs::write(place.path("file.yml"), TWO).unwrap();
    assert_eq!(reader.look(), Look::Moving);
    assert_eq!(reader.look(), Look::Changed);
    assert_eq!(value_bytes(&mut reader), 2 << 20);
    assert_eq!(reader.look(), Look::Same);
}

#[test]
fn the_same_words_in_another_file_are_no_change() {
    let place = Place::new().with_file("file.yml", ONE);
    let mut reader = reader(&place);
    let again = place.with_file("other.yml", ONE);
    fs::rename(again.path("other.yml"), again.path("file.yml")).unwrap();
    assert_eq!(reader.look(), Look::Same);
}

#[test]
fn a_rename_over_the_file_and_a_swapped_link_are_changes() {
    let place = Place::new()
        .with_file("one.yml", ONE)
        .with_file("two.yml", TWO);
    // As Kubernetes does it: the file is a link to a file in a directory that is a link.
    for name in ["a", "b"] {
        fs::create_dir_all(place.path(name)).unwrap();
    }
    fs::rename(place.path("one.yml"), place.path("a/file.yml")).unwrap();
    fs::rename(place.path("two.yml"), place.path("b/file.yml")).unwrap();
    symlink("a", place.path("data")).unwrap();
    symlink("data/file.yml", place.path("file.yml")).unwrap();
    let mut reader = reader(&place);
    symlink("b", place.path("new")).unwrap();
    fs::rename(place.path("new"), place.path("data")).unwrap();
    assert_eq!(
        (reader.look(), reader.look()),
        (Look::Moving, Look::Changed)
    );
    assert_eq!(value_bytes(&mut reader), 2 << 20);

    let place = place.with_file("edited.yml", ONE);
    fs::rename(place.path("edited.yml"), place.path("file.yml")).unwrap();
    assert_eq!(
        (reader.look(), reader.look()),
        (Look::Moving, Look::Changed)
    );
    assert_eq!(value_bytes(&mut reader), 1 << 20);
}

#[test]
fn a_file_that_is_gone_or_broken_is_a_failure_once_and_read_again_when_it_is_back() {
    let place = Place::new().with_file("file.yml", ONE);
    let mut reader = reader(&place);
    fs::remove_file(place.path("file.yml")).unwrap();
    assert_eq!(
        (reader.look(), reader.look()),
        (Look::Moving, Look::Changed)
    );
    let refusal = reader.read().unwrap_err().to_string();
    assert!(refusal.contains("cannot be read"), "{refusal}");
    assert_eq!(reader.look(), Look::Same);
    fs::write(place.path("file.yml"), TWO).unwrap();
    assert_eq!(
        (reader.look(), reader.look()),
        (Look::Moving, Look::Changed)
    );
    assert_eq!(value_bytes(&mut reader), 2 << 20);
}

#[test]
fn a_file_that_was_not_there_may_appear_but_then_not_go() {
    let place = Place::new().with_file("file.yml", ONE);
    let mut reader = reader(&place);
    let image = "limits: { key_bytes: 7 }\n";
    fs::write(place.path("image.yml"), image).unwrap();
    assert_eq!(
        (reader.look(), reader.look()),
        (Look::Moving, Look::Changed)
    );
    assert_eq!(reader.read().unwrap().server.limits.key_bytes, 7);
    fs::remove_file(place.path("image.yml")).unwrap();
    assert_eq!(
        (reader.look(), reader.look()),
        (Look::Moving, Look::Changed)
    );
    let refusal = reader.read().unwrap_err().to_string();
    assert!(refusal.contains("image.yml: cannot be read"), "{refusal}");
}

#[test]
fn a_file_that_has_become_empty_is_half_written() {
    let place = Place::new().with_file("file.yml", ONE);
    let mut reader = reader(&place);
    for nothing in ["", " \n"] {
        fs::write(place.path("file.yml"), nothing).unwrap();
        let refusal = reader.read().unwrap_err().to_string();
        assert!(refusal.contains("it has become empty"), "{refusal}");
    }
    fs::write(place.path("file.yml"), "version: '1.0'\n").unwrap();
    assert_eq!(value_bytes(&mut reader), 16 << 20);
}

#[test]
fn an_empty_file_at_the_start_may_be_filled() {
    let place = Place::new().with_file("file.yml", "");
    let mut reader = reader(&place);
    assert_eq!(value_bytes(&mut reader), 16 << 20);
    fs::write(place.path("file.yml"), TWO).unwrap();
    assert_eq!(value_bytes(&mut reader), 2 << 20);
}

#[test]
fn a_pipe_is_read_once() {
    let place = Place::new();
    let pipe = place.path("file.yml");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, ONE).unwrap()
    });
    let mut reader = reader(&place);
    writer.join().unwrap();
    assert_eq!(reader.look(), Look::Same);
    let refusal = reader.read().unwrap_err().to_string();
    assert!(refusal.contains("can be read only once"), "{refusal}");
}
