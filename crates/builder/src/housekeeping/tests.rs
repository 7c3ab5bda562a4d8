use std::{
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};

use super::*;
use crate::{Cache, SilentObserver};

const MEGABYTE: u64 = 1 << 20;

/// A cache with entries of some megabytes each, made up: sweeping looks at no content.
struct Place {
    _temporary: tempfile::TempDir,
    cache: Cache,
}

impl Place {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("cache");
        let cache = Cache::open(&directory).expect("own directory");
        Self { _temporary: temporary, cache }
    }

    fn write(path: &Utf8Path, megabytes: u64, days_ago: u64) {
        fs_err::create_dir_all(path.parent().expect("below the cache")).expect("own directory");
        let content = vec![7; usize::try_from(megabytes * MEGABYTE).expect("small")];
        fs_err::write(path, content).expect("own file");
        Self::used(path, days_ago);
    }

    fn used(path: &Utf8Path, days_ago: u64) {
        let time = SystemTime::now() - Duration::from_secs(days_ago * 24 * 3600);
        std::fs::File::open(path).and_then(|file| file.set_modified(time)).expect("own file");
    }

    fn base(&self, name: &str, megabytes: u64, days_ago: u64) -> Utf8PathBuf {
        let base = self.cache.bases().join(name);
        Self::write(&base.join("tree/file"), megabytes, days_ago);
        Self::used(&base, days_ago);
        base
    }

    fn package(&self, name: &str, megabytes: u64, days_ago: u64) -> Utf8PathBuf {
        let package = self.cache.packages().join(name);
        Self::write(&package, megabytes, days_ago);
        package
    }

    fn sweep(&self, sweep: &Sweep) -> Swept {
        sweep.run(&self.cache).expect("own directory")
    }

    fn keep_to(&self, megabytes: u64) -> Swept {
        self.sweep(&Sweep { budget_bytes: Some(megabytes * MEGABYTE), ..Sweep::default() })
    }
}

fn removed(swept: &Swept) -> Vec<&str> {
    swept.removed.iter().map(|entry| entry.name.as_str()).collect()
}

fn kept(swept: &Swept) -> Vec<(&str, &str)> {
    swept.kept.iter().map(|entry| (entry.name.as_str(), entry.reason.as_str())).collect()
}

/// Another process that holds a lock until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(entry: &Utf8Path, shared: bool) -> Self {
        let how = if shared { "--shared" } else { "--exclusive" };
        let mut flock = Command::new("flock");
        flock.args([
            how,
            "--no-fork",
            &format!("{entry}.lock"),
            "sh",
            "-c",
            "echo held; exec sleep 60",
        ]);
        let mut child = flock.stdout(Stdio::piped()).spawn().expect("flock of util-linux");
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line)
            .expect("a line");
        assert_eq!(line, "held\n");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // flock has become sleep.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_was_used_longest_ago_goes_first_whatever_it_is_until_the_budget_is_kept() {
    let place = Place::new();
    place.base("6.1-new", 3, 1);
    place.base("6.1-old", 3, 30);
    place.package("middle.deb", 3, 10);
    place.package("recent.deb", 3, 2);
    Place::write(&place.cache.sources().join("tree/file"), 3, 20);
    Place::used(&place.cache.sources().join("tree"), 20);
    let swept = place.keep_to(10);
    assert_eq!(removed(&swept), ["6.1-old", "tree"]);
    assert!(swept.removed.iter().all(|entry| entry.reason == SweepReason::OverBudget));
    assert!(swept.left_bytes <= 10 * MEGABYTE && swept.left_bytes > 9 * MEGABYTE);
    assert!((6 * MEGABYTE..7 * MEGABYTE).contains(&swept.freed_bytes), "{}", swept.freed_bytes);
    assert_eq!(removed(&place.keep_to(10)), Vec::<&str>::new(), "the budget is kept");
    assert_eq!(removed(&place.keep_to(1)), ["middle.deb", "recent.deb", "6.1-new"]);
}

