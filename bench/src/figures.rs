use anyhow::Context;
use camino::Utf8Path;
use serde::Serialize;

/// One measured figure, as `build.json` has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured, such as `build.warm`.
    pub name: String,
    /// The value.
    pub value: f64,
    /// The unit: `s`, `MB` (a million bytes), or `x` (a factor).
    pub unit: String,
    /// What it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The value of that, in the same unit and from the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_value: Option<f64>,
    /// `value` divided by `reference_value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// What the value should not exceed on a machine with two cores; for the table only.
    #[serde(skip)]
    pub target: Option<f64>,
    /// What the value should reach at least on such a machine; for the table only.
    #[serde(skip)]
    pub floor: Option<f64>,
}

impl Figure {
    /// Names what the figure is compared with.
    pub fn compared_with(&mut self, reference: &str, value: f64) -> &mut Self {
        self.reference = Some(reference.to_owned());
        self.reference_value = Some(round(value));
        self.ratio = (value > 0.0).then(|| round(self.value / value));
        self
    }

    /// Sets what the value should reach at least.
    pub fn at_least(&mut self, floor: f64) -> &mut Self {
        self.floor = Some(floor);
        self
    }

    /// Sets what the value should not exceed.
    pub fn target(&mut self, target: f64) -> &mut Self {
        self.target = Some(target);
        self
    }
}

/// All figures, in the order they were taken.
#[derive(Debug, Default)]
pub struct Figures {
    all: Vec<Figure>,
}

impl Figures {
    /// Adds a duration in seconds.
    pub fn seconds(&mut self, name: impl Into<String>, value: f64) -> &mut Figure {
        self.add(name.into(), value, "s")
    }

    /// Adds an amount of memory, given in bytes.
    pub fn memory(&mut self, name: impl Into<String>, bytes: u64) -> &mut Figure {
        self.add(name.into(), bytes as f64 / 1e6, "MB")
    }

    /// Adds a factor.
    pub fn times(&mut self, name: impl Into<String>, value: f64) -> &mut Figure {
        self.add(name.into(), value, "x")
    }

    fn add(&mut self, name: String, value: f64, unit: &str) -> &mut Figure {
        self.all.push(Figure {
            name,
            value: round(value),
            unit: unit.to_owned(),
            reference: None,
            reference_value: None,
            ratio: None,
            target: None,
            floor: None,
        });
        self.all.last_mut().expect("one was added just now")
    }

    /// The value of a figure that was taken.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.all.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// The figures.
    pub fn all(&self) -> &[Figure] {
        &self.all
    }

    /// Writes them as a JSON array.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Utf8Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.all).context("figures have a JSON form")?;
        fs_err::write(path, text + "\n").context("the figures are lost")
    }
}

/// Three decimals: no clock here is better.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_without_a_reference_has_only_name_value_and_unit() {
        let mut figures = Figures::default();
        figures.seconds("build.cold", 12.34567).target(60.0);
        let json = serde_json::to_value(figures.all()).expect("plain data");
        assert_eq!(json, serde_json::json!([{"name": "build.cold", "value": 12.346, "unit": "s"}]));
    }

    #[test]
    fn ratio_is_the_value_over_its_reference() {
        let mut figures = Figures::default();
        figures.memory("vmlinux.read_memory", 150_000_000).compared_with("x", 300.0);
        assert_eq!(figures.all()[0].ratio, Some(0.5));
        assert_eq!(figures.all()[0].reference_value, Some(300.0));
    }
}
