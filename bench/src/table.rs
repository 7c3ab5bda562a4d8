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
    let Some(target) = figure.target else { return String::new() };
    let sign = if figure.is_floor { "≥" } else { "≤" };
    let missed = if figure.met == Some(false) { ": MISSED" } else { "" };
    format!("{sign} {}{missed}", with_unit(target, figure))
}
