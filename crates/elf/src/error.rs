use std::{io, path::PathBuf};

/// Why a file did not give its facts.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// The file cannot be opened or mapped.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a 64-bit little-endian ELF file, or its headers contradict each other.
    #[error("{what} is not a readable ELF file")]
    NotElf {
        /// Which file.
        what: &'static str,
        /// What the reader met.
        source: object::Error,
    },
    /// The file is for a machine that is not served.
    #[error("{what} is for ELF machine {machine}, and only x86-64 (62) is served")]
    Machine {
        /// Which file.
        what: &'static str,
        /// `e_machine` of its header.
        machine: u16,
    },
    /// A part of the file points outside it or is cut off.
    #[error("cannot read {part}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What the reader met.
        source: object::Error,
    },
    /// A part of the file is there and readable, and makes no sense.
    #[error("{part} is malformed: {problem}")]
    Malformed {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The debug information contradicts itself.
    #[error("the debug information cannot be read")]
    Dwarf(#[from] gimli::Error),
    /// The debug information is missing or compressed; that of a distribution is in its own package.
    #[error("there is no readable debug information: section {section} {problem}")]
    NoDebugInformation {
        /// The section.
        section: &'static str,
        /// `is missing` or `is compressed`.
        problem: &'static str,
    },
    /// The names in a hostile file add up to more text than any real one has.
    #[error("the module is refused: its names add up to more than {limit} bytes")]
    TooMuchText {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Relocation sections or line tables of a hostile file lie over each other.
    #[error("the file is refused: its relocation sections or line tables overlap")]
    Overlap,
    /// A line of `Module.symvers` is not one.
    #[error("line {line} of Module.symvers is malformed: {problem}")]
    Symvers {
        /// The line's number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}
