use std::io::Read as _;

use camino::Utf8Path;
use elivepatch_model::{limits, printable, with_causes};
use elivepatch_server::{
    ServerConfig,
    app::{
        ApproveError, ApprovedFix, AuditAction, CveId, CveOptions, CvePolicy, FixSource, NewAudit,
        Store, StoreError, approve_fix,
    },
    config::Places,
};
use serde_json::json;

use super::{
    feed::{of_store, open, stale_after},
    load_config, wait_for,
};
use crate::{
    actor,
    arguments::{Arguments, FixCommand},
    error::CommandError,
    report,
};

/// Approves, lists and withdraws fixes of CVEs. The server may run or not.
pub fn run(arguments: &Arguments, command: &FixCommand) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    wait_for(async {
        match command {
            FixCommand::Approve { cve, patch, note } => approve(&config, *cve, patch, note).await,
            FixCommand::List(list) => show(&config, list.json).await,
            FixCommand::Withdraw { cve } => withdraw(&config, *cve).await,
        }
    })
}

/// What the config says of fixes for CVEs.
pub fn options(config: &ServerConfig) -> CveOptions {
    CveOptions {
        fixes: config.fixes.iter().filter_map(|section| section.options()).collect(),
        policy: CvePolicy::new(&config.policy),
        stale_after: Some(stale_after(config)),
    }
}

/// What is wrong with the sources of fixes that are on this machine; others are not asked.
pub fn source_problems(config: &ServerConfig) -> Vec<String> {
    let problems = |source: FixSource| {
        let label = source.label();
        match source.faults() {
            Ok(faults) => faults.iter().map(|fault| format!("{label}: {fault}")).collect(),
            Err(error) => vec![format!("{label}: {}", with_causes(&error))],
        }
    };
    options(config).fixes.iter().map(FixSource::new).flat_map(problems).collect()
}

async fn approve(
    config: &ServerConfig,
    cve: CveId,
    patch: &Utf8Path,
    note: &str,
) -> Result<(), CommandError> {
    let text = read(patch)?;
    let name = patch.file_name().unwrap_or(patch.as_str());
    let store = open(config).await?;
    let is_read = store.feed_state().await.map_err(of_store)?.is_some();
    if !is_read {
        store.close().await;
        return Err(CommandError::input(
            anyhow::anyhow!(
                "no CVE feed was read yet, so it is not known whether there is a {cve}"
            ),
            "elivepatch-server feed update",
        ));
    }
    let approved = approve_fix(&store, cve, name, text, note).await;
    let noted = match &approved {
        Ok((fix, _)) => {
            let detail = json!({ "patch": name, "digest": fix.digest, "note": note });
            audit(&store, AuditAction::FixApproved, cve, detail).await
        }
        Err(_) => Ok(()),
    };
    store.close().await;
    let (fix, before) = approved.map_err(|error| {
        let hint = error.hint();
        match error {
            ApproveError::Store(_) => CommandError::failed(error, hint),
            _ => CommandError::input(error, hint),
        }
    })?;
    noted.map_err(of_store)?;
    let instead = match before {
        Some(before) if before == fix.digest => ", again".to_owned(),
        Some(before) => format!(", instead of the one with the digest {}", before.short()),
        None => String::new(),
    };
    anstream::println!("approved {name} ({}) for {cve}{instead}", fix.digest.short());
    for file in &fix.files {
        anstream::println!("  {}", printable(file));
    }
    if let Some(rule) = denied(config, &fix) {
        report::warn(&format!("it is not built all the same: {rule}"));
    }
    Ok(())
}

/// The rule of the config by which a fix is not built although it was approved.
fn denied(config: &ServerConfig, fix: &ApprovedFix) -> Option<String> {
    CvePolicy::new(&config.policy).denies(fix.cve, &fix.files, true)
}

async fn show(config: &ServerConfig, json: bool) -> Result<(), CommandError> {
    let store = open(config).await?;
    let fixes = store.approved_fixes().await;
    store.close().await;
    let fixes = fixes.map_err(of_store)?;
    if json {
        report::json(&fixes);
        return Ok(());
    }
    if fixes.is_empty() {
        anstream::eprintln!("no fix is approved");
        return Ok(());
    }
    let rows = fixes.into_iter().map(|fix| {
        vec![
            fix.cve.to_string(),
            report::time(fix.approved_at),
            fix.digest.short(),
            printable(&fix.name),
            fix.note,
        ]
    });
    report::table(&["CVE", "APPROVED (UTC)", "DIGEST", "PATCH", "NOTE"], rows);
    Ok(())
}

async fn withdraw(config: &ServerConfig, cve: CveId) -> Result<(), CommandError> {
    let store = open(config).await?;
    let was_there = store.withdraw_fix(cve).await;
    let noted = match was_there {
        Ok(true) => audit(&store, AuditAction::FixWithdrawn, cve, json!({})).await,
        _ => Ok(()),
    };
    store.close().await;
    if !was_there.map_err(of_store)? {
        return Err(CommandError::input(
            anyhow::anyhow!("no fix is approved for {cve}"),
            "elivepatch-server fix list",
        ));
    }
    noted.map_err(of_store)?;
    anstream::println!("withdrawn: the fix of {cve}; livepatches that have it stay as they are");
    Ok(())
}

/// Writes down what was done.
async fn audit(
    store: &Store,
    action: AuditAction,
    cve: CveId,
    detail: serde_json::Value,
) -> Result<(), StoreError> {
    let (at, actor) = (jiff::Timestamp::now(), actor::of_this_process());
    let subject = cve.to_string();
    store.audit(&NewAudit { at, actor: &actor, action, subject: &subject, detail }).await
}

/// Reads a patch that the user names.
fn read(path: &Utf8Path) -> Result<Vec<u8>, CommandError> {
    let failed = |error: std::io::Error| {
        let error = anyhow::Error::new(error).context(format!("cannot read {path}"));
        CommandError::input(error, "give a patch with --patch FILE")
    };
    let found = std::fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(limits::PATCH_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > limits::PATCH_BYTES {
        return Err(CommandError::input(
            anyhow::anyhow!("{path} has more than {} bytes", limits::PATCH_BYTES),
            "give only the changes that the fix needs; a whole stable release is no livepatch",
        ));
    }
    Ok(text)
}
