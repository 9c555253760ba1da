//! What gives a protected member another name, and the nearest requests that do not.

use super::*;
use crate::api::testing::TestWords;
use crate::frame::Method;
use crate::path::Path;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

fn renaming() -> Renaming {
    let names = ["ssn", "customer", "social-security", "Card No"].map(str::to_owned);
    Renaming { protected: Protected::new(&names).unwrap() }
}

fn is_in(query: &str, kind: &'static str, body: &str) -> bool {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
    let (path, query) = (Path::read("/orders").unwrap(), Query::read(query).unwrap());
    let request = Request { method: Method::Post, path, query, headers, body: Bytes::copy_from_slice(body.as_bytes()) };
    let read = if kind == "application/json" && !body.is_empty() { json::read(body.as_bytes()).ok() } else { None };
    assert!(body.is_empty() || kind != "application/json" || read.is_some(), "{body}");
    renaming().is_in(&request, read.as_ref())
}

#[test]
fn a_query_string_renames_nothing_that_is_protected() {
    for (query, renames) in [
        ("select=x:ssn", true),
        ("select=id,x:ssn,name", true),
        ("select=x:SSN", true),
        ("select=x:%22ssn%22", true),
        ("select=%22my%20x%22:ssn", true),
        ("select=x:ssn::text", true),
        ("select=id,orders(id,x:ssn)", true),
        ("select=x:data-%3E%3Essn", true),
        ("select=ssn-%3E%3Elast", true),
        ("select=ssn-%3E0", true),
        ("select=ssn.max()", true),
        ("select=ssn::text.max()", true),
        ("select=x:customer(id)", true),
        ("select=x:social-security", true),
        ("select=x:%22card%20no%22", true),
        ("fields=x:ssn", true),
        ("select=max(ssn)", true),
        ("$compute=ssn%20as%20x&$select=x", true),
        ("$compute=ssn+as+x", true),
        ("$compute=concat(ssn,'a')%20as%20x", true),
        ("$compute=id%20as%20a,toupper(ssn)%20as%20x", true),
        ("$apply=aggregate(ssn%20with%20max%20as%20x)", true),
        ("query=%7Bcustomers%7Bx:%20ssn%7D%7D", true),
        ("query=%7Bx:ssn%7D", true),
        ("query=*%5B%5D%7B%22x%22:ssn%7D", true),
        ("x:ssn", true),
        ("q=select%20ssn%20x%20from%20c", true),
        ("source=%7B%22aggs%22:%7B%22x%22:%7B%22terms%22:%7B%22field%22:%22ssn%22%7D%7D%7D%7D", true),
        ("project=%7B%22x%22:%22ssn%22%7D", true),
        ("email=a@b.c", false),
        ("ssn=eq.123", false),
        ("sort=ssn", false),
        ("sort=-ssn", false),
        ("sort=name:asc,ssn:desc", false),
        ("order=ssn.desc", false),
        ("fields=id,ssn", false),
        ("filter%5Bssn%5D=1", false),
        ("fields%5Borders%5D=id,ssn", false),
        ("select=id,ssn", false),
        ("select=ssn::text", false),
        ("select=x:id,ssn", false),
        ("select=data-%3E%3Essn", false),
        ("select=id,orders(id,ssn)", false),
        ("select=x:ssn-hash,id", false),
        ("select=x:ssns", false),
        ("fields=items(id,ssn),total", false),
        ("or=(ssn.eq.1,name.in.(a,b))", false),
        ("$filter=startswith(tolower(ssn),'1')", false),
        ("$select=id,ssn&$orderby=ssn%20desc", false),
        ("$expand=orders($select=ssn)", false),
        ("$compute=id%20as%20x,total%20as%20y&$select=ssn", false),
        ("$apply=groupby((ssn),aggregate($count%20as%20n))", false),
        ("filter=name:bob,ssn:123", false),
        ("q=name:bob+ssn:123", false),
        ("q=label:bug+ssn", false),
        ("next=https://shop.example/ssn", false),
        ("query=%7Borders(by:%20ssn)%7Bid%20ssn%7D%7D", false),
        ("ssn", false),
    ] {
        assert_eq!(is_in(query, "application/json", ""), renames, "{query}");
    }
}

