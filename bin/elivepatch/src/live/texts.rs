//! The texts of fixes: those that are live are sent again with each order, and what is loaded is kept with its texts.

use elivepatch_api::{ErrorCode, client::NamedPatch};
use elivepatch_host::StateDirectory;
use elivepatch_model::{BuildNumber, Fix, Manifest, Sha256Digest};

use super::Live;
use crate::{
    output::say,
    problem::Problem,
    server::Server,
    text::{printable, shell_word},
};

/// The texts of live fixes: of those that were given, else kept on this machine, else on the server.
///
/// # Errors
/// When one is nowhere, or the server cannot be asked.
pub async fn kept_or_fetched(
    server: &Server,
    directory: &StateDirectory,
    live: &Live,
    fixes: &[Fix],
    given: &[NamedPatch],
) -> Result<Vec<NamedPatch>, Problem> {
    let mut found = Vec::with_capacity(fixes.len());
    for fix in fixes {
        let of_given = given.iter().find(|patch| Sha256Digest::of(&patch.content) == fix.digest);
        let content = match (of_given, directory.patch(fix.digest), live.build) {
            (Some(patch), ..) => Some(patch.content.clone()),
            (None, Ok(Some(text)), _) => Some(text.into()),
            (None, _, Some(build)) => match server.client.patch(build, fix.digest).await {
                Ok(text) => Some(text),
                Err(error) if error.code() == Some(ErrorCode::NotFound) => None,
                Err(error) => return Err(server.problem(&error)),
            },
            (None, _, None) => None,
        };
        let content = content.ok_or_else(|| unknown_text(live, fix, server))?;
        found.push(NamedPatch { name: fix.name.clone(), content });
    }
    Ok(found)
}

fn unknown_text(live: &Live, fix: &Fix, server: &Server) -> Problem {
    let (livepatch, name) = (printable(&live.name), printable(&fix.name));
    Problem::input(format!(
        "the text of the fix {name}, which is live in {livepatch}, is neither on this machine nor on {}",
        server.url
    ))
    .aside(format!("its sha256 is {}", fix.digest))
    .hint(format!(
        "give the patch again with --patch FILE, leave the fix out with --drop {}, or order without what is live: \
         --alone",
        shell_word(&name)
    ))
}

/// The texts of a build's fixes that are to be kept with its livepatch and are not yet. That one cannot be had is no
/// reason not to load it: the next order asks for it again.
pub async fn of_build(
    server: &Server,
    directory: &StateDirectory,
    number: BuildNumber,
    manifest: &Manifest,
) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for fix in &manifest.fixes {
        match directory.patch(fix.digest) {
            Ok(Some(text)) => found.push(text),
            _ => match server.client.patch(number, fix.digest).await {
                Ok(text) => found.push(text.to_vec()),
                Err(error) => {
                    let name = printable(&fix.name);
                    say(&format!("the text of {name} is not kept on this machine: {error}"));
                    return found;
                }
            },
        }
    }
    found
}
