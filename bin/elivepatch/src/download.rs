use std::{
    collections::HashSet,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use elivepatch_api::{BuildResource, client::ClientError};
use elivepatch_elf::SignedModule;
use elivepatch_host::ManifestTrust;
use elivepatch_model::{
    BaseKind, BuildIdFit, BuildNumber, ElfBuildId, FitRecord, KernelRelease, Manifest,
    Sha256Digest, limits,
};
use futures::StreamExt;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::{
    destination::{
        Destination, Present, manifest_path, occupied, present, signature_path, write_problem,
    },
    exit::Exit,
    manifest_key,
    problem::Problem,
    server::Server,
};

/// The pause before a download that broke off is begun again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What was sent to be built, as far as a manifest says it again.
#[derive(Debug)]
pub struct Sent {
    /// The target's release.
    pub release: KernelRelease,
    /// The build-id of the target's image, when it is known.
    pub build_id: Option<ElfBuildId>,
    /// Whether a livepatch is wanted that nothing proves to fit.
    pub accept_unproven: bool,
    /// The patches.
    pub fixes: SentFixes,
}

/// Which patches a livepatch must hold, by their digests.
#[derive(Debug)]
pub enum SentFixes {
    /// These in this order.
    InOrder(Vec<Sha256Digest>),
    /// In whatever order: of each list one at least, and none that is in no list. A CVE may have several
    /// patches, of which the kernel has some already.
    OfEach(Vec<Vec<Sha256Digest>>),
}

impl SentFixes {
    fn are_in(&self, manifest: &Manifest) -> bool {
        let held = manifest.fixes.iter().map(|fix| fix.digest);
        match self {
            Self::InOrder(sent) => held.eq(sent.iter().copied()),
            Self::OfEach(lists) => {
                let held: HashSet<_> = held.collect();
                let named: HashSet<_> = lists.iter().flatten().copied().collect();
                held.is_subset(&named)
                    && lists.iter().all(|list| list.iter().any(|digest| held.contains(digest)))
            }
        }
    }
}

/// A livepatch on this machine's disk.
#[derive(Debug)]
pub struct Stored {
    /// What it is.
    pub manifest: Manifest,
    /// The module.
    pub module_path: PathBuf,
    /// The manifest's file; its signature lies beside it, where the server signs.
    pub manifest_path: PathBuf,
}

/// Downloads module and manifest of a finished build, checks them, also against what was `sent` when
/// that is known, and puts them in their places. Nothing is read of a manifest that is not trusted, and no module of it
/// is fetched.
pub async fn fetch(
    server: &Server,
    build: &BuildResource,
    sent: Option<&Sent>,
    trust: &ManifestTrust,
    destination: &Destination,
    patience: Duration,
) -> Result<Stored, Problem> {
    let number = build.number;
    let SignedManifest { manifest, text, signature } =
        signed_manifest(server, number, trust, patience).await?;
    if manifest.build_key != build.key || manifest.release != build.target.release {
        return Err(untrusted(format!(
            "the server sent the manifest of another build for build {number}"
        )));
    }
    if let Some(difference) = sent.and_then(|sent| difference(sent, &manifest)) {
        return Err(untrusted(format!("the livepatch is not what was ordered: {difference}")));
    }
    let name = &manifest.module.name;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        // It is printed as a part of commands for root.
        return Err(untrusted(format!("{name:.80?} is not the name of a kernel module")));
    }
    let module_path = destination.module_path(&manifest.module.file_name);
    let manifest_path = manifest_path(&module_path);
    let module_present = look(&module_path, &manifest.module.digest, destination)?;
    let manifest_present = look(&manifest_path, &Sha256Digest::of(&text), destination)?;
    // Both are complete before either is in its place.
    let mut files = Vec::new();
    if module_present != Present::Same {
        let file = download(server, build, &manifest, destination, &module_path, patience).await?;
        files.push((file, &module_path));
    }
    if manifest_present != Present::Same {
        files.push((destination.text_file(&text, &manifest_path)?, &manifest_path));
    }
    // First: whoever looks while this goes on finds no manifest that lacks its signature.
    if let Some(signature) = &signature {
        destination.put_signature(signature, &signature_path(&manifest_path))?;
    }
    for (file, path) in files {
        destination.put(file, path)?;
    }
    Ok(Stored { manifest, module_path, manifest_path })
}

