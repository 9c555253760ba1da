//! A request as `policy test` and `policy explain` are given it: `METHOD PATH`, without a service.
//!
//! Promises: the action is the method's (DESIGN 2), on `endpoint METHOD PATH`; takes only a path that is plainly
//! canonical, so that what is explained is what the gateway would judge: from `/`, without empty segments, `.` and `..`, of
//! characters that stand for themselves and escapes in capitals of those that do not, without a query.
//! Does not read bodies: `fields:` of a rule are tried with `body:` of a test and `--body`. Held by: the tests below and
//! `tests/it/policy.rs`.

use portcullis_model::{Action, Name, Object, Operation};

/// What a request would do.
///
/// # Errors
/// Why the path is not one that the gateway would judge.
pub(crate) fn read(method: &str, path: &str) -> Result<Operation, String> {
    canonical(path)?;
    let action = match method {
        "GET" | "HEAD" | "OPTIONS" => Action::Read,
        "POST" => Action::Insert,
        "PUT" | "PATCH" => Action::Update,
        "DELETE" => Action::Delete,
        _ => Action::Unknown,
    };
    Ok(Operation::new(action, Object::Endpoint { method: Name::canonical(method), path: Name::canonical(path) }))
}

/// `METHOD PATH` in one text.
///
/// # Errors
/// The same, and where it is not that.
pub(crate) fn read_line(line: &str) -> Result<Operation, String> {
    let Some((method, path)) = line.split_once(' ') else {
        return Err(format!("`{line}` is not METHOD PATH, as in `GET /orders/7`"));
    };
    read(method, path)
}

fn canonical(path: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("`{}` {why}", path.escape_debug()));
    let Some(rest) = path.strip_prefix('/') else { return wrong("is not a path from `/`") };
    let last = rest.split('/').count().saturating_sub(1);
    for (nth, segment) in rest.split('/').enumerate() {
        match segment {
            "" if nth == last => {}
            "" => return wrong("has an empty segment"),
            "." | ".." => return wrong("has a step in place or up"),
            _ => spelled(segment).or_else(|()| wrong("is not spelled canonically"))?,
        }
    }
    Ok(())
}

fn spelled(segment: &str) -> Result<(), ()> {
    let mut bytes = segment.bytes();
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if !unreserved(byte) && !b"!$&'()*+,;=:@".contains(&byte) {
                return Err(());
            }
            continue;
        }
        let mut digit = || {
            let digit = bytes.next().filter(|byte| !byte.is_ascii_lowercase())?;
            char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
        };
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(()) };
        let byte = high << 4 | low;
        if unreserved(byte) || matches!(byte, b'/' | b'\\' | b'%') || byte.is_ascii_control() {
            return Err(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_action_is_the_methods() {
        for (line, expected) in [
            ("GET /orders/7", "read endpoint GET /orders/7"),
            ("HEAD /", "read endpoint HEAD /"),
            ("OPTIONS /a/", "read endpoint OPTIONS /a/"),
            ("POST /a%20b/%C3%A9", "insert endpoint POST /a%20b/%C3%A9"),
            ("PUT /a", "update endpoint PUT /a"),
            ("PATCH /a", "update endpoint PATCH /a"),
            ("DELETE /a;v=1", "delete endpoint DELETE /a;v=1"),
            ("PURGE /a", "unknown endpoint PURGE /a"),
            ("get /a", "unknown endpoint get /a"),
        ] {
            assert_eq!(read_line(line).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_path_that_can_be_read_two_ways_is_refused() {
        for path in [
            "",
            "a",
            "//",
            "/a//b",
            "/./a",
            "/a/..",
            "/a?b",
            "/a#b",
            "/a b",
            "/%61",
            "/%2F",
            "/%2e%2e",
            "/%c3%A9",
            "/%",
            "/%5C",
            "/%25",
            "/%00",
            "/a\\b",
            "/é",
            "/{id}",
            "http://x/a",
        ] {
            assert!(read("GET", path).is_err(), "{path}");
        }
        assert!(read_line("/orders").is_err());
    }
}
