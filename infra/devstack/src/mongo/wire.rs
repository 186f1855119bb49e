use std::io;
use std::time::Duration;

use bson::Document;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(5);
const OP_MSG: i32 = 2013;
const HEADER_BYTES: usize = 16;
/// Flag bits (4) and the kind of the only section (1) precede the document.
const PREAMBLE_BYTES: usize = 5;
const REPLY_BYTES_MAX: usize = 1024 * 1024;

/// Sends one command on a connection of its own and returns the reply.
///
/// # Source
/// <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#op_msg>
pub(super) async fn run(port: u16, command: &Document) -> io::Result<Document> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(&encode(command)?).await?;
        let length = usize::try_from(stream.read_i32_le().await?).unwrap_or(usize::MAX);
        if !(HEADER_BYTES + PREAMBLE_BYTES..=REPLY_BYTES_MAX).contains(&length) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "reply of impossible length",
            ));
        }
        let mut reply = vec![0; length - 4];
        stream.read_exact(&mut reply).await?;
        let document = reply
            .get(HEADER_BYTES - 4 + PREAMBLE_BYTES..)
            .unwrap_or_default();
        Document::from_reader(document).map_err(io::Error::other)
    };
    tokio::time::timeout(TIMEOUT, exchange).await?
}

fn encode(command: &Document) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    command.to_writer(&mut body).map_err(io::Error::other)?;
    let length =
        i32::try_from(HEADER_BYTES + PREAMBLE_BYTES + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::new();
    for field in [length, 1, 0, OP_MSG, 0] {
        message.extend_from_slice(&field.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(&body);
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn a_command_is_one_message_of_one_section() {
        let message = encode(&doc! { "hello": 1 }).unwrap();
        assert_eq!(message.len(), 16 + 5 + 16);
        assert_eq!(&message[..4], 37_i32.to_le_bytes());
        assert_eq!(&message[12..16], 2013_i32.to_le_bytes());
        assert_eq!(message[20..25], [0, 16, 0, 0, 0]);
    }
}