/// A manifest that is trusted.
struct SignedManifest {
    manifest: Manifest,
    text: Bytes,
    /// Where the server signs; kept for whoever has a key, also when there is none here.
    signature: Option<Bytes>,
}

/// Downloads a manifest and its signature, and reads it when it is trusted.
async fn signed_manifest(
    server: &Server,
    number: BuildNumber,
    trust: &ManifestTrust,
    patience: Duration,
) -> Result<SignedManifest, Problem> {
    let client = &server.client;
    let text = server.patiently(patience, || client.manifest_text(number)).await;
    let text = text.map_err(|error| server.problem(&error))?;
    let signature = server.patiently(patience, || client.manifest_signature(number)).await;
    let signature = signature.map_err(|error| server.problem(&error))?;
    let what = format!("the manifest of build {number} from {}", server.url);
    manifest_key::verify(trust, &what, &text, signature.as_deref())
        .map_err(|problem| problem.with_exit(Exit::Server).aside("nothing was stored"))?;
    let manifest = client.read_manifest(&text).map_err(|error| server.problem(&error))?;
    Ok(SignedManifest { manifest, text, signature })
}

/// A livepatch that was built again.
pub struct Rebuilt {
    /// What it is.
    pub manifest: Manifest,
    /// The digest of the module that came, without its signature.
    pub unsigned: Sha256Digest,
}

/// Downloads module and manifest of a finished rebuild without storing them. Gives them when
/// the bytes that came are those that the manifest names.
pub async fn digest(
    server: &Server,
    build: &BuildResource,
    trust: &ManifestTrust,
    patience: Duration,
) -> Result<Rebuilt, Problem> {
    let SignedManifest { manifest, .. } =
        signed_manifest(server, build.number, trust, patience).await?;
    let begin = tokio::time::Instant::now();
    loop {
        let place = Path::new(&manifest.module.file_name);
        let mut module = Vec::new();
        match receive(server, build, &manifest, &mut module, place).await {
            Ok(()) => {
                let content =
                    SignedModule::split(&module).map_or(&module[..], |signed| signed.content);
                return Ok(Rebuilt { unsigned: Sha256Digest::of(content), manifest });
            }
            Err(Broken::Connection(error)) if error.is_passing() && begin.elapsed() < patience => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(Broken::Connection(error)) => return Err(server.problem(&error)),
            Err(Broken::Final(problem)) => return Err(problem),
        }
    }
}

/// In what a manifest differs from what was sent.
fn difference(sent: &Sent, manifest: &Manifest) -> Option<String> {
    if manifest.release != sent.release {
        return Some(format!("it is for {}, not {}", manifest.release, sent.release));
    }
    let image = match manifest.base {
        BaseKind::Prepared => {
            sent.build_id.as_ref().filter(|build_id| **build_id != manifest.build_id).map(
                |build_id| format!("it is for the image {}, not {build_id}", manifest.build_id),
            )
        }
        BaseKind::Built => difference_of_built(sent, manifest),
    };
    image.or_else(|| (!sent.fixes.are_in(manifest)).then(|| "it holds other patches".to_owned()))
}

