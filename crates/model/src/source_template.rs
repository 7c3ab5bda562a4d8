use std::{fmt, str::FromStr};

use crate::KernelRelease;

/// A path or URL that holds parts of a kernel's release in braces, as the server's config has them:
/// `https://cdn.kernel.org/pub/linux/kernel/v{major}.x/linux-{version}.tar.xz`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Placeholder(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Placeholder {
    Release,
    Version,
    Series,
    Major,
}

impl Placeholder {
    const ALL: [(Placeholder, &str); 4] = [
        (Placeholder::Release, "release"),
        (Placeholder::Version, "version"),
        (Placeholder::Series, "series"),
        (Placeholder::Major, "major"),
    ];
}

/// A text that is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceTemplateError {
    /// A name in braces that stands for nothing, or a brace alone.
    #[error("{0:?} has something else in braces than release, version, series or major")]
    Placeholder(String),
    /// A character that no path or URL should have.
    #[error("{0:?} is empty or has a control character")]
    Character(String),
}

impl SourceTemplate {
    /// The template for a kernel.
    pub fn fill(&self, release: &KernelRelease) -> String {
        let part = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Placeholder(Placeholder::Release) => release.to_string(),
            Part::Placeholder(Placeholder::Version) => release.upstream_version(),
            Part::Placeholder(Placeholder::Series) => release.series(),
            Part::Placeholder(Placeholder::Major) => release.version().0.to_string(),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether it is the same for all kernels.
    pub fn is_fixed(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// The kernel that it is filled for when it gives `text`, by the release, version or series in it: of
    /// a version or series the release without anything behind it. `None` when there is none.
    pub fn kernel_of(&self, text: &str) -> Option<KernelRelease> {
        let named = |part: &Part| {
            matches!(part, Part::Placeholder(Placeholder::Release | Placeholder::Version))
        };
        let is_series = |part: &Part| *part == Part::Placeholder(Placeholder::Series);
        let mut parts = self.parts.iter();
        let at = parts.position(named).or_else(|| self.parts.iter().position(is_series))?;
        let literal = |part: Option<&Part>| match part {
            Some(Part::Literal(text)) => Some(text.clone()),
            _ => None,
        };
        // What stands before is literal, or ends in a literal that the name does not hold again.
        let before = literal(at.checked_sub(1).and_then(|before| self.parts.get(before)));
        let before = before.unwrap_or_default();
        let start = if at <= 1 { before.len() } else { text.rfind(&before)? + before.len() };
        let rest = text.get(start..)?;
        let end = match literal(self.parts.get(at + 1)) {
            Some(after) if at + 2 == self.parts.len() => rest.strip_suffix(after.as_str())?.len(),
            Some(after) => rest.find(&after)?,
            None => rest.len(),
        };
        let release: KernelRelease = rest[..end].parse().ok()?;
        (self.fill(&release) == text).then_some(release)
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for SourceTemplate {
    type Err = SourceTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(SourceTemplateError::Character(text.to_owned()));
        }
        let wrong = || SourceTemplateError::Placeholder(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (literal, braces) = rest.split_at(open);
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            let inner = braces.strip_prefix('{').ok_or_else(wrong)?;
            let (name, after) = inner.split_once('}').ok_or_else(wrong)?;
            let known = Placeholder::ALL.iter().find(|(_, known)| *known == name);
            parts.push(Part::Placeholder(known.ok_or_else(wrong)?.0));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl fmt::Display for SourceTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> SourceTemplate {
        text.parse().expect("a template")
    }

    fn release(text: &str) -> KernelRelease {
        text.parse().expect("a release")
    }

    #[test]
    fn addresses_are_those_of_kernel_org() {
        let url = template("https://k.example/v{major}.x/linux-{version}.tar.xz");
        let filled = |text| url.fill(&release(text));
        assert_eq!(filled("6.1.176-custom"), "https://k.example/v6.x/linux-6.1.176.tar.xz");
        assert_eq!(filled("6.12.0-custom"), "https://k.example/v6.x/linux-6.12.tar.xz");
        assert_eq!(filled("6.13.0-rc3-x"), "https://k.example/v6.x/linux-6.13-rc3.tar.xz");
        assert_eq!(
            template("/src/{series}/{release}").fill(&release("6.1.7-a")),
            "/src/6.1/6.1.7-a"
        );
    }

    #[test]
    fn kernel_is_read_from_what_the_template_gives() {
        let directory = template("/usr/src/linux-{release}");
        assert_eq!(directory.kernel_of("/usr/src/linux-6.12.31-x"), Some(release("6.12.31-x")));
        assert_eq!(directory.kernel_of("/usr/src/linux-headers-6.1"), None);
        let tarball = template("/srv/v{major}.x/linux-{version}.tar.xz");
        assert_eq!(tarball.kernel_of("/srv/v6.x/linux-6.12.tar.xz"), Some(release("6.12")));
        assert_eq!(tarball.kernel_of("/srv/v5.x/linux-6.12.tar.xz"), None);
        assert_eq!(tarball.kernel_of("/srv/v6.x/linux-6.12.0.tar.xz"), None);
        let series = template("/srv/linux-{series}.tar");
        assert_eq!(series.kernel_of("/srv/linux-6.12.tar"), Some(release("6.12")));
        assert_eq!(series.kernel_of("/srv/linux-6.12.1.tar"), None);
        assert_eq!(template("/srv/linux").kernel_of("/srv/linux"), None);
    }

    #[test]
    fn what_stands_for_nothing_is_refused() {
        for text in ["", "/a/{name}", "/a/{version", "/a/version}", "/a\n", "/a/{}"] {
            assert!(text.parse::<SourceTemplate>().is_err(), "{text:?}");
        }
    }
}
