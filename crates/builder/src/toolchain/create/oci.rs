//! Roots from OCI images: skopeo reads the image and checks the digests of its layers, umoci unpacks
//! them.

use camino::Utf8Path;
use elivepatch_model::{Failure, Sha256Digest};
use serde::Deserialize;

use super::{
    image_file::{ImageKind, kind_of},
    run::{failure, log, mortal, run},
};
use crate::{
    Observer, digest_file::digest_file, toolchain::recipe::OciOrigin,
    untrusted_file::read_untrusted,
};

/// The largest index of an image layout that is read, in bytes.
const INDEX_BYTES: u64 = 4 * 1024 * 1024;

/// The name of the image in the layout that is unpacked.
const NAME: &str = "root";

/// `index.json` of an OCI image layout, as far as it is needed.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

/// Unpacks the image into `root`, when the digest of its manifest is the recipe's; gives the line on
/// it. `staging` is a directory for the image meanwhile.
pub(super) fn from_image(
    image: &OciOrigin,
    staging: &Utf8Path,
    root: &Utf8Path,
    observer: &dyn Observer,
) -> Result<Vec<String>, Failure> {
    let OciOrigin { path, digest, .. } = image;
    // A colon would end the path.
    if path.as_str().contains(':') {
        return Err(failure(
            format!("{path} has a colon in it"),
            "rename it: skopeo reads no such path",
        ));
    }
    let kind = kind_of(path, observer)?;
    log(observer, format!("reading the image {path}, {kind}"));
    let layout = staging.join("layout");
    let found = match kind {
        ImageKind::Layout | ImageKind::LayoutArchive => {
            copy(image, kind, &format!("oci:{layout}:{NAME}"), staging, observer)?;
            manifest_digest(&layout)?
        }
        // It has no manifest of its own. skopeo makes one of what it names, of which the digest is
        // that which `skopeo inspect` says, and checks all layers with it; umoci reads OCI's only.
        ImageKind::DockerArchive => {
            let plain = staging.join("plain");
            copy(image, kind, &format!("dir:{plain}"), staging, observer)?;
            let found = digest_file(&plain.join("manifest.json")).map_err(|error| {
                failure(format!("cannot read the manifest of {path}: {error}"), "look at the disk")
            })?;
            if found == *digest {
                convert(path, &plain, &layout, staging, observer)?;
            }
            found
        }
    };
    if found != *digest {
        return Err(failure(
            format!("the image {path} has the digest {found}, and its recipe says {digest}"),
            "fetch it again; if it is another on purpose, correct the recipe",
        ));
    }
    log(observer, format!("unpacking the image {path}"));
    let bundle = staging.join("bundle");
    let mut umoci = mortal("umoci");
    umoci.arg("unpack");
    if !rustix::process::geteuid().is_root() {
        umoci.arg("--rootless");
    }
    umoci.args(["--image", &format!("{layout}:{NAME}"), bundle.as_str()]);
    let finished = run(umoci, observer)?;
    if !finished.succeeded() {
        let hint = "look at the output, and whether there is room on the disk";
        return Err(failure(format!("umoci cannot unpack the image {path}"), hint)
            .with_details(finished.last_lines(5)));
    }
    let moved = fs_err::rename(bundle.join("rootfs"), root)
        .and_then(|()| fs_err::remove_dir_all(&bundle))
        .and_then(|()| fs_err::remove_dir_all(&layout));
    moved.map_err(|error| failure(format!("cannot move {bundle}: {error}"), "look at the disk"))?;
    Ok(vec![format!("image {} {digest}", path.file_name().unwrap_or_default())])
}

/// skopeo, which keeps in `staging` what it unpacks on the way: `/var/tmp` may have no room, and what is
/// left there by one that was killed would stay.
fn skopeo(staging: &Utf8Path) -> std::process::Command {
    let mut skopeo = mortal("skopeo");
    // Nothing is fetched: which images a machine trusts is no matter of a file with a known digest.
    skopeo.args(["--insecure-policy", "--tmpdir", staging.as_str(), "copy", "--quiet"]);
    skopeo
}

/// Copies the image as it is, with its digests.
fn copy(
    image: &OciOrigin,
    kind: ImageKind,
    to: &str,
    staging: &Utf8Path,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    let OciOrigin { path, reference, .. } = image;
    let name = reference.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
    let mut skopeo = skopeo(staging);
    skopeo.args(["--preserve-digests", &format!("{}:{path}{name}", kind.transport()), to]);
    let finished = run(skopeo, observer)?;
    if finished.succeeded() {
        return Ok(());
    }
    let hint = match (finished.text().contains("Digest did not match"), reference) {
        (true, _) => {
            "its content is not what its manifest says: it is damaged, or somebody changed it; fetch it \
             again"
                .to_owned()
        }
        (false, Some(name)) => format!("is it whole, and is {name} an image in it?"),
        (false, None) => {
            "is it whole, and is there one image in it? Of several, `reference` in the recipe names one"
                .to_owned()
        }
    };
    Err(failure(format!("skopeo cannot read the image {path}"), hint)
        .with_details(finished.last_lines(5)))
}

/// Makes an OCI image of one whose digest was checked.
fn convert(
    path: &Utf8Path,
    plain: &Utf8Path,
    layout: &Utf8Path,
    staging: &Utf8Path,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    let mut skopeo = skopeo(staging);
    skopeo.args([format!("dir:{plain}"), format!("oci:{layout}:{NAME}")]);
    let finished = run(skopeo, observer)?;
    if !finished.succeeded() {
        let message = format!("skopeo cannot make an OCI image of {path}");
        let hint = "look at the output, and whether there is room on the disk";
        return Err(failure(message, hint).with_details(finished.last_lines(5)));
    }
    fs_err::remove_dir_all(plain)
        .map_err(|error| failure(format!("cannot remove {plain}: {error}"), "look at the disk"))
}

fn manifest_digest(layout: &Utf8Path) -> Result<Sha256Digest, Failure> {
    let index = read_untrusted(&layout.join("index.json"), INDEX_BYTES).ok();
    let index = index.and_then(|text| serde_json::from_slice::<Index>(&text).ok());
    let digest = index.and_then(|index| match &index.manifests[..] {
        [manifest] => manifest.digest.strip_prefix("sha256:")?.parse().ok(),
        _ => None,
    });
    digest.ok_or_else(|| {
        let hint = "it is not one image, or its manifest has no SHA-256: export one image of it";
        failure("the image has no manifest whose digest is known", hint)
    })
}
