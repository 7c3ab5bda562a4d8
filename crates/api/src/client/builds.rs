use bytes::Bytes;
use elivepatch_model::{BuildNumber, ElfBuildId, Manifest, Sha256Digest, limits::PATCH_BYTES};
use http::StatusCode;

use super::{
    BodyStream, Client, ClientError,
    call::{Call, UPLOAD_TIMEOUT, header_text},
    multipart::{self, Part},
};
use crate::{
    BuildList, BuildRequest, BuildResource, BuildSubmission, ErrorCode, ListBuildsQuery,
    LivepatchResource, RebuildRequest, paths,
};

/// The largest manifest that is read, in bytes. One with 64 fixes and 16 checks, each with three
/// outputs of 64 KiB, has 4 MB.
const MANIFEST_BYTES: u64 = 16 * 1024 * 1024;

/// The largest signature that is read, in bytes; one has some 300.
const SIGNATURE_BYTES: u64 = 4 * 1024;

/// A patch of a submission: the name for people, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPatch {
    /// The file name; directories before it are not sent.
    pub name: String,
    /// The patch as it was read.
    pub content: Bytes,
}

/// The texts that go with a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestTexts<'a> {
    /// The target's config, uncompressed. A build must have it.
    pub config: Option<&'a [u8]>,
    /// What `/proc/kallsyms` of the target says, compressed with gzip.
    pub kallsyms: Option<&'a [u8]>,
    /// The patches that are compiled into the running kernel, in their order.
    pub baseline: &'a [NamedPatch],
    /// The patches to be built, in their order. A build must have one.
    pub patches: &'a [NamedPatch],
}

/// A module on its way.
pub struct ModuleDownload {
    /// The digest that the server announces, when it does.
    pub digest: Option<Sha256Digest>,
    /// The size that the server announces, in bytes, when it does.
    pub size_bytes: Option<u64>,
    /// The module.
    pub body: BodyStream,
}

/// A manifest, and its text exactly as the server sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestDownload {
    /// What it says.
    pub manifest: Manifest,
    /// The text: what is stored, since a signature is over these bytes.
    pub text: Bytes,
}

impl Client {
    /// Submits a build. `config` is uncompressed; the patches are applied in their order.
    ///
    /// # Errors
    /// [`ClientError::Api`] with a failure when the server refuses the request, or as for any call.
    pub async fn submit(
        &self,
        request: &BuildRequest,
        config: &[u8],
        patches: &[NamedPatch],
    ) -> Result<BuildSubmission, ClientError> {
        let texts = RequestTexts { config: Some(config), patches, ..RequestTexts::default() };
        self.submit_texts(request, &texts).await
    }

