//! Bodies that come compressed: gzip and zstd, one layer, counted while they inflate.

use std::io::{self, Read};

use evp_shared::outcome::RejectReason;
use flate2::bufread::MultiGzDecoder;

/// zstd windows up to 8 MiB, what RFC 8878 asks every decoder to support: a frame may name a
/// larger one, and its decoder would allocate it before the first byte is checked.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Room for the first bytes; a body grows from here as it inflates, never from what it announces.
const FIRST_BYTES: usize = 64 * 1024;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 1952, also of several members.
    Gzip,
    /// RFC 8878, also of several frames.
    Zstd,
}

/// Inflates a whole body of at most `bytes_max` bytes.
///
/// # Errors
/// `body_too_large` as soon as it has more, `malformed_encoding` when it is incomplete, followed
/// by something else, or damaged (in zstd only where its optional checksum is there to tell).
pub fn inflate(wire: &[u8], encoding: Encoding, bytes_max: usize) -> Result<Vec<u8>, RejectReason> {
    let malformed = |_: io::Error| RejectReason::MalformedEncoding;
    match encoding {
        Encoding::Gzip => read_all(MultiGzDecoder::new(wire), bytes_max),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(wire).map_err(malformed)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG_MAX)
                .map_err(malformed)?;
            read_all(decoder, bytes_max)
        }
    }
}

fn read_all(decoder: impl Read, bytes_max: usize) -> Result<Vec<u8>, RejectReason> {
    let mut body = Vec::with_capacity(FIRST_BYTES.min(bytes_max));
    let limit = (bytes_max as u64).saturating_add(1);
    decoder
        .take(limit)
        .read_to_end(&mut body)
        .map_err(|_| RejectReason::MalformedEncoding)?;
    if body.len() > bytes_max {
        return Err(RejectReason::BodyTooLarge);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MAX: usize = 1024 * 1024;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd_frame(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn reason(wire: &[u8], encoding: Encoding) -> Result<usize, RejectReason> {
        inflate(wire, encoding, MAX).map(|body| body.len())
    }

    #[test]
    fn whole_streams_inflate_and_damaged_ones_do_not() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let pack = |bytes: &[u8]| match encoding {
                Encoding::Gzip => gzip(bytes),
                Encoding::Zstd => zstd_frame(bytes),
            };
            let wire = pack(&plain);
            assert_eq!(
                inflate(&wire, encoding, MAX).unwrap(),
                plain,
                "{encoding:?}"
            );
            let twice = [pack(b"ab"), pack(b"cd")].concat();
            assert_eq!(
                inflate(&twice, encoding, MAX).unwrap(),
                b"abcd",
                "{encoding:?}"
            );

            let malformed = Err(RejectReason::MalformedEncoding);
            for cut in [1, 5, wire.len() / 2, wire.len() - 1] {
                assert_eq!(
                    reason(&wire[..cut], encoding),
                    malformed,
                    "{encoding:?} cut at {cut}"
                );
            }
            let mut damaged = wire.clone();
            damaged[wire.len() / 2] ^= 0xFF;
            damaged[wire.len() / 2 + 1] ^= 0xFF;
            assert_eq!(
                reason(&damaged, encoding),
                malformed,
                "{encoding:?} damaged"
            );
            let followed = [wire, b"junk".to_vec()].concat();
            assert_eq!(
                reason(&followed, encoding),
                malformed,
                "{encoding:?} followed"
            );
            assert_eq!(
                reason(b"{\"eventType\":\"a\"}", encoding),
                malformed,
                "{encoding:?} plain"
            );
        }
    }

    #[test]
    fn bombs_stop_at_the_cap() {
        let zeros = vec![0; 64 * MAX];
        for (encoding, wire) in [
            (Encoding::Gzip, gzip(&zeros)),
            (Encoding::Zstd, zstd_frame(&zeros)),
        ] {
            assert!(wire.len() < MAX, "{encoding:?}");
            assert_eq!(reason(&wire, encoding), Err(RejectReason::BodyTooLarge));
        }
        let exact = gzip(&vec![0; MAX]);
        assert_eq!(reason(&exact, Encoding::Gzip), Ok(MAX));
        assert_eq!(
            reason(&gzip(&vec![0; MAX + 1]), Encoding::Gzip),
            Err(RejectReason::BodyTooLarge)
        );
    }

    #[test]
    fn a_large_zstd_window_is_refused_before_it_is_allocated() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(b"{}").unwrap();
        encoder.flush().unwrap();
        encoder.write_all(b"{}").unwrap();
        let wire = encoder.finish().unwrap();
        assert_eq!(
            reason(&wire, Encoding::Zstd),
            Err(RejectReason::MalformedEncoding)
        );
    }
}
