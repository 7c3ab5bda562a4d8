//! Roots from OCI images: skopeo reads the image and checks the digests of its layers, umoci unpacks
//! them.

use camino::Utf8Path;
use elivepatch_model::{Failure, Sha256Digest};
use serde::Deserialize;

use super::run::{failure, log, mortal, run};
use crate::{Observer, toolchain::recipe::OciOrigin, untrusted_file::read_untrusted};

/// The largest index of an image layout that is read, in bytes.
const INDEX_BYTES: u64 = 4 * 1024 * 1024;

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
    let OciOrigin { path, reference, digest } = image;
    let reference = reference.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
    // A colon would end the path.
    if path.as_str().contains(':') {
        return Err(failure(
            format!("{path} has a colon in it"),
            "rename it: skopeo reads no such path",
        ));
    }
    if !path.exists() {
        let hint = "put the image there, or correct the recipe";
        return Err(failure(format!("{path} is not there"), hint));
    }
    let transport = if path.is_dir() { "oci" } else { "oci-archive" };
    log(observer, format!("reading the image {path}"));
    let layout = staging.join("layout");
    let mut skopeo = mortal("skopeo");
    // Nothing is fetched: which images a machine trusts is no matter of a file with a known digest.
    skopeo.args(["--insecure-policy", "copy", "--quiet", "--preserve-digests"]);
    skopeo.args([format!("{transport}:{path}{reference}"), format!("oci:{layout}:root")]);
    let finished = run(skopeo, observer)?;
    if !finished.succeeded() {
        return Err(failure(
            format!("skopeo cannot read the image {path}"),
            "is it an OCI image layout or an archive of one, whole, and does reference name an image \
             in it?",
        )
        .with_details(finished.last_lines(5)));
    }
    let found = manifest_digest(&layout)?;
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
    umoci.args(["--image", &format!("{layout}:root"), bundle.as_str()]);
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