    /// Submits a build with all that is known of its target.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn submit_texts(
        &self,
        request: &BuildRequest,
        texts: &RequestTexts<'_>,
    ) -> Result<BuildSubmission, ClientError> {
        let request = serde_json::to_vec(request).expect("a build request has a JSON form");
        self.send_for_json(upload(paths::BUILDS, &request, texts)).await
    }

    /// Orders a livepatch to be built again. `texts` are those that the server may not have any more.
    ///
    /// # Errors
    /// As [`Client::submit`]; [`crate::ErrorCode::NotFound`] when the server needs a text that is
    /// not given.
    pub async fn rebuild(
        &self,
        request: &RebuildRequest,
        texts: &RequestTexts<'_>,
    ) -> Result<BuildSubmission, ClientError> {
        let request = serde_json::to_vec(request).expect("a rebuild request has a JSON form");
        self.send_for_json(upload(paths::REBUILDS, &request, texts)).await
    }

    /// Gets a build.
    ///
    /// # Errors
    /// As for any call; an unknown number is [`crate::ErrorCode::NotFound`].
    pub async fn build(&self, number: BuildNumber) -> Result<BuildResource, ClientError> {
        self.send_for_json(Call::get(build_path(number, ""))).await
    }

    /// Lists builds, newest first.
    ///
    /// # Errors
    /// As for any call.
    pub async fn list(&self, query: &ListBuildsQuery) -> Result<BuildList, ClientError> {
        let mut arguments = Vec::new();
        arguments.extend(query.state.map(|state| format!("state={state}")));
        arguments.extend(query.before.map(|before| format!("before={before}")));
        arguments.extend(query.limit.map(|limit| format!("limit={limit}")));
        let path = match arguments.is_empty() {
            true => paths::BUILDS.to_owned(),
            false => format!("{}?{}", paths::BUILDS, arguments.join("&")),
        };
        self.send_for_json(Call::get(path)).await
    }

    /// Begins to download the module of a build. Its bytes are not checked here.
    ///
    /// # Errors
    /// As for any call; [`crate::ErrorCode::Conflict`] while there is no module.
    pub async fn module(&self, number: BuildNumber) -> Result<ModuleDownload, ClientError> {
        let answer = self.send(Call::get(build_path(number, "/module"))).await?;
        let headers = answer.headers();
        let digest = header_text(headers, "x-elivepatch-sha256").and_then(|text| text.parse().ok());
        let size = header_text(headers, http::header::CONTENT_LENGTH);
        let size_bytes = size.and_then(|text| text.parse().ok());
        Ok(ModuleDownload { digest, size_bytes, body: answer.into_body() })
    }

    /// Gets the manifest of a build.
    ///
    /// # Errors
    /// As for any call; [`crate::ErrorCode::Conflict`] while there is none.
    pub async fn manifest(&self, number: BuildNumber) -> Result<ManifestDownload, ClientError> {
        let text = self.manifest_text(number).await?;
        let manifest = self.read_manifest(&text)?;
        Ok(ManifestDownload { manifest, text })
    }

    /// Gets one of the fixes of a build as it was sent.
    ///
    /// # Errors
    /// As for any call; [`ClientError::Digest`] when other bytes come.
    pub async fn patch(
        &self,
        number: BuildNumber,
        digest: Sha256Digest,
    ) -> Result<Bytes, ClientError> {
        let call = Call::get(build_path(number, &format!("/patches/{digest}")));
        let body = self.send(call).await?.into_body();
        let text = self.collect(body, "a patch", PATCH_BYTES).await?;
        match Sha256Digest::of(&text) == digest {
            true => Ok(text),
            false => Err(ClientError::Digest { url: self.peer().to_owned(), digest }),
        }
    }

    /// Gets the livepatch whose module has a build-id; `None` when the server has made no such one, or is of a
    /// version that does not tell.
    ///
    /// # Errors
    /// As for any call.
    pub async fn livepatch(
        &self,
        module: &ElfBuildId,
    ) -> Result<Option<LivepatchResource>, ClientError> {
        let call = Call::get(format!("{}/{module}", paths::LIVEPATCHES));
        match self.send_for_json(call).await {
            Ok(livepatch) => Ok(Some(livepatch)),
            Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gets the text of the manifest of a build, and reads nothing of it: its signature may be verified first.
    ///
    /// # Errors
    /// As [`Client::manifest`].
    pub async fn manifest_text(&self, number: BuildNumber) -> Result<Bytes, ClientError> {
        let answer = self.send(Call::get(build_path(number, "/manifest"))).await?;
        self.collect(answer.into_body(), "a manifest", MANIFEST_BYTES).await
    }

    /// Reads the text of a manifest that this server has sent.
    ///
    /// # Errors
    /// When it is none.
    pub fn read_manifest(&self, text: &[u8]) -> Result<Manifest, ClientError> {
        serde_json::from_slice(text)
            .map_err(|error| self.protocol(StatusCode::OK, format!("no manifest: {error}")))
    }

    /// Gets the signature of the manifest of a build, as minisign writes it; `None` when the server signs none, or is
    /// of a version that does not know of it.
    ///
    /// # Errors
    /// As [`Client::manifest`].
    pub async fn manifest_signature(
        &self,
        number: BuildNumber,
    ) -> Result<Option<Bytes>, ClientError> {
        match self.send(Call::get(build_path(number, "/manifest.minisig"))).await {
            Ok(answer) => {
                let body = answer.into_body();
                self.collect(body, "a signature", SIGNATURE_BYTES).await.map(Some)
            }
            Err(
                ClientError::Api { status: 404, .. } | ClientError::Protocol { status: 404, .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Cancels a build, and gives it as it is then.
    ///
    /// # Errors
    /// As for any call; [`crate::ErrorCode::Conflict`] when the build is finished already.
    pub async fn cancel(&self, number: BuildNumber) -> Result<BuildResource, ClientError> {
        self.send_for_json(Call::post(build_path(number, "/cancel"))).await
    }
}

/// The call that sends a request with its texts.
pub(super) fn upload(path: &str, request: &[u8], texts: &RequestTexts<'_>) -> Call {
    const BYTES: &str = "application/octet-stream";
    let plain = |name, content_type, content| Part { name, file_name: None, content_type, content };
    let named = |name, patch| {
        let NamedPatch { name: file_name, content }: &NamedPatch = patch;
        Part { name, file_name: Some(file_name), content_type: BYTES, content }
    };
    let mut parts = vec![plain("request", "application/json", request)];
    parts.extend(texts.config.map(|config| plain("config", BYTES, config)));
    parts.extend(texts.kallsyms.map(|kallsyms| plain("kallsyms", "application/gzip", kallsyms)));
    parts.extend(texts.baseline.iter().map(|patch| named("baseline", patch)));
    parts.extend(texts.patches.iter().map(|patch| named("patch", patch)));
    let (content_type, body) = multipart::encode(&parts);
    Call::post(path).body(&content_type, body).timeout(UPLOAD_TIMEOUT)
}

pub(super) fn build_path(number: BuildNumber, rest: &str) -> String {
    format!("{}/{number}{rest}", paths::BUILDS)
}
