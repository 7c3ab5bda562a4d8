use elivepatch_server::openapi_document;

#[test]
fn openapi_document_changes_only_on_purpose() {
    let mut document = openapi_document();
    assert_eq!(document.info.version, env!("CARGO_PKG_VERSION"));
    document.info.version = "VERSION".to_owned();
    insta::assert_json_snapshot!(document);
}
