//! Saying frames and reading answers, in the short forms that tests compare.

use portcullis_testkit::wire::{Frame, RawClient, frontend};

/// Sends the frames in one piece and reads up to so many ReadyForQuery.
pub(crate) async fn exchange(client: &mut RawClient, frames: &[bytes::Bytes], ready: usize) -> Vec<Frame> {
    client.send(&frames.concat()).await.unwrap();
    let mut got = Vec::new();
    for _ in 0..ready {
        got.extend(client.read_until_ready().await.unwrap());
    }
    got
}

pub(crate) fn codes(frames: &[Frame]) -> Vec<String> {
    frames.iter().filter(|frame| frame.tag == b'E').filter_map(|frame| frame.field(b'C')).collect()
}

pub(crate) fn statuses(frames: &[Frame]) -> String {
    frames.iter().filter(|frame| frame.tag == b'Z').map(|frame| char::from(frame.body[0])).collect()
}

pub(crate) fn tags(frames: &[Frame]) -> String {
    frames.iter().map(|frame| char::from(frame.tag)).collect()
}

pub(crate) fn rows(frames: &[Frame]) -> Vec<String> {
    frames
        .iter()
        .filter(|frame| frame.tag == b'D')
        .map(|frame| {
            let cells = frame.columns();
            let cell = |cell: &Option<bytes::Bytes>| {
                cell.as_ref().map_or("null".to_owned(), |text| String::from_utf8_lossy(text).into_owned())
            };
            cells.iter().map(cell).collect::<Vec<_>>().join("|")
        })
        .collect()
}

/// One query: its rows, or the SQLSTATE of its error.
pub(crate) async fn ask(client: &mut RawClient, sql: &str) -> Result<Vec<String>, String> {
    let frames = exchange(client, &[frontend::query(sql)], 1).await;
    match codes(&frames).into_iter().next() {
        Some(code) => Err(code),
        None => Ok(rows(&frames)),
    }
}
