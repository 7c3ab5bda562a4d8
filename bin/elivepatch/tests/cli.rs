//! What the user sees of help and of errors that need no server, under snapshot.

#[test]
fn help_and_errors_are_as_in_the_snapshots() {
    trycmd::TestCases::new()
        .env("NO_COLOR", "1")
        .env("ELIVEPATCH_URL", "")
        .env("ELIVEPATCH_TOKEN", "")
        .env("ELIVEPATCH_STATE_DIRECTORY", "/nowhere")
        .case("tests/cmd/*.trycmd");
}
