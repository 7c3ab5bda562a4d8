use elivepatch_api::{AssignmentRequest, NewestFirstQuery};
use elivepatch_model::{BuildNumber, Whom};
use elivepatch_server::{AppError, app::Fleet};

use super::{PAGE, at_next_report, shown};
use crate::report;

pub(super) async fn assign(
    fleet: &Fleet,
    build: BuildNumber,
    whom: Whom,
    note: &str,
) -> Result<(), AppError> {
    let request = AssignmentRequest { build, whom, note: note.to_owned() };
    let answer = fleet.assign(request).await?;
    let made = &answer.assignment;
    anstream::println!(
        "assigned: the livepatch of build {build} for {} to {} (assignment {})",
        made.release,
        made.whom,
        made.id
    );
    anstream::println!("{}", at_next_report(answer.hosts));
    for note in &answer.notes {
        report::warn(note);
    }
    Ok(())
}

pub(super) async fn list(fleet: &Fleet, json: bool) -> Result<(), AppError> {
    let mut assignments = Vec::new();
    let mut before = None;
    loop {
        let query = NewestFirstQuery { before, limit: Some(PAGE) };
        let page = fleet.assignments(query).await?;
        assignments.extend(page.assignments);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    if json {
        report::json(&assignments);
        return Ok(());
    }
    if assignments.is_empty() {
        anstream::eprintln!("nothing is assigned");
        return Ok(());
    }
    let rows = assignments.iter().map(|made| {
        vec![
            made.id.to_string(),
            made.build.to_string(),
            shown(&made.whom),
            made.release.to_string(),
            report::time(made.made_at),
            if made.is_withdrawn { "withdrawn" } else { "" }.to_owned(),
            made.note.clone(),
        ]
    });
    report::table(&["ID", "BUILD", "TO", "KERNEL", "ASSIGNED (UTC)", "", "NOTE"], rows);
    Ok(())
}
