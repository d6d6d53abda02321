//! Whether a path leads into the directory of the data, by its letters or through links. It must not read what lies there.

use std::path::{Component, Path, PathBuf, absolute};

use super::super::value;

/// What is said of a path into the directory of the data.
pub(super) const INTO_STORAGE: &str =
    "lies under storage.path: the data is read and written over HTTP alone";

/// Whether a path lies in `storage`, or is it.
pub(super) fn is_within(path: &Path, storage: &Path) -> bool {
    let both = |way: fn(&Path) -> PathBuf| way(path).starts_with(way(storage));
    both(by_letters) || both(by_links)
}

/// Whether one of the two lies in the other.
pub(super) fn overlaps(path: &Path, storage: &Path) -> bool {
    is_within(path, storage) || is_within(storage, path)
}

/// From the root, without `.` and `..`.
fn by_letters(path: &Path) -> PathBuf {
    let whole = absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for step in whole.components() {
        match step {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(step),
        }
    }
    plain
}

/// With every link followed, as far as there is something; the rest as it is.
fn by_links(path: &Path) -> PathBuf {
    let whole = absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in whole.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), whole.strip_prefix(there)) {
            return by_letters(&real.join(rest));
        }
    }
    whole
}

/// The file that the address of an `SQLite` database names; `None` where it is none, or lives in memory.
pub(super) fn sqlite_file(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (file, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let in_memory = file == ":memory:" || parameters.split('&').any(|one| one == "mode=memory");
    let file = value::percent_decoded(file).unwrap_or_else(|| file.to_owned());
    (!in_memory && !file.is_empty()).then(|| PathBuf::from(file))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_into_the_data_are_known_by_their_letters() {
        let within = |path: &str, storage: &str| is_within(Path::new(path), Path::new(storage));
        assert!(within("./data/x", "./data"));
        assert!(within("data", "./data/"));
        assert!(within("other/../data/store/log", "data"));
        assert!(within("/nowhere/data/../data/x", "/nowhere/data"));
        assert!(!within("./data2/x", "./data"));
        assert!(!within("data/../x", "data"));
        assert!(!within(".", "./data"));
        assert!(overlaps(Path::new("."), Path::new("./data")));
        assert!(overlaps(Path::new("data/x"), Path::new("./data")));
        assert!(!overlaps(Path::new("other"), Path::new("data")));
    }

    #[test]
    fn links_hide_no_path_into_the_data() {
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("data");
        fs::create_dir_all(storage.join("store")).unwrap();
        symlink(&storage, folder.path().join("link")).unwrap();
        symlink(storage.join("store"), folder.path().join("inner")).unwrap();
        for path in ["link", "link/absent/file", "inner/x", "inner/../x"] {
            assert!(is_within(&folder.path().join(path), &storage), "{path}");
        }
        assert!(is_within(&storage.join("x"), &folder.path().join("link")));
        assert!(!is_within(&folder.path().join("x"), &storage));
    }

    #[test]
    fn the_file_of_a_database_is_found() {
        let file = |url| sqlite_file(url).map(|file| file.display().to_string());
        assert_eq!(
            file("sqlite://a%20b/x.db?mode=rwc").as_deref(),
            Some("a b/x.db")
        );
        assert_eq!(file("sqlite:///var/x.db").as_deref(), Some("/var/x.db"));
        assert_eq!(file("sqlite:x.db").as_deref(), Some("x.db"));
        for url in [
            "sqlite::memory:",
            "sqlite://?mode=memory",
            "sqlite:x?mode=memory",
            "sqlite:",
            "postgres://x",
        ] {
            assert_eq!(file(url), None, "{url}");
        }
    }
}