#[test]
fn without_a_budget_nothing_is_evicted() {
    let place = Place::new();
    let base = place.base("6.1-old", 3, 3000);
    assert_eq!(removed(&place.sweep(&Sweep { at_once: true, ..Sweep::default() })), [""; 0]);
    assert!(base.exists());
}

#[test]
fn what_another_process_uses_or_makes_is_never_evicted_and_goes_when_it_is_done() {
    let place = Place::new();
    let used = place.base("6.1-used", 3, 30);
    let made = place.base("6.1-made", 3, 40);
    let package = place.package("unpacked.deb", 3, 50);
    let holders = [Holder::of(&used, true), Holder::of(&made, false), Holder::of(&package, true)];
    let swept = place.keep_to(1);
    assert_eq!(removed(&swept), [""; 0]);
    let reason = "it is in use";
    let expected = [("unpacked.deb", reason), ("6.1-made", reason), ("6.1-used", reason)];
    assert_eq!(kept(&swept), expected);
    assert!(swept.over_budget_bytes() >= 8 * MEGABYTE);
    let listed = list_bases(&place.cache).expect("own directory");
    assert!(listed.iter().all(|base| base.in_use), "{listed:?}");
    let error = remove_base(&place.cache, "6.1-used").expect_err("it is in use");
    assert_eq!(error.to_string(), "the base 6.1-used is in use");
    assert!(used.join("tree/file").exists() && made.exists() && package.exists());

    drop(holders);
    assert_eq!(removed(&place.keep_to(1)), ["unpacked.deb", "6.1-made", "6.1-used"]);
    assert!(!used.exists() && !made.exists() && !package.exists());
}

#[test]
fn what_a_build_of_this_process_uses_is_not_evicted() {
    let place = Place::new();
    let base = place.base("6.1-used", 3, 30);
    let shared = place.cache.share(&base, &SilentObserver).expect("own file");
    assert_eq!(kept(&place.keep_to(1)), [("6.1-used", "it is in use")]);
    drop(shared);
    assert_eq!(removed(&place.keep_to(1)), ["6.1-used"]);
}

#[test]
fn pinned_base_stays_until_it_is_unpinned() {
    let place = Place::new();
    let base = place.base("6.1-mine", 3, 30);
    place.base("6.1-other", 3, 1);
    assert_eq!(pin_base(&place.cache, "6.1-m", true).expect("one"), "6.1-mine");
    let swept = place.keep_to(1);
    assert_eq!(
        (removed(&swept), kept(&swept)),
        (vec!["6.1-other"], vec![("6.1-mine", "it is pinned")])
    );
    let error = remove_base(&place.cache, "6.1").expect_err("it is pinned");
    assert_eq!(error.to_string(), "the base 6.1-mine is pinned");
    assert_eq!(error.hint(), "elivepatch-server base unpin 6.1-mine");
    assert!(list_bases(&place.cache).expect("own directory")[0].pinned);

    pin_base(&place.cache, "6.1-mine", false).expect("one");
    let (name, bytes) = remove_base(&place.cache, "6.1").expect("nobody uses it");
    assert_eq!(name, "6.1-mine");
    assert!(bytes >= 3 * MEGABYTE);
    assert!(!base.exists() && !base.with_file_name("6.1-mine.pinned").exists());
}

#[test]
fn base_that_is_used_between_the_look_and_the_removal_stays() {
    let place = Place::new();
    place.base("6.1-mine", 3, 30);
    let entry = entries::read(&place.cache, crate::EntryKind::Base).expect("own").0.remove(0);
    mark_used(&entry.path);
    let error = entry.remove(&place.cache).expect_err("it is not the oldest any more");
    assert!(matches!(error, HousekeepingError::InUse { .. }), "{error}");
    assert!(entry.path.exists());
}

