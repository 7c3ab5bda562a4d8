//! The symbols of the running kernel, packed to be sent or saved.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use elivepatch_model::{
    Kallsyms,
    limits::{KALLSYMS_BYTES, KALLSYMS_PACKED_BYTES},
};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

/// The letters in `/sys/module/NAME/taint` of modules that no kernel source holds: those from
/// outside the tree, and livepatches.
const FROM_ELSEWHERE: [char; 2] = ['O', 'K'];

/// The symbols of a kernel without their addresses.
#[derive(Debug, Clone)]
pub struct Symbols {
    /// The list in its normal form.
    pub list: Kallsyms,
    /// The same compressed with gzip.
    pub packed: Vec<u8>,
}

/// Reads `/proc/kallsyms` below `root`. Modules that cannot be in the kernel's source are left out.
pub fn read_running(root: &Path) -> Result<Symbols, String> {
    let text = read_at_most(&root.join("proc/kallsyms")).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "the kernel does not list them".to_owned(),
        io::ErrorKind::PermissionDenied => "needs root".to_owned(),
        _ => error.to_string(),
    })?;
    // A module has thousands of symbols and one file that says where it comes from.
    let known = RefCell::new(HashMap::new());
    let is_of_the_kernel = |module: &str| {
        *known.borrow_mut().entry(module.to_owned()).or_insert_with(|| {
            let taint = std::fs::read_to_string(root.join("sys/module").join(module).join("taint"));
            !taint.is_ok_and(|taint| taint.contains(FROM_ELSEWHERE))
        })
    };
    pack(Kallsyms::read(&text, is_of_the_kernel).map_err(|error| error.to_string())?)
}

/// Unpacks symbols that were saved, and checks them.
pub fn unpack(packed: &[u8]) -> Result<Symbols, String> {
    let mut text = Vec::new();
    let mut unpacked = MultiGzDecoder::new(packed).take(KALLSYMS_BYTES + 1);
    unpacked.read_to_end(&mut text).map_err(|error| error.to_string())?;
    // Whatever is in the file, no address is sent.
    pack(Kallsyms::read(&text, |_| true).map_err(|error| error.to_string())?)
}

fn pack(list: Kallsyms) -> Result<Symbols, String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(list.text().as_bytes()).and_then(|()| encoder.finish());
    let packed = written.map_err(|error| error.to_string())?;
    if packed.len() as u64 > KALLSYMS_PACKED_BYTES {
        return Err(format!("they have more than {KALLSYMS_PACKED_BYTES} bytes when compressed"));
    }
    Ok(Symbols { list, packed })
}

fn read_at_most(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(KALLSYMS_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const RAW: &str = "ffffffff9ae00000 T _text\nffffffff9ae00040 t start\n\
        ffffffffc0901000 T ext4_one\t[ext4]\nffffffffc0701000 T patched\t[livepatch_a]\n\
        ffffffffc0501000 T foreign\t[nvidia]\n";

    #[test]
    fn modules_from_elsewhere_are_left_out_and_packing_keeps_the_rest() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("proc")).expect("a directory");
        fs::write(root.path().join("proc/kallsyms"), RAW).expect("a file");
        for (module, taint) in [("ext4", "\n"), ("livepatch_a", "OEK\n"), ("nvidia", "POE\n")] {
            let directory = root.path().join("sys/module").join(module);
            fs::create_dir_all(&directory).expect("a directory");
            fs::write(directory.join("taint"), taint).expect("a file");
        }
        let symbols = read_running(root.path()).expect("symbols");
        let text = "0 T _text\n40 t start\n0 T ext4_one\t[ext4]\n";
        assert_eq!(symbols.list.text(), text);
        assert_eq!(unpack(&symbols.packed).expect("the same").list, symbols.list);
    }

    #[test]
    fn what_cannot_be_unpacked_says_why() {
        let symbols = pack(Kallsyms::read(RAW.as_bytes(), |_| true).expect("symbols"));
        let packed = symbols.expect("packed").packed;
        unpack(&packed[..packed.len() - 4]).expect_err("cut");
        unpack(b"0 T _text\n").expect_err("not packed");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&vec![b'0'; 40 << 20]).expect("memory");
        let error = unpack(&encoder.finish().expect("memory")).expect_err("a bomb");
        assert!(error.contains("more than"), "{error}");
    }
}
