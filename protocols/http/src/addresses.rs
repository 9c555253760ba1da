//! Addresses of a service in the head of its answers, as addresses of the gateway.
//!
//! A service says with an address of its own, or a path from its own root, where what it made is found (`Location`), what its
//! answer shows (`Content-Location`), and where the next page is (`Link`). Whoever follows that leaves the gateway, some with
//! the gateway's token, or asks the gateway for another connection.
//!
//! Promises: in these three headers of a plain API's answers, and nowhere else, an address that surely has the destination's
//! origin (scheme, host, port), or begins at its root with one slash, and lies below the destination's prefix, is written as
//! the gateway's own: below the connection's name where the request had that in its path. One with an origin gets that of
//! the request where the gateway's listener speaks TLS; without TLS it becomes a path, since something in front of the
//! gateway may speak it, and `http:` would send a token in the clear. What follows the path stays.
//! All else stays as it is: other origins, relative addresses, paths that no request could have here or that lie beside the
//! prefix, a `Link` that is not read as RFC 8288 has it.
//! Does not promise anything of bodies and other headers, nor that policy lets the address be asked for.
//! Held by: the tests below.

use crate::path::Path;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, header};

/// Where a client reaches a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The host that the request names, with its port.
    host: String,
    /// Whether the gateway's listener speaks TLS.
    pub(crate) tls: bool,
    /// `/CONNECTION`; nothing where the host names it.
    base: String,
}

impl Mount {
    /// Of a request to this host, by its whole path and the one below the connection.
    pub(crate) fn new(host: &str, whole: &Path, below: &Path) -> Self {
        // `/CONNECTION` alone has `/` below it, which it does not end in.
        let base = whole.as_str().strip_suffix(below.as_str()).unwrap_or(whole.as_str());
        Self { host: host.to_owned(), tls: false, base: base.to_owned() }
    }
}

/// The addresses of one destination, for one client.
pub(crate) struct Addresses<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a Authority,
    /// `/`, or what stands before every path.
    pub(crate) prefix: &'a str,
    pub(crate) mount: &'a Mount,
}

