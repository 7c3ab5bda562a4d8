//! Module files as packages hold them: their names, and their compression.

use std::io::{self, Read};

use liblzma::{read::XzDecoder, stream::Stream};

/// Memory for the decompression of one module, in bytes: `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 128 * 1024 * 1024;

/// What follows the name of a module in the name of its file, and whether that is compressed.
/// Debian compresses modules since Debian 13.
const ENDINGS: [(&str, bool); 2] = [(".ko", false), (".ko.xz", true)];

/// The name of the module in a file, as `lsmod` shows it: `kernel/crypto/aes-x.ko.xz` holds
/// `aes_x`. `None` when it is no module that can be read.
pub(crate) fn module_of_file(path: &str) -> Option<String> {
    let (file, _) = stem(path)?;
    Some(file.rsplit('/').next()?.replace('-', "_"))
}

/// Reads a module file and decompresses it where its name says that it is compressed. No more than
/// `limit` bytes are taken.
///
/// # Errors
/// When it cannot be read or decompressed, or is larger.
pub(crate) fn read_module_file(
    path: &str,
    content: &mut dyn Read,
    limit: u64,
) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match stem(path) {
        Some((_, true)) => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, 0).map_err(io::Error::other)?;
            XzDecoder::new_stream(content, stream).take(limit + 1).read_to_end(&mut bytes)?;
        }
        _ => {
            content.take(limit + 1).read_to_end(&mut bytes)?;
        }
    }
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("{path} is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// The path without its ending, and whether the ending says that it is compressed.
fn stem(path: &str) -> Option<(&str, bool)> {
    let stem = |(ending, compressed)| Some((path.strip_suffix(ending)?, compressed));
    ENDINGS.into_iter().find_map(stem)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn file_names_give_the_names_of_modules() {
        assert_eq!(module_of_file("kernel/crypto/aes-x.ko").as_deref(), Some("aes_x"));
        assert_eq!(module_of_file("kernel/crypto/aes-x.ko.xz").as_deref(), Some("aes_x"));
        assert_eq!(module_of_file("kernel/crypto/aes-x.ko.zst"), None);
        assert_eq!(module_of_file("modules.dep"), None);
    }

    #[test]
    fn compressed_module_is_read_up_to_the_limit() {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
        encoder.write_all(&[7; 1000]).expect("in memory");
        let compressed = encoder.finish().expect("in memory");
        let read = |limit| read_module_file("a.ko.xz", &mut compressed.as_slice(), limit);
        assert_eq!(read(1000).expect("a module"), [7; 1000]);
        assert!(read(999).is_err());
        assert!(read_module_file("a.ko", &mut [7; 1000].as_slice(), 999).is_err());
        assert!(read_module_file("a.ko.xz", &mut [7; 1000].as_slice(), 2000).is_err());
    }
}
