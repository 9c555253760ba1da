//! Names of headers and parameters that mean something to whoever stands behind the gateway.
//!
//! Promises: closed lists, each with where it comes from; a name is compared as its readers fold it. Frameworks make
//! variables of names: CGI and what copied it take `-` and `_` for one (RFC 3875 §4.1.18), PHP takes blanks, `.` and `[`
//! for `_` as well and drops blanks before a name (PHP manual, "Variables From External Sources"). So a header is written
//! in letters, digits and `-` alone, and where the gateway puts one it takes away whatever folds to the same.
//! Does not promise to know every service's own header: those that a connection's `headers` name never pass from a client,
//! nor do those of `data/credentials.tsv`; a parameter called `method` is taken for what it says.
//! Held by: the tests below and `head/tests.rs`.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashSet;
use std::sync::LazyLock;

const OTHERS: &str = include_str!("../../data/credentials.tsv");

/// Of one hop (RFC 9110 §7.6.1, RFC 9113 §8.2.2), or about its framing, which is made anew (RFC 9112 §6).
pub(super) const OF_ONE_HOP: [&str; 14] = [
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// What proves somebody, to us or to whoever is behind us (RFC 9110 §11.6.2, §11.7.2, RFC 6265 §4.2).
pub(super) const CREDENTIALS: [&str; 5] = ["authorization", "cookie", "cookie2", "proxy-authorization", "x-api-key"];
/// What claims to tell where a request comes from or where it goes (RFC 7239, RFC 9110 §7.6.3, and what products made of
/// the same). `x-forwarded-*` and `x-portcullis-*` go with them.
pub(super) const FORWARDING: [&str; 17] = [
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forward-for",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-remote-user",
];
/// May stand once (RFC 9110 §5.3, RFC 9112 §6).
pub(super) const ONCE: [&str; 14] = [
    "accept-encoding",
    "anthropic-version",
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "transfer-encoding",
    "x-api-key",
];

/// What of an answer's head is between the backend and the gateway: of one hop, about a length that may change, about
/// the backend's own host and its users.
pub(super) const OF_THE_BACKEND: [&str; 10] = [
    "alt-svc",
    "clear-site-data",
    "nel",
    "public-key-pins",
    "refresh",
    "report-to",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "x-accel-redirect",
];

/// What puts another method behind the one that is judged, folded: headers (Google, OData, and IBM's), and parameters of
/// those names or of Rails', Symfony's, Laravel's, CakePHP's and Yii's, of Salesforce's REST API and of Catalyst's actions.
const OVERRIDES: [&str; 7] = [
    "_http_method",
    "_httpmethod",
    "_method",
    "x_http_method",
    "x_http_method_override",
    "x_method_override",
    "x_tunneled_method",
];
/// Parameters of a query that carry credentials (RFC 6750 §2.3, RFC 6749 §2.3.1, RFC 7523 §2.2, AWS Signature Versions 2
/// and 4, Azure's shared access signatures, and what APIs made of them), without what stands between their words: they end
/// in logs. And GitLab's that makes the request another user's.
const SECRET_PARAMETERS: [&str; 35] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "authorization",
    "authtoken",
    "awsaccesskeyid",
    "bearer",
    "clientassertion",
    "clientsecret",
    "googleaccessid",
    "hapikey",
    "idtoken",
    "jobtoken",
    "jwt",
    "passwd",
    "password",
    "privatetoken",
    "pwd",
    "refreshtoken",
    "secret",
    "sessiontoken",
    "sig",
    "signature",
    "subscriptionkey",
    "sudo",
    "token",
    "xamzcredential",
    "xamzsecuritytoken",
    "xamzsignature",
    "xapikey",
    "xauthtoken",
    "xgoogapikey",
    "xgoogcredential",
    "xgoogsignature",
];
/// What gateways put before the name of a header that they take for one without it (grpc-gateway, "Mapping from HTTP request
/// headers to gRPC client metadata"; Amazon API Gateway, remapped headers).
const BEFORE: [&str; 3] = ["grpc-metadata-", "grpcgateway-", "x-amzn-remapped-"];
/// A parameter of MCP's own: what follows is the name of an argument, which its server chose.
const ARGUMENT: &str = "mcp-param-";

/// The names of `data/credentials.tsv`: whole ones, and how others begin.
static CREDENTIALS_OF_OTHERS: LazyLock<(HashSet<&str>, Vec<&str>)> = LazyLock::new(|| {
    let rows = OTHERS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'));
    let (begin, whole): (Vec<&str>, Vec<&str>) = rows.map(|(name, _)| name).partition(|name| name.ends_with('*'));
    (whole.into_iter().collect(), begin.into_iter().map(|name| name.trim_end_matches('*')).collect())
});

/// A name as whoever makes a variable of it reads it: what PHP cuts off is cut off, an element of a list is the list.
fn folded(name: &str) -> String {
    let name = name.split('\0').next().unwrap_or_default().trim();
    let base = match name.char_indices().skip(1).find(|(_, c)| *c == '[') {
        Some((at, _)) => name.get(..at).unwrap_or(name),
        None => name,
    };
    let fold = |c: char| if c.is_whitespace() || matches!(c, '.' | '-' | '[' | '+') { '_' } else { c };
    base.chars().map(fold).flat_map(char::to_lowercase).collect()
}

