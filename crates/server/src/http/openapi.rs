use utoipa::openapi::{Info, LicenseBuilder, OpenApi, OpenApiBuilder};

/// The document without its paths and schemas, which come from the handlers.
pub(super) fn frame() -> OpenApi {
    let mut info = Info::new("elivepatch", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Builds livepatches for Linux kernels: submit a kernel config and patches, follow the \
         build, fetch module and manifest."
            .to_owned(),
    );
    info.license = Some(
        LicenseBuilder::new().name("GPL-2.0-or-later").identifier(Some("GPL-2.0-or-later")).build(),
    );
    OpenApiBuilder::new().info(info).build()
}

/// The OpenAPI document of the public API.
pub fn openapi_document() -> OpenApi {
    super::router::public_routes().split_for_parts().1
}