/// In what the image differs when the server has built the kernel itself. Its vmlinux has a build-id of
/// its own, since keys and dates make another one: what was asked for is compared, and what proves that the
/// code is equal.
fn difference_of_built(sent: &Sent, manifest: &Manifest) -> Option<String> {
    let Some(request) = &manifest.request else {
        return Some("its manifest does not say for which image it was asked".to_owned());
    };
    if request.target.build_id != sent.build_id {
        let name = |build_id: &Option<ElfBuildId>| match build_id {
            Some(build_id) => format!("the image {build_id}"),
            None => "an image without a known build-id".to_owned(),
        };
        let (theirs, ours) = (name(&request.target.build_id), name(&sent.build_id));
        return Some(format!("it was made for {theirs}, not {ours}"));
    }
    let unproven = FitRecord::default();
    let fit = manifest.fit.as_ref().unwrap_or(&unproven);
    if fit.build_id == BuildIdFit::Equal && sent.build_id.as_ref() != Some(&manifest.build_id) {
        return Some(format!(
            "its manifest calls the image {} the very one that the target runs",
            manifest.build_id
        ));
    }
    let is_accepted = fit.accepted_unproven && sent.accept_unproven;
    (!fit.is_proven() && !is_accepted).then(|| {
        "nothing proves that the kernel which the server has built is the target's, and this was not \
         accepted with --accept-unproven"
            .to_owned()
    })
}

/// Looks what is in the way, and refuses to go on when it may not be replaced.
fn look(path: &Path, digest: &Sha256Digest, to: &Destination) -> Result<Present, Problem> {
    match present(path, digest)? {
        Present::Other if !to.may_replace() => Err(occupied(path)),
        found => Ok(found),
    }
}

/// Downloads the module to a temporary file, again when the connection breaks, for as long as
/// `patience`.
async fn download(
    server: &Server,
    build: &BuildResource,
    manifest: &Manifest,
    destination: &Destination,
    path: &Path,
    patience: Duration,
) -> Result<NamedTempFile, Problem> {
    let begin = tokio::time::Instant::now();
    loop {
        let mut file = destination.temporary_file()?;
        match receive(server, build, manifest, &mut file, path).await {
            Ok(()) => return Ok(file),
            Err(Broken::Connection(error)) if error.is_passing() && begin.elapsed() < patience => {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(Broken::Connection(error)) => return Err(server.problem(&error)),
            Err(Broken::Final(problem)) => return Err(problem),
        }
    }
}

/// Why a download did not work.
enum Broken {
    Connection(ClientError),
    Final(Problem),
}

async fn receive(
    server: &Server,
    build: &BuildResource,
    manifest: &Manifest,
    file: &mut impl Write,
    path: &Path,
) -> Result<(), Broken> {
    let expected = &manifest.module;
    if expected.size_bytes > limits::MODULE_BYTES {
        let most = limits::MODULE_BYTES;
        return Err(Broken::Final(untrusted(format!(
            "the module has {} bytes by its manifest, and none has more than {most}",
            expected.size_bytes
        ))));
    }
    let mut download = server.client.module(build.number).await.map_err(Broken::Connection)?;
    let mut hasher = Sha256::new();
    let mut size_bytes = 0;
    while let Some(chunk) = download.body.next().await {
        let chunk = chunk.map_err(|source| {
            Broken::Connection(ClientError::Lost { url: server.url.to_string(), source })
        })?;
        size_bytes += chunk.len() as u64;
        if size_bytes > expected.size_bytes {
            break;
        }
        hasher.update(&chunk);
        file.write_all(&chunk).map_err(|error| Broken::Final(write_problem(path, &error)))?;
    }
    if size_bytes != expected.size_bytes {
        let relation = if size_bytes > expected.size_bytes { "more than" } else { "only" };
        return Err(Broken::Final(untrusted(format!(
            "the module is not what its manifest says: {relation} {} of {} bytes came",
            size_bytes.min(expected.size_bytes),
            expected.size_bytes
        ))));
    }
    let digest = Sha256Digest::from_bytes(hasher.finalize().into());
    if digest != expected.digest {
        return Err(Broken::Final(untrusted(format!(
            "the module is not what its manifest says: its digest is {digest}, not {}",
            expected.digest
        ))));
    }
    Ok(())
}

fn untrusted(message: String) -> Problem {
    Problem::new(Exit::Server, message)
        .hint("nothing was stored; load nothing from this server until its log explains this")
}
