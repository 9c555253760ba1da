//! Forms: what a browser or a client sends, and the one page that a provider shows.
//!
//! Promises: a field that is there twice is read as absent; everything that came from outside is escaped in the page.
//! Held by: the tests below.

use std::collections::BTreeMap;

/// Fields by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(BTreeMap<String, Vec<String>>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`, a query too.
    pub(crate) fn read(text: &str) -> Self {
        let mut fields: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
            fields.entry(decoded(name)).or_default().push(decoded(value));
        }
        Self(fields)
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        match self.0.get(name).map(Vec::as_slice) {
            Some([one]) => one,
            Some(_) | None => "",
        }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = behind.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
                match digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                    Some(byte) => {
                        bytes.push(byte);
                        rest = behind.get(2..).unwrap_or_default();
                    }
                    None => bytes.push(b'%'),
                }
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text as a part of a query.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The page where somebody logs in, with fields that are sent along.
pub(crate) fn login(action: &str, said: &str, along: &[(&str, &str)], asks_code: bool) -> String {
    let hidden: String = along
        .iter()
        .map(|(name, value)| format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value)))
        .collect();
    let code = if asks_code { "<label>Code <input name=\"user_code\"></label>" } else { "" };
    format!(
        "<!doctype html><title>Log in</title><p>{}</p><form method=\"post\" action=\"{action}\">{hidden}{code}\
         <label>User <input name=\"user\"></label><label>Password <input type=\"password\" name=\"password\"></label>\
         <button>Log in</button></form>",
        escaped(said)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_reads_back_what_was_encoded_and_no_field_twice() {
        let text = "a b&c=d%é\"<+";
        let form = Form::read(&format!("x={}&y=1&y=2&z=a+b%2&q", encoded(text)));
        assert_eq!((form.get("x"), form.get("y"), form.get("z"), form.get("q")), (text, "", "a b%2", ""));
        assert!(login("/a", "<b>", &[("n", "\"><script>")], false).contains("value=\"&quot;&gt;&lt;script&gt;\""));
    }
}
