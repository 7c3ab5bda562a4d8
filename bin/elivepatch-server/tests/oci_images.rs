//! Toolchain roots from OCI images, in the forms in which skopeo writes them, and from what is no image or
//! not a whole one. Image and digests are skopeo's and umoci's own.

mod small_root;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use small_root::{Place, run, stderr, stdout};

const SERVER: &str = env!("CARGO_BIN_EXE_elivepatch-server");

/// The image of the small root, as a directory in the OCI layout, with the tag `latest`.
fn layout(place: &Place) -> PathBuf {
    layout_of(place, &place.tarball(), "image")
}

fn layout_of(place: &Place, layer: &Path, name: &str) -> PathBuf {
    let layout = place.path(name);
    let tagged = format!("{}:latest", layout.display());
    run(Command::new("umoci").args(["init", "--layout"]).arg(&layout));
    run(Command::new("umoci").args(["new", "--image", &tagged]));
    run(Command::new("umoci").args(["raw", "add-layer", "--image", &tagged]).arg(layer));
    layout
}

/// Copies the image; `to` is a form of skopeo's, and what follows the path.
fn export(place: &Place, layout: &Path, form: &str, name: &str, after: &str) -> PathBuf {
    let path = place.path(name);
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "--quiet"]);
    skopeo.arg(format!("oci:{}:latest", layout.display()));
    run(skopeo.arg(format!("{form}:{}{after}", path.display())));
    path
}

/// The digest that skopeo says of an image, as the recipe wants it.
fn digest(form: &str, path: &Path) -> String {
    let image = format!("{form}:{}", path.display());
    let mut skopeo = Command::new("skopeo");
    let said = run(skopeo.args(["inspect", "--format", "{{.Digest}}", &image]));
    said.trim().strip_prefix("sha256:").expect("a digest").to_owned()
}

fn recipe(place: &Place, path: &Path, digest: &str, reference: Option<&str>) {
    let reference = reference.map(|name| format!("reference = {name:?}\n")).unwrap_or_default();
    place.recipe(&format!("[oci]\npath = {path:?}\ndigest = {digest:?}\n{reference}"));
}

fn toolchain(place: &Place, command: &str) -> Output {
    let mut server = Command::new(SERVER);
    server.args(["toolchain", command, "mine", "--config"]).arg(place.path("server.toml"));
    server.env_remove("RUST_LOG").output().expect("the server runs")
}

/// Makes the root, which must be whole and alone in its place.
fn becomes_a_root(place: &Place) {
    let created = toolchain(place, "create");
    assert_eq!(stdout(&created), "mine is ready: gcc (Mine) 1.0\n", "{}", stderr(&created));
    let verified = toolchain(place, "verify");
    assert_eq!(stdout(&verified), "mine is what it was when it was made\n");
    let entries = fs::read_dir(place.cache().join("toolchain-roots/mine")).expect("it is there");
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    entries.sort();
    assert_eq!(entries, ["contents", "root", "root.json"]);
}

/// What is said of an image that no root comes of. It must leave nothing.
fn refusal(place: &Place) -> String {
    let refused = toolchain(place, "create");
    assert_eq!(refused.status.code(), Some(3), "{}", stderr(&refused));
    assert!(place.left().is_empty(), "{:?}", place.left());
    stderr(&refused)
}

