//! The kernel's image out of a bootable one: what the machine runs, without symbols.

use std::io::{self, Read, Write};

use liblzma::{read::XzDecoder, stream::Stream};

/// The largest image that is taken out, in bytes; Debian's full kernels have some 80 MB.
pub(super) const IMAGE_BYTES: u64 = 1 << 30;

/// Memory for decompression by xz and lzma, in bytes. The kernel's own build uses dictionaries of
/// 32 MiB (`scripts/xz_wrap.sh`).
const LZMA_MEMORY: u64 = 256 * 1024 * 1024;

/// The largest window of zstd, as a power of two: that of `zstd --ultra -22`, which the kernel's
/// build uses.
const ZSTD_WINDOW: u32 = 27;

/// The size of a block in the old format of lz4, which the kernel's build uses, once it is
/// decompressed, in bytes.
const LZ4_BLOCK_BYTES: usize = 8 * 1024 * 1024;

/// The fields of the boot header: Documentation/arch/x86/boot.rst.
const SETUP_SECTORS: usize = 0x1f1;
const HEADER_MAGIC: usize = 0x202;
const PROTOCOL: usize = 0x206;
const PAYLOAD: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// The first protocol version whose header says where the payload is.
const PROTOCOL_WITH_PAYLOAD: u16 = 0x0208;

/// How the payload is compressed, by its first bytes.
const FORMATS: [(&[u8], Format); 5] = [
    (&[0x1f, 0x8b, 0x08], Format::Gzip),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0x00], Format::Xz),
    (&[0x5d, 0x00, 0x00], Format::Lzma),
    (&[0x28, 0xb5, 0x2f, 0xfd], Format::Zstd),
    (&[0x02, 0x21, 0x4c, 0x18], Format::Lz4),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Gzip,
    Xz,
    Lzma,
    Zstd,
    Lz4,
}

/// Writes the ELF file that a bootable image (`bzImage`) holds.
///
/// # Errors
/// When it holds none, or holds it compressed in a way that cannot be read here (bzip2, LZO), or when
/// the file cannot be written.
pub(super) fn take_kernel_image(bootable: &[u8], output: &mut dyn Write) -> io::Result<()> {
    let payload = payload(bootable).ok_or_else(|| {
        io::Error::other("it is no bootable image, or its header does not say where the kernel is")
    })?;
    let format = FORMATS.iter().find(|(magic, _)| payload.starts_with(magic));
    let Some((_, format)) = format else {
        return Err(io::Error::other(
            "the kernel in it is compressed by another program than gzip, xz, lzma, zstd or lz4",
        ));
    };
    let mut output = Limited { output, left: IMAGE_BYTES };
    match format {
        Format::Gzip => copy(flate2::read::GzDecoder::new(payload), &mut output),
        Format::Xz => {
            let stream = Stream::new_stream_decoder(LZMA_MEMORY, 0).map_err(io::Error::other)?;
            copy(XzDecoder::new_stream(payload, stream), &mut output)
        }
        Format::Lzma => {
            let stream = Stream::new_lzma_decoder(LZMA_MEMORY).map_err(io::Error::other)?;
            copy(XzDecoder::new_stream(payload, stream), &mut output)
        }
        Format::Zstd => {
            // Behind the frame is its size, which the kernel's build adds.
            let mut decoder = zstd::Decoder::new(payload)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW)?;
            copy(decoder, &mut output)
        }
        Format::Lz4 => copy_lz4(payload, &mut output),
    }
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(HEADER_MAGIC..)?.get(..4)? != b"HdrS" {
        return None;
    }
    let protocol = u16::from_le_bytes(image.get(PROTOCOL..)?.get(..2)?.try_into().ok()?);
    if protocol < PROTOCOL_WITH_PAYLOAD {
        return None;
    }
    // 0 stands for 4, as the protocol says.
    let sectors = match *image.get(SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = ((sectors + 1) * 512).checked_add(number(image, PAYLOAD)?)?;
    let end = start.checked_add(number(image, PAYLOAD_LENGTH)?)?;
    image.get(start..end)
}

/// A number of four bytes.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.get(..4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(four)).ok()
}

