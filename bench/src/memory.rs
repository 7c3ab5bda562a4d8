//! The server under uploads: `server.peak_memory` and `server.uploads`.

use std::{fmt::Write, time::Instant};

use anyhow::Context;
use bytes::Bytes;
use elivepatch_api::{BuildRequest, client::NamedPatch};
use elivepatch_model::{BuildOptions, limits};
use futures::future::try_join_all;
use tokio::runtime::Runtime;

use crate::{figures::Figures, note, say, server::Server, setting::Setting};

/// Requests side by side.
const UPLOADS: u32 = 64;

/// Measures the server while patches at the size limit come in side by side.
pub fn measure(setting: &Setting, runtime: &Runtime, figures: &mut Figures) -> anyhow::Result<()> {
    say(format!("{UPLOADS} uploads of 1 MiB side by side"));
    let server = Server::start(setting, "memory", &setting.cache)?;
    let idle = server.peak_bytes()?;
    let patches: Vec<Bytes> = (0..UPLOADS).map(|number| large_patch(number).into()).collect();
    let client = server.client();
    let started = Instant::now();
    let submissions = runtime.block_on(try_join_all(patches.into_iter().zip(0..).map(
        |(content, number): (Bytes, u32)| async move {
            let request = BuildRequest {
                target: setting.target.clone(),
                checks: Vec::new(),
                options: BuildOptions::default(),
            };
            let patch = NamedPatch { name: format!("large-{number}.patch"), content };
            client.submit(&request, &setting.config, &[patch]).await
        },
    )));
    let seconds = started.elapsed().as_secs_f64();
    let joined = submissions.context("an upload failed")?.iter().filter(|one| one.joined).count();
    anyhow::ensure!(joined == 0, "{joined} uploads were taken for equal ones");
    let peak = server.peak_bytes()?;
    note(format!(
        "{} MB before, {} MB at most, {seconds:.2} s",
        idle / 1_000_000,
        peak / 1_000_000
    ));
    figures.memory("server.peak_memory", peak).target(200.0);
    figures.seconds("server.uploads", seconds);
    Ok(())
}

/// A valid patch as large as may be: thousands of small hunks, which is what takes most memory to
/// read, for a file that no kernel has, so that the builds end soon.
fn large_patch(number: u32) -> String {
    let size = usize::try_from(limits::PATCH_BYTES).expect("a MiB is a size");
    let mut patch = format!("--- a/drivers/bench/{number}.c\n+++ b/drivers/bench/{number}.c\n");
    // Six digits: with fewer, the patch would reach the limit of lines before that of bytes.
    let mut line = 100_001;
    loop {
        let mut hunk = String::new();
        let _ = write!(
            hunk,
            "@@ -{line},3 +{line},3 @@\n \tfirst({line});\n-\told({line});\n+\tnew({number});\n \tlast({line});\n",
        );
        if patch.len() + hunk.len() > size {
            return patch;
        }
        patch.push_str(&hunk);
        line += 10;
    }
}

#[cfg(test)]
mod tests {
    use super::large_patch;

    #[test]
    fn large_patch_is_just_below_the_limit_and_each_is_another() {
        let (one, other) = (large_patch(1), large_patch(2));
        assert!(one.len() > 1_000_000 && one.len() <= 1_048_576, "{}", one.len());
        assert_ne!(one, other);
    }
}