#[test]
fn dry_run_says_the_same_and_removes_nothing() {
    let place = Place::new();
    let base = place.base("6.1-old", 3, 30);
    let held = place.base("6.1-held", 3, 40);
    let holder = Holder::of(&held, true);
    let partial = place.package("x.deb.partial", 2, 3);
    let sweep = Sweep { budget_bytes: Some(MEGABYTE), dry_run: true, ..Sweep::default() };
    let would = place.sweep(&sweep);
    assert!(base.exists() && partial.exists());
    let did = place.sweep(&Sweep { dry_run: false, ..sweep });
    assert_eq!(removed(&would), ["x.deb.partial", "6.1-old"]);
    assert_eq!((removed(&would), kept(&would)), (removed(&did), kept(&did)));
    assert_eq!((would.freed_bytes, would.left_bytes), (did.freed_bytes, did.left_bytes));
    drop(holder);
}

#[test]
fn what_is_half_made_goes_after_a_day_or_at_once_when_asked_unless_somebody_makes_it() {
    let place = Place::new();
    let new = place.base("6.12-new.partial", 1, 0);
    place.base("6.12-old.partial", 1, 2);
    let held = place.base("6.12-held.partial", 1, 2);
    let half_removed = place.base("6.1-gone.removed", 1, 0);
    let holder = Holder::of(&place.cache.bases().join("6.12-held"), false);
    let swept = place.sweep(&Sweep::default());
    assert_eq!(removed(&swept), ["6.1-gone.removed", "6.12-old.partial"]);
    assert!(!half_removed.exists());
    assert_eq!(
        swept.removed.iter().map(|entry| entry.reason).collect::<Vec<_>>(),
        [SweepReason::HalfRemoved, SweepReason::HalfMade]
    );
    let at_once = Sweep { at_once: true, ..Sweep::default() };
    assert_eq!(removed(&place.sweep(&at_once)), ["6.12-new.partial"]);
    assert!(!new.exists() && held.exists());
    drop(holder);
    assert_eq!(removed(&place.sweep(&at_once)), ["6.12-held.partial"]);
}

#[test]
fn leftover_that_cannot_be_removed_is_told_and_the_budget_is_kept_all_the_same() {
    let place = Place::new();
    place.package("x.deb.partial", 1, 3);
    place.base("6.1-old", 3, 30);
    // Root, too, cannot lock this.
    fs_err::create_dir(place.cache.packages().join("x.deb.lock")).expect("own directory");
    let swept = place.keep_to(2);
    assert_eq!(removed(&swept), ["6.1-old"]);
    let kept = kept(&swept);
    assert_eq!((kept.len(), kept[0].0), (1, "x.deb.partial"));
    assert!(kept[0].1.starts_with("cannot lock "), "{kept:?}");
}

#[test]
fn files_that_are_no_entries_are_not_listed_and_old_temporary_ones_are_removed() {
    let place = Place::new();
    place.base("6.1-mine", 3, 1);
    for directory in [place.cache.bases(), place.cache.toolchain_roots()] {
        fs_err::write(directory.join("README"), "mine").expect("own file");
        fs_err::create_dir(directory.join(".git")).expect("own directory");
        fs_err::write(directory.join(".tmpAbC"), "half").expect("own file");
    }
    let old = place.package(".tmpOld", 1, 2);
    let names = |listed: Vec<ListedBase>| -> Vec<String> {
        listed.into_iter().map(|base| base.name).collect()
    };
    assert_eq!(names(list_bases(&place.cache).expect("own directory")), ["6.1-mine"]);
    assert!(list(&place.cache, EntryKind::ToolchainRoot).expect("own directory").is_empty());
    // Somebody may just be writing the new ones, whatever an administrator asks for.
    let sweep = Sweep { at_once: true, budget_bytes: Some(0), ..Sweep::default() };
    let swept = place.sweep(&Sweep { dry_run: true, ..sweep.clone() });
    assert_eq!(removed(&swept), [".tmpOld", "6.1-mine"]);
    assert_eq!(removed(&place.sweep(&sweep)), [".tmpOld", "6.1-mine"]);
    assert!(!old.exists() && place.cache.bases().join(".tmpAbC").exists());
    assert!(!place.cache.packages().join(".tmpOld.lock").exists());
    assert_eq!(fs_err::read_to_string(place.cache.bases().join("README")).expect("mine"), "mine");
}