/// Whether a parameter of this name puts another method in the place of the request's: in a query, in a form, or at the
/// top of a JSON body.
pub(crate) fn names_a_method(name: &str) -> bool {
    OVERRIDES.contains(&folded(name).as_str())
}

/// Whether a parameter of this name carries a credential.
pub(super) fn names_a_secret(name: &str) -> bool {
    let joined = folded(name).replace('_', "");
    SECRET_PARAMETERS.contains(&joined.as_str())
}

/// Whether every reader takes a header's name for the same: what is not a letter, a digit or `-` is folded by some.
pub(super) fn says_one_thing(name: &str) -> bool {
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // Its value is compared with the arguments, and no other header begins so.
    name.strip_prefix(ARGUMENT).is_some_and(|argument| !argument.is_empty()) || plain(name)
}

/// A name without what gateways put before it, each at most once.
fn behind_prefixes(name: &str) -> &str {
    BEFORE.iter().fold(name, |name, prefix| name.strip_prefix(prefix).unwrap_or(name))
}

/// Whether a header of this name is for the gateway alone, or becomes one that is.
pub(super) fn goes_no_further(name: &str) -> bool {
    let (whole, begin) = &*CREDENTIALS_OF_OTHERS;
    let name = behind_prefixes(name);
    OF_ONE_HOP.contains(&name)
        || CREDENTIALS.contains(&name)
        || FORWARDING.contains(&name)
        || whole.contains(name)
        || begin.iter().any(|begin| name.starts_with(begin))
        || name.starts_with("x-forwarded")
        || name.starts_with("x-portcullis-")
        || name.starts_with("proxy-")
        // Of one hop too (RFC 6455 §4): each side of a socket is made anew.
        || name.starts_with("sec-websocket-")
}

/// Puts a header of the gateway's own where none is left that a reader could take for it.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let known = folded(name.as_str());
    let is_taken = |other: &str| folded(other) == known || folded(behind_prefixes(other)) == known;
    let same: Vec<HeaderName> = headers.keys().filter(|other| is_taken(other.as_str())).cloned().collect();
    for other in same {
        headers.remove(other);
    }
    headers.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_behind_the_method_is_seen_as_its_readers_spell_it() {
        for name in [
            "_method",
            "_METHOD",
            " _method",
            "\t_method",
            "_method ",
            ".method",
            " .method",
            "[method",
            "-method",
            "_method[]",
            "_method\0x",
            "X-HTTP-Method-Override",
            "x.http.method.override",
            "x_http_method",
            "_HttpMethod",
            "_HTTPMETHOD",
            "-httpmethod",
            "_http_method",
            "X-Tunneled-Method",
            "x.tunneled.method",
        ] {
            assert!(names_a_method(name), "{name:?}");
        }
        for name in [
            "method",
            "payment_method",
            "_methods",
            "__method",
            "",
            "method[]",
            "http_method",
            "httpMethod",
            "tunneled_method",
        ] {
            assert!(!names_a_method(name), "{name:?}");
        }
    }

    #[test]
    fn a_secret_is_seen_as_its_readers_spell_it() {
        for name in [
            "access_token",
            "access.token",
            "Access-Token",
            "accessToken",
            " api key",
            "api_key[]",
            "X-Amz-Signature",
            "sig",
            "AWSAccessKeyId",
        ] {
            assert!(names_a_secret(name), "{name:?}");
        }
        for name in ["tokens", "page_token", "key", "after_id", ""] {
            assert!(!names_a_secret(name), "{name:?}");
        }
    }

    /// The ledger: every row is a name in small letters that a header may have, none stands twice, each says whose it is.
    #[test]
    fn every_row_of_the_table_is_a_header_of_somebody() {
        let mut seen = HashSet::new();
        for line in OTHERS.lines().filter(|line| !line.starts_with('#')) {
            let (name, whose) = line.split_once('\t').unwrap();
            let whole = name.trim_end_matches('*');
            assert!(HeaderName::from_lowercase(whole.as_bytes()).is_ok() && says_one_thing(whole), "{line}");
            assert!(seen.insert(name) && whose.len() > 5, "{line}");
            assert!(goes_no_further(whole) && goes_no_further(&name.replace('*', "x")), "{line}");
        }
        assert!(seen.len() > 50);
    }

    /// What passes under another name is what it becomes.
    #[test]
    fn a_header_that_becomes_another_is_that_one() {
        for name in [
            "grpc-metadata-authorization",
            "grpc-metadata-x-forwarded-for",
            "grpc-metadata-grpcgateway-authorization",
            "grpc-metadata-x-vault-token",
            "grpcgateway-authorization",
            "x-amzn-remapped-authorization",
        ] {
            assert!(goes_no_further(name), "{name}");
        }
        for name in ["grpc-metadata-x-request-id", "grpc-timeout", "x-amzn-trace-id", "grpc-metadata-"] {
            assert!(!goes_no_further(name), "{name}");
        }
    }

    #[test]
    fn the_gateways_own_header_leaves_none_that_is_taken_for_it() {
        let mut headers = HeaderMap::new();
        for name in ["x-crm-key", "x.crm.key", "x-crm", "grpc-metadata-x-crm-key"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("the client's"));
        }
        put(&mut headers, HeaderName::from_static("x_crm_key"), HeaderValue::from_static("ours"));
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-crm", "x_crm_key"]);
    }
}
