use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::figures::{Figure, Figures};

/// The figures for people, with a mark at those that miss their target.
pub fn table(figures: &Figures) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_FULL_CONDENSED);
    table.set_header(["figure", "value", "target", "compared with", "value", "ratio"]);
    for figure in figures.all() {
        table.add_row([
            Cell::new(&figure.name),
            right(with_unit(figure.value, figure)),
            right(target(figure)),
            Cell::new(figure.reference.as_deref().unwrap_or_default()),
            right(figure.reference_value.map(|value| with_unit(value, figure)).unwrap_or_default()),
            right(figure.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default()),
        ]);
    }
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn with_unit(value: f64, figure: &Figure) -> String {
    let decimals = if figure.unit == "MB" { 0 } else { 2 };
    format!("{value:.decimals$} {}", figure.unit)
}

fn target(figure: &Figure) -> String {
    let missed = |is_met: bool| if is_met { "" } else { ": MISSED" };
    match (figure.target, figure.floor) {
        (Some(target), _) => {
            let value = with_unit(target, figure);
            format!("≤ {value}{}", missed(figure.value <= target))
        }
        (None, Some(floor)) => {
            let value = with_unit(floor, figure);
            format!("≥ {value}{}", missed(figure.value >= floor))
        }
        (None, None) => String::new(),
    }
}