#[test]
fn toolchain_root_that_no_recipe_names_goes_after_a_week_or_at_once_when_asked() {
    let place = Place::new();
    let root = |name: &str, days_ago| {
        let root = place.cache.toolchain_roots().join(name);
        Place::write(&root.join("root.json"), 1, days_ago);
        Place::used(&root, days_ago);
        root
    };
    let (mine, new, old) = (root("mine", 100), root("new", 1), root("old", 8));
    let sweep = Sweep {
        recipes: vec!["mine".to_owned()],
        // Roots of recipes are made again at the next build: they are not evicted.
        budget_bytes: Some(1),
        ..Sweep::default()
    };
    let swept = place.sweep(&sweep);
    assert_eq!(removed(&swept), ["old"]);
    assert!(mine.exists() && new.exists() && !old.exists());
    assert!(swept.over_budget_bytes() > 0);
    assert_eq!(removed(&place.sweep(&Sweep { at_once: true, ..sweep })), ["new"]);
    assert!(mine.exists());
}

#[test]
fn index_of_apt_that_no_source_names_goes_after_a_week_and_none_that_is_in_use() {
    let place = Place::new();
    let index = |name: &str, days_ago| {
        let index = place.cache.apt().join(name);
        Place::write(&index.join("state/lists/Packages"), 2, days_ago);
        Place::used(&index, days_ago);
        index
    };
    let (named, new) = (index("named", 100), index("new", 6));
    let (old, used, held) = (index("old", 8), index("used", 8), index("held", 8));
    mark_used(&used);
    let holder = Holder::of(&held, true);
    // Indexes count, and are not evicted.
    let sweep = Sweep {
        indexes: vec!["named".to_owned()],
        budget_bytes: Some(1),
        at_once: true,
        ..Sweep::default()
    };
    let would = place.sweep(&Sweep { dry_run: true, ..sweep.clone() });
    assert!(old.exists());
    let swept = place.sweep(&sweep);
    assert_eq!(removed(&swept), ["old"]);
    assert_eq!(swept.removed[0].reason, SweepReason::NoSource);
    assert_eq!(kept(&swept), [("held", "it is in use")]);
    assert_eq!((removed(&would), kept(&would)), (removed(&swept), kept(&swept)));
    assert!(!old.exists() && [named, new, used, held].iter().all(|index| index.exists()));
    assert!(swept.left_bytes >= 8 * MEGABYTE, "{}", swept.left_bytes);
    drop(holder);
    assert_eq!(removed(&place.sweep(&sweep)), ["held"]);
}

#[test]
fn all_that_the_cache_takes_is_counted() {
    let place = Place::new();
    place.base("6.1-mine", 3, 1);
    place.package("linux.deb", 1, 1);
    place.package("more.deb.partial", 1, 0);
    let before = cache_bytes(&place.cache).expect("own directory");
    assert!((5 * MEGABYTE..6 * MEGABYTE).contains(&before), "{before}");
    Place::write(&place.cache.feed_mirror().join("objects/pack"), 4, 1);
    Place::write(&place.cache.apt().join("b5a06e9b8807/state/lists"), 7, 1);
    let after = cache_bytes(&place.cache).expect("own directory");
    assert!((16 * MEGABYTE..17 * MEGABYTE).contains(&after), "{after}");
    assert_eq!(place.sweep(&Sweep::default()).left_bytes, after);
}
