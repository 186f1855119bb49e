//! From the bytes of a body to the events of a request: formats, caps, and what is wrong with a
//! body as a whole.

mod decoded;
pub mod decompress;
mod json;
mod ndjson;
mod parser;
mod time;

use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;

pub use self::decoded::{
    BodyLimits, DecodeContext, DecodedRequest, EventIdOf, Format, RejectedEvent, Shape,
};
use self::parser::Parser;
use crate::decode::events::{EventSink, SinkScratch};

/// Bodies up to this size leave their scratch to the next one; above, it is given back: a tape
/// takes up to 24 times the bytes of its body.
const SCRATCH_BYTES_KEPT: usize = 1024 * 1024;

/// Decodes bodies; keeps its buffers for the next one.
///
/// # Cancel safety
/// Decoding does not wait.
#[expect(
    missing_debug_implementations,
    reason = "simd-json's buffers have no Debug"
)]
#[derive(Default)]
pub struct Decoder {
    parser: Parser,
    sink: SinkScratch,
}

impl Decoder {
    /// Decodes a whole body, which is plain by now.
    ///
    /// # Errors
    /// What is wrong with the body as a whole: nothing of it is to be stored.
    pub fn decode(
        &mut self,
        body: &[u8],
        format: Format,
        ctx: &DecodeContext<'_>,
    ) -> Result<DecodedRequest, Problem> {
        let result = self.decode_kept(body, format, ctx);
        if body.len() > SCRATCH_BYTES_KEPT {
            *self = Self::default();
        }
        result
    }

    fn decode_kept(
        &mut self,
        body: &[u8],
        format: Format,
        ctx: &DecodeContext<'_>,
    ) -> Result<DecodedRequest, Problem> {
        if body.len() > ctx.limits.decoded_bytes_max {
            return Err(RejectReason::BodyTooLarge.into());
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(RejectReason::EmptyBody.into());
        }
        let mut sink = EventSink::new(&mut self.sink, ctx, body.len());
        let parser = &mut self.parser;
        if format == Format::Ndjson {
            ndjson::decode(parser, body, &mut sink)?;
        } else if let Some(refused) = json::decode(parser, body, &mut sink)? {
            if format == Format::Sniff && ndjson::has_more_lines(body) {
                ndjson::decode(parser, body, &mut sink)?;
            } else {
                json::decode_by_element(parser, body, &refused, &mut sink)?;
            }
        }
        Ok(sink.finish())
    }
}

pub(crate) mod events;
#[cfg(test)]
mod tests;
