use std::{collections::BTreeMap, fmt};

use crate::{Architecture, KernelRelease, Sha256Digest, limits};

/// A kernel config file (`.config`), read and checked.
///
/// Option names are kept without `CONFIG_`. An option that is named "not set" and one that is not
/// mentioned are both off, as they are to the kernel's own build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelConfig {
    options: BTreeMap<String, ConfigValue>,
    header: Option<Header>,
}

/// The value of an option that is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigValue {
    /// `y`: built in.
    Yes,
    /// `m`: built as a module.
    Module,
    /// A quoted text, unescaped.
    Text(String),
    /// A number, as written.
    Number(String),
}

/// Why a file is not a kernel config that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is larger than any kernel config.
    #[error("the config has more than {} bytes", limits::CONFIG_BYTES)]
    TooLarge,
    /// The file is not text: binary, or still compressed.
    #[error("the config is not text (is it compressed in a form other than gzip?)")]
    NotText,
    /// A line is neither an option nor a comment.
    #[error("line {line} of the config is not a config line: {text}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// The line, escaped and cut.
        text: String,
    },
    /// There is no option at all in the file.
    #[error("the file has no CONFIG_ line: it is not a kernel config")]
    Empty,
    /// The config is for an architecture that is not served.
    #[error("the config is for {0}, and only x86_64 is served")]
    Architecture(String),
}

/// What `# Linux/x86 6.1.176 Kernel Configuration` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    architecture: String,
    version: KernelRelease,
}

/// An option on which two configs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDifference {
    /// The option's name without `CONFIG_`.
    pub option: String,
    /// Its value on the left; `None` is off.
    pub left: Option<ConfigValue>,
    /// Its value on the right; `None` is off.
    pub right: Option<ConfigValue>,
}

