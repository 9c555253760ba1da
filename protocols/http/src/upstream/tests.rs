use super::answering::BrokeOff;
use super::*;
use crate::frame::{Head, ToClient};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::body::Body as _;
use std::future::poll_fn;
use std::pin::Pin;
use tokio_util::sync::CancellationToken;

struct World {
    outlet: ClientBody,
    head: oneshot::Receiver<Response<Streamed>>,
    gone: CancellationToken,
}

fn world() -> World {
    let (sender, head) = oneshot::channel();
    let gone = CancellationToken::new();
    World { outlet: ClientBody::new(sender, &gone), head, gone }
}

fn head(length: Option<u64>) -> ToClient {
    let mut headers = HeaderMap::new();
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    ToClient::Head(Head { status: StatusCode::OK, headers })
}

fn data(size: usize) -> ToClient {
    ToClient::Data(Bytes::from(vec![7; size]))
}

async fn flush(outlet: &mut ClientBody) -> io::Result<()> {
    poll_fn(|cx| outlet.poll_flush(cx)).await
}

async fn next(body: &mut Streamed) -> Option<Result<usize, BrokeOff>> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap().len()))
}

#[tokio::test]
async fn a_whole_answer_ends_and_one_that_breaks_off_is_an_error() {
    for (last, whole) in [(ToClient::End, true), (ToClient::Abort, false)] {
        let mut world = world();
        for frame in [head(None), data(3), last] {
            world.outlet.stage(frame);
        }
        flush(&mut world.outlet).await.unwrap();
        assert_eq!(world.outlet.staged(), 0);
        let mut body = world.head.await.unwrap().into_body();
        assert!(matches!(next(&mut body).await, Some(Ok(3))));
        assert_eq!(next(&mut body).await.is_none(), whole);
        assert!(next(&mut body).await.is_none());
        drop(body);
        assert!(!world.gone.is_cancelled());
    }
}

#[tokio::test]
async fn what_came_before_an_answer_broke_off_is_written() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (frames, last) in
        [(vec![head(None)], "\r\n\r\n"), (vec![head(None), data(1), data(2)], "\r\n2\r\n\x07\x07\r\n")]
    {
        let (mut client, server) = tokio::io::duplex(4096);
        let mut answering = world();
        for frame in frames.into_iter().chain([ToClient::Abort]) {
            answering.outlet.stage(frame);
        }
        flush(&mut answering.outlet).await.unwrap();
        let answer = std::cell::Cell::new(answering.head.await.ok());
        let service = hyper::service::service_fn(|_| std::future::ready(answer.take().ok_or(BrokeOff)));
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(server), service);
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut got = String::new();
        let (served, read) = tokio::join!(serving, client.read_to_string(&mut got));
        assert!(served.is_err() && read.is_ok());
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with(last), "{got:?}");
    }
}

