use elivepatch_api::{NewestFirstQuery, WithdrawalRequest};
use elivepatch_model::BuildNumber;
use elivepatch_server::{AppError, app::Fleet};

use super::PAGE;
use crate::report;

pub(super) async fn withdraw(
    fleet: &Fleet,
    build: BuildNumber,
    reason: &str,
) -> Result<(), AppError> {
    let request = WithdrawalRequest { build, reason: reason.to_owned() };
    let answer = fleet.withdraw(request).await?;
    anstream::println!(
        "withdrawn: the livepatch of build {build} ({})",
        answer.withdrawal.digest.short()
    );
    anstream::println!(
        "{}",
        match answer.hosts {
            0 => "no host has it by its last report".to_owned(),
            1 => "1 host has it, and takes it back at its next report".to_owned(),
            hosts => format!("{hosts} hosts have it, and take it back at their next reports"),
        }
    );
    Ok(())
}

pub(super) async fn list(fleet: &Fleet, json: bool) -> Result<(), AppError> {
    let mut withdrawals = Vec::new();
    let mut before = None;
    loop {
        let query = NewestFirstQuery { before, limit: Some(PAGE) };
        let page = fleet.withdrawals(query).await?;
        withdrawals.extend(page.withdrawals);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    if json {
        report::json(&withdrawals);
        return Ok(());
    }
    if withdrawals.is_empty() {
        anstream::eprintln!("nothing is withdrawn");
        return Ok(());
    }
    let rows = withdrawals.iter().map(|gone| {
        let (build, digest) = (gone.build.to_string(), gone.digest.short());
        vec![build, digest, report::time(gone.made_at), gone.reason.clone()]
    });
    report::table(&["BUILD", "MODULE", "WITHDRAWN (UTC)", "REASON"], rows);
    Ok(())
}
