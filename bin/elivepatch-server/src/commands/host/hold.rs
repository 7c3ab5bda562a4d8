use elivepatch_model::Whom;
use elivepatch_server::{AppError, app::Fleet};

use super::shown;
use crate::report;

pub(super) async fn hold(fleet: &Fleet, whom: Whom, reason: &str) -> Result<(), AppError> {
    let hold = fleet.hold(whom, reason.to_owned()).await?;
    anstream::println!("held: {}; only what is withdrawn still leaves there", hold.whom);
    Ok(())
}

pub(super) async fn release(fleet: &Fleet, whom: &Whom) -> Result<(), AppError> {
    fleet.release(whom).await?;
    anstream::println!("released: {whom}");
    let others = fleet.holds().await?.holds;
    // Whoever releases a host may wonder why it stays held.
    let others: Vec<String> = match whom {
        Whom::Host(name) => {
            fleet.show(name).await?.holds.iter().map(|hold| shown(&hold.whom)).collect()
        }
        Whom::Tag(_) => others
            .iter()
            .filter(|hold| hold.whom == Whom::All)
            .map(|hold| shown(&hold.whom))
            .collect(),
        Whom::All => Vec::new(),
    };
    if !others.is_empty() {
        report::warn(&format!("it is held all the same, by: {}", others.join(", ")));
    }
    Ok(())
}

pub(super) async fn list(fleet: &Fleet, json: bool) -> Result<(), AppError> {
    let found = fleet.holds().await?;
    if json {
        report::json(&found.holds);
    } else if found.holds.is_empty() {
        anstream::eprintln!("nothing is held");
    } else {
        let rows = found
            .holds
            .iter()
            .map(|hold| vec![shown(&hold.whom), report::time(hold.made_at), hold.reason.clone()]);
        report::table(&["HELD", "SINCE (UTC)", "REASON"], rows);
    }
    if found.is_cut {
        report::warn(
            "there are more: this is a thousand; elivepatch-server host show NAME tells of one",
        );
    }
    Ok(())
}
