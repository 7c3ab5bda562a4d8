use utoipa::openapi::{
    ComponentsBuilder, Info, LicenseBuilder, OpenApi, OpenApiBuilder,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

/// How the document calls the tokens of elivepatch.
const TOKEN: &str = "token";

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
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token of elivepatch-server token create. A server that only its own machine reaches wants none, \
         unless its config says so.",
    ));
    let components = ComponentsBuilder::new()
        .security_scheme(TOKEN, SecurityScheme::Http(bearer.build()))
        .build();
    // Without a token, or with one.
    let security = [SecurityRequirement::default(), SecurityRequirement::new(TOKEN, [""; 0])];
    OpenApiBuilder::new().info(info).components(Some(components)).security(Some(security)).build()
}

/// The OpenAPI document of the public API.
pub fn openapi_document() -> OpenApi {
    super::router::public_routes().split_for_parts().1
}
