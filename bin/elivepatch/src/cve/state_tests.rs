use super::super::fixtures;
use super::*;

fn request() -> elivepatch_api::RunRequest {
    serde_json::from_value(serde_json::json!({
        "target": {"release": "6.1.176", "architecture": "x86_64"}
    }))
    .expect("a request")
}

fn file(directory: &Path, server: &str, request: &elivepatch_api::RunRequest) -> StateFile {
    let key = StateKey::new(server, request, None, std::iter::empty());
    StateFile::new(Some(directory), &key).expect("a place")
}

#[test]
fn state_is_read_as_written_and_damage_is_taken_as_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let below = directory.path().join("new");
    let file = file(&below, "http://a", &request());
    assert_eq!(file.read(), None);
    let remembered = Remembered::new("http://a", &fixtures::run(), None);
    file.write(&remembered).expect("written");
    assert_eq!(file.read().as_ref(), Some(&remembered));
    assert!(remembered.is_as_told(&fixtures::run()));
    assert_eq!(remembered.verdicts.len(), 5, "what is not in the kernel is not kept");
    let text = fs::read_to_string(&file.path).expect("text");
    for damaged in [
        String::new(),
        text[..text.len() / 2].to_owned(),
        text.replace("\"version\": 1", "\"version\": 2"),
        text.replace("CVE-2026-1001", "CVE-\u{1b}"),
    ] {
        fs::write(&file.path, damaged).expect("written");
        assert_eq!(file.read(), None);
    }
    file.write(&remembered).expect("a damaged one is replaced");
    assert!(file.forget().expect("removed"));
    assert!(!file.forget().expect("it is gone"));
    assert_eq!(fs::read_dir(&below).expect("a directory").count(), 0);
}

#[test]
fn another_server_target_or_selection_has_another_state() {
    let directory = Path::new("/s");
    let mut other = request();
    other.selection.severity = Some(7.0);
    let mut release = request();
    release.target.release = "6.1.177".parse().expect("a release");
    let paths = [
        file(directory, "http://a", &request()),
        file(directory, "http://b", &request()),
        file(directory, "http://a", &other),
        file(directory, "http://a", &release),
    ];
    let different: std::collections::BTreeSet<_> = paths.iter().map(|f| &f.path).collect();
    assert_eq!(different.len(), 4);
    let mut one = request();
    let ids = ["CVE-2026-1001", "CVE-2026-1002"].map(|id| id.parse().expect("a name"));
    one.selection.only = ids.to_vec();
    let mut turned = one.clone();
    turned.selection.only.reverse();
    let path = |request| file(directory, "http://a", request).path;
    assert_eq!(path(&one), path(&turned));
}

#[test]
fn place_is_that_of_the_environment_root_or_the_user() {
    let place = |is_root, set: &[(&str, &str)]| {
        let set: BTreeMap<String, String> =
            set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = default_directory(is_root, |name| set.get(name).map(OsString::from));
        found.map(|path| path.display().to_string())
    };
    let home = ("HOME", "/home/a");
    let is = |path: &str| Some(path.to_owned());
    assert_eq!(place(true, &[home]), is("/var/lib/elivepatch/cve"));
    assert_eq!(place(false, &[home]), is("/home/a/.local/state/elivepatch/cve"));
    assert_eq!(
        place(false, &[home, ("XDG_STATE_HOME", "relative")]),
        is("/home/a/.local/state/elivepatch/cve")
    );
    assert_eq!(place(false, &[home, ("XDG_STATE_HOME", "/s")]), is("/s/elivepatch/cve"));
    assert_eq!(place(true, &[("ELIVEPATCH_STATE_DIRECTORY", "/e")]), is("/e"));
    assert_eq!(place(false, &[("ELIVEPATCH_STATE_DIRECTORY", ""), home]), place(false, &[home]));
    assert_eq!(place(false, &[]), None);
}
