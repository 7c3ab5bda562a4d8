use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use elivepatch_model::{AdaptationKind, BuildOptions, Engine};

/// How a livepatch is to be made.
#[derive(Debug, Default, Args)]
pub struct OptionArgs {
    /// Switch an adaptation of the patch off; give it again for more
    #[arg(long, value_name = "ADAPTATION", value_delimiter = ',', value_parser = adaptation_parser())]
    pub without: Vec<AdaptationKind>,
    /// The engine to use [default: the server decides]
    #[arg(long, value_name = "ENGINE", value_parser = engine_parser())]
    pub engine: Option<Engine>,
    /// Take the livepatch also when it is not proven that it fits the running kernel
    #[arg(long)]
    pub accept_unproven: bool,
}

impl OptionArgs {
    /// The same as it is sent.
    pub fn options(&self) -> BuildOptions {
        BuildOptions {
            without: self.without.iter().copied().collect(),
            engine: self.engine,
            accept_unproven: self.accept_unproven,
            ..BuildOptions::default()
        }
    }
}

fn adaptation_parser() -> impl TypedValueParser<Value = AdaptationKind> {
    PossibleValuesParser::new(AdaptationKind::ALL.map(AdaptationKind::as_str))
        .try_map(|text| text.parse::<AdaptationKind>())
}

fn engine_parser() -> impl TypedValueParser<Value = Engine> {
    PossibleValuesParser::new(Engine::ALL.map(Engine::as_str))
        .try_map(|text| text.parse::<Engine>())
}