fn is_said(told: &str, words: &[&str]) {
    for words in words {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
}

#[test]
fn image_in_an_archive_of_either_form_becomes_a_root() {
    let place = Place::new("");
    let layout = layout(&place);
    recipe(&place, &layout, &digest("oci", &layout), None);
    becomes_a_root(&place);
    let forms = [
        ("oci-archive", "plain.tar", "", None),
        ("oci-archive", "tagged.tar", ":latest", Some("latest")),
        ("docker-archive", "docker.tar", "", None),
        ("docker-archive", "named.tar", ":a.example/b:c", Some("a.example/b:c")),
    ];
    for (form, name, after, reference) in forms {
        let path = export(&place, &layout, form, name, after);
        // Each is another recipe, and so another root.
        recipe(&place, &path, &digest(form, &path), reference);
        becomes_a_root(&place);
    }
}

#[test]
fn archive_that_is_cut_off_is_refused_and_leaves_nothing() {
    let place = Place::new("");
    let layout = layout(&place);
    for form in ["oci-archive", "docker-archive"] {
        let path = export(&place, &layout, form, &format!("{form}.tar"), "");
        recipe(&place, &path, &digest(form, &path), None);
        let whole = fs::read(&path).expect("own file");
        // In the middle of a layer; and within the first member's head, which is none.
        for length in [whole.len() / 2, 100] {
            fs::write(&path, &whole[..length]).expect("own file");
            let told = refusal(&place);
            let no_end = format!("tar cannot read {} to its end", path.display());
            is_said(
                &told,
                &[&no_end, "(toolchain-failed)\n", "hint: is it an image, and is it whole?"],
            );
        }
        fs::write(&path, whole).expect("own file");
        becomes_a_root(&place);
        fs::remove_dir_all(place.cache().join("toolchain-roots")).expect("own directory");
    }
}

#[test]
fn image_whose_content_is_not_what_its_manifest_says_is_refused_and_leaves_nothing() {
    let place = Place::new("");
    let layout = layout(&place);
    let archive = export(&place, &layout, "oci-archive", "image.tar", "");
    let digest = digest("oci-archive", &archive);
    let (tree, changed) = (place.path("unpacked"), place.path("changed.tar"));
    fs::create_dir(&tree).expect("own directory");
    run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&tree));
    let blobs = fs::read_dir(tree.join("blobs/sha256")).expect("own directory").flatten();
    let layer = blobs.max_by_key(|blob| blob.metadata().expect("own file").len()).expect("a layer");
    let whole = fs::read(layer.path()).expect("own file");
    let mut other = whole.clone();
    other[whole.len() / 2] ^= 1;
    for content in [&other[..], &whole[..whole.len() / 2]] {
        fs::write(layer.path(), content).expect("own file");
        run(Command::new("tar").arg("-cf").arg(&changed).arg("-C").arg(&tree).arg("."));
        recipe(&place, &changed, &digest, None);
        let told = refusal(&place);
        let read = format!("error: skopeo cannot read the image {}", changed.display());
        is_said(&told, &[&read, "caused by: ", "hint: its content is not what its manifest says"]);
    }
    // A whole image that is another one.
    recipe(&place, &archive, &"0".repeat(64), None);
    let says = format!("has the digest {digest}, and its recipe says 0000");
    is_said(&refusal(&place), &[&says, "hint: fetch it again; if it is another on purpose"]);
    let docker = export(&place, &layout, "docker-archive", "docker.tar", "");
    recipe(&place, &docker, &digest, None);
    is_said(&refusal(&place), &[&format!("and its recipe says {digest}"), "correct the recipe"]);
}

#[test]
fn what_is_no_image_is_refused_with_what_it_lacks_and_leaves_nothing() {
    let place = Place::new("");
    let zeros = "0".repeat(64);
    fs::write(place.path("text"), "no image").expect("own file");
    fs::write(place.path("empty"), "").expect("own file");
    fs::create_dir(place.path("directory")).expect("own directory");
    let cases = [
        ("text", "text to its end", "hint: is it an image, and is it whole?"),
        ("empty", "empty to its end", "hint: is it an image, and is it whole?"),
        (
            "root.tar",
            "there is neither oci-layout nor manifest.json in it",
            "[tarball] in the recipe",
        ),
        ("directory", "there is no oci-layout in the directory", "hint: export it: skopeo copy"),
        ("none", "none is not there", "hint: put the image there"),
    ];
    for (name, said, hint) in cases {
        recipe(&place, &place.path(name), &zeros, None);
        is_said(&refusal(&place), &[said, hint]);
    }
    let layout = layout(&place);
    let archive = export(&place, &layout, "oci-archive", "image.tar", ":latest");
    recipe(&place, &archive, &zeros, Some("other"));
    let told = refusal(&place);
    is_said(
        &told,
        &["skopeo cannot read the image", "hint: is it whole, and is other an image in it?"],
    );
}

#[test]
fn layer_that_leads_out_of_the_root_writes_nothing_outside() {
    let place = Place::new("");
    let layer = place.path("layer.tar");
    fs::copy(place.tarball(), &layer).expect("own file");
    fs::write(place.path("escaped"), "escaped").expect("own file");
    let mut tar = Command::new("tar");
    tar.arg("--append").arg("--file").arg(&layer).arg("--directory").arg(place.path(""));
    let name = "s,^,../../../../../../../../../..";
    let to = format!("{name}{},", place.path("out-").display());
    run(tar.args(["--absolute-names", "--transform", &to, "escaped"]));
    let layout = layout_of(&place, &layer, "image");
    recipe(&place, &layout, &digest("oci", &layout), None);
    // Whether it is refused or what is in it stays in the root, nothing is outside.
    let _ = toolchain(&place, "create");
    assert!(!place.path("out-escaped").exists());
    let inside = place.path("out-escaped");
    let inside = inside.strip_prefix("/").expect("absolute");
    assert!(
        place.cache().join("toolchain-roots/mine/root").join(inside).exists(),
        "not in the layer"
    );
}