impl Addresses<'_> {
    pub(crate) fn rewrite(&self, headers: &mut HeaderMap) {
        for (name, value) in headers.iter_mut() {
            let Ok(text) = value.to_str() else { continue };
            let written = if *name == header::LOCATION || *name == header::CONTENT_LOCATION {
                self.of(text)
            } else if *name == header::LINK {
                self.links(text)
            } else {
                None
            };
            if let Some(Ok(written)) = written.map(|written| HeaderValue::from_str(&written)) {
                *value = written;
            }
        }
    }

    /// The gateway's address for one of the destination's; `None` where it is not surely one.
    fn of(&self, address: &str) -> Option<String> {
        let (origin, rest) = match address.strip_prefix('/') {
            // Another host's.
            Some(rest) if rest.starts_with(['/', '\\']) => return None,
            Some(_) => (String::new(), address),
            None => {
                let (scheme, rest) = address.split_once("://")?;
                let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                let ours = scheme.eq_ignore_ascii_case(self.scheme) && self.is_ours(authority);
                let origin = if self.mount.tls { format!("https://{}", self.mount.host) } else { String::new() };
                ours.then_some((origin, rest))?
            }
        };
        let (path, tail) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        // As the gateway would read it: one with `..` in it leads elsewhere than it says.
        let path = Path::received(if path.is_empty() { "/" } else { path }).ok()?;
        let below = match path.as_str().strip_prefix(self.prefix.trim_end_matches('/'))? {
            "" => "/",
            below => Some(below).filter(|below| below.starts_with('/'))?,
        };
        Some(format!("{origin}{}{below}{tail}", self.mount.base))
    }

    /// Whether these are the host and the port of the destination, and nobody stands before them.
    fn is_ours(&self, authority: &str) -> bool {
        let (host, port) = match authority.rsplit_once(':') {
            // In brackets it is part of an address.
            Some((host, port)) if !port.ends_with(']') => match port.parse::<u16>() {
                Ok(port) => (host, Some(port)),
                Err(_) => return false,
            },
            Some(_) | None => (authority, None),
        };
        let default = default_port(self.scheme);
        host.eq_ignore_ascii_case(self.authority.host()) && port.or(default) == self.authority.port_u16().or(default)
    }

    /// A list of links (RFC 8288 §3), each target by itself; `None` where it stays as it is.
    fn links(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut target: Option<String> = None;
        let (mut quoted, mut escaped, mut changed) = (false, false, false);
        for c in text.chars() {
            if let Some(mut link) = target.take() {
                if c == '>' {
                    let written = self.of(&link);
                    changed |= written.is_some();
                    out.push_str(&written.unwrap_or(link));
                    out.push(c);
                } else {
                    link.push(c);
                    target = Some(link);
                }
                continue;
            }
            out.push(c);
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                '<' if !quoted => target = Some(String::new()),
                _ => {}
            }
        }
        // A target or a quote that does not end is no list of links.
        (changed && target.is_none() && !quoted).then_some(out)
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(whole: &str, below: &str, tls: bool) -> Mount {
        let path = |text: &str| Path::read(text).unwrap();
        Mount { tls, ..Mount::new("gw:6480", &path(whole), &path(below)) }
    }

    /// What becomes of this header of an answer from `http://crm.internal:8080` with this prefix.
    fn written(name: &'static str, value: &str, prefix: &str, mount: &Mount) -> String {
        let authority = Authority::from_static("crm.internal:8080");
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        Addresses { scheme: "http", authority: &authority, prefix, mount }.rewrite(&mut headers);
        headers.get(name).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn where_a_client_reaches_a_connection_is_what_stands_before_its_path() {
        for (whole, below, base) in [
            ("/crm/orders", "/orders", "/crm"),
            ("/crm/", "/", "/crm"),
            ("/crm", "/", "/crm"),
            ("/orders", "/orders", ""),
            ("/", "/", ""),
        ] {
            assert_eq!(mount(whole, below, false).base, base, "{whole}");
        }
    }

    #[test]
    fn an_address_of_the_service_becomes_one_of_the_gateway() {
        let (by_path, by_host) = (mount("/crm/a", "/a", false), mount("/a", "/a", false));
        for (said, path, host) in [
            ("/orders/7", "/crm/orders/7", "/orders/7"),
            ("/", "/crm/", "/"),
            ("/orders?a=/x#y", "/crm/orders?a=/x#y", "/orders?a=/x#y"),
            ("http://crm.internal:8080/orders/7", "/crm/orders/7", "/orders/7"),
            ("HTTP://CRM.internal:8080", "/crm/", "/"),
            ("http://crm.internal:8080?page=2", "/crm/?page=2", "/?page=2"),
            ("/caf%c3%a9", "/crm/caf%C3%A9", "/caf%C3%A9"),
        ] {
            assert_eq!(written("location", said, "/", &by_path), path, "{said}");
            assert_eq!(written("content-location", said, "/", &by_host), host, "{said}");
        }
        let secure = mount("/crm/a", "/a", true);
        let next = "http://crm.internal:8080/page?page=2";
        assert_eq!(written("location", next, "/", &secure), "https://gw:6480/crm/page?page=2");
        assert_eq!(written("location", "/page", "/", &secure), "/crm/page");
    }

    #[test]
    fn what_is_not_surely_an_address_of_the_service_stays() {
        let mount = mount("/crm/a", "/a", true);
        for said in [
            "",
            "orders/7",
            "?page=2",
            "../x",
            "//crm.internal:8080/x",
            "/\\crm.internal/x",
            "https://crm.internal:8080/x",
            "http://crm.internal/x",
            "http://crm.internal:8081/x",
            "http://crm.internal.example:8080/x",
            "http://other.example/http://crm.internal:8080/x",
            "http://crm.internal:8080@other.example/x",
            "http://u@crm.internal:8080/x",
            "http://crm.internal:8080\\x",
            "/a/../../shop/x",
            "/%2e%2e/shop",
            "/a//b",
            "/a;b",
            "urn:x:crm.internal",
        ] {
            assert_eq!(written("location", said, "/", &mount), said);
        }
        assert_eq!(written("x-next", "/orders", "/", &mount), "/orders");
    }

    #[test]
    fn a_port_that_the_scheme_implies_may_be_left_out() {
        let mount = mount("/crm/a", "/a", false);
        for (ours, said, is_ours) in [
            ("crm.internal", "crm.internal", true),
            ("crm.internal", "crm.internal:443", true),
            ("crm.internal:443", "crm.internal", true),
            ("crm.internal", "crm.internal:80", false),
            ("crm.internal", "crm.internal:99999", false),
            ("crm.internal", "crm.internal:", false),
            ("[::1]:6443", "[::1]:6443", true),
            ("[::1]", "[::1]", true),
            ("[::1]", "[::1]:6443", false),
        ] {
            let authority = Authority::from_static(ours);
            let addresses = Addresses { scheme: "https", authority: &authority, prefix: "/", mount: &mount };
            assert_eq!(addresses.is_ours(said), is_ours, "{said}");
        }
    }

    #[test]
    fn a_prefix_of_the_destination_is_taken_off_and_what_lies_beside_it_stays() {
        let mount = mount("/crm/a", "/a", false);
        for (said, expected) in [
            ("/api/v2/orders", "/crm/orders"),
            ("/api/v2", "/crm/"),
            ("/api/v2/", "/crm/"),
            ("http://crm.internal:8080/api/v2/orders?x", "/crm/orders?x"),
            ("/api/v22/orders", "/api/v22/orders"),
            ("/orders", "/orders"),
        ] {
            assert_eq!(written("location", said, "/api/v2", &mount), expected, "{said}");
        }
    }

    #[test]
    fn each_target_of_a_list_of_links_is_written_and_nothing_else() {
        let mount = mount("/crm/a", "/a", false);
        for (said, expected) in [
            (
                "<http://crm.internal:8080/p?page=2>; rel=\"next\", </p?page=9>; rel=last",
                "</crm/p?page=2>; rel=\"next\", </crm/p?page=9>; rel=last",
            ),
            ("<https://other.example/x>; rel=a, </x>", "<https://other.example/x>; rel=a, </crm/x>"),
            ("</x>; title=\"a </y> \\\" </z>\"", "</crm/x>; title=\"a </y> \\\" </z>\""),
            ("<page2>; rel=next", "<page2>; rel=next"),
            ("</x>; title=\"open", "</x>; title=\"open"),
            ("</x>, </y", "</x>, </y"),
            ("/x", "/x"),
        ] {
            assert_eq!(written("link", said, "/", &mount), expected);
        }
    }
}