impl KernelConfig {
    /// Reads a config from its bytes (uncompressed).
    ///
    /// # Errors
    /// When the bytes are too many, not text, or not a kernel config. The architecture is not
    /// looked at: see [`KernelConfig::architecture`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() as u64 > limits::CONFIG_BYTES {
            return Err(ConfigError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ConfigError::NotText)?;
        let mut options = BTreeMap::new();
        let mut header = None;
        let mut seen_option = false;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            match read_line(line) {
                Some(Line::Option(name, value)) => {
                    seen_option = true;
                    options.insert(name, value);
                }
                Some(Line::Off(name)) => {
                    seen_option = true;
                    options.remove(&name);
                }
                Some(Line::Comment) => header = header.or_else(|| read_header(line)),
                None => {
                    let text = line.chars().take(80).collect::<String>().escape_debug().to_string();
                    return Err(ConfigError::Line { line: index + 1, text });
                }
            }
        }
        if seen_option { Ok(Self { options, header }) } else { Err(ConfigError::Empty) }
    }

    /// The value of `option` (named without `CONFIG_`), or `None` when it is off.
    pub fn value(&self, option: &str) -> Option<&ConfigValue> {
        self.options.get(option)
    }

    /// Whether `option` is built in.
    pub fn is_yes(&self, option: &str) -> bool {
        self.value(option) == Some(&ConfigValue::Yes)
    }

    /// The text of a string option, or `None` when it is off or no string.
    pub fn text(&self, option: &str) -> Option<&str> {
        match self.value(option) {
            Some(ConfigValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The number of an integer option, or `None` when it is off or no decimal number.
    pub fn number(&self, option: &str) -> Option<u64> {
        match self.value(option) {
            Some(ConfigValue::Number(text)) => text.parse().ok(),
            _ => None,
        }
    }

    /// All options that are on, in the order of their names.
    pub fn options(&self) -> impl Iterator<Item = (&str, &ConfigValue)> {
        self.options.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The architecture that the config is for.
    ///
    /// # Errors
    /// When it is one that is not served; the error names it.
    pub fn architecture(&self) -> Result<Architecture, ConfigError> {
        if self.is_yes("X86_64") {
            return Ok(Architecture::X86_64);
        }
        const OTHERS: [&str; 9] =
            ["X86_32", "ARM64", "ARM", "PPC64", "PPC", "S390", "RISCV", "LOONGARCH", "MIPS"];
        let option = OTHERS.into_iter().find(|option| self.is_yes(option));
        let header = self.header.as_ref().map(|header| header.architecture.clone());
        Err(ConfigError::Architecture(match (option, header) {
            (Some(option), _) => option.to_lowercase(),
            (None, Some(header)) => header,
            (None, None) => "no architecture that it names".to_owned(),
        }))
    }

    /// The kernel version in the header comment, such as `6.1.176`: the source's version, which is
    /// not always the release that `uname -r` shows.
    pub fn header_version(&self) -> Option<&KernelRelease> {
        self.header.as_ref().map(|header| &header.version)
    }

    /// Whether a version is that of the source in the header, or its beginning: `5.1.6` of a source `5.1.6-gentoo`. The
    /// first elivepatch knew kernels by these.
    pub fn is_of_source(&self, version: &KernelRelease) -> bool {
        let of_source = self.header_version();
        let rest = of_source.and_then(|source| source.as_str().strip_prefix(version.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// The release that Debian writes into `CONFIG_BUILD_SALT` of its stock kernels.
    pub fn build_salt_release(&self) -> Option<KernelRelease> {
        self.text("BUILD_SALT")?.parse().ok()
    }

    /// The compiler that the kernel was built with, as in `CONFIG_CC_VERSION_TEXT`: the command's
    /// name, then its version line.
    pub fn compiler_text(&self) -> Option<&str> {
        self.text("CC_VERSION_TEXT")
    }

    /// A digest of what the config says, independent of comments and of the order of lines.
    pub fn digest(&self) -> Sha256Digest {
        let mut text = String::new();
        for (name, value) in &self.options {
            text.push_str(&format!("CONFIG_{name}={value}\n"));
        }
        Sha256Digest::of(text.as_bytes())
    }

    /// The options on which `self` (left) and `other` (right) differ, in the order of their names.
    pub fn differences(&self, other: &Self) -> Vec<ConfigDifference> {
        let mut names: Vec<&String> = self.options.keys().chain(other.options.keys()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .filter(|name| self.options.get(*name) != other.options.get(*name))
            .map(|name| ConfigDifference {
                option: name.clone(),
                left: self.options.get(name).cloned(),
                right: other.options.get(name).cloned(),
            })
            .collect()
    }
}

impl fmt::Display for ConfigValue {
    /// Writes the value as a config file does.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigValue::Yes => formatter.write_str("y"),
            ConfigValue::Module => formatter.write_str("m"),
            ConfigValue::Number(number) => formatter.write_str(number),
            ConfigValue::Text(text) => {
                let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
                write!(formatter, "\"{escaped}\"")
            }
        }
    }
}

impl fmt::Display for ConfigDifference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |value: &Option<ConfigValue>| match value {
            Some(value) => value.to_string(),
            None => "off".to_owned(),
        };
        write!(formatter, "CONFIG_{}: {} / {}", self.option, show(&self.left), show(&self.right))
    }
}

enum Line {
    Option(String, ConfigValue),
    Off(String),
    Comment,
}

fn read_line(line: &str) -> Option<Line> {
    if line.is_empty() {
        return Some(Line::Comment);
    }
    if let Some(comment) = line.strip_prefix('#') {
        let off =
            comment.strip_prefix(" CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
        return match off {
            Some(name) if is_option_name(name) => Some(Line::Off(name.to_owned())),
            _ => Some(Line::Comment),
        };
    }
    let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
    if !is_option_name(name) {
        return None;
    }
    match value {
        "n" => Some(Line::Off(name.to_owned())),
        value => Some(Line::Option(name.to_owned(), read_value(value)?)),
    }
}

fn is_option_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn read_value(value: &str) -> Option<ConfigValue> {
    match value {
        "y" => return Some(ConfigValue::Yes),
        "m" => return Some(ConfigValue::Module),
        _ => {}
    }
    if let Some(quoted) = value.strip_prefix('"') {
        return read_quoted(quoted).map(ConfigValue::Text);
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
    };
    is_number.then(|| ConfigValue::Number(value.to_owned()))
}

/// Reads the rest of a quoted text after its opening quote; the closing quote must end the line.
fn read_quoted(quoted: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(text),
            '\\' => text.push(characters.next()?),
            character => text.push(character),
        }
    }
}

fn read_header(line: &str) -> Option<Header> {
    let rest = line.strip_prefix("# Linux/")?.strip_suffix(" Kernel Configuration")?;
    let (architecture, version) = rest.split_once(' ')?;
    Some(Header { architecture: architecture.to_owned(), version: version.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: &str = "#\n# Automatically generated file; DO NOT EDIT.\n\
        # Linux/x86 6.1.176 Kernel Configuration\n#\n\
        CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0\"\n\
        CONFIG_X86_64=y\nCONFIG_HZ=250\nCONFIG_EXT4_FS=m\n# CONFIG_LTO_CLANG is not set\n\
        CONFIG_PHYSICAL_START=0x1000000\nCONFIG_BUILD_SALT=\"6.1.0-50-cloud-amd64\"\n";

    fn small() -> KernelConfig {
        KernelConfig::parse(SMALL.as_bytes()).expect("a valid config")
    }

    #[test]
    fn header_compiler_and_salt_are_read() {
        let config = small();
        assert_eq!(config.header_version().map(KernelRelease::as_str), Some("6.1.176"));
        assert_eq!(config.compiler_text(), Some("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"));
        assert_eq!(
            config.build_salt_release().map(|release| release.to_string()),
            Some("6.1.0-50-cloud-amd64".to_owned())
        );
        assert_eq!(config.number("HZ"), Some(250));
        assert_eq!(config.value("EXT4_FS"), Some(&ConfigValue::Module));
        assert_eq!(config.value("LTO_CLANG"), None);
        assert_eq!(config.architecture(), Ok(Architecture::X86_64));
    }

    #[test]
    fn digest_ignores_comments_and_order() {
        let mut lines: Vec<&str> = SMALL.lines().filter(|line| !line.starts_with('#')).collect();
        lines.reverse();
        let shuffled = KernelConfig::parse(lines.join("\n").as_bytes()).expect("a valid config");
        assert_eq!(shuffled.digest(), small().digest());
        assert_eq!(shuffled.differences(&small()), []);
    }

    #[test]
    fn difference_names_option_and_both_values() {
        let other = SMALL.replace("CONFIG_HZ=250", "CONFIG_HZ=1000\nCONFIG_SLUB=y");
        let other = KernelConfig::parse(other.as_bytes()).expect("a valid config");
        let shown: Vec<String> =
            small().differences(&other).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["CONFIG_HZ: 250 / 1000", "CONFIG_SLUB: off / y"]);
    }

    #[test]
    fn garbage_is_refused_with_its_line() {
        let error = KernelConfig::parse(b"CONFIG_A=y\nhello\n").expect_err("garbage");
        assert_eq!(error, ConfigError::Line { line: 2, text: "hello".to_owned() });
        assert_eq!(KernelConfig::parse(b"\x1f\x8b\x08\xff"), Err(ConfigError::NotText));
        assert_eq!(KernelConfig::parse(b"# nothing\n"), Err(ConfigError::Empty));
        assert!(KernelConfig::parse(b"CONFIG_A=\"open\n").is_err());
    }

    #[test]
    fn other_architecture_is_named() {
        let config = KernelConfig::parse(b"CONFIG_ARM64=y\n").expect("a valid config");
        assert_eq!(config.architecture(), Err(ConfigError::Architecture("arm64".to_owned())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = KernelConfig::parse(&bytes);
        }

        #[test]
        fn quoted_text_survives(text in "[ -~]{0,40}") {
            let line = format!("CONFIG_LOCALVERSION={}\n", ConfigValue::Text(text.clone()));
            let config = KernelConfig::parse(line.as_bytes()).expect("a valid line");
            prop_assert_eq!(config.text("LOCALVERSION"), Some(text.as_str()));
        }
    }
}