#[tokio::test]
async fn over_http2_too_where_another_task_writes_it() {
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    // No piece fits into it.
    let (client, server) = tokio::io::duplex(64);
    let mut answering = world();
    for frame in [head(None), data(1000), data(10), ToClient::Abort] {
        answering.outlet.stage(frame);
    }
    flush(&mut answering.outlet).await.unwrap();
    let answer = std::cell::Cell::new(answering.head.await.ok());
    let service = hyper::service::service_fn(|_| std::future::ready(answer.take().ok_or(BrokeOff)));
    let serving =
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(server), service);
    let asking = async {
        let io = TokioIo::new(client);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let answered = async {
            let request = http::Request::get("http://a/").body(Empty::<Bytes>::new()).unwrap();
            let mut body = sender.send_request(request).await.unwrap().into_body();
            let mut got = 0;
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => got += frame.into_data().unwrap().len(),
                    Some(Err(_)) => break (got, "broken"),
                    None => break (got, "whole"),
                }
            }
        };
        tokio::select! {
            ended = connection => panic!("{ended:?}"),
            told = answered => told,
        }
    };
    tokio::select! {
        served = serving => panic!("{served:?}"),
        told = asking => assert_eq!(told, (1010, "broken")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_not_waited_for_without_end() {
    for taken in [true, false] {
        let mut answering = world();
        for frame in [head(None), data(1), data(2), ToClient::Abort] {
            answering.outlet.stage(frame);
        }
        flush(&mut answering.outlet).await.unwrap();
        let mut body = answering.head.await.unwrap().into_body();
        let mut given = Vec::new();
        for _ in 0..2 {
            given.push(poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap());
        }
        let began = tokio::time::Instant::now();
        let mut breaking = std::pin::pin!(next(&mut body));
        for _ in 0..2 {
            assert!(poll_fn(|cx| Poll::Ready(breaking.as_mut().poll(cx).is_pending())).await);
        }
        given.pop();
        assert!(poll_fn(|cx| Poll::Ready(breaking.as_mut().poll(cx).is_pending())).await);
        if taken {
            given.clear();
        }
        assert!(matches!(breaking.await, Some(Err(BrokeOff))));
        assert_eq!(began.elapsed() >= answering::PARTING, !taken);
    }
}

#[tokio::test]
async fn an_outlet_that_is_dropped_is_an_answer_that_broke_off() {
    let mut world = world();
    world.outlet.stage(head(None));
    flush(&mut world.outlet).await.unwrap();
    drop(world.outlet);
    let mut body = world.head.await.unwrap().into_body();
    assert!(matches!(next(&mut body).await, Some(Err(BrokeOff))));
}

#[tokio::test]
async fn data_waits_for_its_reader() {
    let mut world = world();
    world.outlet.stage(head(None));
    world.outlet.stage(data(1 << 20));
    let blocked = std::future::poll_fn(|cx| Poll::Ready(world.outlet.poll_flush(cx).is_pending())).await;
    assert!(blocked && world.outlet.staged() > 512 << 10, "{}", world.outlet.staged());
    let mut body = world.head.await.unwrap().into_body();
    world.outlet.stage(ToClient::End);
    let (mut outlet, mut read) = (world.outlet, 0);
    let reading = async {
        while let Some(piece) = next(&mut body).await {
            read += piece.unwrap();
        }
    };
    let (flushed, ()) = tokio::join!(flush(&mut outlet), reading);
    flushed.unwrap();
    assert_eq!(read, 1 << 20);
}

#[tokio::test]
async fn however_little_a_piece_holds_it_takes_its_place() {
    let mut world = world();
    world.outlet.stage(head(None));
    let before = world.outlet.staged();
    (0..100).for_each(|_| world.outlet.stage(data(1)));
    assert!(world.outlet.staged() >= before + 6400, "{}", world.outlet.staged());
    let mut body = std::pin::pin!(async {
        let mut body = world.head.await.unwrap().into_body();
        while let Some(Ok(_)) = next(&mut body).await {}
    });
    world.outlet.stage(ToClient::End);
    let (flushed, ()) = tokio::join!(flush(&mut world.outlet), body.as_mut());
    flushed.unwrap();
    assert_eq!(world.outlet.staged(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_is_told_and_one_that_had_all_is_not() {
    let mut left = world();
    left.outlet.stage(head(None));
    flush(&mut left.outlet).await.unwrap();
    drop(left.head.await.unwrap());
    assert!(left.gone.is_cancelled());
    left.outlet.stage(data(1));
    assert!(flush(&mut left.outlet).await.is_err());

    // hyper drops a body at its announced length, before the end is said.
    let mut had = world();
    had.outlet.stage(head(Some(3)));
    had.outlet.stage(data(3));
    flush(&mut had.outlet).await.unwrap();
    let mut body = had.head.await.unwrap().into_body();
    assert!(matches!(next(&mut body).await, Some(Ok(3))));
    drop(body);
    assert!(!had.gone.is_cancelled());
    had.outlet.stage(ToClient::End);
    flush(&mut had.outlet).await.unwrap();
}
