use anyhow::Context;
use camino::Utf8Path;
use serde::{Deserialize, Serialize};

/// One measured figure, as `build.json` has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What the value should not exceed on a machine with two cores, or reach at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Whether it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// Whether the target is to be reached at least; for the table only.
    #[serde(skip)]
    pub is_floor: bool,
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
        self.target = Some(round(floor));
        self.is_floor = true;
        self.met = Some(self.value >= round(floor));
        self
    }

    /// Sets what the value should not exceed.
    pub fn target(&mut self, target: f64) -> &mut Self {
        self.target = Some(round(target));
        self.is_floor = false;
        self.met = Some(self.value <= round(target));
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

    /// Adds a share, in percent.
    pub fn percent(&mut self, name: impl Into<String>, value: f64) -> &mut Figure {
        self.add(name.into(), value, "%")
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
            met: None,
            is_floor: false,
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

    /// Reads what [`Figures::write`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else.
    pub fn read(path: &Utf8Path) -> anyhow::Result<Self> {
        let text = fs_err::read(path)?;
        let all =
            serde_json::from_slice(&text).with_context(|| format!("{path} has no figures"))?;
        Ok(Self { all })
    }

    /// One line for people: which figures miss their targets.
    pub fn missed(&self) -> String {
        let is_missed = |figure: &&Figure| figure.met == Some(false);
        let with_targets = self.all.iter().filter(|figure| figure.met.is_some()).count();
        let missed: Vec<String> = self
            .all
            .iter()
            .filter(is_missed)
            .map(|figure| {
                let Figure { name, value, unit, .. } = figure;
                format!("{name} ({value} {unit}, target {} {unit})", figure.target.unwrap_or(0.0))
            })
            .collect();
        match missed.len() {
            0 => format!("bench: all {with_targets} targets are met"),
            count => {
                format!("bench: {count} of {with_targets} targets missed: {}", missed.join(", "))
            }
        }
    }

    /// Adds the figures of another part.
    pub fn extend(&mut self, other: Self) {
        self.all.extend(other.all);
    }

    /// Writes them into a file that other parts write, too, in the place of those whose names begin
    /// with `names`.
    ///
    /// # Errors
    /// When the file cannot be written, or holds something else than figures.
    pub fn write_beside_others(&self, path: &Utf8Path, names: &str) -> anyhow::Result<()> {
        let mut others = if path.exists() { Self::read(path)? } else { Self::default() };
        others.all.retain(|figure| !figure.name.starts_with(names));
        others.all.extend(self.all.iter().cloned());
        others.write(path)
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
        figures.seconds("build.cold", 12.34567);
        let json = serde_json::to_value(figures.all()).expect("plain data");
        assert_eq!(json, serde_json::json!([{"name": "build.cold", "value": 12.346, "unit": "s"}]));
    }

    #[test]
    fn targets_are_written_with_whether_they_are_met_and_the_missed_ones_are_named() {
        let mut figures = Figures::default();
        figures.seconds("build.cold", 12.0).target(60.0);
        figures.times("header.200", 0.85).at_least(0.9);
        figures.times("parallel.8", 1.6).at_least(1.6);
        figures.memory("build.disk", 51_000_000).target(50.0);
        figures.seconds("header.200.seconds", 3.0);
        let temporary = tempfile::tempdir().expect("a directory");
        let path = camino::Utf8PathBuf::from_path_buf(temporary.path().join("engines.json"));
        let path = path.expect("UTF-8");
        figures.write(&path).expect("own directory");

        let text = fs_err::read(&path).expect("written");
        let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let expected = serde_json::json!(
            {"name": "header.200", "value": 0.85, "unit": "x", "target": 0.9, "met": false}
        );
        assert_eq!(json[1], expected);
        assert_eq!((&json[0]["met"], &json[2]["met"]), (&true.into(), &true.into()));
        assert_eq!(json[4].get("met"), None);
        let mut read = Figures::default();
        read.extend(Figures::read(&path).expect("its own form"));
        assert_eq!(
            read.missed(),
            "bench: 2 of 4 targets missed: header.200 (0.85 x, target 0.9 x), \
             build.disk (51 MB, target 50 MB)"
        );
    }

    #[test]
    fn parts_that_write_one_file_replace_their_own_figures_only() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = camino::Utf8PathBuf::from_path_buf(temporary.path().join("sources.json"));
        let path = path.expect("UTF-8");
        let write = |name: &str, value, names| {
            let mut figures = Figures::default();
            figures.seconds(name, value);
            figures.write_beside_others(&path, names).expect("own directory");
        };
        write("base.prepare", 1.0, "base.");
        write("fit.300", 2.0, "fit.");
        write("base.prepare", 3.0, "base.");
        let read = Figures::read(&path).expect("its own form");
        assert_eq!((read.value("base.prepare"), read.value("fit.300")), (Some(3.0), Some(2.0)));
        assert_eq!(read.all().len(), 2);
    }

    #[test]
    fn without_a_miss_the_last_line_says_so() {
        let mut figures = Figures::default();
        figures.seconds("build.cold", 12.0).target(60.0);
        assert_eq!(figures.missed(), "bench: all 1 targets are met");
    }

    #[test]
    fn ratio_is_the_value_over_its_reference() {
        let mut figures = Figures::default();
        figures.memory("vmlinux.read_memory", 150_000_000).compared_with("x", 300.0);
        assert_eq!(figures.all()[0].ratio, Some(0.5));
        assert_eq!(figures.all()[0].reference_value, Some(300.0));
    }
}