#[test]
fn a_body_renames_nothing_that_is_protected() {
    for (body, renames) in [
        (r#"{"query":"{customer(id:7){ x: ssn }}"}"#, true),
        (r#"{"query":"{orders{ x :\n ssn }}"}"#, true),
        (r#"{"query":"{orders{ x: # why\n ssn }}"}"#, true),
        (r#"{"query":"{orders{ x:, ssn }}"}"#, true),
        (r#"{"query":"{orders(a:\"(\"){ x: ssn }}"}"#, true),
        (r#"{"query":"{orders(a:\"\"\" ( \\\"\"\" \"\"\"){ x: ssn }}"}"#, true),
        (r#"{"query":"query Q($a: Int) { c: customer(id: $a) { name } }"}"#, true),
        (r#"[{"query":"{id}"},{"query":"{ x: ssn }"}]"#, true),
        (r#"{"operation":"fragment F on Customer { x: ssn }"}"#, true),
        (r#"{"sql":"SELECT ssn AS x FROM c"}"#, true),
        (r#"{"sql":"select id, ssn x from c"}"#, true),
        (r#"{"sql":"select max(c.ssn) from c"}"#, true),
        (r#"{"sql":"select name from c union select ssn from c"}"#, true),
        (r#"{"sql":"with q(x) as (select ssn from c) select x from q"}"#, true),
        (r#"{"sql":"select x from upper(ssn) as x"}"#, true),
        (r#"{"sql":"insert into a values (1) returning ssn as x"}"#, true),
        (r#"{"select":["id","x:ssn"]}"#, true),
        (r#"{"select":{"x":"ssn"}}"#, true),
        (r#"{"columns":[{"column":"c.ssn","alias":"x"}]}"#, true),
        (r#"[{"$project":{"x":"$ssn"}}]"#, true),
        (r#"[{"$group":{"_id":"$customer.id"}}]"#, true),
        (r#"{"aggs":{"x":{"terms":{"field":"ssn.keyword"}}}}"#, true),
        (r#"{"script_fields":{"x":{"script":{"source":"doc['ssn'].value"}}}}"#, true),
        (r#"{"body":"{\"query\":\"{ x: ssn }\"}"}"#, true),
        (r#"{"note":"customer asked: ssn changed"}"#, false),
        (r#"{"note":"ssn as written","ssn":"123","customer":{"x":"ssn"}}"#, false),
        (r#"{"fields":{"description":"customer asked: ssn changed"}}"#, false),
        (r#"{"query":"{orders{ id, ssn y: name }}"}"#, false),
        (r#"{"query":"{orders(by: ssn, where: {x: ssn}){ id ssn }}"}"#, false),
        (r#"{"query":"{orders(a:\"x: ssn\"){ id ssn }}","variables":{"note":"x: ssn"}}"#, false),
        (r#"{"query":{"match":{"note":"asked: ssn"}},"sort":[{"field":"ssn"}],"_source":["ssn"]}"#, false),
        (r#"{"sql":"SELECT id, c.ssn FROM c WHERE lower(ssn) LIKE '1%' ORDER BY ssn"}"#, false),
        (r#"{"sql":"select distinct ssn, id as x from c as d where d.ssn = '1' limit 5"}"#, false),
        (r#"{"note":"With regards from the ssn office"}"#, false),
        (r#"{"select":["id","ssn"],"orderBy":"ssn"}"#, false),
        (r#"{"select":[{"field":"ssn"}]}"#, false),
        (r#"{"columns":[{"column":"ssn","alias":"ssn"},{"column":"id","alias":"x"}]}"#, false),
        (r#"{"price":"$5 for the ssn","path":"/ssn","op":"replace","value":"1"}"#, false),
        (r#"{"aggs":{"x":{"terms":{"field":"city"}}},"query":{"term":{"ssn":"1"}}}"#, false),
    ] {
        assert_eq!(is_in("", "application/json", body), renames, "{body}");
        assert_eq!(is_in("", "application/x-ndjson", &format!("{{\"index\":1}}\n{body}\n")), renames, "{body}");
        assert_eq!(renaming().is_said(body), renames, "{body}");
    }
}

#[test]
fn a_form_renames_nothing_that_is_protected() {
    for (form, renames) in [
        ("query=%7Bx:+ssn%7D", true),
        ("sql=select+ssn+as+x+from+c", true),
        ("select=x:ssn", true),
        ("q=select+ssn+x+from+c", true),
        ("data=%7B%22query%22:%22%7Bx:ssn%7D%22%7D", true),
        ("note=customer+asked:+ssn+changed", false),
        ("select=id,ssn&note=ssn+as+it+was", false),
        ("ssn=123&a+ssn=x", false),
    ] {
        assert_eq!(is_in("", "application/x-www-form-urlencoded", form), renames, "{form}");
    }
}

#[test]
fn masks_that_name_no_member_refuse_nothing() {
    assert!(Renaming::under(&TestWords::binding()).is_some());
    for words in [TestWords::default(), TestWords { binds: true, ..TestWords::default() }] {
        assert!(Renaming::under(&words).is_none());
    }
    assert!(Protected::new(&[]).is_none() && Protected::new(&[String::new()]).is_none());
}

#[test]
fn any_text_is_read_to_its_end() {
    let odd = ["ssn", "\u{130}ssn: ssn\u{130}", "\"ssn", "#", "\"\"\"ssn", "(((ssn", ")))ssn as x", "ssn-", "ssn->"];
    for text in odd {
        renaming().is_said(text);
        for kind in [Place::Prose, Place::Query, Place::Selected, Place::Computed] {
            renaming().in_text(text, kind, true);
        }
    }
}
