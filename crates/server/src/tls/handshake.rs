//! The server's side of a handshake.

use std::io;

use elivepatch_api::{ApiError, ErrorBody, ErrorCode};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The first byte of a connection that speaks TLS: a record with a handshake (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Shakes hands; tells somebody who does not speak TLS that he should.
pub(crate) async fn accept(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
) -> io::Result<TlsStream<TcpStream>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != TLS_HANDSHAKE {
        refuse_plain(stream).await?;
        return Err(io::Error::other("it does not speak TLS"));
    }
    acceptor.accept(stream).await
}

/// Says it in what he most likely speaks.
async fn refuse_plain(mut connection: TcpStream) -> io::Result<()> {
    let error = ApiError {
        code: ErrorCode::Forbidden,
        message: "this server takes encrypted connections only".to_owned(),
        hint: "write its address with https://".to_owned(),
        request_id: uuid::Uuid::now_v7().simple().to_string(),
        failure: None,
    };
    let body = serde_json::to_string(&ErrorBody { error }).expect("it has a JSON form");
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(answer.as_bytes()).await?;
    connection.shutdown().await?;
    // What was sent and is not read would make the kernel reset the connection, and the answer be lost.
    let mut rest = tokio::io::AsyncReadExt::take(connection, 64 * 1024);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}