fn copy(mut from: impl Read, to: &mut Limited<'_>) -> io::Result<()> {
    io::copy(&mut from, to).map(drop)
}

/// The old format of lz4 (`lz4 -l`): blocks with their sizes before them. At the end is the size of
/// all, which the kernel's build adds.
fn copy_lz4(payload: &[u8], to: &mut Limited<'_>) -> io::Result<()> {
    let mut rest = payload.get(4..).unwrap_or_default();
    let mut block = vec![0; LZ4_BLOCK_BYTES];
    while rest.len() > 4 {
        let cut = || io::Error::other("a compressed block of the kernel is cut off");
        let size = number(rest, 0).ok_or_else(cut)?;
        let compressed = rest[4..].get(..size).ok_or_else(cut)?;
        let length = lz4_flex::block::decompress_into(compressed, &mut block);
        to.write_all(&block[..length.map_err(io::Error::other)?])?;
        rest = &rest[4 + size..];
    }
    Ok(())
}

/// An output that takes no more than a limit: what comes out of a small file may be endless.
struct Limited<'a> {
    output: &'a mut dyn Write,
    left: u64,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let more =
            || io::Error::other(format!("the kernel in it is larger than {IMAGE_BYTES} bytes"));
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(more)?;
        self.output.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bootable image with this payload.
    fn bootable(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 5 * 512 + 16];
        image[SETUP_SECTORS] = 4;
        image[HEADER_MAGIC..HEADER_MAGIC + 4].copy_from_slice(b"HdrS");
        image[PROTOCOL..PROTOCOL + 2].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[PAYLOAD..PAYLOAD + 4].copy_from_slice(&16_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).expect("a small one");
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend(payload);
        image
    }

    fn taken(payload: &[u8]) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        take_kernel_image(&bootable(payload), &mut output).map(|()| output)
    }

    const CONTENT: &[u8] = b"\x7fELF and much more of it and much more of it and much more of it";

    #[test]
    fn image_is_taken_out_whatever_compressed_it() {
        let size = u32::try_from(CONTENT.len()).expect("small").to_le_bytes();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(CONTENT).expect("in memory");
        assert_eq!(taken(&gzip.finish().expect("in memory")).expect("gzip"), CONTENT);

        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        xz.write_all(CONTENT).expect("in memory");
        let xz = [xz.finish().expect("in memory").as_slice(), &size].concat();
        assert_eq!(taken(&xz).expect("xz"), CONTENT);

        let zstd = zstd::encode_all(CONTENT, 3).expect("in memory");
        assert_eq!(taken(&[zstd.as_slice(), &size].concat()).expect("zstd"), CONTENT);

        let block = lz4_flex_literals(CONTENT);
        let length = u32::try_from(block.len()).expect("small").to_le_bytes();
        let lz4 = [&[0x02, 0x21, 0x4c, 0x18], length.as_slice(), &block, &size].concat();
        assert_eq!(taken(&lz4).expect("lz4"), CONTENT);
    }

    /// A block of lz4 that holds its bytes as they are.
    fn lz4_flex_literals(content: &[u8]) -> Vec<u8> {
        let more = content.len().checked_sub(15).expect("long enough");
        let mut block = vec![0xf0, u8::try_from(more).expect("short enough")];
        block.extend(content);
        block
    }

    #[test]
    fn what_is_no_bootable_image_is_refused() {
        assert!(taken(b"BZh9 something else").is_err());
        assert!(taken(&[]).is_err());
        assert!(take_kernel_image(b"MZ", &mut Vec::new()).is_err());
        let mut image = bootable(&[0x1f, 0x8b, 0x08, 0, 0, 0]);
        assert!(take_kernel_image(&image, &mut Vec::new()).is_err(), "cut off");
        image[PAYLOAD + 3] = 0xff;
        assert!(take_kernel_image(&image, &mut Vec::new()).is_err(), "outside");
        let cut = [&[0x02, 0x21, 0x4c, 0x18][..], &[200, 0, 0, 0, 1, 2, 3, 4, 5]].concat();
        assert!(taken(&cut).is_err());
    }
}
