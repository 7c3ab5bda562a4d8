use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use super::{FILE_BYTES, FeedFile, parsers::Sink};

/// What a feed may unpack to, in bytes: that of 2026 has 0.16 GB.
const UNPACKED_BYTES: u64 = 4 << 30;

/// Reads a tarball, plain or compressed with zstd or gzip.
pub(super) fn read(path: &Path, sink: &Sink) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut magic = [0; 4];
    let is_short = file.read_exact(&mut magic).is_err();
    file.seek(SeekFrom::Start(0))?;
    let reader = BufReader::new(file);
    let unpacked: Box<dyn Read> = match magic {
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::with_buffer(reader)?),
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        [0xfd, b'7', b'z', b'X'] => {
            return Err(io::Error::other(
                "it is compressed with xz: unpack it, or use zstd or gzip",
            ));
        }
        _ if is_short => return Err(io::Error::other("it is no tarball")),
        _ => Box::new(reader),
    };
    let mut archive = tar::Archive::new(unpacked.take(UNPACKED_BYTES));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        let Some(file) = std::str::from_utf8(&path).ok().and_then(FeedFile::of) else { continue };
        if let Ok(seconds) = entry.header().mtime() {
            sink.note_time(i64::try_from(seconds).unwrap_or(i64::MAX));
        }
        let added = if !entry.header().entry_type().is_file() {
            sink.add_unreadable(file, "it is no file")
        } else if entry.size() > FILE_BYTES {
            sink.add_unreadable(file, "it is larger than any record")
        } else {
            let mut content = Vec::with_capacity(entry.size() as usize);
            entry.read_to_end(&mut content)?;
            sink.add(file, content)
        };
        added.map_err(io::Error::other)?;
    }
    Ok(())
}
