use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What turned an original and a patched object into a livepatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// kpatch's tools, driven per object.
    Kpatch,
    /// The kernel's own objtool (`objtool klp`), as its `klp-build` drives it, from Linux 6.19 on.
    KlpBuild,
}

/// A text that is not the name of an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no engine: kpatch, klp-build")]
pub struct EngineError(pub String);

impl Engine {
    /// All engines.
    pub const ALL: [Self; 2] = [Self::Kpatch, Self::KlpBuild];

    /// The name on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kpatch => "kpatch",
            Self::KlpBuild => "klp-build",
        }
    }
}

impl FromStr for Engine {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|engine| engine.as_str() == text)
            .ok_or_else(|| EngineError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_on_the_wire_and_on_the_command_line() {
        for engine in Engine::ALL {
            let wire = serde_json::to_string(&engine).expect("a plain name");
            assert_eq!(wire, format!("\"{engine}\""));
            assert_eq!(engine.as_str().parse(), Ok(engine));
            assert!(EngineError(String::new()).to_string().contains(engine.as_str()));
        }
        assert_eq!("gcc".parse::<Engine>(), Err(EngineError("gcc".to_owned())));
    }
}
