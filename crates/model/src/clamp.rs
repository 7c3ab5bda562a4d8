//! Bounds on texts that come from a worker or a request before they are stored, sent or shown.

use crate::{Failure, Step, limits};

/// A text for one line of at most `characters`: what is longer is cut, with an ellipsis, and
/// control characters other than tabs are replaced.
pub fn clamp_line(text: &str, characters: usize) -> String {
    let shown = |character: char| match character {
        '\t' => '\t',
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    };
    let mut clamped: String = text.chars().take(characters).map(shown).collect();
    if text.chars().nth(characters).is_some() {
        clamped.push('…');
    }
    clamped
}

impl Failure {
    /// The failure with each of its texts within its limit.
    #[must_use]
    pub fn clamped(&self) -> Self {
        let line = |text: &String| clamp_line(text, limits::FAILURE_LINE_CHARACTERS);
        Self {
            class: self.class,
            step: self.step,
            message: line(&self.message),
            hint: line(&self.hint),
            details: self.details.iter().take(limits::FAILURE_DETAILS).map(line).collect(),
            fix: self
                .fix
                .as_deref()
                .map(|name| clamp_line(name, limits::FAILURE_LINE_CHARACTERS).into_boxed_str()),
            functions: Vec::new(),
        }
    }
}

impl Step {
    /// The step with its summary within its limit.
    #[must_use]
    pub fn clamped(self) -> Self {
        let summary = self.summary.map(|text| clamp_line(&text, limits::STEP_SUMMARY_CHARACTERS));
        Self { summary, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailureClass, StepName, StepState};

    #[test]
    fn texts_without_a_bound_are_cut_at_a_character_and_cannot_drive_a_terminal() {
        let huge = "ü".repeat(400_000);
        let failure = Failure::new(FailureClass::CompileFailed, &huge, "a\u{1b}[2J\nb\tc")
            .with_details(std::iter::repeat_n(huge.clone(), 500));
        let clamped = failure.clamped();
        assert_eq!(clamped.message.chars().count(), limits::FAILURE_LINE_CHARACTERS + 1);
        assert!(clamped.message.ends_with("ü…"));
        assert_eq!(clamped.hint, "a\u{fffd}[2J\u{fffd}b\tc");
        assert_eq!(clamped.details.len(), limits::FAILURE_DETAILS);
        assert_eq!(clamped.details[0], clamped.message);
        let summary = Some(huge);
        let name = StepName::Compile;
        let step = Step { name, state: StepState::Failed, duration_seconds: None, summary };
        let summary = step.clamped().summary.expect("a summary");
        assert_eq!(summary.chars().count(), limits::STEP_SUMMARY_CHARACTERS + 1);
    }

    #[test]
    fn text_within_its_limit_stays_as_it_is() {
        assert_eq!(clamp_line("four", 4), "four");
        assert_eq!(clamp_line("", 4), "");
    }
}
