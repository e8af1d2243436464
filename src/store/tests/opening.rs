//! What is opened, what is refused, and that a refusal leaves everything as it is.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::super::*;
use super::{commit, fill, options, read, subscription};

/// Writes a record past all rules.
fn put(store: &Store, key: Vec<u8>, value: Vec<u8>) {
    let mut batch = engine::Batch::default();
    batch.put(key, value);
    store.inner.engine.apply(batch).unwrap();
    let last_commit = store.inner.last_commit;
    store.inner.engine.make_durable(last_commit).unwrap();
}

#[test]
fn a_second_opener_is_told_who_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let _store = Store::open(&options(folder.path())).unwrap();
    let error = Store::open(&options(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains(&std::process::id().to_string()));
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    commit(folder.path(), |committer| fill(committer, 0..10));
    let store = Store::open(&options(folder.path())).unwrap();
    put(&store, keys::SCHEMA.to_vec(), records::encode(&99u32));
    drop(store);
    for _ in 0..2 {
        let error = Store::open(&options(folder.path())).unwrap_err();
        assert!(matches!(error, OpenError::NewerFormat { found: 99, .. }));
    }
}

#[test]
fn the_log_read_without_sled_has_the_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..6 {
        commit(folder.path(), |committer| {
            fill(committer, round * 3_000..(round + 1) * 3_000);
        });
    }
    let path = folder.path().join("db/db");
    let store = Store::open(&options(folder.path())).unwrap();
    let last = store.inner.last_commit;
    drop(store);
    let summary = log::read(&fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(summary.last_commit, last);
    assert!(last > 50 && summary.segments >= 2, "{summary:?} {last}");
    // What is not whole does not count.
    fs::write(&path, vec![0x5a; 1 << 20]).unwrap();
    let summary = log::read(&fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(summary, log::Summary::default());
}

/// What earlier versions left behind is no reason to lose anything.
#[test]
fn what_an_earlier_version_left_is_neither_used_nor_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    commit(folder.path(), |committer| fill(committer, 0..50));
    let names = ["db.before-start", "db.scratch"];
    for name in names {
        copy(&folder.path().join("db"), &folder.path().join(name));
        fs::write(folder.path().join(name).join("db"), "").unwrap();
    }
    let unfinished = folder.path().join("db/snap.FFFFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, "half").unwrap();
    assert_eq!(read(folder.path()).unwrap().len(), 50);
    assert!(!unfinished.exists());
    for name in names {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
    // Without the database itself they are for a person to judge.
    for name in names {
        fs::rename(folder.path().join("db"), folder.path().join(name)).unwrap();
        let error = Store::open(&options(folder.path())).unwrap_err();
        assert!(
            error.is_for_a_person() && error.to_string().contains(name),
            "{error}"
        );
        fs::rename(folder.path().join(name), folder.path().join("db")).unwrap();
    }
    assert_eq!(read(folder.path()).unwrap().len(), 50);
}

#[test]
fn a_record_that_cannot_be_read_is_found_before_anything_changes() {
    let folder = tempfile::tempdir().unwrap();
    commit(folder.path(), |committer| fill(committer, 0..50));
    let store = Store::open(&options(folder.path())).unwrap();
    let key = keys::subscription("presence.1", 1);
    let record = SubscriptionRecord {
        umd: "no JSON".to_owned(),
        ..subscription(1)
    };
    let value = records::encode(&record);
    put(&store, key, value);
    drop(store);
    let log = || fs::read(folder.path().join("db/db")).unwrap();
    let before = log();
    let error = Store::open(&options(folder.path())).unwrap_err();
    assert!(error.is_for_a_person(), "{error}");
    assert!(error.to_string().contains("subscription"), "{error}");
    assert!(log() == before);
}

/// Damage anywhere either leaves everything readable or is noticed: it never passes for an older or an empty database.
#[test]
fn damage_is_noticed_or_harmless() {
    let pristine = tempfile::tempdir().unwrap();
    for round in 0..8 {
        commit(pristine.path(), |committer| {
            fill(committer, round * 200..(round + 1) * 200);
        });
    }
    let expected = read(pristine.path()).unwrap();
    let log = pristine.path().join("db/db");
    let size = fs::metadata(&log).unwrap().len();
    type Damage = Box<dyn Fn(&fs::File)>;
    let mut damages: Vec<(String, Damage)> = vec![
        ("emptied".into(), Box::new(|file| file.set_len(0).unwrap())),
        (
            "overwritten".into(),
            Box::new(move |file| {
                file.write_all_at(&vec![0x5a; size as usize], 0).unwrap();
            }),
        ),
        (
            "cut in half".into(),
            Box::new(move |file| file.set_len(size / 2).unwrap()),
        ),
    ];
    for step in 0..24 {
        let at = size * step / 24 + 11;
        damages.push((
            format!("64 bytes at {at} of {size}"),
            Box::new(move |file| file.write_all_at(&[0xa5; 64], at).unwrap()),
        ));
    }
    let mut refused = 0;
    for (name, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        copy(pristine.path(), folder.path());
        let file = fs::OpenOptions::new()
            .write(true)
            .open(folder.path().join("db/db"))
            .unwrap();
        damage(&file);
        drop(file);
        match read(folder.path()) {
            Ok(found) => assert_eq!(found.len(), expected.len(), "silently lost: {name}"),
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty(), "{name}");
            }
        }
    }
    assert!(refused >= 3, "only {refused} noticed");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
