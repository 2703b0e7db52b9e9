//! What is to be reached, each as a sentence with the two numbers behind it.

use std::collections::BTreeMap;

use crate::statistics::Row;

/// One person's results, by subject.
pub(crate) type Rows = BTreeMap<String, Row>;

/// A target and whether it was met; `None` when a subject it compares is missing here.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) text: String,
    pub(crate) measured: String,
    pub(crate) met: Option<bool>,
}

impl Target {
    pub(crate) fn verdict(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        }
    }
}

/// Half the ratio is taken from medians, which are what a person feels on a shared machine.
const COMPARISONS: [(&str, Column, &str, f64); 6] = [
    ("brig-runtime", Column::Cpu, "floor", 2.0),
    ("brig-runtime", Column::Cpu, "crun", 0.25),
    ("brig run hello", Column::Cpu, "floor", 3.0),
    ("brig run hello", Column::Cpu, "crun, no filter", 0.5),
    ("brig run", Column::Wall, "podman run", 1.0 / 30.0),
    ("brig run", Column::Wall, "docker run", 1.0 / 30.0),
];

#[derive(Debug, Clone, Copy)]
enum Column {
    Cpu,
    Wall,
}

/// The comparisons for one person.
pub(crate) fn compare(rows: &Rows) -> Vec<Target> {
    let mut targets: Vec<Target> = COMPARISONS
        .iter()
        .map(|(ours, column, other, most)| {
            let (pick, unit): (fn(&Row) -> f64, _) = match column {
                Column::Cpu => (|row| row.cpu_median, "CPU"),
                Column::Wall => (|row| row.wall_median, "wall"),
            };
            let text = format!("`{ours}` at most {most:.2} times `{other}`, {unit}");
            match (rows.get(*ours).map(pick), rows.get(*other).map(pick)) {
                (Some(left), Some(right)) if right > 0.0 => Target {
                    text,
                    measured: format!("{left:.2} ms / {right:.2} ms = {:.2}", left / right),
                    met: Some(left / right <= *most),
                },
                _ => Target { text, measured: String::new(), met: None },
            }
        })
        .collect();
    for name in ["brig-runtime", "brig run"] {
        let peak = rows.get(name).map(|row| row.peak);
        targets.push(Target {
            text: format!("`{name}` peak memory under 6 MiB"),
            measured: peak.map(|peak| format!("{peak} KiB")).unwrap_or_default(),
            met: peak.map(|peak| peak < 6 * 1024),
        });
    }
    let own = rows.get("brig run --dry-run").zip(rows.get("brig version"));
    targets.push(Target {
        text: "own work before clone under 1 ms (`brig run --dry-run` less `brig version`, CPU; printing included)".into(),
        measured: own
            .map(|(plan, exec)| format!("{:.2} ms - {:.2} ms", plan.cpu_median, exec.cpu_median))
            .unwrap_or_default(),
        met: own.map(|(plan, exec)| plan.cpu_median - exec.cpu_median < 1.0),
    });
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_peer_is_not_a_met_target() {
        let row = |cpu| Row { cpu_median: cpu, wall_median: cpu, peak: 1024, ..Row::default() };
        let rows: Rows = [("floor", 2.0), ("brig-runtime", 3.0), ("crun", 10.0)]
            .map(|(name, cpu)| (name.to_owned(), row(cpu)))
            .into();
        let verdicts: Vec<&str> = compare(&rows).iter().map(Target::verdict).collect();
        assert_eq!(verdicts[..4], ["met", "missed", "not measured", "not measured"]);
    }
}
